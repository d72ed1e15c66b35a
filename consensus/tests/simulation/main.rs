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
//! | `sign`, `Record`: refused or written, synced, then signed | `node/src/signer/record.rs`: `Durability::Synced` before the signature exists; `rules.rs` for what it refuses |
//! | `make_durable` before `Built`, `Validated`, `Fetched` | `node/src/driver/effects.rs`: `store_block` in `build`, `judge`, `fetch` |
//! | `write` of `Persist`, synced at the latest in `say` | `effects.rs`: `store_certificate` before any later effect |
//! | `commit`: one atomic step | `node/src/driver/commit.rs` and `Ledger::finalize` |
//! | `offer`: effects in order, then the answers at hand | `Driver::offer` |
//! | `recovered` | `node/src/node/open.rs`: `recovered` |
//! | `Process::listening` | `Driver::listen_first` |
//! | `take`, `Intake`: window, pause, certificates checked once, votes that wait in the node's own [`HeldVotes`](baton_consensus::HeldVotes) | `node/src/driver/intake.rs`, `window.rs`, `certified.rs` |
//! | `follow`, `arrive`, `tell_how_it_ended`: one epoch after another | what a driver must do at least at [`Effect::EpochEnded`](baton_consensus::Effect) |
//! | `check_record` | `DriverError::StaleSignRecord` |
//! | `fetched`, `range` | `Driver::fetch`, `node/src/sync/` |
//! | `Store::crash`: some prefix of a log survives | `node/src/ledger/engine.rs`: ordered log, a torn tail is dropped |
//!
//! Not here: bodies and transactions (a header stands for its block), execution, a record made smaller by `forget_below`,
//! damage in the middle of a log, and members that join or leave: a committee keeps its members, and their weights change.

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
mod intake;
mod network;
mod node;
mod plan;
mod random;
mod report;
mod scenario;
mod seeds;
mod timing;
mod trouble;

use crate::{
    cluster::Cluster,
    plan::{Craft, Flaw, Plan},
    report::Counts,
    scenario::Scenario,
    seeds::Failure,
};

/// Seeds within which every flaw must be found.
const FLAW_SEEDS: u64 = 30;

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
    let Counts { waited, stopped, handovers, again, latecomers, .. } = total;
    let faults = [blocks, torn_turns, lost_writes, blackouts, replays, convictions, ranges, forgeries];
    let mut happened = faults.into_iter().chain([waited, stopped, handovers, again, latecomers]);
    let idle: Vec<Craft> = Craft::ALL.into_iter().filter(|craft| total.acts[*craft as usize] == 0).collect();
    assert!(idle.is_empty(), "these liars never lied: {idle:?}");
    assert!(happened.all(|count| count > 0), "some kind of trouble never came: {total}");
}

/// The first seed that the checks find `flaw` with.
fn find(flaw: Flaw) -> Failure {
    for seed in 1..=FLAW_SEEDS {
        if let Err(failure) = Scenario::of(seed, Some(flaw)).run() {
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
fn a_message_that_overtakes_a_certificate_is_found() {
    let complaint = find(Flaw::OvertakesPersist).complaint;
    assert!(complaint.contains("sent a certificate that is not on its disk"), "{complaint}");
}

#[test]
fn a_vote_without_the_body_is_found() {
    let complaint = find(Flaw::VotesWithoutBody).complaint;
    assert!(complaint.contains("voted for a block that is not on its disk"), "{complaint}");
}

/// The check of agreement can fail: it does when the fault bound is broken, and then honest nodes hold what convicts a third
/// or more of the weight.
#[test]
fn liars_of_more_than_a_third_break_agreement_and_are_named_for_it() {
    let Counts { broken, pairs, .. } = seeds::run_all(1..LAWLESS_SEEDS + 1, &[Scenario::lawless]);
    println!("agreement is broken by {broken} of {LAWLESS_SEEDS} seeds, {pairs:?} pairs of certificates");
    assert!(broken > LAWLESS_SEEDS / 5, "only {broken} seeds broke agreement");
    assert!(pairs.iter().all(|count| *count > 0), "a kind of pair never came: {pairs:?}");
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
    assert!(after <= 6 && after < before, "{before} troubles become {after}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut cluster = Cluster::new(Scenario::of(seed, None));
        cluster.live();
        (cluster.counts.steps, cluster.trace.hash())
    };
    let first = run(5);
    assert_eq!(first, run(5));
    assert_ne!(first.1, run(6).1);
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
