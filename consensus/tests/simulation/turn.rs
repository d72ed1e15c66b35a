//! A turn of the driver, as in `node/src/driver/turn.rs`: what it writes is staged, both files are synced at its end, and
//! only then do others hear of it. A process can die at any point: before the syncs, between them in either order, and when
//! some of what it says has left and the rest has not.

use std::rc::Rc;

use baton_consensus::{Outgoing, Verified};
use baton_proto::{Certificate, Epoch, SignedStatement, Statement};

use crate::{
    clock::Event,
    cluster::Cluster,
    disk::{Ledger, LedgerWrite, RecordWrite},
    epochs::turn_of,
    network::Packet,
    plan::Flaw,
};

/// Longest time for which more inputs join a turn: what waits while the disk is busy with the turn before.
const TURN_MS_MAX: u64 = 8;

/// The turn that a process is in.
#[derive(Default)]
pub(crate) struct Turn {
    inputs: usize,
    /// The event that ends it, if it is open.
    end: Option<u64>,
    said: Vec<(Vec<usize>, Packet)>,
}

/// The two files of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum File {
    Record,
    Ledger,
}

impl Cluster {
    /// Stages a write of the ledger. A certificate that holds a signature of ours waits for our record of it.
    pub(crate) fn write(&mut self, at: usize, write: LedgerWrite) {
        let certificate = match &write {
            LedgerWrite::Certificate(certificate) | LedgerWrite::Final { certificate, .. } => Some(certificate),
            LedgerWrite::Body(_) => None,
        };
        let is_ours = certificate.is_some_and(|certificate| self.holds_us(at, certificate));
        if is_ours && self.plan.flaw != Some(Flaw::CertifiesBeforeRecord) && self.nodes[at].record.is_staged() {
            if self.burn(at) {
                return;
            }
            self.nodes[at].record.sync();
            self.counts.early_syncs += 1;
        }
        if !self.burn(at) {
            self.nodes[at].ledger.write(write);
            self.burn(at);
        }
    }

    /// Stages a statement. A Finalize waits for the body of its block and for the notarization: it binds for good.
    pub(crate) fn record(&mut self, at: usize, statement: Statement) {
        if self.waits_for_ledger(at, &statement) {
            if self.burn(at) {
                return;
            }
            self.nodes[at].ledger.sync();
            self.counts.early_bodies += 1;
        }
        if !self.burn(at) {
            self.write_record(at, RecordWrite::Said(statement));
        }
    }

    fn waits_for_ledger(&self, at: usize, statement: &Statement) -> bool {
        match missing(statement, self.nodes[at].ledger.platter()) {
            [true, _] => self.plan.flaw != Some(Flaw::FinalizesBeforeBody),
            [false, true] => self.plan.flaw != Some(Flaw::FinalizesBeforeNotarization),
            [false, false] => false,
        }
    }

    /// Stages a write of the sign record.
    pub(crate) fn write_record(&mut self, at: usize, write: RecordWrite) {
        self.nodes[at].record.write(write);
        self.burn(at);
    }

    fn holds_us(&self, at: usize, certificate: &Certificate) -> bool {
        self.seat(at, certificate.statement.epoch()).is_some_and(|seat| certificate.signers.contains(seat))
    }

    /// Final blocks survive every crash. A certificate that our own signature completed never survives a crash that our
    /// record of it does not, nor a Finalize in the record one that the body and the notarization of its block do not.
    pub(crate) fn check_survivors(&mut self, at: usize) {
        self.watch.keeps(at, self.nodes[at].ledger.platter().height());
        let node = &self.nodes[at];
        if node.record.platter().may_lack() {
            return;
        }
        let lacks = |held: &&Verified<Certificate>| {
            self.holds_us(at, held) && !node.record.platter().accounts_for(&held.statement)
        };
        let lost = node.ledger.platter().certificates().find(lacks).map(|held| held.statement);
        assert!(lost.is_none(), "the ledger of node {at} has its signature, and its record has lost it: {lost:?}");
        let (record, ledger) = (node.record.platter(), node.ledger.platter());
        let over = ledger.chain().last().map(|head| (head.epoch, head.view));
        let open = record.finalizes().filter(|statement| over.is_none_or(|over| turn_of(statement) > over));
        // Where safety is broken, a block that we finalized can lose to another one.
        let is_excused = |block| self.plan.lawless && ledger.has_lost(block);
        for bound in open.filter(|statement| !statement.block().is_some_and(is_excused)) {
            let [body, notarization] = missing(bound, ledger);
            assert!(!body, "the record of node {at} binds it to a block that its ledger has lost: {bound:?}");
            assert!(!notarization, "the record of node {at} binds it to a block whose notarization is lost: {bound:?}");
        }
    }

    /// Says something at the end of the turn.
    pub(crate) fn say(&mut self, at: usize, to: Vec<usize>, packet: Packet) {
        if let Some(process) = &mut self.nodes[at].process {
            process.turn.said.push((to, packet));
        }
    }

    /// An input has been taken. Others join its turn for a while, up to a number.
    pub(crate) fn after_input(&mut self, at: usize) {
        let inputs_max = self.plan.turn_inputs_max;
        let Some(process) = &mut self.nodes[at].process else { return };
        process.turn.inputs += 1;
        if process.turn.inputs >= inputs_max || process.follow.is_some() {
            return self.end_turn(at);
        }
        if process.turn.end.is_none() {
            let (life, set) = (process.life, self.clock.coming());
            process.turn.end = Some(set);
            let open = self.random.below(TURN_MS_MAX);
            self.clock.after(open, Event::TurnEnd { at, life, set });
        }
    }

    /// The time of a turn is over, unless it has ended already.
    pub(crate) fn turn_is_over(&mut self, at: usize, set: u64) {
        let open = self.nodes[at].process.as_ref().and_then(|process| process.turn.end);
        if open == Some(set) {
            self.end_turn(at);
        }
    }

    /// Once the disk has what was written in the turn, others hear of it.
    fn end_turn(&mut self, at: usize) {
        let Some(process) = &mut self.nodes[at].process else { return };
        let Turn { inputs, said, .. } = std::mem::take(&mut process.turn);
        self.counts.shared_turns += u64::from(inputs > 1);
        let late = match self.plan.flaw {
            Some(Flaw::SpeaksBeforeRecord) => Some(File::Record),
            Some(Flaw::OvertakesPersist) => Some(File::Ledger),
            _ => None,
        };
        let files = if self.random.chance(50) { [File::Record, File::Ledger] } else { [File::Ledger, File::Record] };
        let staged: Vec<File> = files.into_iter().filter(|file| self.is_staged(at, *file)).collect();
        if !staged.is_empty() {
            self.light_fuse(at);
        }
        for (done, file) in staged.iter().enumerate() {
            if self.burn(at) {
                self.counts.torn_syncs += done as u64;
                return;
            }
            if late != Some(*file) {
                self.sync(at, *file);
            }
        }
        for (to, packet) in said {
            if !self.speak(at, &to, packet) {
                return;
            }
        }
        late.into_iter().for_each(|file| self.sync(at, file));
        self.forget_statements(at);
        self.publish(at);
        self.follow(at);
    }

    /// Lights the fuse that a trouble has laid, if this is the turn that it was laid for.
    fn light_fuse(&mut self, at: usize) {
        let Some(process) = &mut self.nodes[at].process else { return };
        match &mut process.end_fuse {
            None => {}
            Some((0, steps)) => {
                process.fuse = Some(*steps);
                process.end_fuse = None;
            }
            Some((turns, _)) => *turns -= 1,
        }
    }

    fn is_staged(&self, at: usize, file: File) -> bool {
        let node = &self.nodes[at];
        match file {
            File::Record => node.record.is_staged(),
            File::Ledger => node.ledger.is_staged(),
        }
    }

    fn sync(&mut self, at: usize, file: File) {
        let node = &mut self.nodes[at];
        match file {
            File::Record => node.record.sync(),
            File::Ledger => node.ledger.sync(),
        }
    }

    /// Sends what the turn had to say. Returns whether the process lived to say all of it.
    fn speak(&mut self, at: usize, to: &[usize], packet: Packet) -> bool {
        if self.plan.craft(at).is_some() && !matches!(packet, Packet::Evidence(_)) {
            self.lie(at, to, packet);
            return true;
        }
        let view = |signed: &SignedStatement| signed.statement.view();
        if matches!(&packet, Packet::Proposal { header, notarize } if Some(header.view) < view(notarize)) {
            self.counts.again += 1;
        }
        let node = &self.nodes[at];
        if self.plan.craft(at).is_none() {
            self.watch.leaves(at, &packet, node.record.platter(), node.ledger.platter());
        }
        let packet = Rc::new(packet);
        for to in to {
            if self.burn(at) {
                self.counts.torn_words += 1;
                return false;
            }
            self.send(at, *to, &packet);
        }
        true
    }
}

/// Whether a ledger lacks what a statement binds its member to: a Finalize to the body of its block, and to the notarization
/// that called for it.
fn missing(statement: &Statement, ledger: &Ledger) -> [bool; 2] {
    let Statement::Finalize { epoch, view, block } = *statement else { return [false; 2] };
    [ledger.body(block).is_none(), !ledger.proves(&Statement::Notarize { epoch, view, block })]
}

/// Turns what a machine says into what goes over the network.
pub(crate) fn packet(message: Outgoing, epoch: Epoch) -> Packet {
    match message {
        Outgoing::Proposal { header, notarize } => Packet::Proposal { header, notarize },
        Outgoing::Vote { vote, leader } => Packet::Vote { vote, leader },
        Outgoing::Certificate(certificate) => Packet::Certificate(certificate),
        Outgoing::CertificateRequest { view } => Packet::Request((epoch, view)),
    }
}
