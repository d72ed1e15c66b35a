//! The data of batches: identity, size, limits, and what malformed data does.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use alloy_primitives::{Address, B256, Bytes};
use baton_proto::{
    BatchIndex, Block, BlockDigest, BlockHeader, Epoch, ForcedEntry, Height, L1BlockNumber, L1Origin, L2ChainId,
    MemberIndex, TimestampMs, Transaction, View,
    batch_data::{BatchContext, BatchDataError, VERSION, decode, encode, encode_prefix, matches},
    limits::{BATCH_BLOB_DATA_BYTES_MAX, BATCH_BLOCKS_MAX, BATCH_DATA_BYTES_MAX, BATCH_DECODED_BYTES_MAX},
};
use proptest::prelude::*;

use crate::{
    golden,
    strategies::{CHAIN, block_of, chain, config, transfer},
};

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn decoding_gives_back_the_very_blocks(blocks in chain(1..12)) {
        let data = encode(&blocks).unwrap();
        let decoded = decode(&data, &context_of(&blocks), entries_of(&blocks)).unwrap();
        prop_assert_eq!(&decoded, &blocks);
        // Transactions are equal if their hashes are; the bytes are compared as well.
        for (got, expected) in decoded.iter().zip(&blocks) {
            prop_assert!(got.transactions.iter().map(Transaction::raw).eq(expected.transactions.iter().map(Transaction::raw)));
            prop_assert_eq!(got.header.digest(), expected.header.digest());
        }
        prop_assert_eq!(matches(&data, &blocks), Ok(()));
        prop_assert_eq!(encode_prefix(&blocks, BATCH_DATA_BYTES_MAX), Ok((data, blocks.len())));
    }

    /// What the data leaves out is what the queue has between two positions, and nothing else.
    #[test]
    fn forced_entries_come_from_the_queue_alone(blocks in chain(1..8), change in any::<prop::sample::Index>()) {
        let (data, context) = (encode(&blocks).unwrap(), context_of(&blocks));
        let entries = entries_of(&blocks);
        let count = blocks.last().unwrap().header.forced_position - context.forced_position;
        if count != 0 {
            let at = context.forced_position + change.index(usize::try_from(count).unwrap()) as u64;
            let without = decode(&data, &context, |position| entries(position).filter(|_| position != at));
            let is_missing = matches!(without, Err(BatchDataError::MissingForced { position, .. }) if position == at);
            prop_assert!(is_missing, "{without:?}");
            let other = ForcedEntry::new(L1BlockNumber::ZERO, Address::repeat_byte(0xee), 0, vec![7].into());
            let swapped = decode(&data, &context, |position| if position == at { Some(other.clone()) } else { entries(position) });
            prop_assert!(matches!(swapped, Err(BatchDataError::WrongForced { .. })), "{swapped:?}");
        }
        let elsewhere = BatchContext { forced_position: context.forced_position.wrapping_sub(1), ..context };
        prop_assert!(decode(&data, &elsewhere, &entries).is_err());
        let elsewhere = BatchContext { forced_hash: B256::repeat_byte(0xdd), ..context };
        prop_assert!(decode(&data, &elsewhere, &entries).is_err());
    }

    /// The same bytes in frames that take more room than they need: of many small pieces.
    #[test]
    fn a_stretched_frame_does_not_match(blocks in chain(1..6)) {
        let data = encode(&blocks).unwrap();
        let body = zstd::decode_all(&data[1..]).unwrap();
        let stretched = |piece: usize| {
            let mut encoder = zstd::stream::Encoder::new(vec![data[0]], 3).unwrap();
            for piece in body.chunks(piece) {
                encoder.write_all(piece).and_then(|()| encoder.flush()).unwrap();
            }
            encoder.finish().unwrap()
        };
        let long = stretched(1);
        prop_assert_eq!(decode(&long, &context_of(&blocks), entries_of(&blocks)), Ok(blocks.clone()));
        let refused = matches(&long, &blocks);
        prop_assert!(matches!(refused, Err(BatchDataError::Stretched { .. })), "{refused:?} of {} for {}", long.len(), data.len());
        // What another release of the compressor makes of them is no fault.
        prop_assert_eq!(matches(&stretched(body.len()), &blocks), Ok(()));
    }

    #[test]
    fn other_blocks_do_not_match(blocks in chain(2..6), others in chain(1..6)) {
        let data = encode(&blocks).unwrap();
        if blocks != others {
            let is_other = matches!(matches(&data, &others), Err(BatchDataError::Differs { .. }));
            prop_assert!(is_other || same_but_for_context(&blocks, &others));
        }
        let shorter = matches(&data, &blocks[..blocks.len() - 1]);
        prop_assert!(matches!(shorter, Err(BatchDataError::Differs { .. })), "{:?}", shorter);
    }

    /// Whatever is done to the body, decoding gives an error or blocks that have exactly this body.
    #[test]
    fn a_changed_body_is_refused_or_is_another_batch(
        blocks in chain(1..5),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let body = decompressed(&encode(&blocks).unwrap());
        let context = context_of(&blocks);

        let mut flipped = body.clone();
        flipped[at.index(body.len())] ^= change;
        if let Ok(decoded) = decode(&compressed(&flipped), &context, entries_of(&blocks)) {
            prop_assert_ne!(&decoded, &blocks);
            prop_assert_eq!(decompressed(&encode(&decoded).unwrap()), flipped);
        }
        let kept = cut.index(body.len());
        let error = decode(&compressed(&body[..kept]), &context, entries_of(&blocks)).unwrap_err();
        prop_assert!(error.is_peer_fault());
        let longer = [&body[..], &[change]].concat();
        prop_assert_eq!(decode(&compressed(&longer), &context, entries_of(&blocks)), Err(BatchDataError::TrailingBytes { got: 1 }));
    }

    #[test]
    fn changed_data_never_panics(blocks in chain(1..4), at in any::<prop::sample::Index>(), change in 1..=255_u8) {
        let mut data = encode(&blocks).unwrap();
        let at = at.index(data.len());
        data[at] ^= change;
        match decode(&data, &context_of(&blocks), entries_of(&blocks)) {
            // zstd has headers whose bits do not matter to what they hold, so equal blocks are possible here.
            Ok(decoded) => prop_assert_eq!(matches(&data, &decoded), Ok(())),
            Err(error) => prop_assert!(error.is_peer_fault()),
        }
        data.truncate(at);
        prop_assert!(decode(&data, &context_of(&blocks), entries_of(&blocks)).is_err());
    }

    #[test]
    fn random_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..400), count in 0..4_u8) {
        let body = [&[count], &body[..]].concat();
        let context = context_of(&idle_chain(1));
        if let Ok(decoded) = decode(&compressed(&body), &context, nothing_forced) {
            prop_assert_eq!(decompressed(&encode(&decoded).unwrap()), body);
        }
    }
}

/// As L1 has them.
fn entries_of(blocks: &[Block]) -> impl Fn(u64) -> Option<ForcedEntry> {
    let mut entries = BTreeMap::new();
    for Block { header, forced, .. } in blocks {
        let first = header.forced_position - forced.len() as u64;
        entries.extend((first..).zip(forced.entries.iter().cloned()));
    }
    move |position| entries.get(&position).cloned()
}

fn nothing_forced(_: u64) -> Option<ForcedEntry> {
    None
}

fn context_of(blocks: &[Block]) -> BatchContext {
    let Block { header: first, forced, .. } = &blocks[0];
    BatchContext {
        l2_chain_id: first.l2_chain_id,
        epoch: first.epoch,
        parent_height: first.height.previous().unwrap(),
        parent: first.parent,
        forced_position: first.forced_position - forced.len() as u64,
        forced_hash: if forced.is_empty() { first.forced_hash } else { forced.before },
    }
}

/// Two chains may differ only in what the context says.
fn same_but_for_context(a: &[Block], b: &[Block]) -> bool {
    let rebased = decode(&encode(a).unwrap(), &context_of(b), entries_of(b));
    rebased.as_deref() == Ok(b)
}

fn decompressed(data: &[u8]) -> Vec<u8> {
    assert_eq!(data[0], VERSION);
    zstd::stream::decode_all(&data[1..]).unwrap()
}

fn compressed(body: &[u8]) -> Vec<u8> {
    [&[VERSION][..], &zstd::bulk::compress(body, 1).unwrap()].concat()
}

fn genesis() -> BlockHeader {
    let origin = L1Origin { number: L1BlockNumber::new(32), hash: B256::repeat_byte(0x32) };
    BlockHeader::genesis(CHAIN, origin, 1_763_700_000)
}

/// Blocks without transactions by four proposers in turn, about a second apart, with a new origin every twelve.
fn idle_chain(count: u64) -> Vec<Block> {
    busy_chain(count, |_| Vec::new())
}

pub(crate) fn busy_chain(count: u64, transactions: impl Fn(u64) -> Vec<Transaction>) -> Vec<Block> {
    let mut previous = genesis();
    let mut blocks = Vec::new();
    for i in 0..count {
        let proposer = (i * 7 % 4) as u8;
        let header = BlockHeader {
            view: View::new(previous.view.get() + 1),
            height: Height::new(i + 1),
            parent: previous.digest(),
            timestamp_ms: TimestampMs::new(previous.timestamp_ms.get() + 1_000 + i * i % 7),
            origin: L1Origin {
                number: L1BlockNumber::new(32 + i / 12),
                hash: alloy_primitives::keccak256((i / 12).to_be_bytes()),
            },
            proposer: MemberIndex::new(proposer),
            fee_recipient: Address::repeat_byte(proposer),
            ..genesis()
        };
        let block = block_of(header, transactions(i));
        previous = block.header.clone();
        blocks.push(block);
    }
    blocks
}

#[test]
fn an_idle_block_costs_a_few_bytes() {
    let (few, many) = (idle_chain(100), idle_chain(1_300));
    let (few, many) = (encode(&few).unwrap().len(), encode(&many).unwrap().len());
    let per_block = (many - few) as f64 / 1_200.0;
    // A new origin's hash cannot be compressed and comes every twelfth block: 32 / 12 bytes of each block are its own.
    assert!(per_block < 4.5, "{per_block} bytes for an idle block");
    assert!(encode(&idle_chain(1)).unwrap().len() < 120);
}

#[test]
fn a_batch_of_transfers_costs_little_more_than_its_signatures() {
    let blocks = busy_chain(20, |i| (0..20).map(|n| transfer(n as u8, i, 0)).collect());
    let raw: usize = blocks.iter().map(|block| block.header.payload_bytes as usize).sum();
    let data = encode(&blocks).unwrap().len();
    assert!(data < 400 * 72, "{data} bytes for 400 transfers of {raw} bytes");
}

#[test]
fn the_encoding_is_pinned() {
    let blocks = busy_chain(5, |i| (0..i).map(|n| transfer(n as u8, i, n as usize)).collect());
    let data = encode(&blocks).unwrap();
    golden::compare("tests/golden/batch_v1.body", &decompressed(&data));
    golden::compare("tests/golden/batch_v1.data", &data);
}

#[test]
fn stored_data_stays_readable() {
    let blocks = busy_chain(5, |i| (0..i).map(|n| transfer(n as u8, i, n as usize)).collect());
    let stored = include_bytes!("../golden/batch_v1.data");
    assert_eq!(decode(stored, &BatchContext::after_block(&genesis(), Epoch::new(2)), nothing_forced), Ok(blocks));
}

#[test]
fn a_context_follows_from_the_batch_before() {
    let blocks = idle_chain(3);
    let first = &blocks[0].header;
    let previous = baton_proto::BatchHeader {
        index: BatchIndex::ZERO,
        prev_batch_hash: Default::default(),
        epoch: first.epoch,
        first_height: first.height,
        last_height: first.height,
        last_digest: first.digest(),
        last_origin: first.origin,
        state_root: B256::ZERO,
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: baton_proto::DataKind::Calldata,
        data_hash: B256::ZERO,
        duties_root: B256::ZERO,
    };
    let context = BatchContext::after_batch(CHAIN, &previous, first.epoch);
    assert_eq!(context, BatchContext::after_block(first, first.epoch));
    assert_eq!(decode(&encode(&blocks[1..]).unwrap(), &context, nothing_forced).unwrap(), blocks[1..]);
}

#[test]
fn blocks_that_are_no_batch_are_not_encoded() {
    assert_eq!(encode(&[]), Err(BatchDataError::NoBlocks));
    let good = busy_chain(3, |i| vec![transfer(0, i, 3)]);
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut blocks = good.clone();
        change(&mut blocks[1]);
        encode(&blocks).unwrap_err()
    };
    let height = Height::new(2);
    let two = good[1].header.clone();
    assert_eq!(
        changed(&|block| block.header.height = Height::new(9)),
        BatchDataError::NotConsecutive { after: Height::new(1), got: Height::new(9) }
    );
    assert_eq!(
        changed(&|block| block.header.parent = BlockDigest::ZERO),
        BatchDataError::WrongParent { height, got: BlockDigest::ZERO, expected: two.parent }
    );
    assert_eq!(
        changed(&|block| block.header.epoch = Epoch::new(3)),
        BatchDataError::WrongEpoch { height, got: Epoch::new(3), expected: Epoch::new(2) }
    );
    assert_eq!(
        changed(&|block| {
            block.header.l2_chain_id = L2ChainId::new(7);
            *block = block_of(block.header.clone(), Vec::new());
        }),
        BatchDataError::WrongChain { height, got: L2ChainId::new(7), expected: CHAIN }
    );
    assert_eq!(
        changed(&|block| block.header.l2_chain_id = L2ChainId::new(7)),
        BatchDataError::WrongChain { height, got: L2ChainId::new(7), expected: CHAIN }
    );
    assert_eq!(changed(&|block| block.header.declared_gas += 1), BatchDataError::PayloadMismatch { height });
    assert_eq!(changed(&|block| block.transactions.clear()), BatchDataError::PayloadMismatch { height });
    assert_eq!(
        changed(&|block| block.header.proposer = MemberIndex::new(128)),
        BatchDataError::BadByte { column: "proposer", got: 128 }
    );
    let mut foreign = good[0].clone();
    foreign.header.l2_chain_id = L2ChainId::new(7);
    assert_eq!(
        encode(&[foreign]),
        Err(BatchDataError::ForeignTransaction {
            height: Height::new(1),
            index: 0,
            got: CHAIN.get(),
            expected: L2ChainId::new(7)
        })
    );
}

#[test]
fn as_many_blocks_as_may_be_and_one_more() {
    let blocks = idle_chain(BATCH_BLOCKS_MAX as u64 + 1);
    let most = &blocks[..BATCH_BLOCKS_MAX];
    let (data, taken) = encode_prefix(&blocks, BATCH_DATA_BYTES_MAX).unwrap();
    assert_eq!(taken, BATCH_BLOCKS_MAX);
    assert_eq!(matches(&data, most), Ok(()));
    assert_eq!(decode(&data, &context_of(most), nothing_forced).unwrap(), most);
    let too_many = BatchDataError::TooManyBlocks { got: BATCH_BLOCKS_MAX as u64 + 1, max: BATCH_BLOCKS_MAX };
    assert_eq!(encode(&blocks), Err(too_many.clone()));
    // The same count from a peer: 16,385 as a number, then enough bytes for that many blocks.
    let mut body = vec![0x81, 0x80, 0x01];
    body.resize(3 + 4 * (BATCH_BLOCKS_MAX + 1), 0);
    assert_eq!(decode(&compressed(&body), &context_of(most), nothing_forced), Err(too_many));
}

#[test]
fn a_prefix_fills_the_space_and_never_more() {
    let blocks = busy_chain(60, |i| (0..30).map(|n| transfer(n, i, (i * 13 % 90) as usize)).collect());
    let whole = encode(&blocks).map(|data| data.len()).unwrap_or(BATCH_DATA_BYTES_MAX);
    let one = encode(&blocks[..1]).unwrap().len();
    let mut sizes = BTreeSet::new();
    for bytes_max in [one, one + 1, 5_000, 20_000, 60_000, whole, BATCH_DATA_BYTES_MAX, usize::MAX] {
        let (data, taken) = encode_prefix(&blocks, bytes_max).unwrap();
        assert!(data.len() <= bytes_max && data.len() <= BATCH_BLOB_DATA_BYTES_MAX);
        assert_eq!(matches(&data, &blocks[..taken]), Ok(()));
        if taken < blocks.len() {
            let wasted = bytes_max - data.len();
            assert!(wasted <= 3_500 || wasted <= bytes_max / 16, "{taken} blocks leave {wasted} of {bytes_max} bytes");
        }
        sizes.insert(taken);
    }
    assert!(sizes.len() > 4 && sizes.contains(&1), "{sizes:?}");
    assert_eq!(
        encode_prefix(&blocks, one - 1),
        Err(BatchDataError::BlockTooLarge { height: Height::new(1), got: one, max: one - 1 })
    );
    assert_eq!(encode_prefix(&[], 1_000), Err(BatchDataError::NoBlocks));
}

#[test]
fn a_prefix_ends_with_its_epoch() {
    let mut blocks = idle_chain(4);
    blocks[3].header.epoch = Epoch::new(3);
    let (data, taken) = encode_prefix(&blocks, BATCH_DATA_BYTES_MAX).unwrap();
    assert_eq!(taken, 3);
    assert_eq!(matches(&data, &blocks[..3]), Ok(()));
}

#[test]
fn more_data_than_calldata_holds_is_an_error() {
    let noise: Vec<u8> = (0..5_000_u32).flat_map(|i| alloy_primitives::keccak256(i.to_be_bytes()).0).collect();
    let noisy = |nonce, bytes: &[u8]| {
        let input = Bytes::copy_from_slice(bytes);
        let tx = alloy_consensus::TxEip1559 { chain_id: CHAIN.get(), nonce, input, ..Default::default() };
        crate::strategies::signed(tx, 1)
    };
    let (one, other) = noise.split_at(80_000);
    let blocks = busy_chain(1, |i| vec![noisy(i, one), noisy(i + 1, other)]);
    let Err(BatchDataError::TooLarge { got, max: BATCH_DATA_BYTES_MAX }) = encode(&blocks) else {
        panic!("a batch of 160 kB of noise fits");
    };
    assert_eq!(
        encode_prefix(&blocks, BATCH_DATA_BYTES_MAX),
        Err(BatchDataError::BlockTooLarge { height: Height::new(1), got, max: BATCH_DATA_BYTES_MAX })
    );
    // Blobs hold it.
    assert_eq!(encode_prefix(&blocks, usize::MAX).unwrap().0.len(), got);
}

#[test]
fn decompression_is_bounded() {
    let context = context_of(&idle_chain(1));
    let most = vec![0; BATCH_DECODED_BYTES_MAX];
    // At the bound the body is read: its first number says that there are no blocks.
    assert_eq!(
        decode(&compressed(&most), &context, nothing_forced),
        Err(BatchDataError::Truncated { column: "count" })
    );
    let bomb = vec![0; BATCH_DECODED_BYTES_MAX + 1];
    let too_large = Err(BatchDataError::DecodedTooLarge { max: BATCH_DECODED_BYTES_MAX });
    assert_eq!(decode(&compressed(&bomb), &context, nothing_forced), too_large);
    let bomb = vec![0; 64 * BATCH_DECODED_BYTES_MAX];
    let data = [&[VERSION][..], &zstd::stream::encode_all(&bomb[..], 1).unwrap()].concat();
    assert!(matches!(
        decode(&data, &context, nothing_forced),
        Err(BatchDataError::DecodedTooLarge { .. } | BatchDataError::Decompression(_))
    ));
}

#[test]
fn the_outer_layer_is_exact() {
    let blocks = idle_chain(2);
    let context = context_of(&blocks);
    let data = encode(&blocks).unwrap();
    assert_eq!(decode(&[], &context, nothing_forced), Err(BatchDataError::NoVersion));
    let other_version = [&[2][..], &data[1..]].concat();
    assert_eq!(
        decode(&other_version, &context, nothing_forced),
        Err(BatchDataError::UnknownVersion { got: 2, expected: 1 })
    );
    let longer = [&data[..], &[0]].concat();
    assert_eq!(decode(&longer, &context, nothing_forced), Err(BatchDataError::TrailingBytes { got: 1 }));
    let twice = [&data[..], &data[1..]].concat();
    assert_eq!(decode(&twice, &context, nothing_forced), Err(BatchDataError::TrailingBytes { got: data.len() - 1 }));
    for length in 1..data.len() {
        assert!(
            matches!(decode(&data[..length], &context, nothing_forced), Err(BatchDataError::Decompression(_))),
            "{length} bytes"
        );
    }
    // A skippable frame holds nothing.
    let skippable = [&[VERSION, 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &data[1..]].concat();
    assert!(decode(&skippable, &context, nothing_forced).is_err());
}

#[test]
fn every_malformed_column_has_its_error() {
    let blocks = busy_chain(1, |_| vec![transfer(0, 0, 0)]);
    let context = context_of(&blocks);
    let body = decompressed(&encode(&blocks).unwrap());
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = body.clone();
        change(&mut body);
        decode(&compressed(&body), &context, nothing_forced).unwrap_err()
    };
    // count, flags, proposer, then a timestamp of six bytes.
    assert_eq!(error(&|body| body[0] = 0), BatchDataError::Truncated { column: "count" });
    assert_eq!(error(&|body| body[1] |= 0x20), BatchDataError::BadByte { column: "flags", got: body[1] | 0x20 });
    assert_eq!(error(&|body| body[2] = 128), BatchDataError::BadByte { column: "proposer", got: 128 });
    assert_eq!(
        error(&|body| {
            body.splice(3..4, [0xff; 19]);
        }),
        BatchDataError::NumberTooLarge { column: "timestamp" }
    );
    assert_eq!(error(&|body| body.truncate(body.len() - 1)), BatchDataError::Truncated { column: "s" });
    let last = body.len();
    // An s of zero recovers nobody.
    let is_sender_error = |error: &BatchDataError| matches!(error, BatchDataError::Transaction { index: 0, .. });
    assert!(is_sender_error(&error(&|body| body[last - 32..].fill(0))));
    // A high s is another spelling that EIP-2 refuses.
    assert!(is_sender_error(&error(&|body| body[last - 32..].fill(0xfe))));
    // Another number of blocks needs more bytes than there are.
    assert_eq!(error(&|body| body[0] = 0x7f), BatchDataError::Truncated { column: "count" });
    // The view column of an explicit zero difference, and a number with a needless byte, are not canonical.
    let (flags, view_at) = (body[1], 3 + 6);
    assert_eq!(flags & 1, 0, "view 1 follows from view 0");
    assert_eq!(
        error(&|body| {
            body[1] |= 1;
            body.insert(view_at, 0);
        }),
        BatchDataError::NotCanonical
    );
    assert_eq!(
        error(&|body| {
            body.splice(0..1, [0x81, 0x00]);
        }),
        BatchDataError::NotCanonical
    );
    assert_eq!(
        error(&|body| {
            // Without flag 8 the 20 bytes of the recipient go as well.
            let at = view_at + 1 + 32;
            body.drain(at..at + 20);
            body[1] &= !8;
        }),
        BatchDataError::NoFeeRecipient { proposer: MemberIndex::new(0) }
    );
}

#[test]
fn a_parent_at_the_end_of_heights_is_an_error() {
    let blocks = idle_chain(1);
    let context = BatchContext { parent_height: Height::new(u64::MAX), ..context_of(&blocks) };
    assert_eq!(decode(&encode(&blocks).unwrap(), &context, nothing_forced), Err(BatchDataError::HeightsExhausted));
}
