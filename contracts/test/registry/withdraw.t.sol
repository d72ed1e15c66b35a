// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {BatchInbox} from "../../src/BatchInbox.sol";
import {Slasher} from "../../src/Slasher.sol";
import {ChainSpec, Member, Stage} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {HookToken, NeverNothingToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract WithdrawTest is BatonTest {
    /// Evidence, correlation and finality, in blocks.
    uint256 private constant WINDOWS = 512 + 8 * 16 + 64;

    address private leaver;

    function setUp() public override {
        super.setUp();
        startDevnet();
        leaver = ownerOf(0);
    }

    function test_RevertGiven_TheCallerIsSeated() external {
        _assertNothing(leaver);
        ChainSpec memory spec = defaultSpec();
        spec.minCommittee = 4;
        deploy(spec);
        startDevnet();
        exit(leaver);
        vm.roll(block.number + 100_000);
        _assertNothing(leaver);
    }

    function test_RevertGiven_TheCallerWithdrew() external {
        vm.roll(_leave());
        withdraw(leaver);
        _assertNothing(leaver);
        _assertNothing(address(0x99));
    }

    function test_RevertGiven_TheLastEpochOfTheCallerIsOpen() external {
        exit(leaver); // serves epoch 3 as its last
        rollToEpoch(6);
        _assertOpen(3);
        post(2);
        _assertOpen(3);
        post(3);
        vm.roll(block.number + 100_000);
        _assertOpen(3);
    }

    function test_Given_TheLastEpochWasSkipped() external {
        post(2);
        exit(leaver);
        rollToEpoch(5);
        post(5);
        uint256 firstBlock = block.number + WINDOWS + 1;
        vm.roll(firstBlock);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__SkippedAndNotNamed.selector, 3));
        withdraw(leaver);
        inbox.closeSkipped(3, 2);
        vm.roll(firstBlock - 1);
        _assertLocked(firstBlock);
        vm.roll(firstBlock);
        withdraw(leaver);
    }

    function test_RevertGiven_TheWindowsAreNotOver() external {
        uint256 firstBlock = _leave();
        _assertLocked(firstBlock);
        vm.roll(firstBlock - 1);
        _assertLocked(firstBlock);
    }

    function test_Given_TheWindowsAreOver() external {
        vm.roll(_leave());
        vm.expectEmit(address(registry));
        emit RegistryEvents.Withdrawn(leaver, 1, 32 * UNIT, 0);
        withdraw(leaver);
        assertEq(token.balanceOf(leaver), 32 * UNIT, "paid");
        assertEq(token.balanceOf(address(registry)), 68 * UNIT, "the others'");
        assertEq(registry.bondOf(leaver), 0, "bond");
        assertStage(leaver, Stage.None);
    }

    function test_Given_TheCallerWasPenalized() external {
        slashDoubleNotarize(leaver, 2);
        rollToRelease(leaver);
        withdraw(leaver);
        assertEq(token.balanceOf(leaver), 32 * UNIT * 95 / 100, "paid");
        assertEq(token.balanceOf(address(registry)), 68 * UNIT + registry.burnable(), "the rest");
        assertTrue(registry.isPenalized(leaver, 1), "still known");
    }

    function test_Given_APenaltyComesInTheLastBlockOfTheEvidenceWindow() external {
        uint256 firstBlock = _leave();
        vm.roll(firstBlock - 1 - 8 * 16 - 64);
        slashDoubleNotarize(leaver, 3);
        rollToRelease(leaver);
        withdraw(leaver);
        assertEq(token.balanceOf(leaver), 32 * UNIT * 95 / 100, "paid");
    }

    function test_Given_TheCallerWasNeverAMember() external {
        deploy(defaultSpec());
        register(0, UNIT);
        exit(ownerOf(0));
        withdraw(ownerOf(0));
        assertEq(token.balanceOf(ownerOf(0)), UNIT, "paid before activation");
        for (uint256 i = 1; i < 6; ++i) {
            register(i, UNIT);
        }
        registry.activate();
        rollToEpoch(0);
        exit(ownerOf(1));
        withdraw(ownerOf(1));
        assertEq(token.balanceOf(ownerOf(1)), UNIT, "paid in epoch 0");
        rollToEpoch(2);
        assertEq(registry.committee(2).length, 4, "members");
    }

    function test_Given_TheChainIsAbandoned() external {
        post(2);
        vm.roll(block.number + 2049);
        inbox.abandon();
        uint256 firstBlock = block.number + WINDOWS + 1;
        for (uint256 i = 0; i < 4; ++i) {
            exit(ownerOf(i));
        }
        vm.roll(firstBlock - 1);
        _assertLocked(firstBlock);
        vm.roll(firstBlock);
        for (uint256 i = 0; i < 4; ++i) {
            withdraw(ownerOf(i));
        }
        assertEq(token.balanceOf(address(registry)), 0, "all is paid");
    }

    function test_Given_TheChainWasAbandonedLongBeforeTheExit() external {
        vm.roll(block.number + 2049);
        inbox.abandon();
        vm.roll(block.number + 100_000);
        exit(leaver);
        uint256 outside = registry.epochStart(registry.epochOf(block.number) + 2);
        _assertLocked(outside);
        vm.roll(outside - 1);
        _assertLocked(outside);
        vm.roll(outside);
        withdraw(leaver);
    }

    function test_RevertWhen_TheTokenCallsBackIntoWithdraw() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        startDevnet();
        vm.roll(_leave());
        hook.arm(address(registry), abi.encodeCall(registry.withdraw, ()));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        withdraw(leaver);
    }

    function test_Given_NothingIsLeftAndTheTokenRefusesToMoveNothing() external {
        NeverNothingToken neverNothing = new NeverNothingToken();
        ChainSpec memory spec = defaultSpec();
        (spec.bondToken, spec.baseSlashBps) = (address(neverNothing), 10_000);
        deploy(spec);
        token = DevToken(address(neverNothing));
        startDevnet();
        slashDoubleNotarize(leaver, 2);
        rollToRelease(leaver);
        withdraw(leaver);
        assertStage(leaver, Stage.None);
        registerWith(leaver, UNIT, 0xabcd);
    }

    function test_RevertWhen_TheTokenRefusesTheTransfer() external {
        vm.roll(_leave());
        // As a token does that has put the owner on a list.
        vm.mockCallRevert(address(token), abi.encodeCall(token.transfer, (leaver, 32 * UNIT)), "listed");
        vm.expectRevert("listed");
        withdraw(leaver);
        assertEq(registry.bondOf(leaver), 32 * UNIT, "bond");
        vm.clearMockedCalls();
        withdraw(leaver);
    }

    function test_Given_TheCallerRegistersAgain() external {
        vm.roll(_leave());
        withdraw(leaver);
        uint64 epoch = registry.epochOf(block.number) + 2;
        bytes memory old = abi.encode(registry.committee(2));
        registerWith(leaver, 7 * UNIT, 0xabcd);
        vm.roll(registry.epochStart(epoch));
        (uint256 bond, uint64 admission, Stage stage,,,) = registry.sequencer(leaver);
        assertEq(bond, 7 * UNIT, "bond");
        assertEq(admission, 2, "admission");
        assertTrue(stage == Stage.Seated, "stage");
        assertEq(weightOf(leaver, epoch), 7, "weight");
        assertEq(weightOf(leaver, epoch - 1), 0, "outside until then");
        assertEq(registry.committee(epoch).length, 4, "listed once");
        assertEq(abi.encode(registry.committee(2)), old, "committees of old");
        bytes memory key = registry.committee(2)[0].blsKey;
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__AlreadyRegistered.selector, leaver));
        vm.prank(leaver);
        registry.register(leaver, UNIT, key, key);
    }

    /// On the lowest free seat it would be the occupant of two.
    function test_Given_ALowerSeatIsFreeWhenTheCallerRegistersAgain() external {
        address again = ownerOf(2);
        exit(leaver);
        exit(again);
        rollToEpoch(4);
        post(3);
        post(4);
        vm.roll(block.number + WINDOWS + 1);
        withdraw(again);
        registerWith(again, 7 * UNIT, 0xabcd);
        uint64 epoch = registry.epochOf(block.number) + 2;
        rollToEpoch(epoch);
        assertEq(registry.committee(epoch).length, 3, "everybody once");
        assertEq(registry.totalWeight(epoch), 28 + 18 + 7, "total");
    }

    function test_Given_SomebodyTookTheSeatBeforeTheCallerRegistersAgain() external {
        vm.roll(_leave());
        address other = register(4, 5 * UNIT); // on the seat that became free
        withdraw(leaver);
        registerWith(leaver, 7 * UNIT, 0xabcd);
        uint64 epoch = registry.epochOf(block.number) + 2;
        rollToEpoch(epoch);
        Member[] memory members = registry.committee(epoch);
        assertEq(members.length, 5, "everybody once");
        assertEq(weightOf(leaver, epoch) + weightOf(other, epoch), 12, "weights");
        for (uint256 i = 1; i < 5; ++i) {
            assertTrue(members[i - 1].owner < members[i].owner, "nobody twice");
        }
        // And back and forth: the seat's later occupant leaves, and the first one stays where it is.
        exit(other);
        rollToEpoch(epoch + 2);
        assertEq(registry.committee(epoch + 2).length, 4, "members");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverPaysBeforeTheWindowsAreOver(uint16 blocks, uint8 lateness) external {
        exit(leaver);
        rollToEpoch(4);
        // As late as the epoch's own committee still certifies.
        vm.roll(block.number + lateness % (3 * EPOCH_BLOCKS));
        uint256 closed = block.number;
        post(3);
        post(4);
        vm.roll(closed + blocks % (2 * WINDOWS));
        bool released = block.number > closed + WINDOWS;
        vm.prank(leaver);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.withdraw, ()));
        assertTrue(ok == released, "paid");
        assertEq(token.balanceOf(leaver), released ? 32 * UNIT : 0, "balance");
    }

    /// The leaver leaves with epoch 4, whose first batch is posted at once; returns the first block at which it is paid.
    function _leave() private returns (uint256 firstBlock) {
        exit(leaver);
        rollToEpoch(4);
        post(3);
        post(4);
        return block.number + WINDOWS + 1;
    }

    function _assertNothing(address owner) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingToWithdraw.selector, owner));
        withdraw(owner);
    }

    function _assertOpen(uint64 epoch) private {
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__EpochIsOpen.selector, epoch));
        withdraw(leaver);
    }

    function _assertLocked(uint256 firstBlock) private {
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__BondLocked.selector, firstBlock, block.number));
        withdraw(leaver);
    }
}
