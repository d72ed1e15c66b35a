// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Stage} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {vm} from "../support/Vm.sol";

contract JailTest is LivenessTest {
    /// Five members of stakes 60, 10, 10, 10 and 10, at the first block of epoch 2.
    function _start(uint8 minCommittee) private {
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = minCommittee;
        deploy(spec);
        for (uint256 i = 0; i < 5; ++i) {
            register(i, (i == 0 ? 60 : 10) * UNIT);
        }
        start();
    }

    function test_RevertWhen_AnotherThanTheLivenessContractCalls() external {
        _start(1);
        address stranger = address(0x99);
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__OnlyLiveness.selector, address(liveness), stranger)
        );
        vm.prank(stranger);
        registry.jail(ownerOf(1), 2);
    }

    function test_Given_TheOwnerWasNoMemberInThatEpoch() external {
        _start(1);
        register(9, UNIT);
        assertTrue(!_jail(ownerOf(9), 2), "begins later");
        assertTrue(!_jail(address(0x99), 2), "unknown");
        assertEq(registry.memberCount(), 6, "members");
    }

    function test_Given_TheOwnerWasAMemberInAnEarlierAdmissionOnly() external {
        _start(1);
        address owner = ownerOf(1);
        exit(owner);
        rollToEpoch(4);
        rollToRelease(owner);
        withdraw(owner);
        registerWith(owner, 10 * UNIT, 4711);
        rollToEpoch(registry.epochOf(block.number) + 2);
        assertTrue(isMember(owner, registry.epochOf(block.number)), "a member again");
        assertTrue(!_jail(owner, 2), "that was another admission");
        assertTrue(_jail(owner, registry.epochOf(block.number)), "this is its own");
    }

    function test_Given_TheOwnerIsJailedOrHasLeft() external {
        _start(1);
        assertTrue(_jail(ownerOf(1), 2), "once");
        assertTrue(!_jail(ownerOf(1), 2), "twice");
        exit(ownerOf(2));
        assertTrue(!_jail(ownerOf(2), 2), "left");
        assertEq(registry.memberCount(), 3, "members");
    }

    function test_Given_TheCommitteeWouldBeTooSmall() external {
        _start(4);
        assertTrue(_jail(ownerOf(1), 2), "five, one can be spared");
        assertTrue(!_jail(ownerOf(2), 2), "four");
        // Nobody may leave either, except who is in jail.
        exit(ownerOf(3));
        assertStage(ownerOf(3), Stage.Leaving);
        exit(ownerOf(1));
        assertTrue(!_jail(ownerOf(2), 2), "still four");
        // Four newcomers begin in epoch 4 and one in epoch 5: for the first of them one leaves that waited.
        for (uint256 i = 10; i < 15; ++i) {
            register(i, UNIT);
        }
        assertStage(ownerOf(3), Stage.Left);
        assertEq(registry.memberCount(), 8, "seated");
        for (uint256 i = 0; i < 5; ++i) {
            _jail(ownerOf(i), 2);
        }
        // Owners 0, 2 and 4: seven can be counted on in epoch 4, and four must stay.
        assertEq(jailedOf(5), 3, "jailed");
        assertEq(registry.memberCount(), 5, "with the one that begins later");
        rollToEpoch(4);
        assertEq(registry.owners(4).length, 4, "as few as may be");
    }

    function test_Given_AMemberCanBeSpared() external {
        _start(4);
        address owner = ownerOf(1);
        (bytes memory key,,) = registry.memberAt(owner, 2);
        uint256 balance = token.balanceOf(address(registry));
        vm.expectEmit(address(registry));
        emit RegistryEvents.Jailed(owner, 4);
        _jail(owner, 2);
        assertEq(registry.owners(3).length, 5, "still a member");
        // Sixty of forty others are clipped to nineteen; sixty of thirty others to fourteen.
        assertEq(registry.totalWeight(3), 59, "clipped among five");
        rollToEpoch(3);
        assertEq(registry.totalWeight(4), 44, "clipped among four");
        registry.materialize(4);
        assertEq(registry.totalWeight(4), 44, "as stored");
        assertEq(registry.owners(4).length, 4, "out");
        assertEq(registry.bondOf(owner), 10 * UNIT, "bond");
        assertEq(token.balanceOf(address(registry)), balance, "nothing moved");
        (bytes memory same,,) = registry.memberAt(owner, 3);
        assertEq(same, key, "key");
        (uint64 since, uint64 until) = registry.jailOf(owner);
        assertEq(since, 4, "since");
        assertEq(until, 6, "until");
        (, uint64 admission, Stage stage, address recipient, uint64 weight, uint64 epoch) = registry.sequencer(owner);
        assertEq(admission, 1, "admission");
        assertTrue(stage == Stage.Jailed, "stage");
        assertEq(recipient, recipientOf(owner), "fee recipient");
        assertEq(weight, 0, "weight");
        assertEq(epoch, 4, "from");
    }

    function test_Given_TheMemberWaitsToLeave() external {
        _start(5);
        exit(ownerOf(1));
        // Both newcomers begin in epoch 4, which is the next that can be changed from now on only.
        rollToEpoch(3);
        register(10, UNIT);
        rollToEpoch(4);
        assertStage(ownerOf(1), Stage.Left);
        exit(ownerOf(2));
        assertStage(ownerOf(2), Stage.Leaving);
        register(11, UNIT);
        register(12, UNIT);
        assertStage(ownerOf(2), Stage.Left);
        assertTrue(_jail(ownerOf(3), 2), "one can be spared");
        exit(ownerOf(3));
        assertStage(ownerOf(3), Stage.Left);
        assertEq(registry.memberCount(), 5, "members");
    }

    function test_Given_AJailedSequencerExits() external {
        _start(4);
        address owner = ownerOf(1);
        _jail(owner, 2);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(owner, 4);
        exit(owner);
        assertEq(registry.memberCount(), 4, "members");
        (uint64 since,) = registry.jailOf(owner);
        assertEq(since, 0, "no longer in jail");
        rollToRelease(owner);
        withdraw(owner);
        assertEq(token.balanceOf(owner), 10 * UNIT, "paid");
    }

    function test_Given_AJailedSequencerAddsToItsBond() external {
        _start(4);
        address owner = ownerOf(1);
        _jail(owner, 2);
        fund(owner, 5 * UNIT);
        vm.prank(owner);
        registry.addBond(5 * UNIT);
        rollToEpoch(5);
        assertTrue(!isMember(owner, 4) && !isMember(owner, 5), "no weight");
        unjail(owner);
        rollToEpoch(6);
        assertEq(weightOf(owner, 7), 15, "all of it");
    }

    function test_Given_AJailedSequencerChangesItsKey() external {
        _start(4);
        address owner = ownerOf(1);
        _jail(owner, 2);
        rollToEpoch(4);
        rotate(owner, 4711);
        unjail(owner);
        rollToEpoch(6);
        (bytes memory key,,) = registry.memberAt(owner, 6);
        assertEq(secretOf(owner, key), 4711, "the new one");
        assertTrue(!isMember(owner, 5), "not before");
    }

    function test_Given_AJailedSequencerIsPenalizedForWhatItSignedBefore() external {
        _start(4);
        address owner = ownerOf(1);
        _jail(owner, 2);
        rollToEpoch(3);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Ejected(owner, 5);
        slashDoubleNotarize(owner, 2);
        assertStage(owner, Stage.Left);
        assertEq(registry.memberCount(), 4, "members");
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotJailed.selector, owner));
        unjail(owner);
    }

    function test_Given_AllOthersAreEjected() external {
        _start(1);
        _jail(ownerOf(1), 2);
        _ejectAllBut(1);
        assertEq(registry.memberCount(), 1, "one waits");
        rollToEpoch(4);
        assertEq(registry.owners(4).length, 1, "the last one stays");
        unjail(ownerOf(1));
        assertStage(ownerOf(4), Stage.Left);
        assertEq(registry.memberCount(), 1, "the one that is back");
        rollToEpoch(6);
        assertEq(registry.owners(5).length, 1, "the last one");
        address[] memory owners = registry.owners(6);
        assertEq(owners.length, 1, "one");
        assertEq(owners[0], ownerOf(1), "the one that is back");
    }

    function test_Given_AnotherRegistersWhileOneIsInJail() external {
        _start(1);
        _jail(ownerOf(1), 2);
        _ejectAllBut(1);
        register(9, UNIT);
        assertStage(ownerOf(4), Stage.Left);
        assertStage(ownerOf(1), Stage.Jailed);
        assertStage(ownerOf(9), Stage.Seated);
        assertEq(registry.memberCount(), 1, "the newcomer");
    }

    function test_Given_TheJailedOneExits() external {
        _start(1);
        _jail(ownerOf(1), 2);
        _ejectAllBut(1);
        exit(ownerOf(1));
        assertStage(ownerOf(4), Stage.Seated);
        register(9, UNIT);
        assertStage(ownerOf(4), Stage.Left);
    }

    function test_Given_AllSeatsAreTakenAndOneIsInJail() external {
        deploy(defaultSpec());
        for (uint256 i = 0; i < 128; ++i) {
            register(i, UNIT);
        }
        start();
        _jail(ownerOf(1), 2);
        assertEq(registry.memberCount(), 127, "members");
        address owner = ownerOf(200);
        fund(owner, UNIT);
        bytes memory refusal =
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeFull.selector, uint256(128));
        vm.expectRevert(refusal);
        this.registerLater(owner);
        rollToEpoch(4);
        unjail(ownerOf(1));
        rollToEpoch(6);
        assertEq(registry.owners(6).length, 128, "all of them");
    }

    /// For `expectRevert`, which takes the next call.
    function registerLater(address owner) external {
        registerFunded(owner, UNIT);
    }

    function test_Given_AJailedSequencerLeftAndRegistersAgain() external {
        _start(1);
        address owner = ownerOf(1);
        _jail(owner, 2);
        exit(owner);
        rollToRelease(owner);
        withdraw(owner);
        registerWith(owner, 10 * UNIT, 4711);
        assertStage(owner, Stage.Seated);
        uint64 epoch = registry.epochOf(block.number) + 2;
        rollToEpoch(epoch);
        assertEq(weightOf(owner, epoch), 10, "a member");
        assertEq(registry.memberCount(), 5, "members");
    }

    // ---------------------------------------------------------------------------------------------------- unjail

    function test_RevertGiven_TheCallerIsNotJailed() external {
        _start(1);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotJailed.selector, ownerOf(1)));
        unjail(ownerOf(1));
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotJailed.selector, address(0x99)));
        unjail(address(0x99));
    }

    function test_RevertGiven_TheTermIsNotOver() external {
        _start(1);
        _jail(ownerOf(1), 2);
        for (uint64 epoch = 2; epoch < 4; ++epoch) {
            if (epoch != 2) rollToEpoch(epoch);
            vm.expectRevert(
                abi.encodeWithSelector(RegistryErrors.SequencerRegistry__JailedUntil.selector, 6, epoch + 2)
            );
            unjail(ownerOf(1));
        }
        rollToEpoch(4);
        unjail(ownerOf(1));
    }

    function test_Given_TheTermIsOver() external {
        _start(1);
        address owner = ownerOf(1);
        _jail(owner, 2);
        rollToEpoch(4);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Unjailed(owner, 6);
        unjail(owner);
        assertTrue(!isMember(owner, 4) && !isMember(owner, 5), "out for the term");
        assertEq(registry.memberCount(), 5, "members");
        for (uint64 epoch = 2; epoch < 6; ++epoch) {
            assertTrue(!_jail(owner, epoch), "before it was back");
        }
        rollToEpoch(6);
        assertEq(weightOf(owner, 6), 10, "back");
        assertTrue(_jail(owner, 6), "after");
    }

    function test_Given_OthersWaitToLeave() external {
        _start(4);
        _jail(ownerOf(1), 2);
        exit(ownerOf(2));
        assertStage(ownerOf(2), Stage.Leaving);
        rollToEpoch(4);
        vm.expectEmit(address(registry));
        emit RegistryEvents.Exited(ownerOf(2), 6);
        unjail(ownerOf(1));
        assertStage(ownerOf(2), Stage.Left);
        rollToEpoch(5);
        assertEq(registry.owners(6).length, 4, "one came and one went");
    }

    function test_Given_JailLastsNoEpoch() external {
        ChainSpec memory spec = defaultSpec();
        spec.jailEpochs = 0;
        deploy(spec);
        startDevnet();
        _jail(ownerOf(3), 2);
        unjail(ownerOf(3));
        rollToEpoch(4);
        assertEq(weightOf(ownerOf(3), 4), 18, "never out");
    }

    function _jail(address owner, uint64 missedFrom) private returns (bool) {
        vm.prank(address(liveness));
        return registry.jail(owner, missedFrom);
    }

    /// Of five; the last of them stays until there is another.
    function _ejectAllBut(uint256 jailed) private {
        for (uint256 i = 0; i < 5; ++i) {
            if (i != jailed) slashDoubleNotarize(ownerOf(i), 2);
        }
        assertStage(ownerOf(4), Stage.Seated);
    }
}
