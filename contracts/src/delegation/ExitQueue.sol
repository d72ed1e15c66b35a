// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title ExitQueue
/// @notice Those who leave a vault, in order, and what each is owed.
/// @dev A ticket is a part of what the queue is owed in all, held in units, so that a penalty that takes from the queue takes
/// the same part from every ticket, by writing one number.
abstract contract ExitQueue {
    /// A place in the queue.
    struct Ticket {
        address receiver;
        uint256 units;
    }

    /// @notice What the queue is owed, in base units.
    uint256 public owed;
    /// @notice What of that is here, and is not exposed to penalties any more.
    uint256 public collected;
    /// @notice What waits for `claim`, in base units.
    uint256 public claimableTotal;

    /// @notice Tickets that were ever given, and how many of them were served.
    uint256 public tickets;
    uint256 public served;

    uint256 private _units;
    mapping(uint256 ticket => Ticket) private _tickets;
    mapping(address account => uint256) private _claimable;

    /// @notice `receiver` is owed `amount`, when the tickets before this one were served and it has unbonded.
    event Queued(uint256 indexed ticket, address indexed receiver, uint256 amount);
    /// @notice `receiver` may claim `amount`.
    event Served(uint256 indexed ticket, address indexed receiver, uint256 amount);
    /// @notice `amount` was paid.
    event Claimed(address indexed account, uint256 amount);

    error ExitQueue__NothingToClaim(address account);

    /// @notice Who is owed a ticket, and how much after penalties; zeros once it was served. Does not know of a penalty that
    /// the vault has not seen yet.
    function ticketOf(uint256 ticket) external view returns (address receiver, uint256 amount) {
        Ticket memory found = _tickets[ticket];
        return (found.receiver, _worth(found.units));
    }

    /// @notice What `claim` would pay to `account`, in base units.
    function claimable(address account) external view returns (uint256) {
        return _claimable[account];
    }

    function _enqueue(address receiver, uint256 amount) internal returns (uint256 ticket) {
        // The one that is added keeps this defined after a penalty that took everything.
        uint256 units = Math.mulDiv(amount, _units + 1, owed + 1);
        _units += units;
        owed += amount;
        ticket = tickets++;
        _tickets[ticket] = Ticket(receiver, units);
        emit Queued(ticket, receiver, amount);
    }

    /// @dev Serves tickets in their order, as far as what was collected goes, and at most so many.
    function _serve(uint256 most) internal {
        (uint256 next, uint256 end) = (served, tickets);
        for (; most != 0 && next != end; --most) {
            Ticket memory ticket = _tickets[next];
            uint256 amount = _worth(ticket.units);
            if (amount > collected) break;
            delete _tickets[next];
            _units -= ticket.units;
            owed -= amount;
            collected -= amount;
            _addClaimable(ticket.receiver, amount);
            emit Served(next++, ticket.receiver, amount);
        }
        served = next;
    }

    /// @dev The queue's part of a penalty of `loss` on `held`: that of what it is owed and has not collected.
    function _queueLoss(uint256 loss, uint256 held) internal view returns (uint256) {
        if (loss == 0) return 0;
        uint256 exposed = owed - collected;
        return Math.mulDiv(loss, exposed < held ? exposed : held, held);
    }

    function _addClaimable(address account, uint256 amount) internal {
        _claimable[account] += amount;
        claimableTotal += amount;
    }

    function _takeClaimable(address account) internal returns (uint256 amount) {
        amount = _claimable[account];
        if (amount == 0) revert ExitQueue__NothingToClaim(account);
        _claimable[account] = 0;
        claimableTotal -= amount;
        emit Claimed(account, amount);
    }

    /// @dev Rounded down; what that leaves is the next one's. The whole queue's units are worth exactly what it is owed.
    function _worth(uint256 units) private view returns (uint256) {
        return units == 0 ? 0 : Math.mulDiv(owed, units, _units);
    }
}
