//! What must hold at every step, whatever goes wrong. Each check reads only what left a process, what is on a disk, or
//! what a machine says of itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use baton_consensus::{AHEAD_VIEWS, Effect, Machine, RETENTION_VIEWS, Rejected};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Epoch, Epochs, Evidence, MemberIndex, Offence, Statement, StatementKind,
    View,
};

use crate::{
    actors::INVALID_GAS,
    common::{Insecure, World},
    disk::{Ledger, Record},
    epochs::{Turn, sequencer, turn_of},
    network::Packet,
    plan::Plan,
    report,
};

/// No timer runs longer (protocol section 5: "up to 30 s").
pub(crate) const TIMER_MS_MAX: u64 = 30_000;

/// Timers of one view.
const TIMERS_MAX: usize = 5;

/// Votes of one member that are kept for one view: a Notarize, a Finalize and a Nullify.
const VOTES_PER_VIEW: usize = 3;

/// Blocks that are kept for one view: the leader's first and second, and one that a certificate or a descendant names.
const BLOCKS_PER_VIEW: usize = 3;

/// How often the maps of a machine are measured, in turns.
const MEASURE_EVERY: u64 = 32;

/// Where a machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    view: View,
    final_view: View,
    height: u64,
}

impl Marks {
    pub(crate) fn of(machine: &Machine<Insecure>) -> Self {
        Self { view: machine.view(), final_view: machine.final_view(), height: machine.head().height.get() }
    }
}

/// Sees everything and believes nobody.
pub(crate) struct Watch {
    worlds: BTreeMap<Epoch, Rc<World>>,
    epochs: Epochs,
    /// Sequencers; the followers are honest too and speak nowhere.
    honest: Vec<bool>,
    genesis: BlockHeader,
    /// What keys of honest members have signed, and what of it was sent.
    signed: BTreeMap<(usize, Turn), Vec<Statement>>,
    sent: BTreeMap<(usize, Turn), Vec<Statement>>,
    /// The highest view for which each member asked for, or gave up on, a block.
    spoke: Vec<Turn>,
    /// Certified statements: at most one block of each view and kind.
    certified: BTreeMap<(Turn, StatementKind), Statement>,
    /// The highest view of each epoch that anybody was in, or has a certificate of.
    tops: BTreeMap<Epoch, View>,
    /// The last block of each epoch that is over somewhere.
    ended: BTreeMap<Epoch, BlockDigest>,
    /// The one final chain, by height from 1, and how much of it each node has promised to keep.
    finals: Vec<BlockDigest>,
    kept: Vec<u64>,
    /// The final view of each machine when it last entered a view or made a block final: from then on it forgets what lies too
    /// far below.
    pruned: BTreeMap<(usize, Epoch), View>,
    convicted: BTreeSet<(usize, Turn, Offence)>,
    turns: u64,
    /// Agreement may break: that it did is noted, and no failure.
    lawless: bool,
    broken: bool,
    /// When each block was built, and how long it took to be final, once for each honest node, in ms.
    built: BTreeMap<BlockDigest, u64>,
    latencies_ms: Vec<u64>,
}

impl Watch {
    pub(crate) fn new(worlds: &[Rc<World>], plan: &Plan) -> Self {
        let (world, nodes) = (&worlds[0], plan.nodes());
        Self {
            worlds: worlds.iter().map(|world| (world.committee.epoch(), Rc::clone(world))).collect(),
            epochs: world.config.epochs,
            honest: (0..plan.weights.len()).map(|sequencer| !plan.liars.contains_key(&sequencer)).collect(),
            genesis: world.genesis.clone(),
            signed: BTreeMap::new(),
            sent: BTreeMap::new(),
            spoke: vec![(Epoch::ZERO, View::ZERO); nodes],
            certified: BTreeMap::new(),
            tops: BTreeMap::from([(world.committee.epoch(), View::ZERO)]),
            ended: BTreeMap::new(),
            finals: Vec::new(),
            kept: vec![0; nodes],
            pruned: BTreeMap::new(),
            convicted: BTreeSet::new(),
            turns: 0,
            lawless: plan.lawless,
            broken: false,
            built: BTreeMap::new(),
            latencies_ms: Vec::new(),
        }
    }

    /// Blocks that are final somewhere.
    pub(crate) fn height(&self) -> u64 {
        self.finals.len() as u64
    }

    /// The highest view of the latest epoch that anybody was in, or has a certificate of.
    pub(crate) fn top_turn(&self) -> Turn {
        self.tops.last_key_value().map(|(epoch, view)| (*epoch, *view)).expect("there is a first epoch")
    }

    /// The same, of every epoch.
    pub(crate) const fn tops(&self) -> &BTreeMap<Epoch, View> {
        &self.tops
    }

    fn reached(&mut self, (epoch, view): Turn) {
        let top = self.tops.entry(epoch).or_default();
        *top = view.max(*top);
    }

    /// Whether honest nodes finalized conflicting blocks.
    pub(crate) const fn is_broken(&self) -> bool {
        self.broken
    }

    pub(crate) fn convicted_members(&self) -> BTreeSet<usize> {
        self.convicted.iter().map(|(sequencer, _, _)| *sequencer).collect()
    }

    fn sequencer(&self, epoch: Epoch, seat: MemberIndex) -> usize {
        sequencer(&self.worlds[&epoch], seat)
    }

    pub(crate) fn latencies_ms(&self) -> &[u64] {
        &self.latencies_ms
    }

    pub(crate) fn built(&mut self, header: &BlockHeader, now_ms: u64) {
        self.built.insert(header.digest(), now_ms);
    }

    pub(crate) fn convictions(&self) -> u64 {
        self.convicted.len() as u64
    }

    /// After one input: nothing falls, nothing grows without bound, and a refused input did nothing.
    pub(crate) fn turn(
        &mut self,
        (at, epoch, stored): (usize, Epoch, usize),
        before: Marks,
        machine: &Machine<Insecure>,
        result: &Result<(), Rejected>,
        effects: &[Effect],
    ) {
        let after = Marks::of(machine);
        if let Err(rejected) = result {
            assert!(effects.is_empty() && after == before, "node {at} refused an input ({rejected}) and acted on it");
        }
        let falls = after.view < before.view || after.final_view < before.final_view || after.height < before.height;
        assert!(!falls, "node {at} fell from {before:?} to {after:?}");
        self.reached((epoch, after.view));
        let moved = effects.iter().any(|effect| matches!(effect, Effect::Entered { .. } | Effect::Finalized { .. }));
        if moved || after.height > before.height {
            self.pruned.insert((at, epoch), after.final_view);
        }
        self.turns += 1;
        if self.turns.is_multiple_of(MEASURE_EVERY) {
            self.measure((at, epoch, stored), machine);
        }
    }

    /// `stored`: blocks that the machine was given at its start.
    fn measure(&self, (at, epoch, stored): (usize, Epoch, usize), machine: &Machine<Insecure>) {
        let held = machine.remembered();
        let pruned = self.pruned.get(&(at, epoch)).copied().unwrap_or_default();
        let open = self.tops[&epoch].get().saturating_sub(pruned.get());
        let views = usize::try_from(RETENTION_VIEWS + open + AHEAD_VIEWS + 1).unwrap();
        assert!(held.views <= views, "node {at} remembers {held:?}, more than {views} views");
        let votes = held.views * VOTES_PER_VIEW * self.honest.len();
        assert!(held.votes <= votes, "node {at} remembers {held:?}, more than {votes} votes");
        let blocks = held.views * BLOCKS_PER_VIEW + stored;
        assert!(held.blocks <= blocks, "node {at} remembers {held:?}, more than {blocks} blocks");
    }

    /// A sign record that forgets holds three statements for each view that it need not have forgotten.
    pub(crate) fn record(at: usize, statements: usize, views: u64) {
        assert!(
            statements as u64 <= 3 * views,
            "the record of node {at} holds {statements} statements of {views} views"
        );
    }

    pub(crate) fn timer(at: usize, after_ms: u64, pending: usize) {
        assert!(after_ms <= TIMER_MS_MAX, "node {at} waits for {after_ms} ms");
        assert!(pending <= TIMERS_MAX, "node {at} has {pending} timers");
    }

    /// A signature of an honest member exists.
    pub(crate) fn signed(&mut self, at: usize, statement: Statement) {
        let signed = self.signed.entry((at, turn_of(&statement))).or_default();
        if !signed.contains(&statement) {
            signed.push(statement);
        }
    }

    /// What each honest sequencer signed, view by view.
    pub(crate) fn honest_statements(&self) -> BTreeMap<usize, Vec<Vec<Statement>>> {
        let mut all: BTreeMap<usize, Vec<Vec<Statement>>> = BTreeMap::new();
        for ((sequencer, _), statements) in &self.signed {
            all.entry(*sequencer).or_default().push(statements.clone());
        }
        all
    }

    /// An honest member votes for a block (I4): whatever liars propose, it stands on a block that is final or notarized here,
    /// no handover block of this epoch, and every view between is nullified. A handover block proposed again stands on itself.
    pub(crate) fn may_notarize(&self, at: usize, statement: &Statement, ledger: &Ledger) {
        let Statement::Notarize { epoch, view, block } = *statement else { return };
        let text = report::statement(statement);
        // That the body is there is checked when the vote leaves.
        let Some(header) = ledger.body(block) else { return };
        let notarized = |view, block| {
            ledger.proves(&Statement::Notarize { epoch, view, block })
                || ledger.proves(&Statement::Finalize { epoch, view, block })
        };
        let below = if header.view < view {
            assert!(self.is_last(header, epoch), "node {at} votes again for an ordinary block: {text}");
            (header.view.get()..view.get()).rev().map(View::new).find(|view| notarized(*view, block))
        } else {
            let parent =
                if header.parent == self.genesis.digest() { Some(&self.genesis) } else { ledger.body(header.parent) };
            // A vote waits until a quorum is heard out. Where safety is broken, its branch can lose in between.
            if self.lawless && ledger.has_lost(header.parent) {
                return;
            }
            let parent = parent.unwrap_or_else(|| panic!("node {at} votes for a block whose parent it lacks: {text}"));
            assert!(!self.is_last(parent, epoch), "node {at} votes for a block on a handover block: {text}");
            let is_genesis = parent.height == self.genesis.height;
            let parent_view = if is_genesis || parent.epoch < epoch { View::ZERO } else { parent.view };
            let is_final = is_genesis || ledger.is_final(header.parent);
            (is_final || notarized(parent_view, header.parent)).then_some(parent_view)
        };
        let below = below.unwrap_or_else(|| panic!("node {at} votes for a block on an unproven one: {text}"));
        for between in (below.get() + 1..view.get()).map(View::new) {
            let nullified = ledger.proves(&Statement::Nullify { epoch, view: between });
            assert!(nullified, "node {at} votes over view {between}, which is not nullified: {text}");
        }
    }

    fn is_last(&self, header: &BlockHeader, epoch: Epoch) -> bool {
        self.epochs.of(header.origin.number) > epoch
    }

    /// An honest process says something: it is durable, and nothing it ever said, in any life, is punishable beside it.
    pub(crate) fn leaves(&mut self, at: usize, packet: &Packet, record: &Record, ledger: &Ledger) {
        let vote = match packet {
            Packet::Request(_) | Packet::Evidence(_) => return,
            Packet::Certificate(certificate) => {
                assert!(
                    ledger.holds(certificate),
                    "node {at} sent a certificate that is not on its disk: {}",
                    report::statement(&certificate.statement)
                );
                return self.certificate(certificate);
            }
            Packet::Proposal { notarize, .. } => notarize,
            Packet::Vote { vote, .. } => vote,
        };
        let statement = vote.statement;
        let text = report::statement(&statement);
        let turn = turn_of(&statement);
        assert_eq!(self.sequencer(turn.0, vote.signer), at, "node {at} sent what {} signed", vote.signer);
        assert!(record.accounts_for(&statement), "node {at} sent what is not on its disk: {text}");
        if let (StatementKind::Notarize, Some(block)) = (statement.kind(), statement.block()) {
            // A body is dropped when another block of its height is final. The vote may still go out: it can convict.
            let is_over = ledger.chain().last().is_some_and(|head| (head.epoch, head.view) >= turn);
            let stored = ledger.body(block).is_some() || is_over;
            assert!(stored, "node {at} voted for a block that is not on its disk: {text}");
        }
        if statement.kind() != StatementKind::Finalize {
            self.spoke[at] = self.spoke[at].max(turn);
        }
        let sent = self.sent.entry((at, turn)).or_default();
        let pair = sent.iter().find(|said| Offence::of(said, &statement).is_some());
        assert!(pair.is_none(), "node {at} contradicts itself: {} and {text}", report::statement(pair.unwrap()));
        if !sent.contains(&statement) {
            sent.push(statement);
        }
    }

    /// A liar says something.
    pub(crate) fn lies(&mut self, at: usize, packet: &Packet) {
        let (Packet::Proposal { notarize: vote, .. } | Packet::Vote { vote, .. }) = packet else { return };
        let sent = self.sent.entry((at, turn_of(&vote.statement))).or_default();
        if !sent.contains(&vote.statement) {
            sent.push(vote.statement);
        }
    }

    /// A certificate is more than two thirds of the weight, its honest signers did sign, and none contradicts it.
    fn certificate(&mut self, certificate: &Certificate) {
        let statement = certificate.statement;
        let turn = turn_of(&statement);
        let text = report::statement(&statement);
        let members = self.worlds[&turn.0].committee.members();
        let weight: u64 = certificate.signers.iter().map(|signer| members[signer.as_usize()].weight.get()).sum();
        let total: u64 = members.iter().map(|member| member.weight.get()).sum();
        assert!(3 * weight > 2 * total, "a certificate of {weight} of {total}: {text}");
        let signers = certificate.signers.iter().map(|signer| self.sequencer(turn.0, signer));
        for signer in signers.filter(|signer| self.honest[*signer]) {
            let signed = self.signed.get(&(signer, turn)).is_some_and(|signed| signed.contains(&statement));
            assert!(signed, "a certificate names {signer}, who never signed it: {text}");
        }
        self.reached(turn);
        if self.lawless {
            return;
        }
        let first = *self.certified.entry((turn, statement.kind())).or_insert(statement);
        assert_eq!(first, statement, "two certificates of one kind in one view");
        let rivals = [StatementKind::Finalize, StatementKind::Nullify];
        let both = rivals.iter().all(|kind| self.certified.contains_key(&(turn, *kind)));
        assert!(!both, "a view is finalized and nullified: {text}");
    }

    /// Agreement: every honest node's final chain is a prefix of one chain.
    pub(crate) fn is_final(&mut self, at: usize, head: Option<&BlockHeader>, header: &BlockHeader, now_ms: u64) {
        let (block, height) = (header.digest(), header.height.get());
        let head = head.unwrap_or(&self.genesis);
        let below = head.height.get();
        assert_eq!(
            (header.parent, height),
            (head.digest(), below + 1),
            "node {at} finalizes what does not build on its head"
        );
        let epoch = self.epochs.of(head.origin.number);
        assert_eq!(header.epoch, epoch, "node {at} finalizes a block of another epoch than the one that runs");
        assert!(header.origin.number >= head.origin.number, "node {at} finalizes a block with an older origin");
        assert_ne!(header.declared_gas, INVALID_GAS, "node {at} finalizes an invalid block");
        let index = usize::try_from(below).unwrap();
        match self.finals.get(index) {
            None => self.finals.push(block),
            Some(first) if self.lawless => self.broken |= *first != block,
            Some(first) => assert_eq!(*first, block, "two final blocks at height {height}, one at node {at}"),
        }
        assert!(self.finals.len() > index, "final blocks without a gap");
        self.latencies_ms.extend(self.built.get(&block).map(|built| now_ms - built));
    }

    /// An epoch is over at a node: everywhere with the same block, which is the first one from beyond it.
    pub(crate) fn epoch_ended(&mut self, at: usize, last: &BlockHeader, next_epoch: Epoch) {
        if self.broken {
            return;
        }
        let (block, height) = (last.digest(), last.height.get());
        let final_block = self.finals.get(usize::try_from(height).unwrap() - 1);
        assert_eq!(final_block, Some(&block), "node {at} ends an epoch with a block that is not final");
        assert!(next_epoch > last.epoch, "node {at} ends epoch {} to begin {next_epoch}", last.epoch);
        assert_eq!(next_epoch, self.epochs.of(last.origin.number), "node {at} ends an epoch with an ordinary block");
        let first = *self.ended.entry(last.epoch).or_insert(block);
        assert_eq!(first, block, "node {at} ends epoch {} with another block than others did", last.epoch);
    }

    /// A node's final blocks are on its disk: from now on it may not lose them.
    pub(crate) fn keeps(&mut self, at: usize, height: u64) {
        assert!(height >= self.kept[at], "the final height of node {at} falls from {} to {height}", self.kept[at]);
        self.kept[at] = height;
    }

    /// How much the key of a node has said in a view.
    pub(crate) fn words(&self, at: usize, turn: Turn) -> usize {
        self.sent.get(&(at, turn)).map_or(0, Vec::len)
    }

    /// A node has lost its disk: what it kept and followed is no promise any more, but what it said is not unsaid.
    pub(crate) fn forgives(&mut self, at: usize) {
        self.kept[at] = 0;
        self.spoke[at] = (Epoch::ZERO, View::ZERO);
    }

    /// After a restart: every promise made before the crash is still known.
    pub(crate) fn restarted(&mut self, at: usize, turn: Turn, ledger: &Ledger) {
        self.keeps(at, ledger.height());
        let chain: Vec<BlockDigest> = ledger.chain().iter().map(BlockHeader::digest).collect();
        assert!(self.broken || self.finals.starts_with(&chain), "node {at} came back with another final chain");
        let spoke = self.spoke[at];
        // With too many liars its final head can lie on another branch than what it followed before.
        assert!(self.lawless || turn >= spoke, "node {at} spoke in {spoke:?} and came back in {turn:?}");
    }

    pub(crate) fn reports(&mut self, evidence: &Evidence) {
        let signer = self.sequencer(evidence.epoch(), evidence.signer());
        assert!(!self.honest[signer], "an honest member is accused: {evidence:?}");
        self.convicted.insert((signer, (evidence.epoch(), evidence.view()), evidence.offence()));
    }
}
