//! A block of the largest size that a chain allows, and a batch's room for it.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, keccak256};
use baton_proto::{
    Transaction,
    batch_data::{encode_prefix, matches},
    limits::{BLOCK_DATA_GROWTH, BLOCK_DATA_OVERHEAD_BYTES, TRANSACTION_BYTES_MAX},
};

use crate::{
    batch_data::busy_chain,
    strategies::{CHAIN, raw_signed},
};

/// Rooms of a batch, and the largest blocks that a chain spec may allow for them: calldata, a blob, six blobs.
const EDGES: [(usize, usize); 3] = [(122_880, 117_864), (126_971, 121_923), (761_851, 751_881)];

/// Bytes that nothing makes shorter.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words =
        (0..length.div_ceil(32) as u64).flat_map(|word| keccak256([seed.to_be_bytes(), word.to_be_bytes()].concat()).0);
    words.take(length).collect()
}

fn of_noise(nonce: u64, seed: u64, length: usize) -> Vec<u8> {
    let (to, input) = (TxKind::Call(Address::from_slice(&noise(seed, 20))), Bytes::from(noise(seed, length)));
    raw_signed(TxEip1559 { chain_id: CHAIN.get(), nonce, gas_limit: 1 << 24, to, input, ..Default::default() }, 1)
}

/// A transaction of noise, of exactly `size` bytes: more than 65,536, so that its lengths take three bytes each.
fn noise_of_size(nonce: u64, size: usize) -> Transaction {
    let length = 70_000 + size - of_noise(nonce, 0, 70_000).len();
    // r and s lose a byte now and then. No two transactions have the same noise.
    let raw = (0..64).map(|seed| of_noise(nonce, nonce * 64 + seed, length)).find(|raw| raw.len() == size);
    Transaction::decode(Bytes::from(raw.expect("most signatures have the same length"))).unwrap()
}

#[test]
fn a_block_that_cannot_be_compressed_fits_a_batch_alone() {
    for (room, largest) in EDGES {
        let pieces = largest.div_ceil(TRANSACTION_BYTES_MAX);
        let block = busy_chain(1, |_| {
            let size = |piece: usize| largest * (piece + 1) / pieces - largest * piece / pieces;
            (0..pieces).map(|piece| noise_of_size(piece as u64, size(piece))).collect()
        });
        assert_eq!(block[0].header.payload_bytes as usize, largest);
        let (data, taken) = encode_prefix(&block, room).unwrap();
        assert_eq!(taken, 1);
        assert!(data.len() + 1_024 > largest, "{} bytes of data: noise does not get shorter", data.len());
        assert_eq!(matches(&data, &block), Ok(()));
        // What a chain spec reckons with.
        let (growth, overhead) = (BLOCK_DATA_GROWTH as usize, BLOCK_DATA_OVERHEAD_BYTES as usize);
        assert!(largest + largest / growth + overhead <= room);
        assert!(data.len() <= largest + largest / growth + overhead);
    }
}

/// What RLP writes as tersely as can be, and columns do not: numbers of seven bits more, single bytes, and signatures of a few
/// bytes, which anybody can make for an account that nobody has chosen.
fn terse(seed: u64) -> Option<Vec<u8>> {
    let noise = noise(seed, 64);
    let number = |at: usize| u128::from_be_bytes(noise[at..at + 16].try_into().unwrap());
    let tx = TxEip1559 {
        chain_id: CHAIN.get(),
        nonce: u64::MAX - seed,
        gas_limit: 1 << 21,
        max_fee_per_gas: number(0) | 1 << 127,
        max_priority_fee_per_gas: number(16) | 1 << 127,
        to: TxKind::Call(Address::from_slice(&noise[32..52])),
        value: U256::from(noise[52] % 127 + 1),
        input: Bytes::from(vec![noise[53] % 127 + 1]),
        ..Default::default()
    };
    let [r, s] = [54, 55].map(|at| U256::from(noise[at] % 127 + 1));
    let envelope: TxEnvelope = tx.into_signed(Signature::new(r, s, noise[56] % 2 == 1)).into();
    let raw = envelope.encoded_2718();
    // Not every number is a point's.
    Transaction::decode(Bytes::from(raw.clone())).is_ok().then_some(raw)
}

#[test]
fn a_block_of_what_is_longer_in_columns_fits_a_batch_alone() {
    let (room, largest) = EDGES[0];
    let mut bytes = 0;
    let transactions: Vec<Transaction> = (0..)
        .filter_map(terse)
        .take_while(|raw| {
            bytes += raw.len();
            bytes <= largest
        })
        .map(|raw| Transaction::decode(Bytes::from(raw)).unwrap())
        .collect();
    let block = busy_chain(1, |_| transactions.clone());
    assert!(largest - (block[0].header.payload_bytes as usize) < 128, "a full block");
    let (data, taken) = encode_prefix(&block, room).unwrap();
    assert_eq!((taken, matches(&data, &block)), (1, Ok(())));
}
