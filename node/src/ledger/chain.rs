//! The ledger's rules, over any store.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use alloy_primitives::{Address, TxHash};
use baton_execution::{
    ExecutedBlock, TransactionReceipt,
    state::{ChangeSet, EvmState, Undo},
};
use baton_proto::{
    BatchIndex, Block, BlockDigest, BlockHeader, BlsPublicKey, Certificate, Epoch, Forced, ForcedEntry, Height,
    MemberIndex, SignedStatement, View,
    wire::{WireError, block_from_bytes, block_to_bytes, certificate_from_bytes, header_of_block_bytes},
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    BatchRecord, BlockResults, ChainIdentity, Change, Durability, EvidenceRecord, Family, FinalStep, ForcedCursor,
    Head, KeptVote, Ledger, LedgerError, Order, PostIntent, Store, TransactionRecord,
    cache::BlockCache,
    forced, keys,
    receipts::receipts_from_bytes,
    records,
    state::{Version, add_changes},
    state_records,
    steps::add_block_results,
};

/// Certificates that a machine recovers from: three of each view over 16,384 views without finality, an hour of them.
const RECOVERED_CERTIFICATES_MAX: usize = 3 * 16_384;

/// Headers of blocks above the final head that a machine recovers from.
const UNFINAL_HEADERS_MAX: usize = 4_096;

/// The ledger over a store.
pub struct StoreLedger<S> {
    pub(super) store: Arc<S>,
    identity: ChainIdentity,
    /// Held by every step that writes what it has read.
    writer: Mutex<()>,
    head: RwLock<Option<Head>>,
    /// The version of the state after the head.
    pub(super) newest: RwLock<Arc<Version>>,
    cache: BlockCache,
}

impl<S: Store> StoreLedger<S> {
    /// Wraps a store that holds nothing or the chain `identity`.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read or its head is not what it says.
    pub(crate) fn over(store: S, identity: &ChainIdentity) -> Result<Self, LedgerError> {
        let head = match store.get(Family::Meta, keys::HEAD)? {
            None => None,
            Some(bytes) => Some(
                records::head_from_bytes(&bytes)
                    .ok_or_else(|| corrupt(Family::Meta, keys::HEAD, "the head does not decode"))?,
            ),
        };
        let state_head = store.get(Family::State, keys::STATE_HEAD)?;
        let state_head = state_head.map(|bytes| {
            state_records::head_from_bytes(&bytes)
                .ok_or_else(|| corrupt(Family::State, keys::STATE_HEAD, "the state's head does not decode"))
        });
        let state_head = state_head.transpose()?;
        if head != state_head.map(|head| Head { height: head.height, digest: head.digest }) {
            return Err(corrupt(Family::State, keys::STATE_HEAD, "the state is not that after the final head"));
        }
        let ledger = Self {
            store: Arc::new(store),
            identity: *identity,
            writer: Mutex::new(()),
            head: RwLock::new(head),
            newest: RwLock::new(Arc::new(Version::new(state_head, Undo::default()))),
            cache: BlockCache::new(),
        };
        if let Some(head) = head {
            let header = ledger.header(head.height)?;
            if header.is_none_or(|header| header.digest() != head.digest) {
                return Err(corrupt(Family::Meta, keys::HEAD, "the head is not the final block of its height"));
            }
        }
        Ok(ledger)
    }

    fn current_head(&self) -> Option<Head> {
        *self.head.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_head(&self, head: Head) {
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Some(head);
    }

    pub(super) fn final_digest(&self, height: Height) -> Result<Option<BlockDigest>, LedgerError> {
        let key = keys::final_digest(height);
        let Some(bytes) = self.store.get(Family::Blocks, &key)? else { return Ok(None) };
        let digest = keys::digest_after(&bytes, 0);
        digest.map(Some).ok_or_else(|| corrupt(Family::Blocks, &key, "a digest has 32 bytes"))
    }

    pub(super) fn height_of(&self, digest: BlockDigest) -> Result<Option<Height>, LedgerError> {
        let key = keys::height_of(digest);
        let Some(bytes) = self.store.get(Family::Blocks, &key)? else { return Ok(None) };
        let height = records::number(&bytes).map(Height::new);
        height.map(Some).ok_or_else(|| corrupt(Family::Blocks, &key, "a height has 8 bytes"))
    }

    fn body_bytes(&self, key: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let bytes = self.store.get(Family::Blocks, key)?;
        bytes.ok_or_else(|| corrupt(Family::Blocks, key, "an indexed block is missing"))
    }

    fn indexed_block(&self, height: Height, digest: BlockDigest) -> Result<Block, LedgerError> {
        if let Some(block) = self.cache.get(digest) {
            return Ok(block);
        }
        let key = keys::body(height, digest);
        let block =
            block_from_bytes(&self.body_bytes(&key)?).map_err(|error| undecodable(Family::Blocks, &key, &error))?;
        if block.header.height != height || block.header.digest() != digest {
            return Err(corrupt(Family::Blocks, &key, "the block is not the one its key names"));
        }
        self.cache.insert(digest, &block);
        Ok(block)
    }

    fn indexed_header(&self, height: Height, digest: BlockDigest) -> Result<BlockHeader, LedgerError> {
        if let Some(block) = self.cache.get(digest) {
            return Ok(block.header);
        }
        let key = keys::body(height, digest);
        let header = header_of_block_bytes(&self.body_bytes(&key)?)
            .map_err(|error| undecodable(Family::Blocks, &key, &error))?;
        if header.height != height || header.digest() != digest {
            return Err(corrupt(Family::Blocks, &key, "the header is not the one its key names"));
        }
        Ok(header)
    }

    fn certificate_at(&self, key: &[u8]) -> Result<Option<Certificate>, LedgerError> {
        let Some(bytes) = self.store.get(Family::Certificates, key)? else { return Ok(None) };
        decode_certificate(key, &bytes).map(Some)
    }

    fn json<T: DeserializeOwned>(&self, family: Family, key: &[u8], bytes: &[u8]) -> Result<T, LedgerError> {
        serde_json::from_slice(bytes).map_err(|error| corrupt(family, key, error.to_string()))
    }

    fn batch_at(&self, key: &[u8], bytes: &[u8]) -> Result<BatchRecord, LedgerError> {
        let mut record: BatchRecord = self.json(Family::Batches, key, bytes)?;
        let data = self.store.get(Family::Batches, &keys::batch_data(record.header.index))?;
        record.data = data.unwrap_or_default().into();
        Ok(record)
    }

    fn put_json<T: Serialize>(
        &self,
        what: &'static str,
        family: Family,
        key: Vec<u8>,
        value: &T,
    ) -> Result<(), LedgerError> {
        self.store.write(vec![Change::Put(family, key, to_json(what, value)?)], Durability::Synced)
    }
}

impl<S: Store> Ledger for StoreLedger<S> {
    fn identity(&self) -> &ChainIdentity {
        &self.identity
    }

    fn init_genesis_with(&self, genesis: &BlockHeader, changes: &ChangeSet) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = genesis.digest();
        let Some(after) = changes.head.after.filter(|after| (after.height, after.digest) == (Height::ZERO, digest))
        else {
            return Err(LedgerError::OtherState { height: Height::ZERO });
        };
        if let Some(stored) = self.final_digest(Height::ZERO)? {
            if stored != digest {
                return Err(LedgerError::OtherGenesis { stored, got: digest });
            }
            let results = self.results(Height::ZERO)?;
            let results = results.ok_or_else(|| {
                corrupt(Family::Receipts, &keys::results(Height::ZERO), "the genesis block has no results")
            })?;
            return match (results.state_root, results.base_fee) == (after.state_root, after.base_fee) {
                true => Ok(()),
                false => Err(LedgerError::OtherGenesisState { stored: results.state_root, got: after.state_root }),
            };
        }
        let head = Head { height: Height::ZERO, digest };
        let mut batch = Vec::new();
        add_body(
            &Block { header: genesis.clone(), forced: Forced::default(), transactions: Vec::new() },
            digest,
            &mut batch,
        );
        batch.push(Change::Put(Family::Blocks, keys::final_digest(Height::ZERO), digest.get().to_vec()));
        batch.push(Change::Put(Family::Meta, keys::HEAD.into(), records::head_to_bytes(head)));
        let (state_root, base_fee) = (after.state_root, after.base_fee);
        add_block_results(
            Height::ZERO,
            &ExecutedBlock { state_root, base_fee, ..ExecutedBlock::default() },
            &mut batch,
        );
        let version = Arc::new(add_changes(changes, &mut batch));
        self.newest().link(&version)?;
        self.store.write(batch, Durability::Synced)?;
        self.set_head(head);
        self.set_newest(version);
        Ok(())
    }

    fn head(&self) -> Result<Head, LedgerError> {
        self.current_head().ok_or(LedgerError::NoGenesis)
    }

    fn header(&self, height: Height) -> Result<Option<BlockHeader>, LedgerError> {
        let Some(digest) = self.final_digest(height)? else { return Ok(None) };
        self.indexed_header(height, digest).map(Some)
    }

    fn block(&self, height: Height) -> Result<Option<Block>, LedgerError> {
        self.final_digest(height)?.map(|digest| self.indexed_block(height, digest)).transpose()
    }

    fn block_by_digest(&self, digest: BlockDigest) -> Result<Option<Block>, LedgerError> {
        if let Some(block) = self.cache.get(digest) {
            return Ok(Some(block));
        }
        self.height_of(digest)?.map(|height| self.indexed_block(height, digest)).transpose()
    }

    fn is_final(&self, digest: BlockDigest) -> Result<bool, LedgerError> {
        let Some(height) = self.height_of(digest)? else { return Ok(false) };
        Ok(self.final_digest(height)? == Some(digest))
    }

    fn unfinal_headers(&self) -> Result<Vec<BlockHeader>, LedgerError> {
        let above = self.current_head().and_then(|head| head.height.next()).unwrap_or_default();
        let (from, to) = (keys::unfinal_from(above), keys::unfinal_end());
        let found = self.store.scan(Family::Blocks, &from, &to, Order::Ascending, UNFINAL_HEADERS_MAX)?;
        found
            .iter()
            .map(|(key, _)| {
                let (height, digest) = unfinal_in(key)?;
                self.indexed_header(height, digest)
            })
            .collect()
    }

    fn stage(&self, blocks: &[Block], certificates: &[Certificate]) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batch = Vec::new();
        let mut stored = Vec::new();
        for block in blocks {
            let digest = block.header.digest();
            if self.height_of(digest)?.is_none() {
                add_body(block, digest, &mut batch);
                let BlockHeader { height, epoch, view, .. } = block.header;
                let place = records::place_to_bytes(epoch, view);
                batch.push(Change::Put(Family::Blocks, keys::unfinal(height, digest), place));
                stored.push((digest, block));
            }
        }
        for certificate in certificates {
            self.add_certificate(certificate, &mut batch)?;
        }
        if !batch.is_empty() {
            self.store.write(batch, Durability::Buffered)?;
        }
        for (digest, block) in stored {
            self.cache.insert(digest, block);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), LedgerError> {
        self.store.sync()
    }

    fn certificates(&self, epoch: Epoch) -> Result<Vec<Certificate>, LedgerError> {
        let floor = match self.current_head() {
            Some(head) => self.header(head.height)?.filter(|header| header.epoch == epoch).map(|header| header.view),
            None => None,
        };
        let (from, to) = (keys::view(epoch, floor.unwrap_or_default()), keys::epoch_end(epoch));
        let newest =
            self.store.scan(Family::Certificates, &from, &to, Order::Descending, RECOVERED_CERTIFICATES_MAX)?;
        newest.iter().rev().map(|(key, bytes)| decode_certificate(key, bytes)).collect()
    }

    fn certificates_of(&self, epoch: Epoch, view: View) -> Result<Vec<Certificate>, LedgerError> {
        let (from, to) = (keys::view(epoch, view), keys::view_end(epoch, view));
        let found = self.store.scan(Family::Certificates, &from, &to, Order::Ascending, RECOVERED_CERTIFICATES_MAX)?;
        found.iter().map(|(key, bytes)| decode_certificate(key, bytes)).collect()
    }

    fn keep_votes(&self, votes: &[KeptVote]) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_votes(votes)
    }

    fn votes(&self, epoch: Epoch, view: View) -> Result<Vec<KeptVote>, LedgerError> {
        self.votes_of(epoch, view)
    }

    fn votes_by(&self, epoch: Epoch, view: View, signer: MemberIndex) -> Result<Vec<KeptVote>, LedgerError> {
        Self::votes_by(self, epoch, view, signer)
    }

    fn forget_votes(&self, from: (Epoch, View), to: (Epoch, View)) -> Result<(), LedgerError> {
        let range = Change::DeleteRange(Family::Votes, keys::votes(from.0, from.1), keys::votes(to.0, to.1));
        self.store.write(vec![range], Durability::Buffered)
    }

    fn keep_attestation(&self, key: &BlsPublicKey, signed: &SignedStatement) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.add_attestation(key, signed)
    }

    fn attestations(&self, index: BatchIndex, key: &BlsPublicKey) -> Result<Vec<SignedStatement>, LedgerError> {
        self.attested_by(index, key)
    }

    fn forget_attestations(&self, before: BatchIndex) -> Result<(), LedgerError> {
        let (from, to) = (keys::attested_from(BatchIndex::ZERO), keys::attested_from(before));
        self.store.write(vec![Change::DeleteRange(Family::Batches, from, to)], Durability::Buffered)
    }

    fn finalize(&self, step: &FinalStep) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let head = self.head()?;
        let digests: Vec<BlockDigest> = step.blocks.iter().map(|block| block.header.digest()).collect();
        let known = self.check_step(step, &digests, head)?;

        let new = || step.blocks.iter().zip(digests.iter().copied()).skip(known);
        let newly_final: BTreeSet<BlockDigest> = digests.iter().copied().skip(known).collect();
        let mut batch = Vec::new();
        let mut indexed = HashMap::new();
        let mut versions = vec![self.newest()];
        self.add_certificate(&step.certificate, &mut batch)?;
        for ((block, digest), executed) in new().zip(step.results.iter().skip(known)) {
            self.add_final_block(block, digest, &step.certificate, &mut batch)?;
            let before = versions.last().and_then(|version: &Arc<Version>| version.head());
            let version = self.add_results(block, digest, executed, before, &mut indexed, &mut batch)?;
            versions.push(Arc::new(version));
        }
        let mut dropped = Vec::new();
        let last = new().last();
        let new_head = last.map(|(block, digest)| Head { height: block.header.height, digest });
        if let Some((new_head, (block, _))) = new_head.zip(last) {
            dropped = self.add_dropped_bodies(head.height, &block.header, &newly_final, &mut batch)?;
            batch.push(Change::Put(Family::Meta, keys::HEAD.into(), records::head_to_bytes(new_head)));
        }
        // The last link first: whoever sees one version sees all of the step.
        for pair in versions.windows(2).rev() {
            pair[0].link(&pair[1])?;
        }
        if batch.is_empty() {
            self.store.sync()?;
        } else {
            self.store.write(batch, Durability::Synced)?;
        }
        for digest in dropped {
            self.cache.remove(digest);
        }
        for (block, digest) in new() {
            self.cache.insert(digest, block);
        }
        if let Some((head, version)) = new_head.zip(versions.pop()) {
            self.set_newest(version);
            self.set_head(head);
        }
        Ok(())
    }

    fn finalization_from(&self, height: Height) -> Result<Option<(Height, Certificate)>, LedgerError> {
        let (from, to) = (keys::finalization_at(height), keys::finalization_at_end());
        let found = self.store.scan(Family::Certificates, &from, &to, Order::Ascending, 1)?;
        let Some((key, bytes)) = found.first() else { return Ok(None) };
        let (at, (epoch, view, digest)) = keys::height_in(key)
            .zip(records::placed_block_from_bytes(bytes))
            .ok_or_else(|| corrupt(Family::Certificates, key, "the index entry of a finalization does not decode"))?;
        let certificate = self.certificate_at(&keys::finalization(epoch, view, digest))?;
        let certificate =
            certificate.ok_or_else(|| corrupt(Family::Certificates, key, "the indexed finalization is missing"))?;
        Ok(Some((at, certificate)))
    }

    fn results(&self, height: Height) -> Result<Option<BlockResults>, LedgerError> {
        let key = keys::results(height);
        let Some(bytes) = self.store.get(Family::Receipts, &key)? else { return Ok(None) };
        let results = records::results_from_bytes(&bytes);
        results.map(Some).ok_or_else(|| corrupt(Family::Receipts, &key, "results do not decode"))
    }

    fn receipts(&self, height: Height) -> Result<Option<Vec<TransactionReceipt>>, LedgerError> {
        let key = keys::receipts(height);
        let Some(bytes) = self.store.get(Family::Receipts, &key)? else {
            // A block without any has no record of them.
            let is_final = self.store.get(Family::Receipts, &keys::results(height))?.is_some();
            return Ok(is_final.then(Vec::new));
        };
        let receipts = receipts_from_bytes(&bytes);
        receipts.map(Some).ok_or_else(|| corrupt(Family::Receipts, &key, "receipts do not decode"))
    }

    fn state(&self) -> Result<Arc<dyn EvmState>, LedgerError> {
        Ok(self.newest_state())
    }

    fn state_at(&self, height: Height) -> Result<Option<Arc<dyn EvmState>>, LedgerError> {
        self.older_state(height)
    }

    fn transaction(&self, hash: &TxHash) -> Result<Option<TransactionRecord>, LedgerError> {
        let Some(bytes) = self.store.get(Family::TxIndex, hash.as_slice())? else { return Ok(None) };
        let record = records::transaction_from_bytes(&bytes);
        record.map(Some).ok_or_else(|| corrupt(Family::TxIndex, hash.as_slice(), "the record does not decode"))
    }

    fn nonce(&self, account: Address) -> Result<u64, LedgerError> {
        let key = keys::account(account);
        let Some(bytes) = self.store.get(Family::State, &key)? else { return Ok(0) };
        let account = state_records::account_from_bytes(&bytes);
        account.map(|account| account.nonce).ok_or_else(|| corrupt(Family::State, &key, "an account does not decode"))
    }

    fn put_batch(&self, batch: &BatchRecord) -> Result<(), LedgerError> {
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let index = batch.header.index;
        let (key, data_key) = (keys::batch(index), keys::batch_data(index));
        // Data is up to a megabyte and mostly stays what it is while the record moves on.
        let before = self.store.get(Family::Batches, &key)?;
        let before: Option<BatchRecord> = before.map(|bytes| self.json(Family::Batches, &key, &bytes)).transpose()?;
        let same_data = before.is_some_and(|before| before.header.data_hash == batch.header.data_hash);
        let mut changes = vec![Change::Put(Family::Batches, key, to_json("a batch", batch)?)];
        if !batch.data.is_empty() {
            if !same_data || self.store.get(Family::Batches, &data_key)?.is_none() {
                changes.push(Change::Put(Family::Batches, data_key, batch.data.to_vec()));
            }
        } else if !same_data {
            changes.push(Change::Delete(Family::Batches, data_key));
        }
        self.store.write(changes, Durability::Synced)
    }

    fn batch(&self, index: BatchIndex) -> Result<Option<BatchRecord>, LedgerError> {
        let key = keys::batch(index);
        let bytes = self.store.get(Family::Batches, &key)?;
        bytes.map(|bytes| self.batch_at(&key, &bytes)).transpose()
    }

    fn batch_without_data(&self, index: BatchIndex) -> Result<Option<BatchRecord>, LedgerError> {
        let key = keys::batch(index);
        let bytes = self.store.get(Family::Batches, &key)?;
        bytes.map(|bytes| self.json(Family::Batches, &key, &bytes)).transpose()
    }

    fn last_batch(&self) -> Result<Option<BatchRecord>, LedgerError> {
        let (from, to) = keys::batches();
        let found = self.store.scan(Family::Batches, &from, &to, Order::Descending, 1)?;
        found.first().map(|(key, bytes)| self.batch_at(key, bytes)).transpose()
    }

    fn put_intent(&self, intent: &PostIntent) -> Result<(), LedgerError> {
        self.put_json("an intent", Family::PostIntents, keys::intent(intent.account, intent.nonce), intent)
    }

    fn intents(&self) -> Result<Vec<PostIntent>, LedgerError> {
        let found = self.store.scan(Family::PostIntents, &[], keys::END, Order::Ascending, usize::MAX)?;
        found.iter().map(|(key, bytes)| self.json(Family::PostIntents, key, bytes)).collect()
    }

    fn remove_intent(&self, account: Address, nonce: u64) -> Result<(), LedgerError> {
        self.store.write(vec![Change::Delete(Family::PostIntents, keys::intent(account, nonce))], Durability::Synced)
    }

    fn put_evidence(&self, record: &EvidenceRecord) -> Result<(), LedgerError> {
        self.put_json("evidence", Family::Evidence, keys::evidence(&record.evidence), record)
    }

    fn evidence(&self) -> Result<Vec<EvidenceRecord>, LedgerError> {
        let found = self.store.scan(Family::Evidence, &[], keys::END, Order::Ascending, usize::MAX)?;
        found.iter().map(|(key, bytes)| self.json(Family::Evidence, key, bytes)).collect()
    }

    fn put_l1_fact(&self, key: &str, value: &[u8]) -> Result<(), LedgerError> {
        self.store.write(vec![Change::Put(Family::L1View, key.into(), value.into())], Durability::Synced)
    }

    fn l1_fact(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError> {
        self.store.get(Family::L1View, key.as_bytes())
    }

    fn put_forced(&self, entries: &[ForcedEntry], cursor: &ForcedCursor) -> Result<(), LedgerError> {
        let first = cursor.length.saturating_sub(entries.len() as u64);
        let put = |(position, entry): (u64, &ForcedEntry)| {
            Change::Put(Family::L1View, keys::forced_entry(position), forced::entry_to_bytes(entry))
        };
        let mut batch: Vec<Change> = (first..).zip(entries).map(put).collect();
        batch.push(Change::Put(Family::L1View, keys::forced_cursor(), forced::cursor_to_bytes(cursor)));
        self.store.write(batch, Durability::Synced)
    }

    fn forced_cursor(&self) -> Result<Option<ForcedCursor>, LedgerError> {
        let key = keys::forced_cursor();
        let decode = |bytes: Vec<u8>| {
            forced::cursor_from_bytes(&bytes)
                .ok_or_else(|| corrupt(Family::L1View, &key, "the forced queue's cursor has 48 bytes"))
        };
        self.store.get(Family::L1View, &key)?.map(decode).transpose()
    }

    fn forced_entry(&self, position: u64) -> Result<Option<ForcedEntry>, LedgerError> {
        let key = keys::forced_entry(position);
        let decode = |bytes: Vec<u8>| {
            forced::entry_from_bytes(&bytes)
                .ok_or_else(|| corrupt(Family::L1View, &key, "a forced entry has 29 bytes and its own"))
        };
        self.store.get(Family::L1View, &key)?.map(decode).transpose()
    }
}

pub(super) fn unfinal_in(key: &[u8]) -> Result<(Height, BlockDigest), LedgerError> {
    keys::height_in(key)
        .zip(keys::digest_after(key, 9))
        .ok_or_else(|| corrupt(Family::Blocks, key, "the key of an unfinalized block has 41 bytes"))
}

pub(super) fn add_body(block: &Block, digest: BlockDigest, batch: &mut Vec<Change>) {
    let height = block.header.height;
    batch.push(Change::Put(Family::Blocks, keys::body(height, digest), block_to_bytes(block)));
    batch.push(Change::Put(Family::Blocks, keys::height_of(digest), keys::be(height.get()).to_vec()));
}

pub(super) fn finalization_at(height: Height, epoch: Epoch, view: View, digest: BlockDigest) -> Change {
    let place = records::placed_block_to_bytes(epoch, view, digest);
    Change::Put(Family::Certificates, keys::finalization_at(height), place)
}

fn decode_certificate(key: &[u8], bytes: &[u8]) -> Result<Certificate, LedgerError> {
    let certificate = certificate_from_bytes(bytes).map_err(|error| undecodable(Family::Certificates, key, &error))?;
    if keys::certificate(&certificate) != key {
        return Err(corrupt(Family::Certificates, key, "the certificate is not the one its key names"));
    }
    Ok(certificate)
}

pub(super) fn to_json<T: Serialize>(what: &'static str, value: &T) -> Result<Vec<u8>, LedgerError> {
    serde_json::to_vec(value).map_err(|error| LedgerError::Unwritable { what, detail: error.to_string() })
}

pub(super) fn corrupt(family: Family, key: &[u8], detail: impl Into<String>) -> LedgerError {
    LedgerError::Corrupt { family: family.name(), key: hex::encode(key), detail: detail.into() }
}

fn undecodable(family: Family, key: &[u8], error: &WireError) -> LedgerError {
    corrupt(family, key, error.to_string())
}
