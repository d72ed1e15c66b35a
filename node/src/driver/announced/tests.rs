use std::sync::atomic::{AtomicBool, Ordering};

use alloy_primitives::{Address, B256};
use baton_proto::{BlockDigest, Certificate, SignedStatement};

use super::*;
use crate::{
    driver::testing::{World, block_of, child},
    l1::testing::finalize,
    ledger::{ChainIdentity, MemoryLedger},
};

struct Stage {
    world: World,
    window: Arc<ViewWindow>,
    certified: Arc<Certified>,
    has_followers: Arc<AtomicBool>,
    stage: GossipChecks,
}

fn stage() -> Stage {
    let world = World::new(&[1, 1, 1, 1]);
    let window = Arc::new(ViewWindow::default());
    window.set(View::new(1_000), View::new(1_001));
    let certified = Arc::new(Certified::new(Some(MemberIndex::new(0))));
    let has_followers = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&has_followers);
    let running = world.epoch();
    let stage = GossipChecks::new(
        Arc::clone(&running),
        EpochBook::new(running),
        ledger(&world),
        Arc::clone(&window),
        Arc::clone(&certified),
        move || asked.load(Ordering::Relaxed),
    );
    Stage { world, window, certified, has_followers, stage }
}

/// One that holds the genesis block alone.
fn ledger(world: &World) -> Arc<MemoryLedger> {
    let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
    let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
    ledger.init_genesis(&world.epoch().root).unwrap();
    ledger
}

/// A final header of `view` whose certificate these members signed.
fn announced(world: &World, view: u64, signers: &[u8]) -> FinalHeader {
    let header = block_of(view, view, vec![]).header;
    let statement = Statement::Finalize { epoch: header.epoch, view: View::new(view), block: header.digest() };
    FinalHeader { header, finalization: world.certify(signers, statement) }
}

#[test]
fn a_true_certificate_goes_on_once_whoever_signed() {
    let Stage { world, mut stage, .. } = stage();
    let first = announced(&world, 1_005, &[0, 1, 2]);
    let (acceptance, news) = stage.judge(Announcement::Final(first.clone()));
    assert_eq!(acceptance, Acceptance::Accept);
    let Some(Checked::Certificate(certificate)) = news else { panic!("the driver hears of it") };
    assert_eq!(certificate.into_inner(), first.finalization);
    let other = announced(&world, 1_005, &[1, 2, 3]);
    assert_eq!(stage.judge(Announcement::Final(other)).0, Acceptance::Ignore);
}

#[test]
fn what_is_certified_here_is_checked_for_followers_alone() {
    let Stage { world, certified, has_followers, mut stage, .. } = stage();
    let first = announced(&world, 1_005, &[0, 1, 2]);
    certified.insert(&announced(&world, 1_005, &[1, 2, 3]).finalization);
    has_followers.store(false, Ordering::Relaxed);
    assert_eq!(stage.judge(Announcement::Final(first.clone())).0, Acceptance::Ignore);
    let unknown = announced(&world, 1_006, &[0, 1, 2]);
    assert_eq!(stage.judge(Announcement::Final(unknown.clone())).0, Acceptance::Accept, "news");
    assert!(certified.contains(&unknown.finalization.statement), "nobody checks another one of it");
    has_followers.store(true, Ordering::Relaxed);
    assert_eq!(stage.judge(Announcement::Final(first)).0, Acceptance::Accept, "they have no other way to hear of it");
}

#[test]
fn a_false_certificate_is_charged_and_does_not_stand_in_the_true_ones_way() {
    let Stage { world, mut stage, .. } = stage();
    let good = announced(&world, 1_005, &[0, 1, 2]);
    let forged = Certificate {
        signature: announced(&world, 1_006, &[0, 1, 2]).finalization.signature,
        ..good.finalization.clone()
    };
    let below_quorum = announced(&world, 1_005, &[0, 1]).finalization;
    for finalization in [forged, below_quorum] {
        let (acceptance, news) = stage.judge(Announcement::Final(FinalHeader { finalization, ..good.clone() }));
        assert_eq!(acceptance, Acceptance::Reject(Fault::InvalidSignature));
        assert!(news.is_none());
    }
    assert_eq!(stage.judge(Announcement::Final(good)).0, Acceptance::Accept);
}

#[test]
fn what_is_past_goes_no_further_and_what_may_be_of_another_chain_is_news() {
    let Stage { world, window, mut stage, .. } = stage();
    let oldest = 1_000 - RETENTION_VIEWS;
    assert_eq!(stage.judge(Announcement::Final(announced(&world, oldest - 1, &[0, 1, 2]))).0, Acceptance::Ignore);
    // What this node made final in that view may be another block.
    let (acceptance, news) = stage.judge(Announcement::Final(announced(&world, 1_000, &[0, 1, 2])));
    assert!(acceptance == Acceptance::Accept && matches!(news, Some(Checked::Certificate(_))));
    // However far ahead: a node that is behind learns it here.
    let (acceptance, news) = stage.judge(Announcement::Final(announced(&world, 90_000, &[0, 1, 2])));
    assert!(acceptance == Acceptance::Accept && matches!(news, Some(Checked::Certificate(_))));
    window.set(View::new(90_000), View::new(90_001));
    assert_eq!(stage.judge(Announcement::Final(announced(&world, 1_001, &[0, 1, 2]))).0, Acceptance::Ignore);
}

#[test]
fn a_final_block_that_our_chain_leaves_out_is_news_however_old() {
    let Stage { world, window, certified, .. } = stage();
    let (before, running) = (world.epoch(), world.epoch_of(3, &[3, 0]));
    let book = EpochBook::new(before);
    book.add(Arc::clone(&running));
    let held = ledger(&world);
    let ours = child(&world.epoch().root, vec![]);
    finalize(&*held, std::slice::from_ref(&ours));
    let mut stage = GossipChecks::new(running, book, held, window, certified, || true);
    // In the epoch before, which has ended.
    let true_one = {
        let header = ours.header.clone();
        let statement = Statement::Finalize { epoch: header.epoch, view: header.view, block: header.digest() };
        FinalHeader { header, finalization: world.certify(&[0, 1, 2], statement) }
    };
    let lie = announced(&world, 1_005, &[0, 1, 2]);
    let forged = FinalHeader { finalization: announced(&world, 1_005, &[0, 1]).finalization, ..lie.clone() };
    assert_eq!(stage.judge(Announcement::Final(true_one)).0, Acceptance::Ignore, "there is no end of those");
    assert_eq!(stage.judge(Announcement::Final(forged)).0, Acceptance::Reject(Fault::InvalidSignature));
    let (acceptance, news) = stage.judge(Announcement::Final(lie.clone()));
    let Some(Checked::Contradiction(broken)) = news else { panic!("the driver hears of it") };
    assert_eq!((acceptance, broken.last().map(|got| &**got)), (Acceptance::Accept, Some(&lie.finalization)));
}

#[test]
fn another_epochs_certificate_is_nobodys_fault() {
    let Stage { world, mut stage, .. } = stage();
    let mut header = block_of(1_005, 1_005, vec![]).header;
    header.epoch = Epoch::new(3);
    let statement = Statement::Finalize { epoch: header.epoch, view: View::new(1_005), block: header.digest() };
    let finalization = world.certify(&[0, 1, 2], statement);
    assert_eq!(stage.judge(Announcement::Final(FinalHeader { header, finalization })).0, Acceptance::Ignore);
}

fn evidence(world: &World, signer: u8, view: u64, fill: u8) -> Evidence {
    let (epoch, view) = (Epoch::new(2), View::new(view));
    let notarize = |fill| Statement::Notarize { epoch, view, block: BlockDigest::new(B256::repeat_byte(fill)) };
    Evidence::new(world.sign(signer, notarize(fill)), world.sign(signer, notarize(fill + 1))).unwrap()
}

#[test]
fn evidence_goes_on_once_for_each_signer_view_and_offence() {
    let Stage { world, mut stage, .. } = stage();
    let first = evidence(&world, 3, 1_001, 1);
    let (acceptance, news) = stage.judge(Announcement::Evidence(first.clone()));
    let Some(Checked::Evidence(heard)) = news else { panic!("the driver hears of it") };
    assert!(acceptance == Acceptance::Accept && heard == first);
    // The same offence by another pair says nothing new.
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 3, 1_001, 7))).0, Acceptance::Ignore);
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 2, 1_001, 1))).0, Acceptance::Accept);
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 3, 1_002, 1))).0, Acceptance::Accept);
    // A view that nobody is near: one may sign against itself in any number of them.
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 3, 90_000, 1))).0, Acceptance::Ignore);
}

#[test]
fn false_evidence_is_charged_and_does_not_stand_in_the_true_ones_way() {
    let Stage { world, mut stage, .. } = stage();
    let good = evidence(&world, 3, 1_001, 1);
    let mut forged = good.second().clone();
    forged.signature = good.first().signature;
    let forged = Evidence::new(good.first().clone(), forged).unwrap();
    let (acceptance, news) = stage.judge(Announcement::Evidence(forged));
    assert!(acceptance == Acceptance::Reject(Fault::InvalidSignature) && news.is_none());
    assert_eq!(stage.judge(Announcement::Evidence(good)).0, Acceptance::Accept);
}

#[test]
fn attestations_for_two_committees_are_judged_by_the_first_ones() {
    let Stage { world, mut stage, .. } = stage();
    let evidence = |first, second| Evidence::new(first, second).unwrap();
    let [now, then] = [(2, 1), (9, 2)].map(|(epoch, fill)| world.attest(1, Epoch::new(epoch), fill));
    let forged = SignedStatement { signature: now.signature, ..then.clone() };
    let (acceptance, news) = stage.judge(Announcement::Evidence(evidence(now.clone(), forged)));
    assert!(acceptance == Acceptance::Reject(Fault::InvalidSignature) && news.is_none());
    let true_one = evidence(now, then);
    let (acceptance, news) = stage.judge(Announcement::Evidence(true_one.clone()));
    assert_eq!(acceptance, Acceptance::Accept);
    assert!(matches!(news, Some(Checked::Evidence(heard)) if heard == true_one));
}

#[test]
fn a_certificate_is_never_a_vote() {
    // What gossip brings reaches the driver as certificate or evidence, never as somebody's vote.
    let Stage { world, mut stage, .. } = stage();
    let news = [
        stage.judge(Announcement::Final(announced(&world, 1_005, &[0, 1, 2]))).1,
        stage.judge(Announcement::Evidence(evidence(&world, 3, 1_001, 1))).1,
    ];
    for news in news {
        assert!(matches!(news, Some(Checked::Certificate(_) | Checked::Evidence(_))), "{news:?}");
    }
}

#[test]
fn a_final_header_of_a_later_epoch_says_that_this_one_is_over() {
    let Stage { world, mut stage, .. } = stage();
    let of_epoch = |epoch: u64| {
        let mut last = announced(&world, 3, &[0, 1, 2]);
        last.header.epoch = Epoch::new(epoch);
        let statement =
            Statement::Finalize { epoch: last.header.epoch, view: View::new(3), block: last.header.digest() };
        Announcement::Final(FinalHeader { finalization: world.certify(&[0, 1, 2], statement), ..last })
    };
    let (acceptance, news) = stage.judge(of_epoch(3));
    assert_eq!(acceptance, Acceptance::Ignore, "nobody can check it here, so it goes no further");
    assert!(matches!(news, Some(Checked::LaterEpoch)));
    assert!(stage.judge(of_epoch(1)).1.is_none());
}

#[test]
fn evidence_of_an_epoch_that_has_ended_is_judged_by_who_sat_in_it() {
    let Stage { world, window, certified, .. } = stage();
    // Member 3 has left, and another has its place.
    let (before, running) = (world.epoch(), world.epoch_of(3, &[3, 0]));
    let book = EpochBook::new(before);
    book.add(Arc::clone(&running));
    window.set(View::new(1), View::new(2));
    let mut stage = GossipChecks::new(running, book.clone(), ledger(&world), window, certified, || true);
    let pair = evidence(&world, 3, 1_001, 1);
    let mut forged = pair.second().clone();
    forged.signature = pair.first().signature;
    let (acceptance, news) = stage.judge(Announcement::Evidence(Evidence::new(pair.first().clone(), forged).unwrap()));
    assert!(acceptance == Acceptance::Reject(Fault::InvalidSignature) && news.is_none());
    let (acceptance, news) = stage.judge(Announcement::Evidence(pair.clone()));
    let Some(Checked::Evidence(heard)) = news else { panic!("the driver hears of it") };
    assert!(acceptance == Acceptance::Accept && heard == pair);
    // One for each of them, whatever the view.
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 3, 7, 1))).0, Acceptance::Ignore);
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 0, 7, 1))).0, Acceptance::Accept);
    // Nobody can say anything about an epoch that is forgotten, or yet to come.
    for n in 0..EPOCHS_KEPT as u64 {
        book.add(world.epoch_of(4 + n, &[0]));
    }
    assert_eq!(stage.judge(Announcement::Evidence(evidence(&world, 1, 7, 1))).0, Acceptance::Ignore);
    let later = |fill| {
        let block = BlockDigest::new(B256::repeat_byte(fill));
        world.sign(0, Statement::Notarize { epoch: Epoch::new(4), view: View::new(1), block })
    };
    let later = Evidence::new(later(1), later(2)).unwrap();
    assert_eq!(stage.judge(Announcement::Evidence(later)).0, Acceptance::Ignore);
}
