//! What this node keeps: blocks, certificates, votes, results, batches, intents and evidence, behind one trait.
//!
//! ```text
//!            Ledger            the questions and the steps that the rest of the node knows
//!              │
//!         StoreLedger<S>       every rule, once: what is final, what is pruned, which inclusion counts
//!          ╱        ╲
//!   MemoryStore   RocksStore   ordered bytes: get, scan, one atomic batch
//! ```
//! - A step is one atomic batch: after a crash it happened whole or not at all. What blocks change of the state, their receipts
//!   and how to get back to the state before are in the batch that makes them final.
//! - A state that somebody reads stays what it is, and neither waits for a step nor makes one wait (the state module).
//! - Writes on which safety rests are on the disk before the call returns, or before [`Ledger::sync`] does where a method
//!   only stages them; each says which it is.
//! - A folder belongs to one chain and one process, and is opened only whole: a torn last record, which nobody was ever
//!   told about, is dropped; damage anywhere else is refused with what to do.

mod attested;
mod cache;
mod chain;
mod encoding;
pub(crate) mod engine;
mod epochs;
mod error;
mod forced;
mod keys;
mod memory;
mod receipts;
mod records;
mod rocks;
mod state;
mod state_records;
mod steps;
mod store;
#[cfg(test)]
pub(crate) mod tests;
mod types;
mod votes;

use std::{slice, sync::Arc};

use alloy_primitives::{Address, TxHash};
use baton_execution::{
    NonceExecutor, TransactionReceipt,
    state::{ChangeSet, EvmState},
};
use baton_proto::{
    BatchIndex, Block, BlockDigest, BlockHeader, BlsPublicKey, Certificate, Epoch, ForcedEntry, Height, MemberIndex,
    SignedStatement, View,
};

pub use attested::ATTESTED_MAX;
pub use chain::StoreLedger;
pub use engine::EngineError;
pub use epochs::{end_of_epoch, last_batch_of_epoch, root_of_epoch};
pub use error::LedgerError;
pub use forced::ForcedCursor;
pub use memory::{MemoryLedger, MemoryStore};
pub use rocks::{RocksLedger, RocksStore};
pub use state::STATES_MAX;
pub use store::{Change, Durability, Entry, Family, Order, Store};
pub use types::{
    BatchOnL1, BatchRecord, BlockResults, ChainIdentity, EvidenceOnL1, EvidenceRecord, FinalStep, Head, IntentState,
    KeptVote, PostIntent, TransactionRecord, VoteCheck,
};

/// The node's memory across restarts.
///
/// Every method may block on the disk. All of them fail with [`LedgerError`]; a failed write means that nothing that
/// depends on it may leave the process.
pub trait Ledger: Send + Sync {
    /// Returns the chain whose data this is.
    fn identity(&self) -> &ChainIdentity;

    /// Writes the block that the chain starts from, and the state after it, durably, in one step. Writing the same again changes
    /// nothing. `changes` make an empty state the one after `genesis`.
    ///
    /// # Errors
    /// [`LedgerError::OtherGenesis`] if the chain already starts from another block, [`LedgerError::OtherGenesisState`] if it does
    /// from another state, [`LedgerError::OtherState`] if `changes` do not lead to `genesis`.
    fn init_genesis_with(&self, genesis: &BlockHeader, changes: &ChangeSet) -> Result<(), LedgerError>;

    /// [`Self::init_genesis_with`] for a pure ordering chain.
    ///
    /// # Errors
    /// See there.
    fn init_genesis(&self, genesis: &BlockHeader) -> Result<(), LedgerError> {
        self.init_genesis_with(genesis, &NonceExecutor::genesis(genesis))
    }

    /// Returns the last final block.
    ///
    /// # Errors
    /// [`LedgerError::NoGenesis`] before [`Self::init_genesis_with`].
    fn head(&self) -> Result<Head, LedgerError>;

    /// Returns the header of the final block at `height`.
    ///
    /// # Errors
    /// [`LedgerError`] if the ledger cannot be read; so for every method that reads.
    fn header(&self, height: Height) -> Result<Option<BlockHeader>, LedgerError>;

    /// Returns the final block at `height`.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn block(&self, height: Height) -> Result<Option<Block>, LedgerError>;

    /// Returns a block, final or not.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn block_by_digest(&self, digest: BlockDigest) -> Result<Option<Block>, LedgerError>;

    /// Returns whether the block with `digest` is on the final chain. Two short reads, however large the block is.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn is_final(&self, digest: BlockDigest) -> Result<bool, LedgerError>;

    /// Returns the headers of stored blocks above the final head, ascending by height: what a machine recovers from. At
    /// most 4,096.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn unfinal_headers(&self) -> Result<Vec<BlockHeader>, LedgerError>;

    /// Stores blocks that are not final yet and certificates, in one step. Reads see it at once; the disk has it when
    /// [`Self::sync`] has returned, and never without what was staged before.
    ///
    /// A block is dropped when another block of its height, or one of its view or a later one, becomes final without it.
    /// What is stored already costs nothing.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    fn stage(&self, blocks: &[Block], certificates: &[Certificate]) -> Result<(), LedgerError>;

    /// Waits until the disk has everything that was staged.
    ///
    /// # Errors
    /// [`LedgerError`] if that is not known.
    fn sync(&self) -> Result<(), LedgerError>;

    /// [`Self::stage`], durably.
    ///
    /// # Errors
    /// [`LedgerError`] if it is not on the disk.
    fn persist(&self, blocks: &[Block], certificates: &[Certificate]) -> Result<(), LedgerError> {
        self.stage(blocks, certificates)?;
        self.sync()
    }

    /// [`Self::persist`] for one block.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn store_block(&self, block: &Block) -> Result<(), LedgerError> {
        self.persist(slice::from_ref(block), &[])
    }

    /// [`Self::persist`] for one certificate.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn store_certificate(&self, certificate: &Certificate) -> Result<(), LedgerError> {
        self.persist(&[], slice::from_ref(certificate))
    }

    /// Returns what a machine of `epoch` recovers from, ascending by view: all certificates from the view of the final
    /// head on, the highest finalization among them. At most 49,152, the newest:
    /// three of each view over 16,384 views without finality.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn certificates(&self, epoch: Epoch) -> Result<Vec<Certificate>, LedgerError>;

    /// Returns all certificates of one view, best first: finalization, notarization, nullification.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn certificates_of(&self, epoch: Epoch, view: View) -> Result<Vec<Certificate>, LedgerError>;

    /// Returns the best certificate of one view, for a peer that asks.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn certificate(&self, epoch: Epoch, view: View) -> Result<Option<Certificate>, LedgerError> {
        Ok(self.certificates_of(epoch, view)?.into_iter().next())
    }

    /// Keeps what other members said. Reads see it at once, and it survives the end of the process; a power cut may take what
    /// no [`Self::sync`] has followed, which is then as if it had never come.
    ///
    /// At most two are kept of each place, which is a member, a view and a kind. Where two are kept already, a new one takes the
    /// place of an unchecked one, the older of two; one that was checked stays. So nobody keeps its own true votes out with
    /// false ones. What is kept already costs a read.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    fn keep_votes(&self, votes: &[KeptVote]) -> Result<(), LedgerError>;

    /// Returns what is kept of one view, by member and kind: at most six of each member.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn votes(&self, epoch: Epoch, view: View) -> Result<Vec<KeptVote>, LedgerError>;

    /// Returns what is kept of one view and one member, by kind: at most six.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn votes_by(&self, epoch: Epoch, view: View, signer: MemberIndex) -> Result<Vec<KeptVote>, LedgerError>;

    /// Forgets the kept votes from one view on, up to but without another. A power cut may bring them back.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    fn forget_votes(&self, from: (Epoch, View), to: (Epoch, View)) -> Result<(), LedgerError>;

    /// Keeps an attestation of the member that has `key`, whose signature was checked, beside what that key attested of the same
    /// batch index, also for other committees: at most [`ATTESTED_MAX`] on one batch before it, the first. Reads see it at once, and
    /// it survives the end of the process; a power cut may take it. What is no attestation, or says the same again, is passed over.
    /// Of what may follow a batch that is not on L1 the caller keeps nothing here: there is no end to such batches.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    fn keep_attestation(&self, key: &BlsPublicKey, signed: &SignedStatement) -> Result<(), LedgerError>;

    /// Returns what the member that has `key` attested of batch `index`, in the order in which it came.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn attestations(&self, index: BatchIndex, key: &BlsPublicKey) -> Result<Vec<SignedStatement>, LedgerError>;

    /// Forgets the kept attestations of all batches before this one. A power cut may bring them back.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be written.
    fn forget_attestations(&self, before: BatchIndex) -> Result<(), LedgerError>;

    /// Makes blocks final with their results, durably, in one step: head, transaction index, outcomes, receipts and what they
    /// change of the state. No read sees any of it before the disk has it all, and all that was staged before.
    ///
    /// Blocks at or below the head with the digests that are final already are passed over with their results, so a step
    /// that a crash interrupted may be repeated.
    ///
    /// # Errors
    /// [`LedgerError::SafetyBroken`] if another block is final at one of the heights, or the first new block does not build on
    /// the head: two quorums contradict each other. [`LedgerError::Gap`], [`LedgerError::Unlinked`],
    /// [`LedgerError::NotAFinalization`], [`LedgerError::ResultCount`], [`LedgerError::OutcomeCount`] and
    /// [`LedgerError::OtherState`] name a step that is wrong in itself. Nothing is changed then.
    fn finalize(&self, step: &FinalStep) -> Result<(), LedgerError>;

    /// Returns the lowest final block at or above `height` whose own finalization is stored, and that finalization.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn finalization_from(&self, height: Height) -> Result<Option<(Height, Certificate)>, LedgerError>;

    /// Returns the results of the final block at `height`; those of the genesis block tell the state that the chain starts from.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn results(&self, height: Height) -> Result<Option<BlockResults>, LedgerError>;

    /// Returns the receipts of the final block at `height`, in order: one for each item of its payload that was executed, none
    /// where the executor makes none.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn receipts(&self, height: Height) -> Result<Option<Vec<TransactionReceipt>>, LedgerError>;

    /// Returns the state after the final head. It stays as it is while blocks become final, at the price of what they change being
    /// kept in memory for as long as it is held: hold it for a request, not for longer.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn state(&self) -> Result<Arc<dyn EvmState>, LedgerError>;

    /// Returns the state after the final block at `height`, as [`Self::state`] does. None where there is no such block, where it is
    /// more than [`STATES_MAX`] blocks below the head, and where the blocks since changed more than 64 MiB.
    ///
    /// What the blocks since changed is read at once: it costs as much as they changed.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn state_at(&self, height: Height) -> Result<Option<Arc<dyn EvmState>>, LedgerError>;

    /// Returns where a transaction is in the final chain: where it was executed, or else where it was first skipped.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn transaction(&self, hash: &TxHash) -> Result<Option<TransactionRecord>, LedgerError>;

    /// Returns an account's next nonce in the final state; 0 for one that never sent.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn nonce(&self, account: Address) -> Result<u64, LedgerError>;

    /// Stores what is known of a batch, durably, in place of what was known of this index.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn put_batch(&self, batch: &BatchRecord) -> Result<(), LedgerError>;

    /// Returns what is known of a batch.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn batch(&self, index: BatchIndex) -> Result<Option<BatchRecord>, LedgerError>;

    /// Returns what is known of a batch, without its data.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn batch_without_data(&self, index: BatchIndex) -> Result<Option<BatchRecord>, LedgerError>;

    /// Returns the batch with the highest index.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn last_batch(&self) -> Result<Option<BatchRecord>, LedgerError>;

    /// Stores an intent, durably, in place of the one with its account and nonce. Nothing is sent to L1 before.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn put_intent(&self, intent: &PostIntent) -> Result<(), LedgerError>;

    /// Returns all intents, by account and then by nonce.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn intents(&self) -> Result<Vec<PostIntent>, LedgerError>;

    /// Removes an intent, durably. Removing one that is not there changes nothing.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn remove_intent(&self, account: Address, nonce: u64) -> Result<(), LedgerError>;

    /// Stores evidence, durably, in place of what was stored for the same member, view and offence.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn put_evidence(&self, record: &EvidenceRecord) -> Result<(), LedgerError>;

    /// Returns all evidence, by epoch, view, member and offence.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn evidence(&self) -> Result<Vec<EvidenceRecord>, LedgerError>;

    /// Stores something that was read from L1, durably.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn put_l1_fact(&self, key: &str, value: &[u8]) -> Result<(), LedgerError>;

    /// Returns what [`Self::put_l1_fact`] stored last under `key`.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn l1_fact(&self, key: &str) -> Result<Option<Vec<u8>>, LedgerError>;

    /// Stores the last entries of the forced queue up to `cursor`, and the cursor, durably, in one step. They stay: what each
    /// takes on the disk its sender has paid L1 for.
    ///
    /// # Errors
    /// See [`Self::persist`].
    fn put_forced(&self, entries: &[ForcedEntry], cursor: &ForcedCursor) -> Result<(), LedgerError>;

    /// Returns how far the forced queue was read; none on a node that has read nothing yet.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn forced_cursor(&self) -> Result<Option<ForcedCursor>, LedgerError>;

    /// Returns the entry at a position of the forced queue, if it was read.
    ///
    /// # Errors
    /// See [`Self::header`].
    fn forced_entry(&self, position: u64) -> Result<Option<ForcedEntry>, LedgerError>;
}
