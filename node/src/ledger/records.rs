//! How results and small records are written.

use alloy_primitives::B256;
use baton_execution::Outcome;
use baton_proto::{BlockDigest, Epoch, Height, View};

use super::{BlockResults, Head, TransactionRecord, keys};

const EXECUTED: u8 = 0;
const SKIPPED_REPLAY: u8 = 1;
const SKIPPED_GAP: u8 = 2;
const SKIPPED_MALFORMED: u8 = 3;
const SKIPPED_FOREIGN_CHAIN: u8 = 4;
const SKIPPED_TOO_MUCH_GAS: u8 = 5;

pub(super) fn head_to_bytes(head: Head) -> Vec<u8> {
    [keys::be(head.height.get()).as_slice(), head.digest.get().as_slice()].concat()
}

pub(super) fn head_from_bytes(bytes: &[u8]) -> Option<Head> {
    let (height, digest) = bytes.split_at_checked(8)?;
    Some(Head { height: Height::new(number(height)?), digest: keys::digest_after(digest, 0)? })
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Where the finalization of a block is: epoch, view, and for the index by height the block.
pub(super) fn place_to_bytes(epoch: Epoch, view: View) -> Vec<u8> {
    [keys::be(epoch.get()), keys::be(view.get())].concat()
}

pub(super) fn place_from_bytes(bytes: &[u8]) -> Option<(Epoch, View)> {
    let (epoch, view) = bytes.split_at_checked(8)?;
    Some((Epoch::new(number(epoch)?), View::new(number(view)?)))
}

pub(super) fn placed_block_to_bytes(epoch: Epoch, view: View, digest: BlockDigest) -> Vec<u8> {
    [place_to_bytes(epoch, view).as_slice(), digest.get().as_slice()].concat()
}

pub(super) fn placed_block_from_bytes(bytes: &[u8]) -> Option<(Epoch, View, BlockDigest)> {
    let (epoch, view) = place_from_bytes(bytes.get(..16)?)?;
    Some((epoch, view, keys::digest_after(bytes, 16)?))
}

pub(super) fn transaction_to_bytes(record: &TransactionRecord) -> Vec<u8> {
    let mut bytes = [keys::be(record.block.get()).as_slice(), &record.index.to_be_bytes()].concat();
    push_outcome(&mut bytes, record.outcome);
    bytes
}

pub(super) fn transaction_from_bytes(bytes: &[u8]) -> Option<TransactionRecord> {
    let (height, rest) = bytes.split_at_checked(8)?;
    let (index, mut rest) = rest.split_at_checked(4)?;
    let outcome = take_outcome(&mut rest)?;
    rest.is_empty().then_some(TransactionRecord {
        block: Height::new(number(height)?),
        index: u32::from_be_bytes(index.try_into().ok()?),
        outcome,
    })
}

pub(super) fn results_to_bytes(state_root: B256, outcomes: &[Outcome]) -> Vec<u8> {
    let mut bytes = state_root.to_vec();
    for outcome in outcomes {
        push_outcome(&mut bytes, *outcome);
    }
    bytes
}

pub(super) fn results_from_bytes(bytes: &[u8]) -> Option<BlockResults> {
    let (state_root, mut rest) = bytes.split_at_checked(32)?;
    let mut outcomes = Vec::new();
    while !rest.is_empty() {
        outcomes.push(take_outcome(&mut rest)?);
    }
    Some(BlockResults { state_root: B256::try_from(state_root).ok()?, outcomes })
}

/// A tag, and for some of them a number.
fn push_outcome(bytes: &mut Vec<u8>, outcome: Outcome) {
    let (tag, number) = match outcome {
        Outcome::Executed => (EXECUTED, None),
        Outcome::SkippedMalformed => (SKIPPED_MALFORMED, None),
        Outcome::SkippedReplay { expected } => (SKIPPED_REPLAY, Some(expected)),
        Outcome::SkippedGap { expected } => (SKIPPED_GAP, Some(expected)),
        Outcome::SkippedForeignChain { got } => (SKIPPED_FOREIGN_CHAIN, Some(got)),
        Outcome::SkippedTooMuchGas { got } => (SKIPPED_TOO_MUCH_GAS, Some(got)),
    };
    bytes.push(tag);
    bytes.extend(number.map(keys::be).into_iter().flatten());
}

fn take_outcome(rest: &mut &[u8]) -> Option<Outcome> {
    let (tag, after) = rest.split_first()?;
    *rest = after;
    match *tag {
        EXECUTED => return Some(Outcome::Executed),
        SKIPPED_MALFORMED => return Some(Outcome::SkippedMalformed),
        _ => {}
    }
    let (value, after) = after.split_at_checked(8)?;
    let value = number(value)?;
    *rest = after;
    match *tag {
        SKIPPED_REPLAY => Some(Outcome::SkippedReplay { expected: value }),
        SKIPPED_GAP => Some(Outcome::SkippedGap { expected: value }),
        SKIPPED_FOREIGN_CHAIN => Some(Outcome::SkippedForeignChain { got: value }),
        SKIPPED_TOO_MUCH_GAS => Some(Outcome::SkippedTooMuchGas { got: value }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Executed),
            any::<u64>().prop_map(|expected| Outcome::SkippedReplay { expected }),
            any::<u64>().prop_map(|expected| Outcome::SkippedGap { expected }),
            Just(Outcome::SkippedMalformed),
            any::<u64>().prop_map(|got| Outcome::SkippedForeignChain { got }),
            any::<u64>().prop_map(|got| Outcome::SkippedTooMuchGas { got }),
        ]
    }

    proptest! {
        #[test]
        fn results_come_back_as_they_were(root in any::<[u8; 32]>(), outcomes in prop::collection::vec(outcomes(), 0..9)) {
            let bytes = results_to_bytes(B256::from(root), &outcomes);
            prop_assert_eq!(results_from_bytes(&bytes), Some(BlockResults { state_root: B256::from(root), outcomes }));
        }

        #[test]
        fn transaction_records_come_back_as_they_were(height: u64, index: u32, outcome in outcomes()) {
            let record = TransactionRecord { block: Height::new(height), index, outcome };
            prop_assert_eq!(transaction_from_bytes(&transaction_to_bytes(&record)), Some(record));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = results_from_bytes(&bytes);
            let _ = transaction_from_bytes(&bytes);
            let _ = head_from_bytes(&bytes);
            let _ = placed_block_from_bytes(&bytes);
        }
    }
}
