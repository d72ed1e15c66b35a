//! A node in miniature behind the server, and a client that says exactly what it is told.

use std::{
    ops::RangeInclusive,
    sync::{Arc, Mutex, mpsc},
};

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex};
use baton_consensus::{CommitteeMember, SecretKey};
use baton_execution::{ChainExecutor, Executor as _, evm::EvmExecutor, genesis::Genesis};
use baton_mempool::{AccountFacts, Accounts, Pool, PoolConfig, Settled};
use baton_proto::{
    BatchHash, BatchHeader, BatchIndex, Block, BlockDigest, BlockHeader, BlsSignature, Certificate, ChainSpec,
    DataKind, Domain, Epoch, Forced, ForcedEntry, Height, L1BlockNumber, L1ChainId, L1Origin, L2ChainId, MemberIndex,
    PayloadCommitment, SignerSet, Statement, TimestampMs, Transaction, View, Weight,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    admission::{Arrivals, SubmitError},
    batcher::Recorded,
    config::RpcConfig,
    driver::{NotarizedBlocks, testing::child},
    epoch::{EpochBook, EpochContext},
    l1::{ChainFacts, EpochFacts, LivenessView, deploy::devnet_spec},
    ledger::{BatchOnL1, BatchRecord, ChainIdentity, FinalStep, Ledger, MemoryLedger},
    rpc::{Announcements, RpcContext, RpcServer, limits::Limits, listener::serve_within},
    telemetry::{Metrics, NodeStatus, metrics::RpcMetrics},
};

pub(super) const CHAIN_ID: u64 = 6_000;
const FEE_RECIPIENT: Address = Address::repeat_byte(0xfe);

pub(super) struct TestNode {
    pub(super) server: RpcServer,
    pub(super) ledger: Arc<MemoryLedger>,
    pub(super) pool: Arc<Mutex<Pool>>,
    pub(super) status: watch::Sender<NodeStatus>,
    pub(super) notarized: Arc<NotarizedBlocks>,
    pub(super) recorded: watch::Sender<Option<Recorded>>,
    pub(super) liveness: watch::Sender<Option<LivenessView>>,
    pub(super) heads: watch::Sender<Height>,
    pub(super) arrivals: Arc<Arrivals>,
    execution: Arc<ChainExecutor>,
    pub(super) metrics: RpcMetrics,
    client: reqwest::Client,
}

/// The accounts of the final state.
struct StateAccounts<'a>(&'a dyn Ledger);

impl Accounts for StateAccounts<'_> {
    fn account(&self, address: Address) -> Option<AccountFacts> {
        let account = self.0.state().unwrap().account(address).unwrap().unwrap_or_default();
        Some(AccountFacts { nonce: account.nonce, balance: account.balance, ..AccountFacts::default() })
    }
}

pub(super) fn spec() -> ChainSpec {
    ChainSpec { block_bytes_max: 2 << 20, ..devnet_spec(L2ChainId::new(CHAIN_ID), 512, Address::ZERO) }
}

fn identity() -> ChainIdentity {
    let domain = Domain {
        l1_chain_id: L1ChainId::new(31_337),
        registry: Address::repeat_byte(0xaa),
        l2_chain_id: spec().l2_chain_id,
    };
    ChainIdentity { domain, inbox: Address::repeat_byte(0xbb), slasher: Address::repeat_byte(0xcc) }
}

/// Four members with the devnet's stakes, in address order.
pub(super) fn first_epoch() -> EpochFacts {
    let members = [32, 28, 22, 18].into_iter().zip(1_u8..).map(|(weight, byte)| CommitteeMember {
        owner: Address::repeat_byte(byte),
        fee_recipient: FEE_RECIPIENT,
        weight: Weight::new(weight),
        key: SecretKey::generate(&[byte; 32]).public_key(),
    });
    EpochFacts { epoch: Epoch::new(2), committee: members.collect(), randomness: B256::ZERO }
}

impl TestNode {
    pub(super) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts a node whose server's bounds `change` may narrow.
    pub(super) async fn with(change: impl FnOnce(&mut RpcConfig)) -> Self {
        Self::within(|config, _| change(config)).await
    }

    /// Starts a node whose server's bounds and limits `change` may narrow.
    pub(super) async fn within(change: impl FnOnce(&mut RpcConfig, &mut Limits)) -> Self {
        let identity = identity();
        let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
        let origin = L1Origin { number: L1BlockNumber::new(1_023), hash: B256::repeat_byte(9) };
        ledger.init_genesis(&BlockHeader::genesis(spec().l2_chain_id, origin, 1_700_000_000)).unwrap();
        Self::over(ledger, change).await
    }

    /// Starts a node of a chain that executes, with the genesis of [`genesis`].
    pub(super) async fn executing() -> Self {
        Self::executing_within(|_, _| {}).await
    }

    /// The same with bounds and limits that `change` may narrow.
    pub(super) async fn executing_within(change: impl FnOnce(&mut RpcConfig, &mut Limits)) -> Self {
        let genesis = genesis();
        let ledger = Arc::new(MemoryLedger::new(&identity()).unwrap());
        let origin = L1Origin { number: L1BlockNumber::new(1_023), hash: B256::repeat_byte(9) };
        let header = BlockHeader::genesis(spec().l2_chain_id, origin, 1_700_000_000);
        ledger.init_genesis_with(&header, &genesis.changes(&header).unwrap()).unwrap();
        let execution = ChainExecutor::Embedded(EvmExecutor::new(&genesis));
        Self::with_executor(ledger, execution, change).await
    }

    /// Starts a node over what another one has written.
    pub(super) async fn over(ledger: Arc<MemoryLedger>, change: impl FnOnce(&mut RpcConfig, &mut Limits)) -> Self {
        Self::with_executor(ledger, ChainExecutor::None, change).await
    }

    async fn with_executor(
        ledger: Arc<MemoryLedger>,
        execution: ChainExecutor,
        change: impl FnOnce(&mut RpcConfig, &mut Limits),
    ) -> Self {
        let execution = Arc::new(execution);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let spec = ChainSpec { executor: execution.kind(), ..spec() };
        let identity = identity();
        let domain = identity.domain;
        let genesis = ledger.header(Height::ZERO).unwrap().unwrap();
        let pool = Arc::new(Mutex::new(Pool::new(PoolConfig::of(&spec))));
        let (status, status_seen) = watch::channel(NodeStatus::starting(spec.l2_chain_id));

        let mut config = RpcConfig { listen: "127.0.0.1:0".parse().unwrap(), ..RpcConfig::default() };
        let mut limits = Limits::default();
        change(&mut config, &mut limits);
        let arrivals = Arc::new(Arrivals::default());
        let submit = {
            let (pool, ledger, arrivals) = (Arc::clone(&pool), Arc::clone(&ledger), Arc::clone(&arrivals));
            move |raw: Bytes| -> Result<_, SubmitError> {
                let added = pool.lock().unwrap().add(Transaction::decode(raw)?, 0, &StateAccounts(ledger.as_ref()))?;
                arrivals.note([added.hash]);
                Ok(added.hash)
            }
        };
        let notarized = Arc::new(NotarizedBlocks::default());
        let (heads, heads_seen) = watch::channel(ledger.head().unwrap().height);
        let (recorded, recorded_seen) = watch::channel(None);
        let (liveness, liveness_seen) = watch::channel(None);
        let first = first_epoch();
        let epoch = EpochContext::new(domain, &first, genesis.clone(), None).unwrap();
        let facts = ChainFacts {
            spec,
            domain,
            inbox: identity.inbox,
            slasher: identity.slasher,
            liveness: Address::repeat_byte(4),
            genesis_l1: L1BlockNumber::ZERO,
            genesis,
            first,
        };
        let metrics = Metrics::default().rpc;
        let context = RpcContext {
            facts: Arc::new(facts),
            execution: Arc::clone(&execution),
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            pool: Arc::clone(&pool),
            submit: Arc::new(submit),
            status: status_seen,
            liveness: liveness_seen,
            metrics: metrics.clone(),
            epochs: EpochBook::new(Arc::new(epoch)),
            announcements: Announcements {
                heads: heads_seen,
                notarized: Arc::clone(&notarized),
                recorded: recorded_seen,
                arrivals: Arc::clone(&arrivals),
            },
        };
        let server = serve_within(&config, limits, context).await.unwrap();
        let client = reqwest::Client::new();
        Self {
            server,
            ledger,
            pool,
            status,
            notarized,
            recorded,
            liveness,
            heads,
            arrivals,
            execution,
            metrics,
            client,
        }
    }

    /// Makes a block with `transactions` final and returns its digest.
    pub(super) fn finalize(&self, transactions: Vec<Transaction>) -> BlockDigest {
        self.finalize_with(Vec::new(), transactions)
    }

    /// The same with forced entries before them.
    pub(super) fn finalize_with(&self, entries: Vec<ForcedEntry>, transactions: Vec<Transaction>) -> BlockDigest {
        let mut header = self.next_header(&transactions);
        let forced = Forced::new(header.forced_hash, entries);
        let from = header.forced_position;
        header.forced_position += forced.len() as u64;
        header.forced_hash = forced.hash_after(from).unwrap_or(header.forced_hash);
        let PayloadCommitment { payload_root, transaction_count, payload_bytes, declared_gas } =
            PayloadCommitment::of(&forced, &transactions);
        let header = BlockHeader { payload_root, transaction_count, payload_bytes, declared_gas, ..header };
        let digest = header.digest();
        let statement = Statement::Finalize { epoch: header.epoch, view: header.view, block: digest };
        let block = Block { header, forced, transactions };
        let executed = self.execution.execute(&block, self.ledger.state().unwrap().as_ref()).unwrap();
        let touched: Vec<Address> = executed.changes.accounts.keys().copied().collect();
        let signers = SignerSet::from_bits(0b111);
        let certificate = Certificate { statement, signers, signature: BlsSignature::new([1; 48]) };
        self.ledger.finalize(&FinalStep { blocks: vec![block], certificate, results: vec![executed] }).unwrap();
        let settled = Settled { touched: &touched, refused: &[], base_fee: 0 };
        self.pool.lock().unwrap().on_final(&settled, &StateAccounts(self.ledger.as_ref()));
        self.notarized.on_final(self.ledger.head().unwrap().height);
        self.heads.send_replace(self.ledger.head().unwrap().height);
        digest
    }

    fn next_header(&self, transactions: &[Transaction]) -> BlockHeader {
        let parent = self.ledger.header(self.ledger.head().unwrap().height).unwrap().unwrap();
        BlockHeader {
            timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + 1_250),
            proposer: MemberIndex::new(1),
            fee_recipient: FEE_RECIPIENT,
            ..child(&parent, transactions.to_vec()).header
        }
    }

    /// Makes an empty block notarized, then final, as the driver announces it.
    pub(super) fn notarize_and_finalize(&self) -> BlockDigest {
        self.notarize(vec![]);
        self.finalize(vec![])
    }

    /// Makes a block with `transactions` notarized and returns its digest.
    pub(super) fn notarize(&self, transactions: Vec<Transaction>) -> BlockDigest {
        let header = self.next_header(&transactions);
        let (digest, view) = (header.digest(), header.view);
        self.notarized.on_notarized(digest, Arc::new(Block { header, forced: Forced::default(), transactions }), view);
        digest
    }

    /// Writes down, as the recorder does, that L1 holds these blocks as batch `index` in L1 block `l1_block`.
    pub(super) fn record_batch(&self, index: u64, blocks: RangeInclusive<u64>, l1_block: u64, settled: bool) {
        let last = header(self, *blocks.end());
        let batch = BatchHeader {
            index: BatchIndex::new(index),
            prev_batch_hash: BatchHash::ZERO,
            epoch: last.epoch,
            first_height: Height::new(*blocks.start()),
            last_height: last.height,
            last_digest: last.digest(),
            last_origin: last.origin,
            state_root: B256::ZERO,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind: DataKind::Calldata,
            data_hash: B256::ZERO,
            duties_root: B256::ZERO,
        };
        let (tx, block) = (B256::with_last_byte(u8::try_from(l1_block).unwrap()), L1BlockNumber::new(l1_block));
        let l1 = if settled { BatchOnL1::Settled { tx, block } } else { BatchOnL1::Posted { tx, block } };
        self.ledger.put_batch(&BatchRecord { header: batch, data: Bytes::new(), certificate: None, l1 }).unwrap();
    }

    /// Announces how many batches L1 holds, and how many of them for good.
    pub(super) fn announce_recorded(&self, posted: u64, settled: u64) {
        let (posted, settled) = (BatchIndex::new(posted), BatchIndex::new(settled));
        self.recorded.send_replace(Some(Recorded { posted, settled }));
    }

    /// Holds the pool until what it returns is dropped.
    pub(super) fn hold_pool(&self) -> mpsc::Sender<()> {
        let pool = Arc::clone(&self.pool);
        let (release, released) = mpsc::channel();
        let (hold, held) = mpsc::channel();
        std::thread::spawn(move || {
            let _pool = pool.lock().unwrap();
            hold.send(()).unwrap();
            let _ = released.recv();
        });
        held.recv().unwrap();
        release
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Posts exactly `body` and returns the status code and the answer.
    pub(super) async fn post(&self, body: impl Into<reqwest::Body>) -> (u16, String) {
        let answer =
            self.client.post(self.url()).header("content-type", "application/json").body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Calls a method and returns its result.
    pub(super) async fn call(&self, method: &str, params: Value) -> Value {
        let mut answer = self.answer(method, params).await;
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].take()
    }

    /// Calls a method that must fail and returns code and message.
    pub(super) async fn refused(&self, method: &str, params: Value) -> (i64, String) {
        let answer = self.answer(method, params).await;
        assert!(answer.get("result").is_none(), "{method}: {answer}");
        (answer["error"]["code"].as_i64().unwrap(), answer["error"]["message"].as_str().unwrap().to_owned())
    }

    async fn answer(&self, method: &str, params: Value) -> Value {
        let request = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let (code, text) = self.post(request.to_string()).await;
        assert_eq!(code, 200, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
        answer
    }

    pub(super) async fn send(&self, transaction: &Transaction) -> Value {
        self.call("eth_sendRawTransaction", json!([raw(transaction)])).await
    }
}

pub(super) fn raw(transaction: &Transaction) -> String {
    hex::encode_prefixed(transaction.raw())
}

/// Transaction number `nonce` of account `key` with this tip, of type 2.
pub(super) fn tx(key: u64, nonce: u64, tip: u128) -> Transaction {
    priced(key, nonce, tip, 100)
}

/// The same with this fee cap.
pub(super) fn priced(key: u64, nonce: u64, tip: u128, fee: u128) -> Transaction {
    sign(
        key,
        TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: fee,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(Address::repeat_byte(0xee)),
            ..Default::default()
        },
    )
}

/// One of type 0.
pub(super) fn legacy(key: u64, nonce: u64, chain_id: Option<u64>, input: Bytes) -> TxEnvelope {
    envelope(
        key,
        TxLegacy {
            chain_id,
            nonce,
            gas_price: 50,
            gas_limit: 2_000_000,
            to: TxKind::Call(Address::repeat_byte(0xee)),
            value: U256::from(5),
            input,
        },
    )
}

pub(super) fn account(key: u64) -> Address {
    tx(key, 0, 0).sender()
}

fn sign<T: SignableTransaction<Signature>>(key: u64, unsigned: T) -> Transaction
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    Transaction::decode(envelope(key, unsigned).encoded_2718().into()).unwrap()
}

fn envelope<T: SignableTransaction<Signature>>(key: u64, unsigned: T) -> TxEnvelope
where
    TxEnvelope: From<alloy_consensus::Signed<T>>,
{
    let signature = sign_message(U256::from(key).into(), unsigned.signature_hash()).unwrap();
    unsigned.into_signed(signature).into()
}

/// Keeps the first word of its input in slot 0, logs it with itself as topic, and returns it.
pub(super) const KEEPER: Address = Address::repeat_byte(0xa1);
/// Reverts with its input.
pub(super) const REVERTER: Address = Address::repeat_byte(0xa2);
/// Never ends.
pub(super) const LOOPER: Address = Address::repeat_byte(0xa3);

/// Wei of each of the accounts 1 to 4.
pub(super) const RICH: u64 = 1_000_000_000_000_000_000;

/// Wei per gas at genesis.
pub(super) const BASE_FEE: u64 = 1_000_000_000;

fn genesis() -> Genesis {
    let mut alloc = serde_json::Map::new();
    for key in 1..=4 {
        alloc.insert(account(key).to_string(), json!({"balance": RICH}));
    }
    let keeper = "0x60003560005560003560005260003560206000a160005460005260206000f3";
    for (address, code) in [(KEEPER, keeper), (REVERTER, "0x366000600037366000fd"), (LOOPER, "0x5b600056")] {
        alloc.insert(address.to_string(), json!({"code": code, "nonce": 1}));
    }
    let file = json!({
        "chainId": CHAIN_ID, "nativeToken": {"name": "Ether", "symbol": "ETH"}, "gasLimit": spec().block_gas_limit,
        "eip1559": {
            "baseFeePerGas": BASE_FEE, "minBaseFeePerGas": 1, "elasticityMultiplier": 6, "baseFeeChangeDenominator": 250,
        },
        "alloc": alloc,
    });
    Genesis::parse(&file.to_string()).unwrap()
}

/// Transaction number `nonce` of account `key`, which pays for execution: to `to`, or a creation.
pub(super) fn paying(
    key: u64,
    nonce: u64,
    to: impl Into<Option<Address>>,
    value: u64,
    input: impl Into<Bytes>,
) -> Transaction {
    sign(
        key,
        TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: 200_000,
            max_fee_per_gas: 3 * u128::from(BASE_FEE),
            max_priority_fee_per_gas: TIP,
            to: to.into().map_or(TxKind::Create, TxKind::Call),
            value: U256::from(value),
            input: input.into(),
            ..Default::default()
        },
    )
}

/// Wei per gas that [`paying`] transactions tip.
pub(super) const TIP: u128 = 500_000_000;

/// A number as 32 bytes of input.
pub(super) fn word(number: u64) -> Bytes {
    B256::from(U256::from(number)).0.to_vec().into()
}

/// The view of the chain's header at `height`, for what a test compares with.
pub(super) fn header(node: &TestNode, height: u64) -> BlockHeader {
    node.ledger.header(Height::new(height)).unwrap().unwrap()
}

pub(super) fn view(number: u64) -> View {
    View::new(number)
}
