//! Statements and certificates whose signatures are checked, as types of their own.

use std::{ops::Deref, sync::Arc};

use baton_proto::{Certificate, Domain, Epoch, MemberIndex, SignedStatement, SignerSet};

use crate::{Committee, MinSig, Scheme, bls::BlsError};

/// Something whose signature has been checked against the committee of its epoch.
///
/// Only [`Verifier`] makes one, and the machine when it adds up verified votes; the machine accepts nothing else, so no
/// handler can forget a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) const fn new(checked: T) -> Self {
        Self(checked)
    }

    /// Returns what was checked, for sending or storing.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Why a statement or certificate is not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum VerifyError {
    #[error("statement of epoch {got}, but the committee is that of epoch {expected}")]
    WrongEpoch { expected: Epoch, got: Epoch },
    #[error("member {got} claims to sign, but the committee has {members}")]
    NotAMember { got: MemberIndex, members: usize },
    #[error("bitmap {:#x} has a bit beyond the {members} members", signers.bits())]
    SignerBeyond { signers: SignerSet, members: usize },
    #[error("signers have weight {signed} of {total}, not more than two thirds")]
    BelowQuorum { signed: u128, total: u128 },
    #[error("the signature does not match")]
    InvalidSignature,
}

impl VerifyError {
    /// Returns whether only a faulty or lying peer sends such a thing. A statement of another epoch can just be late.
    #[must_use]
    pub const fn is_peer_fault(&self) -> bool {
        match self {
            Self::WrongEpoch { .. } => false,
            Self::NotAMember { .. } | Self::SignerBeyond { .. } | Self::BelowQuorum { .. } | Self::InvalidSignature => {
                true
            }
        }
    }
}

/// A member of the committee has a key that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("key of member {member}: {error}")]
pub struct KeyError {
    /// Whose key.
    pub member: MemberIndex,
    /// What is wrong with it.
    pub error: BlsError,
}

/// Checks signatures of one epoch's committee on one chain. Share it by `Arc`; it is for worker threads.
#[derive(Debug)]
pub struct Verifier<S: Scheme = MinSig> {
    domain: Domain,
    committee: Arc<Committee>,
    keys: Vec<S::Key>,
}

impl Verifier {
    /// Decodes and checks every key of the committee, once.
    ///
    /// # Errors
    /// [`KeyError`] names the member whose key is refused; the registry checks keys at registration, so this points at
    /// a false committee.
    pub fn new(domain: Domain, committee: Arc<Committee>) -> Result<Self, KeyError> {
        Self::with_scheme(domain, committee)
    }
}

impl<S: Scheme> Verifier<S> {
    /// Like [`Verifier::new`], for any scheme.
    ///
    /// # Errors
    /// See [`Verifier::new`].
    pub fn with_scheme(domain: Domain, committee: Arc<Committee>) -> Result<Self, KeyError> {
        let decode = |(member, entry): (MemberIndex, &crate::CommitteeMember)| {
            S::decode_key(&entry.key).map_err(|error| KeyError { member, error })
        };
        let keys = committee.indices().zip(committee.members()).map(decode).collect::<Result<_, _>>()?;
        Ok(Self { domain, committee, keys })
    }

    /// Returns the chain whose statements are checked.
    #[must_use]
    pub const fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Returns the committee whose statements are checked.
    #[must_use]
    pub const fn committee(&self) -> &Arc<Committee> {
        &self.committee
    }

    /// Checks one member's statement; about 1 ms.
    ///
    /// A node's own statements pass here as well before they are counted: a signer with a broken key must not poison an
    /// aggregate.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong.
    pub fn verify(&self, signed: SignedStatement) -> Result<Verified<SignedStatement>, VerifyError> {
        self.check_epoch(signed.statement.epoch())?;
        let key = self.keys.get(signed.signer.as_usize());
        let key = key.ok_or(VerifyError::NotAMember { got: signed.signer, members: self.keys.len() })?;
        if !S::verify(key, &signed.statement.digest(&self.domain), &signed.signature) {
            return Err(VerifyError::InvalidSignature);
        }
        Ok(Verified(signed))
    }

    /// Checks a certificate: bitmap, weight, then the one signature; about 1 ms, however many signed.
    ///
    /// # Errors
    /// [`VerifyError`] says what is wrong.
    pub fn verify_certificate(&self, certificate: Certificate) -> Result<Verified<Certificate>, VerifyError> {
        self.check_epoch(certificate.statement.epoch())?;
        let signers = certificate.signers;
        let members = self.keys.len();
        let signed = self.committee.weight_of(signers).ok_or(VerifyError::SignerBeyond { signers, members })?;
        if !self.committee.is_quorum(signers) {
            let total = u128::from(self.committee.total_weight().get());
            return Err(VerifyError::BelowQuorum { signed, total });
        }
        let keys: Vec<&S::Key> = signers.iter().filter_map(|index| self.keys.get(index.as_usize())).collect();
        if !S::verify_aggregate(&keys, &certificate.statement.digest(&self.domain), &certificate.signature) {
            return Err(VerifyError::InvalidSignature);
        }
        Ok(Verified(certificate))
    }

    fn check_epoch(&self, got: Epoch) -> Result<(), VerifyError> {
        let expected = self.committee.epoch();
        if got == expected { Ok(()) } else { Err(VerifyError::WrongEpoch { expected, got }) }
    }
}
