//! States: written with their blocks, read while others are written, and gone back to.

use alloy_primitives::{Bytes, U256, keccak256};
use baton_execution::{
    Executor as _,
    evm::EvmExecutor,
    genesis::Genesis,
    state::{EvmState, EvmStore as _, MemoryState},
    trie::prove,
};
use baton_proto::Height;
use serde_json::json;

use super::*;
use crate::ledger::state::STATES_MAX as STATES;

on_every_ledger!(
    a_state_stays_what_it_is_while_blocks_become_final,
    older_states_are_those_of_their_blocks_to_the_byte,
    states_are_kept_for_so_many_blocks_and_no_longer,
    receipts_and_roots_come_back_with_their_block,
    another_genesis_state_is_refused,
    results_of_another_state_are_refused,
    past_blocks_are_known_after_a_restart,
);

/// The account that `seed` signs as.
fn account(seed: u8) -> Address {
    transaction(seed, 0).sender()
}

/// A contract that writes its nonce of calls into slot 0, and tells it in a log.
const COUNTER: &str = "0x5f545f5260205fa05f546001015f55";

const CONTRACT: Address = Address::repeat_byte(0xcc);

/// A chain with three rich accounts and a contract.
fn evm_genesis() -> Genesis {
    let rich = json!({"balance": "1000000000000000000000"});
    let alloc = json!({
        account(1).to_string(): rich, account(2).to_string(): rich, account(3).to_string(): rich,
        CONTRACT.to_string(): {"code": COUNTER, "nonce": 1, "storage": {"0x0": "0x5"}},
    });
    let file = json!({
        "chainId": L2_CHAIN, "nativeToken": {"name": "Ether", "symbol": "ETH"}, "gasLimit": 120_000_000,
        "eip1559": {
            "baseFeePerGas": 1_000, "minBaseFeePerGas": 1, "elasticityMultiplier": 6, "baseFeeChangeDenominator": 250,
        },
        "alloc": alloc,
    });
    Genesis::parse(&file.to_string()).unwrap()
}

/// A signed call of `to` with a fee that any base fee of these tests is below.
fn call(seed: u8, nonce: u64, to: Address, value: u64) -> Transaction {
    let unsigned = TxEip1559 {
        chain_id: L2_CHAIN,
        nonce,
        gas_limit: 100_000,
        max_fee_per_gas: 1_000_000,
        max_priority_fee_per_gas: 1,
        to: TxKind::Call(to),
        value: U256::from(value),
        ..TxEip1559::default()
    };
    let key = alloy::signers::local::PrivateKeySigner::from_bytes(&B256::repeat_byte(seed)).unwrap();
    let signature: Signature = alloy::signers::SignerSync::sign_hash_sync(&key, &unsigned.signature_hash()).unwrap();
    Transaction::decode(TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()).unwrap()
}

/// A ledger and beside it a state in memory, to which the same blocks are applied.
struct Chain {
    executor: EvmExecutor,
    memory: MemoryState,
    head: Block,
}

impl Chain {
    /// Starts the ledger of `fixture` anew from [`evm_genesis`]: as nobody has read it, nothing else is there.
    fn start(fixture: &mut dyn Fixture) -> Self {
        let chain = Self::beside();
        let genesis = evm_genesis();
        fixture.empty();
        let changes = genesis.changes(&super::genesis().header).unwrap();
        fixture.ledger().init_genesis_with(&super::genesis().header, &changes).unwrap();
        chain
    }

    fn beside() -> Self {
        let genesis = evm_genesis();
        let mut memory = MemoryState::default();
        memory.apply(&genesis.changes(&super::genesis().header).unwrap()).unwrap();
        Self { executor: EvmExecutor::new(&genesis), memory, head: super::genesis() }
    }

    /// The next block, and its results.
    fn next(&mut self, transactions: Vec<Transaction>) -> (Block, ExecutedBlock) {
        let view = self.head.header.view.get() + 1;
        let block = child(&self.head, view, transactions);
        let executed = self.executor.execute(&block, &self.memory).unwrap();
        self.memory.apply(&executed.changes).unwrap();
        self.head = block.clone();
        (block, executed)
    }

    /// A block in which two accounts pay, call the counter, and one transaction is skipped.
    fn busy(&mut self) -> (Block, ExecutedBlock) {
        let nonce = self.head.header.height.get();
        let friend = Address::from_word(keccak256(nonce.to_be_bytes()));
        self.next(vec![call(1, nonce, CONTRACT, 0), call(2, nonce, friend, 7 + nonce), call(3, 9_999, friend, 1)])
    }
}

fn store(ledger: &dyn Ledger, (block, executed): (Block, ExecutedBlock)) {
    let certificate = finalization(&block);
    ledger.finalize(&FinalStep { blocks: vec![block], certificate, results: vec![executed] }).unwrap();
}

/// Everything of a state that tests look at, proofs included: those name nodes of both tries down to what they prove.
fn print(state: &dyn EvmState) -> String {
    let head = state.head().unwrap();
    let mut print = format!("{head:?}");
    let recipient = super::genesis().header.fee_recipient;
    for address in [account(1), account(2), account(3), CONTRACT, recipient, Address::repeat_byte(0xdd)] {
        let account = state.account(address).unwrap();
        let slot = state.storage(address, U256::ZERO).unwrap();
        let proof = prove(state, address, &[U256::ZERO]).unwrap();
        print += &format!("\n{address} {account:?} {slot} {proof:?}");
    }
    let code = state.account(CONTRACT).unwrap().map(|account| state.code(account.code_hash).unwrap());
    print + &format!("\n{code:?}")
}

fn a_state_stays_what_it_is_while_blocks_become_final(fixture: &mut dyn Fixture) {
    let mut chain = Chain::start(fixture);
    let (mut held, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        held.push(fixture.ledger().state().unwrap());
        expected.push(print(&chain.memory));
        store(fixture.ledger(), chain.busy());
    }
    for (state, expected) in held.iter().zip(&expected) {
        assert_eq!(&print(state.as_ref()), expected);
    }
    assert_eq!(print(fixture.ledger().state().unwrap().as_ref()), print(&chain.memory));
    // The oldest is the last one that holds the chain of versions together.
    held.truncate(1);
    assert_eq!(print(held[0].as_ref()), expected[0]);
}

fn older_states_are_those_of_their_blocks_to_the_byte(fixture: &mut dyn Fixture) {
    let mut chain = Chain::start(fixture);
    let mut expected = vec![print(&chain.memory)];
    // Three blocks in one step, and each in its own.
    let (blocks, results): (Vec<_>, Vec<_>) = (0..3)
        .map(|_| {
            let next = chain.busy();
            expected.push(print(&chain.memory));
            next
        })
        .unzip();
    let certificate = finalization(&blocks[2]);
    fixture.ledger().finalize(&FinalStep { blocks, certificate, results }).unwrap();
    for _ in 0..3 {
        store(fixture.ledger(), chain.busy());
        expected.push(print(&chain.memory));
    }
    for _ in 0..2 {
        for (height, expected) in (0..).zip(&expected) {
            let state = fixture.ledger().state_at(Height::new(height)).unwrap().unwrap();
            assert_eq!(&print(state.as_ref()), expected, "block {height}");
        }
        assert!(fixture.ledger().state_at(Height::new(7)).unwrap().is_none());
        fixture.reopen();
    }
    // One that is gone back to stays what it is as well.
    let older = fixture.ledger().state_at(Height::new(4)).unwrap().unwrap();
    store(fixture.ledger(), chain.busy());
    assert_eq!(print(older.as_ref()), expected[4]);
}

fn states_are_kept_for_so_many_blocks_and_no_longer(fixture: &mut dyn Fixture) {
    let past = STATES + 3;
    let blocks = chain_on(&genesis(), 1, past);
    for step in blocks.chunks(200) {
        make_final(fixture.ledger(), step);
    }
    let height_of = |height| {
        let state = fixture.ledger().state_at(Height::new(height)).unwrap();
        state.map(|state| state.head().unwrap().unwrap().height.get())
    };
    assert_eq!((height_of(past), height_of(past - 1), height_of(3)), (Some(past), Some(past - 1), Some(3)));
    assert_eq!((height_of(2), height_of(0), height_of(past + 1)), (None, None, None));
    assert_eq!(fixture.undo_records(), STATES as usize);
}

fn receipts_and_roots_come_back_with_their_block(fixture: &mut dyn Fixture) {
    let mut chain = Chain::start(fixture);
    let start = fixture.ledger().results(Height::ZERO).unwrap().unwrap();
    assert_eq!((start.state_root, start.base_fee), (evm_genesis().state_root().unwrap(), 1_000));
    let (block, executed) = chain.busy();
    store(fixture.ledger(), (block.clone(), executed.clone()));
    fixture.reopen();
    let ledger = fixture.ledger();
    let results = ledger.results(Height::new(1)).unwrap().unwrap();
    assert_eq!((results.state_root, results.receipts_root), (executed.state_root, executed.receipts_root));
    assert_eq!((results.base_fee, results.gas_used), (executed.base_fee, executed.gas_used));
    assert_eq!((results.logs_bloom, results.outcomes), (executed.logs_bloom, executed.outcomes));
    assert!(!results.logs_bloom.is_zero() && results.gas_used > 42_000);
    assert_eq!(ledger.receipts(Height::new(1)).unwrap().unwrap(), executed.receipts);
    assert_eq!(ledger.receipts(Height::new(1)).unwrap().unwrap().len(), 2);
    assert_eq!(ledger.receipts(Height::ZERO).unwrap(), Some(Vec::new()));
    assert_eq!(ledger.nonce(account(1)).unwrap(), 1);
    let skipped = ledger.transaction(block.transactions[2].hash()).unwrap().unwrap();
    assert!(matches!(skipped.outcome, Outcome::Skipped(_)), "{skipped:?}");
    // And the next block builds on it.
    store(ledger, chain.busy());
    assert_eq!(ledger.state().unwrap().storage(CONTRACT, U256::ZERO).unwrap(), U256::from(7));
}

fn another_genesis_state_is_refused(fixture: &mut dyn Fixture) {
    Chain::start(fixture);
    let header = super::genesis().header;
    let ours = evm_genesis();
    fixture.ledger().init_genesis_with(&header, &ours.changes(&header).unwrap()).unwrap();
    let error = fixture.ledger().init_genesis(&header).unwrap_err();
    assert!(matches!(error, LedgerError::OtherGenesisState { got: B256::ZERO, .. }), "{error}");
    let mut richer = ours.clone();
    richer.accounts.entry(account(1)).or_default().balance += U256::from(1);
    let error = fixture.ledger().init_genesis_with(&header, &richer.changes(&header).unwrap()).unwrap_err();
    assert!(matches!(error, LedgerError::OtherGenesisState { stored, .. } if stored == ours.state_root().unwrap()));
    let other = BlockHeader { timestamp_ms: TimestampMs::new(1), ..header.clone() };
    let error = fixture.ledger().init_genesis_with(&header, &ours.changes(&other).unwrap()).unwrap_err();
    assert!(matches!(error, LedgerError::OtherState { .. }), "{error}");
}

/// A step that a crash interrupted is taken again from the state that the ledger has, so one that starts elsewhere is a bug.
fn results_of_another_state_are_refused(fixture: &mut dyn Fixture) {
    let mut chain = Chain::start(fixture);
    let (block, executed) = chain.busy();
    let mut poorer = executed.clone();
    poorer.changes.head.before = None;
    let certificate = finalization(&block);
    let step =
        |executed| FinalStep { blocks: vec![block.clone()], certificate: certificate.clone(), results: vec![executed] };
    let error = fixture.ledger().finalize(&step(poorer)).unwrap_err();
    assert!(matches!(error, LedgerError::OtherState { .. }), "{error}");
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&genesis()));
    // Nothing of it was written, and what is right is taken.
    fixture.ledger().finalize(&step(executed)).unwrap();
    assert_eq!(print(fixture.ledger().state().unwrap().as_ref()), print(&chain.memory));
}

fn past_blocks_are_known_after_a_restart(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 300);
    make_final(fixture.ledger(), &blocks);
    fixture.reopen();
    let state = fixture.ledger().state().unwrap();
    for block in [&blocks[0], &blocks[43], &blocks[299]] {
        assert_eq!(state.block_digest(block.header.height).unwrap(), Some(block.header.digest()));
    }
    let older = fixture.ledger().state_at(Height::new(100)).unwrap().unwrap();
    assert_eq!(older.block_digest(Height::new(100)).unwrap(), Some(blocks[99].header.digest()));
    let next = child(&blocks[299], 301, Vec::new());
    make_final(fixture.ledger(), std::slice::from_ref(&next));
    assert_eq!(state.block_digest(next.header.height).unwrap(), None);
}

/// At every place where the log can be cut, the ledger has the whole step or nothing of it, and the same block then gives the
/// same root.
#[test]
fn a_crash_at_any_byte_of_a_step_replays_to_the_same_root() {
    let mut fixture = on_disk();
    let mut chain = Chain::start(&mut fixture);
    store(fixture.ledger(), chain.busy());
    let before = print(&chain.memory);
    let log = |folder: &Path| {
        let logs = fs::read_dir(folder.join("db")).unwrap().map(|entry| entry.unwrap().path());
        logs.filter(|path| path.extension().is_some_and(|of| of == "log")).max().unwrap()
    };
    let written = |folder: &Path| fs::metadata(log(folder)).unwrap().len();
    let from = written(fixture.folder.path());
    let (block, executed) = chain.busy();
    store(fixture.ledger(), (block.clone(), executed.clone()));
    let to = written(fixture.folder.path());
    let parts = 24;
    for cut in (0..=parts).map(|part| from + (to - from) * part / parts) {
        let crashed = crash(fixture.folder.path());
        fs::OpenOptions::new().write(true).open(log(crashed.path())).unwrap().set_len(cut).unwrap();
        let ledger = open(crashed.path()).unwrap();
        let state = ledger.state().unwrap();
        if cut < to {
            assert_eq!(print(state.as_ref()), before, "cut at {cut} of {to}");
            let again = chain.executor.execute(&block, state.as_ref()).unwrap();
            assert_eq!(again, executed);
            store(&ledger, (block.clone(), again));
        }
        assert_eq!(print(ledger.state().unwrap().as_ref()), print(&chain.memory), "cut at {cut} of {to}");
        assert_eq!(ledger.results(Height::new(2)).unwrap().unwrap().state_root, executed.state_root);
    }
}

/// Readers on other threads see each state whole, whatever is written meanwhile.
#[test]
fn readers_never_see_half_a_block() {
    let mut fixture = on_disk();
    let mut chain = Chain::start(&mut fixture);
    let ledger = fixture.ledger();
    std::thread::scope(|scope| {
        let (done, is_done) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::Ordering::Relaxed);
        let done = std::sync::Arc::new(done);
        let reader = {
            let done = std::sync::Arc::clone(&done);
            scope.spawn(move || {
                let mut seen = 0;
                while !done.load(is_done) {
                    let state = ledger.state().unwrap();
                    let head = state.head().unwrap().unwrap();
                    let height = head.height.get();
                    let calls = state.storage(CONTRACT, U256::ZERO).unwrap();
                    assert_eq!(calls, U256::from(5 + height));
                    let sender = state.account(account(1)).unwrap().unwrap();
                    assert_eq!(sender.nonce, height);
                    prove(state.as_ref(), CONTRACT, &[U256::ZERO]).unwrap();
                    seen += 1;
                }
                seen
            })
        };
        for _ in 0..40 {
            store(ledger, chain.busy());
        }
        done.store(true, is_done);
        assert!(reader.join().unwrap() > 0);
    });
}

/// A long chain of versions that one reader held is let go without a deep stack.
#[test]
fn a_reader_may_hold_many_versions() {
    let fixture = in_memory();
    let state = fixture.ledger().state().unwrap();
    let blocks = chain_on(&genesis(), 1, 20_000);
    for step in blocks.chunks(1_000) {
        make_final(fixture.ledger(), step);
    }
    assert_eq!(state.head().unwrap().unwrap().height, Height::ZERO);
    assert_eq!(state.account(account(1)).unwrap(), None);
    std::thread::Builder::new().stack_size(128 << 10).spawn(move || drop((fixture, state))).unwrap().join().unwrap();
}

#[test]
fn code_is_found_by_its_hash() {
    let mut fixture = in_memory();
    Chain::start(&mut fixture);
    let code: Bytes = COUNTER.parse().unwrap();
    assert_eq!(fixture.ledger().state().unwrap().code(keccak256(&code)).unwrap(), Some(code));
}
