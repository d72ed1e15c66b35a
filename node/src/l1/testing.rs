//! What tests of L1 and of batches share: a real anvil with a real chain on it, and final blocks for that chain.

use std::{
    future::Future,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope},
    eips::eip2718::{Decodable2718, Encodable2718},
    network::TxSignerSync,
    signers::local::PrivateKeySigner,
};
use alloy_primitives::{Address, B256, Bytes, TxHash, TxKind, U256};
use alloy_sol_types::SolCall as _;
use baton_consensus::{Committee, Schedule, SecretKey, aggregate};
use baton_execution::{ExecutedBlock, Executor as _, NonceExecutor};
use baton_proto::{
    Attestation, BatchHeader, Block, BlockDigest, BlockHeader, BlsSignature, Certificate, Domain, Epoch, ExecutorKind,
    Forced, Height, L1ChainId, L1Origin, L2ChainId, MemberIndex, PayloadCommitment, SignerSet, Statement, TimestampMs,
    Transaction, View,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use super::{
    Origins,
    anvil::{Anvil, AnvilOptions},
    bindings::{BatchInbox, SequencerRegistry},
    client::{At, L1Client},
    deploy::{self, Deployment, Founder},
    description::Description,
    epoch_facts::read_epoch_facts,
    facts::{ChainFacts, read_chain_facts},
    origins::Noted,
};
use crate::{
    epoch::{EpochBook, EpochContext},
    ledger::{ChainIdentity, FinalStep, Ledger, MemoryLedger},
    signer::{OwnKey, SignRecord},
};

/// Has L1 call a block final.
pub(crate) fn see_final(origins: &Origins, origin: L1Origin) {
    assert_eq!(origins.note(origin), Noted::Fresh);
}

/// The L2 chain id of every test chain.
pub(crate) const L2_CHAIN: u64 = 4_242;

/// How often tests look at L1.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// How long an event may take before a test gives up: far more than it ever takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How long L1 may take for one answer. The first blob that an anvil sees has it compute for seconds.
const CALL_WITHIN: Duration = Duration::from_secs(60);

/// The first accounts of anvil's well-known mnemonic.
const ACCOUNTS: [&str; 10] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "0x47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "0x8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "0x4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "0x2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
];

/// A funded account of anvil. 0 deploys, 1 to 4 own the sequencers.
pub(crate) fn account(index: usize) -> PrivateKeySigner {
    ACCOUNTS[index].parse().unwrap()
}

pub(crate) async fn start_anvil() -> Anvil {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Anvil::start(&AnvilOptions::new(AnvilOptions::binary_in(&root))).await.unwrap()
}

pub(crate) fn client_of(anvil: &Anvil) -> L1Client {
    client_without_beacon(anvil).with_beacon(&[anvil.url().to_owned()]).unwrap()
}

/// One that can read no blobs.
pub(crate) fn client_without_beacon(anvil: &Anvil) -> L1Client {
    L1Client::new(&[anvil.url().to_owned()], L1ChainId::new(anvil.chain_id()), CALL_WITHIN).unwrap()
}

/// Calls one of anvil's own methods that answers nothing of interest.
pub(crate) async fn anvil_call<P: alloy::rpc::json_rpc::RpcSend>(client: &L1Client, method: &'static str, params: P) {
    client.request::<_, Option<Value>>(method, params).await.unwrap();
}

/// The code of a contract that answers every call with `data`.
pub(crate) fn code_that_returns(data: &[u8]) -> Bytes {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    // PUSH2 length, PUSH1 16, PUSH1 0, CODECOPY, PUSH2 length, PUSH1 0, RETURN, and a STOP so that the data begin at 16.
    let head = [&[0x61][..], &length, &[0x60, 16, 0x60, 0, 0x39, 0x61], &length, &[0x60, 0, 0xf3, 0, 0]].concat();
    assert_eq!(head.len(), 16);
    [&head, data].concat().into()
}

/// The code of a contract that answers calls of `selector` with `data`, and all others with zeros.
pub(crate) fn code_that_answers(selector: [u8; 4], data: &[u8]) -> Bytes {
    let length = u16::try_from(data.len()).unwrap().to_be_bytes();
    // PUSH1 0, CALLDATALOAD, PUSH1 224, SHR, PUSH4 selector, EQ, PUSH1 22, JUMPI
    let asked = [&[0x60, 0, 0x35, 0x60, 224, 0x1c, 0x63][..], &selector, &[0x14, 0x60, 22, 0x57]].concat();
    // PUSH2 512, PUSH1 0, RETURN, and a STOP so that what follows begins at 22.
    let zeros = [0x61, 2, 0, 0x60, 0, 0xf3, 0];
    // JUMPDEST, PUSH2 length, PUSH1 39, PUSH1 0, CODECOPY, PUSH2 length, PUSH1 0, RETURN, and STOPs so that the data begin at 39.
    let told = [&[0x5b, 0x61][..], &length, &[0x60, 39, 0x60, 0, 0x39, 0x61], &length, &[0x60, 0, 0xf3, 0, 0]].concat();
    let code = [asked, zeros.to_vec(), told].concat();
    assert_eq!(code.len(), 39);
    [&code, data].concat().into()
}

/// An L1 endpoint in front of `anvil` that takes everything for final at once: whatever block it is asked about, it answers
/// with its newest. Blocks it tells by number as they are.
///
/// One that forgets has no logs.
pub(crate) struct HastyEndpoint {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl HastyEndpoint {
    pub(crate) async fn before(anvil: &Anvil) -> Self {
        Self::with(anvil, false).await
    }

    /// One that forgets.
    pub(crate) async fn without_logs(anvil: &Anvil) -> Self {
        Self::with(anvil, true).await
    }

    async fn with(anvil: &Anvil, forgets: bool) -> Self {
        let meddle = move |question: &mut Value| {
            let is_state = question["method"] == "eth_call";
            match question["params"].as_array_mut() {
                Some(params) if is_state => params[1] = "latest".into(),
                Some(params) => {
                    params.iter_mut().filter(|param| **param == "finalized").for_each(|tag| *tag = "latest".into())
                }
                None => {}
            }
            (forgets && question["method"] == "eth_getLogs").then(|| json!([]))
        };
        let (url, task) = Meddler { to: anvil.url().to_owned(), client: reqwest::Client::new(), meddle }.listen().await;
        Self { url, task }
    }
}

impl Drop for HastyEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An L1 endpoint in front of `anvil` behind which no blob gets into a block.
pub(crate) struct BlobGate {
    pub(crate) url: String,
    /// Transactions with blobs that were taken and kept, in the order in which they came.
    pub(crate) held: Arc<Mutex<Vec<Bytes>>>,
    task: tokio::task::JoinHandle<()>,
}

impl BlobGate {
    /// One that takes transactions with blobs and keeps them.
    pub(crate) async fn that_keeps_them(anvil: &Anvil) -> Self {
        Self::with(anvil, None).await
    }

    /// One that wants so much for a unit of blob gas.
    pub(crate) async fn that_asks_for(anvil: &Anvil, wei: u128) -> Self {
        Self::with(anvil, Some(json!(format!("{wei:#x}")))).await
    }

    /// One that keeps to itself what blobs cost.
    pub(crate) async fn that_prices_nothing(anvil: &Anvil) -> Self {
        Self::with(anvil, Some(refusal(-32_000, "blob pricing is not enabled for this account"))).await
    }

    async fn with(anvil: &Anvil, price: Option<Value>) -> Self {
        let held: Arc<Mutex<Vec<Bytes>>> = Arc::default();
        let keep = Arc::clone(&held);
        let meddle = move |question: &mut Value| match question["method"].as_str()? {
            "eth_blobBaseFee" => price.clone(),
            "eth_sendRawTransaction" => {
                let raw: Bytes = question["params"][0].as_str()?.parse().unwrap();
                let Ok(TxEnvelope::Eip4844(signed)) = TxEnvelope::decode_2718(&mut raw.as_ref()) else { return None };
                keep.lock().unwrap().push(raw);
                Some(json!(signed.hash()))
            }
            _ => None,
        };
        let (url, task) = Meddler { to: anvil.url().to_owned(), client: reqwest::Client::new(), meddle }.listen().await;
        Self { url, held, task }
    }

    /// A client that comes through here, and reads blobs from `anvil` itself.
    pub(crate) fn client(&self, anvil: &Anvil) -> L1Client {
        let client = L1Client::new(std::slice::from_ref(&self.url), L1ChainId::new(anvil.chain_id()), CALL_WITHIN);
        client.unwrap().with_beacon(&[anvil.url().to_owned()]).unwrap()
    }
}

impl Drop for BlobGate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An L1 endpoint in front of `anvil` that changes some questions, or answers them itself.
pub(crate) struct FakeEndpoint {
    pub(crate) url: String,
    task: tokio::task::JoinHandle<()>,
}

impl FakeEndpoint {
    pub(crate) async fn before<F>(anvil: &Anvil, meddle: F) -> Self
    where
        F: Fn(&mut Value) -> Option<Value> + Clone + Send + 'static,
    {
        let (url, task) = Meddler { to: anvil.url().to_owned(), client: reqwest::Client::new(), meddle }.listen().await;
        Self { url, task }
    }

    /// A client that knows no other.
    pub(crate) fn client(&self, anvil: &Anvil) -> L1Client {
        L1Client::new(std::slice::from_ref(&self.url), L1ChainId::new(anvil.chain_id()), CALL_WITHIN).unwrap()
    }
}

impl Drop for FakeEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What an endpoint answers that refuses.
pub(crate) fn refusal(code: i64, message: &str) -> Value {
    json!({ "error": { "code": code, "message": message } })
}

/// What an `eth_call` calls and with what, if `question` is one.
pub(crate) fn called(question: &Value) -> Option<(Address, Bytes)> {
    let call = (question["method"] == "eth_call").then(|| &question["params"][0])?;
    let data = call.get("input").or_else(|| call.get("data"))?;
    Some((call["to"].as_str()?.parse().ok()?, data.as_str()?.parse().ok()?))
}

/// Hands questions on to an L1, except that `meddle` may change one, or answer it itself.
#[derive(Clone)]
struct Meddler<F> {
    to: String,
    client: reqwest::Client,
    meddle: F,
}

impl<F: Fn(&mut Value) -> Option<Value> + Clone + Send + 'static> Meddler<F> {
    async fn listen(self) -> (String, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let here = self.clone();
                // Whoever asks may have gone before it is answered.
                tokio::spawn(async move { here.answer(stream).await });
            }
        });
        (url, task)
    }

    async fn answer(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await? > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        // A connection may be opened ahead of any question.
        let Ok(mut question) = serde_json::from_slice::<Value>(&body) else { return Ok(()) };
        let answer = match (self.meddle)(&mut question) {
            Some(refusal) if refusal.get("error").is_some() => {
                json!({ "jsonrpc": "2.0", "id": question["id"], "error": refusal["error"] }).to_string()
            }
            Some(result) => json!({ "jsonrpc": "2.0", "id": question["id"], "result": result }).to_string(),
            None => {
                let asked = self.client.post(&self.to).header("content-type", "application/json");
                asked.body(question.to_string()).send().await.unwrap().text().await.unwrap()
            }
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
        let answer = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
        stream.get_mut().write_all(answer.as_bytes()).await
    }
}

/// A client that asks the hasty endpoint first, and then `anvil` itself, which stands for most.
pub(crate) fn client_behind(hasty: &HastyEndpoint, anvil: &Anvil) -> L1Client {
    let urls = [hasty.url.as_str(), anvil.url(), anvil.url()].map(ToOwned::to_owned);
    L1Client::new(&urls, L1ChainId::new(anvil.chain_id()), CALL_WITHIN).unwrap()
}

/// Puts an entry into the forced queue, as the ninth account, for whatever it costs.
pub(crate) async fn enqueue(chain: &TestChain, entry: &[u8]) {
    let data: Bytes = BatchInbox::enqueueCall { kind: 0, entry: entry.to_vec().into() }.abi_encode().into();
    let transaction = json!({
        "from": account(9).address(), "to": chain.facts.inbox, "value": "0xde0b6b3a7640000", "data": data, "gas": "0xf00000",
    });
    let hash: TxHash = chain.client.request("eth_sendTransaction", (transaction,)).await.unwrap();
    eventually("an entry to be mined", || async {
        chain.client.receipt(hash).await.unwrap().is_some_and(|receipt| receipt.status())
    })
    .await;
}

/// Sends a signal to a process of this test.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}");
}

/// Asks again and again until the answer is yes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let all = async {
        while !ask().await {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"));
}

/// A chain with four sequencers on an anvil of its own, in its first epoch.
pub(crate) struct TestChain {
    pub(crate) anvil: Anvil,
    pub(crate) client: L1Client,
    pub(crate) deployment: Deployment,
    pub(crate) facts: Arc<ChainFacts>,
    pub(crate) committee: Arc<Committee>,
    pub(crate) leaders: Schedule,
    pub(crate) posters: Schedule,
    /// Consensus keys, in committee order.
    pub(crate) keys: Vec<SecretKey>,
    /// The key of who joins in epoch 3, on a chain [that grows](Self::start_growing).
    pub(crate) joiner: SecretKey,
}

impl TestChain {
    /// Bonds 32, 28, 22 and 18 shares, in epochs of 16 L1 blocks.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut baton_proto::ChainSpec)) -> Self {
        Self::start_chain(adjust, small_stakes(), false).await
    }

    /// `members` of equal weight, with owners that nobody knows.
    pub(crate) async fn start_large(members: u8) -> Self {
        let stake = |place: u8| {
            let secret = B256::left_padding_from(&[1, place]);
            (PrivateKeySigner::from_bytes(&secret).unwrap(), SecretKey::generate(&[place; 32]), 20)
        };
        Self::start_chain(|_| {}, (0..members).map(stake).collect(), false).await
    }

    /// From epoch 3 on there is a fifth member, with 20 shares. It is the first by address, so that all others move up.
    pub(crate) async fn start_growing(adjust: impl FnOnce(&mut baton_proto::ChainSpec)) -> Self {
        Self::start_chain(adjust, small_stakes(), true).await
    }

    async fn start_chain(
        adjust: impl FnOnce(&mut baton_proto::ChainSpec),
        stakes: Vec<(PrivateKeySigner, SecretKey, u64)>,
        grows: bool,
    ) -> Self {
        let anvil = start_anvil().await;
        let client = client_of(&anvil);
        let founders: Vec<Founder<'_>> = stakes
            .iter()
            .map(|(owner, key, share)| Founder {
                owner,
                fee_recipient: owner.address(),
                key,
                bond: U256::from(*share) * U256::from(10_u64.pow(18)),
            })
            .collect();
        for founder in &founders {
            anvil_call(&client, "anvil_setBalance", (founder.owner.address(), "0x56bc75e2d63100000")).await;
        }
        let mut description = Description::devnet();
        description.spec.l2_chain_id = L2ChainId::new(L2_CHAIN);
        (description.spec.executor, description.spec.genesis_hash) = (ExecutorKind::None, B256::ZERO);
        adjust(&mut description.spec);
        let deployer = account(0);
        let deployment = deploy::deploy_chain(&client, &deployer, &founders, &description, &mut |_| {}).await.unwrap();
        let joiner = SecretKey::generate(&[5; 32]);
        if grows {
            // What is changed in epoch 1 counts from epoch 3 on.
            let (registry, question) = (deployment.registry, SequencerRegistry::epochStartCall { epoch: 1 });
            let start: U256 = client.call(registry, &question, At::Latest).await.unwrap();
            mine_to(&client, start.to()).await;
            let domain = Domain { l1_chain_id: client.chain_id(), registry, l2_chain_id: L2ChainId::new(L2_CHAIN) };
            let owner = account(7);
            let bond = U256::from(20) * U256::from(10_u64.pow(18));
            let founder = Founder { owner: &owner, fee_recipient: owner.address(), key: &joiner, bond };
            deploy::register(&client, &domain, deployment.token, &founder).await.unwrap();
        }
        deploy::mine_to_start(&client, deployment.registry, 4, &mut |_| {}).await.unwrap();
        let facts = Arc::new(read_chain_facts(&client, deployment.registry, POLL).await.unwrap());
        let committee = Arc::new(Committee::new(facts.first.epoch, facts.first.committee.clone()).unwrap());
        let leaders = Schedule::leaders(&facts.domain, &committee, facts.first.randomness);
        let posters = Schedule::posters(&facts.domain, &committee, facts.first.randomness);
        let keys = committee
            .members()
            .iter()
            .map(|member| {
                let (_, key, _) = stakes.iter().find(|(_, key, _)| key.public_key() == member.key).unwrap();
                SecretKey::from_bytes(&key.to_bytes()).unwrap()
            })
            .collect();
        Self { anvil, client, deployment, facts, committee, leaders, posters, keys, joiner }
    }

    pub(crate) fn identity(&self) -> ChainIdentity {
        ChainIdentity { domain: self.facts.domain, inbox: self.facts.inbox, slasher: self.facts.slasher }
    }

    /// What signs with `key`, with a new record in `folder`.
    pub(crate) fn own_key(&self, key: &SecretKey, folder: &Path) -> OwnKey {
        let record = SignRecord::create(&folder.join("record"), &key.public_key()).unwrap();
        OwnKey::new(key.clone(), record, self.facts.domain).unwrap()
    }

    /// The first epoch, as who has `key` sees it.
    pub(crate) fn first_epoch(&self, key: Option<&OwnKey>) -> EpochContext {
        EpochContext::new(self.facts.domain, &self.facts.first, self.facts.genesis.clone(), key).unwrap()
    }

    /// The same as the only one that is known.
    pub(crate) fn epochs(&self, key: Option<&OwnKey>) -> EpochBook {
        EpochBook::new(Arc::new(self.first_epoch(key)))
    }

    /// Any epoch as L1 has it, starting from `root`.
    pub(crate) async fn epoch(&self, epoch: Epoch, root: &BlockHeader, key: Option<&OwnKey>) -> Arc<EpochContext> {
        let facts = read_epoch_facts(&self.client, &self.facts, epoch, POLL).await.unwrap();
        Arc::new(EpochContext::new(self.facts.domain, &facts, root.clone(), key).unwrap())
    }

    /// Makes the last of `blocks` a handover block, with the first L1 block of `epoch` as its origin. L1 is mined until that
    /// is final.
    pub(crate) async fn hand_over(&self, blocks: &mut [Block], epoch: Epoch) {
        let start = self.facts.epochs().start(epoch);
        mine_to(&self.client, start.get() + 4).await;
        blocks.last_mut().unwrap().header.origin = self.client.existing_block(At::Number(start)).await.unwrap().origin;
    }

    /// An empty ledger of this chain.
    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        let ledger = MemoryLedger::new(&self.identity()).unwrap();
        ledger.init_genesis(&self.facts.genesis).unwrap();
        Arc::new(ledger)
    }

    /// The next `count` final blocks after `parent`, with `transactions` signed transfers in each. Every fifth view is
    /// skipped, so that duties are missed too.
    pub(crate) fn blocks_after(&self, parent: &BlockHeader, count: u64, transactions: u64) -> Vec<Block> {
        self.blocks_of(&self.first_epoch(None), parent, count, transactions)
    }

    /// The same in any epoch.
    pub(crate) fn blocks_of(
        &self,
        epoch: &EpochContext,
        parent: &BlockHeader,
        count: u64,
        transactions: u64,
    ) -> Vec<Block> {
        let mut parent = parent.clone();
        let mut nonce = parent.height.get() * transactions;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let before = if parent.epoch == epoch.epoch { parent.view.get() } else { 0 };
            let view = before + if (before + 1).is_multiple_of(5) { 2 } else { 1 };
            let transactions: Vec<Transaction> = (0..transactions)
                .map(|_| {
                    nonce += 1;
                    transfer(&account(9), nonce - 1)
                })
                .collect();
            let commitment = PayloadCommitment::of(&Forced::default(), &transactions);
            let proposer = epoch.leaders.leader(View::new(view));
            let header = BlockHeader {
                l2_chain_id: self.facts.spec.l2_chain_id,
                epoch: epoch.epoch,
                view: View::new(view),
                height: parent.height.next().unwrap(),
                parent: parent.digest(),
                timestamp_ms: TimestampMs::new(parent.timestamp_ms.get() + 100),
                origin: parent.origin,
                forced_position: parent.forced_position,
                forced_hash: parent.forced_hash,
                payload_root: commitment.payload_root,
                transaction_count: commitment.transaction_count,
                payload_bytes: commitment.payload_bytes,
                declared_gas: commitment.declared_gas,
                proposer,
                fee_recipient: epoch.committee.member(proposer).unwrap().fee_recipient,
            };
            parent = header.clone();
            blocks.push(Block { header, forced: Forced::default(), transactions });
        }
        blocks
    }

    /// A certificate of `signers` for any statement; nothing is checked, so that wrong ones can be made.
    pub(crate) fn certificate(&self, statement: Statement, signers: &[u8], domain: &Domain) -> Certificate {
        let signatures: Vec<BlsSignature> =
            signers.iter().map(|signer| self.keys[usize::from(*signer)].sign(&statement, domain)).collect();
        Certificate {
            statement,
            signers: signers.iter().copied().map(MemberIndex::new).collect::<SignerSet>(),
            signature: aggregate(&signatures).unwrap(),
        }
    }

    /// A batch certificate of all members.
    pub(crate) fn attested(&self, header: &BatchHeader) -> Certificate {
        let statement = Statement::Attest(Attestation::of(self.facts.first.epoch, header));
        self.certificate(statement, &[0, 1, 2, 3], &self.facts.domain)
    }
}

/// Who founds a small chain: owners, keys and shares.
fn small_stakes() -> Vec<(PrivateKeySigner, SecretKey, u64)> {
    let stake = |(place, share)| (account(place), SecretKey::generate(&[place as u8; 32]), share);
    (1..).zip([32, 28, 22, 18]).map(stake).collect()
}

/// Mines until `number` is L1's newest block, if it is not beyond.
pub(crate) async fn mine_to(client: &L1Client, number: u64) {
    let head = client.existing_block(At::Latest).await.unwrap().origin.number.get();
    if head < number {
        deploy::mine(client, number - head).await.unwrap();
    }
}

/// Makes `blocks` final in `ledger`, as consensus would.
pub(crate) fn finalize(ledger: &dyn Ledger, blocks: &[Block]) -> Height {
    finalize_to(ledger, blocks, B256::ZERO)
}

/// The same where execution leads to `state_root` after each of them.
pub(crate) fn finalize_to(ledger: &dyn Ledger, blocks: &[Block], state_root: B256) -> Height {
    for block in blocks {
        let executed = NonceExecutor.execute(block, ledger.state().unwrap().as_ref()).unwrap();
        let results = vec![ExecutedBlock { state_root, ..executed }];
        let certificate = Certificate {
            statement: Statement::Finalize {
                epoch: block.header.epoch,
                view: block.header.view,
                block: block.header.digest(),
            },
            signers: SignerSet::EMPTY,
            signature: BlsSignature::new([0; 48]),
        };
        ledger.finalize(&FinalStep { blocks: vec![block.clone()], certificate, results }).unwrap();
    }
    blocks.last().map_or(Height::ZERO, |block| block.header.height)
}

/// A signed transfer on the test chain.
pub(crate) fn transfer(from: &PrivateKeySigner, nonce: u64) -> Transaction {
    let mut transaction = TxEip1559 {
        chain_id: L2_CHAIN,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1_000_000,
        to: TxKind::Call(Address::repeat_byte(0x77)),
        value: U256::from(nonce),
        access_list: Default::default(),
        input: Default::default(),
    };
    let signature = from.sign_transaction_sync(&mut transaction).unwrap();
    let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
    Transaction::decode(raw.into()).unwrap()
}

/// A digest that no block has.
pub(crate) fn other_digest(byte: u8) -> BlockDigest {
    BlockDigest::new(B256::repeat_byte(byte))
}
