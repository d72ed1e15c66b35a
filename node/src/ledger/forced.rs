//! What this node has read of the forced queue on L1.

use alloy_primitives::{Address, B256, Bytes};
use baton_proto::{ForcedEntry, L1BlockNumber};

use super::records::number;

/// How far the forced queue was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForcedCursor {
    /// Every entry that this L1 block or an earlier one brought is stored.
    pub read_to: L1BlockNumber,
    /// How many are stored.
    pub length: u64,
    /// The queue's rolling hash after them.
    pub hash: B256,
}

pub(super) fn cursor_to_bytes(cursor: &ForcedCursor) -> Vec<u8> {
    [cursor.read_to.get().to_be_bytes().as_slice(), &cursor.length.to_be_bytes(), cursor.hash.as_slice()].concat()
}

pub(super) fn cursor_from_bytes(bytes: &[u8]) -> Option<ForcedCursor> {
    let (read_to, rest) = bytes.split_at_checked(8)?;
    let (length, hash) = rest.split_at_checked(8)?;
    let read_to = L1BlockNumber::new(number(read_to)?);
    Some(ForcedCursor { read_to, length: number(length)?, hash: B256::try_from(hash).ok()? })
}

pub(super) fn entry_to_bytes(entry: &ForcedEntry) -> Vec<u8> {
    let l1_block = entry.l1_block().get().to_be_bytes();
    [l1_block.as_slice(), entry.sender().as_slice(), &[entry.kind()], entry.data()].concat()
}

pub(super) fn entry_from_bytes(bytes: &[u8]) -> Option<ForcedEntry> {
    let (l1_block, rest) = bytes.split_at_checked(8)?;
    let (sender, rest) = rest.split_at_checked(20)?;
    let (kind, data) = rest.split_first()?;
    let l1_block = L1BlockNumber::new(number(l1_block)?);
    Some(ForcedEntry::new(l1_block, Address::from_slice(sender), *kind, Bytes::copy_from_slice(data)))
}
