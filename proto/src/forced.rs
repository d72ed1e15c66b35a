//! Entries of the forced queue: what users put on L1 themselves, and a block must take in its turn.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use alloy_primitives::{Address, B256, Bytes, keccak256};
use alloy_sol_types::SolValue;

use crate::{
    L1BlockNumber, L2ChainId, Transaction, TransactionError,
    limits::{FORCED_ENTRY_BYTES_MAX, FORCED_ENTRY_GAS, FORCED_PER_BLOCK_MAX},
};

/// The kind of an entry that holds a raw transaction: `RAW_TRANSACTION` in `contracts/src/ForcedQueue.sol`.
pub const RAW_TRANSACTION: u8 = 0;

/// One entry of the forced queue. Cheap to clone.
///
/// Its bytes are opaque: whatever they are, it takes its place in the queue and in a block, and whether they are a
/// transaction that can be executed is seen after that ([`Self::content`]).
#[derive(Clone)]
pub struct ForcedEntry(Arc<Inner>);

struct Inner {
    l1_block: L1BlockNumber,
    sender: Address,
    kind: u8,
    data: Bytes,
    transaction: OnceLock<Result<Transaction, TransactionError>>,
}

/// Why an entry is taken and skipped before anything is asked of its nonce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ForcedFlaw {
    #[error("kind {got}, this version knows raw transactions")]
    UnknownKind { got: u8 },
    #[error("no transaction: {0}")]
    NotATransaction(TransactionError),
    #[error("a transaction of chain {got}, this is {expected}")]
    ForeignChain { got: u64, expected: L2ChainId },
    #[error("a transaction that declares {got} gas, a forced one may declare {FORCED_ENTRY_GAS}")]
    TooMuchGas { got: u64 },
}

impl ForcedEntry {
    /// Makes an entry. L1 accepts 1 to [`FORCED_ENTRY_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new(l1_block: L1BlockNumber, sender: Address, kind: u8, data: Bytes) -> Self {
        Self(Arc::new(Inner { l1_block, sender, kind, data, transaction: OnceLock::new() }))
    }

    /// Returns the L1 block that brought it.
    #[must_use]
    pub fn l1_block(&self) -> L1BlockNumber {
        self.0.l1_block
    }

    /// Returns the L1 account that put it in.
    #[must_use]
    pub fn sender(&self) -> Address {
        self.0.sender
    }

    /// Returns its kind as L1 has it.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.0.kind
    }

    /// Returns its bytes.
    #[must_use]
    pub fn data(&self) -> &Bytes {
        &self.0.data
    }

    /// Returns keccak256 of its bytes: its leaf under a payload root, and its transaction's hash if it holds one.
    #[must_use]
    pub fn leaf(&self) -> B256 {
        keccak256(&self.0.data)
    }

    /// Returns the queue's rolling hash after this entry, which stands at `position` where the hash is `before`.
    ///
    /// `keccak256(abi.encode(before, uint64 position, uint64 l1Block, address sender, uint8 kind, keccak256(data)))`.
    /// Source: `contracts/src/ForcedQueue.sol`; vectors in `contracts/test/vectors/forced.json`.
    #[must_use]
    pub fn rolling_hash(&self, before: B256, position: u64) -> B256 {
        let words = (before, position, self.0.l1_block.get(), self.0.sender, u16::from(self.0.kind), self.leaf());
        keccak256(words.abi_encode_params())
    }

    /// Returns the transaction that it holds on chain `l2_chain_id`, or why it is skipped whatever the state is. The first call
    /// recovers the sender (about 40 µs).
    ///
    /// # Errors
    /// [`ForcedFlaw`].
    pub fn content(&self, l2_chain_id: L2ChainId) -> Result<&Transaction, ForcedFlaw> {
        let Inner { kind, data, transaction, .. } = self.0.as_ref();
        if *kind != RAW_TRANSACTION {
            return Err(ForcedFlaw::UnknownKind { got: *kind });
        }
        let transaction = match transaction.get_or_init(|| Transaction::decode(data.clone())) {
            Ok(transaction) => transaction,
            Err(error) => return Err(ForcedFlaw::NotATransaction(error.clone())),
        };
        if transaction.chain_id() != l2_chain_id.get() {
            return Err(ForcedFlaw::ForeignChain { got: transaction.chain_id(), expected: l2_chain_id });
        }
        if transaction.gas_limit() > FORCED_ENTRY_GAS {
            return Err(ForcedFlaw::TooMuchGas { got: transaction.gas_limit() });
        }
        Ok(transaction)
    }
}

impl PartialEq for ForcedEntry {
    fn eq(&self, other: &Self) -> bool {
        let parts = |Self(entry): &Self| (entry.l1_block, entry.sender, entry.kind);
        parts(self) == parts(other) && self.0.data == other.0.data
    }
}

impl Eq for ForcedEntry {}

impl fmt::Debug for ForcedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { l1_block, sender, kind, data, .. } = self.0.as_ref();
        f.debug_struct("ForcedEntry")
            .field("l1_block", l1_block)
            .field("sender", sender)
            .field("kind", kind)
            .field("bytes", &data.len())
            .finish()
    }
}

/// The entries that one block takes, in the queue's order: at most [`FORCED_PER_BLOCK_MAX`].
///
/// They travel and are stored with the block. A voter knows them from L1 and could do without, but whoever comes later, and
/// whoever never reads L1, could not; and the most that they ever add is 256 KiB of a block's 2 MiB. Nobody has to be
/// believed about them: the header's rolling hash is one over the one before them, each one's place in the queue, its L1
/// block, its sender, its kind and its bytes, so that a header has room for one such list only. Where bytes become a block,
/// that is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forced {
    /// The queue's rolling hash before the first of them; zero if there is none.
    pub before: B256,
    /// The entries.
    pub entries: Vec<ForcedEntry>,
}

impl Forced {
    /// Returns the entries that follow where the queue's rolling hash is `before`.
    #[must_use]
    pub fn new(before: B256, entries: Vec<ForcedEntry>) -> Self {
        Self { before: if entries.is_empty() { B256::ZERO } else { before }, entries }
    }

    /// Returns whether the block takes none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns how many the block takes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the sum of their bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.data().len()).sum()
    }

    /// Returns the gas that they count for: [`FORCED_ENTRY_GAS`] each, whatever they say.
    #[must_use]
    pub const fn gas(&self) -> u64 {
        FORCED_ENTRY_GAS.saturating_mul(self.entries.len() as u64)
    }

    /// Returns the queue's rolling hash after them, if the first stands at `position`; none if there is no entry.
    #[must_use]
    pub fn hash_after(&self, position: u64) -> Option<B256> {
        if self.entries.is_empty() {
            return None;
        }
        let hash = |before, (position, entry): (u64, &ForcedEntry)| entry.rolling_hash(before, position);
        Some((position..).zip(&self.entries).fold(self.before, hash))
    }

    /// Returns whether they are the ones that lead to `position` and `hash`, which a header names, and keep to what L1 and a
    /// block allow. No entries lead anywhere.
    #[must_use]
    pub fn leads_to(&self, position: u64, hash: B256) -> bool {
        let Some(first) = position.checked_sub(self.entries.len() as u64) else { return false };
        self.entries.len() <= FORCED_PER_BLOCK_MAX
            && self.entries.iter().all(|entry| (1..=FORCED_ENTRY_BYTES_MAX).contains(&entry.data().len()))
            && match self.hash_after(first) {
                Some(after) => after == hash,
                None => self.before.is_zero(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(data: &'static [u8]) -> ForcedEntry {
        ForcedEntry::new(L1BlockNumber::new(7), Address::repeat_byte(1), RAW_TRANSACTION, Bytes::from_static(data))
    }

    #[test]
    fn a_header_has_room_for_one_list_only() {
        let before = B256::repeat_byte(9);
        let forced = Forced::new(before, vec![entry(b"a"), entry(b"b")]);
        let hash = forced.hash_after(5).unwrap();
        assert!(forced.leads_to(7, hash));
        assert!(!forced.leads_to(8, hash), "another place");
        let lists = [
            Forced::new(B256::repeat_byte(8), forced.entries.clone()),
            Forced::new(before, vec![entry(b"b"), entry(b"a")]),
            Forced::new(before, vec![entry(b"a")]),
            Forced::new(
                before,
                vec![
                    entry(b"a"),
                    ForcedEntry::new(L1BlockNumber::new(8), Address::repeat_byte(1), 0, Bytes::from_static(b"b")),
                ],
            ),
            Forced::new(
                before,
                vec![
                    entry(b"a"),
                    ForcedEntry::new(L1BlockNumber::new(7), Address::repeat_byte(2), 0, Bytes::from_static(b"b")),
                ],
            ),
            Forced::new(
                before,
                vec![
                    entry(b"a"),
                    ForcedEntry::new(L1BlockNumber::new(7), Address::repeat_byte(1), 1, Bytes::from_static(b"b")),
                ],
            ),
        ];
        for other in lists {
            assert!(!other.leads_to(7, hash), "{other:?}");
        }
        assert!(Forced::default().leads_to(7, hash), "a block without any says nothing of the queue");
        assert!(!Forced { before, entries: Vec::new() }.leads_to(7, hash), "and has nothing before them");
    }

    #[test]
    fn what_l1_would_have_refused_leads_nowhere() {
        let leads = |entries: Vec<ForcedEntry>| {
            let forced = Forced::new(B256::ZERO, entries);
            forced.leads_to(forced.len() as u64, forced.hash_after(0).unwrap_or_default())
        };
        let long = |bytes| ForcedEntry::new(L1BlockNumber::new(7), Address::ZERO, 0, vec![1; bytes].into());
        assert!(leads(vec![entry(b"a"); FORCED_PER_BLOCK_MAX]) && leads(vec![long(FORCED_ENTRY_BYTES_MAX)]));
        assert!(!leads(vec![entry(b"a"); FORCED_PER_BLOCK_MAX + 1]));
        assert!(!leads(vec![long(FORCED_ENTRY_BYTES_MAX + 1)]) && !leads(vec![entry(b"")]));
    }

    #[test]
    fn an_entry_that_is_no_transaction_says_why() {
        let chain = L2ChainId::new(1);
        assert!(matches!(entry(b"no").content(chain), Err(ForcedFlaw::NotATransaction(_))));
        let deposit = ForcedEntry::new(L1BlockNumber::new(7), Address::ZERO, 1, Bytes::new());
        assert_eq!(deposit.content(chain), Err(ForcedFlaw::UnknownKind { got: 1 }));
    }
}
