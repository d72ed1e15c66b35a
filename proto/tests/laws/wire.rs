//! The wire format: identity, one encoding for each value, and what malformed bytes do.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use alloy_primitives::{B256, Bytes, TxHash};
use baton_proto::{
    Block, BlockDigest, BlsSignature, Certificate, Epoch, Evidence, Forced, Height, MemberIndex, PayloadCommitment,
    SignedStatement, SignerSet, Statement, StatementKind, Transaction, TransactionError, View,
    limits::SYNC_REQUEST_BYTES_MAX,
    wire::{
        self, Announcement, ConsensusMessage, FinalHeader, FinalRange, NOTHING_KNOWN, SyncRequest, SyncResponse,
        TransactionGossip, WireError,
    },
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::{
    golden,
    strategies::{
        self, batch_header, block, block_of, certificate, compact, config, consensus_message, evidence, final_header,
        header, sign_with, statement, sync_request, sync_response, transaction, transfer,
    },
};

/// Checks that `decode` undoes `encode`, and that no other bytes decode to the same value.
fn one_encoding<T: PartialEq + std::fmt::Debug>(
    value: &T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, WireError>,
    (at, change, cut): (Index, u8, Index),
) -> Result<(), TestCaseError> {
    let bytes = encode(value);
    let decoded = decode(&bytes);
    prop_assert!(decoded.as_ref() == Ok(value), "{:?} became {:?}", value, decoded);
    if bytes.is_empty() {
        return Ok(());
    }
    let mut flipped = bytes.clone();
    flipped[at.index(bytes.len())] ^= change;
    let cut = bytes[..cut.index(bytes.len())].to_vec();
    let longer = [&bytes[..], &[change]].concat();
    // Field 15 of no message is a number, so this is a field that nobody knows.
    let unknown = [&bytes[..], &[0x78, 0x01]].concat();
    for changed in [flipped, cut, longer, unknown] {
        match decode(&changed) {
            Ok(other) => {
                prop_assert_ne!(&other, value);
                prop_assert_eq!(encode(&other), changed);
            }
            Err(error) => prop_assert!(error.is_peer_fault()),
        }
    }
    Ok(())
}

fn mutation() -> impl Strategy<Value = (Index, u8, Index)> {
    (any::<Index>(), 1..=255_u8, any::<Index>())
}

proptest! {
    #![proptest_config(config(160))]

    #[test]
    fn consensus_messages(message in consensus_message(), mutation in mutation()) {
        let decode = |bytes: &[u8]| ConsensusMessage::decode(bytes, NOTHING_KNOWN);
        one_encoding(&message, ConsensusMessage::encode, decode, mutation)?;
    }

    #[test]
    fn sync_requests(request in sync_request(), mutation in mutation()) {
        one_encoding(&request, SyncRequest::encode, SyncRequest::decode, mutation)?;
        prop_assert!(request.encode().len() <= SYNC_REQUEST_BYTES_MAX);
    }

    #[test]
    fn sync_responses(response in sync_response(), mutation in mutation()) {
        let decode = |bytes: &[u8]| SyncResponse::decode(bytes, NOTHING_KNOWN);
        one_encoding(&response, SyncResponse::encode, decode, mutation)?;
    }

    #[test]
    fn gossip(transactions in vec(transaction(), 1..8), mutation in mutation()) {
        let encode = |transactions: &Vec<Transaction>| TransactionGossip::encode(transactions).remove(0);
        one_encoding(&transactions, encode, |bytes: &[u8]| TransactionGossip::decode(bytes, NOTHING_KNOWN), mutation)?;
    }

    #[test]
    fn stored_blocks(block in block(), mutation in mutation()) {
        one_encoding(&block, wire::block_to_bytes, wire::block_from_bytes, mutation)?;
        prop_assert_eq!(wire::header_of_block_bytes(&wire::block_to_bytes(&block)), Ok(block.header));
    }

    #[test]
    fn stored_records(
        header in header(),
        batch_header in batch_header(),
        statement in statement(),
        signed in sign_with(statement()),
        certificate in certificate(),
        evidence in evidence(),
        announced in final_header(),
        mutation in mutation(),
    ) {
        one_encoding(&announced, FinalHeader::encode, FinalHeader::decode, mutation)?;
        one_encoding(&header, wire::header_to_bytes, wire::header_from_bytes, mutation)?;
        one_encoding(&batch_header, wire::batch_header_to_bytes, wire::batch_header_from_bytes, mutation)?;
        one_encoding(&statement, wire::statement_to_bytes, wire::statement_from_bytes, mutation)?;
        one_encoding(&signed, wire::signed_statement_to_bytes, wire::signed_statement_from_bytes, mutation)?;
        one_encoding(&certificate, wire::certificate_to_bytes, wire::certificate_from_bytes, mutation)?;
        one_encoding(&evidence, wire::evidence_to_bytes, wire::evidence_from_bytes, mutation)?;
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = ConsensusMessage::decode(&bytes, NOTHING_KNOWN);
        let _ = SyncRequest::decode(&bytes);
        let _ = SyncResponse::decode(&bytes, NOTHING_KNOWN);
        let _ = TransactionGossip::decode(&bytes, NOTHING_KNOWN);
        let _ = wire::block_from_bytes(&bytes);
        let _ = wire::evidence_from_bytes(&bytes);
        let _ = FinalHeader::decode(&bytes);
    }
}

pub(crate) fn decode(message: &ConsensusMessage) -> Result<ConsensusMessage, WireError> {
    ConsensusMessage::decode(&message.encode(), NOTHING_KNOWN)
}

fn signed(statement: Statement) -> SignedStatement {
    SignedStatement { statement, signer: MemberIndex::new(3), signature: BlsSignature::new([0x5b; 48]) }
}

fn notarize(block: BlockDigest) -> Statement {
    Statement::Notarize { epoch: Epoch::new(2), view: View::new(7), block }
}

fn nullify() -> Statement {
    Statement::Nullify { epoch: Epoch::new(2), view: View::new(7) }
}

fn digest(fill: u8) -> BlockDigest {
    BlockDigest::new(B256::repeat_byte(fill))
}

pub(crate) fn plain_header() -> baton_proto::BlockHeader {
    let origin = baton_proto::L1Origin { number: baton_proto::L1BlockNumber::new(32), hash: B256::repeat_byte(0x32) };
    baton_proto::BlockHeader::genesis(strategies::CHAIN, origin, 1_763_700_000)
}

pub(crate) fn proposal(block: Block) -> ConsensusMessage {
    let notarize = signed(notarize(block.header.digest()));
    ConsensusMessage::Proposal { block, notarize }
}

/// `count` blocks on genesis, each with `transactions`, finalized by a certificate of the last of `tail` headers above.
pub(crate) fn range(count: usize, tail: usize, transactions: &[Transaction]) -> FinalRange {
    let mut blocks: Vec<Block> = Vec::new();
    let mut headers = Vec::new();
    let mut previous = plain_header();
    for i in 0..count + tail {
        let header =
            baton_proto::BlockHeader { height: Height::new(i as u64 + 1), parent: previous.digest(), ..plain_header() };
        let block = block_of(header, if i < count { transactions.to_vec() } else { Vec::new() });
        previous = block.header.clone();
        if i < count { blocks.push(block) } else { headers.push(block.header) }
    }
    let statement = Statement::Finalize { epoch: Epoch::new(2), view: View::new(900), block: previous.digest() };
    let signers = SignerSet::from_bits(u128::MAX);
    let finalization = Certificate { statement, signers, signature: BlsSignature::new([0x5b; 48]) };
    FinalRange { blocks, tail: headers, finalization }
}

pub(crate) fn decode_range(range: &FinalRange) -> Result<FinalRange, WireError> {
    let bytes = SyncResponse::Range(range.clone()).encode();
    match SyncResponse::decode(&bytes, NOTHING_KNOWN)? {
        SyncResponse::Range(range) => Ok(range),
        other => panic!("a range became {other:?}"),
    }
}

/// Fields of hand-made protobuf.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

#[test]
fn a_known_transaction_is_not_recovered_again() {
    let transactions = vec![transfer(0, 1, 10), transfer(1, 1, 10)];
    let message = proposal(block_of(plain_header(), transactions.clone()));
    let asked = AtomicUsize::new(0);
    let knows_first = |hash: &TxHash| {
        asked.fetch_add(1, Relaxed);
        (hash == transactions[0].hash()).then(|| transactions[0].clone())
    };
    let ConsensusMessage::Proposal { block, .. } = ConsensusMessage::decode(&message.encode(), &knows_first).unwrap()
    else {
        panic!("not a proposal");
    };
    assert_eq!(asked.load(Relaxed), 2);
    let shared = |i: usize| block.transactions[i].raw().as_ptr() == transactions[i].raw().as_ptr();
    assert!(shared(0) && !shared(1));
    // A map that answers with something else is not believed.
    let other = transfer(2, 9, 9);
    let lies = |_: &TxHash| Some(other.clone());
    assert_eq!(ConsensusMessage::decode(&message.encode(), &lies), Ok(message));
}

#[test]
fn a_block_must_be_what_its_header_commits_to() {
    let block = block_of(plain_header(), vec![transfer(0, 1, 0), transfer(1, 1, 0)]);
    let got = PayloadCommitment::of(&block.forced, &block.transactions);
    let changes: [&dyn Fn(&mut Block); 5] = [
        &|block| block.header.payload_root = B256::ZERO,
        &|block| block.header.transaction_count += 1,
        &|block| block.header.payload_bytes -= 1,
        &|block| block.header.declared_gas += 1,
        &|block| block.transactions.swap(0, 1),
    ];
    for change in changes {
        let mut changed = block.clone();
        change(&mut changed);
        let Err(WireError::PayloadMismatch { height, got: seen, expected }) = decode(&proposal(changed.clone())) else {
            panic!("{changed:?} is accepted");
        };
        assert_eq!(height, block.header.height);
        assert!(expected.matches(&changed.header) && (*seen == got) != (changed.transactions != block.transactions));
        assert!(matches!(
            wire::block_from_bytes(&wire::block_to_bytes(&changed)),
            Err(WireError::PayloadMismatch { .. })
        ));
    }
}

#[test]
fn a_bad_transaction_is_named_by_its_place() {
    let good = transfer(0, 1, 0);
    let bad = [0x03, 0xc0];
    let bytes = [field(1, good.raw()), field(1, &bad)].concat();
    let Err(WireError::Transaction { index: 1, error: TransactionError::Malformed(_) }) =
        TransactionGossip::decode(&bytes, NOTHING_KNOWN)
    else {
        panic!("bad transaction accepted");
    };
}

#[test]
fn a_proposal_is_signed_by_a_notarize_of_its_block() {
    let block = block_of(plain_header(), Vec::new());
    let with = |statement: Statement| {
        decode(&ConsensusMessage::Proposal { block: block.clone(), notarize: signed(statement) }).map(|_| ())
    };
    let expected = block.header.digest();
    assert_eq!(with(notarize(expected)), Ok(()));
    assert_eq!(
        with(notarize(digest(9))),
        Err(WireError::WrongBlock { what: "proposal.notarize", got: digest(9), expected })
    );
    assert_eq!(
        with(nullify()),
        Err(WireError::WrongStatement { what: "proposal.notarize", got: StatementKind::Nullify, expected: "Notarize" })
    );
}

#[test]
fn a_compact_proposal_names_the_transactions_of_its_header() {
    let block = block_of(plain_header(), vec![transfer(0, 1, 0), transfer(1, 1, 0), transfer(2, 1, 0)]);
    let hashes: Vec<TxHash> = block.transactions.iter().map(|tx| *tx.hash()).collect();
    let with = |header: &baton_proto::BlockHeader, transactions: Vec<TxHash>| {
        let notarize = signed(notarize(header.digest()));
        decode(&ConsensusMessage::CompactProposal {
            header: header.clone(),
            notarize,
            forced: Forced::default(),
            transactions,
        })
    };
    let good = compact(&block, signed(notarize(block.header.digest())));
    assert_eq!(with(&block.header, hashes.clone()), Ok(good));

    let what = "compact_proposal.transactions";
    let length = |got: usize| Err(WireError::WrongLength { what, got: got * 32, expected: 96 });
    assert_eq!(with(&block.header, hashes[..2].to_vec()), length(2));
    assert_eq!(with(&block.header, [&hashes[..], &hashes[..1]].concat()), length(4));
    let swapped = vec![hashes[1], hashes[0], hashes[2]];
    let Err(WireError::WrongRoot { expected, .. }) = with(&block.header, swapped) else { panic!("another order") };
    assert_eq!(expected, block.header.payload_root);

    // A header that commits to the same transaction twice is refused for that, not taken for its root.
    let twice = block_of(plain_header(), vec![block.transactions[0].clone(), block.transactions[0].clone()]);
    assert_eq!(with(&twice.header, vec![hashes[0], hashes[0]]), Err(WireError::Repeated { what, index: 1 }));

    let other = ConsensusMessage::CompactProposal {
        header: block.header.clone(),
        notarize: signed(notarize(digest(9))),
        forced: Forced::default(),
        transactions: hashes,
    };
    let expected = block.header.digest();
    assert_eq!(decode(&other), Err(WireError::WrongBlock { what: "proposal.notarize", got: digest(9), expected }));
}

#[test]
fn a_final_header_comes_with_its_own_finalization() {
    let header = plain_header();
    let with = |statement| {
        let signature = BlsSignature::new([0x5b; 48]);
        let finalization = Certificate { statement, signers: SignerSet::from_bits(7), signature };
        FinalHeader::decode(&FinalHeader { header: header.clone(), finalization }.encode()).map(|_| ())
    };
    let finalize = |block| Statement::Finalize { epoch: Epoch::new(2), view: View::new(7), block };
    let (what, expected) = ("final_header.finalization", header.digest());
    assert_eq!(with(finalize(expected)), Ok(()));
    assert_eq!(with(finalize(digest(1))), Err(WireError::WrongBlock { what, got: digest(1), expected }));
    let wrong = WireError::WrongStatement { what, got: StatementKind::Notarize, expected: "Finalize" };
    assert_eq!(with(notarize(expected)), Err(wrong));
}

#[test]
fn a_leaders_signature_stands_beside_a_notarize_only() {
    let leader = Some(BlsSignature::new([1; 48]));
    let with = |statement, leader| decode(&ConsensusMessage::Vote { vote: signed(statement), leader }).map(|_| ());
    let attest = Statement::Attest(baton_proto::Attestation {
        committee_epoch: Epoch::new(2),
        batch_index: baton_proto::BatchIndex::ZERO,
        prev_batch_hash: Default::default(),
        header_hash: Default::default(),
        last_height: Height::new(1),
        last_digest: digest(1),
        state_root: B256::ZERO,
    });
    assert_eq!(with(notarize(digest(1)), leader), Ok(()));
    assert_eq!(with(notarize(digest(1)), None), Ok(()));
    assert_eq!(with(nullify(), None), Ok(()));
    let wrong = |what, got, expected| Err(WireError::WrongStatement { what, got, expected });
    assert_eq!(with(nullify(), leader), wrong("vote.leader", StatementKind::Nullify, "Notarize"));
    assert_eq!(with(attest, None), wrong("vote.vote", StatementKind::Attest, "a vote"));
    assert_eq!(with(attest, leader), wrong("vote.leader", StatementKind::Attest, "Notarize"));
    let attestation = decode(&ConsensusMessage::Attestation(signed(nullify()))).map(|_| ());
    assert_eq!(attestation, wrong("attestation", StatementKind::Nullify, "Attest"));
}

#[test]
fn members_are_below_128() {
    let mut statement = signed(nullify());
    statement.signer = MemberIndex::new(127);
    assert_eq!(wire::signed_statement_from_bytes(&wire::signed_statement_to_bytes(&statement)), Ok(statement.clone()));
    statement.signer = MemberIndex::new(128);
    let out = |what, got| WireError::OutOfRange { what, got, min: 0, max: 127 };
    assert_eq!(
        wire::signed_statement_from_bytes(&wire::signed_statement_to_bytes(&statement)),
        Err(out("signed_statement.signer", 128))
    );
    let mut header = plain_header();
    header.proposer = MemberIndex::new(255);
    assert_eq!(wire::header_from_bytes(&wire::header_to_bytes(&header)), Err(out("header.proposer", 255)));
    // 256 must not wrap around to member 0.
    let nullify = wire::statement_to_bytes(&nullify());
    let signer_256 = [field(1, &nullify), vec![0x10, 0x80, 0x02], field(3, &[0x5b; 48])].concat();
    assert_eq!(wire::signed_statement_from_bytes(&signer_256), Err(out("signed_statement.signer", 256)));
}

#[test]
fn fields_of_the_wrong_length_are_named() {
    let statement = |hash: &[u8]| wire::statement_from_bytes(&field(1, &field(3, hash)));
    let wrong = |what, got, expected| WireError::WrongLength { what, got, expected };
    assert_eq!(statement(&[1; 31]), Err(wrong("statement.block", 31, 32)));
    assert_eq!(statement(&[1; 33]), Err(wrong("statement.block", 33, 32)));
    assert_eq!(statement(&[]), Err(WireError::NotCanonical { what: "statement", got: 4, canonical: 2 }));
    assert_eq!(wire::statement_from_bytes(&field(1, &[])), Err(wrong("statement.block", 0, 32)));
    let nullify = field(1, &wire::statement_to_bytes(&nullify()));
    let signed = |signature: &[u8]| wire::signed_statement_from_bytes(&[nullify.clone(), field(3, signature)].concat());
    assert_eq!(signed(&[1; 47]), Err(wrong("signed_statement.signature", 47, 48)));
    let certificate = |signers: &[u8]| {
        wire::certificate_from_bytes(&[nullify.clone(), field(2, signers), field(3, &[1; 48])].concat())
    };
    assert_eq!(certificate(&[1; 15]), Err(wrong("certificate.signers", 15, 16)));
    assert_eq!(certificate(&[1; 17]), Err(wrong("certificate.signers", 17, 16)));
    assert!(certificate(&[1; 16]).is_ok());
}

#[test]
fn missing_parts_are_named() {
    let errors = [
        (ConsensusMessage::decode(&[], NOTHING_KNOWN).unwrap_err(), "consensus_message.message"),
        (SyncRequest::decode(&[]).unwrap_err(), "sync_request.request"),
        (SyncResponse::decode(&[], NOTHING_KNOWN).unwrap_err(), "sync_response.response"),
        (wire::statement_from_bytes(&[]).unwrap_err(), "statement.kind"),
        (wire::signed_statement_from_bytes(&[]).unwrap_err(), "signed_statement.statement"),
        (wire::block_from_bytes(&[]).unwrap_err(), "block.header"),
        (wire::certificate_from_bytes(&field(2, &[0; 16])).unwrap_err(), "certificate.statement"),
        (wire::evidence_from_bytes(&[]).unwrap_err(), "evidence.first"),
        (FinalHeader::decode(&[]).unwrap_err(), "final_header.header"),
    ];
    for (error, what) in errors {
        assert_eq!(error, WireError::Missing { what });
    }
    assert_eq!(
        TransactionGossip::decode(&[], NOTHING_KNOWN),
        Err(WireError::Empty { what: "transaction_gossip.transactions" })
    );
}

#[test]
fn evidence_is_an_offence_of_one_signer() {
    let statement = |statement: Statement, signer: u8| {
        let signed = SignedStatement { signer: MemberIndex::new(signer), ..signed(statement) };
        wire::signed_statement_to_bytes(&signed)
    };
    let decode = |a: Vec<u8>, b: Vec<u8>| wire::evidence_from_bytes(&[field(1, &a), field(2, &b)].concat());
    let (a, b) = (notarize(digest(1)), notarize(digest(2)));
    assert!(decode(statement(a, 1), statement(b, 1)).is_ok());
    assert_eq!(decode(statement(a, 1), statement(b, 2)), Err(WireError::NotAnOffence));
    assert_eq!(decode(statement(a, 1), statement(a, 1)), Err(WireError::NotAnOffence));
    assert_eq!(decode(statement(a, 1), statement(nullify(), 1)), Err(WireError::NotAnOffence));
}

#[test]
fn batch_data_is_of_a_known_kind() {
    let mut header = vec![0x58, 0x02];
    assert!(wire::batch_header_from_bytes(&header).is_err());
    header[1] = 0x80;
    header.push(0x02);
    assert_eq!(
        wire::batch_header_from_bytes(&header),
        Err(WireError::OutOfRange { what: "batch_header.data_kind", got: 256, min: 0, max: 1 })
    );
}

#[test]
fn a_range_is_a_chain_up_to_its_finalization() {
    let good = range(3, 2, &[transfer(0, 1, 0)]);
    assert_eq!(decode_range(&good), Ok(good.clone()));
    let changed = |change: &dyn Fn(&mut FinalRange)| {
        let mut range = good.clone();
        change(&mut range);
        decode_range(&range).unwrap_err()
    };
    let height = Height::new;
    let digest_of = |i: usize| good.blocks[i].header.digest();
    assert_eq!(
        changed(&|range| {
            range.blocks.remove(1);
        }),
        WireError::NotConsecutive { after: height(1), got: height(3) }
    );
    assert_eq!(
        changed(&|range| range.blocks.swap(0, 1)),
        WireError::NotConsecutive { after: height(2), got: height(1) }
    );
    assert_eq!(
        changed(&|range| range.blocks[1].header.parent = digest(7)),
        WireError::WrongBlock { what: "header.parent", got: digest(7), expected: digest_of(0) }
    );
    assert_eq!(
        changed(&|range| range.tail[0].parent = digest(7)),
        WireError::WrongBlock { what: "header.parent", got: digest(7), expected: digest_of(2) }
    );
    assert_eq!(
        changed(&|range| {
            range.tail.remove(0);
        }),
        WireError::NotConsecutive { after: height(3), got: height(5) }
    );
    let last = good.tail[1].digest();
    assert_eq!(
        changed(&|range| {
            range.tail.pop();
        }),
        WireError::WrongBlock { what: "final_range.finalization", got: last, expected: good.tail[0].digest() }
    );
    assert_eq!(
        changed(&|range| range.finalization.statement = notarize(last)),
        WireError::WrongStatement {
            what: "final_range.finalization",
            got: StatementKind::Notarize,
            expected: "Finalize"
        }
    );
    assert!(matches!(changed(&|range| range.blocks[2].transactions.clear()), WireError::PayloadMismatch { .. }));
}

#[test]
fn a_range_request_asks_for_1_to_256_blocks() {
    let with = |blocks_max| SyncRequest::decode(&SyncRequest::Range { from: Height::new(1), blocks_max }.encode());
    let out = |got| Err(WireError::OutOfRange { what: "range_request.blocks_max", got, min: 1, max: 256 });
    assert_eq!(with(0), out(0));
    assert_eq!(with(257), out(257));
    assert!(with(1).is_ok() && with(256).is_ok());
}

#[test]
fn transactions_are_asked_for_in_ascending_order() {
    let with = |indices: Vec<u32>| {
        SyncRequest::decode(&SyncRequest::Transactions { block: digest(1), indices }.encode()).map(|_| ())
    };
    let what = "transactions_request.indices";
    assert_eq!(with(vec![0, 7, 32_767]), Ok(()));
    assert_eq!(with(vec![]), Err(WireError::Empty { what }));
    assert_eq!(with(vec![3, 3]), Err(WireError::NotAscending { what, after: 3, got: 3 }));
    assert_eq!(with(vec![5, 3]), Err(WireError::NotAscending { what, after: 5, got: 3 }));
    assert_eq!(with(vec![32_768]), Err(WireError::OutOfRange { what, got: 32_768, min: 0, max: 32_767 }));
}

#[test]
fn the_encoding_is_pinned() {
    let transactions = vec![transfer(0, 1, 3), transfer(1, 0, 0)];
    let block = block_of(baton_proto::BlockHeader { height: Height::new(1), ..plain_header() }, transactions.clone());
    let finalize = Statement::Finalize { epoch: Epoch::new(2), view: View::new(7), block: digest(1) };
    let evidence = Evidence::new(signed(nullify()), signed(finalize)).unwrap();
    let certificate = Certificate {
        statement: finalize,
        signers: SignerSet::from_bits(0b1011),
        signature: BlsSignature::new([0x5b; 48]),
    };
    let header = baton_proto::BatchHeader {
        index: baton_proto::BatchIndex::new(1),
        prev_batch_hash: baton_proto::BatchHash::new(B256::repeat_byte(2)),
        epoch: Epoch::new(2),
        first_height: Height::new(10),
        last_height: Height::new(300),
        last_digest: digest(3),
        last_origin: plain_header().origin,
        state_root: B256::ZERO,
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: baton_proto::DataKind::Calldata,
        data_hash: B256::repeat_byte(4),
        duties_root: B256::repeat_byte(5),
    };
    let attestation = Statement::Attest(baton_proto::Attestation::of(Epoch::new(2), &header));
    let leader = Some(BlsSignature::new([0x1e; 48]));
    let (epoch, view) = (Epoch::new(2), View::new(7));
    let range = range(1, 1, &transactions);
    let finalization = Certificate {
        statement: Statement::Finalize { epoch, view, block: block.header.digest() },
        ..certificate.clone()
    };
    let announced = FinalHeader { header: block.header.clone(), finalization };
    let raw: Vec<Bytes> = transactions.iter().map(|tx| tx.raw().clone()).collect();
    let data = Bytes::from_static(b"\x01data");
    let lines = [
        ("proposal", proposal(block.clone()).encode()),
        ("vote notarize", ConsensusMessage::Vote { vote: signed(notarize(digest(1))), leader }.encode()),
        ("vote nullify", ConsensusMessage::Vote { vote: signed(nullify()), leader: None }.encode()),
        ("certificate", ConsensusMessage::Certificate(certificate).encode()),
        ("certificate request", ConsensusMessage::CertificateRequest { epoch, view }.encode()),
        ("evidence", ConsensusMessage::Evidence(evidence).encode()),
        ("batch proposal", ConsensusMessage::BatchProposal { committee_epoch: Epoch::new(300), header, data }.encode()),
        ("attestation", ConsensusMessage::Attestation(signed(attestation)).encode()),
        ("compact proposal", compact(&block, signed(notarize(block.header.digest()))).encode()),
        ("final header", Announcement::Final(announced.clone()).encode()),
        ("gossip", TransactionGossip::encode(&transactions).remove(0)),
        ("request head", SyncRequest::Head.encode()),
        ("request range", SyncRequest::Range { from: Height::new(300), blocks_max: 256 }.encode()),
        ("request block", SyncRequest::Block(digest(1)).encode()),
        ("request transactions", SyncRequest::Transactions { block: digest(1), indices: vec![0, 200] }.encode()),
        ("request take", SyncRequest::Take(raw.clone()).encode()),
        ("request epoch end", SyncRequest::EpochEnd(Epoch::new(300)).encode()),
        ("response head", SyncResponse::Head { height: Height::new(300), digest: digest(1) }.encode()),
        ("response range", SyncResponse::Range(range).encode()),
        ("response block", SyncResponse::Block(Some(block.clone())).encode()),
        ("response no block", SyncResponse::Block(None).encode()),
        ("response unavailable", SyncResponse::Unavailable.encode()),
        ("response transactions", SyncResponse::Transactions(raw).encode()),
        ("response taken", SyncResponse::Taken(300).encode()),
        ("response epoch end", SyncResponse::EpochEnd(announced.clone()).encode()),
        ("stored block", wire::block_to_bytes(&block)),
    ];
    let text: String =
        lines.iter().map(|(name, bytes)| format!("{name}\n  {}\n", alloy_primitives::hex::encode(bytes))).collect();
    golden::compare("tests/golden/wire_v1.txt", text.as_bytes());
}
