//! Hops, messages and checks, in virtual time: no figure here depends on the machine that runs it. Each test asserts
//! its bounds, and prints its figures as rows for `make bench`.

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

/// A row of the table of `make bench` (`tests/src/bench/simulated.rs`).
fn row(what: &str, figure: &str, beside: &str) {
    println!("bench row: {what} | {figure} | {beside}");
}

fn joined(figures: impl IntoIterator<Item = f64>) -> String {
    figures.into_iter().map(|figure| format!("{figure:.2}")).collect::<Vec<_>>().join(" / ")
}

fn steady(members: usize, blocks: u64) -> Cluster {
    let mut cluster = Cluster::new(Scenario::quiet(1, Plan::steady(members, DELAY_MS)));
    cluster.run_until(|cluster| cluster.watch.height() == blocks);
    cluster
}

#[test]
fn two_hops_to_the_next_view_three_to_final_and_messages_linear_in_members() {
    let (mut views, mut finals) = (Vec::new(), Vec::new());
    let (mut sent, mut checked) = (Vec::new(), Vec::new());
    for (members, blocks) in [(4, 100), (32, 20), (100, 4)] {
        let begun = steady(members, 1);
        let done = steady(members, 1 + blocks);
        let view_ms = (done.clock.now_ms() - begun.clock.now_ms()) / blocks;
        assert!(10 * view_ms <= 22 * DELAY_MS, "{members} members: {view_ms} ms a view");
        views.push(view_ms as f64 / DELAY_MS as f64);
        let slowest = *done.watch.latencies_ms().iter().max().unwrap();
        assert!(10 * slowest <= 32 * DELAY_MS, "{members} members: {slowest} ms from proposal to final");
        finals.push(slowest as f64 / DELAY_MS as f64);
        // In one view, of one member: messages to each other one, and checks for each member.
        let of_one = |count: u64| count as f64 / (blocks as f64 * members as f64);
        sent.push(of_one(done.counts.messages - begun.counts.messages) / (members - 1) as f64);
        checked.push(of_one(done.counts.checked - begun.counts.checked) / members as f64);
    }
    let members = "simulated, 4 / 32 / 100 members";
    row(&format!("{members}: one view, in one-way delays"), &joined(views), "at most 2.2");
    row(
        &format!("{members}: proposal to final at the slowest member, in one-way delays"),
        &joined(finals),
        "at most 3.2",
    );
    let (to_each, for_each) = (joined(sent.iter().copied()), joined(checked.iter().copied()));
    row(
        &format!("{members}: messages of a view from one member to another"),
        &to_each,
        "at most 4.5, so linear in members",
    );
    row(
        &format!("{members}: signatures a member checks in a view, by members"),
        &for_each,
        "at most 2.5, so linear in members",
    );
    assert!(sent.iter().all(|share| *share <= 4.5 && *share <= 1.3 * sent[0]), "{sent:?}");
    assert!(checked.iter().all(|share| *share <= 2.5 && *share <= 1.3 * checked[0]), "{checked:?}");
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
    let ratios = [(nine.0, all.0), (nine.1, all.1)].map(|(nine, all)| nine as f64 / all as f64);
    let what = "simulated, one dead leader of ten: median of block to block / proposal to final, over that of ten";
    row(what, &joined(ratios), "at most 1.05");
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
    let lost = format!("{climbing} / {slow}");
    row("simulated, one-way delay of 4Δ: views lost until it is known / in the next 100", &lost, "at most 16 / 0");
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
    let cost = joined([slow_ms, quick_ms].map(|ms| ms as f64 / DELTA_MS as f64));
    row("simulated, a dead leader at a delay of 4Δ / Δ/4, in Δ", &cost, "waits fall with the delay");
    assert!(falling <= 2, "{falling} views lost while the delay fell");
    assert!(deltas(&cluster).iter().all(|delta| *delta <= DELTA_MS), "{:?}", deltas(&cluster));
    assert!(slow_ms > 3 * 4 * DELTA_MS && quick_ms < 3 * DELTA_MS + 6 * NEAR_MS, "{slow_ms} ms, then {quick_ms} ms");
}

/// A slow network does not get quicker with the committee, so what is known of its delay stays known.
#[test]
fn an_epoch_goes_on_from_the_delay_of_the_one_before() {
    let plan = Plan { weights: vec![1; 4], epoch_ms: 30_000, faults_ms: 60_000, ..Plan::calm() };
    let mut cluster = Cluster::new(Scenario::quiet(1, plan));
    let configured_ms = cluster.world.config.delta_ms;
    cluster.network.delay_ms = 4 * configured_ms;
    let of_nodes = |cluster: &Cluster| {
        let processes = cluster.nodes.iter().filter_map(|node| node.process.as_ref());
        processes.map(|process| (process.epoch, process.machine.delta_ms())).collect::<Vec<_>>()
    };
    let (first, _) = of_nodes(&cluster)[0];
    blocks(&mut cluster, 8);
    cluster.run_until(|cluster| of_nodes(cluster).iter().any(|(epoch, _)| *epoch > first));
    let all = of_nodes(&cluster);
    assert!(all.iter().any(|(epoch, _)| *epoch == first), "no round in the new epoch could be seen yet: {all:?}");
    assert!(all.iter().all(|(_, delta_ms)| *delta_ms >= 2 * configured_ms), "{all:?}");
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
    let shown =
        |Kept([views, votes, waiting_views, waiting]): &Kept| format!("{views}, {votes}, {waiting_views}, {waiting}");
    let (what, figure) = ("views, votes, and those that wait", format!("{} / {}", shown(&early), shown(&late)));
    row(&format!("simulated, {memory_views} views, a fifth nullified: {what}, first / second half"), &figure, "flat");
    assert!(
        early.0.iter().all(|kept| *kept > 0) && late == early,
        "{early:?} at most in the first half, {late:?} later"
    );
}
