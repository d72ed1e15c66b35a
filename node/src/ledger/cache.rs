//! Blocks that were read or written lately. Decoding a block parses and hashes all its transactions, and who asks for a
//! sender recovers it, once for each, so peers that catch up and clients that poll the newest blocks are served from here.

use std::sync::{Mutex, PoisonError};

use baton_proto::{Block, BlockDigest};
use lru::LruCache;

/// Blocks kept, whatever their size.
const BLOCKS_MAX: usize = 256;

/// Sum of their transactions' raw bytes; decoded they take about three times as much.
const BYTES_MAX: usize = 16 << 20;

/// The blocks used last, within both bounds.
#[derive(Debug)]
pub(super) struct BlockCache(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    blocks: LruCache<BlockDigest, Block>,
    bytes: usize,
}

impl BlockCache {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Inner { blocks: LruCache::unbounded(), bytes: 0 }))
    }

    pub(super) fn get(&self, digest: BlockDigest) -> Option<Block> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).blocks.get(&digest).cloned()
    }

    pub(super) fn insert(&self, digest: BlockDigest, block: &Block) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = inner.blocks.put(digest, block.clone()) {
            inner.bytes = inner.bytes.saturating_sub(size(&before));
        }
        inner.bytes = inner.bytes.saturating_add(size(block));
        while inner.blocks.len() > BLOCKS_MAX || inner.bytes > BYTES_MAX {
            let Some((_, oldest)) = inner.blocks.pop_lru() else { break };
            inner.bytes = inner.bytes.saturating_sub(size(&oldest));
        }
    }

    pub(super) fn remove(&self, digest: BlockDigest) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(block) = inner.blocks.pop(&digest) {
            inner.bytes = inner.bytes.saturating_sub(size(&block));
        }
    }
}

fn size(block: &Block) -> usize {
    block.transactions.iter().fold(block.forced.bytes(), |sum, tx| sum.saturating_add(tx.raw().len()))
}
