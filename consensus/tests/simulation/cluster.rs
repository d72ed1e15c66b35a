//! The run: one event after the other, troubles among them, then everything heals and progress is demanded.

use baton_consensus::{Config, Input};
use baton_proto::View;

use crate::{
    actors::Lore,
    checks::{TIMER_MS_MAX, Watch},
    clock::{Clock, Event},
    common::World,
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

/// A cluster and the world around it.
pub(crate) struct Cluster {
    pub(crate) world: World,
    pub(crate) plan: Plan,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) network: Network,
    troubles: Vec<(u64, Trouble)>,
    /// How long each node's clock takes for 100 ms.
    pub(crate) drift_percent: Vec<u64>,
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
        let mut world = World::new(&plan.weights);
        if plan.steady {
            world.config = Config { delta_ms: 4 * plan.delay_ms, min_block_ms: 1, ..world.config };
        }
        let nodes = plan.nodes();
        // Apart from what decided the world, so that leaving out a trouble changes nothing else at first.
        let mut random = Random::new(!seed);
        let drift = plan.drift_percent_max;
        let mut cluster = Self {
            drift_percent: (0..nodes).map(|_| 100 - drift + random.below(2 * drift + 1)).collect(),
            watch: Watch::new(&world, |member| !plan.liars.contains_key(&member), plan.lawless),
            world,
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
        match event {
            Event::Arrive { from, to, packet } => self.take(to, from, &packet),
            Event::Connected { at, peer } => self.hear(at, Checked::Connected(self.plan.member(peer))),
            Event::Timer { at, life, timer, set } if self.is_alive(at, life) => {
                let process = self.nodes[at].process.as_mut().expect("it is alive");
                if process.timers.get(&timer) == Some(&set) {
                    process.timers.remove(&timer);
                    let _ = self.offer(at, Input::TimerFired(timer));
                }
            }
            Event::Answer { at, life, input } if self.is_alive(at, life) => {
                if self.make_durable(at, &input) {
                    let _ = self.offer(at, *input);
                }
            }
            Event::Judge { at, life, block } if self.is_alive(at, life) => {
                let process = self.nodes[at].process.as_mut().expect("it is alive");
                let current = process.machine.view();
                if let Some(header) = process.waiting.remove(&block).filter(|header| header.view >= current)
                    && let Some(answer) = self.judge(at, &header)
                    && self.make_durable(at, &answer)
                {
                    let _ = self.offer(at, answer);
                }
            }
            Event::Fetched { at, life, block, first } if self.is_alive(at, life) => self.fetched(at, block, first),
            Event::Range { at, life } if self.is_alive(at, life) => self.range(at),
            Event::Work { at, life } if self.is_alive(at, life) => {
                let _ = self.offer(at, Input::WorkArrived);
            }
            Event::Started { at, life } if self.is_alive(at, life) => self.started(at),
            Event::Restart { at, life } => {
                if self.nodes[at].process.is_none() && self.nodes[at].life == life && !self.nodes[at].stopped {
                    self.start(at);
                }
            }
            Event::Trouble(trouble) => self.trouble(&trouble),
            Event::FaultsEnd => {}
            // Meant for a process that is gone.
            Event::Timer { .. }
            | Event::Answer { .. }
            | Event::Judge { .. }
            | Event::Fetched { .. }
            | Event::Range { .. }
            | Event::Work { .. }
            | Event::Started { .. } => {}
        }
    }

    fn is_alive(&self, at: usize, life: u64) -> bool {
        self.nodes[at].process.is_some() && self.nodes[at].life == life
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
        self.mend();
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            match &mut node.process {
                Some(process) => process.fuse = None,
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
        let (schedule, liars) = (self.world.schedule.clone(), self.plan.liars.clone());
        let is_honest = |view| !liars.contains_key(&schedule.leader(View::new(view)).as_usize());
        let is_good = |view: &u64| is_honest(*view) && is_honest(*view - 1);
        let from = self.watch.top_view().get();
        let wanted = usize::try_from(BLOCKS_DEMANDED + VIEWS_LOST_MAX).unwrap();
        let last = (from + 1..).filter(is_good).nth(wanted).expect("honest members lead most views");
        let target = self.watch.height() + BLOCKS_DEMANDED;
        // No view is longer than an idle leader and the longest timer, and some hops.
        let longest_ms = self.world.config.idle_block_ms + TIMER_MS_MAX + 10 * HEALED_DELAY_MS;
        let end_ms = self.clock.now_ms() + (last - from + 1) * longest_ms;
        self.run_until(|cluster| {
            let late = cluster.watch.top_view() > View::new(last) || cluster.clock.now_ms() > end_ms;
            cluster.lowest_height() >= target || late
        });
        let (height, view) = (self.lowest_height(), self.watch.top_view());
        assert!(
            height >= target,
            "no progress: view {from} when healed, view {view} now, {last} allowed; height {target} wanted, {:?} reached",
            self.honest().map(|node| node.ledger.live().height()).collect::<Vec<_>>()
        );
        self.counts.views_to_heal_max = view.get() - from;
        self.counts.good_views_max = (from + 1..=view.get()).filter(is_good).count() as u64;
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
