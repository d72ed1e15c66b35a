//! Clusters of real machines in a world that fails them: a virtual clock, links that lose, delay, repeat and cut one way,
//! disks that forget what was not synced, crashes between any two effects, members that lie, and epochs that end meanwhile.
//!
//! A run is decided by its seed and nothing else. First there are faults, and after every step everything in `checks.rs`
//! must hold; then all heals, and every honest node must make blocks final within a bounded number of views. What breaks is
//! printed with its seed, its last lines, and the command that shows it again:
//!
//! ```text
//! make simulate SEEDS=1000 START=1
//! make simulate SCENARIO=…/scenario-17.json
//! ```
//!
//! A failing seed is first made small (`scenario.rs`): troubles, liars and roughness that the failure does without are left
//! out, and what remains is written to a file. Other runs have liars of more than a third (`accountability.rs`), or measure
//! hops and messages in a world where nothing goes wrong (`timing.rs`).
//!
//! The machine is the node's own, under a scheme that costs little. Around it stands a driver that keeps the promises of
//! the node's driver, or, where the contract of [`Effect`](baton_consensus::Effect) allows less, the weakest driver that
//! still keeps the contract:
//!
//! | here | stands for |
//! | --- | --- |
//! | `turn.rs`: inputs that share a turn, writes that are staged, the record synced before a certificate with our own signature is written, two syncs at the end in either order, then words one by one | `node/src/driver/turn.rs`, `Driver::end_turn` |
//! | `sign`, `Record`: refused or staged, then signed | `node/src/signer/record.rs`, `rules.rs` for what it refuses |
//! | `write` before `Built`, `Validated`, `Fetched`, and of `Persist` | `node/src/driver/effects.rs`: `store_block` in `build`, `judge`, `fetch`; `store_certificate` |
//! | `commit`: one atomic step, synced at once with what was staged before | `node/src/driver/commit.rs` and `Ledger::finalize` |
//! | `offer`: effects in order, then the answers at hand | `Driver::offer` |
//! | `recovered` | `node/src/node/open.rs`: `recovered` |
//! | `Hearing`: nothing is signed after a start before a quorum was heard out | `node/src/driver/hearing.rs` |
//! | `take`, `Intake`: window, pause, certificates checked once, votes that wait in the node's own [`HeldVotes`](baton_consensus::HeldVotes) | `node/src/driver/intake.rs`, `window.rs`, `certified.rs` |
//! | `follow`, `arrive`, `ask_how_it_ended`: one epoch after another | what a driver must do at least at [`Effect::EpochEnded`](baton_consensus::Effect) |
//! | `seat`: sequencers that join, leave and come back, and followers | `EpochContext` of `node/src/epoch.rs` |
//! | `Listening`, `Trouble::LoseDisk`: a record that may lack statements | `node/src/driver/key_watch.rs`, `Life` in `epoch_end.rs` |
//! | `forget_statements` | `Driver::forget_old_statements` |
//! | `has_to_wait`: the node's own rule | `node/src/validity.rs` |
//! | `check_record` | `DriverError::StaleSignRecord` |
//! | `fetched`, `range` | `Driver::fetch`, `node/src/sync/` |
//! | `Store::crash`: some prefix of a log survives | `node/src/ledger/engine.rs`: ordered log, a torn tail is dropped |
//!
//! Not here: bodies and transactions (a header stands for its block), execution, and damage in the middle of a log.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod accountability;
mod actors;
mod checks;
mod clock;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod disk;
mod driver;
mod epochs;
#[path = "../common/golden.rs"]
mod golden;
mod hearing;
mod intake;
mod listening;
mod member;
mod network;
mod node;
mod plan;
mod random;
mod report;
mod scenario;
mod seeds;
mod timing;
mod transcripts;
mod trouble;
mod turn;

use std::collections::BTreeMap;

use crate::{
    cluster::Cluster,
    common::EPOCH,
    plan::{Craft, Flaw, Plan},
    random::Random,
    report::Counts,
    scenario::Scenario,
    seeds::Failure,
};

/// Seeds within which every flaw must be found.
const FLAW_SEEDS: u64 = 100;

/// Seeds of too many liars.
const LAWLESS_SEEDS: u64 = 100;

#[test]
fn clusters_agree_under_faults_and_go_on_when_they_heal() {
    if let Some(scenario) = seeds::asked_scenario() {
        match scenario.run() {
            Ok(counts) => return println!("the scenario passes: {counts}"),
            Err(failure) => panic!("{failure}"),
        }
    }
    if let Some(seeds) = seeds::asked() {
        seeds::run_all(seeds, &[Scenario::lawful, Scenario::lawless]);
        return;
    }
    let total = seeds::run_all(seeds::DEFAULT, &[Scenario::lawful]);
    let Counts { blocks, torn_turns, lost_writes, blackouts, replays, convictions, ranges, forgeries, .. } = total;
    let Counts { shared_turns, early_syncs, early_bodies, torn_syncs, torn_words, lost_disks, settled, .. } = total;
    let Counts { waited, stopped, handovers, again, latecomers, seatless, walks, .. } = total;
    let faults = [blocks, torn_turns, lost_writes, blackouts, replays, convictions, ranges, forgeries];
    let turns = [lost_disks, settled, shared_turns, early_syncs, early_bodies, torn_syncs, torn_words];
    let mut happened =
        faults.into_iter().chain(turns).chain([waited, stopped, handovers, again, latecomers, seatless, walks]);
    let idle: Vec<Craft> = Craft::ALL.into_iter().filter(|craft| total.acts[*craft as usize] == 0).collect();
    assert!(idle.is_empty(), "these liars never lied: {idle:?}");
    assert!(happened.all(|count| count > 0), "some kind of trouble never came: {total}");
}

/// The first seed that the checks find `flaw` with.
fn find(flaw: Flaw) -> Failure {
    find_as(flaw, "")
}

/// The first seed with which `flaw` is found to do this.
fn find_as(flaw: Flaw, complaint: &str) -> Failure {
    for seed in 1..=FLAW_SEEDS {
        if let Err(failure) = Scenario::of(seed, Some(flaw)).run()
            && failure.complaint.contains(complaint)
        {
            println!("{flaw:?} is found by seed {seed}: {}", failure.complaint);
            return failure;
        }
    }
    panic!("{flaw:?} is not found within {FLAW_SEEDS} seeds");
}

#[test]
fn a_forgotten_sign_record_is_found() {
    let complaint = find(Flaw::ForgetsRecord).complaint;
    assert!(complaint.contains("contradicts itself"), "{complaint}");
}

#[test]
fn a_vote_that_overtakes_its_record_is_found() {
    let complaint = find(Flaw::SpeaksBeforeRecord).complaint;
    assert!(complaint.contains("sent what is not on its disk"), "{complaint}");
}

#[test]
fn a_certificate_that_overtakes_the_record_of_our_signature_is_found() {
    let complaint = find(Flaw::CertifiesBeforeRecord).complaint;
    assert!(complaint.contains("has its signature, and its record has lost it"), "{complaint}");
}

#[test]
fn a_finalize_that_overtakes_the_body_of_its_block_is_found() {
    // Of what one sync would have kept, the notarization can be lost alone; the body never before it.
    find_as(Flaw::FinalizesBeforeBody, "binds it to a block that its ledger has lost");
}

#[test]
fn a_finalize_that_overtakes_the_notarization_of_its_block_is_found() {
    let complaint = find(Flaw::FinalizesBeforeNotarization).complaint;
    assert!(complaint.contains("binds it to a block whose notarization is lost"), "{complaint}");
}

#[test]
fn blocks_called_final_before_they_are_durable_are_found() {
    let complaint = find(Flaw::FinalizesUnsynced).complaint;
    assert!(complaint.contains("the final height of node"), "{complaint}");
}

#[test]
fn a_message_that_overtakes_a_certificate_is_found() {
    let complaint = find(Flaw::OvertakesPersist).complaint;
    assert!(complaint.contains("sent a certificate that is not on its disk"), "{complaint}");
}

#[test]
fn a_vote_without_the_body_is_found() {
    let complaint = find(Flaw::VotesWithoutBody).complaint;
    assert!(complaint.contains("voted for a block that is not on its disk"), "{complaint}");
}

#[test]
fn an_origin_taken_before_it_is_final_is_found() {
    let complaint = find(Flaw::TakesAnyOrigin).complaint;
    assert!(complaint.contains("whose origin is not final on L1"), "{complaint}");
}

/// Two of four leave with the epoch, and they alone know how it ended. Without a seat they say nothing any more, so those that
/// stay, and a follower, get to know it only because they ask when L1 has gone on and nothing happens.
#[test]
fn who_stays_learns_how_an_epoch_ended_from_those_that_left() {
    let away = BTreeMap::from([(0, (1, u64::MAX)), (1, (1, u64::MAX))]);
    let plan = Plan { weights: vec![1; 4], away, followers: 1, epoch_ms: 1_000, keeps_past: false, ..Plan::calm() };
    let mut cluster = Cluster::new(Scenario::quiet(3, plan));
    cluster.network.whisperers = vec![0, 1];
    cluster.l1_end_ms = 1_500;
    let left = |cluster: &Cluster| [0, 1, 2, 3].map(|at| cluster.nodes[at].process.as_ref().unwrap().epoch > EPOCH);
    cluster.run_until(|cluster| left(cluster) != [false; 4] || cluster.clock.now_ms() > 5_000);
    let height = cluster.watch.height();
    cluster.run_until(|cluster| left(cluster).iter().filter(|left| **left).count() > 1);
    assert_eq!(left(&cluster), [true, true, false, false]);
    cluster.run_until(|cluster| cluster.clock.now_ms() >= 8_000);
    assert_eq!(left(&cluster), [true; 4]);
    let heights: Vec<u64> = cluster.nodes.iter().map(|node| node.ledger.live().height()).collect();
    assert!(heights.iter().all(|at| *at > height + 10), "{heights:?}, {height} when two had left");
}

/// The check of agreement can fail: it does when the fault bound is broken, and then honest nodes hold what convicts a third
/// or more of the weight.
#[test]
fn liars_of_more_than_a_third_break_agreement_and_are_named_for_it() {
    let Counts { broken, pairs, handovers, .. } = seeds::run_all(1..LAWLESS_SEEDS + 1, &[Scenario::lawless]);
    println!("agreement is broken by {broken} of {LAWLESS_SEEDS} seeds, {pairs:?} pairs of certificates");
    assert!(broken > LAWLESS_SEEDS / 8, "only {broken} seeds broke agreement");
    assert!(pairs.iter().all(|count| *count > 0), "a kind of pair never came: {pairs:?}");
    assert!(handovers > 0, "no epoch ended");
}

/// A planted mistake: what is found is made small, goes through a file, and fails again in the same way.
#[test]
fn a_failing_seed_becomes_a_small_scenario_file() {
    let failure = find(Flaw::ForgetsRecord);
    let before = failure.scenario.troubles.len();
    let small = scenario::minimize(failure);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted-flaw.json");
    small.scenario.write(&path);
    let again = Scenario::read(&path).run().expect_err("it fails again");
    assert_eq!((&again.complaint, again.step), (&small.complaint, small.step));
    let after = again.scenario.troubles.len();
    println!("{before} troubles become {after}: {:?}", again.scenario.troubles);
    assert!(3 * after < before, "{before} troubles become {after}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut cluster = Cluster::new(Scenario::of(seed, None));
        cluster.live();
        (cluster.counts.steps, cluster.trace.hash())
    };
    let has_all = |plan: Plan| !plan.away.is_empty() && plan.followers > 0 && plan.remembered_views.is_some();
    let rich = (1..).find(|seed| has_all(Plan::of(&mut Random::new(*seed)))).unwrap();
    let runs: Vec<_> = [5, rich].into_iter().map(|seed| (seed, run(seed))).collect();
    for (seed, first) in &runs {
        assert_eq!(*first, run(*seed), "seed {seed}");
    }
    assert_ne!(runs[0].1.1, runs[1].1.1);
}

/// One block a view, at the pace the leader may keep, when nothing goes wrong: timeouts play no part.
#[test]
fn a_quiet_network_finalizes_every_view() {
    let mut cluster = Cluster::new(Scenario::quiet(3, Plan::calm()));
    cluster.run_until(|cluster| cluster.watch.height() == 200);
    let (view, now) = (cluster.watch.top_turn().1.get(), cluster.clock.now_ms());
    assert!(view <= 203, "{view} views for 200 blocks");
    // 50 ms of pace, five hops and disk writes of at most 10 ms.
    assert!(now < 200 * 110, "200 blocks took {now} ms");
}

/// A member is gone for good: each of its turns costs a timeout at first, and next to nothing once its silence is known.
#[test]
fn a_dead_member_costs_time_only_until_its_silence_is_known() {
    let mut cluster = Cluster::new(Scenario::quiet(3, Plan::calm()));
    cluster.nodes[0].process = None;
    let mut done = Vec::new();
    for height in [40, 240] {
        cluster.run_until(|cluster| cluster.watch.height() == height);
        done.push(cluster.clock.now_ms());
    }
    let (first, rest) = (done[0] / 40, (done[1] - done[0]) / 200);
    assert!(rest < 150 && first > rest + 50, "{first} ms a block at first, {rest} ms later");
}
