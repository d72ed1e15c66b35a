// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Stage} from "../../src/Types.sol";
import {DelegationVault} from "../../src/delegation/DelegationVault.sol";
import {InvariantTest} from "../support/InvariantTest.sol";
import {VaultTest} from "../support/VaultTest.sol";
import {vm} from "../support/Vm.sol";

/// Comes, goes, earns and offends in any order, and keeps its own books.
contract VaultHandler is VaultTest {
    uint256 public deposited;
    uint256 public rewarded;
    uint256 public paid;
    uint256 public lost;
    uint256 private _lastServed;
    /// Set when something happened that must not.
    string public fault;

    function begin() external {
        deployShort(1);
        startDevnet();
        createVault();
        _come(ALICE, 60 * UNIT);
        _come(BOB, 40 * UNIT);
        join();
        rollToEpoch(6);
        post(6);
    }

    modifier keepsThePrice() {
        (uint256 before, uint256 supply) = (price(), vault.totalSupply());
        _;
        if (vault.totalSupply() < supply) supply = vault.totalSupply();
        // Nobody makes a share worth less by coming or going, nor more by more than a share and a base unit do that rounding
        // leaves to all others.
        if (price() < before) fault = "the price fell";
        if (price() > before + 2 + 2 * (before + 1000 * UNIT) / (supply + 1) && supply > 1000 * UNIT) {
            fault = "the price rose";
        }
    }

    function come(uint8 who, uint80 amount) external keepsThePrice {
        if (vault.maxDeposit(ALICE) == 0) return;
        _come(_person(who), amount);
    }

    function go(uint8 who, uint256 shares) external keepsThePrice {
        address person = _person(who);
        shares = shares % (vault.balanceOf(person) + 1);
        if (vault.previewRedeem(shares) == 0) return;
        // What the queue is owed is less after a penalty, which the vault may not have seen yet.
        vault.harvest();
        uint256 owed = vault.owed();
        request(person, shares);
        if (vault.owed() < owed) fault = "somebody else lost a place";
    }

    function earn(uint80 amount) external {
        uint256 before = price();
        uint256 commission = vault.claimableTotal();
        reward(amount);
        rewarded += amount;
        if (price() < before) fault = "a reward lowered the price";
        if (vault.totalSupply() != 0 && vault.claimableTotal() - commission > amount / 10) {
            fault = "too much commission";
        }
    }

    function offend() external {
        uint64 epoch = registry.epochOf(block.number);
        (,, Stage stage,,,) = registry.sequencer(address(vault));
        if (stage == Stage.None || weightOf(address(vault), epoch) == 0) return;
        if (slasher.hasOffended(address(vault), epoch)) return;
        uint256 before = price();
        uint256 held = _atStake();
        slashDoubleNotarize(address(vault), epoch);
        lost += held - _atStake();
        if (price() > before) fault = "a penalty raised the price";
    }

    function advance(uint8 most) external keepsThePrice {
        _advance(most % 4);
    }

    function quit() external keepsThePrice {
        (,, Stage stage,,,) = registry.sequencer(address(vault));
        if (stage != Stage.Seated) return;
        vm.prank(OPERATOR);
        vault.exit();
    }

    function collect(uint8 who) external keepsThePrice {
        address person = who % 3 == 0 ? OPERATOR : _person(who);
        uint256 due = vault.claimable(person);
        if (due == 0) return;
        uint256 held = token.balanceOf(person);
        vault.claim(person);
        if (token.balanceOf(person) - held != due) fault = "paid another amount";
        paid += due;
    }

    function wait(uint8 blocks) external {
        vm.roll(block.number + blocks % 60);
        uint64 epoch = registry.epochOf(block.number);
        (,, uint64 tipEpoch,,) = inbox.tip();
        post(epoch);
        for (uint64 skipped = tipEpoch + 1; skipped < epoch; ++skipped) {
            closeIfSkipped(skipped);
        }
    }

    function vault_() external view returns (DelegationVault) {
        return vault;
    }

    function balances() external view returns (uint256 here, uint256 atStake) {
        return (token.balanceOf(address(vault)), _atStake());
    }

    function _come(address who, uint256 amount) private {
        deposit(who, amount);
        deposited += amount;
    }

    /// What the registry takes for the offences of others is nobody's reward, so it is counted by what does not come back.
    function _advance(uint256 most) private {
        (uint256 here, uint256 atStake) = (token.balanceOf(address(vault)), _atStake());
        vault.advance(most);
        lost += here + atStake - token.balanceOf(address(vault)) - _atStake();
        if (vault.served() < _lastServed) fault = "served backwards";
        for (uint256 i = _lastServed; i < vault.served(); ++i) {
            (address receiver,) = vault.ticketOf(i);
            if (receiver != address(0)) fault = "served, and still there";
        }
        _lastServed = vault.served();
    }

    function _atStake() private view returns (uint256) {
        return registry.bondOf(address(vault)) + registry.unbondingOf(address(vault));
    }

    function _person(uint8 who) private pure returns (address) {
        return who % 2 == 0 ? ALICE : BOB;
    }
}

contract VaultInvariantsTest is InvariantTest {
    VaultHandler private handler;
    DelegationVault private vault;

    function setUp() public override {
        handler = new VaultHandler();
        handler.begin();
        _callOn(address(handler));
        _call(VaultHandler.come.selector);
        _call(VaultHandler.go.selector);
        _call(VaultHandler.earn.selector);
        _call(VaultHandler.offend.selector);
        _call(VaultHandler.advance.selector);
        _call(VaultHandler.quit.selector);
        _call(VaultHandler.collect.selector);
        _call(VaultHandler.wait.selector);
        vault = handler.vault_();
    }

    function invariant_It_MovesThePriceByRewardsAndPenaltiesOnly() external view {
        assertEq(bytes(handler.fault()), "", handler.fault());
    }

    function invariant_It_AccountsForEveryTokenThatCame() external view {
        (uint256 here, uint256 atStake) = handler.balances();
        uint256 came = handler.deposited() + handler.rewarded();
        assertEq(here + atStake + handler.paid() + handler.lost(), came, "where they are");
        assertEq(here, vault.idle() + vault.collected() + vault.claimableTotal(), "what is here");
    }

    function invariant_It_NeverOwesMoreThanThereIs() external view {
        (uint256 here, uint256 atStake) = handler.balances();
        assertAtMost(vault.totalAssets() + vault.claimableTotal(), here + atStake, "assets");
        assertAtMost(vault.collected(), vault.owed(), "collected");
    }

    function invariant_It_ServesTicketsOnceAndInTheirOrder() external view {
        assertAtMost(vault.served(), vault.tickets(), "served");
        uint256 sum = 0;
        for (uint256 i = vault.served(); i < vault.tickets(); ++i) {
            (address receiver, uint256 amount) = vault.ticketOf(i);
            assertTrue(receiver != address(0), "waits");
            sum += amount;
        }
        // Each is rounded down.
        assertAtMost(sum, vault.owed(), "sum of the tickets");
        assertAtMost(vault.owed() - sum, vault.tickets() - vault.served(), "all of it");
    }
}
