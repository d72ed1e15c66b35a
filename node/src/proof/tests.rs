//! What a proof shows, and that nothing of it can be another.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U128};
use baton_consensus::{CommitteeMember, VerifyError};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, Block, BlockDigest, BlockHeader, Certificate, DataKind, Epoch,
    Height, L1BlockNumber, L1Origin, L2ChainId, MemberIndex, Statement, View,
};

use super::*;
use crate::driver::testing::{L2, World, child, transaction, transfer};

const INBOX: Address = Address::repeat_byte(0xbb);
const POST: B256 = B256::repeat_byte(0x9a);
const POSTED_IN: L1BlockNumber = L1BlockNumber::new(57);

/// Place of the transaction in its block.
const INDEX: u32 = 3;

fn origin(number: u64) -> L1Origin {
    L1Origin { number: L1BlockNumber::new(number), hash: B256::with_last_byte(u8::try_from(number).unwrap()) }
}

/// Four final blocks, of which the second holds the transaction among others.
fn blocks() -> Vec<Block> {
    let mut parent = BlockHeader::genesis(L2, origin(12), 1);
    let in_block = |height: u64| if height == 2 { (0..6).map(|nonce| transfer(nonce, 8)).collect() } else { vec![] };
    (1..=4)
        .map(|height| {
            let block = child(&parent, in_block(height));
            parent = block.header.clone();
            block
        })
        .collect()
}

fn batch(blocks: &[Block]) -> BatchHeader {
    let last = &blocks[3].header;
    BatchHeader {
        index: BatchIndex::new(7),
        prev_batch_hash: BatchHash::new(B256::repeat_byte(6)),
        epoch: last.epoch,
        first_height: Height::new(1),
        last_height: last.height,
        last_digest: last.digest(),
        last_origin: last.origin,
        state_root: B256::repeat_byte(0x57),
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: DataKind::Calldata,
        data_hash: B256::repeat_byte(3),
        duties_root: B256::repeat_byte(4),
    }
}

fn world() -> World {
    World::new(&[32, 28, 22, 18])
}

fn proof_in(world: &World) -> Proof {
    proof_by(world.committee.members(), &|signers, statement| world.certify(signers, statement))
}

/// What gives a statement the signatures of these members.
type Certify<'a> = &'a dyn Fn(&[u8], Statement) -> Certificate;

/// Block 2 is final through block 3, and in a batch that ends with block 4.
fn proof_by(members: &[CommitteeMember], certify: Certify<'_>) -> Proof {
    let blocks = blocks();
    let (block, above) = (&blocks[1], &blocks[2].header);
    let (epoch, view, digest) = (block.header.epoch, block.header.view, block.header.digest());
    let notarized = certify(&[0, 1, 2], Statement::Notarize { epoch, view, block: digest });
    let finalize = Statement::Finalize { epoch, view: above.view, block: above.digest() };
    let header = batch(&blocks);
    let attested = certify(&[0, 1, 3], Statement::Attest(Attestation::of(epoch, &header)));
    Proof {
        version: VERSION,
        domain: world().domain,
        hash: *block.transactions[INDEX as usize].hash(),
        raw: block.item(INDEX).unwrap().clone(),
        block: Some(InBlock {
            index: INDEX,
            path: block.path(INDEX).unwrap(),
            outcome: Some(Told::Executed),
            headers: blocks[1..].iter().map(|block| block.header.clone()).collect(),
            notarization: Some(Votes::of(Height::new(2), &notarized)),
            finalization: Some(Votes::of(Height::new(3), &certify(&[0, 1, 2, 3], finalize))),
            batch: Some(InBatch::of(header, &attested, BatchOnL1::Settled { tx: POST, block: POSTED_IN })),
        }),
        committees: vec![CommitteeOf { epoch, members: members.to_vec() }],
    }
}

fn on_l1(world: &World, proof: &Proof) -> OnL1 {
    let header = &proof.block.as_ref().unwrap().batch.as_ref().unwrap().header;
    OnL1 {
        inbox: INBOX,
        committees: BTreeMap::from([(world.committee.epoch(), world.committee.members().to_vec())]),
        finalized: origin(60),
        post: Some(PostOnL1 { block: origin(57), accepted: vec![(header.index, header.hash())] }),
    }
}

/// Checks `proof` as one of the real chain's transaction, with what L1 really holds.
fn checked(proof: &Proof) -> Ladder {
    let world = world();
    let real = proof_in(&world);
    let l1 = on_l1(&world, &real);
    check(proof, real.hash, &Committees::of_l1(&l1), Some(&l1))
}

fn states(ladder: &Ladder) -> Vec<&'static str> {
    let name = |rung: &Rung| match rung.found {
        Found::Holds { .. } => "holds",
        Found::Unchecked { .. } => "unchecked",
        Found::Missing { .. } => "missing",
        Found::Fails { .. } => "fails",
    };
    ladder.rungs.iter().map(name).collect()
}

fn weight(ladder: &Ladder, step: Step) -> (u64, u64, Vec<u8>) {
    match ladder.found(step) {
        Some(Found::Holds { signed: Some(signed), .. } | Found::Unchecked { signed: Some(signed), .. }) => {
            (signed.weight, signed.total, signed.members.iter().map(|member| member.get()).collect())
        }
        other => panic!("{step}: {other:?}"),
    }
}

#[test]
fn every_step_of_a_settled_transaction_is_shown_with_who_signed() {
    let world = world();
    let proof = proof_in(&world);
    let ladder = checked(&proof);
    assert_eq!(states(&ladder), ["holds"; 6], "{ladder:?}");
    assert!(ladder.flaw().is_none() && ladder.is_checked());
    assert_eq!(weight(&ladder, Step::Notarized), (82, 100, vec![0, 1, 2]));
    assert_eq!(weight(&ladder, Step::Final), (100, 100, vec![0, 1, 2, 3]));
    assert_eq!(weight(&ladder, Step::Posted), (78, 100, vec![0, 1, 3]));
    let state = ladder.state.unwrap();
    assert_eq!((state.height, state.root), (Height::new(4), B256::repeat_byte(0x57)));

    // It travels as JSON, also with a bitmap that no double holds.
    let mut proof = proof;
    proof.block.as_mut().unwrap().batch.as_mut().unwrap().signers = U128::MAX;
    assert_eq!(Proof::from_json(&serde_json::to_vec(&proof).unwrap()).unwrap(), proof);
}

#[test]
fn without_l1_it_is_told_what_rests_on_the_proofs_word() {
    let proof = proof_in(&world());
    for committees in [Committees::of_proof(&proof), Committees::of_file(proof.committees.clone())] {
        let ladder = check(&proof, proof.hash, &committees, None);
        assert_eq!(states(&ladder), ["holds", "holds", "holds", "holds", "unchecked", "unchecked"]);
        assert!(ladder.flaw().is_none() && !ladder.is_checked());
        assert_eq!(weight(&ladder, Step::Posted), (78, 100, vec![0, 1, 3]));
    }
    // A node that has forgotten who sat there cannot say it.
    let mut silent = proof.clone();
    silent.committees.clear();
    let ladder = check(&silent, proof.hash, &Committees::of_proof(&silent), None);
    assert_eq!(states(&ladder), ["holds", "holds", "unchecked", "unchecked", "unchecked", "unchecked"]);
    assert_eq!(checked(&silent), checked(&proof), "L1 says who sat there");
}

#[test]
fn a_transaction_that_is_on_its_way_has_the_steps_that_it_took() {
    let whole = proof_in(&world());
    let mut proof = whole.clone();
    let on_its_way = |proof: &Proof| {
        let ladder = checked(proof);
        assert!(ladder.flaw().is_none() && ladder.is_checked(), "{ladder:?}");
        states(&ladder).iter().map(|state| if *state == "holds" { '+' } else { '-' }).collect::<String>()
    };
    let block = proof.block.as_mut().unwrap();
    block.batch.as_mut().unwrap().l1 = BatchOnL1::Unposted;
    assert_eq!(on_its_way(&proof), "++++--");
    proof.block.as_mut().unwrap().batch = None;
    assert_eq!(on_its_way(&proof), "++++--");
    proof.block.as_mut().unwrap().notarization = None;
    assert_eq!(on_its_way(&proof), "++++--", "what is final was notarized");
    proof.block.as_mut().unwrap().finalization = None;
    assert_eq!(on_its_way(&proof), "++----");
    proof.block.as_mut().unwrap().notarization = whole.block.unwrap().notarization;
    assert_eq!(on_its_way(&proof), "+++---");
    proof.block = None;
    assert_eq!(on_its_way(&proof), "+-----");
}

/// What is done to a proof, and the first step that does not hold then.
type Case = (&'static str, fn(&mut Proof), Step, fn(&Flaw) -> bool);

fn block(proof: &mut Proof) -> &mut InBlock {
    proof.block.as_mut().unwrap()
}

fn batch_of(proof: &mut Proof) -> &mut InBatch {
    block(proof).batch.as_mut().unwrap()
}

fn votes(votes: &mut Option<Votes>) -> &mut Votes {
    votes.as_mut().unwrap()
}

fn is_forged(flaw: &Flaw) -> bool {
    matches!(flaw, Flaw::Certificate { error: VerifyError::InvalidSignature, .. })
}

const CASES: [Case; 27] = [
    ("another transaction", |p| p.hash = B256::ZERO, Step::Accepted, |f| matches!(f, Flaw::OtherTransaction { .. })),
    ("other bytes", |p| p.raw = transfer(9, 8).raw().clone(), Step::Accepted, |f| matches!(f, Flaw::OtherBytes { .. })),
    (
        "another chain",
        |p| p.domain.l2_chain_id = L2ChainId::new(779),
        Step::Accepted,
        |f| matches!(f, Flaw::OtherChain { got, .. } if *got == L2.get()),
    ),
    ("no header", |p| block(p).headers.clear(), Step::Included, |f| *f == Flaw::NoHeader),
    ("another place", |p| block(p).index = 2, Step::Included, |f| matches!(f, Flaw::NotInBlock { .. })),
    ("a place beyond the block", |p| block(p).index = 6, Step::Included, |f| matches!(f, Flaw::NotInBlock { .. })),
    ("a wrong path", |p| block(p).path[1].0[31] ^= 1, Step::Included, |f| matches!(f, Flaw::NotInBlock { .. })),
    ("a shorter path", |p| _ = block(p).path.pop(), Step::Included, |f| matches!(f, Flaw::NotInBlock { .. })),
    (
        "a header of another chain",
        |p| block(p).headers[0].l2_chain_id = L2ChainId::new(779),
        Step::Included,
        |f| matches!(f, Flaw::OtherChain { got: 779, .. }),
    ),
    ("another header", |p| block(p).headers[0].timestamp_ms = Default::default(), Step::Notarized, is_forged),
    (
        "another header below the certificate",
        |p| {
            block(p).notarization = None;
            block(p).headers[0].declared_gas += 1;
        },
        Step::Final,
        |f| *f == Flaw::NotLinked { below: Height::new(2) },
    ),
    ("a changed descendant", |p| block(p).headers[1].fee_recipient = INBOX, Step::Final, is_forged),
    (
        "a descendant of another block",
        |p| block(p).headers[1].parent = BlockDigest::ZERO,
        Step::Final,
        |f| *f == Flaw::NotLinked { below: Height::new(2) },
    ),
    (
        "a missing header",
        |p| _ = block(p).headers.remove(1),
        Step::Final,
        |f| *f == Flaw::NotLinked { below: Height::new(2) },
    ),
    (
        "headers that end too early",
        |p| block(p).headers.truncate(1),
        Step::Final,
        |f| matches!(f, Flaw::NoHeaderAt { asked, .. } if asked.get() == 3),
    ),
    (
        "too few signers",
        |p| votes(&mut block(p).finalization).signers = U128::from(0b0011),
        Step::Final,
        |f| matches!(f, Flaw::Certificate { error: VerifyError::BelowQuorum { signed: 60, total: 100 }, .. }),
    ),
    (
        "signers who did not sign",
        |p| votes(&mut block(p).notarization).signers = U128::from(0b1111),
        Step::Notarized,
        is_forged,
    ),
    (
        "a signer beyond the committee",
        |p| votes(&mut block(p).finalization).signers = U128::from(0b1_1111),
        Step::Final,
        |f| matches!(f, Flaw::Certificate { error: VerifyError::SignerBeyond { .. }, .. }),
    ),
    (
        "no more than a vote for the block",
        |p| block(p).finalization = block(p).notarization.clone(),
        Step::Final,
        is_forged,
    ),
    ("another view", |p| votes(&mut block(p).finalization).view = View::new(9), Step::Final, is_forged),
    (
        "a notarization of the block above",
        |p| votes(&mut block(p).notarization).height = Height::new(3),
        Step::Notarized,
        |f| matches!(f, Flaw::OtherVotes { .. }),
    ),
    (
        "another epoch",
        |p| block(p).headers[0].epoch = Epoch::new(3),
        Step::Notarized,
        |f| *f == Flaw::NoCommittee { epoch: Epoch::new(3) },
    ),
    (
        "a batch by the committee of another epoch",
        |p| batch_of(p).epoch = Epoch::new(3),
        Step::Posted,
        |f| *f == Flaw::NoCommittee { epoch: Epoch::new(3) },
    ),
    (
        "a batch that leaves the block out",
        |p| batch_of(p).header.first_height = Height::new(3),
        Step::Posted,
        |f| matches!(f, Flaw::OutsideBatch { .. }),
    ),
    (
        "a batch that ends with another block",
        |p| batch_of(p).header.last_digest = BlockDigest::ZERO,
        Step::Posted,
        |f| matches!(f, Flaw::OtherLastBlock { .. }),
    ),
    ("another state", |p| batch_of(p).header.state_root = B256::ZERO, Step::Posted, is_forged),
    (
        "another L1 block",
        |p| batch_of(p).l1 = BatchOnL1::Settled { tx: POST, block: L1BlockNumber::new(56) },
        Step::Posted,
        |f| matches!(f, Flaw::OtherL1Block { .. }),
    ),
];

#[test]
fn nothing_of_a_proof_can_be_another() {
    for (name, spoil, step, is_expected) in CASES {
        let mut proof = proof_in(&world());
        spoil(&mut proof);
        let ladder = checked(&proof);
        let (at, flaw) = ladder.flaw().unwrap_or_else(|| panic!("{name}: {ladder:?}"));
        assert!(at == step && is_expected(flaw), "{name}: {at}: {flaw}");
        assert!(ladder.state.is_none() || step < Step::Posted, "{name}: no state is shown that nobody attested");
    }
}

/// What is done to what L1 says, and the step that does not hold then.
type Forgery = (fn(&mut OnL1), Step, fn(&Flaw) -> bool);

#[test]
fn what_l1_does_not_hold_is_not_posted() {
    let world = world();
    let proof = proof_in(&world);
    let cases: [Forgery; 5] = [
        (|l1| l1.post = None, Step::Posted, |f| *f == Flaw::NoL1Transaction(POST)),
        (|l1| l1.post.as_mut().unwrap().accepted.clear(), Step::Posted, |f| matches!(f, Flaw::NotAccepted { .. })),
        (
            |l1| l1.post.as_mut().unwrap().accepted[0].1 = BatchHash::ZERO,
            Step::Posted,
            |f| matches!(f, Flaw::NotAccepted { inbox: INBOX, .. }),
        ),
        (|l1| l1.post.as_mut().unwrap().block = origin(58), Step::Posted, |f| matches!(f, Flaw::OtherL1Block { .. })),
        (|l1| l1.finalized = origin(56), Step::Settled, |f| matches!(f, Flaw::NotFinal { .. })),
    ];
    for (forge, step, is_expected) in cases {
        let mut l1 = on_l1(&world, &proof);
        forge(&mut l1);
        let ladder = check(&proof, proof.hash, &Committees::of_l1(&l1), Some(&l1));
        let (at, flaw) = ladder.flaw().unwrap_or_else(|| panic!("{ladder:?}"));
        assert!(at == step && is_expected(flaw), "{at}: {flaw}");
    }

    // It became final since the proof was made; or is not yet, and nobody says so.
    let mut posted = proof.clone();
    batch_of(&mut posted).l1 = BatchOnL1::Posted { tx: POST, block: POSTED_IN };
    assert_eq!(states(&checked(&posted)), ["holds"; 6]);
    let mut l1 = on_l1(&world, &proof);
    l1.finalized = origin(56);
    let ladder = check(&posted, proof.hash, &Committees::of_l1(&l1), Some(&l1));
    assert_eq!((ladder.flaw(), states(&ladder)[5]), (None, "missing"));
}

#[test]
fn a_committee_that_was_made_up_is_found_by_who_asks_l1() {
    // The same members with keys that the liar has made for them, with which it signs everything.
    let (real, liar) = (world(), World::new(&[1; 8]));
    let mut members = real.committee.members().to_vec();
    for (place, member) in (4..).zip(&mut members) {
        member.key = liar.key(place).public_key();
    }
    let certify = |signers: &[u8], statement| {
        let others: Vec<u8> = signers.iter().map(|signer| signer + 4).collect();
        let signers = signers.iter().copied().map(MemberIndex::new).collect();
        Certificate { signers, ..liar.certify(&others, statement) }
    };
    let mut forged = proof_by(&members, &certify);
    let ladder = check(&forged, forged.hash, &Committees::of_proof(&forged), None);
    assert!(ladder.flaw().is_none() && !ladder.is_checked(), "it holds, and says whose word that rests on");
    let other = Flaw::OtherCommittee { epoch: Epoch::new(2), trusted: Source::L1 };
    assert_eq!(checked(&forged).flaw(), Some((Step::Notarized, &other)));
    let file = Committees::of_file(proof_in(&real).committees);
    let other = Flaw::OtherCommittee { epoch: Epoch::new(2), trusted: Source::File };
    assert_eq!(check(&forged, forged.hash, &file, None).flaw(), Some((Step::Notarized, &other)));
    // Or it keeps quiet about the committee, or names the real one.
    for named in [vec![], proof_in(&real).committees] {
        forged.committees = named;
        assert!(checked(&forged).flaw().is_some_and(|(step, flaw)| step == Step::Notarized && is_forged(flaw)));
    }

    // Who gets the fees is no part of a committee's word.
    let mut paid = proof_in(&real);
    paid.committees[0].members[1].fee_recipient = INBOX;
    assert_eq!(states(&checked(&paid)), ["holds"; 6]);
    // What is no committee checks nothing.
    let mut crowd = paid.clone();
    crowd.committees[0].members.reverse();
    let ladder = check(&crowd, crowd.hash, &Committees::of_proof(&crowd), None);
    assert!(matches!(ladder.flaw(), Some((Step::Notarized, Flaw::UnusableCommittee(_)))), "{ladder:?}");
}

#[test]
fn signatures_for_another_registry_are_worth_nothing() {
    let mut proof = proof_in(&world());
    proof.domain.registry = INBOX;
    assert!(checked(&proof).flaw().is_some_and(|(step, flaw)| step == Step::Notarized && is_forged(flaw)));
    let foreign = transaction(779, 0, 0);
    proof = Proof { hash: *foreign.hash(), raw: foreign.raw().clone(), block: None, ..proof };
    let ladder = check(&proof, proof.hash, &Committees::of_proof(&proof), None);
    assert_eq!(ladder.flaw(), Some((Step::Accepted, &Flaw::OtherChain { expected: L2, got: 779 })));
}

#[test]
fn what_is_no_proof_is_refused_by_name() {
    let proof = serde_json::to_value(proof_in(&world())).unwrap();
    let said = |proof: &serde_json::Value| Proof::from_json(proof.to_string().as_bytes()).unwrap_err().to_string();
    let mut newer = proof.clone();
    newer["version"] = 2.into();
    newer["receipt"] = "0x".into();
    assert_eq!(said(&newer), "a proof of version 2, this program reads version 1");
    let mut more = proof.clone();
    more["receipt"] = "0x".into();
    assert!(said(&more).contains("unknown field `receipt`"), "{}", said(&more));
    let mut less = proof.clone();
    less["block"].as_object_mut().unwrap().remove("path");
    assert!(said(&less).contains("missing field `path`"), "{}", said(&less));
    assert!(said(&serde_json::json!([])).starts_with("not a proof"));
    let long = vec![b' '; PROOF_BYTES_MAX + 1];
    assert!(matches!(Proof::from_json(&long), Err(ProofError::TooLong { .. })));
}

/// The constants with which the size of a proof is bounded.
#[test]
fn the_largest_parts_fit_their_share() {
    let mut header = blocks()[0].header.clone();
    let most = |hash: &mut B256| *hash = B256::repeat_byte(0xff);
    (header.l2_chain_id, header.epoch) = (L2ChainId::new(u64::MAX), Epoch::new(u64::MAX));
    (header.view, header.height) = (View::new(u64::MAX), Height::new(u64::MAX));
    (header.origin.number, header.proposer) = (L1BlockNumber::new(u64::MAX), MemberIndex::new(u8::MAX));
    header.timestamp_ms = baton_proto::TimestampMs::new(u64::MAX);
    (header.forced_position, header.declared_gas) = (u64::MAX, u64::MAX);
    (header.transaction_count, header.payload_bytes) = (u32::MAX, u32::MAX);
    most(&mut header.payload_root);
    let bytes = serde_json::to_vec(&header).unwrap().len() + 1;
    assert!(bytes <= HEADER_JSON_BYTES, "{bytes}");

    let mut proof = proof_in(&world());
    let member = proof.committees[0].members[0].clone();
    let committee = CommitteeOf { epoch: Epoch::new(u64::MAX), members: vec![member; 128] };
    proof.committees = vec![committee; 3];
    proof.raw = vec![0xff; baton_proto::limits::TRANSACTION_BYTES_MAX].into();
    let bytes = serde_json::to_vec(&proof).unwrap().len();
    assert!(bytes <= REST_JSON_BYTES, "{bytes}");
}
