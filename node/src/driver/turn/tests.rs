//! What has reached which disk is told from a log of everything that happened, in the order in which it did.

use std::sync::{Arc, LazyLock, Mutex};

use alloy_primitives::{Address, B256};
use baton_execution::{Executor as _, NonceExecutor};
use baton_proto::{
    BlockHeader, Domain, Epoch, Forced, L1BlockNumber, L1ChainId, L1Origin, View,
    wire::{block_from_bytes, certificate_from_bytes},
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::{
    driver::testing::{L2, World, block_of, child},
    ledger::{ChainIdentity, Change, Durability, EngineError, Entry, Family, MemoryStore, Order, Store, StoreLedger},
};

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Recorded(Statement),
    RecordSynced,
    /// With the statements of the certificates in it that hold our signature.
    Written(Vec<Statement>),
    LedgerSynced,
    Said,
}

/// Both disks. The write or sync whose number is `fails_at` fails, and every one after it.
#[derive(Debug)]
struct Disks {
    log: Mutex<Vec<Event>>,
    /// Blocks of which the ledger's disk may lack the body or a notarization.
    unsynced: Mutex<Vec<BlockDigest>>,
    left: Mutex<usize>,
}

impl Disks {
    fn until(fails_at: usize) -> Arc<Self> {
        Arc::new(Self { log: Mutex::default(), unsynced: Mutex::default(), left: Mutex::new(fails_at) })
    }

    fn works(&self) -> bool {
        let mut left = self.left.lock().unwrap();
        *left = left.saturating_sub(1);
        *left > 0
    }

    fn note(&self, event: Event) {
        let mut unsynced = self.unsynced.lock().unwrap();
        match &event {
            Event::LedgerSynced => unsynced.clear(),
            Event::Recorded(Statement::Finalize { block, .. }) => {
                assert!(!unsynced.contains(block), "bound to {block} before the disk has it: {self:?}");
            }
            _ => {}
        }
        self.log.lock().unwrap().push(event);
    }
}

fn broken() -> EngineError {
    EngineError::DiskFull { path: "disk".into(), detail: "full".into() }
}

struct LedgerDisk {
    memory: MemoryStore,
    disks: Arc<Disks>,
}

impl Store for LedgerDisk {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, LedgerError> {
        self.memory.get(family, key)
    }

    fn scan(
        &self,
        family: Family,
        from: &[u8],
        to: &[u8],
        order: Order,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        self.memory.scan(family, from, to, order, limit)
    }

    fn write(&self, batch: Vec<Change>, durability: Durability) -> Result<(), LedgerError> {
        if !self.disks.works() {
            return Err(broken().into());
        }
        let mut ours = Vec::new();
        for change in &batch {
            let held = match change {
                Change::Put(Family::Certificates, _, value) => {
                    certificate_from_bytes(value).ok().and_then(|certificate| {
                        ours.extend(certificate.signers.contains(ME).then_some(certificate.statement));
                        certificate.statement.block()
                    })
                }
                Change::Put(Family::Blocks, _, value) => {
                    block_from_bytes(value).ok().map(|block| block.header.digest())
                }
                _ => None,
            };
            self.disks.unsynced.lock().unwrap().extend(held);
        }
        self.disks.note(Event::Written(ours));
        if durability == Durability::Synced {
            self.disks.note(Event::LedgerSynced);
        }
        self.memory.write(batch, durability)
    }

    fn sync(&self) -> Result<(), LedgerError> {
        if !self.disks.works() {
            return Err(broken().into());
        }
        self.disks.note(Event::LedgerSynced);
        Ok(())
    }
}

struct RecordDisk {
    world: Arc<World>,
    disks: Arc<Disks>,
}

impl Statements for RecordDisk {
    fn stage(&self, statement: Statement) -> Result<Verified<SignedStatement>, SignError> {
        if !self.disks.works() {
            return Err(SignError::Closed);
        }
        self.disks.note(Event::Recorded(statement));
        Ok(self.world.key(ME.get()).sign_as(ME, &statement, &self.world.domain))
    }

    fn sync(&self) -> Result<(), SignError> {
        if !self.disks.works() {
            return Err(SignError::Closed);
        }
        self.disks.note(Event::RecordSynced);
        Ok(())
    }
}

const ME: MemberIndex = MemberIndex::new(0);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What a turn does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Sign(u8),
    /// Signs a Finalize of the same block.
    Finalize(u8),
    /// Stores the certificate of what [`Step::Sign`] says of that view, with our signature in it or without.
    Certificate(u8, bool),
    Block(u8),
    Say,
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1..6_u8).prop_map(Step::Sign),
        2 => (1..6_u8).prop_map(Step::Finalize),
        3 => (1..6_u8, any::<bool>()).prop_map(|(view, ours)| Step::Certificate(view, ours)),
        1 => (1..6_u8).prop_map(Step::Block),
        2 => Just(Step::Say),
        2 => Just(Step::End),
    ];
    prop::collection::vec(step, 1..40)
}

fn statement(view: u8) -> Statement {
    let block = block(view).header.digest();
    Statement::Notarize { epoch: Epoch::new(2), view: View::new(view.into()), block }
}

/// The block that a view's statements are of.
fn block(view: u8) -> Block {
    block_of(view.into(), view.into(), Vec::new())
}

fn finalize(view: u8) -> Statement {
    Statement::Finalize { epoch: Epoch::new(2), view: View::new(view.into()), block: block(view).header.digest() }
}

struct Fixture {
    world: Arc<World>,
    disks: Arc<Disks>,
    turn: Turn<RecordDisk>,
}

fn fixture(world: &Arc<World>, fails_at: usize) -> Fixture {
    let disks = Disks::until(usize::MAX);
    let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2 };
    let chain = ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO };
    let store = LedgerDisk { memory: MemoryStore::default(), disks: Arc::clone(&disks) };
    let ledger: Arc<dyn Ledger> = Arc::new(StoreLedger::over(store, &chain).unwrap());
    ledger.init_genesis(&genesis().header).unwrap();
    disks.log.lock().unwrap().clear();
    *disks.left.lock().unwrap() = fails_at;
    let record = Arc::new(RecordDisk { world: Arc::clone(world), disks: Arc::clone(&disks) });
    Fixture {
        world: Arc::clone(world),
        turn: Turn::new(ledger, Some(record), Some(ME), RUNTIME.handle().clone()),
        disks,
    }
}

impl Fixture {
    fn run(&mut self, step: Step) -> Result<(), DriverError> {
        match step {
            Step::Sign(view) => self.turn.sign(statement(view)).map(drop),
            Step::Finalize(view) => self.turn.sign(finalize(view)).map(drop),
            Step::Certificate(view, ours) => {
                let signers: &[u8] = if ours { &[0, 1, 2] } else { &[1, 2, 3] };
                self.turn.store_certificate(&self.world.certify(signers, statement(view)))
            }
            Step::Block(view) => Ok(self.turn.store_block(&block(view))?),
            Step::Say => {
                self.turn.say(Said::Broadcast(ConsensusMessage::CertificateRequest {
                    epoch: Epoch::new(2),
                    view: View::new(1),
                }));
                Ok(())
            }
            Step::End => {
                for _ in self.turn.end()? {
                    self.disks.note(Event::Said);
                }
                Ok(())
            }
        }
    }
}

fn genesis() -> Block {
    let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
    Block { header: BlockHeader::genesis(L2, origin, 1), forced: Forced::default(), transactions: Vec::new() }
}

fn world() -> Arc<World> {
    Arc::new(World::new(&[1, 1, 1, 1]))
}

fn log_of(steps: &[Step]) -> Vec<Event> {
    let mut fixture = fixture(&world(), usize::MAX);
    for step in steps {
        fixture.run(*step).unwrap();
    }
    fixture.disks.log.lock().unwrap().clone()
}

#[test]
fn a_turn_syncs_each_file_once() {
    let log =
        log_of(&[Step::Sign(1), Step::Sign(2), Step::Certificate(3, false), Step::Certificate(4, false), Step::End]);
    let syncs = |event| log.iter().filter(|seen| **seen == event).count();
    assert_eq!((syncs(Event::RecordSynced), syncs(Event::LedgerSynced)), (1, 1));
    assert!(
        log_of(&[Step::Sign(1), Step::Block(1), Step::End]).contains(&Event::LedgerSynced),
        "a vote needs its body"
    );
    // A Finalize waits for the ledger, which is not synced again for that: one file after the other, each once.
    let log = log_of(&[Step::Sign(1), Step::Block(3), Step::Certificate(3, false), Step::Finalize(3), Step::End]);
    let written = || Event::Written(Vec::new());
    let [voted, bound] = [statement(1), finalize(3)].map(Event::Recorded);
    assert_eq!(log, [voted, written(), written(), Event::LedgerSynced, bound, Event::RecordSynced]);
    // What lies on the disk already is not waited for, nor what nobody is bound to.
    let log = log_of(&[Step::Block(3), Step::End, Step::Block(4), Step::Certificate(5, false), Step::Finalize(3)]);
    assert_eq!(log, [written(), Event::LedgerSynced, written(), written(), Event::Recorded(finalize(3))]);
    // What was not written needs no sync.
    assert!(!log_of(&[Step::Certificate(1, true), Step::End]).contains(&Event::RecordSynced));
    assert_eq!(log_of(&[Step::Say, Step::End]), [Event::Said]);
}

#[test]
fn our_record_is_on_the_disk_before_a_certificate_that_our_signature_completed() {
    let log = log_of(&[Step::Sign(1), Step::Certificate(1, true), Step::End]);
    let written = Event::Written(vec![statement(1)]);
    assert_eq!(log, [Event::Recorded(statement(1)), Event::RecordSynced, written, Event::LedgerSynced]);
}

#[test]
fn the_body_of_a_block_is_on_the_disk_before_our_record_binds_us_to_it() {
    let mut fixture = fixture(&world(), usize::MAX);
    for step in [Step::Block(1), Step::Sign(1), Step::Finalize(2), Step::Finalize(1)] {
        fixture.run(step).unwrap();
    }
    let log = fixture.disks.log.lock().unwrap().clone();
    let [voted, other, bound] = [statement(1), finalize(2), finalize(1)].map(Event::Recorded);
    assert_eq!(log, [Event::Written(Vec::new()), voted, other, Event::LedgerSynced, bound]);
}

#[test]
fn the_notarization_is_on_the_disk_before_our_record_binds_us_to_its_block() {
    let mut fixture = fixture(&world(), usize::MAX);
    for step in [Step::Certificate(1, false), Step::Finalize(2), Step::Finalize(1)] {
        fixture.run(step).unwrap();
    }
    let log = fixture.disks.log.lock().unwrap().clone();
    let [other, bound] = [finalize(2), finalize(1)].map(Event::Recorded);
    assert_eq!(log, [Event::Written(Vec::new()), other, Event::LedgerSynced, bound]);
}

#[test]
fn blocks_are_durable_when_they_are_final() {
    let mut fixture = fixture(&world(), usize::MAX);
    let block = child(&genesis().header, Vec::new());
    let finalize = Statement::Finalize { epoch: Epoch::new(2), view: View::new(1), block: block.header.digest() };
    let results = vec![NonceExecutor.execute(&block, fixture.turn.ledger.state().unwrap().as_ref()).unwrap()];
    fixture.run(Step::Sign(1)).unwrap();
    fixture.turn.store_block(&block).unwrap();
    let certificate = fixture.world.certify(&[0, 1, 2], finalize);
    let step = FinalStep { blocks: vec![block], certificate, results };
    fixture.turn.finalize(&step).unwrap();
    let log = fixture.disks.log.lock().unwrap().clone();
    let written = |ours: &[Statement]| Event::Written(ours.to_vec());
    let recorded = [Event::Recorded(statement(1)), written(&[]), Event::RecordSynced];
    assert_eq!(log, [&recorded[..], &[written(&[finalize]), Event::LedgerSynced]].concat());
    fixture.run(Step::End).unwrap();
    assert_eq!(fixture.disks.log.lock().unwrap().len(), log.len(), "nothing is left to sync");
    // Also where all of the step was final before: what was staged beside it is as durable as it says.
    fixture.run(Step::Certificate(2, false)).unwrap();
    fixture.turn.finalize(&step).unwrap();
    fixture.run(Step::End).unwrap();
    let more = fixture.disks.log.lock().unwrap().split_off(log.len());
    assert_eq!(more, [Event::Written(Vec::new()), Event::LedgerSynced]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Wherever the disks fail, and so wherever the process or the machine ends.
    #[test]
    fn nothing_is_said_before_the_disk_has_it(steps in steps(), fails_at in 1..40_usize) {
        let world = world();
        let mut fixture = fixture(&world, fails_at);
        let mut failed = false;
        for step in &steps {
            failed = fixture.run(*step).is_err();
            if failed {
                break;
            }
        }
        let log = fixture.disks.log.lock().unwrap().clone();
        let (mut unrecorded, mut unstored) = (Vec::new(), false);
        for event in &log {
            match event {
                Event::Recorded(statement) => unrecorded.push(*statement),
                Event::RecordSynced => unrecorded.clear(),
                // From now on it may survive, whoever syncs the file.
                Event::Written(ours) => {
                    unstored = true;
                    prop_assert!(ours.iter().all(|statement| !unrecorded.contains(statement)), "{log:?}");
                }
                Event::LedgerSynced => unstored = false,
                Event::Said => prop_assert!(unrecorded.is_empty() && !unstored, "{log:?}"),
            }
        }
        if failed {
            prop_assert!(fixture.turn.end().map_or(true, |said| said.is_empty()), "{log:?}");
        }
    }
}
