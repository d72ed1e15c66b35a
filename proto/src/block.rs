//! Blocks: what consensus agrees on.

use alloy_primitives::{Address, B256, Bytes, TxHash, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{
    BlockDigest, Epoch, Forced, ForcedEntry, Height, L1BlockNumber, L2ChainId, MemberIndex, TimestampMs, Transaction,
    View, abi, merkle,
};

/// An L1 block that a header names: a finalized one, never older than the parent's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct L1Origin {
    /// Its number.
    pub number: L1BlockNumber,
    /// Its hash.
    pub hash: B256,
}

/// What a leader signs for: everything about a block but the transactions themselves.
///
/// Source: protocol section 4; `BlockHeader` in `contracts/src/Types.sol` has the same fields in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockHeader {
    /// The rollup's chain id.
    pub l2_chain_id: L2ChainId,
    /// The epoch whose committee agrees on the block.
    pub epoch: Epoch,
    /// The view in which the block was first proposed.
    pub view: View,
    /// One above the parent's.
    pub height: Height,
    /// The parent's digest; zero for the genesis block.
    pub parent: BlockDigest,
    /// Unix milliseconds, greater than the parent's.
    pub timestamp_ms: TimestampMs,
    /// The finalized L1 block this block builds on.
    pub origin: L1Origin,
    /// Forced entries consumed up to and including this block.
    pub forced_position: u64,
    /// Rolling hash of the forced queue at that position.
    pub forced_hash: B256,
    /// [`merkle::root`] over the keccak256 of each item's raw bytes.
    pub payload_root: B256,
    /// Items in the payload, forced entries included.
    pub transaction_count: u32,
    /// Sum of the items' raw bytes.
    pub payload_bytes: u32,
    /// Sum of the gas limits that the transactions declare, and of what forced entries count for.
    pub declared_gas: u64,
    /// The member that proposed the block.
    pub proposer: MemberIndex,
    /// Who receives the block's fees.
    pub fee_recipient: Address,
}

impl BlockHeader {
    /// Returns keccak256 of the header's ABI encoding (16 words): the block's identity.
    #[must_use]
    pub fn digest(&self) -> BlockDigest {
        BlockDigest::new(keccak256(self.abi_encode()))
    }

    /// Returns `abi.encode(header)` as Solidity writes it: 512 bytes.
    #[must_use]
    pub fn abi_encode(&self) -> Vec<u8> {
        abi::BlockHeader {
            l2ChainId: self.l2_chain_id.get(),
            epoch: self.epoch.get(),
            viewNumber: self.view.get(),
            height: self.height.get(),
            parent: self.parent.get(),
            timestampMs: self.timestamp_ms.get(),
            originNumber: self.origin.number.get(),
            originHash: self.origin.hash,
            forcedPosition: self.forced_position,
            forcedHash: self.forced_hash,
            payloadRoot: self.payload_root,
            transactionCount: self.transaction_count,
            payloadBytes: self.payload_bytes,
            declaredGas: self.declared_gas,
            proposer: self.proposer.get(),
            feeRecipient: self.fee_recipient,
        }
        .abi_encode()
    }

    /// Returns whether `path` proves that the payload has `item`, raw bytes, at `index`. [`Block::path`] makes it.
    #[must_use]
    pub fn holds(&self, index: u32, item: &[u8], path: &[B256]) -> bool {
        merkle::root_by_path(keccak256(item), index, self.transaction_count, path) == Some(self.payload_root)
    }

    /// Returns the block that every chain starts from: height 0, view 0, in epoch 2, on the last L1 block of epoch 1.
    ///
    /// Everybody derives it from L1, so nobody signs it. `origin_timestamp_s` is that L1 block's timestamp in seconds.
    #[must_use]
    pub fn genesis(l2_chain_id: L2ChainId, origin: L1Origin, origin_timestamp_s: u64) -> Self {
        Self {
            l2_chain_id,
            epoch: Epoch::new(2),
            view: View::ZERO,
            height: Height::ZERO,
            parent: BlockDigest::ZERO,
            timestamp_ms: TimestampMs::new(origin_timestamp_s.saturating_mul(1_000)),
            origin,
            forced_position: 0,
            forced_hash: B256::ZERO,
            payload_root: B256::ZERO,
            transaction_count: 0,
            payload_bytes: 0,
            declared_gas: 0,
            proposer: MemberIndex::new(0),
            fee_recipient: Address::ZERO,
        }
    }
}

/// The parts of a header that its payload determines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadCommitment {
    /// See [`BlockHeader::payload_root`].
    pub payload_root: B256,
    /// See [`BlockHeader::transaction_count`].
    pub transaction_count: u32,
    /// See [`BlockHeader::payload_bytes`].
    pub payload_bytes: u32,
    /// See [`BlockHeader::declared_gas`].
    pub declared_gas: u64,
}

impl PayloadCommitment {
    /// Computes what the payload of `forced` and then `transactions` commits to.
    #[must_use]
    pub fn of(forced: &Forced, transactions: &[Transaction]) -> Self {
        let leaves = payload_leaves(forced, transactions.iter().map(|tx| *tx.hash()));
        let saturate = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let bytes: usize = transactions.iter().map(|tx| tx.raw().len()).sum();
        Self {
            payload_root: merkle::root(&leaves),
            transaction_count: saturate(leaves.len()),
            payload_bytes: saturate(forced.bytes().saturating_add(bytes)),
            declared_gas: transactions.iter().fold(forced.gas(), |sum, tx| sum.saturating_add(tx.gas_limit())),
        }
    }

    /// Returns whether `header` carries exactly this commitment.
    #[must_use]
    pub fn matches(&self, header: &BlockHeader) -> bool {
        self.payload_root == header.payload_root
            && self.transaction_count == header.transaction_count
            && self.payload_bytes == header.payload_bytes
            && self.declared_gas == header.declared_gas
    }
}

/// Returns the leaves under a payload root: forced entries first, then transactions by their hashes.
///
/// keccak256 of an EIP-2718 encoding is the transaction's hash, so these leaves are at hand already.
pub(crate) fn payload_leaves(forced: &Forced, hashes: impl Iterator<Item = TxHash>) -> Vec<B256> {
    forced.entries.iter().map(ForcedEntry::leaf).chain(hashes).collect()
}

/// A header with its payload, in order: forced entries first.
///
/// Conversion from bytes checks that the payload is the one the header commits to; whether the block is *valid* on its parent,
/// and whether its forced entries are those due, is for voters to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The forced entries that it takes.
    pub forced: Forced,
    /// The ordered transactions.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// Returns the transactions that the block orders, each with its place in the payload: those that forced entries hold,
    /// where they hold one that may be executed, and then all others.
    pub fn ordered(&self) -> impl Iterator<Item = (u32, &Transaction)> {
        let forced = (0..).zip(&self.forced.entries);
        let forced = forced.filter_map(|(at, entry)| Some((at, entry.content(self.header.l2_chain_id).ok()?)));
        let first = u32::try_from(self.forced.len()).unwrap_or(u32::MAX);
        forced.chain((first..).zip(&self.transactions))
    }

    /// Returns the raw bytes of the item at `index` of the payload.
    #[must_use]
    pub fn item(&self, index: u32) -> Option<&Bytes> {
        let index = index as usize;
        match self.forced.entries.get(index) {
            Some(entry) => Some(entry.data()),
            None => self.transactions.get(index.checked_sub(self.forced.len())?).map(Transaction::raw),
        }
    }

    /// Returns the path from the item at `index` to the header's payload root, for [`BlockHeader::holds`].
    #[must_use]
    pub fn path(&self, index: u32) -> Option<Vec<B256>> {
        merkle::path(&payload_leaves(&self.forced, self.transactions.iter().map(|tx| *tx.hash())), index as usize)
    }
}
