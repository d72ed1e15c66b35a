//! The blocks between final and tip: their bodies, what they already hold, and what may not be repeated.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use alloy_primitives::TxHash;
use baton_proto::{Block, BlockDigest, BlockHeader, Height, limits::RANGE_TAIL_MAX};

use super::accounts::FinalAccounts;
use crate::{
    ledger::{Ledger, LedgerError},
    proposer::Ahead,
    validity::DUP_WINDOW,
};

/// Bodies kept in memory; more are read back from the ledger. At a block per view this is half a minute without finality.
const BODIES_MAX: usize = 256;

/// Unfinalized ancestors that a proposal may have: what one answer to a peer that catches up can prove. While finality lags
/// further behind, nobody proposes or votes for a block, and views end in nullifications until one of the blocks that have
/// their notarization is finalized after all.
const ANCESTORS_MAX: usize = RANGE_TAIL_MAX;

/// Final blocks before the last [`DUP_WINDOW`] whose transactions a leader leaves out as well. Each voter looks at the last ones
/// that are final where it is, and a leader is mostly ahead of some.
const DUP_MARGIN: usize = 64;

/// Bodies of blocks that are not final yet, and the transactions of the last final ones.
pub(crate) struct Blocks {
    ledger: Arc<dyn Ledger>,
    bodies: BTreeMap<(Height, BlockDigest), Arc<Block>>,
    heights: HashMap<BlockDigest, Height>,
    /// The last final blocks, as many as leaders look at.
    recent: VecDeque<(Height, Vec<TxHash>)>,
    /// In which of them each of their transactions was last.
    recent_heights: HashMap<TxHash, Height>,
    forced_position: u64,
}

/// Why the ancestors of a block cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AncestryError {
    #[error("the body of {0} is not stored")]
    Missing(BlockDigest),
    #[error("{got} blocks are not final, more than {ANCESTORS_MAX}")]
    TooLong { got: usize },
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Blocks {
    /// Starts from what the ledger holds.
    ///
    /// # Errors
    /// [`LedgerError`] when the last final blocks cannot be read.
    pub(crate) fn new(ledger: Arc<dyn Ledger>) -> Result<Self, LedgerError> {
        let head = ledger.head()?.height.get();
        let forced_position = ledger.header(Height::new(head))?.map_or(0, |header| header.forced_position);
        let mut blocks = Self {
            ledger,
            bodies: BTreeMap::new(),
            heights: HashMap::new(),
            recent: VecDeque::new(),
            recent_heights: HashMap::new(),
            forced_position,
        };
        let first = head.saturating_sub((DUP_WINDOW + DUP_MARGIN) as u64 - 1).max(1);
        for height in first..=head {
            if let Some(block) = blocks.ledger.block(Height::new(height))? {
                blocks.remember_final(&block);
            }
        }
        Ok(blocks)
    }

    /// Keeps a body at hand.
    pub(crate) fn insert(&mut self, block: Arc<Block>) {
        let (height, digest) = (block.header.height, block.header.digest());
        self.heights.insert(digest, height);
        self.bodies.insert((height, digest), block);
        while self.bodies.len() > BODIES_MAX {
            // What the ledger holds can be read back: while many blocks wait to be final, the newest, which is not stored
            // before it is judged, must stay. Otherwise what lies furthest above the final head goes: it is needed last,
            // and is where made-up heights are.
            let lowest = self.bodies.first_key_value().map(|((_, digest), _)| *digest);
            let stored = lowest.is_some_and(|digest| matches!(self.ledger.block_by_digest(digest), Ok(Some(_))));
            let dropped = if stored { self.bodies.pop_first() } else { self.bodies.pop_last() };
            if let Some(((_, digest), _)) = dropped {
                self.heights.remove(&digest);
            }
        }
    }

    /// Drops a body that turned out to be of no use.
    pub(crate) fn remove(&mut self, digest: &BlockDigest) {
        if let Some(height) = self.heights.remove(digest) {
            self.bodies.remove(&(height, *digest));
        }
    }

    /// Returns whether a body is at hand in memory.
    pub(crate) fn contains(&self, digest: &BlockDigest) -> bool {
        self.heights.contains_key(digest)
    }

    /// Returns a block by digest, from memory or from the ledger.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub(crate) fn get(&self, digest: &BlockDigest) -> Result<Option<Arc<Block>>, LedgerError> {
        if let Some(block) = self.heights.get(digest).and_then(|height| self.bodies.get(&(*height, *digest))) {
            return Ok(Some(Arc::clone(block)));
        }
        Ok(self.ledger.block_by_digest(*digest)?.map(Arc::new))
    }

    /// Returns what unfinalized blocks hold, ascending.
    ///
    /// # Errors
    /// [`AncestryError`] when one of them is not stored or there are too many.
    pub(crate) fn ahead(&self, ancestors: &[BlockHeader]) -> Result<Ahead, AncestryError> {
        if ancestors.len() > ANCESTORS_MAX {
            return Err(AncestryError::TooLong { got: ancestors.len() });
        }
        let (mut ahead, accounts) = (Ahead::default(), FinalAccounts::new(self.ledger.as_ref()));
        for header in ancestors {
            let digest = header.digest();
            let block = self.get(&digest)?.ok_or(AncestryError::Missing(digest))?;
            ahead.extend(&block, &accounts);
        }
        Ok(ahead)
    }

    /// Returns whether a transaction is in one of the last [`DUP_WINDOW`] final blocks.
    #[must_use]
    pub(crate) fn recently_final(&self, hash: &TxHash) -> bool {
        let head = self.recent.back().map_or(Height::ZERO, |(height, _)| *height);
        let age = |height: &Height| head.get().saturating_sub(height.get());
        self.recent_heights.get(hash).is_some_and(|height| age(height) < DUP_WINDOW as u64)
    }

    /// Returns whether a transaction is in one of the last [`DUP_WINDOW`] final blocks here, or may be in one of a voter whose
    /// final head is up to [`DUP_MARGIN`] blocks behind: what a leader leaves out.
    #[must_use]
    pub(crate) fn recently_final_anywhere(&self, hash: &TxHash) -> bool {
        self.recent_heights.contains_key(hash)
    }

    /// Returns where the final chain has left the forced queue.
    #[must_use]
    pub(crate) const fn forced_position(&self) -> u64 {
        self.forced_position
    }

    /// Takes note of a block that became final, and forgets what lies at or below it.
    pub(crate) fn on_final(&mut self, block: &Block) {
        self.remember_final(block);
        self.forced_position = block.header.forced_position;
        let height = block.header.height;
        while let Some(entry) = self.bodies.first_entry() {
            if entry.key().0 > height {
                break;
            }
            let ((_, digest), _) = entry.remove_entry();
            self.heights.remove(&digest);
        }
    }

    fn remember_final(&mut self, block: &Block) {
        let height = block.header.height;
        let hashes: Vec<TxHash> = block.transactions.iter().map(|tx| *tx.hash()).collect();
        self.recent_heights.extend(hashes.iter().map(|hash| (*hash, height)));
        self.recent.push_back((height, hashes));
        while self.recent.len() > DUP_WINDOW + DUP_MARGIN {
            let Some((height, hashes)) = self.recent.pop_front() else { break };
            for hash in hashes {
                // It may have been in a later one again.
                if self.recent_heights.get(&hash) == Some(&height) {
                    self.recent_heights.remove(&hash);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{Domain, L1BlockNumber, L1ChainId, L1Origin};

    use super::*;
    use crate::{
        driver::testing::{L2, block_of, transaction},
        ledger::{ChainIdentity, MemoryLedger},
    };

    fn blocks() -> (Blocks, Arc<MemoryLedger>) {
        let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2 };
        let chain = ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let ledger = Arc::new(MemoryLedger::new(&chain).unwrap());
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: Default::default() };
        ledger.init_genesis(&BlockHeader::genesis(L2, origin, 1)).unwrap();
        (Blocks::new(Arc::<MemoryLedger>::clone(&ledger)).unwrap(), ledger)
    }

    #[test]
    fn leaders_leave_out_what_a_voter_behind_them_still_remembers() {
        let (mut here, _) = blocks();
        let (mut behind, _) = blocks();
        let mine = transaction(L2.get(), 0, 0);
        let last = (DUP_WINDOW + DUP_MARGIN) as u64;
        for height in 1..=last + 1 {
            let block = block_of(height, height, if height == 1 { vec![mine.clone()] } else { vec![] });
            here.on_final(&block);
            if height <= DUP_WINDOW as u64 {
                behind.on_final(&block);
            }
            let hash = mine.hash();
            assert_eq!(here.recently_final(hash), height <= DUP_WINDOW as u64, "{height}");
            assert_eq!(here.recently_final_anywhere(hash), height <= last, "{height}");
            // Nobody who is at most so far behind refuses what a leader takes.
            assert!(behind.recently_final(hash));
        }
        // Once more in a later block: it counts from there.
        here.on_final(&block_of(last + 2, last + 2, vec![mine.clone()]));
        assert!(here.recently_final(mine.hash()));
    }

    #[test]
    fn a_new_proposal_stays_while_many_stored_blocks_are_not_final() {
        let (mut blocks, ledger) = blocks();
        for height in 1..=2 * BODIES_MAX as u64 {
            let block = Arc::new(block_of(height, height, Vec::new()));
            let digest = block.header.digest();
            blocks.insert(Arc::clone(&block));
            assert!(blocks.get(&digest).unwrap().is_some(), "the proposal at height {height} can be judged");
            ledger.store_block(&block).unwrap();
        }
        assert_eq!(blocks.bodies.len(), BODIES_MAX);
        assert!(blocks.get(&block_of(1, 1, Vec::new()).header.digest()).unwrap().is_some(), "read back");
    }

    #[test]
    fn made_up_heights_make_room_for_the_next_block() {
        let (mut blocks, _) = blocks();
        for height in 1_000..1_000 + 2 * BODIES_MAX as u64 {
            blocks.insert(Arc::new(block_of(height, 1, Vec::new())));
        }
        let next = block_of(1, 1, Vec::new());
        let digest = next.header.digest();
        blocks.insert(Arc::new(next));
        assert!(blocks.contains(&digest));
        assert_eq!((blocks.bodies.len(), blocks.heights.len()), (BODIES_MAX, BODIES_MAX));
    }
}
