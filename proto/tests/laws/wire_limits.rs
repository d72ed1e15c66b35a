//! Every bound of the wire format: at the bound, and one over.

use alloy_consensus::{Signed, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, TxHash, U256};
use baton_proto::{
    BlockDigest, DataKind, Epoch, Height, Statement, Transaction, View,
    limits::{
        ANNOUNCEMENT_BYTES_MAX, BATCH_BLOB_DATA_BYTES_MAX, BATCH_DATA_BYTES_MAX, BLOCK_BYTES_MAX,
        BLOCK_TRANSACTIONS_MAX, FORWARD_BYTES_MAX, FORWARD_TRANSACTIONS_MAX, FRAME_BYTES_MAX, GOSSIP_BYTES_MAX,
        GOSSIP_TRANSACTIONS_MAX, RANGE_ANSWER_BYTES_MAX, RANGE_BLOCKS_MAX, RANGE_TAIL_MAX, RANGE_TRANSACTIONS_TARGET,
        RECORD_BYTES_MAX, SYNC_REQUEST_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTIONS_ASKED_MAX,
        TRANSACTIONS_BYTES_TARGET,
    },
    wire::{
        self, ConsensusMessage, FinalHeader, FinalRange, NOTHING_KNOWN, SyncRequest, SyncResponse, TransactionGossip,
        WireError,
    },
};

use crate::{
    strategies::{self, block_of, transfer, transfer_of_size},
    wire::{decode, decode_range, field, plain_header, proposal, range},
};

/// A transaction of exactly 64 bytes: anybody can make up a signature of ones, it recovers some account.
fn of_64_bytes() -> Transaction {
    let with = |data: usize| {
        let input = Bytes::from(vec![0x5a; data]);
        let tx = TxLegacy { chain_id: Some(strategies::CHAIN.get()), input, ..Default::default() };
        let envelope: TxEnvelope = Signed::new_unhashed(tx, Signature::new(U256::ONE, U256::ONE, false)).into();
        Bytes::from(envelope.encoded_2718())
    };
    let raw = (0..64).map(with).find(|raw| raw.len() == 64).expect("64 bytes are enough");
    Transaction::decode(raw).expect("one is a coordinate of the curve")
}

#[test]
fn a_full_block_of_the_smallest_transactions_fits_a_frame() {
    // As many transactions as a block may have and as many bytes, at once.
    let small = of_64_bytes();
    let block = block_of(plain_header(), vec![small.clone(); BLOCK_TRANSACTIONS_MAX]);
    assert_eq!(block.header.payload_bytes as usize, BLOCK_BYTES_MAX);
    let message = proposal(block);
    let bytes = message.encode();
    assert!(bytes.len() <= FRAME_BYTES_MAX, "{} bytes", bytes.len());
    let known = |_: &TxHash| Some(small.clone());
    assert_eq!(ConsensusMessage::decode(&bytes, &known), Ok(message));
}

#[test]
fn block_bytes_at_the_bound_and_one_over() {
    let of_size = |nonce, size| transfer_of_size(0, nonce, size);
    let mut transactions: Vec<Transaction> = (1..=16).map(|nonce| of_size(nonce, TRANSACTION_BYTES_MAX)).collect();
    let full = proposal(block_of(plain_header(), transactions.clone()));
    assert!(full.encode().len() <= FRAME_BYTES_MAX);
    assert_eq!(decode(&full), Ok(full));

    transactions.push(transfer(0, 20, 0));
    let bytes = BLOCK_BYTES_MAX + transactions[16].raw().len();
    let over = proposal(block_of(plain_header(), transactions.clone()));
    assert_eq!(
        decode(&over),
        Err(WireError::Oversize { what: "block.transactions", got: bytes, max: BLOCK_BYTES_MAX })
    );
    transactions.pop();
    transactions[15] = of_size(16, TRANSACTION_BYTES_MAX - transfer(0, 20, 0).raw().len() + 1);
    transactions.push(transfer(0, 20, 0));
    let over = proposal(block_of(plain_header(), transactions));
    assert_eq!(
        decode(&over),
        Err(WireError::Oversize { what: "block.transactions", got: BLOCK_BYTES_MAX + 1, max: BLOCK_BYTES_MAX })
    );
}

#[test]
fn transactions_in_a_block_at_the_bound_and_one_over() {
    // Entries of no bytes are enough: they are counted before any is decoded, and at the bound the first is refused for
    // what it is.
    let with = |count: usize| {
        let block = field(1, &[field(1, &[]), [0x12, 0x00].repeat(count)].concat());
        field(1, &block)
    };
    let most = ConsensusMessage::decode(&with(BLOCK_TRANSACTIONS_MAX), NOTHING_KNOWN);
    assert_eq!(most, Err(WireError::Missing { what: "proposal.notarize" }));
    let over = ConsensusMessage::decode(&with(BLOCK_TRANSACTIONS_MAX + 1), NOTHING_KNOWN);
    let too_many =
        WireError::TooMany { what: "block.transactions", got: BLOCK_TRANSACTIONS_MAX + 1, max: BLOCK_TRANSACTIONS_MAX };
    assert_eq!(over, Err(too_many.clone()));
    let stored = [field(1, &[]), [0x12, 0x00].repeat(BLOCK_TRANSACTIONS_MAX + 1)].concat();
    assert_eq!(wire::block_from_bytes(&stored), Err(too_many.clone()));
    assert_eq!(SyncResponse::decode(&field(3, &field(1, &stored)), NOTHING_KNOWN), Err(too_many));
}

#[test]
fn hashes_in_a_compact_proposal_at_the_bound_and_one_over() {
    let with = |count: usize, payload_bytes: usize| {
        let transactions: Vec<TxHash> = (0..count).map(|i| TxHash::left_padding_from(&i.to_be_bytes())).collect();
        let header = baton_proto::BlockHeader {
            payload_root: baton_proto::merkle::root(&transactions),
            transaction_count: count as u32,
            payload_bytes: payload_bytes as u32,
            ..plain_header()
        };
        let ConsensusMessage::Proposal { notarize, .. } = proposal(block_of(header.clone(), vec![])) else {
            unreachable!()
        };
        let statement = Statement::Notarize { epoch: Epoch::new(2), view: View::new(7), block: header.digest() };
        let notarize = baton_proto::SignedStatement { statement, ..notarize };
        ConsensusMessage::CompactProposal { header, notarize, forced: baton_proto::Forced::default(), transactions }
    };
    let most = with(BLOCK_TRANSACTIONS_MAX, BLOCK_BYTES_MAX);
    assert!(most.encode().len() <= FRAME_BYTES_MAX);
    assert_eq!(decode(&most), Ok(most));
    let (what, max) = ("compact_proposal.transactions", BLOCK_TRANSACTIONS_MAX);
    assert_eq!(decode(&with(max + 1, 1)), Err(WireError::TooMany { what, got: max + 1, max }));
    let (got, max) = (BLOCK_BYTES_MAX + 1, BLOCK_BYTES_MAX);
    assert_eq!(decode(&with(1, got)), Err(WireError::Oversize { what: "compact_proposal.header", got, max }));
}

#[test]
fn questions_for_transactions_and_their_answers_at_the_bound_and_one_over() {
    let ask = |count: usize| {
        let indices = (0..count as u32).map(|index| index + 20_000).collect();
        SyncRequest::Transactions { block: BlockDigest::ZERO, indices }
    };
    let most = ask(TRANSACTIONS_ASKED_MAX);
    assert_eq!(SyncRequest::decode(&most.encode()), Ok(most));
    let (got, max) = (TRANSACTIONS_ASKED_MAX + 1, TRANSACTIONS_ASKED_MAX);
    let over = SyncRequest::decode(&ask(got).encode());
    assert_eq!(over, Err(WireError::TooMany { what: "transactions_request.indices", got, max }));

    let answer = |sizes: &[usize]| {
        let raw = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
        SyncResponse::Transactions(raw)
    };
    let small = (TRANSACTIONS_BYTES_TARGET - 1) / (TRANSACTIONS_ASKED_MAX - 1);
    let mut sizes = vec![small; TRANSACTIONS_ASKED_MAX - 1];
    sizes.push(TRANSACTION_BYTES_MAX);
    let most = answer(&sizes);
    assert!(most.encode().len() <= RANGE_ANSWER_BYTES_MAX);
    assert_eq!(SyncResponse::decode(&most.encode(), NOTHING_KNOWN), Ok(most));
    let what = "sync_response.transactions";
    let decode = |sizes: &[usize]| SyncResponse::decode(&answer(sizes).encode(), NOTHING_KNOWN);
    assert_eq!(decode(&vec![1; got]), Err(WireError::TooMany { what, got, max }));
    assert_eq!(decode(&[]), Err(WireError::Empty { what }));
    let (got, max) = (TRANSACTION_BYTES_MAX + 1, TRANSACTION_BYTES_MAX);
    assert_eq!(decode(&[got]), Err(WireError::Oversize { what, got, max }));
}

#[test]
fn forwarded_transactions_at_the_bound_and_one_over() {
    let take = |sizes: &[usize]| {
        let request = SyncRequest::Take(sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect());
        SyncRequest::decode(&request.encode())
    };
    let what = "take.transactions";
    assert!(take(&[TRANSACTION_BYTES_MAX]).is_ok());
    assert!(take(&[1; FORWARD_TRANSACTIONS_MAX]).is_ok());
    assert_eq!(take(&[]), Err(WireError::Empty { what }));
    let (got, max) = (FORWARD_TRANSACTIONS_MAX + 1, FORWARD_TRANSACTIONS_MAX);
    assert_eq!(take(&[1; FORWARD_TRANSACTIONS_MAX + 1]), Err(WireError::TooMany { what, got, max }));
    let (got, max) = (TRANSACTION_BYTES_MAX + 1, TRANSACTION_BYTES_MAX);
    assert_eq!(take(&[got]), Err(WireError::Oversize { what, got, max }));
    let half = FORWARD_BYTES_MAX / 2;
    let (got, max) = (2 * half + 1, FORWARD_BYTES_MAX);
    assert_eq!(take(&[half, half + 1]), Err(WireError::Oversize { what, got, max }));
    let taken = |count| SyncResponse::decode(&SyncResponse::Taken(count).encode(), NOTHING_KNOWN);
    assert!(taken(512).is_ok());
    let what = "sync_response.taken";
    assert_eq!(taken(513), Err(WireError::OutOfRange { what, got: 513, min: 0, max: 512 }));
}

#[test]
fn an_announcement_over_the_bound_is_not_decoded() {
    let (got, max) = (ANNOUNCEMENT_BYTES_MAX + 1, ANNOUNCEMENT_BYTES_MAX);
    assert_eq!(FinalHeader::decode(&vec![0; got]), Err(WireError::Oversize { what: "final_header", got, max }));
}

#[test]
fn a_frame_over_the_bound_is_not_decoded() {
    let at = vec![0xff; FRAME_BYTES_MAX];
    let over = vec![0xff; FRAME_BYTES_MAX + 1];
    let decode = |bytes: &[u8]| ConsensusMessage::decode(bytes, NOTHING_KNOWN).unwrap_err();
    assert_eq!(decode(&at), WireError::Truncated { what: "block.transactions" });
    assert_eq!(
        decode(&over),
        WireError::Oversize { what: "consensus_message", got: FRAME_BYTES_MAX + 1, max: FRAME_BYTES_MAX }
    );
    assert_eq!(
        SyncResponse::decode(&vec![0; RANGE_ANSWER_BYTES_MAX + 1], NOTHING_KNOWN),
        Err(WireError::Oversize {
            what: "sync_response",
            got: RANGE_ANSWER_BYTES_MAX + 1,
            max: RANGE_ANSWER_BYTES_MAX
        })
    );
    assert_eq!(
        SyncRequest::decode(&[0; SYNC_REQUEST_BYTES_MAX + 1]),
        Err(WireError::Oversize { what: "sync_request", got: SYNC_REQUEST_BYTES_MAX + 1, max: SYNC_REQUEST_BYTES_MAX })
    );
    assert_eq!(
        TransactionGossip::decode(&vec![0; GOSSIP_BYTES_MAX + 1], NOTHING_KNOWN),
        Err(WireError::Oversize { what: "transaction_gossip", got: GOSSIP_BYTES_MAX + 1, max: GOSSIP_BYTES_MAX })
    );
    assert_eq!(
        wire::header_from_bytes(&[0; RECORD_BYTES_MAX + 1]),
        Err(WireError::Oversize { what: "block_header", got: RECORD_BYTES_MAX + 1, max: RECORD_BYTES_MAX })
    );
    assert_eq!(
        wire::block_from_bytes(&vec![0; FRAME_BYTES_MAX + 1]),
        Err(WireError::Oversize { what: "block", got: FRAME_BYTES_MAX + 1, max: FRAME_BYTES_MAX })
    );
}

#[test]
fn batch_data_at_the_bound_and_one_over() {
    let with = |data_kind: DataKind, length: usize| {
        let header = baton_proto::BatchHeader {
            index: baton_proto::BatchIndex::ZERO,
            prev_batch_hash: Default::default(),
            epoch: Epoch::new(2),
            first_height: Height::new(1),
            last_height: Height::new(1),
            last_digest: BlockDigest::ZERO,
            last_origin: plain_header().origin,
            state_root: B256::ZERO,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind,
            data_hash: B256::ZERO,
            duties_root: B256::ZERO,
        };
        ConsensusMessage::BatchProposal { committee_epoch: Epoch::new(2), header, data: Bytes::from(vec![7; length]) }
    };
    for (kind, max) in [(DataKind::Calldata, BATCH_DATA_BYTES_MAX), (DataKind::Blobs, BATCH_BLOB_DATA_BYTES_MAX)] {
        let most = with(kind, max);
        assert_eq!(decode(&most), Ok(most));
        assert_eq!(
            decode(&with(kind, max + 1)),
            Err(WireError::Oversize { what: "batch_proposal.data", got: max + 1, max })
        );
    }
}

#[test]
fn gossip_is_split_by_bytes_and_by_count() {
    assert!(TransactionGossip::encode(&[]).is_empty());
    let small = transfer(0, 0, 0);
    let messages = TransactionGossip::encode(&vec![small.clone(); 2 * GOSSIP_TRANSACTIONS_MAX + 1]);
    let sizes: Vec<usize> = messages.iter().map(|bytes| bytes.len() / (small.raw().len() + 2)).collect();
    assert_eq!(sizes, [GOSSIP_TRANSACTIONS_MAX, GOSSIP_TRANSACTIONS_MAX, 1]);
    assert_eq!(TransactionGossip::decode(&messages[0], NOTHING_KNOWN).unwrap().len(), GOSSIP_TRANSACTIONS_MAX);
    let over = [&messages[0][..], &messages[2]].concat();
    assert_eq!(
        TransactionGossip::decode(&over, NOTHING_KNOWN),
        Err(WireError::TooMany {
            what: "transaction_gossip.transactions",
            got: GOSSIP_TRANSACTIONS_MAX + 1,
            max: GOSSIP_TRANSACTIONS_MAX
        })
    );

    let largest = |nonce| transfer_of_size(0, nonce, TRANSACTION_BYTES_MAX);
    let transactions: Vec<Transaction> = (1..5).map(largest).collect();
    let messages = TransactionGossip::encode(&transactions);
    assert!(messages.iter().all(|bytes| bytes.len() <= GOSSIP_BYTES_MAX));
    let decoded: Vec<Transaction> =
        messages.iter().flat_map(|bytes| TransactionGossip::decode(bytes, NOTHING_KNOWN).unwrap()).collect();
    assert_eq!(decoded, transactions);
}

#[test]
fn a_gossip_message_may_be_exactly_full() {
    // Two entries that fill the message to the byte: a tag and three bytes of length each.
    let half = GOSSIP_BYTES_MAX / 2 - 4;
    let of_size = |nonce, size| transfer_of_size(0, nonce, size);
    let full = [of_size(1, half), of_size(2, half)];
    let messages = TransactionGossip::encode(&full);
    assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), [GOSSIP_BYTES_MAX]);
    assert_eq!(TransactionGossip::decode(&messages[0], NOTHING_KNOWN).unwrap(), full);
    assert_eq!(TransactionGossip::encode(&[of_size(1, half), of_size(2, half + 1)]).len(), 2);
}

#[test]
fn a_range_at_its_bounds_and_one_over() {
    let most = range(RANGE_BLOCKS_MAX, RANGE_TAIL_MAX, &[]);
    assert_eq!(decode_range(&most), Ok(most));
    let too_many = |what, max: usize| WireError::TooMany { what, got: max + 1, max };
    assert_eq!(
        decode_range(&range(RANGE_BLOCKS_MAX + 1, 0, &[])),
        Err(too_many("final_range.blocks", RANGE_BLOCKS_MAX))
    );
    assert_eq!(decode_range(&range(1, RANGE_TAIL_MAX + 1, &[])), Err(too_many("final_range.tail", RANGE_TAIL_MAX)));
    assert_eq!(decode_range(&range(0, 1, &[])), Err(WireError::Empty { what: "final_range.blocks" }));

    let transactions_max = RANGE_TRANSACTIONS_TARGET + BLOCK_TRANSACTIONS_MAX;
    let with = |count: usize| field(2, &field(1, &[field(1, &[]), [0x12, 0x00].repeat(count)].concat()));
    assert_eq!(
        SyncResponse::decode(&with(transactions_max + 1), NOTHING_KNOWN),
        Err(too_many("final_range.blocks.transactions", transactions_max))
    );
}

#[test]
fn the_largest_range_that_has_room_fits_an_answer() {
    let one = transfer(0, 0, 0);
    let full = BLOCK_BYTES_MAX / one.raw().len();
    // Blocks until there is no room, the last of them full.
    let mut blocks = range(RANGE_BLOCKS_MAX - 1, 0, &vec![one.clone(); full / RANGE_BLOCKS_MAX]);
    assert!(FinalRange::has_room(&blocks.blocks));
    let last = blocks.blocks[RANGE_BLOCKS_MAX - 2].header.clone();
    let header = baton_proto::BlockHeader { height: last.height.next().unwrap(), parent: last.digest(), ..last };
    let block = block_of(header, vec![one.clone(); full]);
    let mut tail = Vec::new();
    let mut previous = block.header.clone();
    blocks.blocks.push(block);
    for _ in 0..RANGE_TAIL_MAX {
        previous =
            baton_proto::BlockHeader { height: previous.height.next().unwrap(), parent: previous.digest(), ..previous };
        tail.push(previous.clone());
    }
    blocks.tail = tail;
    blocks.finalization.statement =
        Statement::Finalize { epoch: Epoch::new(2), view: View::new(1), block: previous.digest() };
    assert!(!FinalRange::has_room(&blocks.blocks));
    let answer = SyncResponse::Range(blocks);
    let bytes = answer.encode();
    assert!(bytes.len() <= RANGE_ANSWER_BYTES_MAX, "{} bytes", bytes.len());
    let known = |_: &TxHash| Some(one.clone());
    assert_eq!(SyncResponse::decode(&bytes, &known), Ok(answer));
}
