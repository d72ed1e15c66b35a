//! Closing the next batch: when, with which blocks, and which way its data goes.

use std::sync::Arc;

use alloy_primitives::Bytes;
use baton_proto::{
    Block, DataKind, Height, L1BlockNumber,
    batch_data::{self, BatchDataError},
    wire::ConsensusMessage,
};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use super::{Work, posting::store, prices::Prices};
use crate::{
    batcher::{
        BatcherError,
        blocks::{state_root, unposted_blocks},
        duties::Counted,
        round::Held,
        rules::{BLOCK_OVERHEAD_BYTES, Roots, Situation, rank},
    },
    l1::{ChainFacts, InboxTip, InboxView, KzgError, cheaper, data_hash},
};

/// How much the unposted bytes must grow before it is tried again whether they fill a batch, in percent.
const FULL_RETRY_PERCENT: u64 = 125;

/// An upper bound of the bytes that the unposted blocks need, kept without reading a block twice.
#[derive(Clone, Copy, Default)]
pub(super) struct Size {
    up_to: Height,
    bytes: u64,
    /// Whether the epoch's last block is among them. None beyond it counts.
    ends_epoch: bool,
    /// Bytes from which it is worth trying whether they fill a batch.
    try_at: u64,
}

impl Size {
    /// Of the blocks after `up_to`, none of which is counted yet.
    pub(super) fn after(up_to: Height) -> Self {
        Self { up_to, ..Self::default() }
    }
}

impl Work {
    /// Closes a batch if it is this node's turn, or that of nobody before it any more.
    pub(super) async fn propose(&mut self, view: &InboxView, final_height: Height) -> Result<(), BatcherError> {
        let Some(me) = self.by.me() else { return Ok(()) };
        let Some(round) = &self.round else { return Ok(()) };
        let (tip, instead_since) = (round.tip, round.wants_calldata_since());
        let has_proposed = round
            .proposal_of(me)
            .is_some_and(|mine| instead_since.is_none() || mine.header.data_kind == DataKind::Calldata);
        let is_certified = round.certified().is_some() && instead_since.is_none();
        if is_certified || has_proposed || final_height <= tip.last_height {
            return Ok(());
        }
        let (facts, epoch) = (Arc::clone(&self.context.facts), self.epoch.epoch);
        let situation = Situation::new(&facts, epoch, &tip, view.head, round.complete_since);
        let rank = rank(&self.by.posters, self.by.committee.len(), tip.next_index, me);
        // By age all ranks might long since: they take turns anew, or too many batches would compete for attestations.
        let wait = rank.saturating_mul(facts.spec.post_backoff_blocks);
        if instead_since.is_some_and(|since| view.head.get() < since.get().saturating_add(wait)) {
            return Ok(());
        }
        let by_age = situation.may_propose(false, rank);
        let first_look = round.complete_since.is_none();
        self.grow_size(final_height)?;
        let limit = situation.data_bytes_max(self.kind) as u64;
        if self.size.try_at == 0 {
            self.size.try_at = limit;
        }
        let can_be_complete = self.size.ends_epoch || self.size.bytes >= self.size.try_at;
        let may_be_complete = can_be_complete && (first_look || situation.may_propose(true, rank));
        if !by_age && !may_be_complete {
            return Ok(());
        }
        let counted = self.duties.up_to(tip.last_height, view.settled.last_height)?;
        let Some(candidate) = self.build(&facts, tip, counted, view, final_height).await? else { return Ok(()) };
        self.kind = candidate.kind;
        if candidate.is_complete {
            if let Some(round) = &mut self.round {
                round.complete_since.get_or_insert(view.head);
            }
        } else {
            self.size.try_at = (self.size.bytes.max(limit) / 100).saturating_mul(FULL_RETRY_PERCENT);
        }
        let complete_since = self.round.as_ref().and_then(|round| round.complete_since);
        let situation = Situation::new(&facts, epoch, &tip, view.head, complete_since);
        if !situation.may_propose(candidate.is_complete, rank) {
            return Ok(());
        }
        let is_complete = candidate.is_complete;
        let Some(held) = self.close(&facts, tip, candidate, view).await? else { return Ok(()) };
        info!(
            index = %held.header.index,
            first_height = %held.header.first_height,
            last_height = %held.header.last_height,
            kind = ?held.header.data_kind,
            bytes = held.data.len(),
            rank,
            complete = is_complete,
            "batch closed"
        );
        if let Some(round) = &mut self.round {
            round.propose(me, held.clone());
        }
        self.proposed_by_me = Some(held.header.clone());
        // Durable with the attestation, before it is sent.
        store(&*self.context.ledger, &held.header, &held.data, None)?;
        self.tell_proposal(&held);
        self.attest(me, &held).await
    }

    pub(super) fn tell_proposal(&self, Held { header, data, .. }: &Held) {
        self.context.outbound.broadcast(ConsensusMessage::BatchProposal {
            committee_epoch: self.by.epoch,
            header: header.clone(),
            data: data.clone(),
        });
    }

    async fn build(
        &mut self,
        facts: &Arc<ChainFacts>,
        tip: InboxTip,
        counted: Counted,
        view: &InboxView,
        final_height: Height,
    ) -> Result<Option<Candidate>, BatcherError> {
        let instead = self.round.as_ref().is_some_and(|round| round.wants_calldata_since().is_some());
        let avoids_blobs = view.head < self.calldata_until;
        let prices = match instead || avoids_blobs {
            true => Some(Prices::Fixed(DataKind::Calldata)),
            false => self.prices(facts).await,
        };
        let Some(prices) = prices else { return Ok(None) };
        let (ledger, context) = (Arc::clone(&self.context.ledger), Arc::clone(&self.epoch));
        let (facts, head) = (Arc::clone(facts), view.head);
        let built = spawn_blocking(move || -> Result<Result<Candidate, BatchDataError>, BatcherError> {
            let situation = Situation::new(&facts, context.epoch, &tip, head, None);
            let first = tip.last_height.next().unwrap_or_default();
            let blocks = unposted_blocks(&*ledger, context.epoch, first, final_height)?;
            let (kind, (data, count)) = match encode(&situation, prices, &blocks) {
                Ok(encoded) => encoded,
                Err(error) => return Ok(Err(error)),
            };
            let mut own = blocks;
            own.truncate(count);
            let next = match own.last().and_then(|block| block.header.height.next()) {
                Some(next) if next <= final_height => ledger.header(next)?,
                _ => None,
            };
            let duties = counted.root_with(&context.leaders, own.iter().map(|block| &block.header))?;
            let last = own.last().map_or(tip.last_height, |last| last.header.height);
            let roots = Roots { state: state_root(&*ledger, last)?, duties };
            let is_complete = own.last().is_some_and(|last| {
                situation.is_complete((kind, data.len()), own.len() as u64, &last.header, next.as_ref())
            });
            Ok(Ok(Candidate { kind, data: data.into(), own, roots, is_complete }))
        })
        .await??;
        match built {
            Ok(candidate) => {
                self.stuck = false;
                Ok(Some(candidate))
            }
            Err(error) if instead => {
                warn!(%error, height = %tip.last_height, "the next block does not fit calldata: the batch waits for L1 to take blobs");
                if let Some(round) = &mut self.round {
                    round.stay_with_blobs();
                }
                Ok(None)
            }
            Err(error) if avoids_blobs => {
                warn!(%error, height = %tip.last_height, "the next block does not fit calldata: blobs are tried again");
                self.calldata_until = L1BlockNumber::ZERO;
                Ok(None)
            }
            Err(error) => {
                // The chain spec lets blocks be larger than a batch: nothing can be posted any more.
                if !self.stuck {
                    error!(%error, height = %tip.last_height, "the next final blocks make no batch");
                    self.stuck = true;
                }
                Ok(None)
            }
        }
    }

    /// Commits to the data, which takes long for blobs, and makes the batch. `None` if there is none.
    async fn close(
        &self,
        facts: &Arc<ChainFacts>,
        tip: InboxTip,
        candidate: Candidate,
        view: &InboxView,
    ) -> Result<Option<Held>, BatcherError> {
        let (facts, epoch, head) = (Arc::clone(facts), self.epoch.epoch, view.head);
        let Candidate { kind, data, own, roots, .. } = candidate;
        let closed = spawn_blocking(move || {
            let hash = data_hash(kind, &data)?;
            let header = Situation::new(&facts, epoch, &tip, head, None).header((kind, hash), &own, roots);
            Ok::<_, KzgError>(header.map(|header| Held::new(header, data)))
        })
        .await?;
        Ok(closed.unwrap_or_else(|error| {
            // The data was cut to what its kind holds.
            error!(%error, height = %tip.last_height, "the next batch's data cannot be committed to");
            None
        }))
    }

    fn grow_size(&mut self, final_height: Height) -> Result<(), BatcherError> {
        let limit = self.context.facts.spec.batch_bytes_max.saturating_mul(64);
        while self.size.up_to < final_height && self.size.bytes < limit && !self.size.ends_epoch {
            let next = self.size.up_to.next().unwrap_or(final_height);
            let header = self.context.ledger.header(next)?.ok_or(BatcherError::MissingBlock(next))?;
            let bytes = u64::from(header.payload_bytes).saturating_add(BLOCK_OVERHEAD_BYTES);
            self.size.bytes = self.size.bytes.saturating_add(bytes);
            self.size.up_to = next;
            self.size.ends_epoch = self.context.facts.epochs().ends_with(&header);
        }
        Ok(())
    }
}

/// What the next batch would be.
struct Candidate {
    kind: DataKind,
    data: Bytes,
    /// Its blocks.
    own: Vec<Block>,
    /// Of the state after its last block, and of the duties up to it.
    roots: Roots,
    is_complete: bool,
}

/// Returns the way that the next batch takes, its data, and how many of `blocks` it holds.
fn encode(
    situation: &Situation<'_>,
    prices: Prices,
    blocks: &[Block],
) -> Result<(DataKind, (Vec<u8>, usize)), BatchDataError> {
    let encode = |kind| batch_data::encode_prefix(blocks, situation.data_bytes_max(kind));
    let prices = match prices {
        Prices::Fixed(kind) => return Ok((kind, encode(kind)?)),
        Prices::Now(prices) => prices,
    };
    let encoded = encode(DataKind::Blobs)?;
    let calldata_max = situation.data_bytes_max(DataKind::Calldata);
    Ok(match cheaper(prices, encoded.0.len(), calldata_max) {
        DataKind::Calldata if encoded.0.len() <= calldata_max => (DataKind::Calldata, encoded),
        DataKind::Calldata => match encode(DataKind::Calldata) {
            Ok(shorter) => (DataKind::Calldata, shorter),
            // A block that calldata cannot hold travels in blobs, whatever they cost.
            Err(_) => (DataKind::Blobs, encoded),
        },
        DataKind::Blobs => (DataKind::Blobs, encoded),
    })
}
