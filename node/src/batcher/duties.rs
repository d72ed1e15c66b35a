//! The table of duties along what L1 holds of the chain: each block is counted once, restarts included.
//!
//! ```text
//!   1 ────────── settled ─────────────── posted ──────────────── candidate
//!    on the disk │ in memory; back to settled │ counted anew for each,
//!                │ when L1 goes back          │ on a copy
//! ```

use std::sync::Arc;

use alloy_primitives::B256;
use baton_consensus::{Committee, DutyTable, Schedule};
use baton_proto::{BlockDigest, BlockHeader, Duties, Height};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::BatcherError;
use crate::ledger::{Ledger, LedgerError};

/// Where the ledger keeps the settled table.
const KEY: &str = "duties";

/// The settled table as it is stored, and the block that it was counted up to.
#[derive(Serialize, Deserialize)]
struct Stored {
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
    fn nothing(committee: &Committee) -> Self {
        Self { height: Height::ZERO, table: DutyTable::new(committee) }
    }

    /// Returns what the stored table was, if it is of this chain's final block and of this committee.
    fn stored(ledger: &dyn Ledger, committee: &Committee) -> Result<Option<Self>, LedgerError> {
        let Some(bytes) = ledger.l1_fact(KEY)? else { return Ok(None) };
        let Ok(stored) = serde_json::from_slice::<Stored>(&bytes) else {
            warn!("the stored table of duties does not decode; counting from the start");
            return Ok(None);
        };
        let header = ledger.header(stored.height)?.filter(|header| header.digest() == stored.digest);
        let table = header.and_then(|header| DutyTable::resume(committee, stored.rows, &header));
        if table.is_none() {
            warn!(height = %stored.height, "the stored table of duties is of another chain; counting from the start");
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

/// Counts along the final chain as L1 takes it.
pub(super) struct DutyCount {
    ledger: Arc<dyn Ledger>,
    committee: Arc<Committee>,
    leaders: Schedule,
    /// What L1 cannot take back.
    settled: Counted,
    posted: Counted,
}

impl DutyCount {
    /// Goes on from what an earlier process stored.
    pub(super) fn open(
        ledger: Arc<dyn Ledger>,
        committee: Arc<Committee>,
        leaders: Schedule,
    ) -> Result<Self, LedgerError> {
        let stored = Counted::stored(&*ledger, &committee)?;
        let settled = stored.unwrap_or_else(|| Counted::nothing(&committee));
        Ok(Self { ledger, committee, leaders, posted: settled.clone(), settled })
    }

    /// Returns the table up to `posted`, the last height that L1 holds; `settled` is the last that it holds finally. What is
    /// new of the settled part is on the disk then.
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
            warn!(%posted, counted = %self.posted.height, "L1 took back what was final; counting duties from the start");
            self.posted = Counted::nothing(&self.committee);
        }
        self.posted = self.counted(self.posted.clone(), posted)?;
        Ok(self.posted.clone())
    }

    fn counted(&self, mut counted: Counted, to: Height) -> Result<Counted, BatcherError> {
        while counted.height < to {
            let next = counted.height.next().unwrap_or(to);
            let header = self.ledger.header(next)?.ok_or(BatcherError::MissingBlock(next))?;
            counted.extend(&self.leaders, &header)?;
        }
        Ok(counted)
    }

    fn store(&self) -> Result<(), BatcherError> {
        let Counted { height, table } = &self.settled;
        let header = self.ledger.header(*height)?.ok_or(BatcherError::MissingBlock(*height))?;
        let stored = Stored { height: *height, digest: header.digest(), rows: table.rows().to_vec() };
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
        l1::testing::finalize,
        ledger::{ChainIdentity, MemoryLedger, tests::forget},
    };

    /// A final chain of forty blocks with every fifth view skipped, and who counts on it.
    struct Chain {
        world: World,
        leaders: Schedule,
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
            let leaders = Schedule::leaders(&world.domain, &world.committee, B256::ZERO);
            Self { world, leaders, ledger: Arc::new(ledger), blocks }
        }

        fn count_by(&self, committee: &Arc<Committee>) -> DutyCount {
            let ledger = Arc::<MemoryLedger>::clone(&self.ledger);
            DutyCount::open(ledger, Arc::clone(committee), self.leaders.clone()).unwrap()
        }

        /// What a process that starts now counts with.
        fn count(&self) -> DutyCount {
            self.count_by(&self.world.committee)
        }

        /// The root at `height`, counted from the first block.
        fn root(&self, height: usize) -> B256 {
            let headers = self.blocks[..height].iter().map(|block| &block.header);
            Counted::nothing(&self.world.committee).root_with(&self.leaders, headers).unwrap()
        }

        fn forget_below(&self, height: u64) {
            (1..height).for_each(|height| forget(&self.ledger, Height::new(height)));
        }
    }

    fn root(count: &mut DutyCount, posted: u64, settled: u64) -> Result<B256, BatcherError> {
        Ok(count.up_to(Height::new(posted), Height::new(settled))?.table.root())
    }

    #[test]
    fn a_restart_counts_on_without_the_old_blocks() {
        let chain = Chain::new();
        let mut count = chain.count();
        assert_eq!(root(&mut count, 10, 0).unwrap(), chain.root(10));
        assert_eq!(root(&mut count, 30, 20).unwrap(), chain.root(30));
        chain.forget_below(20);
        let mut again = chain.count();
        assert_eq!(root(&mut again, 30, 20).unwrap(), chain.root(30));
        assert_eq!(root(&mut again, 38, 30).unwrap(), chain.root(38));
        chain.forget_below(30);
        assert_eq!(root(&mut chain.count(), 38, 20).unwrap(), chain.root(38), "L1 shows less than it did");
        let candidate = chain.count().up_to(Height::new(35), Height::new(30)).unwrap();
        let rest = chain.blocks[35..].iter().map(|block| &block.header);
        assert_eq!(candidate.root_with(&chain.leaders, rest).unwrap(), chain.root(40));
    }

    #[test]
    fn when_l1_goes_back_only_what_is_not_settled_is_counted_again() {
        let chain = Chain::new();
        let mut count = chain.count();
        assert_eq!(root(&mut count, 30, 20).unwrap(), chain.root(30));
        chain.forget_below(20);
        assert_eq!(root(&mut count, 25, 20).unwrap(), chain.root(25));
        assert_eq!(root(&mut count, 20, 20).unwrap(), chain.root(20));
        assert_eq!(root(&mut count, 40, 30).unwrap(), chain.root(40));
        // Below what was final there, it is counted from the start, which needs all blocks.
        assert!(
            matches!(root(&mut count, 15, 15), Err(BatcherError::MissingBlock(height)) if height == Height::new(1))
        );
    }

    #[test]
    fn what_is_stored_of_something_else_is_not_gone_on_from() {
        let chain = Chain::new();
        root(&mut chain.count(), 30, 20).unwrap();
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
        assert_eq!(chain.count_by(&World::new(&[1, 1]).committee).settled.height, Height::ZERO);
    }
}
