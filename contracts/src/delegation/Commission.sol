// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Commission
/// @notice Who runs a vault's sequencer, and which part of rewards it keeps. The part is bounded, and rises only after a
/// notice in which everybody can ask to leave.
abstract contract Commission {
    /// @notice The most that an operator may keep, in hundredths of a percent.
    uint256 public constant COMMISSION_BPS_MAX = 2000;
    uint256 internal constant BPS = 10_000;

    /// @notice L1 blocks between the announcement of a higher commission and its beginning.
    uint256 public immutable NOTICE_BLOCKS;

    /// @notice Who runs the sequencer.
    address public operator;

    uint256 private _bps;
    uint256 private _nextBps;
    /// First L1 block of `_nextBps`.
    uint256 private _nextFromBlock;

    /// @notice The commission is `bps` from L1 block `fromBlock` on.
    event CommissionSet(uint256 bps, uint256 fromBlock);
    /// @notice Another account runs the sequencer.
    event OperatorChanged(address indexed from, address indexed to);

    error Commission__OnlyOperator(address operator, address caller);
    error Commission__TooHigh(uint256 bpsMax, uint256 got);
    error Commission__ZeroOperator();

    modifier onlyOperator() {
        if (msg.sender != operator) revert Commission__OnlyOperator(operator, msg.sender);
        _;
    }

    constructor(address operator_, uint256 bps, uint256 noticeBlocks) {
        if (operator_ == address(0)) revert Commission__ZeroOperator();
        if (bps > COMMISSION_BPS_MAX) revert Commission__TooHigh(COMMISSION_BPS_MAX, bps);
        operator = operator_;
        NOTICE_BLOCKS = noticeBlocks;
        (_bps, _nextBps) = (bps, bps);
    }

    /// @notice The operator's part of rewards that are taken in now, in hundredths of a percent.
    function commissionBps() public view returns (uint256) {
        return block.number < _nextFromBlock ? _bps : _nextBps;
    }

    /// @notice Sets the commission: at once where it falls, after `NOTICE_BLOCKS` where it rises. Takes the place of what was
    /// announced before.
    function setCommission(uint256 bps) external onlyOperator {
        if (bps > COMMISSION_BPS_MAX) revert Commission__TooHigh(COMMISSION_BPS_MAX, bps);
        uint256 current = commissionBps();
        uint256 fromBlock = bps > current ? block.number + NOTICE_BLOCKS : block.number;
        (_bps, _nextBps, _nextFromBlock) = (current, bps, fromBlock);
        emit CommissionSet(bps, fromBlock);
    }

    /// @notice Hands the sequencer to another account.
    function setOperator(address to) external onlyOperator {
        if (to == address(0)) revert Commission__ZeroOperator();
        emit OperatorChanged(operator, to);
        operator = to;
    }
}
