//! A node: a disk that outlives crashes, and a process that does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use baton_consensus::{HeardOut, Input, Machine, Timer, Verified};
use baton_proto::{BlockDigest, BlockHeader, Certificate, Epoch, MemberIndex};

use crate::{
    clock::Event,
    cluster::Cluster,
    common::Insecure,
    disk::{Ledger, Record, Store, recovered},
    hearing::Hearing,
    intake::Intake,
    listening::Listening,
    plan::{Craft, Flaw},
    turn::Turn,
};

/// One member's machine room.
#[derive(Default)]
pub(crate) struct Node {
    /// Counts processes: what was meant for one of them never reaches another.
    pub(crate) life: u64,
    pub(crate) record: Store<Record>,
    pub(crate) ledger: Store<Ledger>,
    pub(crate) process: Option<Process>,
    /// What is left of the process in the epoch before.
    pub(crate) past: Option<Box<Process>>,
    /// The copy of its sign record that an outdated member restores.
    pub(crate) backup: Option<Record>,
    /// Certificates that broke its trust in the chain; it says nothing any more.
    pub(crate) contradictions: Vec<Verified<Certificate>>,
    /// It found that its record is not all that its key said, and never starts again.
    pub(crate) stopped: bool,
}

/// What a crash takes along.
pub(crate) struct Process {
    pub(crate) life: u64,
    pub(crate) epoch: Epoch,
    /// The epoch has ended, and the next machine is due.
    pub(crate) follow: Option<Epoch>,
    pub(crate) machine: Machine<Insecure>,
    pub(crate) turn: Turn,
    /// Blocks that were on the disk when it started.
    pub(crate) stored: usize,
    /// After a start, until a quorum was heard out: nothing is signed.
    pub(crate) hearing: Option<Hearing>,
    /// How far members of the epoch say that they are.
    pub(crate) heard: HeardOut,
    pub(crate) listens_first: bool,
    pub(crate) intake: Intake,
    /// Members that evidence was found against.
    pub(crate) reported: BTreeSet<MemberIndex>,
    /// Bodies in memory, by proposals that came.
    pub(crate) bodies: BTreeMap<BlockDigest, BlockHeader>,
    /// Proposals that cannot be judged yet, each with its parent.
    pub(crate) waiting: BTreeMap<BlockDigest, (BlockHeader, BlockHeader)>,
    /// When each timer was set.
    pub(crate) timers: BTreeMap<Timer, u64>,
    pub(crate) fetching: BTreeSet<BlockDigest>,
    pub(crate) catching_up: Option<CatchUp>,
    /// When it was asked last how this epoch ended, and whether that is being asked.
    pub(crate) asked_for_end: Option<u64>,
    pub(crate) is_asking: bool,
    pub(crate) key_watch: Listening,
    /// Effects and writes until the process dies.
    pub(crate) fuse: Option<u64>,
    /// Turns until the fuse is lit at the end of one, and how long it is then.
    pub(crate) end_fuse: Option<(u64, u64)>,
}

/// A run of catching up (`node/src/sync/catch_up.rs`).
pub(crate) struct CatchUp {
    pub(crate) target: BlockDigest,
    pub(crate) asked: usize,
    pub(crate) idle_rounds: u32,
}

impl Cluster {
    /// Starts a process on what the disk holds.
    pub(crate) fn start(&mut self, at: usize) {
        let outdated = self.plan.craft(at) == Some(Craft::Outdated);
        let node = &mut self.nodes[at];
        if outdated && node.backup.is_none() {
            node.backup = Some(node.record.platter().clone());
        }
        let process = self.process(at);
        self.counts.walks += u64::from(process.epoch.get() + 2 <= self.watch.top_turn().0.get());
        self.nodes[at].process = Some(process);
        if at >= self.plan.weights.len() {
            self.counts.acts[Craft::Twin as usize] += 1;
        }
        self.trace.note(self.clock.now_ms(), at, format_args!("process starts"));
        self.begin_to_hear(at);
        for peer in 0..self.nodes.len() {
            if peer != at {
                self.connect(at, peer);
            }
        }
        self.started(at);
    }

    /// Makes a process on what the disk holds.
    pub(crate) fn process(&mut self, at: usize) -> Process {
        let (node, genesis, config) = (&self.nodes[at], &self.world.genesis, self.world.config);
        let (epoch, root, recovered) = recovered(node.record.live(), node.ledger.live(), genesis, &config.epochs);
        let world = self.world_of(epoch);
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let me = self.seat(at, epoch);
        self.counts.seatless += u64::from(me.is_none() && !self.plan.is_follower(at));
        let intake = Intake::new(Arc::clone(&committee), me, config.inactive_views);
        let stored = recovered.headers.len();
        let heard = HeardOut::new(Arc::clone(&committee), me);
        let machine = Machine::with_scheme(config, committee, schedule, me, &root, recovered);
        let node = &mut self.nodes[at];
        node.life += 1;
        Process {
            life: node.life,
            epoch,
            follow: None,
            machine,
            turn: Turn::default(),
            stored,
            hearing: None,
            heard,
            listens_first: false,
            intake,
            reported: BTreeSet::new(),
            bodies: BTreeMap::new(),
            waiting: BTreeMap::new(),
            timers: BTreeMap::new(),
            fetching: BTreeSet::new(),
            catching_up: None,
            asked_for_end: None,
            is_asking: false,
            key_watch: Listening::default(),
            fuse: None,
            end_fuse: None,
        }
    }

    /// Lets two nodes know of each other if nothing stands between them.
    pub(crate) fn connect(&mut self, at: usize, peer: usize) {
        if self.network.is_reachable(at, peer) {
            let delay = self.network.delay(&mut self.random);
            self.clock.after(delay, Event::Connected { at, peer });
            self.clock.after(delay, Event::Connected { at: peer, peer: at });
        }
    }

    fn started(&mut self, at: usize) {
        self.begin_to_look(at);
        let _ = self.offer(at, Input::Started);
        let node = &self.nodes[at];
        if let Some(process) = &node.process
            && self.plan.craft(at).is_none()
        {
            self.watch.restarted(at, (process.epoch, process.machine.view()), node.ledger.live());
        }
    }

    /// Kills the process; most come back after a while.
    pub(crate) fn crash(&mut self, at: usize) {
        if self.kill(at) && self.random.chance(90) {
            let down = 20 + self.random.pick(&[50, 500, 4_000]);
            self.come_back(at, down);
        }
    }

    pub(crate) fn come_back(&mut self, at: usize, after_ms: u64) {
        let life = self.nodes[at].life;
        self.clock.after(after_ms, Event::Restart { at, life });
    }

    /// Kills the process. What it did not sync may be lost. Returns whether there was one.
    pub(crate) fn kill(&mut self, at: usize) -> bool {
        let node = &mut self.nodes[at];
        if node.process.take().is_none() {
            return false;
        }
        node.past = None;
        node.life += 1;
        let mut lost = node.record.crash(&mut self.random) + node.ledger.crash(&mut self.random);
        if self.plan.craft(at).is_none() && self.plan.flaw != Some(Flaw::ForgetsRecord) {
            self.check_survivors(at);
        }
        let node = &mut self.nodes[at];
        if self.plan.flaw == Some(Flaw::ForgetsRecord) {
            node.record.wipe();
            lost += 1;
        }
        if self.plan.craft(at) == Some(Craft::Outdated) && self.lies(at) {
            self.counts.acts[Craft::Outdated as usize] += 1;
            let node = &mut self.nodes[at];
            node.record.restore(node.backup.take().unwrap_or_default());
        }
        self.counts.crashes += 1;
        self.counts.lost_writes += lost as u64;
        if self.nodes.iter().all(|node| node.process.is_none()) {
            self.counts.blackouts += 1;
        }
        self.trace.note(self.clock.now_ms(), at, format_args!("crashes and loses {lost} writes"));
        true
    }

    /// Ends the process for good (exit code 3).
    pub(crate) fn stop(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        node.process = None;
        node.past = None;
        node.stopped = true;
        node.life += 1;
        self.counts.stopped += 1;
        self.trace.note(self.clock.now_ms(), at, format_args!("stops: its key said more than its record holds"));
    }

    /// Lets the fuse burn by one: a process can die before, within and after every effect. Returns whether it died.
    pub(crate) fn burn(&mut self, at: usize) -> bool {
        match self.nodes[at].process.as_mut().map(|process| &mut process.fuse) {
            None => true,
            Some(None) => false,
            Some(Some(0)) => {
                self.counts.torn_turns += 1;
                self.crash(at);
                true
            }
            Some(Some(left)) => {
                *left -= 1;
                false
            }
        }
    }
}
