//! A disk that a crash robs of what was not synced.
//!
//! The node has two stores, the sign record and the ledger, each with a log of its own in which writes keep their order
//! (`node/src/ledger/engine.rs`). So a crash leaves some prefix of what was written, never less than what was synced. A
//! write is whole or not there: a torn last record is dropped when the log is opened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use baton_consensus::{Recovered, Verified};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Epoch, Epochs, Height, Offence, Statement, StatementKind, View,
};

use crate::{
    epochs::{Turn, turn_of},
    random::Random,
};

/// What a store holds, and how a write changes it.
pub(crate) trait State: Clone + Default {
    type Write: Clone;

    fn apply(&mut self, write: Self::Write);
}

/// A store: what its process reads, and what is on the platter.
pub(crate) struct Store<S: State> {
    live: S,
    platter: S,
    unsynced: VecDeque<S::Write>,
}

impl<S: State> Default for Store<S> {
    fn default() -> Self {
        Self { live: S::default(), platter: S::default(), unsynced: VecDeque::new() }
    }
}

impl<S: State> Store<S> {
    pub(crate) fn write(&mut self, write: S::Write) {
        self.live.apply(write.clone());
        self.unsynced.push_back(write);
    }

    pub(crate) fn sync(&mut self) {
        self.unsynced.drain(..).for_each(|write| self.platter.apply(write));
    }

    /// Whether a crash could take something along.
    pub(crate) fn is_staged(&self) -> bool {
        !self.unsynced.is_empty()
    }

    /// The process or its machine dies. Returns how many writes are lost.
    pub(crate) fn crash(&mut self, random: &mut Random) -> usize {
        if !self.unsynced.is_empty() {
            let kept = random.index(self.unsynced.len() + 1);
            self.unsynced.drain(..kept).for_each(|write| self.platter.apply(write));
        }
        let lost = self.unsynced.len();
        self.unsynced.clear();
        self.live = self.platter.clone();
        lost
    }

    /// An operator restores an old copy.
    pub(crate) fn restore(&mut self, copy: S) {
        *self = Self { live: copy.clone(), platter: copy, unsynced: VecDeque::new() };
    }

    pub(crate) fn wipe(&mut self) {
        *self = Self::default();
    }

    /// What the process reads.
    pub(crate) const fn live(&self) -> &S {
        &self.live
    }

    /// What would survive a crash for sure.
    pub(crate) const fn platter(&self) -> &S {
        &self.platter
    }
}

/// Everything that this key signed, or all of it from some view on (`node/src/signer/record.rs`).
#[derive(Clone, Default)]
pub(crate) struct Record {
    said: BTreeMap<(Turn, StatementKind), Statement>,
    floor: Turn,
    /// It may lack statements, so nothing is signed before the epoch after `quiet`.
    may_lack: bool,
    quiet: Option<Epoch>,
}

/// One write to the sign record.
#[derive(Clone)]
pub(crate) enum RecordWrite {
    Said(Statement),
    /// What was said in earlier views is forgotten, and nothing is signed in them.
    Forget(Turn),
    /// A quorum was heard out in this epoch.
    Settle(Epoch),
}

impl State for Record {
    type Write = RecordWrite;

    fn apply(&mut self, write: RecordWrite) {
        match write {
            RecordWrite::Said(statement) => {
                self.said.insert((turn_of(&statement), statement.kind()), statement);
            }
            RecordWrite::Forget(floor) => {
                self.said = self.said.split_off(&(floor, StatementKind::Notarize));
                self.floor = floor;
            }
            RecordWrite::Settle(epoch) => {
                self.quiet.get_or_insert(epoch);
            }
        }
    }
}

impl Record {
    /// An empty record of a key that has spoken before.
    pub(crate) fn listening() -> Self {
        Self { may_lack: true, ..Self::default() }
    }

    pub(crate) const fn may_lack(&self) -> bool {
        self.may_lack
    }

    /// Whether nothing is signed in an epoch (`SignRecord::listens_in`).
    pub(crate) fn listens_in(&self, epoch: Epoch) -> bool {
        self.may_lack && self.quiet.is_none_or(|quiet| epoch <= quiet)
    }

    pub(crate) fn holds(&self, statement: &Statement) -> bool {
        self.said.get(&(turn_of(statement), statement.kind())) == Some(statement)
    }

    pub(crate) fn finalizes(&self) -> impl Iterator<Item = &Statement> {
        self.said.values().filter(|statement| statement.kind() == StatementKind::Finalize)
    }

    pub(crate) fn is_forgotten(&self, statement: &Statement) -> bool {
        turn_of(statement) < self.floor
    }

    /// Whether the key may have said this as far as the record goes.
    pub(crate) fn accounts_for(&self, statement: &Statement) -> bool {
        self.is_forgotten(statement) || self.holds(statement)
    }

    pub(crate) const fn floor(&self) -> Turn {
        self.floor
    }

    pub(crate) fn len(&self) -> usize {
        self.said.len()
    }

    /// Returns what forbids to sign `asked` (`node/src/signer/rules.rs`).
    pub(crate) fn against(&self, asked: &Statement) -> Option<&Statement> {
        let turn = turn_of(asked);
        let said = self.said.range((turn, StatementKind::Notarize)..).take_while(|((at, _), _)| *at == turn);
        let given_up = |said: &Statement| {
            said.kind() == StatementKind::Nullify && asked.kind() == StatementKind::Notarize && !self.holds(asked)
        };
        said.map(|(_, said)| said).find(|said| Offence::of(said, asked).is_some() || given_up(said))
    }
}

/// Blocks, certificates and the final chain (`node/src/ledger`).
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    certificates: BTreeMap<(Turn, StatementKind, Option<BlockDigest>), Verified<Certificate>>,
    /// Bodies; a header stands for its block.
    bodies: BTreeMap<BlockDigest, BlockHeader>,
    chain: Vec<BlockHeader>,
    /// Finalizations of final blocks: what ranges are proven with.
    finalizations: BTreeMap<Height, Verified<Certificate>>,
    /// Blocks whose bodies were dropped because another one of their height is final. Only checks ask for them.
    lost: BTreeSet<BlockDigest>,
}

/// One atomic step of the ledger.
#[derive(Clone)]
pub(crate) enum LedgerWrite {
    Body(BlockHeader),
    Certificate(Verified<Certificate>),
    Final { certificate: Verified<Certificate>, chain: Vec<BlockHeader> },
}

impl State for Ledger {
    type Write = LedgerWrite;

    fn apply(&mut self, write: LedgerWrite) {
        match write {
            LedgerWrite::Body(header) => {
                self.bodies.insert(header.digest(), header);
            }
            LedgerWrite::Certificate(certificate) => self.add_certificate(certificate),
            LedgerWrite::Final { certificate, chain } => {
                // A handover block can be final in a later view than its own.
                if let Some(last) = chain.last().filter(|last| Some(last.digest()) == certificate.statement.block()) {
                    self.finalizations.insert(last.height, certificate.clone());
                }
                self.add_certificate(certificate);
                for header in chain {
                    let block = header.digest();
                    let key = ((header.epoch, header.view), StatementKind::Finalize, Some(block));
                    if let Some(held) = self.certificates.get(&key) {
                        self.finalizations.insert(header.height, held.clone());
                    }
                    self.bodies.insert(block, header.clone());
                    self.chain.push(header);
                }
                // Bodies that lost to a final one are dropped.
                let height = self.height();
                let lost = |header: &BlockHeader| {
                    header.height.get() <= height && self.chain[header.height.get() as usize - 1] != *header
                };
                self.lost.extend(self.bodies.extract_if(.., |_, header| lost(header)).map(|(block, _)| block));
            }
        }
    }
}

impl Ledger {
    fn add_certificate(&mut self, certificate: Verified<Certificate>) {
        self.certificates.entry(key(&certificate.statement)).or_insert(certificate);
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = &Verified<Certificate>> {
        self.certificates.values()
    }

    pub(crate) fn height(&self) -> u64 {
        self.chain.len() as u64
    }

    pub(crate) fn chain(&self) -> &[BlockHeader] {
        &self.chain
    }

    pub(crate) fn body(&self, block: BlockDigest) -> Option<&BlockHeader> {
        self.bodies.get(&block)
    }

    /// Returns whether a block was here, and another one of its height became final.
    pub(crate) fn has_lost(&self, block: BlockDigest) -> bool {
        self.lost.contains(&block)
    }

    pub(crate) fn holds(&self, certificate: &Certificate) -> bool {
        self.proves(&certificate.statement)
    }

    /// Returns whether a certificate of exactly this statement is here.
    pub(crate) fn proves(&self, statement: &Statement) -> bool {
        self.certificates.contains_key(&key(statement))
    }

    pub(crate) fn is_final(&self, block: BlockDigest) -> bool {
        let header = self.bodies.get(&block);
        let index = header.and_then(|header| usize::try_from(header.height.previous()?.get()).ok());
        index.and_then(|index| self.chain.get(index)).is_some_and(|at_height| at_height.digest() == block)
    }

    /// Returns final blocks above `height`, at most `blocks_max`, and the finalization that proves them
    /// (`node/src/sync/serve.rs`).
    pub(crate) fn range(&self, height: u64, blocks_max: usize) -> Option<(Vec<BlockHeader>, Verified<Certificate>)> {
        let above = self.chain.get(usize::try_from(height).ok()?..)?;
        let epoch = above.first()?.epoch;
        let of_one_epoch = above.iter().take_while(|header| header.epoch == epoch);
        let blocks: Vec<BlockHeader> = of_one_epoch.take(blocks_max).cloned().collect();
        let (_, certificate) = self.finalizations.range(blocks.last()?.height..).next()?;
        assert_eq!(
            certificate.statement.epoch(),
            epoch,
            "whoever left an epoch holds the finalization of its last block"
        );
        Some((blocks, certificate.clone()))
    }

    /// Returns the finalization of the last block of an epoch that is over here.
    pub(crate) fn end_of(&self, epoch: Epoch) -> Option<&Verified<Certificate>> {
        let last = self.chain.iter().rev().find(|header| header.epoch <= epoch)?;
        self.finalizations.get(&last.height).filter(|_| last.epoch == epoch)
    }

    /// Returns the last block of the epochs before this one.
    fn root_of<'a>(&'a self, epoch: Epoch, genesis: &'a BlockHeader) -> &'a BlockHeader {
        self.chain.iter().rev().find(|header| header.epoch < epoch).unwrap_or(genesis)
    }
}

/// Two certificates of one view and kind are of two blocks, and both are kept.
fn key(statement: &Statement) -> (Turn, StatementKind, Option<BlockDigest>) {
    (turn_of(statement), statement.kind(), statement.block())
}

/// Returns the epoch that runs, its root, and what its machine starts from (`node/src/node/open.rs`, `recovered`).
pub(crate) fn recovered(
    record: &Record,
    ledger: &Ledger,
    genesis: &BlockHeader,
    epochs: &Epochs,
) -> (Epoch, BlockHeader, Recovered) {
    let head = ledger.chain.last().unwrap_or(genesis).clone();
    let epoch = epochs.of(head.origin.number);
    let root = ledger.root_of(epoch, genesis).clone();
    let view = if head == root { View::ZERO } else { head.view };
    let from = ((epoch, view), StatementKind::Notarize);
    // Not only those of the running epoch.
    let above = ledger.bodies.values().filter(|header| header.height > head.height);
    let recovered = Recovered {
        statements: record.said.range(from..).map(|(_, statement)| *statement).collect(),
        certificates: ledger
            .certificates
            .range((from.0, from.1, None)..)
            .map(|(_, certificate)| certificate.clone())
            .collect(),
        headers: above.cloned().collect(),
        head,
    };
    (epoch, root, recovered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{finalize, nullify};

    #[test]
    fn a_crash_leaves_a_prefix_and_never_less_than_what_was_synced() {
        let mut left = [0; 4];
        for seed in 0..100 {
            let mut store = Store::<Record>::default();
            store.write(RecordWrite::Said(nullify(1)));
            store.sync();
            (2..=4).for_each(|view| store.write(RecordWrite::Said(nullify(view))));
            assert!((1..=4).all(|view| store.live().holds(&nullify(view))));
            let lost = store.crash(&mut Random::new(seed));
            assert!((1..=4).all(|view| store.live().holds(&nullify(view)) == (view <= 4 - lost as u64)));
            left[lost] += 1;
        }
        assert!(left.iter().all(|count| *count > 10), "{left:?}");
    }

    #[test]
    fn the_record_forbids_what_is_punishable() {
        let mut record = Record::default();
        record.apply(RecordWrite::Said(nullify(3)));
        let block = BlockDigest::ZERO;
        assert_eq!(record.against(&finalize(3, block)), Some(&nullify(3)));
        assert_eq!(record.against(&crate::common::notarize(3, block)), Some(&nullify(3)));
        assert_eq!((record.against(&nullify(3)), record.against(&finalize(4, block))), (None, None));
        record.apply(RecordWrite::Forget(turn_of(&nullify(4))));
        assert!(record.len() == 0 && record.is_forgotten(&nullify(3)) && !record.is_forgotten(&nullify(4)));
    }
}
