//! Forced entries: the rolling hash that L1 makes, and what a block may say of them.

use alloy_primitives::{Address, B256, Bytes, address, hex};
use baton_proto::{
    Block, Forced, ForcedEntry, ForcedFlaw, L1BlockNumber, L2ChainId, PayloadCommitment,
    limits::{BLOCK_BYTES_MAX, FORCED_ENTRY_BYTES_MAX, FORCED_ENTRY_GAS, FORCED_PER_BLOCK_MAX},
    merkle,
    wire::{self, NOTHING_KNOWN, WireError},
};
use proptest::prelude::*;
use serde_json::json;

use crate::{
    golden,
    strategies::{CHAIN, block, forced_block_of, header, transfer},
};

const FILE: &str = "../contracts/test/vectors/forced.json";

fn entry(l1_block: u64, sender: Address, data: impl Into<Bytes>) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::new(l1_block), sender, 0, data.into())
}

/// The contract puts the same entries in, and comes to the same hashes: `enqueue.t.sol`.
#[test]
fn rolling_hashes_are_those_of_the_contract() {
    let user = address!("0x00000000000000000000000000000000000000aa");
    let entries = [
        entry(1_000_000, user, [0]),
        entry(1_000_000, Address::repeat_byte(0xff), *b"not a transaction"),
        entry(1_000_017, user, vec![0xee; 1_000]),
        entry(1 << 32, address!("0x1234567890123456789012345678901234567890"), [2, 0xc0]),
    ];
    let mut hash = B256::ZERO;
    let vectors: Vec<_> = (0..)
        .zip(&entries)
        .map(|(position, entry)| {
            hash = entry.rolling_hash(hash, position);
            json!({
                "entry": hex::encode_prefixed(entry.data()),
                "kind": entry.kind(),
                "l1Block": entry.l1_block().get(),
                "rollingHash": hex::encode_prefixed(hash),
                "sender": hex::encode_prefixed(entry.sender()),
            })
        })
        .collect();
    let mut text = serde_json::to_string_pretty(&json!({ "entries": vectors })).unwrap();
    text.push('\n');
    golden::compare(FILE, text.as_bytes());
    assert_eq!(Forced::new(B256::ZERO, entries.to_vec()).hash_after(0), Some(hash));
}

#[test]
fn a_payload_has_forced_entries_first_and_counts_them_in_full() {
    let transactions = vec![transfer(0, 1, 0), transfer(1, 1, 5)];
    let forced = Forced::new(B256::ZERO, vec![entry(7, Address::ZERO, *b"one"), entry(7, Address::ZERO, *b"three")]);
    let commitment = PayloadCommitment::of(&forced, &transactions);
    let leaves: Vec<B256> =
        forced.entries.iter().map(ForcedEntry::leaf).chain(transactions.iter().map(|tx| *tx.hash())).collect();
    assert_eq!(commitment.payload_root, merkle::root(&leaves));
    assert_eq!(commitment.transaction_count, 4);
    let bytes: usize = transactions.iter().map(|tx| tx.raw().len()).sum();
    assert_eq!(commitment.payload_bytes as usize, 8 + bytes);
    let gas: u64 = transactions.iter().map(|tx| tx.gas_limit()).sum();
    assert_eq!(commitment.declared_gas, 2 * FORCED_ENTRY_GAS + gas);
}

#[test]
fn only_a_good_transaction_of_this_chain_is_ordered() {
    let good = transfer(0, 1, 0);
    let raw = |gas_limit| {
        use alloy_consensus::{SignableTransaction, TxEnvelope, TxLegacy};
        use alloy_eips::eip2718::Encodable2718;
        let tx = TxLegacy { chain_id: Some(CHAIN.get()), gas_limit, ..Default::default() };
        let signature = alloy_primitives::Signature::test_signature();
        Bytes::from(TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
    };
    let (most, over) =
        (entry(7, Address::ZERO, raw(FORCED_ENTRY_GAS)), entry(7, Address::ZERO, raw(FORCED_ENTRY_GAS + 1)));
    assert_eq!(over.content(CHAIN), Err(ForcedFlaw::TooMuchGas { got: FORCED_ENTRY_GAS + 1 }));
    let held = entry(7, Address::ZERO, good.raw().clone());
    assert_eq!(held.content(CHAIN).map(|tx| *tx.hash()), Ok(held.leaf()));
    let elsewhere = L2ChainId::new(CHAIN.get() + 1);
    assert_eq!(held.content(elsewhere), Err(ForcedFlaw::ForeignChain { got: CHAIN.get(), expected: elsewhere }));

    let entries = vec![entry(7, Address::ZERO, *b"none"), held, over, most.clone()];
    let other = transfer(1, 1, 0);
    let block = forced_block_of(plain(), (3, B256::ZERO), entries, vec![other.clone()]);
    let places: Vec<_> = block.ordered().map(|(place, tx)| (place, *tx.hash())).collect();
    assert_eq!(places, [(1, *good.hash()), (3, most.leaf()), (4, *other.hash())]);
}

fn plain() -> baton_proto::BlockHeader {
    let origin = baton_proto::L1Origin { number: L1BlockNumber::new(7), hash: B256::ZERO };
    baton_proto::BlockHeader::genesis(CHAIN, origin, 1)
}

proptest! {
    /// Whatever is done to the entries of a block, its header does not allow it.
    #[test]
    fn no_other_entries_pass_as_a_blocks_own(block in block(), at in any::<prop::sample::Index>(), how in 0..7_u8) {
        prop_assume!(!block.forced.is_empty());
        let mut changed = block.clone();
        let entries = &mut changed.forced.entries;
        let at = at.index(entries.len());
        let one = entries[at].clone();
        let with = |l1_block, sender, kind| ForcedEntry::new(l1_block, sender, kind, one.data().clone());
        match how {
            0 => entries[at] = with(L1BlockNumber::new(one.l1_block().get() ^ 1), one.sender(), one.kind()),
            1 => entries[at] = with(one.l1_block(), Address::repeat_byte(0xaa), one.kind()),
            2 => entries[at] = with(one.l1_block(), one.sender(), one.kind() ^ 1),
            3 => entries[at] = ForcedEntry::new(one.l1_block(), one.sender(), one.kind(), [one.data(), &[0][..]].concat().into()),
            4 => { entries.remove(at); }
            5 => entries.insert(at, one.clone()),
            _ => changed.forced.before = B256::repeat_byte(0xbb),
        }
        if changed.forced.is_empty() {
            changed.forced = Forced::default();
        }
        let decoded = wire::block_from_bytes(&wire::block_to_bytes(&changed));
        // Without its last entry a block has no more list that could be wrong, and another payload.
        let is_refused = matches!(
            decoded,
            Err(WireError::WrongForced { .. } | WireError::TooMany { .. } | WireError::PayloadMismatch { .. })
        );
        prop_assert!(is_refused, "{decoded:?}");
        prop_assert_eq!(wire::block_from_bytes(&wire::block_to_bytes(&block)), Ok(block));
    }

    #[test]
    fn a_block_without_entries_says_nothing_of_the_queue(header in header()) {
        let block = crate::strategies::block_of(header, Vec::new());
        prop_assert_eq!(wire::block_from_bytes(&wire::block_to_bytes(&block)), Ok(block));
    }
}

#[test]
fn forced_entries_at_the_bound_and_one_over() {
    let of = |count: usize, bytes: usize| {
        forced_block_of(plain(), (0, B256::ZERO), vec![entry(7, Address::ZERO, vec![1; bytes]); count], Vec::new())
    };
    let decode = |block: &Block| wire::block_from_bytes(&wire::block_to_bytes(block));
    let most = of(FORCED_PER_BLOCK_MAX, FORCED_ENTRY_BYTES_MAX);
    assert!((most.header.payload_bytes as usize) < BLOCK_BYTES_MAX);
    assert_eq!(decode(&most), Ok(most));
    let (got, max) = (FORCED_PER_BLOCK_MAX + 1, FORCED_PER_BLOCK_MAX);
    assert_eq!(decode(&of(got, 1)), Err(WireError::TooMany { what: "block.forced", got, max }));
    let (got, max) = (FORCED_ENTRY_BYTES_MAX + 1, FORCED_ENTRY_BYTES_MAX);
    assert_eq!(decode(&of(1, got)), Err(WireError::Oversize { what: "forced_entry.data", got, max }));
    assert!(matches!(decode(&of(1, 0)), Err(WireError::WrongForced { .. })));

    // In an answer to a question too, however many blocks it has.
    let answer = wire::SyncResponse::Block(Some(of(FORCED_PER_BLOCK_MAX + 1, 1))).encode();
    let (got, max) = (FORCED_PER_BLOCK_MAX + 1, FORCED_PER_BLOCK_MAX);
    let refused = wire::SyncResponse::decode(&answer, NOTHING_KNOWN);
    assert_eq!(refused, Err(WireError::TooMany { what: "block.forced", got, max }));
}
