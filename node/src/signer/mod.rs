//! The only holder of the consensus key: it records, then signs, and shows nothing before the record is on the disk.
//!
//! ```text
//!   statements ──▶ all allowed beside what is recorded? ──▶ one write ──▶ signatures ──▶ sync ──▶ others
//!                          │ no                                 │ failed                   │ failed
//!                          ▼                                    ▼                          ▼
//!                  none of them is signed              nothing is signed, and nothing shown, any more
//! ```
//! So a crash at any point leaves either no record and no signature that anybody saw, or a record from which exactly the same
//! statement is signed again: BLS signatures are a function of key and message, the bytes are identical too. Signing the same
//! statement twice is harmless and free; anything that could be held against the key is refused. There is no way to have
//! a digest of one's choice signed.

pub mod interchange;
pub mod keyfile;
mod record;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use baton_consensus::{SecretKey, Verified};
use baton_proto::{
    BlsPublicKey, BlsSignature, Domain, Epoch, Evidence, MemberIndex, PeerProof, SignedStatement, Statement, View,
};

pub use keyfile::KeyFileError;
pub use record::{RecordOrigin, SignError, SignRecord, SignRecordError};

/// A key with its record, for one chain. It signs as whatever member a committee has it.
pub struct OwnKey {
    key: SecretKey,
    domain: Domain,
    record: Arc<Mutex<SignRecord>>,
}

impl OwnKey {
    /// Puts key and record together for one chain. The record belongs to that chain from then on.
    ///
    /// # Errors
    /// [`SignRecordError::WrongKey`] if the record is another key's; [`SignRecordError::OtherChain`] if it is another chain's;
    /// [`SignRecordError::Condemned`] if the key contradicted itself.
    pub fn new(key: SecretKey, mut record: SignRecord, domain: Domain) -> Result<Self, SignRecordError> {
        record.check_key(&key.public_key())?;
        record.bind(&domain)?;
        Ok(Self { key, domain, record: Arc::new(Mutex::new(record)) })
    }

    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> BlsPublicKey {
        self.key.public_key()
    }

    /// Signs that this node speaks through the peer that `proof` names. Nothing is recorded: under a ciphersuite of its own
    /// it is no statement, and can be held against nobody.
    #[must_use]
    pub fn prove_peer(&self, proof: &PeerProof) -> BlsSignature {
        self.key.prove_peer(proof, &self.domain)
    }

    /// Returns what signs as the member `me`. All share one record: what one of them signed binds the others.
    #[must_use]
    pub fn seated(&self, me: MemberIndex) -> Signer {
        Signer { key: self.key.clone(), domain: self.domain, me, record: Arc::clone(&self.record) }
    }
}

/// A key with its record, as one member of a chain's committee.
pub struct Signer {
    key: SecretKey,
    domain: Domain,
    me: MemberIndex,
    record: Arc<Mutex<SignRecord>>,
}

impl Signer {
    /// Returns the public key.
    #[must_use]
    pub fn public_key(&self) -> BlsPublicKey {
        *self.record().key()
    }

    /// Returns the index under which this node signs.
    #[must_use]
    pub const fn me(&self) -> MemberIndex {
        self.me
    }

    /// Records and signs all of `statements`, in order, or none of them. Blocks for at most one disk sync.
    ///
    /// # Errors
    /// [Refusals](SignError::is_refusal): one of them may not be signed, and the signer goes on. The others: the record failed,
    /// and nothing more is signed before a restart.
    pub fn sign(&self, statements: &[Statement]) -> Result<Vec<Verified<SignedStatement>>, SignError> {
        self.record().record(statements)?;
        Ok(statements.iter().map(|statement| self.key.sign_as(self.me, statement, &self.domain)).collect())
    }

    /// Records and signs one statement. The signature must not leave this process, nor anything that holds it reach another
    /// file, before [`Self::sync`] has returned.
    ///
    /// # Errors
    /// See [`Self::sign`].
    pub(crate) fn stage(&self, statement: Statement) -> Result<Verified<SignedStatement>, SignError> {
        self.record().stage(&[statement])?;
        Ok(self.key.sign_as(self.me, &statement, &self.domain))
    }

    /// Waits until the disk has every statement that was staged.
    ///
    /// # Errors
    /// [`SignError`] if that is not known: nothing more is signed before a restart.
    pub(crate) fn sync(&self) -> Result<(), SignError> {
        self.record().sync()
    }

    /// See [`SignRecord::listens_in`].
    #[must_use]
    pub fn listens_in(&self, epoch: Epoch) -> bool {
        self.record().listens_in(epoch)
    }

    /// Returns whether the operator vouched for the record at this start.
    pub(crate) fn is_vouched_for(&self) -> bool {
        self.record().is_vouched_for()
    }

    /// Takes up what others show this key to have said before; see [`SignRecord::take_up`].
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub(crate) fn take_up(&self, shown: &Statement) -> Result<bool, SignRecordError> {
        self.record().take_up(shown)
    }

    /// Notes that a quorum was heard out in the epoch `heard_out`: the record is quiet until the one after it.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub fn settle_listening(&self, heard_out: Epoch) -> Result<(), SignRecordError> {
        self.record().settle_listening(heard_out)
    }

    /// Ends all signing with this key, durably and for good, because two statements of it, named by `why`, contradict each
    /// other.
    ///
    /// # Errors
    /// [`SignRecordError`] if it is not on the disk.
    pub(crate) fn condemn(&self, why: &str) -> Result<(), SignRecordError> {
        self.record().condemn(why)
    }

    /// See [`SignRecord::recorded`].
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub fn recorded(&self, epoch: Epoch, from: View) -> Result<Vec<Statement>, SignRecordError> {
        self.record().recorded(epoch, from)
    }

    /// See [`SignRecord::accounts_for`].
    ///
    /// # Errors
    /// [`SignRecordError`] if the record cannot be read.
    pub fn accounts_for(&self, statement: &Statement) -> Result<bool, SignRecordError> {
        self.record().accounts_for(statement)
    }

    /// Forgets votes below a view that is final for good, so that the record stays small. Nothing below it is ever signed
    /// again, not even what was signed before.
    ///
    /// # Errors
    /// [`SignError`] if it is not on the disk.
    pub fn forget_below(&self, epoch: Epoch, view: View) -> Result<(), SignError> {
        self.record().forget_below(epoch, view)
    }

    fn record(&self) -> MutexGuard<'_, SignRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names the two statements that a key is given up for.
pub(crate) fn reason_to_condemn(evidence: &Evidence) -> String {
    format!("{:?} and {:?}", evidence.first().statement, evidence.second().statement)
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("key", &self.key).field("me", &self.me).finish_non_exhaustive()
    }
}
