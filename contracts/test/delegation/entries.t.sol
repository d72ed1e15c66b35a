// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC4626} from "@openzeppelin/contracts/interfaces/IERC4626.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {ChainSpec} from "../../src/Types.sol";
import {Commission} from "../../src/delegation/Commission.sol";
import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {ExitQueue} from "../../src/delegation/ExitQueue.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {HookToken} from "../support/Tokens.sol";
import {VaultTest} from "../support/VaultTest.sol";
import {vm} from "../support/Vm.sol";

contract EntriesTest is VaultTest {
    address private constant CAROL = address(0xca);

    function test_RevertWhen_TheTokenCallsBackIntoAnyEntry() external {
        HookToken hook = new HookToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(hook);
        deploy(spec);
        token = DevToken(address(hook));
        startDevnet();
        createVault();
        deposit(ALICE, UNIT);
        request(ALICE, 500 * UNIT);
        vault.advance(1);
        vm.prank(OPERATOR);
        vault.setOperator(address(hook));
        fund(BOB, UNIT);
        vm.prank(BOB);
        token.approve(address(vault), UNIT);
        bytes[8] memory calls = [
            abi.encodeCall(vault.register, (ALICE, "", "")),
            abi.encodeCall(vault.makeLeave, ()),
            abi.encodeCall(IERC4626.deposit, (1, ALICE)),
            abi.encodeCall(IERC4626.mint, (1000, ALICE)),
            abi.encodeCall(vault.requestRedeem, (1000, ALICE)),
            abi.encodeCall(vault.advance, (1)),
            abi.encodeCall(vault.harvest, ()),
            abi.encodeCall(vault.claim, (ALICE))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            hook.arm(address(vault), calls[i]);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            vault.claim(ALICE);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            vm.prank(BOB);
            vault.deposit(UNIT, BOB);
        }
    }

    function test_When_SharesAreMinted() external {
        join();
        reward(10 * UNIT);
        token.mint(CAROL, 10 * UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), 10 * UNIT);
        uint256 expected = vault.previewMint(5000 * UNIT);
        assertAtMost(vault.convertToAssets(5000 * UNIT) + 1, expected, "rounded up");
        vm.prank(CAROL);
        uint256 paid = vault.mint(5000 * UNIT, CAROL);
        assertEq(paid, expected, "paid");
        assertEq(vault.balanceOf(CAROL), 5000 * UNIT, "shares");
        assertEq(registry.bondOf(address(vault)), 109 * UNIT + paid, "bonded, with the reward");
    }

    function test_When_SharesAreMintedAfterARewardCame() external {
        token.mint(address(vault), 10 * UNIT);
        token.mint(CAROL, 200 * UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), 200 * UNIT);
        vm.prank(CAROL);
        uint256 paid = vault.mint(100_000 * UNIT, CAROL);
        assertAtMost(109 * UNIT - 1, paid, "at the price after the reward");
        assertAtMost(paid, 109 * UNIT + 1, "and no more");
    }

    function test_When_SomebodyDepositsForAnother() external {
        token.mint(CAROL, UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), UNIT);
        vm.prank(CAROL);
        vault.deposit(UNIT, BOB);
        assertEq(vault.balanceOf(BOB), 41_000 * UNIT, "the other's");
        assertEq(vault.balanceOf(CAROL), 0, "not the payer's");
    }

    function test_RevertGiven_TheSequencerOffended() external {
        join();
        rollToEpoch(4);
        slashDoubleNotarize(address(vault), 4);
        token.mint(CAROL, UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), UNIT);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, UNIT, 0));
        vm.prank(CAROL);
        vault.deposit(UNIT, CAROL);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxMint.selector, CAROL, 1000, 0));
        vm.prank(CAROL);
        vault.mint(1000, CAROL);
    }

    function test_Given_TheChainIsAbandoned() external {
        join();
        uint256 deadAt = registry.epochStart(2) + 2048 + 1;
        vm.roll(deadAt);
        inbox.abandon();
        token.mint(CAROL, UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), UNIT);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, UNIT, 0));
        vm.prank(CAROL);
        vault.deposit(UNIT, CAROL);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxMint.selector, CAROL, 1000, 0));
        vm.prank(CAROL);
        vault.mint(1000, CAROL);
        reward(10 * UNIT);
        request(ALICE, 60_000 * UNIT);
        assertEq(registry.bondOf(address(vault)) + registry.unbondingOf(address(vault)), 100 * UNIT, "nothing joins");
        vm.prank(OPERATOR);
        vault.exit();
        vm.roll(block.number + WINDOWS + 1);
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        assertAtMost(109 * UNIT - vault.claimable(ALICE) - vault.claimable(BOB), 1, "all that belongs to the shares");
        assertAtMost(65 * UNIT, vault.claimable(ALICE), "Alice's");
        createVault();
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxDeposit.selector, CAROL, UNIT, 0));
        vm.prank(CAROL);
        vault.deposit(UNIT, CAROL);
    }

    function test_RevertWhen_MoreSharesAreRedeemedThanOneHas() external {
        uint256 held = vault.balanceOf(BOB);
        vm.expectRevert(abi.encodeWithSelector(IERC20Errors.ERC20InsufficientBalance.selector, BOB, held, held + 1));
        request(BOB, held + 1);
    }

    function test_When_SharesAreRedeemedForAnother() external {
        vm.prank(BOB);
        vault.requestRedeem(40_000 * UNIT, CAROL);
        vault.advance(1);
        assertEq(vault.claimable(CAROL), 40 * UNIT, "the other's");
        assertEq(vault.claimable(BOB), 0, "not the holder's");
    }

    function test_RevertGiven_TheSequencerIsRegistered() external {
        join();
        deposit(ALICE, UNIT);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BondTooSmall.selector, UNIT, 0));
        vm.prank(OPERATOR);
        vault.register(OPERATOR, "", "");
        // What a reward brought is idle until the next call bonds it.
        reward(10 * UNIT);
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__AlreadyRegistered.selector, address(vault))
        );
        vm.prank(OPERATOR);
        vault.register(OPERATOR, "", "");
    }

    function test_RevertGiven_LessThanTheLeastBondIsIdle() external {
        createVault();
        deposit(ALICE, UNIT - 1);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BondTooSmall.selector, UNIT, UNIT - 1));
        vm.prank(OPERATOR);
        vault.register(OPERATOR, "", "");
    }

    function test_RevertGiven_TheJailTermIsNotOver() external {
        join();
        rollToEpoch(4);
        vm.prank(address(liveness));
        assertTrue(registry.jail(address(vault), 4), "jailed");
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__JailedUntil.selector, 8, 6));
        vm.prank(OPERATOR);
        vault.unjail();
    }

    function test_RevertGiven_TheSequencerLeftWhileTheQueueWasShort() external {
        join();
        request(ALICE, 60_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        assertEq(vault.shortSince(), block.number, "short");
        vm.prank(OPERATOR);
        vault.exit();
        vm.roll(block.number + 512);
        vm.expectRevert(
            abi.encodeWithSelector(
                DelegationVault.DelegationVault__NotShortLongEnough.selector, type(uint256).max, block.number
            )
        );
        vault.makeLeave();
        vault.advance(0);
        assertEq(vault.shortSince(), 0, "short of nothing any more");
    }

    function test_Given_APenaltyMadeTheQueueSmallerThanWhatWasReleased() external {
        join();
        rollToEpoch(4);
        request(ALICE, 60_000 * UNIT);
        slashDoubleNotarize(address(vault), 4);
        passWindows();
        vault.advance(9);
        assertEq(vault.claimable(ALICE), 57 * UNIT, "what the queue is owed");
        assertEq(vault.idle(), 38 * UNIT, "the others'");
        assertEq(vault.totalAssets(), 38 * UNIT, "assets");
        assertEq(vault.owed() + vault.collected(), 0, "nothing is owed any more");
    }

    /// Each call with ever less gas: with any of it, it does the whole or reverts. So a wallet's estimate, the least gas with
    /// which a call does not revert, is enough, and nobody makes a call of another's half.
    function test_When_ACallHasTooLittleGasForWhatItAsksOfTheRegistry() external {
        join();
        rollToEpoch(4);
        token.mint(CAROL, 10 * UNIT);
        vm.prank(CAROL);
        token.approve(address(vault), 10 * UNIT);
        assertTrue(_assertWholeOrNothing(CAROL, abi.encodeCall(vault.deposit, (5 * UNIT, CAROL))) != 0, "deposit");
        assertTrue(_assertWholeOrNothing(CAROL, abi.encodeCall(vault.mint, (5000 * UNIT, CAROL))) != 0, "mint");
        bytes memory input = abi.encodeCall(vault.requestRedeem, (20_000 * UNIT, ALICE));
        assertTrue(_assertWholeOrNothing(ALICE, input) != 0, "request");
        request(ALICE, 30_000 * UNIT);
        rollToEpoch(5);
        request(BOB, 20_000 * UNIT);
        reward(10 * UNIT);
        passWindows();
        // Here what comes after takes more than the little that is left to go on with.
        _assertWholeOrNothing(CAROL, abi.encodeCall(vault.advance, (9)));
        vm.prank(OPERATOR);
        vault.exit();
        passWindows();
        _assertWholeOrNothing(CAROL, abi.encodeCall(vault.advance, (9)));
    }

    /// What an offender has left is the dearest that a vault asks for: the slasher looks at every epoch around the offence.
    function test_When_ACallHasTooLittleGasForWhatAnOffenderHasLeft() external {
        ChainSpec memory spec = defaultSpec();
        spec.correlationEpochs = 64;
        deploy(spec);
        startDevnet();
        createVault();
        deposit(ALICE, 60 * UNIT);
        join();
        rollToEpoch(4);
        slashDoubleNotarize(address(vault), 4);
        passWindows();
        rollToEpoch(100);
        post(100);
        closeIfSkipped(5 + 64);
        vm.roll(block.number + WINDOWS + 64 * EPOCH_BLOCKS);
        assertTrue(_assertWholeOrNothing(CAROL, abi.encodeCall(vault.advance, (9))) != 0, "advance");
    }

    function test_It_TellsOfEverythingInEvents() external {
        vm.expectEmit(address(vault));
        emit DelegationVault.Bonded(100 * UNIT);
        join();
        token.mint(address(vault), 10 * UNIT);
        vm.expectEmit(address(vault));
        emit DelegationVault.Harvested(10 * UNIT, UNIT);
        vault.harvest();
        uint256 worth = vault.previewRedeem(40_000 * UNIT);
        vm.expectEmit(address(vault));
        emit ExitQueue.Queued(0, BOB, worth);
        vm.expectEmit(address(vault));
        emit DelegationVault.Bonded(9 * UNIT);
        request(BOB, 40_000 * UNIT);
        rollToEpoch(4);
        uint256 owed = vault.owed();
        slashDoubleNotarize(address(vault), 4);
        uint256 lost = 109 * UNIT / 20;
        vm.expectEmit(address(vault));
        emit DelegationVault.Lost(lost, lost * owed / (109 * UNIT));
        vault.harvest();
        passWindows();
        (, uint256 amount) = vault.ticketOf(0);
        vm.expectEmit(address(vault));
        emit ExitQueue.Served(0, BOB, amount);
        vault.advance(1);
        vm.expectEmit(address(vault));
        emit ExitQueue.Claimed(BOB, amount);
        vault.claim(BOB);
        vm.expectEmit(address(vault));
        emit Commission.OperatorChanged(OPERATOR, CAROL);
        vm.prank(OPERATOR);
        vault.setOperator(CAROL);
        BatonTest.setUp();
        startDevnet();
        createVault();
        deposit(ALICE, 60 * UNIT);
        join();
        request(ALICE, 60_000 * UNIT);
        uint256 since = block.number;
        vm.roll(since + 512);
        vm.expectEmit(address(vault));
        emit DelegationVault.MadeToLeave(since);
        vault.makeLeave();
    }

    /// @return guarded How often the vault itself refused to go on.
    function _assertWholeOrNothing(address caller, bytes memory input) private returns (uint256 guarded) {
        uint256 start = vm.snapshotState();
        bytes32 untouched = _books();
        uint256 ample = gasleft();
        vm.prank(caller);
        (bool ok,) = address(vault).call(input);
        uint256 spent = ample - gasleft();
        bytes32 whole = _books();
        assertTrue(ok && whole != untouched, "with ample gas");
        for (uint256 given = spent * 5 / 4; given > spent / 4; given -= spent / 100) {
            vm.revertToState(start);
            vm.prank(caller);
            bytes memory reason;
            (ok, reason) = address(vault).call{gas: given}(input);
            assertEq(_books(), ok ? whole : untouched, string.concat("with gas ", vm.toString(given)));
            assertTrue(ok || given < spent * 8 / 7, "little more than it takes is enough");
            if (bytes4(reason) == DelegationVault.DelegationVault__TooLittleGas.selector) ++guarded;
        }
        vm.revertToState(start);
    }

    /// Everything that a call of the vault moves.
    function _books() private view returns (bytes32) {
        address who = address(vault);
        uint256[2] memory registered = [registry.bondOf(who), registry.unbondingOf(who)];
        uint256[4] memory queue = [vault.owed(), vault.collected(), vault.served(), vault.tickets()];
        return keccak256(abi.encode(registered, queue, vault.idle(), vault.totalSupply(), token.balanceOf(who)));
    }
}
