// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Liveness} from "../../src/Liveness.sol";
import {BatchHeader, ChainSpec, Stage} from "../../src/Types.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {vm} from "../support/Vm.sol";

contract SettleEpochTest is LivenessTest {
    /// By number, as `ownerOf`: stakes of 28, 24, 22, 18 and 8.
    uint256 private constant SMALLEST = 4;

    function _start() private {
        _startWith(1_000_000);
    }

    // ---------------------------------------------------------------------------------------------- what is refused

    function test_RevertGiven_NoEpochHasABatch() external {
        _start();
        BatchHeader memory header = nextHeader(2, "x");
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NotTheNextEpoch.selector, 0, 2));
        liveness.settleEpoch(header, new uint64[](5), new uint64[](5));
        // Also where the header says so itself.
        header.epoch = 0;
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NotTheNextEpoch.selector, 0, 0));
        liveness.settleEpoch(header, new uint64[](5), new uint64[](5));
    }

    function test_RevertGiven_TheNextEpochIsOpen() external {
        _start();
        runAll(2);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__EpochIsOpen.selector, 2));
        settle(2);
    }

    function test_RevertWhen_AnotherEpochThanTheNextIsSettled() external {
        _start();
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runAll(epoch);
        }
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NotTheNextEpoch.selector, 2, 3));
        settle(3);
    }

    function test_RevertWhen_ItIsSettledTwice() external {
        _start();
        runAll(2);
        runAll(3);
        settle(2);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NotTheNextEpoch.selector, 3, 2));
        settle(2);
    }

    function test_RevertWhen_TheBatchIsNotTheLastOfItsEpoch() external {
        _start();
        runAll(2);
        BatchHeader memory first = lastBatches[2];
        runAll(2);
        BatchHeader memory last = lastBatches[2];
        runAll(3);
        _assertNotLast(first, last);
        BatchHeader memory other = _copy(last);
        other.dutiesRoot = keccak256("other");
        _assertNotLast(other, last);
        other = _copy(last);
        other.lastOriginNumber += 1;
        _assertNotLast(other, last);
        settle(2);
    }

    function test_RevertWhen_TheDutiesAreNotThoseThatWereAttested() external {
        _start();
        runWithout(2, ownerOf(SMALLEST));
        runAll(3);
        uint64[] memory led_ = led[2];
        uint64[] memory missed_ = missed[2];
        _assertWrongDuties(missed_, led_);
        led_[0] += 1;
        _assertWrongDuties(led_, missed_);
        led_[0] -= 1;
        missed_[4] += 1;
        _assertWrongDuties(led_, missed_);
        _assertWrongDuties(_filled(4, 10), _filled(4, 0));
    }

    function test_RevertWhen_ThereAreNotAsManyRowsAsMembers() external {
        _start();
        run(2, _filled(4, 1), _filled(5, 0));
        run(3, _filled(5, 1), _filled(6, 0));
        run(4, _filled(5, 1), _filled(5, 0));
        _assertWrongNumber(2, 4, 5);
        vm.roll(block.number + 513);
        liveness.passOver();
        _assertWrongNumber(3, 5, 6);
    }

    // -------------------------------------------------------------------------------------------------- rewards

    function test_When_AllIsInOrder() external {
        _start();
        uint64[] memory led_ = _filled(5, 0);
        (led_[0], led_[1], led_[2], led_[3], led_[4]) = (7, 1, 0, 3, 1);
        uint64[] memory missed_ = _filled(5, 0);
        missed_[2] = 1;
        run(2, led_, missed_);
        run(3, _filled(5, 3), _filled(5, 0));
        run(4, led_, missed_);

        address[] memory owners = registry.owners(2);
        vm.expectEmit(address(liveness));
        emit Liveness.Rewarded(owners[0], 2, 583);
        vm.expectEmit(address(liveness));
        emit Liveness.Rewarded(owners[1], 2, 83);
        vm.expectEmit(address(liveness));
        emit Liveness.Rewarded(owners[3], 2, 250);
        vm.expectEmit(address(liveness));
        emit Liveness.Rewarded(owners[4], 2, 83);
        vm.expectEmit(address(liveness));
        emit Liveness.EpochSettled(2, 12, 1, 999);
        vm.prank(address(0xa11));
        settle(2);
        assertEq(liveness.pending(owners[0]), 583, "7 of 12");
        assertEq(liveness.pending(owners[2]), 0, "led nothing");
        assertEq(liveness.pool(), 1_000_000 - 999, "one does not divide");
        assertEq(liveness.lastSettled(), 2, "settled");

        settle(3);
        assertEq(liveness.pending(owners[0]), 783, "and a fifth");
        assertEq(liveness.pending(owners[2]), 200, "a fifth");
        assertEq(liveness.pool(), 1_000_000 - 1999, "pool");
        assertEq(jailedOf(5), 0, "nobody was away");
    }

    function test_Given_ThePoolHoldsLessThanAReward() external {
        _startWith(1700);
        for (uint64 epoch = 2; epoch < 6; ++epoch) {
            runAll(epoch);
        }
        settle(2);
        settle(3);
        address owner = ownerOf(0);
        assertEq(liveness.pending(owner), 200 + 140, "what was there");
        assertEq(liveness.pool(), 0, "and no more is");
        settle(4);
        assertEq(liveness.pending(owner), 340, "nothing left");
    }

    function test_Given_ABatchOfTheEpochWasTooLate() external {
        _start();
        BatchHeader memory header = nextHeader(2, "x");
        header.lastOriginNumber = uint64(block.number) - 65;
        postBatch(header, "x");
        runAll(2);
        runAll(3);
        runAll(4);
        settle(2);
        assertEq(liveness.pool(), 1_000_000, "nothing for this one");
        settle(3);
        assertEq(liveness.pool(), 1_000_000 - 1000, "the next is paid");
    }

    function test_Given_NobodyLed() external {
        _start();
        run(2, _filled(5, 0), _filled(5, 4));
        runAll(3);
        settle(2);
        assertEq(liveness.pool(), 1_000_000, "nothing");
    }

    function test_Given_EpochsBetweenWereSkipped() external {
        _start();
        runAll(2);
        runAll(5);
        inbox.closeSkipped(3, 2);
        runAll(9);
        settle(2);
        (uint64 epoch, uint64 closedAt) = liveness.next();
        assertEq(epoch, 5, "next");
        assertEq(closedAt, block.number, "closed by epoch 9");
        settle(5);
        assertEq(liveness.lastSettled(), 5, "settled");
    }

    function test_Given_TheChainWasAbandoned() external {
        _start();
        runAll(2);
        runAll(3);
        settle(2);
        vm.roll(block.number + 2049);
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__EpochIsOpen.selector, 3));
        settle(3);
        inbox.abandon();
        settle(3);
        assertEq(liveness.pool(), 1_000_000 - 2000, "paid");
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__NotTheNextEpoch.selector, 0, 3));
        settle(3);
    }

    // ----------------------------------------------------------------------------------------------------- jail

    function test_Given_AMemberWasAwayFromTwoEpochsInARow() external {
        _start();
        address owner = ownerOf(SMALLEST);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, owner);
        }
        settle(2);
        assertTrue(!isJailed(owner), "once is not enough");
        vm.expectEmit(address(registry));
        emit RegistryEvents.Jailed(owner, 6);
        settle(3);
        assertTrue(isJailed(owner), "jailed");
        assertTrue(isMember(owner, 5), "a member until then");
        runWithout(5, owner);
        rollToEpoch(6);
        assertTrue(!isMember(owner, 6), "out");
        assertEq(registry.owners(6).length, 4, "four are left");
        assertEq(registry.totalWeight(6), 28 + 24 + 22 + 18, "without its weight");
        assertTrue(isMember(owner, 4), "the past does not change");
        runAll(6);
        runAll(7);
        uint256 before = liveness.pending(owner);
        settle(4);
        settle(5);
        settle(6);
        assertEq(liveness.pending(owner), before, "no reward in jail");
        assertEq(before, 0, "and none for views that it missed");
        assertEq(liveness.pending(ownerOf(0)), 250 * 5, "a quarter each");
    }

    function test_Given_TheEpochsBetweenTheTwoHadNoBatch() external {
        _start();
        runWithout(2, ownerOf(SMALLEST));
        runWithout(6, ownerOf(SMALLEST));
        runAll(7);
        settle(2);
        settle(6);
        assertTrue(isJailed(ownerOf(SMALLEST)), "jailed");
    }

    function test_Given_AMemberWasThereInBetween() external {
        _start();
        runWithout(2, ownerOf(SMALLEST));
        runAll(3);
        runWithout(4, ownerOf(SMALLEST));
        runAll(5);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            settle(epoch);
        }
        assertEq(jailedOf(5), 0, "nobody");
    }

    function test_Given_TheEpochBeforeWasPassedOver() external {
        _start();
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, ownerOf(SMALLEST));
        }
        settle(2);
        vm.roll(block.number + 513);
        liveness.passOver();
        runAll(registry.epochOf(block.number));
        settle(4);
        assertEq(jailedOf(5), 0, "nobody");
    }

    function test_Given_AMemberMissedNoMoreThanAllowed() external {
        _start();
        uint256 index = _indexOf(ownerOf(SMALLEST), 2);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            (uint64[] memory led_, uint64[] memory missed_) = (_filled(5, 20), _filled(5, 0));
            (led_[index], missed_[index]) = (10, 10);
            run(epoch, led_, missed_);
        }
        settle(2);
        settle(3);
        assertEq(jailedOf(5), 0, "half is not more than half");
    }

    function test_Given_AMemberHadTooFewViews() external {
        _start();
        uint256 index = _indexOf(ownerOf(SMALLEST), 2);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            (uint64[] memory led_, uint64[] memory missed_) = (_filled(5, 20), _filled(5, 0));
            (led_[index], missed_[index]) = (0, epoch == 2 ? 2 : 1);
            run(epoch, led_, missed_);
        }
        settle(2);
        settle(3);
        assertEq(jailedOf(5), 0, "one view tells nothing");
    }

    function test_Given_AMemberMissedTooManyOfTheFewestViewsThatCount() external {
        _start();
        uint256 index = _indexOf(ownerOf(SMALLEST), 2);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            (uint64[] memory led_, uint64[] memory missed_) = (_filled(5, 20), _filled(5, 0));
            (led_[index], missed_[index]) = (0, defaultSpec().jailMinViews);
            run(epoch, led_, missed_);
        }
        settle(2);
        settle(3);
        assertTrue(isJailed(ownerOf(SMALLEST)), "as many views as there must be");
    }

    function test_Given_OneOfTheTwoEpochsHadAGeneralOutage() external {
        _start();
        uint256 index = _indexOf(ownerOf(SMALLEST), 2);
        uint256 other = (index + 1) % 5;
        // Epochs 2 and 4 are above a quarter by one view of 41, epoch 5 and 6 are not.
        for (uint64 epoch = 2; epoch < 8; ++epoch) {
            (uint64[] memory led_, uint64[] memory missed_) = (_filled(5, 7), _filled(5, 0));
            (led_[index], missed_[index]) = (0, 10);
            (led_[other], missed_[other]) = epoch == 2 || epoch == 4 ? (uint64(8), uint64(1)) : (uint64(9), uint64(0));
            run(epoch, led_, missed_);
        }
        for (uint64 epoch = 2; epoch < 6; ++epoch) {
            settle(epoch);
            assertEq(jailedOf(5), 0, "an outage in one of the two");
        }
        settle(6);
        assertEq(jailedOf(5), 1, "ten of forty are no outage");
    }

    function test_Given_TheFirstIsHeavy() external {
        _startEqual(12);
        (address first, address second) = _inOrder(ownerOf(3), ownerOf(7));
        for (uint64 epoch = 2; epoch < 7; ++epoch) {
            runWithout(epoch, _list(first, second));
        }
        settle(2);
        settle(3);
        assertTrue(isJailed(first) && !isJailed(second), "one, as two would be more than a tenth");
        settle(4);
        assertTrue(!isJailed(second), "still the same epoch of L1");
        rollToEpoch(7);
        settle(5);
        assertTrue(isJailed(second), "with the next");
        rollToEpoch(9);
        assertEq(registry.owners(8).length, 11, "one went first");
        assertEq(registry.owners(9).length, 10, "the other after it");
    }

    function test_Given_AllAreLight() external {
        _startEqual(24);
        address[] memory away = new address[](4);
        for (uint256 i = 0; i < 4; ++i) {
            away[i] = ownerOf(i);
        }
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, away);
        }
        settle(2);
        settle(3);
        assertEq(jailedOf(24), 2, "two of twenty-four are within a tenth, three are not");
    }

    function test_Given_BothEpochsAreSettledInOneEpochOfL1() external {
        _startEqual(12);
        for (uint64 epoch = 2; epoch < 9; ++epoch) {
            runWithout(epoch, _list(ownerOf(3), ownerOf(7)));
        }
        for (uint64 epoch = 2; epoch < 8; ++epoch) {
            settle(epoch);
        }
        assertEq(jailedOf(12), 1, "one leaves at once, however late all was settled");
    }

    function test_Given_TheCommitteeIsAsSmallAsItMayBe() external {
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 5;
        deploy(spec);
        _start();
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, ownerOf(SMALLEST));
        }
        settle(2);
        settle(3);
        assertEq(jailedOf(5), 0, "nobody can be spared");
        // A newcomer counts from when it begins, in epoch 6.
        register(9, 8 * UNIT);
        runWithout(5, ownerOf(SMALLEST));
        settle(4);
        assertEq(jailedOf(5), 1, "its epoch is the one from which the other is out");
        assertEq(registry.memberCount(), 5, "as many as there must be");
    }

    function test_Given_AMemberCameBackFromJail() external {
        _start();
        address owner = ownerOf(SMALLEST);
        for (uint64 epoch = 2; epoch < 6; ++epoch) {
            runWithout(epoch, owner);
        }
        settle(2);
        settle(3);
        // Out from epoch 7 on, back in epoch 9; nothing is posted while it is out.
        rollToEpoch(7);
        unjail(owner);
        settle(4);
        assertTrue(!isJailed(owner), "was judged for epochs before");
        runWithout(6, owner);
        for (uint64 epoch = 9; epoch < 12; ++epoch) {
            runWithout(epoch, owner);
        }
        settle(5);
        settle(6);
        settle(9);
        assertTrue(!isJailed(owner), "one epoch since it came back");
        settle(10);
        assertTrue(isJailed(owner), "two");
    }

    function test_Given_AMemberOffendedOrLeftSince() external {
        _start();
        address owner = ownerOf(SMALLEST);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, owner);
        }
        settle(2);
        uint256 now_ = vm.snapshotState();
        exit(owner);
        settle(3);
        assertStage(owner, Stage.Left);
        assertTrue(vm.revertToState(now_), "as before");
        slashDoubleNotarize(owner, 2);
        settle(3);
        assertStage(owner, Stage.Left);
    }

    // ------------------------------------------------------------------------------------------------------ laws

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverPaysMoreThanIsInThePool(uint64[5] memory led_, uint96 funds) external {
        vm.assume(funds != 0);
        _startWith(funds);
        uint64[] memory table = new uint64[](5);
        for (uint256 i = 0; i < 5; ++i) {
            table[i] = led_[i];
        }
        run(2, table, _filled(5, 0));
        run(3, table, _filled(5, type(uint64).max));
        run(4, table, table);
        settle(2);
        settle(3);
        uint256 waits = 0;
        for (uint256 i = 0; i < 5; ++i) {
            waits += liveness.pending(ownerOf(i));
        }
        assertEq(waits + liveness.pool(), funds, "nothing is made or lost");
        assertAtMost(waits, 2 * REWARD_PER_EPOCH, "paid");
        // Rounding costs less than a base unit each.
        uint256 due = funds < 2 * REWARD_PER_EPOCH ? funds : 2 * REWARD_PER_EPOCH;
        bool anyLed = (led_[0] | led_[1] | led_[2] | led_[3] | led_[4]) != 0;
        if (anyLed) assertAtMost(due, waits + 10, "due");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverJailsMoreThanTheRulesAllow(uint256 seed) external {
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 4;
        deploy(spec);
        for (uint256 i = 0; i < 8; ++i) {
            register(i, (1 + uint256(keccak256(abi.encode(seed, i))) % 20) * UNIT);
        }
        start();
        for (uint64 epoch = 2; epoch < 10; ++epoch) {
            uint256 members = registry.owners(epoch).length;
            (uint64[] memory led_, uint64[] memory missed_) = (_filled(members, 0), _filled(members, 0));
            for (uint256 i = 0; i < members; ++i) {
                // Up to two of eight are away.
                uint256 dice = uint256(keccak256(abi.encode(seed, epoch, i)));
                bool isAway = dice % 8 < 2;
                (led_[i], missed_[i]) = isAway ? (uint64(0), uint64(2 + dice % 5)) : (uint64(20), uint64(0));
            }
            run(epoch, led_, missed_);
            if (epoch == 2) continue;
            uint256 jailed = jailedOf(8);
            uint64 total = registry.totalWeight(epoch - 1);
            uint256 weight = _jailedWeight(epoch - 1);
            settle(epoch - 1);
            uint256 more = jailedOf(8) - jailed;
            weight = _jailedWeight(epoch - 1) - weight;
            assertTrue(more <= 1 || weight * 10 <= total, "one, or a tenth");
            assertTrue(more == 0 || registry.memberCount() >= 4, "enough are left");
        }
    }

    // --------------------------------------------------------------------------------------------------- helpers

    function _startWith(uint256 funds) private {
        uint8[5] memory stakes = [28, 24, 22, 18, 8];
        for (uint256 i = 0; i < 5; ++i) {
            register(i, stakes[i] * UNIT);
        }
        start();
        fundPool(funds);
    }

    function _startEqual(uint256 members) private {
        for (uint256 i = 0; i < members; ++i) {
            register(i, UNIT);
        }
        start();
    }

    function _inOrder(address one, address two) private pure returns (address, address) {
        return one < two ? (one, two) : (two, one);
    }

    function _indexOf(address owner, uint64 epoch) private view returns (uint256 index) {
        address[] memory owners = registry.owners(epoch);
        while (owners[index] != owner) ++index;
    }

    /// Of those that are jailed now, their weights in `epoch`.
    function _jailedWeight(uint64 epoch) private view returns (uint256 weight) {
        for (uint256 i = 0; i < 8; ++i) {
            if (isJailed(ownerOf(i))) weight += weightOf(ownerOf(i), epoch);
        }
    }

    function _copy(BatchHeader memory header) private pure returns (BatchHeader memory) {
        return abi.decode(abi.encode(header), (BatchHeader));
    }

    function _assertNotLast(BatchHeader memory header, BatchHeader memory last) private {
        bytes32 hash = keccak256(abi.encode(header));
        vm.expectRevert(
            abi.encodeWithSelector(
                Liveness.Liveness__NotTheLastBatch.selector, bytes20(keccak256(abi.encode(last))), bytes20(hash)
            )
        );
        liveness.settleEpoch(header, led[2], missed[2]);
    }

    function _assertWrongDuties(uint64[] memory led_, uint64[] memory missed_) private {
        bytes32 attested = lastBatches[2].dutiesRoot;
        bytes32 got = keccak256(abi.encode(uint64(2), led_, missed_));
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__WrongDuties.selector, attested, got));
        liveness.settleEpoch(lastBatches[2], led_, missed_);
    }

    function _assertWrongNumber(uint64 epoch, uint256 led_, uint256 missed_) private {
        vm.expectRevert(abi.encodeWithSelector(Liveness.Liveness__WrongNumberOfMembers.selector, 5, led_, missed_));
        settle(epoch);
    }
}
