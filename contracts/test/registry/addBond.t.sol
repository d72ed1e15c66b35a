// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ChainSpec, Stage} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {FeeToken, HookToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract AddBondTest is BatonTest {
    address private owner;

    function setUp() public override {
        super.setUp();
        startDevnet();
        owner = ownerOf(3);
    }

    function test_RevertWhen_TheAmountIsZero() external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NothingToAdd.selector);
        _add(0);
    }

    function test_RevertGiven_TheCallerIsNotSeated() external {
        exit(owner);
        fund(owner, UNIT);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner));
        _add(UNIT);
        owner = address(0x99);
        fund(owner, UNIT);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner));
        _add(UNIT);
    }

    function test_RevertGiven_ThereIsEvidenceAgainstTheCaller() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        owner = register(0, UNIT);
        start();
        slashDoubleNotarize(owner, 2);
        assertStage(owner, Stage.Seated);
        fund(owner, UNIT);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__HasOffended.selector, owner));
        _add(UNIT);
    }

    function test_RevertWhen_TheBondWouldNotFitInto128Bits() external {
        uint256 amount = 2 ** 128 - 18 * UNIT;
        fund(owner, amount);
        vm.expectRevert(abi.encodeWithSelector(SafeCast.SafeCastOverflowedUintDowncast.selector, 128, 2 ** 128));
        _add(amount);
    }

    function test_RevertGiven_TheChainIsAbandoned() external {
        uint256 deadAt = registry.epochStart(2) + 2048 + 1;
        vm.roll(deadAt);
        fund(owner, 2 * UNIT);
        _add(UNIT);
        inbox.abandon();
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__ChainIsAbandoned.selector, uint64(deadAt))
        );
        _add(UNIT);
    }

    function test_RevertGiven_TheTokenTakesAFee() external {
        // A token that begins to take one only now: registering in it was possible.
        FeeToken fee = new FeeToken();
        fee.mint(address(registry), 100 * UNIT);
        fund(owner, UNIT);
        vm.etch(address(token), address(fee).code);
        FeeToken(address(token)).mint(owner, UNIT);
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__TransferMismatch.selector, UNIT, UNIT - 1)
        );
        _add(UNIT);
    }

    function test_RevertWhen_TheTokenCallsBackIntoAddBond() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        startDevnet();
        fund(owner, UNIT);
        hook.arm(address(registry), abi.encodeCall(registry.addBond, (UNIT)));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        _add(UNIT);
    }

    function test_When_AllIsInOrder() external {
        fund(owner, 5 * UNIT + 7);
        vm.expectEmit(address(registry));
        emit RegistryEvents.BondAdded(owner, 5 * UNIT + 7, 23 * UNIT + 7, 4);
        _add(5 * UNIT + 7);
        assertEq(registry.bondOf(owner), 23 * UNIT + 7, "bond");
        assertEq(token.balanceOf(address(registry)), 105 * UNIT + 7, "locked");
        rollToEpoch(4);
        assertEq(weightOf(owner, 3), 18, "weight until then");
        assertEq(weightOf(owner, 4), 23, "weight from then on");
        assertEq(registry.totalWeight(4), 105, "total");
    }

    function test_Given_TheCallerWaitsToLeave() external {
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 4;
        deploy(spec);
        startDevnet();
        exit(owner);
        fund(owner, UNIT);
        _add(UNIT);
        rollToEpoch(4);
        assertEq(weightOf(owner, 4), 19, "weight");
        assertStage(owner, Stage.Leaving);
    }

    function test_When_ItIsCalledTwiceInOneEpoch() external {
        fund(owner, 3 * UNIT);
        _add(UNIT);
        _add(2 * UNIT);
        rollToEpoch(4);
        assertEq(weightOf(owner, 4), 21, "weight");
    }

    /// Otherwise one unit at a time would make every look at the owner's history dearer.
    function test_When_ItIsCalledOftenInOneEpoch() external {
        address other = ownerOf(2);
        fund(other, UNIT);
        vm.prank(other);
        registry.addBond(UNIT);
        fund(owner, 300 * UNIT);
        for (uint256 i = 0; i < 299; ++i) {
            _add(UNIT);
        }
        _add(1);
        rollToEpoch(4);
        uint256 gasBefore = gasleft();
        uint64 weight = weightOf(other, 4);
        uint256 once = gasBefore - gasleft();
        gasBefore = gasleft();
        assertEq(weightOf(owner, 4), 18 + 299, "weight");
        assertAtMost(gasBefore - gasleft(), once + 500, "gas");
        assertEq(weight, 23, "the other's");
        assertEq(weightOf(owner, 3), 18, "weight until then");
    }

    function testFuzz_It_LocksEveryUnitThatItTakes(uint96 first, uint96 second) external {
        vm.assume(first != 0 && second != 0);
        uint256 sum = uint256(first) + second;
        fund(owner, sum);
        _add(first);
        _add(second);
        assertEq(registry.bondOf(owner), 18 * UNIT + sum, "bond");
        assertEq(token.balanceOf(address(registry)), 100 * UNIT + sum, "locked");
        rollToEpoch(4);
        uint256 weight = (18 * UNIT + sum) / UNIT;
        assertEq(weightOf(owner, 4), weight < 2 ** 40 ? weight : 2 ** 40, "weight");
    }

    function _add(uint256 amount) private {
        vm.prank(owner);
        registry.addBond(amount);
    }
}
