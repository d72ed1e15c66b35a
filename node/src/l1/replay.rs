//! Rebuilds a chain from L1 alone: what anyone can do, whatever becomes of the sequencers.

use std::time::Duration;

use alloy::{
    consensus::Transaction as _,
    rpc::types::{Filter, Log},
};
use alloy_primitives::{B256, Bytes, TxHash, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use baton_consensus::{DutyTable, VerifyError};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, Block, BlockHeader, Certificate, DataKind, Epoch, ForcedEntry,
    Height, L1BlockNumber, SignerSet, Statement,
    batch_data::{self, BatchContext, BatchDataError},
    blobs::{self, BlobsError},
};
use tracing::warn;

use super::{
    bindings::{BatchInbox, BindingError, batch_header_from_l1, signature_from_l1},
    client::{At, L1Client},
    epoch_facts::read_epoch_facts,
    error::L1Error,
    facts::{ChainFacts, FactsError},
    forced::{nothing_read, read_entries},
    inbox::read_tip,
};
use crate::{
    epoch::{EpochContext, EpochError, epoch_after},
    ledger::BatchRecord,
};

/// How often L1 is asked whether what an epoch rests on is final. Where a batch of it stands it mostly is.
const POLL: Duration = Duration::from_secs(1);

/// A batch as L1 holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedBatch {
    /// Its header.
    pub header: BatchHeader,
    /// The certificate that the inbox accepted.
    pub certificate: Certificate,
    /// Its data. Empty where blobs hold it, the node never had it, and no beacon endpoint is configured.
    pub data: Bytes,
    /// The L1 block that accepted it.
    pub l1_block: L1BlockNumber,
    /// The transaction that carried it.
    pub transaction: TxHash,
}

/// A chain as L1 holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostedChain {
    /// Its batches, from index 0.
    pub batches: Vec<PostedBatch>,
    /// Their blocks, from height 1.
    pub blocks: Vec<Block>,
}

/// Why what L1 holds is no chain of Baton. None of these can come from an inbox that runs the committed contracts.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ReplayError {
    #[error(transparent)]
    L1(#[from] L1Error),
    #[error(transparent)]
    Facts(FactsError),
    #[error(transparent)]
    Epoch(#[from] EpochError),
    #[error("batch {index}: {error}")]
    Binding { index: BatchIndex, error: BindingError },
    #[error("the batch at index {expected} is missing on L1, the next one there is {got}")]
    Gap { expected: BatchIndex, got: BatchIndex },
    #[error("batch {index}: {what} is {got}, expected {expected}")]
    Mismatch { index: BatchIndex, what: &'static str, expected: String, got: String },
    #[error("batch {index}: {error}")]
    Certificate { index: BatchIndex, error: VerifyError },
    #[error("batch {index}: {error}")]
    Data { index: BatchIndex, error: BatchDataError },
    #[error("batch {index}: {error}")]
    Blobs { index: BatchIndex, error: BlobsError },
    #[error("batch {index}: its blocks' views do not ascend within the epoch")]
    Views { index: BatchIndex },
    #[error(
        "batch {index}: the block at height {height} is of epoch {got}, but after its parent comes epoch {expected}"
    )]
    WrongEpoch { index: BatchIndex, height: Height, expected: Epoch, got: Epoch },
    #[error("batch {index}: it is certified by epoch {got}, which L1 does not accept at its block {at}")]
    WrongCertifier { index: BatchIndex, got: Epoch, at: L1BlockNumber },
}

impl ReplayError {
    /// Returns whether L1 may tell it otherwise later. Everything else stays as it is until this program is another.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::L1(error) => error.is_retryable(),
            Self::Facts(error) => error.is_retryable(),
            Self::Epoch(_)
            | Self::Binding { .. }
            | Self::Gap { .. }
            | Self::Mismatch { .. }
            | Self::Certificate { .. }
            | Self::Data { .. }
            | Self::Blobs { .. }
            | Self::Views { .. }
            | Self::WrongEpoch { .. }
            | Self::WrongCertifier { .. } => false,
        }
    }
}

impl From<FactsError> for ReplayError {
    fn from(error: FactsError) -> Self {
        match error {
            FactsError::L1(error) => Self::L1(error),
            error => Self::Facts(error),
        }
    }
}

/// What a node has of a batch that L1 accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Had {
    /// All of it.
    All,
    /// A record of it, whose header has the hash that L1 tells. Its data was checked, and is empty where this node never had
    /// what blobs hold.
    Record(Box<BatchRecord>),
    /// Nothing.
    Nothing,
}

/// Reads the batches that the inbox accepted in the L1 blocks `from` to `to`, both included, except those that `had` says are
/// here. Blobs are fetched where the data is not here, if a beacon endpoint is configured.
///
/// What L1 shows of a batch may be unreadable for good; this node's own record of it, with a certificate, does instead.
///
/// # Errors
/// [`ReplayError`].
pub async fn posted_batches(
    client: &L1Client,
    facts: &ChainFacts,
    from: L1BlockNumber,
    to: L1BlockNumber,
    had: impl Fn(BatchIndex, BatchHash) -> Had,
) -> Result<Vec<PostedBatch>, ReplayError> {
    let mut batches = Vec::new();
    for log in posted_logs(client, facts, from, to).await? {
        let event = event_of(&log)?;
        let had = had(BatchIndex::new(event.index), BatchHash::new(event.batchHash));
        if had == Had::All {
            continue;
        }
        let mut read = match (read_post(client, &log).await, &had) {
            (Err(error), Had::Record(own)) if !error.is_retryable() => {
                let read = own_post(own, &log)?.ok_or(error)?;
                warn!(
                    index = event.index,
                    "L1 shows a batch in a form that cannot be read; what this node has of it counts"
                );
                read
            }
            (read, _) => read?,
        };
        match had {
            Had::Record(own) if !own.data.is_empty() => read.posted.data = own.data,
            Had::Record(_) | Had::Nothing if client.has_beacon() => read.fetch(client).await?,
            Had::Record(_) | Had::Nothing | Had::All => {}
        }
        batches.push(read.posted);
    }
    Ok(batches)
}

/// Rebuilds the whole chain up to L1's newest block and checks everything that is checkable: order, links, every
/// certificate against the committee of its epoch, as L1 has it, data hashes, decoding, where an epoch ends, the headers' last
/// block and duties.
///
/// # Errors
/// [`ReplayError`].
pub async fn read_posted_chain(client: &L1Client, facts: &ChainFacts) -> Result<PostedChain, ReplayError> {
    let mut epoch = EpochContext::new(facts.domain, &facts.first, facts.genesis.clone(), None)?;
    let mut duties = DutyTable::new(&epoch.committee);
    // Certifies batches of an epoch that is too old for L1.
    let mut later: Option<EpochContext> = None;

    let mut chain = PostedChain { batches: Vec::new(), blocks: Vec::new() };
    let head = client.existing_block(At::Latest).await?.origin.number;
    let queue = read_queue(client, facts, head).await?;
    let entry_at = |position| queue.get(usize::try_from(position).ok()?).cloned();
    for log in posted_logs(client, facts, facts.genesis_l1, head).await? {
        let mut read = read_post(client, &log).await?;
        read.fetch(client).await?;
        let batch = read.posted;
        let parent = chain.blocks.last().map_or(&facts.genesis, |block| &block.header);
        let previous = chain.batches.last().map(|batch| &batch.header);
        check_order(&batch.header, previous, parent)?;
        let index = batch.header.index;
        check_epoch(facts, index, parent, batch.header.epoch)?;
        if batch.header.epoch != epoch.epoch {
            epoch = read_epoch(client, facts, batch.header.epoch, parent).await?;
            duties = DutyTable::new(&epoch.committee);
        }
        let by = batch.certificate.statement.epoch();
        if !facts.certifiers(epoch.epoch, batch.l1_block).contains(&by) {
            return Err(ReplayError::WrongCertifier { index, got: by, at: batch.l1_block });
        }
        if by != epoch.epoch && later.as_ref().is_none_or(|later| later.epoch != by) {
            later = Some(read_epoch(client, facts, by, parent).await?);
        }
        let certifier = later.as_ref().filter(|later| later.epoch == by).unwrap_or(&epoch);
        certifier
            .verifier
            .verify_certificate(batch.certificate.clone())
            .map_err(|error| ReplayError::Certificate { index, error })?;
        let context = BatchContext::after_block(parent, batch.header.epoch);
        let blocks =
            batch_data::decode(&batch.data, &context, entry_at).map_err(|error| ReplayError::Data { index, error })?;
        let mut parent = parent;
        for Block { header, .. } in &blocks {
            check_epoch(facts, index, parent, header.epoch)?;
            if !duties.extend(&epoch.leaders, header) {
                return Err(ReplayError::Views { index });
            }
            parent = header;
        }
        check_last(&batch.header, &blocks, duties.root())?;
        chain.blocks.extend(blocks);
        chain.batches.push(batch);
    }
    // An endpoint that leaves out events must not make the chain look shorter than it is.
    let tip = read_tip(client, facts, At::Number(head)).await?;
    let last = chain.batches.last().map_or(BatchHash::ZERO, |batch| batch.header.hash());
    if tip.last_hash != last {
        let what = format!("event of batch {} up to block {head}", tip.next_index.previous().unwrap_or_default());
        return Err(L1Error::Missing { what }.into());
    }
    Ok(chain)
}

/// Returns the whole forced queue up to block `to`: batches leave out the bytes of what they take of it.
async fn read_queue(client: &L1Client, facts: &ChainFacts, to: L1BlockNumber) -> Result<Vec<ForcedEntry>, ReplayError> {
    let (mut queue, mut cursor) = (Vec::new(), nothing_read(facts));
    while cursor.read_to < to {
        let (entries, after) = read_entries(client, facts, &cursor, to).await?;
        queue.extend(entries);
        cursor = after;
    }
    Ok(queue)
}

async fn read_epoch(
    client: &L1Client,
    facts: &ChainFacts,
    epoch: Epoch,
    root: &BlockHeader,
) -> Result<EpochContext, ReplayError> {
    let read = read_epoch_facts(client, facts, epoch, POLL).await?;
    Ok(EpochContext::new(facts.domain, &read, root.clone(), None)?)
}

fn check_epoch(facts: &ChainFacts, index: BatchIndex, parent: &BlockHeader, got: Epoch) -> Result<(), ReplayError> {
    let expected = epoch_after(&facts.epochs(), parent);
    if got == expected {
        return Ok(());
    }
    let height = parent.height.next().unwrap_or_default();
    Err(ReplayError::WrongEpoch { index, height, expected, got })
}

fn filter(facts: &ChainFacts) -> Filter {
    Filter::new().address(facts.inbox).event_signature(BatchInbox::BatchPosted::SIGNATURE_HASH)
}

async fn posted_logs(
    client: &L1Client,
    facts: &ChainFacts,
    from: L1BlockNumber,
    last: L1BlockNumber,
) -> Result<Vec<Log>, ReplayError> {
    let mut logs = Vec::new();
    let mut from = from.get();
    while from <= last.get() {
        let (found, to) = client
            .log_range()
            .first_logs(from, last.get(), |from, to| {
                let filter = filter(facts).from_block(from).to_block(to);
                async move { client.logs(&filter).await }
            })
            .await?;
        logs.extend(found);
        from = to.saturating_add(1);
    }
    Ok(logs)
}

fn event_of(log: &Log) -> Result<BatchInbox::BatchPosted, ReplayError> {
    BatchInbox::BatchPosted::decode_log_data(log.data())
        .map_err(|error| ReplayError::L1(L1Error::Unreadable { method: "eth_getLogs", message: error.to_string() }))
}

/// A batch as its transaction shows it.
struct Post {
    posted: PostedBatch,
    /// Of the blobs that hold the data; empty for calldata.
    versioned_hashes: Vec<B256>,
}

impl Post {
    /// Completes the data, where it is known which blobs hold it.
    async fn fetch(&mut self, client: &L1Client) -> Result<(), ReplayError> {
        if self.posted.header.data_kind == DataKind::Blobs && !self.versioned_hashes.is_empty() {
            let index = self.posted.header.index;
            let blobs = client.blobs(self.posted.l1_block, &self.versioned_hashes).await?;
            self.posted.data = blobs::unpack(&blobs).map_err(|error| ReplayError::Blobs { index, error })?.into();
        }
        Ok(())
    }
}

fn missing(what: &str) -> ReplayError {
    ReplayError::L1(L1Error::Missing { what: what.to_owned() })
}

/// Returns the L1 block and the transaction of a log.
fn place_of(log: &Log) -> Result<(L1BlockNumber, TxHash), ReplayError> {
    let hash = log.transaction_hash.ok_or_else(|| missing("transaction of a log"))?;
    let l1_block = log.block_number.ok_or_else(|| missing("block of a log"))?;
    Ok((L1BlockNumber::new(l1_block), hash))
}

/// Returns what L1 told in `log` as this node's own record has it; `None` without a certificate there.
fn own_post(own: &BatchRecord, log: &Log) -> Result<Option<Post>, ReplayError> {
    let (l1_block, transaction) = place_of(log)?;
    let (header, data) = (own.header.clone(), own.data.clone());
    Ok(own.certificate.clone().map(|certificate| Post {
        posted: PostedBatch { header, certificate, data, l1_block, transaction },
        versioned_hashes: Vec::new(),
    }))
}

async fn read_post(client: &L1Client, log: &Log) -> Result<Post, ReplayError> {
    let event = event_of(log)?;
    let index = BatchIndex::new(event.index);
    let binding = |error| ReplayError::Binding { index, error };
    let (l1_block, hash) = place_of(log)?;
    let transaction = client.transaction(hash).await?.ok_or_else(|| missing("posting transaction"))?;
    let call = BatchInbox::postCall::abi_decode(transaction.input()).map_err(|_| binding(BindingError::NotAPost))?;
    let header = batch_header_from_l1(&call.header).map_err(binding)?;
    let certificate = certificate_from_l1(&header, &call.certificate).map_err(binding)?;
    mismatch(index, "header hash", BatchHash::new(event.batchHash), header.hash())?;
    let versioned_hashes = transaction.blob_versioned_hashes().unwrap_or_default().to_vec();
    let data_hash = match header.data_kind {
        DataKind::Calldata => keccak256(&call.data),
        DataKind::Blobs => blobs::data_hash(&versioned_hashes),
    };
    mismatch(index, "data hash", header.data_hash, data_hash)?;
    let posted = PostedBatch { header, certificate, data: call.data, l1_block, transaction: hash };
    Ok(Post { posted, versioned_hashes })
}

fn certificate_from_l1(
    header: &BatchHeader,
    certificate: &BatchInbox::Certificate,
) -> Result<Certificate, BindingError> {
    let signers = u128::try_from(certificate.bitmap).map_err(|_| BindingError::Bitmap(certificate.bitmap))?;
    Ok(Certificate {
        statement: Statement::Attest(Attestation::of(Epoch::new(certificate.committeeEpoch), header)),
        signers: SignerSet::from_bits(signers),
        signature: signature_from_l1(&certificate.signature)?,
    })
}

fn check_order(header: &BatchHeader, previous: Option<&BatchHeader>, parent: &BlockHeader) -> Result<(), ReplayError> {
    let expected = previous.map_or(BatchIndex::ZERO, |header| header.index.next().unwrap_or_default());
    if header.index != expected {
        return Err(ReplayError::Gap { expected, got: header.index });
    }
    let index = header.index;
    let hash = previous.map_or(BatchHash::ZERO, BatchHeader::hash);
    mismatch(index, "previous batch hash", hash, header.prev_batch_hash)?;
    mismatch(index, "first height", parent.height.next().unwrap_or_default(), header.first_height)
}

fn check_last(header: &BatchHeader, blocks: &[Block], duties_root: B256) -> Result<(), ReplayError> {
    let index = header.index;
    let last = blocks.last().map(|block| &block.header);
    let got = |value: Option<String>| value.unwrap_or_else(|| "nothing".into());
    mismatch(index, "last height", header.last_height.to_string(), got(last.map(|last| last.height.to_string())))?;
    mismatch(index, "last digest", header.last_digest.to_string(), got(last.map(|last| last.digest().to_string())))?;
    mismatch(
        index,
        "last origin",
        format!("{:?}", header.last_origin),
        got(last.map(|last| format!("{:?}", last.origin))),
    )?;
    let queue = last.map(|last| (last.forced_position, last.forced_hash));
    let queue = queue.map(|(position, hash)| format!("{position} {hash}"));
    mismatch(index, "forced queue", format!("{} {}", header.forced_position, header.forced_hash), got(queue))?;
    mismatch(index, "duties root", header.duties_root, duties_root)
}

fn mismatch<T: PartialEq + ToString>(
    index: BatchIndex,
    what: &'static str,
    expected: T,
    got: T,
) -> Result<(), ReplayError> {
    if expected == got {
        return Ok(());
    }
    Err(ReplayError::Mismatch { index, what, expected: expected.to_string(), got: got.to_string() })
}
