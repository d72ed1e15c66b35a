//! One suite for every store, and what only a disk can get wrong.

mod chain;
mod disk;
mod records;
mod state;
mod votes;

use std::{fs, path::Path};

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, B256, Signature, TxKind};
use baton_execution::{ExecutedBlock, NonceExecutor, Outcome, execute_all};
use baton_proto::{
    Block, BlockDigest, BlockHeader, BlsSignature, Certificate, Domain, Epoch, Forced, L1BlockNumber, L1ChainId,
    L1Origin, L2ChainId, PayloadCommitment, SignerSet, Statement, TimestampMs, Transaction, View,
};

use super::*;

const EPOCH: Epoch = Epoch::new(2);
const L2_CHAIN: u64 = 7_001;

/// A ledger that can be closed and opened again, where there is something to open.
pub(super) trait Fixture {
    fn ledger(&self) -> &dyn Ledger;
    fn reopen(&mut self);
    /// Takes a ledger without a genesis block in its place.
    fn empty(&mut self);
    /// How many blocks can be taken back.
    fn undo_records(&self) -> usize;
}

struct InMemory(MemoryLedger);

struct OnDisk {
    folder: tempfile::TempDir,
    ledger: Option<RocksLedger>,
}

impl Fixture for InMemory {
    fn ledger(&self) -> &dyn Ledger {
        &self.0
    }

    fn reopen(&mut self) {}

    fn empty(&mut self) {
        self.0 = MemoryLedger::new(&identity()).unwrap();
    }

    fn undo_records(&self) -> usize {
        undo_records(&self.0)
    }
}

impl Fixture for OnDisk {
    fn ledger(&self) -> &dyn Ledger {
        self.ledger.as_ref().unwrap()
    }

    fn reopen(&mut self) {
        drop(self.ledger.take());
        self.ledger = Some(RocksLedger::open(self.folder.path(), &identity()).unwrap());
    }

    fn empty(&mut self) {
        drop(self.ledger.take());
        self.folder = tempfile::tempdir().unwrap();
        self.reopen();
    }

    fn undo_records(&self) -> usize {
        undo_records(self.ledger.as_ref().unwrap())
    }
}

fn undo_records<S: Store>(ledger: &StoreLedger<S>) -> usize {
    ledger.store.scan(Family::Undo, &[], keys::END, Order::Ascending, usize::MAX).unwrap().len()
}

fn in_memory() -> InMemory {
    let fixture = InMemory(MemoryLedger::new(&identity()).unwrap());
    fixture.0.init_genesis(&genesis().header).unwrap();
    fixture
}

fn on_disk() -> OnDisk {
    let mut fixture = OnDisk { folder: tempfile::tempdir().unwrap(), ledger: None };
    fixture.reopen();
    fixture.ledger().init_genesis(&genesis().header).unwrap();
    fixture
}

/// Runs each named test on every kind of ledger.
macro_rules! on_every_ledger {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $( #[test] fn $name() { super::$name(&mut super::super::in_memory()); } )*
        }
        mod rocks {
            $( #[test] fn $name() { super::$name(&mut super::super::on_disk()); } )*
        }
    };
}
use on_every_ledger;

fn identity() -> ChainIdentity {
    ChainIdentity {
        domain: Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0xa1),
            l2_chain_id: L2ChainId::new(L2_CHAIN),
        },
        inbox: Address::repeat_byte(0xa2),
        slasher: Address::repeat_byte(0xa3),
    }
}

fn open(path: &Path) -> Result<RocksLedger, LedgerError> {
    RocksLedger::open(path, &identity())
}

fn genesis() -> Block {
    let origin = L1Origin { number: L1BlockNumber::new(99), hash: B256::repeat_byte(9) };
    Block {
        header: BlockHeader::genesis(L2ChainId::new(L2_CHAIN), origin, 1_700_000_000),
        forced: Forced::default(),
        transactions: Vec::new(),
    }
}

/// The block on `parent` that was proposed in `view`.
fn child(parent: &Block, view: u64, transactions: Vec<Transaction>) -> Block {
    let commitment = PayloadCommitment::of(&Forced::default(), &transactions);
    let header = BlockHeader {
        view: View::new(view),
        height: parent.header.height.next().unwrap(),
        parent: parent.header.digest(),
        timestamp_ms: TimestampMs::new(parent.header.timestamp_ms.get() + 100),
        payload_root: commitment.payload_root,
        transaction_count: commitment.transaction_count,
        payload_bytes: commitment.payload_bytes,
        declared_gas: commitment.declared_gas,
        ..parent.header.clone()
    };
    Block { header, forced: Forced::default(), transactions }
}

/// `length` empty blocks on `parent`, one per view from `view` on.
fn chain_on(parent: &Block, view: u64, length: u64) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for n in 0..length {
        blocks.push(child(blocks.last().unwrap_or(parent), view + n, Vec::new()));
    }
    blocks
}

/// A transaction of the account that `seed` stands for; who signed does not matter here, only that it is always the same.
fn transaction(seed: u8, nonce: u64) -> Transaction {
    let unsigned = TxEip1559 {
        chain_id: L2_CHAIN,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(Address::repeat_byte(seed)),
        ..TxEip1559::default()
    };
    let key = alloy::signers::local::PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap();
    let signature: Signature = alloy::signers::SignerSync::sign_hash_sync(&key, &unsigned.signature_hash()).unwrap();
    Transaction::decode(TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()).unwrap()
}

fn certificate(statement: Statement) -> Certificate {
    // The ledger stores what is verified elsewhere; the signature only has to be a string of the right length.
    Certificate { statement, signers: SignerSet::from_bits(0b111), signature: BlsSignature::new([0x8a; 48]) }
}

fn notarization(block: &Block) -> Certificate {
    certificate(Statement::Notarize { epoch: EPOCH, view: block.header.view, block: block.header.digest() })
}

fn finalization(block: &Block) -> Certificate {
    certificate(Statement::Finalize { epoch: EPOCH, view: block.header.view, block: block.header.digest() })
}

fn nullification(view: u64) -> Certificate {
    certificate(Statement::Nullify { epoch: EPOCH, view: View::new(view) })
}

fn head_of(block: &Block) -> Head {
    Head { height: block.header.height, digest: block.header.digest() }
}

/// The step that makes `blocks` final on what `ledger` holds, certified by the finalization of `certified`.
fn step(ledger: &dyn Ledger, blocks: &[Block], certified: &Block) -> FinalStep {
    let known = blocks.iter().take_while(|block| block.header.height <= ledger.head().unwrap().height).count();
    let new = execute_all(&NonceExecutor, &blocks[known..], ledger.state().unwrap().as_ref());
    // What does not build on the head is refused before anybody looks at its results.
    let none = |block: &Block| ExecutedBlock {
        outcomes: vec![Outcome::Executed; block.forced.len() + block.transactions.len()],
        ..ExecutedBlock::default()
    };
    let mut results: Vec<ExecutedBlock> = blocks[..known].iter().map(none).collect();
    results.extend(new.unwrap_or_else(|_| blocks[known..].iter().map(none).collect()));
    FinalStep { blocks: blocks.to_vec(), certificate: finalization(certified), results }
}

fn make_final(ledger: &dyn Ledger, blocks: &[Block]) {
    ledger.finalize(&step(ledger, blocks, blocks.last().unwrap())).unwrap();
}

fn digests(blocks: &[Block]) -> Vec<BlockDigest> {
    blocks.iter().map(|block| block.header.digest()).collect()
}

/// Takes a final block away, as no node ever does: whoever reads it finds that out.
pub(crate) fn forget(ledger: &MemoryLedger, height: Height) {
    let index = Change::Delete(Family::Blocks, keys::final_digest(height));
    ledger.store.write(vec![index], Durability::Synced).unwrap();
}

/// Copies a folder as a crash would leave it: with the ledger still open, nothing is flushed or closed in order. One that
/// was opened often is made [still](RocksLedger::wait_until_still) first.
pub(crate) fn crash(folder: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(folder, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
