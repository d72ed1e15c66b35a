//! Hops and messages, in virtual time: no figure here depends on the machine that runs it.

use std::sync::Arc;

use baton_consensus::{Input, Machine, Recovered, Remembered};
use baton_proto::MemberIndex;

use crate::{
    cluster::Cluster,
    common::{Insecure, World, finalize, notarize},
    plan::Plan,
    scenario::Scenario,
    seeds,
};

/// One way, in ms. The leader waits 1 ms from its entry on, so that hops are nearly all there is.
const DELAY_MS: u64 = 100;

/// Views of the memory test; `make simulate-memory` sets more.
const MEMORY_VIEWS: u64 = 10_000;
const VIEWS_VARIABLE: &str = "BATON_SIMULATE_VIEWS";

fn steady(members: usize, blocks: u64) -> Cluster {
    let mut cluster = Cluster::new(Scenario::quiet(1, Plan::steady(members, DELAY_MS)));
    cluster.run_until(|cluster| cluster.watch.height() == blocks);
    cluster
}

#[test]
fn two_hops_to_the_next_view_three_to_final_and_messages_linear_in_members() {
    let mut shares = Vec::new();
    for (members, blocks) in [(4, 100), (32, 20), (100, 4)] {
        let begun = steady(members, 1);
        let done = steady(members, 1 + blocks);
        let view_ms = (done.clock.now_ms() - begun.clock.now_ms()) / blocks;
        assert!(10 * view_ms <= 22 * DELAY_MS, "{members} members: {view_ms} ms a view");
        let slowest = *done.watch.latencies_ms().iter().max().unwrap();
        assert!(10 * slowest <= 32 * DELAY_MS, "{members} members: {slowest} ms from proposal to final");
        // What one member sends in a view to each other one, times 100.
        let each = (done.counts.messages - begun.counts.messages) * 100 / blocks;
        shares.push(each / (members * (members - 1)) as u64);
    }
    println!("messages x100 to each other member in a view: {shares:?}");
    assert!(shares.iter().all(|share| *share <= 450 && 10 * share <= 13 * shares[0]), "{shares:?}");
}

#[test]
fn one_dead_leader_of_ten_leaves_the_median_alone() {
    let median = |dead: bool| {
        let mut cluster = Cluster::new(Scenario::quiet(1, Plan::steady(10, DELAY_MS)));
        if dead {
            cluster.nodes[3].process = None;
        }
        let mut times = vec![0];
        for height in 1..=60 {
            cluster.run_until(|cluster| cluster.watch.height() >= height);
            times.push(cluster.clock.now_ms());
        }
        let mut gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        gaps.sort_unstable();
        let mut latencies = cluster.watch.latencies_ms().to_vec();
        latencies.sort_unstable();
        (gaps[gaps.len() / 2], latencies[latencies.len() / 2])
    };
    let (all, nine) = (median(false), median(true));
    assert!(
        nine.0 * 20 <= all.0 * 21 && nine.1 * 20 <= all.1 * 21,
        "median gap and latency {all:?}, one dead {nine:?}"
    );
}

/// Every vote of every member of every view: what is remembered stops growing once the window is full.
#[test]
fn memory_is_flat_however_many_views_pass() {
    let world = World::new(&[1, 1, 1, 1]);
    let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
    let recovered = Recovered::fresh(world.genesis.clone());
    let mut machine: Machine<Insecure> =
        Machine::with_scheme(world.config, committee, schedule, None, &world.genesis, recovered);
    let mut effects = Vec::new();
    machine.handle(Input::Started, &mut effects).unwrap();
    let mut parent = world.genesis.clone();
    let most = |a: Remembered, b: Remembered| Remembered {
        views: a.views.max(b.views),
        votes: a.votes.max(b.votes),
        blocks: a.blocks.max(b.blocks),
    };
    let memory_views = seeds::number(VIEWS_VARIABLE).unwrap_or(MEMORY_VIEWS);
    let nothing = Remembered { views: 0, votes: 0, blocks: 0 };
    let (mut early, mut late) = (nothing, nothing);
    for view in 1..=memory_views {
        let header = world.block(view, &parent, 0);
        let block = header.digest();
        let lead = world.sign(world.leader(view), notarize(view, block));
        let mut inputs = vec![
            Input::Proposal { header: header.clone(), notarize: lead.clone() },
            Input::Fetched { header: header.clone() },
        ];
        let members = (0..4).map(MemberIndex::new);
        let votes = members.clone().filter(|member| *member != lead.signer);
        inputs.extend(
            votes.map(|member| Input::Vote {
                vote: world.sign(member, notarize(view, block)),
                leader: Some(lead.clone()),
            }),
        );
        inputs.extend(
            members.map(|member| Input::Vote { vote: world.sign(member, finalize(view, block)), leader: None }),
        );
        for input in inputs {
            effects.clear();
            machine.handle(input, &mut effects).unwrap();
        }
        assert_eq!(machine.head().digest(), block, "view {view} is not final");
        if view % 97 == 0 {
            let half = if view <= memory_views / 2 { &mut early } else { &mut late };
            *half = most(*half, machine.remembered());
        }
        parent = header;
    }
    println!("{memory_views} views: at most {early:?} in the first half, {late:?} in the second");
    assert!(early.views > 0 && late == early, "{early:?} at most in the first half, {late:?} in the second");
}
