//! The run: one event after the other, troubles among them, then everything heals and progress is demanded.

use std::rc::Rc;

use baton_consensus::{Config, Input, Timer};
use baton_proto::BlockHeader;

use crate::{
    actors::Lore,
    checks::{TIMER_MS_MAX, Watch},
    clock::{Clock, Event},
    common::World,
    epochs::{self, Turn},
    intake::Checked,
    network::Network,
    node::Node,
    plan::Plan,
    random::Random,
    report::{Counts, Trace},
    scenario::Scenario,
    trouble::Trouble,
};

/// Longest way of a message once everything has healed: well below Δ.
const HEALED_DELAY_MS: u64 = 20;

/// Blocks that must become final after healing, at every honest node, on top of the highest final one.
const BLOCKS_DEMANDED: u64 = 10;

/// Views of an honest leader after an honest leader that may pass after healing without a block.
///
/// 2: the one that everybody is in, and the next, whose timers may run since before the healing. 8: turns of members
/// that were away, skipped for their silence (`SKIPS_MAX` between two finalizations). 8: while a node catches up, up to
/// 20,000 ms of blocks in ranges of 32, each a round trip of 40 ms at most, and views take 50 ms at least; with less than
/// a quorum of the others beside it nothing is final without it. 2: the last block is final two views after its own.
const VIEWS_LOST_MAX: u64 = 2 + 8 + 8 + 2;

/// The same for each epoch that somebody still has to leave: the handover block proposed again, first views of the next epoch
/// whose proposal came before some were there to hear it, and a latecomer that asks, is told how the epoch ended, and fetches
/// its blocks, while the others go on.
const HANDOVER_VIEWS_MAX: u64 = 10;

/// Views of the longest kind for which time is given.
const VIEWS_IN_TIME: u64 = 200;

/// Steps between two looks at how long healing takes.
const STEPS_BETWEEN_LOOKS: u64 = 32;

/// Latest sight of an L1 block.
const L1_LAG_MS_MAX: u64 = 1_000;

/// How often a proposal that waits for L1 is judged again.
const JUDGE_AGAIN_MS: u64 = 50;

/// A cluster and the world around it.
pub(crate) struct Cluster {
    /// The world of the first epoch, and those of all that follow, from the first on.
    pub(crate) world: Rc<World>,
    pub(crate) worlds: Vec<Rc<World>>,
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) network: Network,
    troubles: Vec<(u64, Trouble)>,
    /// How long each node's clock takes for 100 ms.
    pub(crate) drift_percent: Vec<u64>,
    /// How late each node sees L1, and when L1 stops.
    pub(crate) l1_lag_ms: Vec<u64>,
    pub(crate) l1_end_ms: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) lore: Lore,
    pub(crate) healed: bool,
    pub(crate) watch: Watch,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
}

impl Cluster {
    pub(crate) fn new(scenario: Scenario) -> Self {
        let Scenario { seed, plan, troubles } = scenario;
        let mut worlds = epochs::worlds(&plan);
        if plan.steady {
            let mut world = World::new(&plan.weights);
            world.config = Config { delta_ms: 4 * plan.delay_ms, min_block_ms: 1, ..world.config };
            worlds = vec![Rc::new(world)];
        }
        let nodes = plan.nodes();
        // Apart from what decided the world, so that leaving out a trouble changes nothing else at first.
        let mut random = Random::new(!seed);
        let drift = plan.drift_percent_max;
        let mut cluster = Self {
            drift_percent: (0..nodes).map(|_| 100 - drift + random.below(2 * drift + 1)).collect(),
            l1_lag_ms: (0..nodes).map(|_| random.below(L1_LAG_MS_MAX)).collect(),
            l1_end_ms: u64::MAX,
            watch: Watch::new(&worlds, &plan),
            world: Rc::clone(&worlds[0]),
            worlds,
            clock: Clock::default(),
            random,
            network: Network::new(nodes, plan.delay_ms, plan.twice_percent, plan.steady),
            troubles,
            nodes: (0..nodes).map(|_| Node::default()).collect(),
            lore: Lore::default(),
            healed: false,
            trace: Trace::new(!plan.steady),
            counts: Counts::default(),
            plan,
        };
        for at in 0..nodes {
            cluster.start(at);
        }
        cluster
    }

    /// The whole of a run. Panics at the first thing that must not be.
    pub(crate) fn live(&mut self) {
        self.begin();
        let end = self.plan.faults_ms;
        self.run_until(|cluster| cluster.clock.now_ms() >= end);
        self.counts.blocks = self.watch.height();
        self.heal();
        self.demand_progress();
        self.agree();
        self.counts.convictions = self.watch.convictions();
    }

    pub(crate) fn begin(&mut self) {
        for (at_ms, trouble) in std::mem::take(&mut self.troubles) {
            self.clock.after(at_ms, Event::Trouble(trouble));
        }
        self.clock.after(self.plan.faults_ms, Event::FaultsEnd);
    }

    pub(crate) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            self.step();
        }
    }

    /// The next event, whatever it is.
    fn step(&mut self) {
        let event = self.clock.next().expect("timers keep every node awake");
        self.counts.steps += 1;
        let Some((at, life)) = event.process() else { return self.happen(event) };
        let node = &self.nodes[at];
        if node.process.as_ref().is_some_and(|process| process.life == life) {
            self.happen(event);
        } else if node.past.as_ref().is_some_and(|past| past.life == life) {
            self.in_the_past(at, |cluster| cluster.happen(event));
        }
        // Otherwise it was meant for a process that is gone.
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive { from, to, packet } => self.arrive(to, from, &packet),
            Event::Connected { at, peer } => {
                self.connected(at, peer);
                if self.nodes[at].past.is_some() {
                    self.in_the_past(at, |cluster| cluster.connected(at, peer));
                }
            }
            Event::Timer { at, timer, set, .. } => {
                let process = self.nodes[at].process.as_mut().expect("it is alive");
                if process.timers.get(&timer) == Some(&set) {
                    process.timers.remove(&timer);
                    let _ = self.offer(at, Input::TimerFired(timer));
                    if matches!(timer, Timer::Retry(_)) && self.is_epoch_due(at) {
                        self.ask_how_it_ended(at);
                    }
                }
            }
            Event::TurnEnd { at, set, .. } => self.turn_is_over(at, set),
            Event::Answer { at, input, .. } => {
                let _ = self.offer(at, *input);
            }
            Event::Judge { at, life, block } => {
                let process = self.nodes[at].process.as_mut().expect("it is alive");
                let current = process.machine.view();
                let waiting = process.waiting.get(&block).filter(|(header, _)| header.view >= current);
                let Some((header, parent)) = waiting.cloned() else {
                    process.waiting.remove(&block);
                    return;
                };
                if self.has_to_wait(at, &header, &parent) {
                    self.clock.after(JUDGE_AGAIN_MS, Event::Judge { at, life, block });
                    return;
                }
                self.nodes[at].process.as_mut().expect("it is alive").waiting.remove(&block);
                if let Some(answer) = self.judge(at, &header) {
                    let _ = self.offer(at, answer);
                }
            }
            Event::Fetched { at, block, first, .. } => self.fetched(at, block, first),
            Event::Range { at, .. } => self.range(at),
            Event::EpochEnd { at, .. } => self.hear_how_it_ended(at),
            Event::Look { at, .. } => self.look(at),
            Event::Work { at, .. } => {
                let _ = self.offer(at, Input::WorkArrived);
            }
            Event::Hear { at, .. } => self.hear_out(at),
            Event::Restart { at, life } => {
                let node = &self.nodes[at];
                // Whoever saw safety broken waits for its operator; liars do not.
                let is_halted = self.plan.craft(at).is_none() && !node.contradictions.is_empty();
                if node.process.is_none() && node.life == life && !node.stopped && !is_halted {
                    self.start(at);
                }
            }
            Event::Trouble(trouble) => self.trouble(&trouble),
            Event::FaultsEnd => {}
        }
    }

    fn connected(&mut self, at: usize, peer: usize) {
        let epoch = self.nodes[at].process.as_ref().map(|process| process.epoch);
        if let Some(member) = epoch.and_then(|epoch| self.seat(peer, epoch)) {
            self.hear(at, Checked::Connected(member));
        }
    }

    pub(crate) fn mend(&mut self) {
        for (a, b) in self.network.mend() {
            if a < b {
                self.connect(a, b);
            }
        }
    }

    /// From here on nothing fails any more, but liars may go on.
    fn heal(&mut self) {
        self.trace.note(self.clock.now_ms(), 0, format_args!("everything heals"));
        self.healed = true;
        self.network.loss_percent = 0;
        self.network.delay_ms = HEALED_DELAY_MS;
        self.plan.slow_percent = 0;
        self.l1_end_ms = self.clock.now_ms();
        self.mend();
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if let Some(past) = &mut node.past {
                (past.fuse, past.end_fuse) = (None, None);
            }
            match &mut node.process {
                Some(process) => (process.fuse, process.end_fuse) = (None, None),
                None if node.stopped => {}
                None => self.start(at),
            }
        }
    }

    fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().enumerate().filter(|(at, _)| self.plan.craft(*at).is_none()).map(|(_, node)| node)
    }

    fn lowest_height(&self) -> u64 {
        self.honest().map(|node| node.ledger.live().height()).min().unwrap_or_default()
    }

    /// Every honest node makes blocks final again before too many good views have passed: views in which an honest member
    /// leads after an honest member. What liars do in their own turns, and to the one after, does not count.
    fn demand_progress(&mut self) {
        let from = self.watch.top_turn();
        let ended = self.counts.handovers;
        let target = self.watch.height() + BLOCKS_DEMANDED;
        // No view is longer than an idle leader and the longest timer, and some hops.
        let longest_ms = self.world.config.idle_block_ms + TIMER_MS_MAX + 10 * HEALED_DELAY_MS;
        let end_ms = self.clock.now_ms() + VIEWS_IN_TIME * longest_ms;
        // L1 stands still, so the last epoch is the one that it is in now.
        let genesis = self.world.genesis.clone();
        let epoch_of = |header: &BlockHeader| self.world.config.epochs.of(header.origin.number);
        let first = self.honest().map(|node| epoch_of(node.ledger.live().chain().last().unwrap_or(&genesis))).min();
        let epochs = self.world.config.epochs.of(self.l1_now()).get() - first.unwrap_or_default().get();
        let allowed = BLOCKS_DEMANDED + VIEWS_LOST_MAX + HANDOVER_VIEWS_MAX * epochs;
        while self.lowest_height() < target {
            for _ in 0..STEPS_BETWEEN_LOOKS {
                self.step();
            }
            let (good, _) = self.views_since(from);
            let late = good > allowed || self.clock.now_ms() > end_ms;
            assert!(
                self.lowest_height() >= target || !late,
                "no progress: {from:?} when healed, {:?} now, {good} good views, {allowed} allowed; height {target} wanted, {:?} reached",
                self.watch.top_turn(),
                self.honest().map(|node| node.ledger.live().height()).collect::<Vec<_>>()
            );
        }
        let (good, all) = self.views_since(from);
        self.counts.good_views_max = good;
        self.counts.views_to_heal_max = all;
        self.counts.handovers_healed = self.counts.handovers - ended;
    }

    /// Returns how many views have begun since: those in which an honest member leads after an honest member, and all.
    fn views_since(&self, from: Turn) -> (u64, u64) {
        let mut counts = (0, 0);
        for (epoch, top) in self.watch.tops().range(from.0..) {
            let world = self.world_of(*epoch);
            let leader = |view| epochs::sequencer(world, world.leader(view));
            let is_honest = |view| !self.plan.liars.contains_key(&leader(view));
            let first = if *epoch == from.0 { from.1.get() + 1 } else { 1 };
            counts.1 += (top.get() + 1).saturating_sub(first);
            counts.0 += (first..=top.get()).filter(|view| is_honest(*view) && is_honest(*view - 1)).count() as u64;
        }
        counts
    }

    /// Agreement once more, the long way: every pair of final chains, block by block.
    fn agree(&self) {
        let chains: Vec<_> = self.honest().map(|node| node.ledger.platter().chain()).collect();
        for (index, one) in chains.iter().enumerate() {
            for other in &chains[..index] {
                assert!(one.iter().zip(*other).all(|(a, b)| a == b), "two nodes ended with different final chains");
            }
        }
    }
}
