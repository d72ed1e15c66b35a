//! The rules without an L1.

use alloy_primitives::{Address, B256, keccak256};
use baton_consensus::{Committee, CommitteeMember, Schedule, SecretKey};
use baton_proto::{
    BatchHash, BatchHeader, BatchIndex, Block, BlockHeader, ChainSpec, DataKind, Domain, Epoch, Epochs, Forced, Height,
    L1BlockNumber, L1ChainId, L1Origin, L2ChainId, MemberIndex, PayloadCommitment, TimestampMs, View, Weight,
    batch_data,
};

use super::rules::{ProposalError, Roots, Situation, rank};
use crate::l1::{InboxTip, data_hash, deploy::devnet_spec};

const ACCEPTED_AT: u64 = 100;

/// Epoch 2 has the L1 blocks from 80 to 119.
const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::new(0), blocks: 40 };

fn spec() -> ChainSpec {
    devnet_spec(L2ChainId::new(7), EPOCHS.blocks, Address::repeat_byte(1))
}

fn tip() -> InboxTip {
    InboxTip {
        next_index: BatchIndex::ZERO,
        last_height: Height::ZERO,
        last_hash: BatchHash::ZERO,
        accepted_at: L1BlockNumber::new(ACCEPTED_AT),
    }
}

fn situation<'a>(spec: &'a ChainSpec, tip: &'a InboxTip, head: u64) -> Situation<'a> {
    Situation { spec, epochs: EPOCHS, epoch: Epoch::new(2), tip, head: L1BlockNumber::new(head), complete_since: None }
}

fn blocks(count: u64) -> Vec<Block> {
    let origin = L1Origin { number: L1BlockNumber::new(99), hash: B256::repeat_byte(3) };
    let mut parent = BlockHeader::genesis(L2ChainId::new(7), origin, 1_000);
    (0..count)
        .map(|_| {
            let commitment = PayloadCommitment::of(&Forced::default(), &[]);
            let header = BlockHeader {
                view: parent.view.next().unwrap(),
                height: parent.height.next().unwrap(),
                parent: parent.digest(),
                timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + 100),
                payload_root: commitment.payload_root,
                ..parent.clone()
            };
            parent = header.clone();
            Block { header, forced: Forced::default(), transactions: Vec::new() }
        })
        .collect()
}

fn committee() -> Committee {
    let member = |index: u8, weight| CommitteeMember {
        owner: Address::repeat_byte(index),
        fee_recipient: Address::ZERO,
        weight: Weight::new(weight),
        key: SecretKey::generate(&[index; 32]).public_key(),
    };
    Committee::new(Epoch::new(2), vec![member(1, 32), member(2, 28), member(3, 22), member(4, 18)]).unwrap()
}

#[test]
fn every_member_has_its_own_rank_and_the_turns_poster_has_the_first() {
    let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2ChainId::new(7) };
    let posters = Schedule::posters(&domain, &committee(), B256::repeat_byte(5));
    for index in 0..50 {
        let of = |member| rank(&posters, 4, BatchIndex::new(index), MemberIndex::new(member));
        assert_eq!(rank(&posters, 4, BatchIndex::new(index), posters.turn(index + 1)), 0);
        let mut ranks: Vec<u64> = (0..4).map(of).collect();
        ranks.sort_unstable();
        assert_eq!(ranks, [0, 1, 2, 3]);
    }
}

#[test]
fn a_batch_is_due_by_age_and_each_rank_waits_for_the_one_before() {
    let (spec, tip) = (spec(), tip());
    let may = |head: u64, rank| situation(&spec, &tip, head).may_propose(false, rank);
    assert!(!may(ACCEPTED_AT + 4, 0) && may(ACCEPTED_AT + 5, 0));
    assert!(!may(ACCEPTED_AT + 6, 1) && may(ACCEPTED_AT + 7, 1));
    assert!(!may(ACCEPTED_AT + 10, 3) && may(ACCEPTED_AT + 11, 3));
}

#[test]
fn a_complete_batch_is_due_at_once_and_later_ranks_count_from_when_it_was_complete() {
    let (spec, tip) = (spec(), tip());
    let mut now = situation(&spec, &tip, ACCEPTED_AT + 1);
    assert!(now.may_propose(true, 0) && !now.may_propose(false, 0));
    assert!(!now.may_propose(true, 1));
    now.complete_since = Some(L1BlockNumber::new(ACCEPTED_AT));
    assert!(!now.may_propose(true, 1));
    now.head = L1BlockNumber::new(ACCEPTED_AT + 2);
    assert!(now.may_propose(true, 1));
}

#[test]
fn a_member_allows_one_l1_block_of_difference_and_no_more() {
    let (spec, tip) = (spec(), tip());
    let check = |head, rank, complete| situation(&spec, &tip, head).check_turn(MemberIndex::new(1), rank, complete);
    assert_eq!(check(ACCEPTED_AT + 4, 0, false), Ok(()));
    let early = check(ACCEPTED_AT + 3, 0, false).unwrap_err();
    assert!(early.can_pass() && !early.is_peer_fault(), "{early}");
    assert!(check(ACCEPTED_AT + 5, 1, false).is_err() && check(ACCEPTED_AT + 6, 1, false).is_ok());
    assert_eq!(check(ACCEPTED_AT, 0, true), Ok(()));
}

#[test]
fn full_means_that_the_next_final_block_might_not_fit() {
    let (spec, tip) = (spec(), tip());
    let now = situation(&spec, &tip, ACCEPTED_AT);
    let calldata = |len| (DataKind::Calldata, len);
    let max = now.data_bytes_max(DataKind::Calldata);
    let [last, next] = &blocks(2)[..] else { panic!() };
    let (last, mut next) = (&last.header, next.header.clone());
    assert!(!now.is_complete(calldata(max), 10, last, None), "without a next block there is nothing to wait for");
    assert!(!now.is_complete(calldata(max / 2), 10, last, Some(&next)));
    assert!(now.is_complete(calldata(max * 7 / 8), 10, last, Some(&next)));
    assert!(now.is_complete(calldata(1), 16_384, last, Some(&next)));
    next.payload_bytes = u32::try_from(max / 2).unwrap();
    assert!(now.is_complete(calldata(max / 2), 10, last, Some(&next)));
    // Blobs hold six times as much.
    let in_blobs = now.data_bytes_max(DataKind::Blobs);
    assert_eq!(in_blobs, 6 * 126_976 - 5);
    assert!(!now.is_complete((DataKind::Blobs, max), 10, last, Some(&next)));
    assert!(now.is_complete((DataKind::Blobs, in_blobs * 7 / 8 + 1), 10, last, Some(&next)));
    let none = ChainSpec { batch_blobs_max: 0, ..spec.clone() };
    assert_eq!(situation(&none, &tip, ACCEPTED_AT).data_bytes_max(DataKind::Blobs), 0);
}

#[test]
fn a_batch_that_ends_the_epoch_is_complete_whatever_its_size() {
    let (spec, tip) = (spec(), tip());
    let now = situation(&spec, &tip, ACCEPTED_AT);
    let [last, next] = &blocks(2)[..] else { panic!() };
    let (mut last, mut next) = (last.header.clone(), next.header.clone());
    let complete = |last: &BlockHeader, next| now.is_complete((DataKind::Calldata, 1), 1, last, next);
    for (origin, ends) in [(80, false), (119, false), (120, true), (400, true)] {
        last.origin.number = L1BlockNumber::new(origin);
        assert_eq!((complete(&last, None), complete(&last, Some(&next))), (ends, ends), "{origin}");
    }
    // Nothing beyond it is of this batch, and only who has another final chain says that it is.
    next.epoch = Epoch::new(3);
    assert_eq!(now.check_span(&last), Ok(()));
    let error = now.check_span(&next).unwrap_err();
    assert!(matches!(error, ProposalError::SpansEpochs { .. }) && error.is_peer_fault(), "{error}");
}

#[test]
fn a_proposal_must_say_what_is_final_here() {
    let (spec, tip) = (spec(), tip());
    let now = situation(&spec, &tip, ACCEPTED_AT + 5);
    let own = blocks(6);
    let data = batch_data::encode(&own[..5]).unwrap();
    let root = Roots { state: B256::repeat_byte(8), duties: B256::repeat_byte(9) };
    let header = now.header((DataKind::Calldata, keccak256(&data)), &own[..5], root).unwrap();
    assert_eq!((header.first_height, header.last_height), (Height::new(1), Height::new(5)));
    assert_eq!(header.last_digest, own[4].header.digest());
    assert_eq!((header.state_root, header.duties_root), (root.state, root.duties));
    now.check_header(&header, &data).unwrap();
    now.check_content(&header, &data, &own[..5], root).unwrap();

    let refused = |header: &BatchHeader, data: &[u8]| now.check_header(header, data).unwrap_err();
    let with = |change: &dyn Fn(&mut BatchHeader)| {
        let mut header = header.clone();
        change(&mut header);
        header
    };
    let wrong = with(&|h| h.index = BatchIndex::new(1));
    assert!(matches!(refused(&wrong, &data), ProposalError::WrongIndex { .. }));
    let wrong = with(&|h| h.prev_batch_hash = BatchHash::new(B256::repeat_byte(1)));
    assert!(matches!(refused(&wrong, &data), ProposalError::WrongPrevious { .. }));
    let wrong = with(&|h| h.epoch = Epoch::new(3));
    let other = refused(&wrong, &data);
    assert!(matches!(other, ProposalError::WrongEpoch { .. }));
    assert!(!other.is_peer_fault() && !other.can_pass(), "who works on another epoch is passed over");
    let wrong = with(&|h| h.first_height = Height::new(2));
    assert!(matches!(refused(&wrong, &data), ProposalError::WrongFirstHeight { .. }));
    for last in [0, 1 << 40, u64::MAX] {
        let wrong = with(&|h| h.last_height = Height::new(last));
        assert!(matches!(refused(&wrong, &data), ProposalError::WrongLength { .. }));
    }
    assert!(matches!(refused(&header, b"other"), ProposalError::WrongDataHash { .. }));
    assert!(matches!(refused(&header, &vec![0; 200_000]), ProposalError::DataTooLong { .. }));

    let refused = |header: &BatchHeader, data: &[u8]| {
        let error = now.check_content(header, data, &own[..5], root).unwrap_err();
        assert!(error.is_peer_fault() && !error.can_pass(), "{error}");
        error
    };
    type Change<'a> = &'a dyn Fn(&mut BatchHeader);
    let changes: [(&str, Change<'_>); 6] = [
        ("last digest", &|h| h.last_digest = own[3].header.digest()),
        ("last origin", &|h| h.last_origin.hash = B256::ZERO),
        ("state root", &|h| h.state_root = B256::repeat_byte(1)),
        ("forced position", &|h| h.forced_position = 1),
        ("forced hash", &|h| h.forced_hash = B256::repeat_byte(1)),
        ("duties root", &|h| h.duties_root = B256::ZERO),
    ];
    for (name, change) in changes {
        let ProposalError::WrongField { field, .. } = refused(&with(change), &data) else { panic!("{name}") };
        assert_eq!(field, name);
    }
    // Data of other blocks under a header that names it truly.
    let other = batch_data::encode(&own[..4]).unwrap();
    let wrong = with(&|h| h.data_hash = keccak256(&other));
    assert!(matches!(refused(&wrong, &other), ProposalError::Data(_)));
    // The calldata's hash where blobs are named, and the true one.
    let wrong = with(&|h| h.data_kind = DataKind::Blobs);
    now.check_header(&wrong, &data).unwrap();
    assert!(matches!(refused(&wrong, &data), ProposalError::WrongDataHash { .. }));
    let in_blobs = with(&|h| {
        h.data_kind = DataKind::Blobs;
        h.data_hash = data_hash(DataKind::Blobs, &data).unwrap();
    });
    now.check_content(&in_blobs, &data, &own[..5], root).unwrap();
    let error = now.check_header(&in_blobs, &vec![0; 800_000]).unwrap_err();
    assert!(matches!(error, ProposalError::DataTooLong { max: 761_851, got: 800_000 }));
    let garbage = vec![7; 64];
    let wrong = with(&|h| h.data_hash = keccak256(&garbage));
    assert!(matches!(refused(&wrong, &garbage), ProposalError::Data(_)));
    // A member further on than the proposer compares the same heights only.
    assert!(View::new(6) == own[5].header.view && now.header((DataKind::Calldata, B256::ZERO), &[], root).is_none());
}
