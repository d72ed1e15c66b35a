//! What goes wrong in a run, and when: all of it is drawn from the seed before anything happens, so that each can be left
//! out when a failure is made small.

use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::{
    clock::Event,
    cluster::Cluster,
    network::Kind,
    plan::{Craft, Plan},
    random::Random,
};

/// Longest time after which most disturbances of links are over.
const BRIEF_MS_MAX: u64 = 1_500;

/// Shortest and longest sleep: the shortest epochs end many times meanwhile.
const SLEEP_MS_MIN: u64 = 3_000;
const SLEEP_MS_MAX: u64 = 15_000;

/// Messages that one burst brings back from the past.
const BURST: usize = 30;

/// Something goes wrong, or better for a while. Nodes are named by their index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Trouble {
    Crash(usize),
    /// A node dies after so many more effects and writes.
    Fuse {
        at: usize,
        effects: u64,
    },
    /// A node dies at the end of a turn, that many turns with something to sync from now, after so many syncs and messages.
    EndFuse {
        at: usize,
        turns: u64,
        steps: u64,
    },
    /// A node dies and comes back much later.
    Sleep {
        at: usize,
        for_ms: u64,
    },
    /// A node loses its disk, and starts anew.
    LoseDisk(usize),
    /// Every node dies.
    Blackout,
    /// Only nodes of the same side hear each other.
    Split(Vec<u64>),
    /// These links, from and to, carry nothing.
    Cut(Vec<(usize, usize)>),
    /// These links carry nothing, and all others do.
    Divide(Vec<(usize, usize)>),
    /// All messages of a kind get lost, by its index in `Kind::ALL`.
    Swallow(usize),
    /// What these say of finality reaches only one another: they alone know when an epoch ends.
    Whisper(Vec<usize>),
    /// All links are open again.
    Mend,
    LossPercent(u64),
    DelayMs(u64),
    /// Old messages arrive once more.
    Burst,
}

impl Trouble {
    /// Everything that goes wrong in a run, with its time in ms.
    pub(crate) fn all(plan: &Plan, random: &mut Random) -> Vec<(u64, Self)> {
        let mut troubles = Vec::new();
        let mut at_ms = 0;
        troubles.extend(plan.loses_disk.map(|at| (random.below(plan.faults_ms), Self::LoseDisk(at))));
        if plan.lawless {
            troubles.push((0, Self::divide(plan, random)));
            at_ms = 1;
        }
        while at_ms < plan.faults_ms {
            let trouble = Self::draw(plan, random);
            // Most of what stands between nodes is soon gone, so that they have something to lose again.
            if trouble.is_about_links() && random.chance(70) {
                troubles.push((at_ms + 1 + random.below(BRIEF_MS_MAX), Self::Mend));
            }
            troubles.push((at_ms, trouble));
            at_ms += 1 + random.below(2 * plan.calm_ms);
        }
        troubles
    }

    const fn is_about_links(&self) -> bool {
        matches!(self, Self::Split(_) | Self::Cut(_) | Self::Swallow(_) | Self::Whisper(_))
    }

    fn draw(plan: &Plan, random: &mut Random) -> Self {
        let nodes = plan.nodes();
        let at = random.index(nodes);
        match random.below(20) {
            // What liars of so much weight wait for; it takes them some views to use it.
            6..=14 if plan.lawless => Self::divide(plan, random),
            0 => Self::Crash(at),
            1 | 2 => Self::Fuse { at, effects: random.below(60) },
            3 | 4 => Self::EndFuse { at, turns: random.below(8), steps: random.below(5) },
            5 if random.chance(30) => Self::Blackout,
            6 => Self::Split((0..nodes).map(|_| random.below(2)).collect()),
            7 => Self::Cut((0..=random.index(nodes)).map(|_| (random.index(nodes), random.index(nodes))).collect()),
            // Deaf, or dumb.
            8 if random.chance(50) => Self::Cut((0..nodes).map(|other| (other, at)).collect()),
            8 => Self::Cut((0..nodes).map(|other| (at, other)).collect()),
            9 => Self::Swallow(random.index(Kind::ALL.len())),
            10..=14 => Self::Mend,
            15 => Self::LossPercent(random.below(plan.loss_percent_max)),
            16 => Self::DelayMs(random.pick(&[10, plan.delay_ms, 400])),
            17 => Self::Sleep { at, for_ms: SLEEP_MS_MIN + random.below(SLEEP_MS_MAX - SLEEP_MS_MIN) },
            18 => Self::Whisper((0..nodes).filter(|_| random.chance(50)).collect()),
            _ => Self::Burst,
        }
    }

    /// Honest nodes of two sides do not hear each other; liars hear and reach everybody, but of twins one is on each side.
    fn divide(plan: &Plan, random: &mut Random) -> Self {
        let nodes = plan.nodes();
        let mut side: Vec<u64> = (0..plan.weights.len()).map(|_| random.below(2)).collect();
        for second in plan.weights.len()..nodes {
            side.push(1 - side[plan.owner(second)]);
        }
        let sided = |at: &usize| matches!(plan.craft(*at), None | Some(Craft::Twin));
        let pairs = (0..nodes).filter(sided).flat_map(|from| (0..nodes).filter(sided).map(move |to| (from, to)));
        Self::Divide(pairs.filter(|(from, to)| side[*from] != side[*to]).collect())
    }
}

impl Cluster {
    pub(crate) fn trouble(&mut self, trouble: &Trouble) {
        if self.healed {
            return;
        }
        self.trace.note(self.clock.now_ms(), 0, format_args!("trouble: {trouble:?}"));
        match trouble {
            Trouble::Crash(at) => self.crash(*at),
            Trouble::Fuse { at, effects } => {
                if let Some(process) = &mut self.nodes[*at].process {
                    process.fuse = Some(*effects);
                }
            }
            Trouble::EndFuse { at, turns, steps } => {
                if let Some(process) = &mut self.nodes[*at].process {
                    process.end_fuse = Some((*turns, *steps));
                }
            }
            Trouble::Sleep { at, for_ms } => {
                if self.kill(*at) {
                    self.come_back(*at, *for_ms);
                }
            }
            Trouble::LoseDisk(at) => self.lose(*at),
            Trouble::Blackout => (0..self.nodes.len()).for_each(|at| self.crash(at)),
            Trouble::Split(side) => self.network.split(side),
            Trouble::Cut(links) => links.iter().for_each(|(from, to)| self.network.cut(*from, *to)),
            Trouble::Divide(links) => {
                self.mend();
                links.iter().for_each(|(from, to)| self.network.cut(*from, *to));
            }
            Trouble::Swallow(kind) => self.network.swallowed.push(Kind::ALL[*kind]),
            Trouble::Whisper(nodes) => self.network.whisperers.clone_from(nodes),
            Trouble::Mend => self.mend(),
            Trouble::LossPercent(percent) => self.network.loss_percent = *percent,
            Trouble::DelayMs(delay_ms) => self.network.delay_ms = *delay_ms,
            Trouble::Burst => self.burst(),
        }
    }

    fn burst(&mut self) {
        for _ in 0..BURST {
            if let Some((from, to, packet)) = self.network.old_message(&mut self.random) {
                let delay = self.network.delay(&mut self.random);
                self.counts.replays += 1;
                self.clock.after(delay, Event::Arrive { from, to, packet: Rc::clone(&packet) });
            }
        }
    }
}
