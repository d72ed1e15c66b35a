// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Slasher} from "../../src/Slasher.sol";
import {ChainSpec} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {HookToken} from "../support/Tokens.sol";
import {vm} from "../support/Vm.sol";

contract WithdrawUnbondedTest is BatonTest {
    /// Evidence, correlation and finality, in blocks.
    uint256 private constant WINDOWS = 512 + 8 * 16 + 64;

    address private owner;

    function setUp() public override {
        super.setUp();
        startDevnet();
        owner = ownerOf(0);
    }

    function test_RevertGiven_NothingUnbonds() external {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingUnbonding.selector, owner));
        vm.prank(owner);
        registry.withdrawUnbonded();
    }

    function test_RevertGiven_TheLastEpochInWhichItCountedIsOpen() external {
        _reduce(12 * UNIT);
        rollToEpoch(6);
        post(3);
        vm.roll(block.number + 100_000);
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__EpochIsOpen.selector, 3));
        vm.prank(owner);
        registry.withdrawUnbonded();
    }

    function test_RevertGiven_TheWindowsAreNotOver() external {
        uint256 firstBlock = _unbond();
        _assertLocked(firstBlock);
        vm.roll(firstBlock - 1);
        _assertLocked(firstBlock);
    }

    function test_Given_TheWindowsAreOver() external {
        uint256 firstBlock = _unbond();
        assertEq(slasher.releaseBlockAfter(4), firstBlock, "release");
        vm.roll(firstBlock);
        vm.expectEmit(address(registry));
        emit RegistryEvents.UnbondedWithdrawn(owner, 12 * UNIT);
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 12 * UNIT, "paid");
        assertEq(registry.bondOf(owner), 20 * UNIT, "bond");
        assertEq(registry.unbondingOf(owner), 0, "unbonding");
        assertEq(token.balanceOf(address(registry)), 88 * UNIT, "balance");
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NothingUnbonding.selector, owner));
        vm.prank(owner);
        registry.withdrawUnbonded();
    }

    function test_Given_TwoPartsUnbond() external {
        _reduce(12 * UNIT);
        rollToEpoch(3);
        _reduce(5 * UNIT);
        rollToEpoch(4);
        post(3);
        post(4);
        vm.roll(block.number + WINDOWS + 1);
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 12 * UNIT, "the first");
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__EpochIsOpen.selector, 4));
        vm.prank(owner);
        registry.withdrawUnbonded();
        post(registry.epochOf(block.number));
        vm.roll(slasher.releaseBlockAfter(5));
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 17 * UNIT, "the second");
        assertEq(registry.bondOf(owner), 15 * UNIT, "bond");
    }

    function test_Given_TheCallerLeftWithTheSameEpoch() external {
        _reduce(12 * UNIT);
        exit(owner);
        rollToEpoch(4);
        post(3);
        post(4);
        assertEq(slasher.releaseBlockAfter(4), slasher.releaseBlock(owner), "release");
        _assertLocked(block.number + WINDOWS + 1);
        vm.roll(slasher.releaseBlock(owner));
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 12 * UNIT, "the part");
        withdraw(owner);
        assertEq(token.balanceOf(owner), 32 * UNIT, "the rest");
    }

    function test_Given_TheAmountNeverCounted() external {
        deploy(defaultSpec());
        owner = register(0, 9 * UNIT);
        _reduce(4 * UNIT);
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 4 * UNIT, "paid");
        start();
        assertEq(weightOf(owner, 2), 5, "weight");
    }

    function test_RevertWhen_TheTokenCallsBack() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        startDevnet();
        vm.roll(_unbond());
        hook.arm(address(registry), abi.encodeCall(registry.withdrawUnbonded, ()));
        vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
        vm.prank(owner);
        registry.withdrawUnbonded();
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_NeverPaysAPartBeforeItsWindowsAreOver(uint16 blocks, uint8 lateness) external {
        _reduce(12 * UNIT);
        rollToEpoch(4);
        // As late as the epoch's own committee still certifies.
        vm.roll(block.number + lateness % (3 * EPOCH_BLOCKS));
        uint256 closed = block.number;
        post(3);
        post(4);
        vm.roll(closed + blocks % (2 * WINDOWS));
        bool released = block.number > closed + WINDOWS;
        vm.prank(owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.withdrawUnbonded, ()));
        assertTrue(ok == released, "paid");
        assertEq(token.balanceOf(owner), released ? 12 * UNIT : 0, "balance");
    }

    /// It counts in epoch 3 for the last time, whose successor's first batch is posted at once.
    function _unbond() private returns (uint256 firstBlock) {
        _reduce(12 * UNIT);
        rollToEpoch(4);
        post(3);
        post(4);
        return block.number + WINDOWS + 1;
    }

    function _reduce(uint256 amount) private {
        vm.prank(owner);
        registry.reduceBond(amount);
    }

    function _assertLocked(uint256 firstBlock) private {
        vm.expectRevert(abi.encodeWithSelector(Slasher.Slasher__BondLocked.selector, firstBlock, block.number));
        vm.prank(owner);
        registry.withdrawUnbonded();
    }
}
