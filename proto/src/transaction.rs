//! Ethereum transactions as Baton orders them: decoded once, their sender recovered at most once, then shared.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use alloy_consensus::{
    Transaction as _, TxEnvelope, TxType, crypto::secp256k1::recover_signer, transaction::SignerRecoverable,
};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, Bytes, TxHash};

use crate::limits::TRANSACTION_BYTES_MAX;

/// Why bytes are not a transaction that Baton orders. The messages are the ones that clients know from geth.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum TransactionError {
    #[error("oversized data: transaction size {got}, limit {TRANSACTION_BYTES_MAX}")]
    Oversized { got: usize },
    #[error("{0}")]
    Malformed(String),
    #[error("transaction type not supported")]
    UnsupportedType,
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    NotReplayProtected,
    #[error("invalid sender")]
    InvalidSender,
}

/// A signed transaction of type 0, 1, 2 or 4 with its sender. Cheap to clone.
///
/// The raw bytes are the one canonical EIP-2718 encoding, so equal transactions have equal bytes and equal hashes.
///
/// Each has a signature that is good, but who vouches for that differs: [`Self::decode`] checks it, and is what bytes from
/// peers and users go through; [`Self::decode_with`] trusts the one that it asks; [`Self::decode_stored`] trusts that
/// [`Self::decode`] has seen these bytes before.
#[derive(Clone)]
pub struct Transaction(Arc<Inner>);

struct Inner {
    envelope: TxEnvelope,
    raw: Bytes,
    /// Set from the start, unless the transaction comes from storage.
    sender: OnceLock<Address>,
    /// Set when somebody asks.
    authorities: OnceLock<Box<[Address]>>,
}

impl Transaction {
    /// Decodes an EIP-2718 encoding and recovers the sender (about 40 µs).
    ///
    /// # Errors
    /// [`TransactionError`]: too long, not the canonical encoding of a transaction, a type that Baton does not order (blob
    /// transactions among them), no chain id, or a signature from which no sender can be recovered (EIP-2's low-s rule
    /// included).
    pub fn decode(raw: Bytes) -> Result<Self, TransactionError> {
        Self::decode_with(raw, |_| None)
    }

    /// As [`Self::decode`], but asks `sender_of` before it recovers: all that is said of the transaction's form is checked
    /// again, and only its signature is not.
    ///
    /// The hash that `sender_of` is asked for is that of exactly these bytes. It must answer with nothing but what
    /// [`Self::decode`] found for that hash before.
    ///
    /// # Errors
    /// See [`Self::decode`].
    pub fn decode_with(
        raw: Bytes,
        sender_of: impl FnOnce(&TxHash) -> Option<Address>,
    ) -> Result<Self, TransactionError> {
        let envelope = decode_form(&raw)?;
        // The hash of the canonical encoding, which the raw bytes were just found to be.
        let sender = match sender_of(envelope.tx_hash()) {
            Some(sender) => sender,
            None => envelope.recover_signer().map_err(|_| TransactionError::InvalidSender)?,
        };
        Ok(Self(Arc::new(Inner { envelope, raw, sender: sender.into(), authorities: OnceLock::new() })))
    }

    /// Decodes an encoding that [`Self::decode`] accepted before it was stored, and recovers its sender when somebody asks.
    ///
    /// All that is said of the form is checked again, and the signature is not: only for bytes of which it is proven that
    /// they are those that were stored, as a block's are by the digest that it is stored under.
    ///
    /// # Errors
    /// See [`Self::decode`]; never [`TransactionError::InvalidSender`].
    pub fn decode_stored(raw: Bytes) -> Result<Self, TransactionError> {
        let envelope = decode_form(&raw)?;
        Ok(Self(Arc::new(Inner { envelope, raw, sender: OnceLock::new(), authorities: OnceLock::new() })))
    }

    /// Returns the canonical EIP-2718 encoding.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.0.raw
    }

    /// Returns the hash: keccak256 of [`Self::raw`].
    #[must_use]
    pub fn hash(&self) -> &TxHash {
        self.0.envelope.tx_hash()
    }

    /// Returns the account that signed. The first call recovers it (about 40 µs) if [`Self::decode_stored`] made this
    /// transaction.
    ///
    /// # Panics
    /// If [`Self::decode_stored`] was given what [`Self::decode`] refuses.
    #[must_use]
    pub fn sender(&self) -> Address {
        let recover =
            || self.0.envelope.recover_signer().expect("the signature was checked before the bytes were stored");
        *self.0.sender.get_or_init(recover)
    }

    /// Returns the accounts that signed its authorizations (EIP-7702), each once, in the order in which they stand first; those
    /// that nobody signed are left out, as executing them does. The first call recovers them (about 40 µs each, and at most
    /// 670 fit the gas of a transaction).
    #[must_use]
    pub fn authorities(&self) -> &[Address] {
        self.0.authorities.get_or_init(|| {
            let mut authorities = Vec::new();
            for authorization in self.0.envelope.authorization_list().unwrap_or_default() {
                let signed = authorization.signature().ok();
                let authority = signed.and_then(|it| recover_signer(&it, authorization.signature_hash()).ok());
                authorities.extend(authority.filter(|authority| !authorities.contains(authority)));
            }
            authorities.into()
        })
    }

    /// Returns the decoded transaction.
    #[must_use]
    pub fn envelope(&self) -> &TxEnvelope {
        &self.0.envelope
    }

    /// Returns the sender's nonce.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.0.envelope.nonce()
    }

    /// Returns the declared gas limit.
    #[must_use]
    pub fn gas_limit(&self) -> u64 {
        self.0.envelope.gas_limit()
    }

    /// Returns the chain id; [`Self::decode`] refuses transactions without one.
    #[must_use]
    pub fn chain_id(&self) -> u64 {
        self.0.envelope.chain_id().unwrap_or_default()
    }

    /// Returns what the ordering rule `priority_fee` compares: `maxPriorityFeePerGas`, or the gas price where there is none.
    #[must_use]
    pub fn priority_fee(&self) -> u128 {
        self.0.envelope.max_priority_fee_per_gas().unwrap_or_else(|| self.0.envelope.max_fee_per_gas())
    }

    /// Returns the most that the sender pays per unit of gas.
    #[must_use]
    pub fn max_fee(&self) -> u128 {
        self.0.envelope.max_fee_per_gas()
    }
}

/// Decodes an encoding and checks everything but the signature.
fn decode_form(raw: &Bytes) -> Result<TxEnvelope, TransactionError> {
    if raw.len() > TRANSACTION_BYTES_MAX {
        return Err(TransactionError::Oversized { got: raw.len() });
    }
    let mut rest = raw.as_ref();
    let envelope =
        TxEnvelope::decode_2718(&mut rest).map_err(|error| TransactionError::Malformed(error.to_string()))?;
    match envelope.tx_type() {
        TxType::Legacy | TxType::Eip2930 | TxType::Eip1559 | TxType::Eip7702 => {}
        TxType::Eip4844 => return Err(TransactionError::UnsupportedType),
    }
    if envelope.chain_id().is_none() {
        return Err(TransactionError::NotReplayProtected);
    }
    // A second spelling of the same transaction would have another payload leaf under the same hash.
    if !rest.is_empty() || envelope.encoded_2718() != raw.as_ref() {
        return Err(TransactionError::Malformed("rlp: not the canonical encoding".into()));
    }
    Ok(envelope)
}

impl PartialEq for Transaction {
    fn eq(&self, other: &Self) -> bool {
        self.hash() == other.hash()
    }
}

impl Eq for Transaction {}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("hash", self.hash())
            .field("sender", &self.0.sender.get())
            .field("nonce", &self.nonce())
            .finish()
    }
}
