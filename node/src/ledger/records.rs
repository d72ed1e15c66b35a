//! How results and small records are written.

use alloy_primitives::{Bloom, U256};
use baton_execution::{ExecutedBlock, Outcome, SkipReason};
use baton_proto::{BlockDigest, Epoch, Height, View};

use super::{
    BlockResults, Head, TransactionRecord,
    encoding::{Reader, push_bytes, push_number},
    keys,
};

/// Version of what follows it in the results of a block.
const RESULTS_VERSION: u8 = 1;

/// What an outcome is, in its first byte. Numbers that say more follow.
mod tag {
    pub(super) const EXECUTED: u8 = 0;
    pub(super) const NONCE_TOO_LOW: u8 = 1;
    pub(super) const NONCE_TOO_HIGH: u8 = 2;
    pub(super) const MALFORMED: u8 = 3;
    pub(super) const FOREIGN_CHAIN: u8 = 4;
    pub(super) const TOO_MUCH_FORCED_GAS: u8 = 5;
    pub(super) const NONCE_MAX: u8 = 6;
    pub(super) const INSUFFICIENT_FUNDS: u8 = 7;
    pub(super) const FEE_CAP_TOO_LOW: u8 = 8;
    pub(super) const TIP_ABOVE_FEE_CAP: u8 = 9;
    pub(super) const GAS_LIMIT_REACHED: u8 = 10;
    pub(super) const GAS_LIMIT_TOO_HIGH: u8 = 11;
    pub(super) const INTRINSIC_GAS: u8 = 12;
    pub(super) const FLOOR_DATA_GAS: u8 = 13;
    pub(super) const INIT_CODE_TOO_LONG: u8 = 14;
    pub(super) const SENDER_NOT_EOA: u8 = 15;
    pub(super) const EMPTY_AUTHORIZATION_LIST: u8 = 16;
    pub(super) const UNSUPPORTED_TYPE: u8 = 17;
    pub(super) const OTHER: u8 = 18;
}

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
    push_outcome(&mut bytes, &record.outcome);
    bytes
}

pub(super) fn transaction_from_bytes(bytes: &[u8]) -> Option<TransactionRecord> {
    let mut reader = Reader::new(bytes);
    let (block, index) = (Height::new(reader.u64()?), reader.u32()?);
    let outcome = take_outcome(&mut reader)?;
    reader.end(TransactionRecord { block, index, outcome })
}

pub(super) fn results_to_bytes(executed: &ExecutedBlock) -> Vec<u8> {
    let ExecutedBlock { outcomes, base_fee, gas_used, receipts_root, logs_bloom, state_root, .. } = executed;
    let mut bytes = vec![RESULTS_VERSION];
    bytes.extend(state_root);
    bytes.extend(receipts_root);
    bytes.extend(keys::be(*base_fee));
    bytes.extend(keys::be(*gas_used));
    // Most blocks have no logs.
    bytes.push(u8::from(!logs_bloom.is_zero()));
    if !logs_bloom.is_zero() {
        bytes.extend(logs_bloom.as_slice());
    }
    for outcome in outcomes {
        push_outcome(&mut bytes, outcome);
    }
    bytes
}

pub(super) fn results_from_bytes(bytes: &[u8]) -> Option<BlockResults> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != RESULTS_VERSION {
        return None;
    }
    let (state_root, receipts_root) = (reader.word()?, reader.word()?);
    let (base_fee, gas_used) = (reader.u64()?, reader.u64()?);
    let logs_bloom = match reader.byte()? {
        0 => Bloom::ZERO,
        1 => Bloom::from_slice(reader.take(256)?),
        _ => return None,
    };
    let mut outcomes = Vec::new();
    while !reader.is_empty() {
        outcomes.push(take_outcome(&mut reader)?);
    }
    Some(BlockResults { state_root, receipts_root, base_fee, gas_used, logs_bloom, outcomes })
}

fn push_outcome(bytes: &mut Vec<u8>, outcome: &Outcome) {
    use SkipReason as Skip;
    let Outcome::Skipped(reason) = outcome else { return bytes.push(tag::EXECUTED) };
    let mut push = |tag: u8, numbers: &[U256]| {
        bytes.push(tag);
        numbers.iter().for_each(|number| push_number(bytes, *number));
    };
    let two = |a: u64, b: u64| [U256::from(a), U256::from(b)];
    match reason {
        Skip::NonceTooLow { got, expected } => push(tag::NONCE_TOO_LOW, &two(*got, *expected)),
        Skip::NonceTooHigh { got, expected } => push(tag::NONCE_TOO_HIGH, &two(*got, *expected)),
        Skip::Malformed => push(tag::MALFORMED, &[]),
        Skip::ForeignChain { got } => push(tag::FOREIGN_CHAIN, &[U256::from(*got)]),
        Skip::TooMuchForcedGas { got } => push(tag::TOO_MUCH_FORCED_GAS, &[U256::from(*got)]),
        Skip::NonceMax => push(tag::NONCE_MAX, &[]),
        Skip::InsufficientFunds { have, want } => push(tag::INSUFFICIENT_FUNDS, &[*have, *want]),
        Skip::FeeCapTooLow { got, base_fee } => push(tag::FEE_CAP_TOO_LOW, &[*got, U256::from(*base_fee)]),
        Skip::TipAboveFeeCap => push(tag::TIP_ABOVE_FEE_CAP, &[]),
        Skip::GasLimitReached { got, left } => push(tag::GAS_LIMIT_REACHED, &two(*got, *left)),
        Skip::GasLimitTooHigh { got, most } => push(tag::GAS_LIMIT_TOO_HIGH, &two(*got, *most)),
        Skip::IntrinsicGas { have, want } => push(tag::INTRINSIC_GAS, &two(*have, *want)),
        Skip::FloorDataGas { have, want } => push(tag::FLOOR_DATA_GAS, &two(*have, *want)),
        Skip::InitCodeTooLong => push(tag::INIT_CODE_TOO_LONG, &[]),
        Skip::SenderNotEoa => push(tag::SENDER_NOT_EOA, &[]),
        Skip::EmptyAuthorizationList => push(tag::EMPTY_AUTHORIZATION_LIST, &[]),
        Skip::UnsupportedType => push(tag::UNSUPPORTED_TYPE, &[]),
        Skip::Other { what } => {
            push(tag::OTHER, &[]);
            push_bytes(bytes, what.as_bytes());
        }
    }
}

fn take_outcome(reader: &mut Reader<'_>) -> Option<Outcome> {
    use SkipReason as Skip;
    let tag = reader.byte()?;
    let mut small = || reader.number().and_then(|number| u64::try_from(number).ok());
    Some(Outcome::Skipped(match tag {
        tag::EXECUTED => return Some(Outcome::Executed),
        tag::NONCE_TOO_LOW => Skip::NonceTooLow { got: small()?, expected: small()? },
        tag::NONCE_TOO_HIGH => Skip::NonceTooHigh { got: small()?, expected: small()? },
        tag::MALFORMED => Skip::Malformed,
        tag::FOREIGN_CHAIN => Skip::ForeignChain { got: small()? },
        tag::TOO_MUCH_FORCED_GAS => Skip::TooMuchForcedGas { got: small()? },
        tag::NONCE_MAX => Skip::NonceMax,
        tag::INSUFFICIENT_FUNDS => Skip::InsufficientFunds { have: reader.number()?, want: reader.number()? },
        tag::FEE_CAP_TOO_LOW => {
            Skip::FeeCapTooLow { got: reader.number()?, base_fee: u64::try_from(reader.number()?).ok()? }
        }
        tag::TIP_ABOVE_FEE_CAP => Skip::TipAboveFeeCap,
        tag::GAS_LIMIT_REACHED => Skip::GasLimitReached { got: small()?, left: small()? },
        tag::GAS_LIMIT_TOO_HIGH => Skip::GasLimitTooHigh { got: small()?, most: small()? },
        tag::INTRINSIC_GAS => Skip::IntrinsicGas { have: small()?, want: small()? },
        tag::FLOOR_DATA_GAS => Skip::FloorDataGas { have: small()?, want: small()? },
        tag::INIT_CODE_TOO_LONG => Skip::InitCodeTooLong,
        tag::SENDER_NOT_EOA => Skip::SenderNotEoa,
        tag::EMPTY_AUTHORIZATION_LIST => Skip::EmptyAuthorizationList,
        tag::UNSUPPORTED_TYPE => Skip::UnsupportedType,
        tag::OTHER => Skip::Other { what: String::from_utf8(reader.bytes()?.to_vec()).ok()? },
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcomes() -> impl Strategy<Value = Outcome> {
        use SkipReason as Skip;
        let number = || any::<[u64; 4]>().prop_map(U256::from_limbs);
        let reasons = prop_oneof![
            any::<(u64, u64)>().prop_map(|(got, expected)| Skip::NonceTooLow { got, expected }),
            any::<(u64, u64)>().prop_map(|(got, expected)| Skip::NonceTooHigh { got, expected }),
            any::<u64>().prop_map(|got| Skip::ForeignChain { got }),
            any::<u64>().prop_map(|got| Skip::TooMuchForcedGas { got }),
            (number(), number()).prop_map(|(have, want)| Skip::InsufficientFunds { have, want }),
            (number(), any::<u64>()).prop_map(|(got, base_fee)| Skip::FeeCapTooLow { got, base_fee }),
            any::<(u64, u64)>().prop_map(|(got, left)| Skip::GasLimitReached { got, left }),
            any::<(u64, u64)>().prop_map(|(got, most)| Skip::GasLimitTooHigh { got, most }),
            any::<(u64, u64)>().prop_map(|(have, want)| Skip::IntrinsicGas { have, want }),
            any::<(u64, u64)>().prop_map(|(have, want)| Skip::FloorDataGas { have, want }),
            "[a-z ]{0,20}".prop_map(|what| Skip::Other { what }),
            prop::sample::select(vec![
                Skip::Malformed,
                Skip::NonceMax,
                Skip::TipAboveFeeCap,
                Skip::InitCodeTooLong,
                Skip::SenderNotEoa,
                Skip::EmptyAuthorizationList,
                Skip::UnsupportedType,
            ]),
        ];
        prop::option::weighted(0.7, reasons).prop_map(|reason| reason.map_or(Outcome::Executed, Outcome::Skipped))
    }

    proptest! {
        #[test]
        fn results_come_back_as_they_were(
            roots in any::<[[u8; 32]; 2]>(), fees in any::<[u64; 2]>(), bloom: u8, outcomes in prop::collection::vec(outcomes(), 0..9),
        ) {
            let executed = ExecutedBlock {
                state_root: roots[0].into(),
                receipts_root: roots[1].into(),
                base_fee: fees[0],
                gas_used: fees[1],
                logs_bloom: Bloom::repeat_byte(bloom & 1),
                outcomes,
                ..ExecutedBlock::default()
            };
            let read = results_from_bytes(&results_to_bytes(&executed)).unwrap();
            let ExecutedBlock { outcomes, base_fee, gas_used, receipts_root, logs_bloom, state_root, .. } = executed;
            prop_assert_eq!(read, BlockResults { state_root, receipts_root, base_fee, gas_used, logs_bloom, outcomes });
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
