//! Several machines on a virtual clock over a bad network: loss, reordering, partitions, crashes with the sign record
//! kept, and one member that equivocates. Agreement is checked at every step; then all faults heal and progress is
//! demanded. Everything follows from a seed, which is printed; `BATON_SEED=7` runs one alone, `BATON_SEED=100..500` as many.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use alloy_primitives::{B256, keccak256};
use baton_consensus::{Effect, Input, Machine, Outgoing, Recovered, Timer, Verdict, Verified};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Height, MemberIndex, Offence, SignedStatement, Statement, StatementKind,
    View,
};
use common::{Insecure, World, notarize};

/// splitmix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Debug)]
enum Event {
    Deliver { from: usize, to: usize, message: Outgoing },
    Timer { node: usize, life: u64, timer: Timer, set: u64 },
    Answer { node: usize, life: u64, input: Input },
    Fetch { node: usize, life: u64, block: BlockDigest },
    CatchUp { node: usize, life: u64 },
    Trouble,
}

/// What survives a crash.
#[derive(Default)]
struct Disk {
    record: BTreeMap<(View, StatementKind), Statement>,
    certificates: Vec<Verified<Certificate>>,
    bodies: BTreeMap<BlockDigest, BlockHeader>,
    chain: Vec<BlockHeader>,
    finalization: Option<Verified<Certificate>>,
}

#[derive(Default)]
struct Node {
    machine: Option<Machine<Insecure>>,
    life: u64,
    disk: Disk,
    /// Bodies in memory, by proposals that came.
    proposed: BTreeMap<BlockDigest, BlockHeader>,
    timers: BTreeMap<Timer, u64>,
}

struct Simulation {
    world: World,
    random: Random,
    now: u64,
    sequence: u64,
    events: BTreeMap<(u64, u64), Event>,
    nodes: Vec<Node>,
    side: Vec<u64>,
    loss_percent: u64,
    delay_ms: u64,
    /// Most loss, and mean time between troubles: some runs are rough, others nearly calm.
    loss_percent_max: u64,
    calm_ms: u64,
    healed: bool,
    /// There is always work, and no node is slow to judge or unable to build.
    busy: bool,
    liar: Option<usize>,
    lies: BTreeSet<View>,
    finals: BTreeMap<Height, BlockDigest>,
    /// Chained hash of every effect, when somebody compares runs.
    trace: Option<B256>,
    convicted: BTreeSet<(MemberIndex, View, Offence)>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut simulation = Self::prepared(seed, false);
        simulation.after(0, Event::Trouble);
        simulation
    }

    /// A quiet network of honest members who always have work and answer at once.
    fn calm() -> Self {
        Self::prepared(3, true)
    }

    fn prepared(seed: u64, calm: bool) -> Self {
        let mut random = Random(seed);
        let weights: &[u64] = match random.below(3) {
            0 => &[32, 28, 22, 18],
            1 => &[1, 1, 1, 1],
            _ => &[20, 17, 15, 13, 12, 12, 11],
        };
        let world = World::new(weights);
        let nodes = weights.iter().map(|_| Node::default()).collect();
        // One liar below a third; with the devnet's weights any one member is.
        let liar = random.chance(50).then(|| random.below(weights.len() as u64) as usize);
        let mut simulation = Self {
            now: 0,
            sequence: 0,
            events: BTreeMap::new(),
            nodes,
            side: vec![0; weights.len()],
            loss_percent: 0,
            delay_ms: if calm { 10 } else { [10, 40, 120, 250][random.below(4) as usize] },
            loss_percent_max: [1, 5, 30][random.below(3) as usize],
            calm_ms: [400, 2_000, 8_000][random.below(3) as usize],
            healed: calm,
            busy: calm,
            liar: liar.filter(|_| !calm),
            lies: BTreeSet::new(),
            finals: BTreeMap::new(),
            trace: None,
            convicted: BTreeSet::new(),
            world,
            random,
        };
        for node in 0..simulation.nodes.len() {
            simulation.start(node);
        }
        simulation
    }

    fn after(&mut self, delay_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay_ms, self.sequence), event);
    }

    fn start(&mut self, index: usize) {
        let world = &self.world;
        let node = &mut self.nodes[index];
        let head = node.disk.chain.last().unwrap_or(&world.genesis).clone();
        let recovered = Recovered {
            statements: node.disk.record.values().copied().collect(),
            certificates: node.disk.certificates.iter().chain(&node.disk.finalization).cloned().collect(),
            headers: node.disk.bodies.values().filter(|header| header.height > head.height).cloned().collect(),
            head,
        };
        let me = Some(MemberIndex::new(index as u8));
        let (config, committee) = (world.config, Arc::clone(&world.committee));
        node.life += 1;
        node.machine =
            Some(Machine::with_scheme(config, committee, world.schedule.clone(), me, &world.genesis, recovered));
        self.input(index, Input::Started);
        for other in 0..self.nodes.len() {
            if other != index {
                self.input(other, Input::Connected(MemberIndex::new(index as u8)));
            }
        }
    }

    fn crash(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.machine = None;
        node.timers.clear();
        node.proposed.clear();
        node.life += 1;
    }

    fn input(&mut self, index: usize, input: Input) {
        let Some(mut machine) = self.nodes[index].machine.take() else { return };
        let before = (machine.view(), machine.final_view());
        let mut effects = Vec::new();
        let shown = format!("{input:?}");
        if let Err(rejected) = machine.handle(input, &mut effects) {
            assert!(effects.is_empty(), "a refused input has no effects");
            let lied = self.liar.is_some() && rejected.is_peer_fault();
            assert!(!rejected.is_peer_fault() || lied, "honest nodes are blamed: {rejected} for {shown}");
        }
        assert!(machine.view() >= before.0 && machine.final_view() >= before.1, "views never fall");
        self.nodes[index].machine = Some(machine);
        for effect in effects {
            self.trace = self.trace.map(|trace| keccak256(format!("{trace} {index} {effect:?}")));
            self.run(index, effect);
        }
    }

    fn run(&mut self, index: usize, effect: Effect) {
        let life = self.nodes[index].life;
        let soon = 1 + self.random.below(5);
        let answer = |input| Event::Answer { node: index, life, input };
        match effect {
            Effect::Sign(statement) => {
                self.record(index, statement);
                let signed = self.world.sign(MemberIndex::new(index as u8), statement);
                self.after(soon, answer(Input::Signed(signed)));
            }
            Effect::Persist(certificate) => {
                let certificate = self.world.verifier.verify_certificate(certificate).expect("sums verify");
                self.nodes[index].disk.certificates.push(certificate);
            }
            Effect::Broadcast(message) => {
                for to in (0..self.nodes.len()).filter(|to| *to != index) {
                    let message = self.twist(index, to, message.clone());
                    self.send(index, to, message);
                }
            }
            Effect::Send(to, message) => self.send(index, to.as_usize(), message),
            Effect::Build { view, parent, .. } => {
                let header = self.world.block(view.get(), &parent, 0);
                self.nodes[index].disk.bodies.insert(header.digest(), header.clone());
                let input = if !self.busy && self.random.chance(3) {
                    Input::NotBuilt { view }
                } else {
                    Input::Built { view, header }
                };
                self.after(soon, answer(input));
            }
            Effect::Validate { header, .. } => {
                let block = header.digest();
                self.nodes[index].disk.bodies.insert(block, header);
                // Now and then an origin is not final here yet, and the answer takes long.
                let wait = if !self.busy && self.random.chance(5) { 2_000 } else { soon };
                self.after(wait, answer(Input::Validated { block, verdict: Verdict::Valid }));
            }
            Effect::Fetch { block, .. } => self.after(soon, Event::Fetch { node: index, life, block }),
            Effect::Behind { .. } => self.after(soon, Event::CatchUp { node: index, life }),
            Effect::Finalized { certificate, chain } => {
                let certificate = self.world.verifier.verify_certificate(certificate).expect("sums verify");
                self.finalized(index, certificate, chain);
            }
            Effect::SetTimer { timer, after_ms } => {
                self.sequence += 1;
                let set = self.sequence;
                self.nodes[index].timers.insert(timer, set);
                self.after(after_ms, Event::Timer { node: index, life, timer, set });
            }
            Effect::Report(evidence) => {
                assert_eq!(Some(evidence.signer().as_usize()), self.liar, "an honest member is accused: {evidence:?}");
                self.convicted.insert((evidence.signer(), evidence.view(), evidence.offence()));
            }
            Effect::Entered { .. } => {
                if self.busy || self.random.chance(50) {
                    self.after(soon * 10, answer(Input::WorkArrived));
                }
            }
            Effect::SafetyBroken(certificates) => panic!("safety broken: {certificates:?}"),
        }
    }

    /// The sign record: writes before the signature exists, and knows every rule of its own.
    fn record(&mut self, index: usize, statement: Statement) {
        let record = &mut self.nodes[index].disk.record;
        let view = statement.view().unwrap();
        let said = |kind| record.get(&(view, kind));
        let kind = statement.kind();
        assert!(said(kind).is_none_or(|said| *said == statement), "node {index} asked to sign against itself");
        let rivals: &[StatementKind] = match kind {
            _ if said(kind).is_some() => &[],
            StatementKind::Notarize => &[StatementKind::Nullify, StatementKind::Finalize],
            StatementKind::Finalize => &[StatementKind::Nullify],
            StatementKind::Nullify => &[StatementKind::Finalize],
            StatementKind::Attest => unreachable!(),
        };
        for rival in rivals {
            assert!(said(*rival).is_none(), "node {index} asked for {kind:?} after {rival:?} in view {view}");
        }
        record.insert((view, kind), statement);
    }

    /// The liar proposes a second block to every second member.
    fn twist(&mut self, from: usize, to: usize, message: Outgoing) -> Outgoing {
        match message {
            Outgoing::Proposal { header, .. } if Some(from) == self.liar && to.is_multiple_of(2) && !self.healed => {
                let header = BlockHeader { declared_gas: 1, ..header };
                let signer = MemberIndex::new(from as u8);
                self.lies.insert(header.view);
                self.nodes[from].disk.bodies.insert(header.digest(), header.clone());
                let notarize = self.world.sign(signer, notarize(header.view.get(), header.digest())).into_inner();
                Outgoing::Proposal { header, notarize }
            }
            other => other,
        }
    }

    fn send(&mut self, from: usize, to: usize, message: Outgoing) {
        if self.side[from] != self.side[to] || self.random.chance(self.loss_percent) {
            return;
        }
        if let Outgoing::Vote { vote, .. } | Outgoing::Proposal { notarize: vote, .. } = &message {
            let record = &self.nodes[from].disk.record;
            let recorded = record.get(&(vote.statement.view().unwrap(), vote.statement.kind()));
            let durable = recorded == Some(&vote.statement) || Some(from) == self.liar;
            assert!(durable, "node {from} sent what it had not recorded");
        }
        let delay = 1 + self.random.below(self.delay_ms);
        if self.random.chance(5) {
            self.after(delay * 3, Event::Deliver { from, to, message: message.clone() });
        }
        self.after(delay, Event::Deliver { from, to, message });
    }

    fn finalized(&mut self, index: usize, certificate: Verified<Certificate>, chain: Vec<BlockHeader>) {
        for header in chain {
            let disk = &mut self.nodes[index].disk;
            let head = disk.chain.last().unwrap_or(&self.world.genesis);
            assert_eq!((header.parent, header.height), (head.digest(), head.height.next().unwrap()), "a chain");
            let block = header.digest();
            assert!(disk.bodies.contains_key(&block), "node {index} finalized a block that it has not stored");
            let agreed = *self.finals.entry(header.height).or_insert(block);
            assert_eq!(agreed, block, "two final blocks at height {}", header.height);
            disk.chain.push(header);
        }
        let disk = &mut self.nodes[index].disk;
        let view = certificate.statement.view();
        disk.certificates.retain(|held| held.statement.view() > view);
        disk.finalization = Some(certificate);
    }

    fn deliver(&mut self, from: usize, to: usize, message: Outgoing) {
        let verify = |signed: SignedStatement| self.world.verifier.verify(signed).expect("sent as signed");
        let input = match message {
            Outgoing::Proposal { header, notarize } => {
                self.nodes[to].proposed.insert(header.digest(), header.clone());
                Input::Proposal { notarize: verify(notarize), header }
            }
            Outgoing::Vote { vote, leader } => Input::Vote { vote: verify(vote), leader: leader.map(verify) },
            Outgoing::Certificate(certificate) => {
                Input::Certificate(self.world.verifier.verify_certificate(certificate).expect("sent as assembled"))
            }
            Outgoing::CertificateRequest { view } => {
                Input::CertificateWanted { view, from: MemberIndex::new(from as u8) }
            }
        };
        self.input(to, input);
    }

    fn fetch(&mut self, index: usize, block: BlockDigest) {
        let peer = self.random.below(self.nodes.len() as u64) as usize;
        let reachable = self.side[peer] == self.side[index] && self.nodes[peer].machine.is_some();
        let near = self.nodes[index].proposed.get(&block).or(self.nodes[index].disk.bodies.get(&block));
        let far = self.nodes[peer].disk.bodies.get(&block).filter(|_| reachable);
        if let Some(header) = near.or(far).cloned() {
            self.nodes[index].disk.bodies.insert(block, header.clone());
            self.input(index, Input::Fetched { header });
        }
    }

    fn catch_up(&mut self, index: usize) {
        let peer = self.random.below(self.nodes.len() as u64) as usize;
        if self.side[peer] != self.side[index] || self.nodes[peer].machine.is_none() {
            return;
        }
        let have = self.nodes[index].disk.chain.len();
        let new: Vec<BlockHeader> = self.nodes[peer].disk.chain.iter().skip(have).cloned().collect();
        let (Some(header), Some(certificate)) = (new.last().cloned(), self.nodes[peer].disk.finalization.clone())
        else {
            return;
        };
        for header in &new {
            self.nodes[index].disk.bodies.insert(header.digest(), header.clone());
        }
        self.finalized(index, certificate.clone(), new);
        self.input(index, Input::Synced { header, certificate });
    }

    /// A crash, a restart, a partition, or better luck.
    fn trouble(&mut self) {
        if self.healed {
            return;
        }
        let index = self.random.below(self.nodes.len() as u64) as usize;
        match self.random.below(6) {
            0 | 1 if self.nodes[index].machine.is_some() => self.crash(index),
            0..=2 if self.nodes[index].machine.is_none() => self.start(index),
            3 => self.side = (0..self.nodes.len()).map(|_| self.random.below(2)).collect(),
            4 => self.side.fill(0),
            _ => self.loss_percent = self.random.below(self.loss_percent_max),
        }
        let next = 50 + self.random.below(2 * self.calm_ms);
        self.after(next, Event::Trouble);
    }

    fn heal(&mut self) {
        (self.healed, self.loss_percent, self.delay_ms) = (true, 0, 20);
        self.side.fill(0);
        for index in 0..self.nodes.len() {
            if self.nodes[index].machine.is_none() {
                self.start(index);
            }
            for other in 0..self.nodes.len() {
                self.input(index, Input::Connected(MemberIndex::new(other as u8)));
            }
        }
    }

    fn lowest(&self) -> u64 {
        self.nodes.iter().map(|node| node.disk.chain.len() as u64).min().unwrap()
    }

    fn run_until(&mut self, end_ms: u64, target: u64) -> bool {
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.now = at;
            match event {
                Event::Deliver { from, to, message } => self.deliver(from, to, message),
                Event::Timer { node, life, timer, set } => {
                    if self.nodes[node].life == life && self.nodes[node].timers.get(&timer) == Some(&set) {
                        self.input(node, Input::TimerFired(timer));
                    }
                }
                Event::Answer { node, life, input } if self.nodes[node].life == life => self.input(node, input),
                Event::Fetch { node, life, block } if self.nodes[node].life == life => self.fetch(node, block),
                Event::CatchUp { node, life } if self.nodes[node].life == life => self.catch_up(node),
                Event::Trouble => self.trouble(),
                Event::Answer { .. } | Event::Fetch { .. } | Event::CatchUp { .. } => {}
            }
            if self.lowest() >= target {
                return true;
            }
            if self.now >= end_ms {
                return false;
            }
        }
        false
    }
}

fn simulate(seed: u64) -> (u64, usize) {
    let mut simulation = Simulation::new(seed);
    simulation.run_until(25_000, u64::MAX);
    simulation.heal();
    let before = simulation.finals.len() as u64;
    let end = simulation.now + 60_000;
    let healed = simulation.now;
    let progress = simulation.run_until(end, before + 15);
    let state: Vec<String> = simulation
        .nodes
        .iter()
        .map(|node| {
            let machine = node.machine.as_ref().unwrap();
            format!("view {} final {} height {}", machine.view(), machine.final_view(), node.disk.chain.len())
        })
        .collect();
    if std::env::var_os("BATON_SEED").is_some() {
        println!("height {before} when healed, 15 blocks later after {} ms: {state:?}", simulation.now - healed);
    }
    assert!(progress, "no progress after healing at height {before}: {state:?}");
    (before, simulation.convicted.len())
}

#[test]
fn clusters_agree_under_faults_and_go_on_when_they_heal() {
    let seeds = match std::env::var("BATON_SEED") {
        Ok(seeds) => match seeds.split_once("..") {
            Some((first, end)) => (first.parse().unwrap()..end.parse().unwrap()).collect(),
            None => vec![seeds.parse().unwrap()],
        },
        Err(_) => (1..=40).collect(),
    };
    let (mut blocks, mut convictions) = (0, 0);
    for seed in seeds {
        let run = std::panic::catch_unwind(|| simulate(seed));
        let (height, convicted) = run.unwrap_or_else(|_| panic!("failed; run again with BATON_SEED={seed}"));
        blocks += height;
        convictions += convicted;
    }
    println!("{blocks} blocks final during faults, {convictions} offences reported");
    assert!(blocks > 0 && (convictions > 0 || std::env::var_os("BATON_SEED").is_some()));
}

/// One block a view, at the pace the leader may keep, when nothing goes wrong: timeouts play no part.
#[test]
fn a_quiet_network_finalizes_every_view() {
    let mut simulation = Simulation::calm();
    assert!(simulation.run_until(60_000, 200));
    let (blocks, views) = (simulation.finals.len() as u64, simulation.nodes[0].machine.as_ref().unwrap().view().get());
    assert!(views <= blocks + 3, "{views} views for {blocks} blocks");
    // 50 ms of pace, five hops and disk writes of at most 10 ms.
    assert!(simulation.now < 200 * 110, "200 blocks took {} ms", simulation.now);
}

/// A member is gone for good: each of its turns costs a timeout at first, and next to nothing once its silence is known.
#[test]
fn a_dead_member_costs_time_only_until_its_silence_is_known() {
    let mut simulation = Simulation::calm();
    simulation.crash(0);
    let mut done = Vec::new();
    for target in [40, 240] {
        while simulation.finals.len() < target {
            assert!(!simulation.run_until(simulation.now + 10, u64::MAX) && simulation.now < 120_000);
        }
        done.push(simulation.now);
    }
    let (first, rest) = (done[0] / 40, (done[1] - done[0]) / 200);
    assert!(rest < 150 && first > rest + 50, "{first} ms a block at first, {rest} ms later");
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    let traces = [5, 5, 6].map(|seed| {
        let mut simulation = Simulation::new(seed);
        simulation.trace = Some(B256::ZERO);
        simulation.run_until(10_000, u64::MAX);
        simulation.trace
    });
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}
