//! How the receipts of a block are written: all of them under one key, in order.
//!
//! Blooms are not stored: they follow from the logs.

use alloy_consensus::{Eip658Value, Receipt, ReceiptEnvelope, TxType, Typed2718 as _};
use alloy_primitives::{Bytes, Log};
use baton_execution::TransactionReceipt;

use super::encoding::{Reader, push_bytes, push_count};

/// Version of what follows it.
const VERSION: u8 = 1;

const CALLED: u8 = 0;
const CREATED: u8 = 1;

/// Most topics of a log.
const TOPICS_MAX: u8 = 4;

pub(super) fn receipts_to_bytes(receipts: &[TransactionReceipt]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for receipt in receipts {
        let TransactionReceipt { hash, item, from, to, contract, gas_used, gas_price, envelope } = receipt;
        bytes.extend(hash);
        bytes.extend(item.to_be_bytes());
        bytes.extend(from);
        bytes.push(if contract.is_some() { CREATED } else { CALLED });
        bytes.extend(contract.or(*to).unwrap_or_default());
        bytes.extend(gas_used.to_be_bytes());
        bytes.extend(gas_price.to_be_bytes());
        bytes.push(envelope.ty());
        bytes.push(u8::from(envelope.is_success()));
        bytes.extend(envelope.cumulative_gas_used().to_be_bytes());
        push_count(&mut bytes, envelope.logs().len());
        for log in envelope.logs() {
            bytes.extend(log.address);
            // The EVM has no instruction for more than four.
            bytes.push(log.topics().len() as u8);
            log.topics().iter().for_each(|topic| bytes.extend(topic));
            push_bytes(&mut bytes, &log.data.data);
        }
    }
    bytes
}

pub(super) fn receipts_from_bytes(bytes: &[u8]) -> Option<Vec<TransactionReceipt>> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let mut receipts = Vec::new();
    while !reader.is_empty() {
        receipts.push(receipt(&mut reader)?);
    }
    Some(receipts)
}

fn receipt(reader: &mut Reader<'_>) -> Option<TransactionReceipt> {
    let (hash, item, from) = (reader.word()?, reader.u32()?, reader.address()?);
    let (to, contract) = match (reader.byte()?, reader.address()?) {
        (CALLED, to) => (Some(to), None),
        (CREATED, contract) => (None, Some(contract)),
        _ => return None,
    };
    let (gas_used, gas_price) = (reader.u64()?, reader.u128()?);
    let kind = TxType::try_from(reader.byte()?).ok()?;
    let status = match reader.byte()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let cumulative_gas_used = reader.u64()?;
    let mut logs = Vec::new();
    for _ in 0..reader.u32()? {
        logs.push(log(reader)?);
    }
    let body = Receipt { status: Eip658Value::Eip658(status), cumulative_gas_used, logs };
    let envelope = ReceiptEnvelope::from_typed(kind, body.with_bloom());
    Some(TransactionReceipt { hash, item, from, to, contract, gas_used, gas_price, envelope })
}

fn log(reader: &mut Reader<'_>) -> Option<Log> {
    let (address, count) = (reader.address()?, reader.byte()?);
    if count > TOPICS_MAX {
        return None;
    }
    let topics = (0..count).map(|_| reader.word()).collect::<Option<Vec<_>>>()?;
    Log::new(address, topics, Bytes::copy_from_slice(reader.bytes()?))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, b256, hex, keccak256};
    use proptest::prelude::*;

    use super::*;

    fn logs() -> impl Strategy<Value = Vec<Log>> {
        let topics = prop::collection::vec(any::<[u8; 32]>().prop_map(B256::from), 0..5);
        let log = (any::<[u8; 20]>(), topics, prop::collection::vec(any::<u8>(), 0..40));
        let log = log.prop_map(|(address, topics, data)| Log::new(address.into(), topics, data.into()).unwrap());
        prop::collection::vec(log, 0..4)
    }

    fn receipts() -> impl Strategy<Value = Vec<TransactionReceipt>> {
        let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<u128>());
        let kind = prop::sample::select(vec![TxType::Legacy, TxType::Eip2930, TxType::Eip1559, TxType::Eip7702]);
        let receipt =
            (any::<[u8; 32]>(), any::<[u8; 20]>(), any::<[u8; 20]>(), numbers, kind, any::<(bool, bool)>(), logs());
        let receipt = receipt.prop_map(
            |(hash, from, other, (item, gas_used, cumulative_gas_used, gas_price), kind, (creates, succeeds), logs)| {
                let other = Address::from(other);
                let body = Receipt { status: Eip658Value::Eip658(succeeds), cumulative_gas_used, logs };
                TransactionReceipt {
                    hash: hash.into(),
                    item,
                    from: from.into(),
                    to: (!creates).then_some(other),
                    contract: creates.then_some(other),
                    gas_used,
                    gas_price,
                    envelope: ReceiptEnvelope::from_typed(kind, body.with_bloom()),
                }
            },
        );
        prop::collection::vec(receipt, 0..4)
    }

    proptest! {
        #[test]
        fn receipts_come_back_as_they_were(receipts in receipts(), cut in any::<prop::sample::Index>()) {
            let bytes = receipts_to_bytes(&receipts);
            prop_assert_eq!(receipts_from_bytes(&bytes), Some(receipts.clone()));
            if let Some(half) = bytes.get(..cut.index(bytes.len())) {
                prop_assert_ne!(receipts_from_bytes(half), Some(receipts));
            }
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = receipts_from_bytes(&bytes);
            bytes.insert(0, VERSION);
            let _ = receipts_from_bytes(&bytes);
        }
    }

    #[test]
    fn receipts_are_written_as_they_always_were() {
        let log = Log::new(Address::repeat_byte(5), vec![B256::repeat_byte(6)], vec![7, 8].into()).unwrap();
        let body = Receipt { status: Eip658Value::Eip658(true), cumulative_gas_used: 63_000, logs: vec![log] };
        let receipt = TransactionReceipt {
            hash: B256::repeat_byte(1),
            item: 2,
            from: Address::repeat_byte(3),
            to: Some(Address::repeat_byte(4)),
            contract: None,
            gas_used: 42_000,
            gas_price: 1_000_000_007,
            envelope: ReceiptEnvelope::Eip1559(body.with_bloom()),
        };
        let bytes = receipts_to_bytes(&[receipt]);
        assert_eq!(bytes.len(), 175);
        assert_eq!(hex::encode(&bytes[..5]), "0101010101");
        assert_eq!(keccak256(&bytes), b256!("0xa0d52f3d66fee1d6948ed20a7c6b88e45506fd10011091a27264334a4825f46a"));
    }
}
