// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title PostingRefund
/// @notice Pays who posts a batch what the transaction cost it, out of the ether that this contract holds. Anyone may fund it.
/// @dev The refund is pushed: it costs 6,800 gas, where a ledger of claims would cost 5,000 for each batch, 22,100 for a
/// poster's first, and a transaction to claim. Pushing is safe because who derives from this lets post only accounts without
/// code that send a transaction straight to it: such an account runs nothing when it is paid, so it can neither fail nor call
/// back. The same condition makes the cost known. A contract, or an account that EIP-7702 gave code, could share one
/// transaction's overhead between calls, or make calldata in memory that it never paid for.
///
/// Nobody can earn by it. A batch is accepted once, and only with a quorum's certificate; the refund for it is never above what
/// the transaction burns, but for a tip of at most `TIP_MAX_WEI` that a poster may have paid to itself as the block's builder.
/// Nor can somebody who took another's certificate spend the pool on nothing: who derives from this takes no bytes beyond the
/// call's own, the gas of the call follows from the batch, and `REFUND_MAX_WEI` bounds the rest.
///
/// Whatever derives from this holds no other ether: all of it is the pool.
abstract contract PostingRefund {
    /// @notice Most that is refunded for one batch, in wei.
    uint256 public constant REFUND_MAX_WEI = 0.05 ether;
    /// @notice Most of a tip that is refunded, in wei per gas.
    uint256 public constant TIP_MAX_WEI = 1 gwei;

    uint256 private constant TRANSACTION_GAS = 21_000;
    /// Of the call outside what is metered here: selecting the function, paying and the event; a little less than they cost.
    uint256 private constant UNMETERED_GAS = 8600;
    uint256 private constant GAS_PER_BLOB = 131_072;
    /// A calldata byte is one token when zero and four otherwise. A token costs four gas, and at least ten with nothing else
    /// (EIP-7623).
    uint256 private constant GAS_PER_TOKEN = 4;
    uint256 private constant FLOOR_GAS_PER_TOKEN = 10;

    /// @notice The pool grew.
    event PoolFunded(address indexed by, uint256 amount);
    /// @notice Who posted batch `index`, the transaction's sender, was paid `amount` wei.
    event PostingRefunded(uint64 indexed index, uint256 amount);

    /// @notice Funds the pool. Anyone may; nobody can take it back.
    function fund() external payable {
        emit PoolFunded(msg.sender, msg.value);
    }

    /// @dev Never reverts. Not refunded is what the pool or the cap leaves out. The caller has made sure that the call is the
    /// whole transaction of an account without code, and its calldata as long as its arguments.
    /// @param index The batch.
    /// @param gasAtStart What `gasleft()` was when the call began.
    /// @param headTokens Tokens of the calldata without the bytes of `data`, or less.
    /// @param data The call's last argument, and the only one whose length varies.
    function _refund(uint64 index, uint256 gasAtStart, uint256 headTokens, bytes calldata data) internal {
        uint256 pool = address(this).balance;
        if (pool == 0) return;
        uint256 blobs = 0;
        while (blobhash(blobs) != 0) ++blobs;
        // Each price is bounded by the cap, so nothing overflows and nothing is lost: one gas of more reaches the cap.
        uint256 gasPrice = _least(_least(block.basefee, REFUND_MAX_WEI) + TIP_MAX_WEI, tx.gasprice);
        uint256 amount = blobs * GAS_PER_BLOB * _least(block.blobbasefee, REFUND_MAX_WEI);
        uint256 tokens = headTokens + 4 * data.length - 3 * _zeros(data);
        uint256 metered = tokens * GAS_PER_TOKEN + gasAtStart - gasleft() + UNMETERED_GAS;
        uint256 floor = tokens * FLOOR_GAS_PER_TOKEN;
        amount += (TRANSACTION_GAS + (metered > floor ? metered : floor)) * gasPrice;
        amount = _least(_least(amount, REFUND_MAX_WEI), pool);
        (bool paid,) = msg.sender.call{value: amount, gas: 0}("");
        if (paid) emit PostingRefunded(index, amount);
    }

    /// @dev Zero bytes of `data`, in about one gas a byte.
    function _zeros(bytes calldata data) private pure returns (uint256 count) {
        assembly ("memory-safe") {
            let low := 0x7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f
            let ones := 0x0101010101010101010101010101010101010101010101010101010101010101
            let at := data.offset
            let end := add(at, data.length)
            for {} lt(at, end) { at := add(at, 0x20) } {
                let word := calldataload(at)
                // What is read beyond the data counts as not zero.
                let left := sub(end, at)
                if lt(left, 0x20) { word := or(word, shr(shl(3, left), not(0))) }
                // The highest bit of each byte: set unless the byte is zero.
                let some := or(word, add(and(word, low), low))
                count := add(count, shr(248, mul(and(shr(7, not(some)), ones), ones)))
            }
        }
    }

    function _least(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
