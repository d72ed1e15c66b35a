//! Running what a machine asks for, in its order, with a crash possible at every point between.

use std::{collections::VecDeque, rc::Rc};

use baton_consensus::{Effect, Input, Outgoing, Rejected, Verdict, Verified};
use baton_proto::{BlockDigest, BlockHeader, Certificate, Evidence, Statement, StatementKind, View};

use crate::{
    actors::INVALID_GAS,
    checks::{Marks, Watch},
    clock::Event,
    cluster::Cluster,
    disk::{LedgerWrite, RecordWrite},
    network::Packet,
    node::CatchUp,
    plan::{Answers, Craft, Flaw},
    report, turn,
};

/// Longest wait for something that a proposal needs to be judged: an L1 origin, a clock.
const WAIT_MS_MAX: u64 = 2_000;

/// Blocks in one range. The node serves more; a few make catching up take several questions.
const RANGE_BLOCKS: usize = 32;

/// Pause after a round in which nobody served a range, and such rounds after which a run ends
/// (`node/src/sync/catch_up.rs`).
const RANGE_RETRY_MS: u64 = 500;
const IDLE_ROUNDS_MAX: u32 = 20;

/// The answers that a turn has at hand.
type Inputs = VecDeque<Input>;

impl Cluster {
    /// An input, its effects in order, then the answers at hand in the same way (`Driver::offer`). Returns what the machine
    /// said to the first input.
    pub(crate) fn offer(&mut self, at: usize, input: Input) -> Result<(), Rejected> {
        let mut first = None;
        let mut inputs = Inputs::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(process) = &mut self.nodes[at].process else { break };
            let (now, heard) = (self.clock.now_ms(), report::input(&input));
            let before = Marks::of(&process.machine);
            let mut effects = Vec::new();
            process.machine.set_clock(now);
            let result = process.machine.handle(input, &mut effects);
            match &result {
                Ok(()) => self.trace.note(now, at, format_args!("{heard}")),
                Err(rejected) => self.trace.note(now, at, format_args!("{heard}, refuses: {rejected}")),
            }
            self.watch.turn((at, process.epoch, process.stored), before, &process.machine, &result, &effects);
            first.get_or_insert(result);
            for effect in effects {
                self.trace.note(now, at, format_args!("{}", report::effect(&effect)));
                if self.burn(at) {
                    break;
                }
                self.run(at, effect, &mut inputs);
            }
        }
        self.check_heads(at);
        self.after_input(at);
        first.unwrap_or(Ok(()))
    }

    /// Between inputs the machine and the ledger agree on what is final.
    fn check_heads(&self, at: usize) {
        let node = &self.nodes[at];
        if let Some(process) = &node.process {
            let (machine, ledger) = (process.machine.head().height.get(), node.ledger.live().height());
            // The machine of an epoch that is over stays where that ended, whatever it sees afterwards.
            let is_past = node.ledger.live().chain().last().is_some_and(|head| head.epoch > process.epoch);
            let next = process.machine.has_ended() || is_past && !node.contradictions.is_empty();
            assert!(
                machine == ledger || next && ledger > machine,
                "final heights of machine, {machine}, and ledger, {ledger}, at node {at}"
            );
        }
    }

    fn run(&mut self, at: usize, effect: Effect, answers: &mut Inputs) {
        let nodes = self.nodes.len();
        let others = || (0..nodes).filter(|to| *to != at).collect();
        match effect {
            Effect::Sign(statement) => self.sign(at, statement, answers),
            Effect::Persist(certificate) => {
                let certificate = self.verified(certificate);
                if let Some(process) = &mut self.nodes[at].process {
                    process.intake.certified(&certificate);
                }
                self.write(at, LedgerWrite::Certificate(certificate));
            }
            Effect::Broadcast(message) => self.tell_others(at, others(), message),
            Effect::Send(to, message) => {
                let Some(epoch) = self.nodes[at].process.as_ref().map(|process| process.epoch) else { return };
                let to = (0..nodes).filter(|node| *node != at && self.seat(*node, epoch) == Some(to)).collect();
                self.tell_others(at, to, message);
            }
            Effect::Build { view, parent, .. } => self.build(at, view, &parent, answers),
            Effect::Validate { header, parent, .. } => {
                let waits = self.plan.flaw != Some(Flaw::TakesAnyOrigin) && self.has_to_wait(at, &header, &parent);
                if waits || self.random.chance(self.plan.slow_percent) {
                    let block = header.digest();
                    let process = self.nodes[at].process.as_mut().expect("it runs an effect");
                    let life = process.life;
                    process.waiting.insert(block, (header, parent));
                    let wait = self.random.below(WAIT_MS_MAX);
                    self.clock.after(wait, Event::Judge { at, life, block });
                } else if let Some(answer) = self.judge(at, &header) {
                    self.answer(at, answer, answers);
                }
            }
            Effect::Fetch { block, from, .. } => self.fetch(at, block, from.map(|from| from.as_usize()), answers),
            Effect::Finalized { certificate, chain } => {
                let certificate = self.verified(certificate);
                let is_last = chain.last().is_some_and(|last| self.is_last(last));
                if self.commit(at, certificate, chain)
                    && let Some(process) = &mut self.nodes[at].process
                {
                    process.key_watch.on_final(is_last);
                }
            }
            Effect::Behind { certificate } => {
                let target = certificate.statement.block().expect("a finalization");
                let asked = self.random.index(nodes);
                let process = self.nodes[at].process.as_mut().expect("it runs an effect");
                let life = process.life;
                if process.catching_up.is_none() {
                    process.catching_up = Some(CatchUp { target, asked, idle_rounds: 0 });
                    let delay = self.round_trip();
                    self.clock.after(delay, Event::Range { at, life });
                }
            }
            Effect::EpochEnded { last, next_epoch } => {
                if self.plan.craft(at).is_none() {
                    self.watch.epoch_ended(at, &last, next_epoch);
                }
                self.nodes[at].process.as_mut().expect("it runs an effect").follow = Some(next_epoch);
            }
            Effect::SetTimer { timer, after_ms } => {
                let set = self.clock.coming();
                let process = self.nodes[at].process.as_mut().expect("it runs an effect");
                let life = process.life;
                process.timers.insert(timer, set);
                Watch::timer(at, after_ms, process.timers.len());
                let fires = after_ms * self.drift_percent[at] / 100;
                self.clock.after(fires, Event::Timer { at, life, timer, set });
            }
            Effect::Report(evidence) => self.report(at, evidence),
            Effect::SafetyBroken(certificates) if self.plan.lawless => {
                let certificates: Vec<_> = certificates.into_iter().map(|held| self.verified(held)).collect();
                for certificate in certificates {
                    self.write(at, LedgerWrite::Certificate(certificate.clone()));
                    self.nodes[at].contradictions.push(certificate);
                }
                // The machine takes no more ranges, so the ledger must not either.
                if let Some(process) = &mut self.nodes[at].process {
                    process.catching_up = None;
                }
            }
            Effect::SafetyBroken(certificates) => {
                let shown: Vec<String> = certificates.iter().map(|held| report::statement(&held.statement)).collect();
                panic!("node {at} sees safety broken: {shown:?}");
            }
            Effect::Entered { view, .. } => {
                let process = self.nodes[at].process.as_mut().expect("it runs an effect");
                process.timers.retain(|timer, _| timer.view() >= view);
                let (epoch, life) = (process.epoch, process.life);
                self.entered(at, (epoch, view));
                if self.is_epoch_due(at) || self.random.chance(self.plan.work_percent) {
                    answers.push_back(Input::WorkArrived);
                } else if self.random.chance(20) {
                    let soon = self.random.below(400);
                    self.clock.after(soon, Event::Work { at, life });
                }
            }
        }
    }

    /// Notes evidence and passes it on, unless it is against this node's own key: then it stops (`Driver::report`).
    pub(crate) fn report(&mut self, at: usize, evidence: Evidence) {
        let signer = evidence.signer();
        if self.plan.craft(at).is_none() {
            self.watch.reports(&evidence);
        }
        if Some(signer) == self.seat(at, evidence.epoch()) {
            // Liars do not mind; whoever only has a second speaker does.
            if self.plan.craft(at).is_some_and(Craft::keeps_record) && !self.plan.lawless {
                self.stop(at);
            }
            return;
        }
        let Some(process) = &mut self.nodes[at].process else { return };
        if process.reported.insert(signer) {
            let others = (0..self.nodes.len()).filter(|to| *to != at).collect();
            self.say(at, others, Packet::Evidence(evidence));
        }
    }

    /// Returns a certificate that a machine gave out, which is valid in its epoch.
    fn verified(&self, certificate: Certificate) -> Verified<Certificate> {
        let verifier = &self.world_of(certificate.statement.epoch()).verifier;
        verifier.verify_certificate(certificate).expect("a sum of verified votes")
    }

    /// Gives an answer that rests on a write: at once, or some time later.
    fn answer(&mut self, at: usize, input: Input, answers: &mut Inputs) {
        match self.plan.answers {
            Answers::AtOnce => answers.push_back(input),
            Answers::Later => {
                let soon = 1 + self.random.below(5);
                let Some(life) = self.nodes[at].process.as_ref().map(|process| process.life) else { return };
                self.clock.after(soon, Event::Answer { at, life, input: Box::new(input) });
            }
        }
    }

    /// The record first, then the signature (`Signer::sign`). Most liars keep no record.
    pub(crate) fn sign(&mut self, at: usize, statement: Statement, answers: &mut Inputs) {
        // What the record holds already cannot contradict anything.
        let is_new = !self.nodes[at].record.live().accounts_for(&statement);
        if let Some(process) = &mut self.nodes[at].process
            && let Some(hearing) = process.hearing.as_mut().filter(|_| is_new)
        {
            return hearing.wait(statement, process.machine.view());
        }
        let seat = self.seat(at, statement.epoch()).expect("a machine without a seat asks for no signature");
        let signed = self.world_of(statement.epoch()).sign(seat, statement);
        if self.plan.craft(at).is_some_and(|craft| !craft.keeps_record()) {
            return answers.push_back(Input::Signed(signed));
        }
        let record = &self.nodes[at].record;
        if record.live().listens_in(statement.epoch()) {
            return self.answer(at, Input::SignRefused(statement), answers);
        }
        let forgotten = record.live().is_forgotten(&statement);
        assert!(!forgotten, "node {at} is asked to sign what is forgotten: {}", report::statement(&statement));
        if let Some(said) = record.live().against(&statement) {
            let (said, asked) = (report::statement(said), report::statement(&statement));
            panic!("node {at} is asked to sign {asked} after {said}");
        }
        if !record.live().holds(&statement) {
            if self.plan.craft(at).is_none() {
                self.watch.may_notarize(at, &statement, self.nodes[at].ledger.live());
            }
            self.record(at, statement);
        }
        self.watch.signed(self.plan.owner(at), statement);
        self.answer(at, Input::Signed(signed), answers);
    }

    /// Lets the record forget what lies so far below the final view that nobody asks for it again
    /// (`Driver::forget_old_statements`). What makes the view final is on the platter.
    pub(crate) fn forget_statements(&mut self, at: usize) {
        let Some(remembered) = self.plan.remembered_views else { return };
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return };
        let final_view = process.machine.final_view();
        let below = (process.epoch, View::new(final_view.get().saturating_sub(remembered)));
        if self.plan.craft(at).is_some() || below <= node.record.live().floor() {
            return;
        }
        let open = process.machine.view().get().saturating_sub(final_view.get());
        self.write_record(at, RecordWrite::Forget(below));
        if self.nodes[at].process.is_some() {
            self.nodes[at].record.sync();
            Watch::record(at, self.nodes[at].record.live().len(), remembered + open + 1);
        }
    }

    fn build(&mut self, at: usize, view: View, parent: &BlockHeader, answers: &mut Inputs) {
        if self.random.chance(self.plan.slow_percent) {
            return self.answer(at, Input::NotBuilt { view }, answers);
        }
        // No two blocks are alike, not even of one view before and after a crash: times and transactions differ.
        let salt = self.clock.coming();
        let Some(epoch) = self.nodes[at].process.as_ref().map(|process| process.epoch) else { return };
        let header = self.world_of(epoch).block(view.get(), parent, salt);
        let header = BlockHeader { origin: self.origin(at, parent), ..header };
        self.watch.built(&header, self.clock.now_ms());
        self.write(at, LedgerWrite::Body(header.clone()));
        self.answer(at, Input::Built { view, header }, answers);
    }

    /// Judges a proposal whose body is at hand, and stores it if it is valid.
    pub(crate) fn judge(&mut self, at: usize, header: &BlockHeader) -> Option<Input> {
        let block = header.digest();
        self.body(at, block)?;
        if header.declared_gas == INVALID_GAS {
            return Some(Input::Validated { block, verdict: Verdict::Invalid });
        }
        if self.plan.flaw != Some(Flaw::VotesWithoutBody) {
            self.write(at, LedgerWrite::Body(header.clone()));
        }
        Some(Input::Validated { block, verdict: Verdict::Valid })
    }

    /// A body, from memory or from the ledger.
    fn body(&self, at: usize, block: BlockDigest) -> Option<&BlockHeader> {
        let node = &self.nodes[at];
        node.process.as_ref()?.bodies.get(&block).or_else(|| node.ledger.live().body(block))
    }

    fn fetch(&mut self, at: usize, block: BlockDigest, first: Option<usize>, answers: &mut Inputs) {
        if let Some(header) = self.body(at, block).cloned() {
            self.write(at, LedgerWrite::Body(header.clone()));
            return self.answer(at, Input::Fetched { header }, answers);
        }
        let process = self.nodes[at].process.as_mut().expect("it runs an effect");
        let life = process.life;
        if process.fetching.insert(block) {
            let delay = self.round_trip();
            self.clock.after(delay, Event::Fetched { at, life, block, first });
        }
    }

    /// A request for a block comes to its end: the first peer that can be reached, has it and gives it.
    pub(crate) fn fetched(&mut self, at: usize, block: BlockDigest, first: Option<usize>) {
        let Some(process) = &mut self.nodes[at].process else { return };
        process.fetching.remove(&block);
        let order = first.into_iter().chain(0..self.nodes.len());
        let serving: Vec<usize> = order.filter(|peer| self.serves(*peer, at)).collect();
        let found = serving.into_iter().find_map(|peer| self.nodes[peer].ledger.live().body(block).cloned());
        if let Some(header) = found {
            self.write(at, LedgerWrite::Body(header.clone()));
            let _ = self.offer(at, Input::Fetched { header });
        }
    }

    /// Asks one member after the other for the next range (`CatchUp::run`, `Driver::on_range`).
    pub(crate) fn range(&mut self, at: usize) {
        let (height, nodes) = (self.nodes[at].ledger.live().height(), self.nodes.len());
        let Some(process) = self.nodes[at].process.as_mut().filter(|process| !process.machine.has_ended()) else {
            return;
        };
        let (life, Some(mut run)) = (process.life, process.catching_up.take()) else { return };
        let mut range = None;
        for _ in 0..nodes {
            let peer = run.asked % nodes;
            run.asked += 1;
            range = self.serves(peer, at).then(|| self.nodes[peer].ledger.live().range(height, RANGE_BLOCKS)).flatten();
            if range.is_some() {
                break;
            }
        }
        let Some((blocks, certificate)) = range else {
            run.idle_rounds += 1;
            if run.idle_rounds < IDLE_ROUNDS_MAX {
                self.nodes[at].process.as_mut().expect("it is running").catching_up = Some(run);
                self.clock.after(RANGE_RETRY_MS, Event::Range { at, life });
            }
            return;
        };
        self.counts.ranges += 1;
        let head = self.nodes[at].ledger.live().chain().last().unwrap_or(&self.world.genesis).digest();
        if self.plan.lawless && blocks.first().is_some_and(|block| block.parent != head) {
            self.nodes[at].contradictions.push(certificate.clone());
            let _ = self.offer(at, Input::SafetyBroken(vec![certificate]));
            return;
        }
        let header = blocks.last().expect("a range has blocks").clone();
        let reached = certificate.statement.block() == Some(run.target)
            || blocks.iter().any(|block| block.digest() == run.target);
        if !reached {
            run.idle_rounds = 0;
            self.nodes[at].process.as_mut().expect("it is running").catching_up = Some(run);
            let delay = self.round_trip();
            self.clock.after(delay, Event::Range { at, life });
        }
        if !self.check_record(at, &certificate) {
            return;
        }
        for body in &blocks {
            let process = self.nodes[at].process.as_mut().expect("it is running");
            process.bodies.insert(body.digest(), body.clone());
        }
        if self.commit(at, certificate.clone(), blocks) {
            let _ = self.offer(at, Input::Synced { header, certificate });
        }
    }

    /// Makes blocks final in one atomic, synced step (`Driver::commit`, `Ledger::finalize`). Returns whether the process
    /// lived through it.
    fn commit(&mut self, at: usize, certificate: Verified<Certificate>, chain: Vec<BlockHeader>) -> bool {
        let liar = self.plan.craft(at).is_some();
        let mut head = self.nodes[at].ledger.live().chain().last();
        for header in &chain {
            let block = header.digest();
            assert!(self.body(at, block).is_some(), "the body of final block {} is lost", report::short(block));
            if !liar {
                let text = report::short(block);
                assert!(self.is_origin_final(header), "node {at} finalizes {text}, whose origin is not final on L1");
                self.watch.is_final(at, head, header, self.clock.now_ms());
            }
            head = Some(header);
        }
        let Some(height) = chain.last().map(|header| header.height) else { return true };
        self.write(at, LedgerWrite::Final { certificate, chain });
        if self.nodes[at].process.is_none() {
            return false;
        }
        if self.plan.flaw != Some(Flaw::FinalizesUnsynced) {
            self.nodes[at].ledger.sync();
        }
        if !liar {
            self.watch.keeps(at, height.get());
        }
        let process = self.nodes[at].process.as_mut().expect("the fuse has not burnt down");
        process.bodies.retain(|_, body| body.height > height);
        true
    }

    /// Nobody takes what comes from whoever has no seat.
    fn tell_others(&mut self, at: usize, to: Vec<usize>, message: Outgoing) {
        let epoch = self.nodes[at].process.as_ref().map(|process| process.epoch);
        if let Some(epoch) = epoch.filter(|epoch| self.seat(at, *epoch).is_some()) {
            self.say(at, to, turn::packet(message, epoch));
        }
    }

    pub(crate) fn send(&mut self, at: usize, to: usize, packet: &Rc<Packet>) {
        if self.plan.craft(at).is_some() {
            self.watch.lies(self.plan.owner(at), packet);
        }
        // Whoever has no key hears what gossip carries: finalizations.
        let is_gossip =
            matches!(&**packet, Packet::Certificate(held) if held.statement.kind() == StatementKind::Finalize);
        if self.plan.is_follower(to) && !is_gossip {
            return;
        }
        self.counts.messages += 1;
        for delay in self.network.carry(at, to, packet, &mut self.random) {
            self.clock.after(delay, Event::Arrive { from: at, to, packet: Rc::clone(packet) });
        }
    }

    /// Whether `peer` answers what `at` asks: a member of the epoch that `at` is in.
    pub(crate) fn serves(&self, peer: usize, at: usize) -> bool {
        let withholds = self.lies(peer)
            && match self.plan.craft(peer) {
                Some(Craft::Withholder) => true,
                Some(Craft::Censor) => self.victim(peer) == self.plan.owner(at),
                Some(craft) => self.plan.lawless && craft != Craft::Twin,
                None => false,
            };
        let up = self.nodes[peer].process.is_some();
        let epoch = self.nodes[at].process.as_ref().map(|process| process.epoch);
        let is_member = epoch.is_some_and(|epoch| self.seat(peer, epoch).is_some());
        peer != at && is_member && up && !withholds && self.network.is_reachable(peer, at)
    }

    pub(crate) fn round_trip(&mut self) -> u64 {
        self.network.delay(&mut self.random) + self.network.delay(&mut self.random)
    }
}
