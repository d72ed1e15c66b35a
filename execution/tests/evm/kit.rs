//! A chain in memory, and transactions for it.

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy, crypto::secp256k1::sign_message,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::AccessList,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use alloy_trie::{
    TrieAccount,
    root::{state_root_unhashed, storage_root_unhashed},
};
use baton_execution::{
    ExecutedBlock, Executor as _, Outcome, SkipReason, TransactionReceipt,
    evm::{CallLimits, EvmExecutor, Reader},
    genesis::Genesis,
    state::{EvmState, EvmStore, MemoryState},
};
use baton_proto::{
    Block, BlockHeader, Epoch, Forced, ForcedEntry, Height, L1BlockNumber, L1Origin, MemberIndex, TimestampMs,
    Transaction, View,
};
use serde_json::{Value, json};

pub(crate) const CHAIN: u64 = 7_777;
pub(crate) const GAS_LIMIT: u64 = 120_000_000;
pub(crate) const BASE_FEE: u64 = 1_000_000_000;
pub(crate) const RECIPIENT: Address = Address::repeat_byte(0xfe);
/// Wei of each of the accounts 1 to 10.
pub(crate) const RICH: u128 = 10_000 * 1_000_000_000_000_000_000;

/// The account whose secret key is `key`.
pub(crate) fn person(key: u64) -> Address {
    alloy_consensus::crypto::secp256k1::recover_signer(&sign(key, B256::ZERO), B256::ZERO).unwrap()
}

pub(crate) fn sign(key: u64, hash: B256) -> Signature {
    sign_message(U256::from(key).into(), hash).unwrap()
}

/// What a transaction says, whatever its kind.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) key: u64,
    pub(crate) nonce: u64,
    pub(crate) kind: u8,
    pub(crate) gas: u64,
    pub(crate) max_fee: u128,
    pub(crate) tip: u128,
    pub(crate) to: TxKind,
    pub(crate) value: U256,
    pub(crate) data: Bytes,
    pub(crate) access_list: AccessList,
    pub(crate) authorizations: Vec<SignedAuthorization>,
}

/// Transaction number `nonce` of person `key`, which calls `to`, or creates a contract.
pub(crate) fn draft(key: u64, nonce: u64, to: impl Into<Option<Address>>) -> Draft {
    Draft {
        key,
        nonce,
        kind: 2,
        gas: 500_000,
        max_fee: 3_000_000_000,
        tip: 500_000_000,
        to: to.into().map_or(TxKind::Create, TxKind::Call),
        value: U256::ZERO,
        data: Bytes::new(),
        access_list: AccessList::default(),
        authorizations: Vec::new(),
    }
}

impl Draft {
    pub(crate) fn value(self, value: u64) -> Self {
        Self { value: U256::from(value), ..self }
    }

    pub(crate) fn data(self, data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..self }
    }

    pub(crate) fn gas(self, gas: u64) -> Self {
        Self { gas, ..self }
    }

    pub(crate) fn kind(self, kind: u8) -> Self {
        Self { kind, ..self }
    }

    pub(crate) fn authorized(self, authorizations: Vec<SignedAuthorization>) -> Self {
        Self { kind: 4, authorizations, ..self }
    }

    pub(crate) fn signed(self) -> Transaction {
        Transaction::decode(self.encoded()).unwrap()
    }

    pub(crate) fn encoded(self) -> Bytes {
        let Self { key, nonce, kind, gas: gas_limit, max_fee, tip, to, value, data: input, access_list, .. } = self;
        let (chain_id, max_fee_per_gas, max_priority_fee_per_gas) = (CHAIN, max_fee, tip);
        let envelope: TxEnvelope = match (kind, to) {
            (0, to) => {
                let tx = TxLegacy { chain_id: Some(chain_id), nonce, gas_price: max_fee, gas_limit, to, value, input };
                let signature = sign(key, tx.signature_hash());
                tx.into_signed(signature).into()
            }
            (1, to) => {
                let gas_price = max_fee;
                let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
                let signature = sign(key, tx.signature_hash());
                tx.into_signed(signature).into()
            }
            (2, to) => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    input,
                };
                let signature = sign(key, tx.signature_hash());
                tx.into_signed(signature).into()
            }
            (4, TxKind::Call(to)) => {
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas,
                    max_priority_fee_per_gas,
                    to,
                    value,
                    access_list,
                    authorization_list: self.authorizations,
                    input,
                };
                let signature = sign(key, tx.signature_hash());
                tx.into_signed(signature).into()
            }
            other => panic!("no transaction is {other:?}"),
        };
        envelope.encoded_2718().into()
    }
}

/// Person `key`, whose nonce is `nonce`, lets `code` act for them; the zero address takes that back.
pub(crate) fn authorize(key: u64, nonce: u64, code: Address) -> SignedAuthorization {
    let authorization = Authorization { chain_id: U256::from(CHAIN), address: code, nonce };
    let signature = sign(key, authorization.signature_hash());
    authorization.into_signed(signature)
}

pub(crate) struct Chain {
    pub(crate) genesis: Genesis,
    pub(crate) executor: EvmExecutor,
    pub(crate) state: MemoryState,
    pub(crate) head: BlockHeader,
    money: U256,
}

impl Chain {
    /// A chain with ten rich people.
    pub(crate) fn new() -> Self {
        Self::with([])
    }

    /// A chain with ten rich people, and contracts.
    pub(crate) fn with<const N: usize>(contracts: [(Address, Bytes); N]) -> Self {
        Self::start(GAS_LIMIT, &contracts)
    }

    pub(crate) fn start(gas_limit: u64, contracts: &[(Address, Bytes)]) -> Self {
        let mut alloc = json!({});
        for key in 1..=10 {
            alloc[person(key).to_string()] = json!({ "balance": RICH.to_string() });
        }
        for (address, code) in contracts {
            alloc[address.to_string()] = json!({ "code": code.to_string(), "nonce": 1 });
        }
        Self::of(gas_limit, alloc)
    }

    fn of(gas_limit: u64, alloc: Value) -> Self {
        let file = json!({
            "chainId": CHAIN,
            "nativeToken": { "name": "Ether", "symbol": "ETH" },
            "gasLimit": gas_limit,
            "eip1559": {
                "baseFeePerGas": BASE_FEE,
                "minBaseFeePerGas": 7,
                "elasticityMultiplier": 2,
                "baseFeeChangeDenominator": 8
            },
            "alloc": alloc,
        });
        let genesis = Genesis::parse(&file.to_string()).unwrap();
        let origin = L1Origin { number: L1BlockNumber::new(50), hash: B256::repeat_byte(0x11) };
        let head = BlockHeader::genesis(genesis.chain_id, origin, 1_700_000_000);
        let mut state = MemoryState::default();
        state.apply(&genesis.changes(&head).unwrap()).unwrap();
        let money = total(&state);
        Self { executor: EvmExecutor::new(&genesis), genesis, state, head, money }
    }

    /// The next block, with `transactions`, one second after the last.
    pub(crate) fn block(&self, transactions: Vec<Transaction>) -> Block {
        let height = self.head.height.next().unwrap();
        let header = BlockHeader {
            epoch: Epoch::new(2),
            view: View::new(height.get()),
            height,
            parent: self.head.digest(),
            timestamp_ms: TimestampMs::new(self.head.timestamp_ms.get() + 1_234),
            origin: L1Origin {
                number: L1BlockNumber::new(50 + height.get()),
                hash: keccak256(height.get().to_be_bytes()),
            },
            transaction_count: transactions.len() as u32,
            proposer: MemberIndex::new(0),
            fee_recipient: RECIPIENT,
            ..self.head.clone()
        };
        Block { header, forced: Forced::default(), transactions }
    }

    pub(crate) fn execute(&self, block: &Block) -> ExecutedBlock {
        self.executor.execute(block, &self.state).unwrap()
    }

    /// Executes the next block and goes on from it.
    pub(crate) fn run(&mut self, transactions: Vec<Draft>) -> ExecutedBlock {
        self.run_block(&self.block(transactions.into_iter().map(Draft::signed).collect()))
    }

    /// Executes `block`, checks what holds for every block, and goes on from it.
    pub(crate) fn run_block(&mut self, block: &Block) -> ExecutedBlock {
        let executed = self.execute(block);
        assert_eq!(self.execute(block), executed, "the same block on the same state");
        let before = self.state.clone();
        self.state.apply(&executed.changes).unwrap();

        let head = self.state.head().unwrap().unwrap();
        assert_eq!((head.height, head.digest), (block.header.height, block.header.digest()));
        assert_eq!((head.state_root, head.gas_used), (executed.state_root, executed.gas_used));
        assert_eq!(executed.state_root, root(&self.state), "the root of a trie built from nothing");
        assert_eq!(total(&self.state), self.money, "no money is made or lost");
        assert!(self.state.accounts().all(|(_, account)| !account.is_empty()));
        let gas: u64 = executed.receipts.iter().map(|receipt| receipt.gas_used).sum();
        assert_eq!(executed.gas_used, gas);
        assert_eq!(executed.outcomes.len(), block.forced.len() + block.transactions.len());

        let mut back = self.state.clone();
        back.apply(&executed.changes.clone().reversed()).unwrap();
        assert_eq!(back.accounts().collect::<Vec<_>>(), before.accounts().collect::<Vec<_>>());
        assert_eq!((back.head().unwrap(), back.nodes()), (before.head().unwrap(), before.nodes()));
        self.head = block.header.clone();
        executed
    }

    /// Runs a block of one transaction that takes its turn.
    pub(crate) fn one(&mut self, transaction: Draft) -> TransactionReceipt {
        let executed = self.run(vec![transaction]);
        assert_eq!(executed.outcomes, [Outcome::Executed]);
        executed.receipts.into_iter().next().unwrap()
    }

    /// Runs a block of one transaction that is skipped.
    pub(crate) fn skipped(&mut self, transaction: Draft) -> SkipReason {
        let executed = self.run(vec![transaction]);
        match executed.outcomes.into_iter().next() {
            Some(Outcome::Skipped(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn balance(&self, address: Address) -> U256 {
        self.state.account(address).unwrap().unwrap_or_default().balance
    }

    pub(crate) fn nonce(&self, address: Address) -> u64 {
        self.state.account(address).unwrap().unwrap_or_default().nonce
    }

    pub(crate) fn slot(&self, address: Address, slot: u64) -> U256 {
        self.state.storage(address, U256::from(slot)).unwrap()
    }

    pub(crate) fn code(&self, address: Address) -> Bytes {
        let account = self.state.account(address).unwrap().unwrap_or_default();
        self.state.code(account.code_hash).unwrap().unwrap_or_default()
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        self.executor.reader(&self.head, &self.state, LIMITS).unwrap()
    }
}

pub(crate) const LIMITS: CallLimits<'static> =
    CallLimits { gas_max: 50_000_000, trace_bytes_max: 16 * 1024 * 1024, should_stop: &|| false };

fn total(state: &MemoryState) -> U256 {
    state.accounts().map(|(_, account)| account.balance).sum()
}

/// The state root, computed from accounts and slots alone.
fn root(state: &MemoryState) -> B256 {
    state_root_unhashed(state.accounts().map(|(address, mut account)| {
        let slots = state.storage_of(address).map(|(slot, value)| (B256::from(slot), value));
        account.storage_root = storage_root_unhashed(slots);
        (address, TrieAccount::from(account))
    }))
}

/// A forced entry.
pub(crate) fn forced(kind: u8, data: impl Into<Bytes>) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::new(50), Address::ZERO, kind, data.into())
}

pub(crate) fn height(number: u64) -> Height {
    Height::new(number)
}
