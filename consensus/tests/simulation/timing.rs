//! Hops and messages, in virtual time: no figure here depends on the machine that runs it.

use crate::{
    cluster::Cluster,
    member::{Kept, Member},
    node::Node,
    plan::Plan,
    scenario::Scenario,
    seeds,
};

/// One way, in ms. The leader waits 1 ms from its entry on, so that hops are nearly all there is.
const DELAY_MS: u64 = 100;

/// Views of the memory test; `make simulate-memory` sets more.
const MEMORY_VIEWS: u64 = 10_000;
const VIEWS_VARIABLE: &str = "BATON_SIMULATE_VIEWS";

/// One view in so many is nullified there.
const NULLIFIED_EVERY: u64 = 5;

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

/// Views that left no block on the final chain. Two are always under way.
fn lost(cluster: &Cluster) -> u64 {
    cluster.watch.top_turn().1.get() - cluster.watch.height()
}

/// Runs until so many more blocks are final, and returns how many views were lost meanwhile and the longest time between two
/// final blocks.
fn blocks(cluster: &mut Cluster, blocks: u64) -> (u64, u64) {
    let (from, before) = (cluster.watch.height(), lost(cluster));
    let mut longest_ms = 0;
    let mut last_ms = cluster.clock.now_ms();
    for height in from + 1..=from + blocks {
        cluster.run_until(|cluster| cluster.watch.height() >= height);
        longest_ms = longest_ms.max(cluster.clock.now_ms() - last_ms);
        last_ms = cluster.clock.now_ms();
    }
    (lost(cluster).saturating_sub(before), longest_ms)
}

/// Δ is 100 ms. For a while messages take 400 ms, then 25 ms again.
#[test]
fn timeouts_follow_the_delay_of_the_network_both_ways() {
    const NEAR_MS: u64 = 25;
    const DELTA_MS: u64 = 4 * NEAR_MS;
    let mut cluster = Cluster::new(Scenario::quiet(1, Plan::steady(10, NEAR_MS)));
    let deltas = |cluster: &Cluster| {
        let of_node = |node: &Node| node.process.as_ref().map(|process| process.machine.delta_ms());
        cluster.nodes.iter().filter_map(of_node).collect::<Vec<u64>>()
    };
    blocks(&mut cluster, 100);
    assert!(deltas(&cluster).iter().all(|delta| *delta <= DELTA_MS * 6 / 10), "{:?}", deltas(&cluster));

    cluster.network.delay_ms = 4 * DELTA_MS;
    let (climbing, _) = blocks(&mut cluster, 4);
    let (slow, _) = blocks(&mut cluster, 100);
    println!("{climbing} views lost until the delay was known, {slow} in 100 afterwards; Δ {:?}", deltas(&cluster));
    assert!((1..=16).contains(&climbing) && slow == 0, "{climbing} views lost at first, {slow} later");
    assert!(
        deltas(&cluster).iter().all(|delta| (4 * DELTA_MS..=8 * DELTA_MS).contains(delta)),
        "{:?}",
        deltas(&cluster)
    );

    // A leader dies while everything is slow, and again when it is quick once more.
    cluster.nodes[3].process = None;
    let (_, slow_ms) = blocks(&mut cluster, 12);
    cluster.start(3);
    cluster.network.delay_ms = NEAR_MS;
    let (falling, _) = blocks(&mut cluster, 64);
    cluster.nodes[3].process = None;
    let (_, quick_ms) = blocks(&mut cluster, 12);
    println!(
        "{falling} views lost while Δ fell to {:?}; a dead leader costs {slow_ms} ms, then {quick_ms} ms",
        deltas(&cluster)
    );
    assert!(falling <= 2, "{falling} views lost while the delay fell");
    assert!(deltas(&cluster).iter().all(|delta| *delta <= DELTA_MS), "{:?}", deltas(&cluster));
    assert!(slow_ms > 3 * 4 * DELTA_MS && quick_ms < 3 * DELTA_MS + 6 * NEAR_MS, "{slow_ms} ms, then {quick_ms} ms");
}

/// A member and the votes that wait beside it: what they remember stops growing once their windows are full.
#[test]
fn memory_is_flat_however_many_views_pass() {
    let memory_views = seeds::number(VIEWS_VARIABLE).unwrap_or(MEMORY_VIEWS);
    let mut member = Member::new();
    let (mut early, mut late) = (Kept::default(), Kept::default());
    for view in 1..=memory_views {
        if view.is_multiple_of(NULLIFIED_EVERY) {
            member.nullify(view);
        } else {
            member.finalize(view);
        }
        if view.is_multiple_of(97) {
            let half = if view <= memory_views / 2 { &mut early } else { &mut late };
            *half = half.most(&member.kept());
        }
    }
    println!("{memory_views} views: at most {early:?} in the first half, {late:?} in the second");
    assert!(early.0.iter().all(|kept| *kept > 0) && late == early, "{early:?} at most in the first half, {late:?} later");
}
