// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract MaterializeKeysTest is BatonTest {
    bytes32 private constant DIGEST = keccak256("digest");

    /// 66 members: a whole chunk of keys, and two keys.
    function setUp() public override {
        super.setUp();
        for (uint256 i = 0; i < 66; ++i) {
            register(i, UNIT);
        }
        registry.activate();
        rollToEpoch(2);
    }

    function test_RevertWhen_TheCommitteeIsNotFixedYet() external {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        registry.materializeKeys(4, 0);
    }

    function test_When_OneChunkAfterTheOtherIsStored() external {
        uint64 accounts = _accounts();
        for (uint256 chunk = 0; chunk < 2; ++chunk) {
            vm.prank(address(0xa11));
            registry.materializeKeys(2, chunk);
            assertEq(_accounts(), accounts + chunk + 1, "accounts");
        }
        assertTrue(!registry.isMaterialized(2), "not yet");
        registry.materialize(2);
        assertEq(_accounts(), accounts + 3, "only the content came besides");
        registry.verifyQuorum(2, DIGEST, 2 ** 66 - 1, aggregate(2, 2 ** 66 - 1, DIGEST));
    }

    function test_When_TheKeysAreStoredAlready() external {
        registry.materializeKeys(2, 1);
        uint64 accounts = _accounts();
        registry.materializeKeys(2, 1);
        registry.materializeKeys(3, 1);
        assertEq(_accounts(), accounts, "the same keys");
        registry.materialize(2);
        accounts = _accounts();
        registry.materializeKeys(2, 0);
        assertEq(_accounts(), accounts, "all are there");
    }

    function test_When_ThereAreNoSuchMembers() external {
        uint64 accounts = _accounts();
        registry.materializeKeys(2, 2);
        registry.materializeKeys(2, type(uint256).max);
        assertEq(_accounts(), accounts, "accounts");
    }

    /// forge-config: default.fuzz.runs = 8
    function testFuzz_It_ChangesNothingAboutWhatIsMaterialized(uint8 before) external {
        uint256 state = vm.snapshotState();
        registry.materialize(2);
        (uint64 total, uint64 accounts) = (registry.totalWeight(2), _accounts());
        vm.revertToState(state);
        for (uint256 chunk = 0; chunk < 2; ++chunk) {
            if (before & (1 << chunk) != 0) registry.materializeKeys(2, chunk);
        }
        registry.materialize(2);
        assertEq(registry.totalWeight(2), total, "total weight");
        assertEq(_accounts(), accounts, "accounts");
        uint256 most = 2 ** 66 - 1 - 5;
        registry.verifyQuorum(2, DIGEST, most, aggregate(2, most, DIGEST));
    }

    /// Each account that was created counts.
    function _accounts() private view returns (uint64) {
        return vm.getNonce(address(registry.CERTIFICATES()));
    }
}
