//! What blocks do.

use alloy_consensus::{ReceiptEnvelope, proofs::calculate_receipt_root};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_primitives::{Address, B256, Bloom, BloomInput, Bytes, U256, keccak256};
use baton_execution::{
    ExecuteError, Executor as _, Outcome, SkipReason, StateError,
    evm::CallRequest,
    genesis::{BEACON_ROOTS, HISTORY},
    state::{Account, EvmState, Head, MemoryState},
    trie::NodeKey,
};
use baton_proto::{Block, BlockDigest, Forced, Height, L2ChainId, limits::FORCED_ENTRY_GAS};

use crate::{
    code::{self, op},
    kit::{BASE_FEE, CHAIN, Chain, Draft, GAS_LIMIT, RECIPIENT, RICH, authorize, draft, forced, height, person},
};

const KEEPER: Address = Address::repeat_byte(0xa1);
const READER: Address = Address::repeat_byte(0xa2);
const REVERTER: Address = Address::repeat_byte(0xa3);
const LOGGER: Address = Address::repeat_byte(0xa4);

fn chain() -> Chain {
    let contracts =
        [(KEEPER, code::keeper()), (READER, code::reader()), (REVERTER, code::reverter()), (LOGGER, code::logger())];
    Chain::with(contracts)
}

/// Writes `value` to slot `slot` of a keeper.
fn keep(key: u64, nonce: u64, slot: u64, value: u64) -> Draft {
    draft(key, nonce, KEEPER).data(code::input(&[code::word(slot), code::word(value)], &[]))
}

#[test]
fn all_that_a_transfer_pays_goes_to_the_recipient() {
    let mut chain = Chain::new();
    let (friend, value) = (Address::repeat_byte(0x77), 5);
    let receipt = chain.one(draft(1, 0, friend).value(value).gas(21_000));
    let base_fee = chain.state.head().unwrap().unwrap().base_fee;
    assert!(base_fee < BASE_FEE, "the genesis block was empty");
    assert_eq!((receipt.gas_used, receipt.gas_price), (21_000, u128::from(base_fee) + 500_000_000));
    let fee = U256::from(receipt.gas_price * 21_000);
    assert_eq!((chain.balance(friend), chain.balance(RECIPIENT)), (U256::from(value), fee));
    assert_eq!(chain.balance(person(1)), U256::from(RICH) - fee - U256::from(value));
    assert_eq!((chain.nonce(person(1)), receipt.from, receipt.to), (1, person(1), Some(friend)));
}

#[test]
fn contracts_are_made_called_and_undone() {
    let mut chain = chain();
    let made = person(1).create(0);
    let executed = chain.run(vec![
        draft(1, 0, None).data(code::creates(&code::reader())),
        keep(1, 1, 3, 33),
        draft(2, 0, REVERTER).value(9),
        draft(3, 0, LOGGER).data(vec![1, 2, 3]).kind(0),
        draft(1, 2, None).data(code::reverter()).kind(1),
    ]);
    let receipts = &executed.receipts;
    let statuses: Vec<bool> = receipts.iter().map(|receipt| receipt.is_success()).collect();
    assert_eq!(statuses, [true, true, false, true, false]);
    assert_eq!((receipts[0].contract, receipts[0].to), (Some(made), None));
    assert_eq!((chain.code(made), chain.nonce(made)), (code::reader(), 1));
    assert_eq!(chain.slot(KEEPER, 3), U256::from(33));
    assert_eq!(chain.balance(REVERTER), U256::ZERO);
    assert_eq!((chain.nonce(person(1)), chain.nonce(person(2))), (3, 1), "a failed one uses its nonce up");
    assert_eq!(chain.code(person(1).create(2)), Bytes::new());

    let sums = receipts.iter().scan(0, |sum, receipt| {
        *sum += receipt.gas_used;
        Some(*sum)
    });
    let cumulative: Vec<u64> = receipts.iter().map(|receipt| receipt.envelope.cumulative_gas_used()).collect();
    assert_eq!(cumulative, sums.collect::<Vec<_>>());

    let logs = receipts[3].envelope.logs();
    assert_eq!((logs.len(), logs[0].address, logs[0].data.data.as_ref()), (1, LOGGER, &[1, 2, 3][..]));
    assert_eq!(logs[0].topics(), [B256::with_last_byte(0xaa)]);
    let mut bloom = Bloom::ZERO;
    bloom.accrue(BloomInput::Raw(LOGGER.as_slice()));
    bloom.accrue(BloomInput::Raw(B256::with_last_byte(0xaa).as_slice()));
    assert_eq!((executed.logs_bloom, *receipts[3].envelope.logs_bloom()), (bloom, bloom));

    let kinds: Vec<u8> = receipts.iter().map(|receipt| receipt.envelope.tx_type() as u8).collect();
    assert_eq!(kinds, [2, 2, 2, 0, 1]);
    let encoded: Vec<Vec<u8>> = receipts.iter().map(|receipt| receipt.envelope.encoded_2718()).collect();
    let decoded: Vec<_> =
        encoded.iter().map(|rlp| ReceiptEnvelope::decode_2718(&mut rlp.as_slice()).unwrap()).collect();
    assert_eq!(executed.receipts_root, calculate_receipt_root(&decoded));
}

#[test]
fn code_sees_its_block() {
    let looker = Address::repeat_byte(0xb0);
    let seen = [
        op::NUMBER,
        op::TIMESTAMP,
        op::COINBASE,
        op::BASEFEE,
        op::GASLIMIT,
        op::CHAINID,
        op::PREVRANDAO,
        op::BLOBBASEFEE,
    ];
    let rememberer = Address::repeat_byte(0xb3);
    let mut chain = Chain::with([(looker, code::looker(&seen)), (rememberer, code::rememberer())]);
    chain.run(Vec::new());
    let parent = chain.head.clone();
    let executed = chain.run(Vec::new());
    let environment = chain.executor.environment(&chain.head, executed.base_fee);

    let call = |to| {
        let request = CallRequest { to: Some(to), ..CallRequest::default() };
        chain.reader().call(&request, &Default::default()).unwrap().output
    };
    assert_eq!(call(rememberer), Bytes::from(parent.digest().get()));
    let output = call(looker);
    let words: Vec<U256> = output.chunks(32).map(U256::from_be_slice).collect();
    let head = chain.state.head().unwrap().unwrap();
    let expected = [
        U256::from(2),
        U256::from(chain.head.timestamp_ms.get() / 1_000),
        U256::from_be_slice(RECIPIENT.as_slice()),
        U256::from(head.base_fee),
        U256::from(GAS_LIMIT),
        U256::from(CHAIN),
        environment.prev_randao.into(),
        U256::from(1),
    ];
    assert_eq!(words, expected);
    let mut seed = b"BATON_PREVRANDAO_V1".to_vec();
    seed.extend(chain.head.origin.hash);
    seed.extend([0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(environment.prev_randao, keccak256(seed));
}

#[test]
fn the_contracts_of_eip_2935_and_eip_4788_are_told_of_every_block() {
    let mut chain = Chain::new();
    let genesis = chain.head.digest();
    chain.run(Vec::new());
    let first = chain.head.clone();
    chain.run(Vec::new());
    assert_eq!(chain.slot(HISTORY, 0), U256::from_be_bytes(genesis.get().0));
    assert_eq!(chain.slot(HISTORY, 1), U256::from_be_bytes(first.digest().get().0));

    let time = first.timestamp_ms.get() / 1_000;
    assert_eq!(chain.slot(BEACON_ROOTS, time % 8_191), U256::from(time));
    assert_eq!(chain.slot(BEACON_ROOTS, time % 8_191 + 8_191), U256::from_be_bytes(first.origin.hash.0));
    let request = CallRequest { to: Some(BEACON_ROOTS), data: code::word(time).into(), ..Default::default() };
    let outcome = chain.reader().call(&request, &Default::default()).unwrap();
    assert_eq!(outcome.output, Bytes::from(first.origin.hash));
}

#[test]
fn a_person_can_delegate_and_take_it_back() {
    let mut chain = chain();
    let delegated = Bytes::from([&[0xef, 0x01, 0x00], KEEPER.as_slice()].concat());
    let to_keeper = authorize(5, 0, KEEPER);
    let receipt = chain.one(
        draft(1, 0, person(5))
            .data(code::input(&[code::word(1), code::word(11)], &[]))
            .authorized(vec![to_keeper.clone(), authorize(6, 7, KEEPER)]),
    );
    assert!(receipt.is_success());
    assert_eq!((chain.code(person(5)), chain.nonce(person(5))), (delegated, 1));
    assert_eq!(chain.slot(person(5), 1), U256::from(11), "the code ran as person 5");
    assert_eq!((chain.code(person(6)), chain.nonce(person(6))), (Bytes::new(), 0), "a wrong nonce changes nothing");

    // The delegate still sends, and what was used is of no more use.
    chain.one(draft(5, 1, REVERTER));
    chain.one(draft(2, 0, RECIPIENT).authorized(vec![to_keeper]));
    assert_eq!(chain.nonce(person(5)), 2);
    chain.one(draft(2, 1, RECIPIENT).authorized(vec![authorize(5, 2, Address::ZERO)]));
    assert_eq!((chain.code(person(5)), chain.nonce(person(5))), (Bytes::new(), 3));
    assert_eq!(chain.slot(person(5), 1), U256::from(11), "the storage stays");
}

#[test]
fn a_contract_that_quits_where_it_was_made_leaves_nothing() {
    let mut chain = Chain::new();
    let heir = Address::repeat_byte(0x99);
    // Its code: selfdestruct to the heir.
    let quits = [&[0x73][..], heir.as_slice(), &[op::SELFDESTRUCT]].concat();
    chain.one(draft(1, 0, None).data(quits.clone()).value(70));
    let made = person(1).create(0);
    assert_eq!(chain.state.account(made).unwrap(), None);
    assert_eq!(chain.balance(heir), U256::from(70));

    // One that lives on gives its money away, and stays.
    chain.one(draft(1, 1, None).data(code::creates(&quits)).value(30));
    let stays = person(1).create(1);
    chain.one(draft(1, 2, stays));
    assert_eq!((chain.code(stays), chain.balance(stays)), (Bytes::from(quits), U256::ZERO));
    assert_eq!(chain.balance(heir), U256::from(100));
}

#[test]
fn slots_come_and_go() {
    let mut chain = chain();
    let nodes = chain.state.nodes();
    chain.run(vec![keep(1, 0, 5, 1), keep(1, 1, 6, 1), keep(1, 2, 5, 0)]);
    assert_eq!((chain.slot(KEEPER, 5), chain.slot(KEEPER, 6)), (U256::ZERO, U256::from(1)));
    chain.run(vec![keep(1, 3, 6, 0)]);
    let account = chain.state.account(KEEPER).unwrap().unwrap();
    assert_eq!(account.storage_root, alloy_trie::EMPTY_ROOT_HASH);
    assert!(chain.state.nodes() >= nodes);
    assert_eq!(chain.state.storage_of(KEEPER).count(), 0);
}

#[test]
fn the_base_fee_falls_while_nothing_happens_and_rises_when_much_does() {
    let spender = Address::repeat_byte(0xb1);
    let mut chain = Chain::with([(spender, code::looper())]);
    let fee = |chain: &Chain| chain.state.head().unwrap().unwrap().base_fee;
    chain.run(Vec::new());
    assert_eq!(fee(&chain), BASE_FEE - BASE_FEE / 8);
    let full = (0..7).map(|nonce| draft(1, nonce, spender).gas(16_777_216)).collect();
    let executed = chain.run(full);
    assert!(executed.gas_used > GAS_LIMIT / 2 && executed.receipts.iter().all(|receipt| !receipt.is_success()));
    let before = fee(&chain);
    chain.run(Vec::new());
    assert!(fee(&chain) > before);
}

#[test]
fn forced_entries_take_their_turn_first() {
    let mut chain = Chain::new();
    let friend = Address::repeat_byte(0x78);
    let foreign = {
        let mut transaction = draft(3, 0, friend).encoded().to_vec();
        transaction[4] ^= 1;
        transaction
    };
    let block = chain.block(vec![draft(1, 1, friend).value(2).signed(), draft(1, 0, friend).signed()]);
    let entries = vec![
        forced(0, draft(1, 0, friend).value(1).encoded()),
        forced(0, vec![1, 2, 3]),
        forced(1, Bytes::new()),
        forced(0, draft(2, 0, friend).gas(FORCED_ENTRY_GAS + 1).encoded()),
        forced(0, foreign),
    ];
    let block = Block { forced: Forced::new(B256::ZERO, entries), ..block };
    let executed = chain.run_block(&block);
    let skipped = Outcome::Skipped;
    assert_eq!(
        executed.outcomes[..4],
        [
            Outcome::Executed,
            skipped(SkipReason::Malformed),
            skipped(SkipReason::Malformed),
            skipped(SkipReason::TooMuchForcedGas { got: FORCED_ENTRY_GAS + 1 }),
        ]
    );
    assert!(matches!(&executed.outcomes[4], Outcome::Skipped(SkipReason::ForeignChain { .. })));
    assert_eq!(executed.outcomes[5], Outcome::Executed);
    assert_eq!(executed.outcomes[6], skipped(SkipReason::NonceTooLow { got: 0, expected: 2 }));
    assert_eq!(executed.receipts.iter().map(|receipt| receipt.item).collect::<Vec<_>>(), [0, 5]);
    assert_eq!(chain.balance(friend), U256::from(3));
}

#[test]
fn only_the_next_block_of_this_chain_is_executed() {
    let mut chain = Chain::new();
    let next = chain.block(Vec::new());
    let with = |change: fn(&mut Block)| {
        let mut block = next.clone();
        change(&mut block);
        chain.executor.execute(&block, &chain.state).unwrap_err()
    };
    assert!(matches!(with(|block| block.header.height = height(2)), ExecuteError::NotNext { .. }));
    assert!(matches!(with(|block| block.header.parent = BlockDigest::ZERO), ExecuteError::OtherParent { .. }));
    assert!(matches!(with(|block| block.header.l2_chain_id = L2ChainId::new(1)), ExecuteError::OtherChain { .. }));
    let empty = chain.executor.execute(&next, &MemoryState::default()).unwrap_err();
    assert!(matches!(empty, ExecuteError::NoGenesis));
    chain.run_block(&next);
    let again = chain.executor.execute(&next, &chain.state).unwrap_err();
    assert!(matches!(again, ExecuteError::NotNext { .. }));
}

/// A state on a disk with a bad sector: one account cannot be read.
struct Damaged(MemoryState, Address);

impl EvmState for Damaged {
    fn head(&self) -> Result<Option<Head>, StateError> {
        self.0.head()
    }
    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        if address == self.1 { Err(StateError("a bad sector".to_owned())) } else { self.0.account(address) }
    }
    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        self.0.storage(address, slot)
    }
    fn code(&self, hash: B256) -> Result<Option<Bytes>, StateError> {
        self.0.code(hash)
    }
    fn block_digest(&self, height: Height) -> Result<Option<BlockDigest>, StateError> {
        self.0.block_digest(height)
    }
    fn node(&self, key: &NodeKey) -> Result<Option<Bytes>, StateError> {
        self.0.node(key)
    }
}

#[test]
fn an_unreadable_state_is_an_error_and_no_transactions_fault() {
    let chain = chain();
    let caller = Address::repeat_byte(0xb2);
    let block = chain.block(vec![draft(1, 0, caller).signed()]);
    for unreadable in [person(1), caller, RECIPIENT] {
        let state = Damaged(chain.state.clone(), unreadable);
        let error = chain.executor.execute(&block, &state).unwrap_err();
        assert!(matches!(&error, ExecuteError::State(StateError(text)) if text == "a bad sector"), "{error}");
    }
    let state = Damaged(chain.state.clone(), Address::repeat_byte(0x01));
    assert_eq!(chain.executor.execute(&block, &state).unwrap(), chain.execute(&block));
}
