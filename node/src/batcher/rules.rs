//! What a batch is, when it may be closed, and by whom: decisions without I/O, clocks or keys.

use alloy_primitives::{B256, keccak256};
use baton_consensus::Schedule;
use baton_proto::{
    BatchHash, BatchHeader, BatchIndex, Block, BlockHeader, ChainSpec, DataKind, Epoch, Epochs, Height, L1BlockNumber,
    MemberIndex,
    batch_data::{self, BatchDataError},
    blobs,
    limits::BATCH_BLOCKS_MAX,
};

use crate::l1::{ChainFacts, InboxTip, data_hash};

/// L1 blocks by which a member's view may lag behind the proposer's without its refusing the proposal.
const TOLERANCE_BLOCKS: u64 = 1;

/// What a block adds to a batch's data besides its transactions, at most: its header's columns, uncompressed.
pub(super) const BLOCK_OVERHEAD_BYTES: u64 = 320;

/// What a batch must be to follow what L1 holds, as seen by one node.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The chain's parameters.
    pub spec: &'a ChainSpec,
    /// Which L1 blocks make up which epoch.
    pub epochs: Epochs,
    /// The epoch of the next batch.
    pub epoch: Epoch,
    /// What L1 waits for.
    pub tip: &'a InboxTip,
    /// The newest L1 block.
    pub head: L1BlockNumber,
    /// The L1 block at which this node first saw that the next batch can be complete; `None` if it has not.
    pub complete_since: Option<L1BlockNumber>,
}

/// What a node computes of a batch's blocks, and attests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roots {
    /// Root of the state after the last block; zero without an executor.
    pub state: B256,
    /// Root over the duties that were counted.
    pub duties: B256,
}

/// Why a proposed batch is not attested.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ProposalError {
    #[error("batch {got} is proposed, but L1 waits for {expected}")]
    WrongIndex { expected: BatchIndex, got: BatchIndex },
    #[error("previous batch is {got}, on L1 it is {expected}")]
    WrongPrevious { expected: BatchHash, got: BatchHash },
    #[error("epoch {got}, but the next batch is of epoch {expected}")]
    WrongEpoch { expected: Epoch, got: Epoch },
    #[error("starts at height {got}, L1 waits for {expected}")]
    WrongFirstHeight { expected: Height, got: Height },
    #[error("ends at height {last}, which makes no batch of 1 to {BATCH_BLOCKS_MAX} blocks from {first}")]
    WrongLength { first: Height, last: Height },
    #[error("ends at height {last}, which is of epoch {got}, but the batch is of epoch {expected}")]
    SpansEpochs { last: Height, expected: Epoch, got: Epoch },
    #[error("data of {got} bytes, at most {max} are allowed")]
    DataTooLong { max: u64, got: usize },
    #[error("data hash is {got}, the data's is {expected}")]
    WrongDataHash { expected: B256, got: B256 },
    #[error("member {member} has rank {rank} for this batch and may propose from L1 block {from}, now is {head}")]
    TooEarly { member: MemberIndex, rank: u64, from: L1BlockNumber, head: L1BlockNumber },
    #[error("ends at height {last}, but here only {head} is final")]
    NotFinalHere { last: Height, head: Height },
    #[error("{field} of the header is {got}, expected {expected}")]
    WrongField { field: &'static str, expected: String, got: String },
    #[error("the data cannot be read: {0}")]
    Data(String),
}

impl ProposalError {
    /// Returns whether only a faulty or lying proposer sends such a thing, whatever its view of L1.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            // Views of L1 and of the final chain differ for moments, and with them which epoch is worked on.
            Self::WrongIndex { .. }
            | Self::WrongPrevious { .. }
            | Self::WrongEpoch { .. }
            | Self::WrongFirstHeight { .. }
            | Self::TooEarly { .. }
            | Self::NotFinalHere { .. } => false,
            Self::WrongLength { .. }
            | Self::SpansEpochs { .. }
            | Self::DataTooLong { .. }
            | Self::WrongDataHash { .. }
            | Self::WrongField { .. }
            | Self::Data(_) => true,
        }
    }

    /// Returns whether the same proposal can become acceptable when L1 or the final chain moves on.
    #[must_use]
    pub const fn can_pass(&self) -> bool {
        matches!(self, Self::TooEarly { .. } | Self::NotFinalHere { .. })
    }
}

impl From<BatchDataError> for ProposalError {
    fn from(error: BatchDataError) -> Self {
        Self::Data(error.to_string())
    }
}

/// Returns a member's place in the queue for batch `index`: 0 for the poster of that turn, then in address order.
///
/// Source: protocol section 8; the turn of batch `i` is `i + 1`, as turns start at 1.
#[must_use]
pub fn rank(posters: &Schedule, members: usize, index: BatchIndex, member: MemberIndex) -> u64 {
    let members = members.max(1) as u64;
    let first = u64::from(posters.turn(index.get().saturating_add(1)).get());
    (u64::from(member.get()) + members - first % members) % members
}

impl<'a> Situation<'a> {
    /// Puts together what is known.
    #[must_use]
    pub const fn new(
        facts: &'a ChainFacts,
        epoch: Epoch,
        tip: &'a InboxTip,
        head: L1BlockNumber,
        complete_since: Option<L1BlockNumber>,
    ) -> Self {
        Self { spec: &facts.spec, epochs: facts.epochs(), epoch, tip, head, complete_since }
    }

    /// Returns the L1 block from which the next batch may be closed, whatever its size.
    #[must_use]
    pub fn due_by_age(&self) -> L1BlockNumber {
        L1BlockNumber::new(self.tip.accepted_at.get().saturating_add(self.spec.batch_age_blocks))
    }

    /// Returns the L1 block from which the next batch may be closed by rank 0, given whether it is complete.
    #[must_use]
    pub fn due(&self, is_complete: bool) -> L1BlockNumber {
        let age = self.due_by_age();
        if is_complete { age.min(self.complete_since.unwrap_or(self.head)) } else { age }
    }

    /// Returns the L1 block from which `rank` may propose: each rank waits POST_BACKOFF blocks for the one before.
    #[must_use]
    pub fn from_block(&self, is_complete: bool, rank: u64) -> L1BlockNumber {
        let wait = rank.saturating_mul(self.spec.post_backoff_blocks);
        L1BlockNumber::new(self.due(is_complete).get().saturating_add(wait))
    }

    /// Returns whether `rank` may propose now.
    #[must_use]
    pub fn may_propose(&self, is_complete: bool, rank: u64) -> bool {
        self.head >= self.from_block(is_complete, rank)
    }

    /// Returns the most data bytes of a batch of this kind on this chain; 0 for blobs where the chain has none.
    #[must_use]
    pub fn data_bytes_max(&self, kind: DataKind) -> usize {
        let chain_max = match kind {
            DataKind::Calldata => usize::try_from(self.spec.batch_bytes_max).unwrap_or(usize::MAX),
            DataKind::Blobs => blobs::data_bytes_max(self.spec.batch_blobs_max),
        };
        chain_max.min(kind.data_bytes_max())
    }

    /// Returns whether nothing can join a batch of this kind, of `data_len` bytes and `blocks` blocks, that ends with `last`: it
    /// ends the epoch, or the final block after it might not fit.
    ///
    /// Judged from what every member knows, so that proposer and members agree.
    #[must_use]
    pub fn is_complete(
        &self,
        (kind, data_len): (DataKind, usize),
        blocks: u64,
        last: &BlockHeader,
        next: Option<&BlockHeader>,
    ) -> bool {
        self.epochs.ends_with(last) || self.is_full(kind, data_len, blocks, next)
    }

    fn is_full(&self, kind: DataKind, data_len: usize, blocks: u64, next: Option<&BlockHeader>) -> bool {
        let Some(next) = next else { return false };
        let (data_len, max) = (data_len as u64, self.data_bytes_max(kind) as u64);
        let with_next = data_len.saturating_add(u64::from(next.payload_bytes)).saturating_add(BLOCK_OVERHEAD_BYTES);
        // Seven eighths: finding the longest prefix that fits exactly is not worth the compressions.
        blocks >= BATCH_BLOCKS_MAX as u64 || with_next > max || data_len.saturating_mul(8) >= max.saturating_mul(7)
    }

    /// Builds the header of the batch of `blocks`, which follow the tip, with the data's kind and hash; `None` without blocks.
    #[must_use]
    pub fn header(
        &self,
        (data_kind, data_hash): (DataKind, B256),
        blocks: &[Block],
        roots: Roots,
    ) -> Option<BatchHeader> {
        let first = &blocks.first()?.header;
        let last = &blocks.last()?.header;
        Some(BatchHeader {
            index: self.tip.next_index,
            prev_batch_hash: self.tip.last_hash,
            epoch: self.epoch,
            first_height: first.height,
            last_height: last.height,
            last_digest: last.digest(),
            last_origin: last.origin,
            state_root: roots.state,
            forced_position: last.forced_position,
            forced_hash: last.forced_hash,
            data_kind,
            data_hash,
            duties_root: roots.duties,
        })
    }

    /// Checks what the header and the data's length alone show, and the hash of calldata. That of blobs takes longer than a
    /// task may be held up: [`check_content`](Self::check_content) sees to it.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn check_header(&self, header: &BatchHeader, data: &[u8]) -> Result<(), ProposalError> {
        let tip = self.tip;
        if header.index != tip.next_index {
            return Err(ProposalError::WrongIndex { expected: tip.next_index, got: header.index });
        }
        if header.prev_batch_hash != tip.last_hash {
            return Err(ProposalError::WrongPrevious { expected: tip.last_hash, got: header.prev_batch_hash });
        }
        if header.epoch != self.epoch {
            return Err(ProposalError::WrongEpoch { expected: self.epoch, got: header.epoch });
        }
        let expected = tip.last_height.next().unwrap_or_default();
        if header.first_height != expected {
            return Err(ProposalError::WrongFirstHeight { expected, got: header.first_height });
        }
        if !(1..=BATCH_BLOCKS_MAX as u64).contains(&block_count(header)) {
            return Err(ProposalError::WrongLength { first: header.first_height, last: header.last_height });
        }
        let max = self.data_bytes_max(header.data_kind);
        if data.len() > max {
            return Err(ProposalError::DataTooLong { max: max as u64, got: data.len() });
        }
        match header.data_kind {
            DataKind::Calldata => check_hash(header, keccak256(data)),
            DataKind::Blobs => Ok(()),
        }
    }

    /// Checks that `member` may propose this batch now: its rank's time has come, give or take one L1 block.
    ///
    /// # Errors
    /// [`ProposalError::TooEarly`].
    pub fn check_turn(&self, member: MemberIndex, rank: u64, is_complete: bool) -> Result<(), ProposalError> {
        let from = self.from_block(is_complete, rank);
        if self.head.get().saturating_add(TOLERANCE_BLOCKS) >= from.get() {
            return Ok(());
        }
        Err(ProposalError::TooEarly { member, rank, from, head: self.head })
    }

    /// Checks that a batch that ends with `last`, this node's final block, holds blocks of one epoch only.
    ///
    /// # Errors
    /// [`ProposalError::SpansEpochs`].
    pub fn check_span(&self, last: &BlockHeader) -> Result<(), ProposalError> {
        if last.epoch == self.epoch {
            return Ok(());
        }
        Err(ProposalError::SpansEpochs { last: last.height, expected: self.epoch, got: last.epoch })
    }

    /// Checks that `header` and its data say what is final here, and that the header commits to this data: only to what is true
    /// is a commitment computed, which for blobs takes some 50 ms each.
    ///
    /// `own` are this node's final blocks of the header's heights, in order, and `roots` what it has found out itself: whoever
    /// executed to another state gets no attestation.
    ///
    /// # Errors
    /// [`ProposalError`].
    pub fn check_content(
        &self,
        header: &BatchHeader,
        data: &[u8],
        own: &[Block],
        roots: Roots,
    ) -> Result<(), ProposalError> {
        let Some(expected) = self.header((header.data_kind, header.data_hash), own, roots) else {
            return Err(ProposalError::WrongLength { first: header.first_height, last: header.last_height });
        };
        first_difference(&expected, header)?;
        batch_data::matches(data, own)?;
        let expected = data_hash(header.data_kind, data).map_err(|error| ProposalError::Data(error.to_string()))?;
        check_hash(header, expected)
    }
}

fn check_hash(header: &BatchHeader, expected: B256) -> Result<(), ProposalError> {
    if header.data_hash == expected {
        return Ok(());
    }
    Err(ProposalError::WrongDataHash { expected, got: header.data_hash })
}

/// Returns how many blocks the header spans; 0 when it ends before it starts.
#[must_use]
pub fn block_count(header: &BatchHeader) -> u64 {
    header.last_height.get().saturating_add(1).saturating_sub(header.first_height.get())
}

fn first_difference(expected: &BatchHeader, got: &BatchHeader) -> Result<(), ProposalError> {
    let pairs = [
        ("last digest", expected.last_digest.to_string(), got.last_digest.to_string()),
        ("last origin", format!("{:?}", expected.last_origin), format!("{:?}", got.last_origin)),
        ("state root", expected.state_root.to_string(), got.state_root.to_string()),
        ("forced position", expected.forced_position.to_string(), got.forced_position.to_string()),
        ("forced hash", expected.forced_hash.to_string(), got.forced_hash.to_string()),
        ("duties root", expected.duties_root.to_string(), got.duties_root.to_string()),
        ("hash", expected.hash().to_string(), got.hash().to_string()),
    ];
    match pairs.into_iter().find(|(_, expected, got)| expected != got) {
        Some((field, expected, got)) => Err(ProposalError::WrongField { field, expected, got }),
        None => Ok(()),
    }
}
