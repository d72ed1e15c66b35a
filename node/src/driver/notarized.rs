//! Blocks that a quorum voted for and that are not final yet: told to subscribers, and kept for whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::TxHash;
use baton_proto::{Block, BlockDigest, Height, View};
use tokio::sync::broadcast;

/// Notarized blocks that are kept until their height is final, and that a slow subscriber may lag behind before it misses
/// some: they are news, not history. The driver keeps the same bodies itself, and more of them.
const NOTARIZED_MAX: usize = 64;

/// A block that a quorum voted for; another one of its height can still become final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notarized {
    /// Its height.
    pub height: Height,
    /// Its digest.
    pub digest: BlockDigest,
    /// The view that it was voted for in.
    pub view: View,
}

/// The driver writes them; everybody else reads.
#[derive(Debug)]
pub struct NotarizedBlocks {
    news: broadcast::Sender<Notarized>,
    open: Mutex<BTreeMap<(Height, BlockDigest), Arc<Block>>>,
}

impl Default for NotarizedBlocks {
    fn default() -> Self {
        Self { news: broadcast::Sender::new(NOTARIZED_MAX), open: Mutex::default() }
    }
}

impl NotarizedBlocks {
    /// Takes note of a block that was voted for in `view`, before its height is announced as final.
    pub fn on_notarized(&self, digest: BlockDigest, block: Arc<Block>, view: View) {
        let height = block.header.height;
        let mut open = self.open();
        open.insert((height, digest), block);
        while open.len() > NOTARIZED_MAX {
            open.pop_first();
        }
        drop(open);
        // Without a subscriber there is nobody to tell.
        let _ = self.news.send(Notarized { height, digest, view });
    }

    /// Forgets what is not above `height`, after the ledger and the pool know that it is final.
    pub fn on_final(&self, height: Height) {
        self.open().retain(|(at, _), _| *at > height);
    }

    /// Returns what is notarized from now on, in order.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Notarized> {
        self.news.subscribe()
    }

    /// Returns a block that holds this transaction, the highest of them, and the transaction's place in it.
    ///
    /// Looks through all transactions of all blocks here: off the async loop.
    #[must_use]
    pub fn find(&self, hash: &TxHash) -> Option<(Height, BlockDigest, u32)> {
        let open: Vec<_> = self.open().iter().map(|(key, block)| (*key, Arc::clone(block))).collect();
        open.into_iter().rev().find_map(|((height, digest), block)| {
            let (place, _) = block.ordered().find(|(_, transaction)| transaction.hash() == hash)?;
            Some((height, digest, place))
        })
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<(Height, BlockDigest), Arc<Block>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::testing::{block_of, transfer};

    #[test]
    fn a_block_is_found_by_its_transactions_until_its_height_is_final() {
        let (blocks, transactions) = (NotarizedBlocks::default(), [transfer(0, 0), transfer(1, 0), transfer(2, 0)]);
        let mut news = blocks.subscribe();
        let notarize = |height, view, transactions: &[_]| {
            let block = Arc::new(block_of(height, view, transactions.to_vec()));
            let digest = block.header.digest();
            blocks.on_notarized(digest, block, View::new(view));
            (Height::new(height), digest)
        };
        // Two of one height, of which one can become final, and one above.
        let (low, first) = notarize(5, 7, &transactions[..1]);
        let (_, second) = notarize(5, 8, &transactions[1..2]);
        let (high, third) = notarize(6, 9, &transactions[1..]);
        assert_eq!(news.try_recv(), Ok(Notarized { height: low, digest: first, view: View::new(7) }));
        assert_eq!(blocks.find(transactions[0].hash()), Some((low, first, 0)));
        assert_eq!(blocks.find(transactions[1].hash()), Some((high, third, 0)), "not {second}");
        assert_eq!(blocks.find(transactions[2].hash()), Some((high, third, 1)));
        blocks.on_final(low);
        assert_eq!(blocks.find(transactions[0].hash()), None);
        assert_eq!(blocks.find(transactions[2].hash()), Some((high, third, 1)));
    }

    #[test]
    fn without_finality_the_lowest_are_forgotten() {
        let blocks = NotarizedBlocks::default();
        for height in 1..=NOTARIZED_MAX as u64 + 1 {
            let block = Arc::new(block_of(height, height, vec![transfer(height, 0)]));
            blocks.on_notarized(block.header.digest(), block, View::new(height));
        }
        assert_eq!(blocks.find(transfer(1, 0).hash()), None);
        assert!(blocks.find(transfer(2, 0).hash()).is_some());
        assert_eq!(blocks.open().len(), NOTARIZED_MAX);
    }
}
