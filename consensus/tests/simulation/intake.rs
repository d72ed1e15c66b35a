//! From the network to the machine: signatures, windows, and votes that wait (`node/src/driver/intake.rs`, `window.rs`,
//! `certified.rs`).

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    rc::Rc,
    sync::Arc,
};

use baton_consensus::{AHEAD_VIEWS, Committee, Held, HeldVotes, Input, RETENTION_VIEWS, Verified};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Evidence, MemberIndex, SignedStatement, Statement, StatementKind, View,
};

use crate::{cluster::Cluster, epochs::sequencer, network::Packet, plan::Flaw};

/// How long a member must wait before its question about a view is answered again (`ASK_PAUSE`).
const ASK_PAUSE_MS: u64 = 200;

/// Views that the checks let through beyond the machine's own window (`SLACK_VIEWS`).
const SLACK_VIEWS: u64 = 64;

/// Something that the checks let through.
pub(crate) enum Checked {
    Proposal { from: usize, header: BlockHeader, notarize: Verified<SignedStatement> },
    Vote { vote: Verified<SignedStatement>, leader: Option<Verified<SignedStatement>> },
    Certificate(Verified<Certificate>),
    Wanted { view: View, from: usize },
    Evidence(Evidence),
    Connected(MemberIndex),
}

/// The checks of one process, and what they remember.
pub(crate) struct Intake {
    me: Option<MemberIndex>,
    /// The final and the current view, as the driver told them last.
    window: (View, View),
    held: HeldVotes,
    /// The first two valid statements of each kind from each member: a third says nothing new.
    made: BTreeMap<(View, MemberIndex, StatementKind), Vec<Verified<SignedStatement>>>,
    /// Statements that have a certificate here, and whether we are known to be among its signers.
    certified: BTreeMap<(View, StatementKind, Option<BlockDigest>), bool>,
    /// Members that valid evidence was seen against; the driver takes one for each.
    convicted: BTreeSet<MemberIndex>,
    /// Votes that waited for what was checked just now.
    released: Vec<Held>,
    /// When each member last asked about a view.
    asked: BTreeMap<(usize, View), u64>,
}

impl Intake {
    pub(crate) fn new(committee: Arc<Committee>, me: Option<MemberIndex>, inactive_views: u64) -> Self {
        Self {
            me,
            window: (View::ZERO, View::ZERO),
            held: HeldVotes::new(committee, me, inactive_views),
            made: BTreeMap::new(),
            certified: BTreeMap::new(),
            convicted: BTreeSet::new(),
            released: Vec::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Takes note of a valid certificate.
    pub(crate) fn certified(&mut self, certificate: &Certificate) {
        let holds_us = self.holds_us(certificate);
        *self.certified.entry(key(&certificate.statement)).or_default() |= holds_us;
    }

    fn is_certified(&self, statement: &Statement) -> bool {
        self.certified.contains_key(&key(statement))
    }

    /// Whether a certificate would tell nothing new if it were valid.
    fn covers(&self, certificate: &Certificate) -> bool {
        let known = self.certified.get(&key(&certificate.statement));
        known.is_some_and(|knows_us| *knows_us || !self.holds_us(certificate))
    }

    fn holds_us(&self, certificate: &Certificate) -> bool {
        self.me.is_some_and(|me| certificate.signers.contains(me))
    }

    fn first_view(&self) -> View {
        View::new(self.window.0.get().saturating_sub(RETENTION_VIEWS))
    }

    fn contains(&self, view: View) -> bool {
        let newest = self.window.0.max(self.window.1).get();
        view >= self.first_view() && view.get() <= newest + AHEAD_VIEWS + SLACK_VIEWS
    }

    fn known(&self, signed: &SignedStatement) -> Option<&Verified<SignedStatement>> {
        let made = self.made.get(&place(signed))?;
        made.iter().find(|known| ***known == *signed)
    }

    /// Whether a statement need not be checked: its signer has made enough others in its place.
    fn is_one_too_many(&self, signed: &SignedStatement) -> bool {
        let made = self.made.get(&place(signed));
        made.is_some_and(|made| made.len() > 1 && made.iter().all(|known| known.statement != signed.statement))
    }

    fn remember(&mut self, verified: Verified<SignedStatement>) {
        if self.contains(view_of(&verified.statement)) {
            let is_certified = self.is_certified(&verified.statement);
            self.released.extend(self.held.on_checked(&verified, is_certified));
        }
        let made = self.made.entry(place(&verified)).or_default();
        if made.len() < 2 && made.iter().all(|known| known.statement != verified.statement) {
            made.push(verified);
        }
    }

    /// Forgets what no longer matters; the node's checks forget by number.
    fn prune(&mut self) {
        let first = self.first_view();
        self.made = self.made.split_off(&(first, MemberIndex::new(0), StatementKind::Notarize));
        self.certified = self.certified.split_off(&(first, StatementKind::Notarize, None));
        self.asked.retain(|(_, view), _| *view >= first);
    }
}

impl Cluster {
    /// A message arrives: what it is good for goes on to the machine.
    pub(crate) fn take(&mut self, at: usize, from: usize, packet: &Packet) {
        self.learn(at, from, packet);
        self.note_word(at, from, packet);
        let mut found = VecDeque::new();
        if let Err(reason) = self.check(at, from, packet, &mut found) {
            self.refuse(at, from, reason);
        }
        while let Some(process) = &mut self.nodes[at].process
            && !process.intake.released.is_empty()
        {
            let released = std::mem::take(&mut process.intake.released);
            self.hand_on(at, released, &mut found);
        }
        for checked in found {
            self.hear(at, checked);
        }
    }

    /// Notes which view a member says that it is in (`Intake::note_word`).
    fn note_word(&mut self, at: usize, from: usize, packet: &Packet) {
        let view = match packet {
            Packet::Request((_, view)) => Some(*view),
            Packet::Proposal { notarize: said, .. } | Packet::Vote { vote: said, .. } => {
                said.statement.view().filter(|_| said.statement.kind() != StatementKind::Finalize)
            }
            Packet::Certificate(_) | Packet::Evidence(_) => None,
        };
        let Some(signer) = self.seat(from, packet.epoch()) else { return };
        if let (Some(process), Some(view)) = (&mut self.nodes[at].process, view)
            && process.epoch == packet.epoch()
        {
            process.heard.on_word(signer, view);
        }
    }

    /// Something checked reaches the driver (`Driver::on_checked`).
    pub(crate) fn hear(&mut self, at: usize, checked: Checked) {
        let Some(process) = &mut self.nodes[at].process else { return };
        match checked {
            Checked::Proposal { from, header, notarize } => {
                let block = header.digest();
                let fresh = process.bodies.insert(block, header.clone()).is_none();
                if let Err(rejected) = self.offer(at, Input::Proposal { header, notarize }) {
                    // With too many liars a node's final chain may be another than the one that others build on.
                    let blamed = rejected.is_peer_fault() && self.plan.craft(from).is_none() && !self.plan.lawless;
                    assert!(!blamed, "node {at} blames the honest node {from}: {rejected}");
                    if let Some(process) = self.nodes[at].process.as_mut().filter(|_| fresh) {
                        process.bodies.remove(&block);
                    }
                }
            }
            Checked::Vote { vote, leader } => {
                let _ = self.offer(at, Input::Vote { vote, leader });
            }
            Checked::Certificate(certificate) => {
                if self.check_record(at, &certificate) {
                    let _ = self.offer(at, Input::Certificate(certificate));
                }
            }
            Checked::Wanted { view, from } => {
                let epoch = process.epoch;
                if let Some(from) = self.seat(from, epoch) {
                    let _ = self.offer(at, Input::CertificateWanted { view, from });
                }
            }
            Checked::Evidence(evidence) => {
                self.report(at, evidence);
                self.after_input(at);
            }
            Checked::Connected(member) => {
                let _ = self.offer(at, Input::Connected(member));
            }
        }
    }

    /// Tells the checks which views matter (`Driver::publish`).
    pub(crate) fn publish(&mut self, at: usize) {
        if let Some(process) = &mut self.nodes[at].process {
            let window = (process.machine.final_view(), process.machine.view());
            if process.intake.window != window {
                process.intake.window = window;
                process.intake.prune();
            }
        }
    }

    /// Whose fault it is that something is refused: never an honest sequencer's.
    fn refuse(&mut self, at: usize, from: usize, reason: &str) {
        assert!(self.plan.craft(from).is_some(), "node {at} refuses what honest sequencer {from} sent: {reason}");
        self.counts.forgeries += 1;
    }

    fn check(
        &mut self,
        at: usize,
        from: usize,
        packet: &Packet,
        found: &mut VecDeque<Checked>,
    ) -> Result<(), &'static str> {
        let now = self.clock.now_ms();
        let Some(signer) = self.seat(from, packet.epoch()) else { return Ok(()) };
        let world = Rc::clone(self.world_of(packet.epoch()));
        let Some(process) = &mut self.nodes[at].process else { return Ok(()) };
        let intake = &mut process.intake;
        match packet {
            Packet::Proposal { header, notarize } => {
                if notarize.signer != signer {
                    return Err("a proposal that another member signed");
                }
                let view = view_of(&notarize.statement);
                if !intake.contains(view) {
                    return Ok(());
                }
                if world.schedule.leader(view) != signer {
                    return Err("a proposal from a member that does not lead the view");
                }
                if Some(header.digest()) != notarize.statement.block() {
                    return Err("a proposal whose Notarize names another block");
                }
                // What may be proposed again in a later view, the machine judges.
                if header.view > view || !intake.contains(header.view) || intake.is_one_too_many(notarize) {
                    return Ok(());
                }
                if header.proposer != world.schedule.leader(header.view) {
                    return Err("a proposal of another member's block");
                }
                let known = intake.known(notarize).cloned();
                self.counts.checked += u64::from(known.is_none());
                let verify = || world.verifier.verify(notarize.clone());
                let verified = known.map_or_else(verify, Ok).map_err(|_| "a proposal with an invalid signature")?;
                intake.remember(verified.clone());
                found.push_back(Checked::Proposal { from, header: header.clone(), notarize: verified });
            }
            Packet::Vote { vote, leader } => {
                if vote.signer != signer {
                    return Err("a vote that another member signed");
                }
                self.vote(at, vote, leader.as_ref(), found);
            }
            Packet::Certificate(certificate) => {
                let is_past = view_of(&certificate.statement) < intake.first_view();
                if is_past || self.plan.remembers_certificates && intake.covers(certificate) {
                    return Ok(());
                }
                self.counts.checked += 1;
                let verified = world.verifier.verify_certificate(certificate.clone());
                let verified = verified.map_err(|_| "an invalid certificate")?;
                intake.certified(&verified);
                found.push_back(Checked::Certificate(verified));
            }
            Packet::Request((_, view)) => {
                if !intake.contains(*view) {
                    return Ok(());
                }
                let before = intake.asked.insert((from, *view), now);
                if before.is_none_or(|before| now >= before + ASK_PAUSE_MS) {
                    found.push_back(Checked::Wanted { view: *view, from });
                }
            }
            Packet::Evidence(evidence) => {
                if !intake.contains(evidence.view()) || intake.convicted.contains(&evidence.signer()) {
                    return Ok(());
                }
                for signed in [evidence.first(), evidence.second()] {
                    let known = intake.known(signed).cloned();
                    let verify = || world.verifier.verify(signed.clone());
                    let verified = known.map_or_else(verify, Ok);
                    intake.remember(verified.map_err(|_| "evidence with an invalid signature")?);
                }
                intake.convicted.insert(evidence.signer());
                found.push_back(Checked::Evidence(evidence.clone()));
            }
        }
        Ok(())
    }

    /// Holds a vote, or checks it and what waited for it.
    fn vote(
        &mut self,
        at: usize,
        vote: &SignedStatement,
        leader: Option<&SignedStatement>,
        found: &mut VecDeque<Checked>,
    ) {
        let world = Rc::clone(self.world_of(vote.statement.epoch()));
        let Some(process) = &mut self.nodes[at].process else { return };
        let (intake, view) = (&mut process.intake, view_of(&vote.statement));
        if !intake.contains(view) || intake.is_one_too_many(vote) {
            return;
        }
        let leads = world.schedule.leader(view);
        // Only the leader's signature goes over the wire; what it is of is the vote itself.
        let leader = leader.filter(|_| vote.statement.kind() == StatementKind::Notarize);
        let leader = leader.map(|own| SignedStatement { statement: vote.statement, signer: leads, ..own.clone() });
        let leader = leader.filter(|leader| !intake.is_one_too_many(leader));
        let held = Held { vote: vote.clone(), leader };
        let now = if intake.known(vote).is_some() {
            // Said again: what it stands for was handed on, and may have been refused then.
            vec![held]
        } else {
            let is_certified = intake.is_certified(&vote.statement);
            intake.held.take_in(held, view, leads, is_certified)
        };
        self.counts.waited += u64::from(now.is_empty());
        self.hand_on(at, now, found);
    }

    /// Checks votes, together where they say the same, and hands on those that hold.
    fn hand_on(&mut self, at: usize, votes: Vec<Held>, found: &mut VecDeque<Checked>) {
        let Some(epoch) = votes.first().map(|held| held.vote.statement.epoch()) else { return };
        let world = Rc::clone(self.world_of(epoch));
        let Some(process) = &mut self.nodes[at].process else { return };
        let mut known: Vec<Verified<SignedStatement>> = Vec::new();
        let mut unchecked: Vec<SignedStatement> = Vec::new();
        for signed in votes.iter().flat_map(|held| [Some(&held.vote), held.leader.as_ref()]).flatten() {
            match process.intake.known(signed) {
                Some(verified) => known.push(verified.clone()),
                None if unchecked.contains(signed) => {}
                None => unchecked.push(signed.clone()),
            }
        }
        self.counts.checked += unchecked.len() as u64;
        for verified in world.verifier.verify_all(unchecked).into_iter().flatten() {
            known.push(verified.clone());
            process.intake.remember(verified);
        }
        let holds = |signed: &SignedStatement| known.iter().find(|verified| ***verified == *signed).cloned();
        for Held { vote, leader } in votes {
            match (holds(&vote), leader.as_ref().map(holds)) {
                (None, _) => self.refuse(at, sequencer(&world, vote.signer), "a vote with an invalid signature"),
                (_, Some(None)) => {
                    self.refuse(at, sequencer(&world, vote.signer), "a vote with an invalid leader signature");
                }
                (Some(vote), leader) => {
                    let leader = leader.flatten();
                    if let (Some(view), Some(process)) = (vote.statement.view(), &mut self.nodes[at].process) {
                        process.intake.held.on_handed_on(&vote, leader.as_deref(), world.schedule.leader(view));
                    }
                    found.push_back(Checked::Vote { vote, leader });
                }
            }
        }
    }

    /// A certificate with our bit holds what our record holds, or the node has to stop
    /// (`DriverError::StaleSignRecord`): it must never come to that for an honest member. A node that forgets its record is
    /// left to the other checks. Returns whether the process goes on.
    pub(crate) fn check_record(&mut self, at: usize, certificate: &Verified<Certificate>) -> bool {
        let Some(process) = &self.nodes[at].process else { return false };
        let above = certificate.statement.view() > Some(process.machine.final_view());
        let record = self.nodes[at].record.live();
        let former = record.listens_in(process.epoch)
            && process.key_watch.may_be_of_a_former_life(view_of(&certificate.statement));
        let held = former || record.accounts_for(&certificate.statement);
        let seat = self.seat(at, certificate.statement.epoch());
        if held || !above || !seat.is_some_and(|seat| certificate.signers.contains(seat)) {
            return true;
        }
        match self.plan.craft(at) {
            None if self.plan.flaw == Some(Flaw::ForgetsRecord) => true,
            None => panic!("a certificate holds the signature of node {at}, but its record does not"),
            Some(craft) if craft.keeps_record() && self.plan.notices_own_bits => {
                self.stop(at);
                false
            }
            Some(_) => true,
        }
    }
}

fn view_of(statement: &Statement) -> View {
    statement.view().expect("nobody attests here")
}

fn key(statement: &Statement) -> (View, StatementKind, Option<BlockDigest>) {
    (view_of(statement), statement.kind(), statement.block())
}

fn place(signed: &SignedStatement) -> (View, MemberIndex, StatementKind) {
    (view_of(&signed.statement), signed.signer, signed.statement.kind())
}
