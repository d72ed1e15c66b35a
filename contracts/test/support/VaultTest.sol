// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec} from "../../src/Types.sol";
import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {DelegationVaultFactory} from "../../src/delegation/DelegationVaultFactory.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {Bls} from "./Bls.sol";
import {LivenessTest} from "./LivenessTest.sol";
import {TurningToken} from "./Tokens.sol";
import {vm} from "./Vm.sol";

/// A chain of four members, and a vault in epoch 2 that two people delegate to: 60 units and 40. Its sequencer is a member
/// from epoch 4 on.
abstract contract VaultTest is LivenessTest {
    /// Evidence, correlation and finality, in blocks.
    uint256 internal constant WINDOWS = 512 + 8 * 16 + 64;
    address internal constant OPERATOR = address(0x0b);
    address internal constant ALICE = address(0xa11ce);
    address internal constant BOB = address(0xb0b);

    DelegationVaultFactory internal factory;
    DelegationVault internal vault;

    function setUp() public virtual override {
        super.setUp();
        startDevnet();
        createVault();
        deposit(ALICE, 60 * UNIT);
        deposit(BOB, 40 * UNIT);
    }

    /// The same with a bond token whose issuer can turn.
    function foundWithTurningToken() internal returns (TurningToken turning) {
        turning = new TurningToken();
        token = DevToken(address(turning));
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(turning);
        deploy(spec);
        startDevnet();
        createVault();
        deposit(ALICE, 60 * UNIT);
        deposit(BOB, 40 * UNIT);
    }

    function createVault() internal {
        factory = new DelegationVaultFactory(registry);
        vm.prank(OPERATOR);
        vault = factory.createVault(1000, "Delegated bond", "dBOND");
    }

    function deposit(address who, uint256 amount) internal returns (uint256 shares) {
        token.mint(who, amount);
        vm.prank(who);
        token.approve(address(vault), amount);
        vm.prank(who);
        return vault.deposit(amount, who);
    }

    function join() internal {
        uint256 secret = secretOf(address(vault));
        bytes memory key = Bls.publicKey(secret);
        bytes memory possession = possessionOf(address(vault), secret);
        vm.prank(OPERATOR);
        vault.register(OPERATOR, key, possession);
    }

    function request(address who, uint256 shares) internal returns (uint256) {
        vm.prank(who);
        return vault.requestRedeem(shares, who);
    }

    function reward(uint256 amount) internal {
        token.mint(address(vault), amount);
        vault.harvest();
    }

    /// What a whole unit of shares is worth.
    function price() internal view returns (uint256) {
        return vault.convertToAssets(1000 * UNIT);
    }

    /// Closes the epochs before the present one and moves past every window that counts from there.
    function passWindows() internal {
        rollToEpoch(registry.epochOf(block.number) + 4);
        uint64 epoch = registry.epochOf(block.number);
        post(epoch);
        for (uint64 skipped = 3; skipped < epoch; ++skipped) {
            closeIfSkipped(skipped);
        }
        rollToEpoch(epoch + 17);
        post(epoch + 17);
        for (uint64 skipped = epoch + 1; skipped < epoch + 17; ++skipped) {
            closeIfSkipped(skipped);
        }
        vm.roll(block.number + WINDOWS + 1);
    }
}
