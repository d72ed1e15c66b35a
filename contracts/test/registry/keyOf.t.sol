// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Stage} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract KeyOfTest is BatonTest {
    function test_RevertWhen_TheEpochsCommitteeIsNotFixed() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        registry.keyOf(ownerOf(0), 4);
    }

    function test_RevertWhen_TheOwnerNeverRegistered() external {
        startDevnet();
        _assertNoMember(address(0x99), 2);
        (uint256 bond, uint64 admission, Stage stage, address recipient, uint64 weight, uint64 effectiveEpoch) =
            registry.sequencer(address(0x99));
        assertEq(bond + admission + weight + effectiveEpoch, 0, "numbers");
        assertTrue(stage == Stage.None && recipient == address(0), "state");
    }

    function test_RevertWhen_TheOwnerIsAMemberLaterOnly() external {
        startDevnet();
        address owner = register(4, UNIT);
        rollToEpoch(4);
        _assertNoMember(owner, 3);
    }

    function test_RevertWhen_TheOwnerWasEjectedBefore() external {
        startDevnet();
        slashDoubleNotarize(ownerOf(0), 2);
        rollToEpoch(4);
        _assertNoMember(ownerOf(0), 4);
    }

    function test_When_TheOwnerIsAMember() external {
        address owner = register(0, 1000 * UNIT);
        register(1, UNIT);
        register(2, UNIT);
        register(3, UNIT);
        start();
        (bytes memory key, uint64 weight, uint64 admission) = registry.keyOf(owner, 2);
        assertEq(key, Bls.publicKey(secretOf(owner)), "key");
        assertEq(weight, 1000, "weight");
        assertEq(admission, 1, "admission");
        // After its ejection it is still found where it was a member: evidence comes late.
        slashDoubleNotarize(owner, 2);
        rollToEpoch(30);
        (key,,) = registry.keyOf(owner, 3);
        assertEq(key, Bls.publicKey(secretOf(owner)), "key");
    }

    function test_RevertWhen_TheCommitteeIsNotFixed() external {
        startDevnet();
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 9));
        registry.memberAt(ownerOf(0), 9);
    }

    function test_When_TheOwnerIsNoMember() external {
        startDevnet();
        (bytes memory key, uint64 weight, uint64 admission) = registry.memberAt(address(0x99), 2);
        assertEq(key, "", "key of a stranger");
        assertEq(weight + admission, 0, "weight and admission of a stranger");
        (key, weight,) = registry.memberAt(ownerOf(0), 2);
        assertEq(key, Bls.publicKey(secretOf(ownerOf(0))), "key of a member");
        assertEq(weight, 32, "weight of a member");
    }

    function _assertNoMember(address owner, uint64 epoch) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotAMember.selector, owner, epoch));
        registry.keyOf(owner, epoch);
    }
}
