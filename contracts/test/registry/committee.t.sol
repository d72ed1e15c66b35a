// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ChainSpec, Member} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract CommitteeTest is BatonTest {
    function test_RevertGiven_TheChainHasNotBeenActivated() external {
        register(0, UNIT);
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        registry.committee(2);
    }

    function test_RevertWhen_TheEpochIsBeforeTheFirst() external {
        startDevnet();
        for (uint64 epoch = 0; epoch < 2; ++epoch) {
            vm.expectRevert(
                abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NoCommitteeBefore.selector, 2, epoch)
            );
            registry.committee(epoch);
        }
    }

    function test_RevertWhen_TheEpochIsNotFixedYet() external {
        startDevnet();
        // In the last block of epoch 2, a registration still counts for epoch 4.
        vm.roll(registry.epochStart(3) - 1);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 3, 4));
        registry.committee(4);
        rollToEpoch(3);
        assertEq(registry.committee(4).length, 4, "fixed one block later");
        // Before genesis not even the first committee is fixed.
        vm.roll(100);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__CommitteeNotFixed.selector, 1, 2));
        registry.committee(2);
    }

    function test_When_TheEpochIsFixed() external {
        startDevnet();
        Member[] memory members = registry.committee(2);
        assertEq(members.length, 4, "members");
        uint256 found = 0;
        for (uint256 i = 0; i < 4; ++i) {
            if (i != 0) assertTrue(members[i - 1].owner < members[i].owner, "ascending");
            for (uint256 j = 0; j < 4; ++j) {
                address owner = ownerOf(j);
                if (members[i].owner != owner) continue;
                ++found;
                assertEq(members[i].feeRecipient, recipientOf(owner), "recipient");
                assertEq(members[i].weight, [uint256(32), 28, 22, 18][j], "weight");
                assertEq(members[i].blsKey, Bls.publicKey(secretOf(owner)), "key");
            }
        }
        assertEq(found, 4, "all of them");
    }

    function test_Given_OneMemberHoldsAThirdOrMore() external {
        address whale = register(0, 1000 * UNIT);
        register(1, 30 * UNIT);
        register(2, 20 * UNIT);
        register(3, 17 * UNIT);
        start();
        Member[] memory members = registry.committee(2);
        for (uint256 i = 0; i < 4; ++i) {
            if (members[i].owner == whale) assertEq(members[i].weight, 33, "clipped weight");
        }
        assertEq(registry.totalWeight(2), 100, "total");
        // Bonds and the weight that a bond is worth stay what they are.
        assertEq(weightOf(whale, 2), 1000, "weight before clipping");
        assertEq(registry.bondOf(whale), 1000 * UNIT, "bond");
    }

    function test_Given_FewerThanFourMembers() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        register(0, 90 * UNIT);
        register(1, 5 * UNIT);
        register(2, 5 * UNIT);
        start();
        assertEq(registry.totalWeight(2), 100, "total");
    }

    function test_Given_AMemberWasEjected() external {
        startDevnet();
        address owner = ownerOf(1);
        slashDoubleNotarize(owner, 2);
        rollToEpoch(6);
        for (uint64 epoch = 2; epoch < 8; ++epoch) {
            bool listed = _isListed(registry.committee(epoch), owner);
            assertTrue(listed == (epoch < 4), "a member in epochs 2 and 3 only");
        }
        assertEq(registry.committee(3).length, 4, "before");
        assertEq(registry.committee(4).length, 3, "afterwards");
    }

    function test_Given_ASeatWasTakenByAnother() external {
        startDevnet();
        address first = ownerOf(1);
        slashDoubleNotarize(first, 2); // leaves from epoch 4 on
        rollToEpoch(5);
        address second = register(10, 50 * UNIT); // on the same seat from epoch 7 on
        rollToEpoch(7);
        slashDoubleNotarize(second, 7); // leaves from epoch 9 on
        address third = register(11, 60 * UNIT); // on the same seat from epoch 9 on
        rollToEpoch(12);
        for (uint64 epoch = 2; epoch < 14; ++epoch) {
            Member[] memory members = registry.committee(epoch);
            assertTrue(_isListed(members, first) == (epoch < 4), "first");
            assertTrue(_isListed(members, second) == (epoch >= 7 && epoch < 9), "second");
            assertTrue(_isListed(members, third) == (epoch >= 9), "third");
            assertEq(members.length, epoch >= 4 && epoch < 7 ? 3 : 4, "members");
        }
    }

    function test_Given_ASeatWasFreedAndTakenInOneEpoch() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        address last = register(0, UNIT);
        start();
        slashDoubleNotarize(last, 2); // waits for another
        address next = register(1, UNIT);
        address another = register(2, UNIT); // takes the seat that was freed in this epoch
        rollToEpoch(4);
        assertTrue(_isListed(registry.committee(3), last), "epoch 3");
        Member[] memory members = registry.committee(4);
        assertEq(members.length, 2, "members");
        assertTrue(_isListed(members, next) && _isListed(members, another), "epoch 4");
    }

    function test_It_DoesNotChangeOnceItIsFixed() external {
        startDevnet();
        bytes memory second = abi.encode(registry.committee(2));
        bytes memory third = abi.encode(registry.committee(3));
        slashDoubleNotarize(ownerOf(0), 2);
        register(4, 100 * UNIT);
        rollToEpoch(3);
        registry.materialize(3);
        slashDoubleNotarize(ownerOf(2), 3);
        register(5, 100 * UNIT);
        rollToEpoch(9);
        assertEq(abi.encode(registry.committee(2)), second, "epoch 2");
        assertEq(abi.encode(registry.committee(3)), third, "epoch 3");
    }

    function test_It_IsTheSumOfTheClippedWeights() external {
        startDevnet();
        assertEq(registry.totalWeight(2), 100, "total");
        register(4, 1_000_000 * UNIT);
        rollToEpoch(4);
        uint256 sum = 0;
        Member[] memory members = registry.committee(4);
        for (uint256 i = 0; i < members.length; ++i) {
            sum += members[i].weight;
        }
        // The newcomer counts 49 beside the others' 100.
        assertEq(sum, 149, "sum");
        assertEq(registry.totalWeight(4), sum, "total");
    }

    function _isListed(Member[] memory members, address owner) private pure returns (bool) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i].owner == owner) return true;
        }
        return false;
    }
}
