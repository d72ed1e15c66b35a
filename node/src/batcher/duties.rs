//! The table of duties along what L1 holds of the chain: each block is counted once, restarts included.
//!
//! ```text
//!   1 ────────── settled ─────────────── posted ──────────────── candidate
//!    on the disk │ in memory; back to settled │ counted anew for each,
//!                │ when L1 goes back          │ on a copy
//! ```
//! Each epoch has a table of its own, counted from the block that it starts from. The one on the disk is of the epoch that
//! was settled last.

use std::sync::Arc;

use alloy_primitives::B256;
use baton_consensus::{DutyTable, Schedule};
use baton_proto::{BlockDigest, BlockHeader, Duties, Epoch, Height};
use serde::{Deserialize, Serialize};
use tracing::{debug, warn};

use super::BatcherError;
use crate::{
    epoch::EpochContext,
    ledger::{Ledger, LedgerError},
};

/// Where the ledger keeps the settled table.
const KEY: &str = "duties";

/// The settled table as it is stored, its epoch, and the block that it was counted up to.
#[derive(Serialize, Deserialize)]
struct Stored {
    epoch: Epoch,
    height: Height,
    digest: BlockDigest,
    rows: Vec<Duties>,
}

/// A table and the height that it was counted up to.
#[derive(Clone)]
pub(super) struct Counted {
    height: Height,
    table: DutyTable,
}

impl Counted {
    fn nothing(epoch: &EpochContext) -> Self {
        Self { height: epoch.root.height, table: DutyTable::new(&epoch.committee) }
    }

    /// Returns what the stored table was, if it is of this epoch and counted up to a final block of this chain.
    fn stored(ledger: &dyn Ledger, epoch: &EpochContext) -> Result<Option<Self>, LedgerError> {
        let Some(bytes) = ledger.l1_fact(KEY)? else { return Ok(None) };
        let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else {
            warn!(epoch = %epoch.epoch, "the stored table of duties does not decode; counting from the epoch's start");
            return Ok(None);
        };
        if stored.epoch != epoch.epoch {
            debug!(epoch = %epoch.epoch, stored = %stored.epoch, "the stored table of duties is another epoch's");
            return Ok(None);
        }
        let header = ledger.header(stored.height)?.filter(|header| header.digest() == stored.digest);
        let table = header.and_then(|header| DutyTable::resume(&epoch.committee, stored.rows, &header));
        if table.is_none() {
            warn!(height = %stored.height, "the stored table of duties is of another chain; counting from the epoch's start");
        }
        Ok(table.map(|table| Self { height: stored.height, table }))
    }

    fn extend(&mut self, leaders: &Schedule, header: &BlockHeader) -> Result<(), BatcherError> {
        if !self.table.extend(leaders, header) {
            return Err(BatcherError::Views(header.height));
        }
        self.height = header.height;
        Ok(())
    }

    /// Returns the root of the table that follows with `headers`, the next ones of the final chain.
    pub(super) fn root_with<'a>(
        mut self,
        leaders: &Schedule,
        headers: impl Iterator<Item = &'a BlockHeader>,
    ) -> Result<B256, BatcherError> {
        for header in headers {
            self.extend(leaders, header)?;
        }
        Ok(self.table.root())
    }
}

/// Counts one epoch's duties along the final chain as L1 takes it.
pub(super) struct DutyCount {
    ledger: Arc<dyn Ledger>,
    epoch: Arc<EpochContext>,
    /// What L1 cannot take back.
    settled: Counted,
    posted: Counted,
}

impl DutyCount {
    /// Goes on from what is stored, if that is of `epoch`.
    pub(super) fn open(ledger: Arc<dyn Ledger>, epoch: Arc<EpochContext>) -> Result<Self, LedgerError> {
        let stored = Counted::stored(&*ledger, &epoch)?;
        let settled = stored.unwrap_or_else(|| Counted::nothing(&epoch));
        Ok(Self { ledger, epoch, posted: settled.clone(), settled })
    }

    /// Returns the table up to `posted`, the last height that L1 holds, which is not below the epoch's root; `settled` is the
    /// last that it holds finally, perhaps of an epoch before. What is new of the settled part is on the disk then.
    pub(super) fn up_to(&mut self, posted: Height, settled: Height) -> Result<Counted, BatcherError> {
        let settled = settled.min(posted);
        if self.settled.height < settled {
            self.settled = self.counted(self.settled.clone(), settled)?;
            self.store()?;
        }
        // Behind the settled part, it has it counted already; and L1 may have gone back.
        if self.posted.height < self.settled.height || self.posted.height > posted {
            self.posted = self.settled.clone();
        }
        if self.posted.height > posted {
            warn!(%posted, counted = %self.posted.height, "L1 took back what was final; counting duties from the epoch's start");
            self.posted = Counted::nothing(&self.epoch);
        }
        self.posted = self.counted(self.posted.clone(), posted)?;
        Ok(self.posted.clone())
    }

    fn counted(&self, mut counted: Counted, to: Height) -> Result<Counted, BatcherError> {
        while counted.height < to {
            let next = counted.height.next().unwrap_or(to);
            let header = self.ledger.header(next)?.ok_or(BatcherError::MissingBlock(next))?;
            counted.extend(&self.epoch.leaders, &header)?;
        }
        Ok(counted)
    }

    fn store(&self) -> Result<(), BatcherError> {
        let Counted { height, table } = &self.settled;
        let header = self.ledger.header(*height)?.ok_or(BatcherError::MissingBlock(*height))?;
        let stored =
            Stored { epoch: self.epoch.epoch, height: *height, digest: header.digest(), rows: table.rows().to_vec() };
        let bytes = serde_json::to_vec(&stored)
            .map_err(|error| LedgerError::Unwritable { what: "the table of duties", detail: error.to_string() })?;
        Ok(self.ledger.put_l1_fact(KEY, &bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{Block, L1BlockNumber, L1Origin};

    use super::*;
    use crate::{
        driver::testing::{L2, World, block_of},
        l1::{EpochFacts, testing::finalize},
        ledger::{ChainIdentity, MemoryLedger, tests::forget},
    };

    /// A final chain of forty blocks with every fifth view skipped, and who counts on it.
    struct Chain {
        epoch: Arc<EpochContext>,
        ledger: Arc<MemoryLedger>,
        blocks: Vec<Block>,
    }

    impl Chain {
        fn new() -> Self {
            let world = World::new(&[3, 2, 1]);
            let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
            let ledger = MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap();
            let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
            let mut parent = BlockHeader::genesis(L2, origin, 1);
            ledger.init_genesis(&parent).unwrap();
            let mut blocks = Vec::new();
            for height in 1..=40 {
                let mut block = block_of(height, height + height / 4, Vec::new());
                block.header.parent = parent.digest();
                parent = block.header.clone();
                blocks.push(block);
            }
            finalize(&ledger, &blocks);
            Self { epoch: world.epoch(), ledger: Arc::new(ledger), blocks }
        }

        fn count_by(&self, epoch: &Arc<EpochContext>) -> DutyCount {
            let ledger = Arc::<MemoryLedger>::clone(&self.ledger);
            DutyCount::open(ledger, Arc::clone(epoch)).unwrap()
        }

        /// What a process that starts now counts with.
        fn count(&self) -> DutyCount {
            self.count_by(&self.epoch)
        }

        /// The root at `height`, counted from the first block.
        fn root(&self, height: usize) -> B256 {
            let headers = self.blocks[..height].iter().map(|block| &block.header);
            Counted::nothing(&self.epoch).root_with(&self.epoch.leaders, headers).unwrap()
        }

        fn forget_below(&self, height: u64) {
            (1..height).for_each(|height| forget(&self.ledger, Height::new(height)));
        }
    }

    fn counted_root(count: &mut DutyCount, posted: u64, settled: u64) -> Result<B256, BatcherError> {
        Ok(count.up_to(Height::new(posted), Height::new(settled))?.table.root())
    }

    #[test]
    fn a_restart_counts_on_without_the_old_blocks() {
        let chain = Chain::new();
        let mut count = chain.count();
        assert_eq!(counted_root(&mut count, 10, 0).unwrap(), chain.root(10));
        assert_eq!(counted_root(&mut count, 30, 20).unwrap(), chain.root(30));
        chain.forget_below(20);
        let mut again = chain.count();
        assert_eq!(counted_root(&mut again, 30, 20).unwrap(), chain.root(30));
        assert_eq!(counted_root(&mut again, 38, 30).unwrap(), chain.root(38));
        chain.forget_below(30);
        assert_eq!(counted_root(&mut chain.count(), 38, 20).unwrap(), chain.root(38), "L1 shows less than it did");
        let candidate = chain.count().up_to(Height::new(35), Height::new(30)).unwrap();
        let rest = chain.blocks[35..].iter().map(|block| &block.header);
        assert_eq!(candidate.root_with(&chain.epoch.leaders, rest).unwrap(), chain.root(40));
    }

    #[test]
    fn when_l1_goes_back_only_what_is_not_settled_is_counted_again() {
        let chain = Chain::new();
        let mut count = chain.count();
        assert_eq!(counted_root(&mut count, 30, 20).unwrap(), chain.root(30));
        chain.forget_below(20);
        assert_eq!(counted_root(&mut count, 25, 20).unwrap(), chain.root(25));
        assert_eq!(counted_root(&mut count, 20, 20).unwrap(), chain.root(20));
        assert_eq!(counted_root(&mut count, 40, 30).unwrap(), chain.root(40));
        // Below what was final there, it is counted from the start, which needs all blocks.
        assert!(
            matches!(counted_root(&mut count, 15, 15), Err(BatcherError::MissingBlock(height)) if height == Height::new(1))
        );
    }

    #[test]
    fn what_is_stored_of_something_else_is_not_gone_on_from() {
        let chain = Chain::new();
        counted_root(&mut chain.count(), 30, 20).unwrap();
        let stored = chain.ledger.l1_fact(KEY).unwrap().unwrap();
        let other = |change: &dyn Fn(&mut Stored)| {
            let mut other: Stored = serde_json::from_slice(&stored).unwrap();
            change(&mut other);
            serde_json::to_vec(&other).unwrap()
        };
        let others = [
            b"nonsense".to_vec(),
            other(&|stored| stored.digest = BlockDigest::ZERO),
            other(&|stored| stored.height = Height::new(21)),
            other(&|stored| stored.height = Height::new(41)),
            other(&|stored| stored.rows.truncate(2)),
        ];
        for stored in others {
            chain.ledger.put_l1_fact(KEY, &stored).unwrap();
            assert_eq!(chain.count().settled.height, Height::ZERO, "{}", String::from_utf8_lossy(&stored));
        }
        chain.ledger.put_l1_fact(KEY, &stored).unwrap();
        assert_eq!(chain.count().settled.height, Height::new(20));
        assert_eq!(chain.count_by(&World::new(&[1, 1]).epoch()).settled.height, Height::ZERO);
    }

    #[test]
    fn each_epoch_has_a_table_of_its_own_across_restarts() {
        let chain = Chain::new();
        // Ten blocks of the next epoch, whose views begin anew, with other members.
        let others = World::new(&[1, 5]);
        let root = chain.blocks[39].header.clone();
        let facts = EpochFacts {
            epoch: Epoch::new(3),
            committee: others.committee.members().to_vec(),
            randomness: B256::repeat_byte(2),
        };
        let next = Arc::new(EpochContext::new(others.domain, &facts, root.clone(), None).unwrap());
        let mut blocks: Vec<Block> = Vec::new();
        for view in 1..=10 {
            let mut block = block_of(40 + view, 2 * view, Vec::new());
            block.header.epoch = next.epoch;
            block.header.parent = blocks.last().map_or(&root, |block| &block.header).digest();
            blocks.push(block);
        }
        finalize(&*chain.ledger, &blocks);
        let of_next = |height: usize| {
            let headers = blocks[..height - 40].iter().map(|block| &block.header);
            Counted::nothing(&next).root_with(&next.leaders, headers).unwrap()
        };

        // The epoch before is settled up to its thirtieth block when the first batch of the next one is made.
        assert_eq!(counted_root(&mut chain.count(), 40, 30).unwrap(), chain.root(40));
        let mut count = chain.count_by(&next);
        assert_eq!(counted_root(&mut count, 40, 30).unwrap(), Counted::nothing(&next).table.root());
        assert_eq!(counted_root(&mut count, 44, 40).unwrap(), of_next(44));
        // So it is after a restart, and nothing of the epoch before is forgotten as long as L1 can go back there.
        assert_eq!(counted_root(&mut chain.count_by(&next), 44, 40).unwrap(), of_next(44));
        chain.forget_below(30);
        assert_eq!(counted_root(&mut chain.count(), 40, 30).unwrap(), chain.root(40));

        assert_eq!(counted_root(&mut chain.count_by(&next), 48, 46).unwrap(), of_next(48));
        chain.forget_below(46);
        assert_eq!(counted_root(&mut chain.count_by(&next), 50, 46).unwrap(), of_next(50));
        // What is stored is not taken for the other epoch's, though that has as many members.
        let twin = EpochFacts { epoch: Epoch::new(4), ..facts };
        let twin = Arc::new(EpochContext::new(others.domain, &twin, root, None).unwrap());
        assert_eq!(chain.count_by(&twin).settled.height, Height::new(40));
    }
}
