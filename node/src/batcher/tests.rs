//! Four batchers in one process on a real L1: final blocks in, certified batches on L1 out.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy::{
    consensus::{TxEnvelope, transaction::SignerRecoverable as _},
    eips::eip2718::Decodable2718 as _,
    rpc::types::Filter,
};
use alloy_primitives::{Address, B256, Bytes, TxHash, U256, keccak256};
use alloy_sol_types::{SolCall as _, SolEvent as _};
use baton_consensus::Verifier;
use baton_proto::{
    Attestation, BatchHash, BatchIndex, Block, BlockDigest, BlockHeader, BlsPublicKey, ChainSpec, DataKind, Epoch,
    Evidence, Height, MemberIndex, Offence, SignedStatement, Statement, Weight, limits::BATCH_DATA_BYTES_MAX,
    wire::ConsensusMessage,
};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{BatchMessage, BatchStatus, Batcher, BatcherConfig, BatcherContext, Roots, Situation, rank};
use crate::{
    epoch::{EPOCHS_KEPT, EpochBook},
    l1::{
        AccountConfig, At, Broadcast, DataChoice, InboxTip, L1Client, L1Error, PostedBatch, PostedChain, ReplayError,
        Watcher,
        bindings::BatchInbox,
        deploy, read_posted_chain, read_tip,
        testing::{
            BlobGate, PATIENCE, POLL, TestChain, account, anvil_call, client_without_beacon, eventually, finalize,
        },
    },
    ledger::{BatchOnL1, Ledger},
    p2p::Outbound,
    signer::OwnKey,
};

/// Delivers at once to every other node that sits in the epoch that a message is about; what a full inbox does not take is
/// lost.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Vec<Option<Inbox>>>>);

/// A node's key, and where what is meant for it goes.
type Inbox = (BlsPublicKey, mpsc::Sender<BatchMessage>);

struct Port {
    hub: Hub,
    place: usize,
    epochs: EpochBook,
}

impl Outbound for Port {
    fn broadcast(&self, message: ConsensusMessage) {
        let Some(about) = self.epochs.of(message.epoch()) else { return };
        let Some(from) = about.me() else { return };
        for (place, node) in self.hub.0.lock().unwrap().iter().enumerate() {
            if place != self.place
                && let Some((key, inbox)) = node
                && about.committee.index_of_key(key).is_some()
            {
                let _ = inbox.try_send(BatchMessage { epoch: about.epoch, from, message: message.clone() });
            }
        }
    }

    fn send(&self, _: MemberIndex, _: ConsensusMessage) {
        unreachable!("the batcher speaks to all")
    }
}

struct Member {
    batcher: Batcher,
    ledger: Arc<dyn Ledger>,
    heads: watch::Sender<Height>,
    key: Arc<OwnKey>,
    epochs: EpochBook,
    cancel: CancellationToken,
    charged: Arc<Mutex<Vec<(Epoch, MemberIndex, String)>>>,
    accused: mpsc::Receiver<Evidence>,
    _record: tempfile::TempDir,
}

struct Cluster {
    chain: TestChain,
    /// How all members get their batches to L1.
    data: DataChoice,
    /// The way to L1 of who joins next.
    client: L1Client,
    hub: Hub,
    members: Vec<Option<Member>>,
}

impl Cluster {
    async fn start(running: &[u8]) -> Self {
        Self::start_with(running, |_| {}).await
    }

    async fn start_with(running: &[u8], adjust: impl FnOnce(&mut ChainSpec)) -> Self {
        Self::of(TestChain::start_with(adjust).await, running)
    }

    /// The four members of the first epoch and the one that joins in the next, which is last here.
    async fn start_growing(adjust: impl FnOnce(&mut ChainSpec)) -> Self {
        Self::of(TestChain::start_growing(adjust).await, &[0, 1, 2, 3, 4])
    }

    fn of(chain: TestChain, running: &[u8]) -> Self {
        let hub = Hub::default();
        hub.0.lock().unwrap().resize_with(5, || None);
        // What most tests are about is the same with blobs, which take each node seconds.
        let data = DataChoice::Calldata;
        let client = chain.client.clone();
        let mut cluster = Self { chain, data, client, hub, members: (0..5).map(|_| None).collect() };
        for index in running {
            cluster.join(*index);
        }
        cluster
    }

    fn join(&mut self, index: u8) {
        let (key, record) = self.key_of(index);
        let epochs = self.chain.epochs(Some(&key));
        self.join_with(index, key, record, epochs);
    }

    /// Has a node join that knows no other epoch than this one.
    async fn join_at(&mut self, index: u8, epoch: Epoch, root: &BlockHeader) {
        let (key, record) = self.key_of(index);
        let epochs = EpochBook::new(self.chain.epoch(epoch, root, Some(&key)).await);
        self.join_with(index, key, record, epochs);
    }

    fn key_of(&self, index: u8) -> (OwnKey, tempfile::TempDir) {
        let record = tempfile::tempdir().unwrap();
        let key = self.chain.keys.get(usize::from(index)).unwrap_or(&self.chain.joiner);
        (self.chain.own_key(key, record.path()), record)
    }

    fn join_with(&mut self, index: u8, key: OwnKey, record: tempfile::TempDir, epochs: EpochBook) {
        self.join_from(self.chain.ledger(), index, key, record, epochs);
    }

    /// Has a node join with what an earlier life of it has kept.
    fn join_from(
        &mut self,
        ledger: Arc<dyn Ledger>,
        index: u8,
        key: OwnKey,
        record: tempfile::TempDir,
        epochs: EpochBook,
    ) {
        let (chain, client, data, key) = (&self.chain, self.client.clone(), self.data, Arc::new(key));
        let place = usize::from(index);
        let cancel = CancellationToken::new();
        let watcher =
            Watcher::spawn(client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
        let (inbox, messages) = mpsc::channel(256);
        self.hub.0.lock().unwrap()[place] = Some((key.public_key(), inbox));
        let (heads, head) = watch::channel(Height::ZERO);
        let charged: Arc<Mutex<Vec<(Epoch, MemberIndex, String)>>> = Arc::default();
        let charges = Arc::clone(&charged);
        let (evidence, accused) = mpsc::channel(4);
        let context = BatcherContext {
            client,
            facts: Arc::clone(&chain.facts),
            epochs: epochs.clone(),
            keys: vec![Arc::clone(&key)],
            ledger: Arc::clone(&ledger),
            outbound: Arc::new(Port { hub: self.hub.clone(), place, epochs: epochs.clone() }),
            heads: head,
            l1: watcher.view,
            messages,
            charge: Arc::new(move |epoch, member, why| charges.lock().unwrap().push((epoch, member, why.to_owned()))),
            evidence,
            poster: Some((account(5 + place), AccountConfig { poll: POLL, ..AccountConfig::default() })),
            config: BatcherConfig { repeat: Duration::from_millis(100), retry: POLL, data },
            cancel: cancel.clone(),
        };
        let batcher = Batcher::spawn(context).unwrap();
        self.members[place] =
            Some(Member { batcher, ledger, heads, key, epochs, cancel, charged, accused, _record: record });
    }

    /// Has the next epoch run everywhere, starting from `root`.
    async fn run_epoch(&self, epoch: Epoch, root: &BlockHeader) {
        for member in self.running() {
            member.epochs.add(self.chain.epoch(epoch, root, Some(&*member.key)).await);
        }
    }

    /// Has a member say what would be held against it if it were about the epoch that is worked on: a proposal whose data is
    /// not what it names, and the attestation of somebody else.
    fn say_about_another_epoch(&self, blocks: &[Block]) {
        let (chain, other) = (&self.chain, Epoch::new(3));
        let tip = InboxTip::genesis(&chain.facts);
        let situation = Situation::new(&chain.facts, other, &tip, tip.accepted_at, None);
        let header = situation
            .header((DataKind::Calldata, keccak256(b"one")), blocks, Roots { state: B256::ZERO, duties: B256::ZERO })
            .unwrap();
        let statement = Statement::Attest(Attestation::of(other, &header));
        let signature = chain.keys[1].sign(&statement, &chain.facts.domain);
        let attestation = SignedStatement { statement, signer: MemberIndex::new(1), signature };
        let said = [
            ConsensusMessage::BatchProposal { committee_epoch: other, header, data: b"another".into() },
            ConsensusMessage::Attestation(attestation),
        ];
        for (_, inbox) in self.hub.0.lock().unwrap().iter().flatten() {
            for message in said.clone() {
                let (epoch, from) = (chain.facts.first.epoch, MemberIndex::new(0));
                inbox.try_send(BatchMessage { epoch, from, message }).unwrap();
            }
        }
    }

    fn running(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().flatten()
    }

    /// Makes blocks final everywhere.
    fn finalize(&self, blocks: &[Block]) {
        for member in self.running() {
            let height = finalize(&*member.ledger, blocks);
            member.heads.send_replace(height);
        }
    }

    async fn mine(&self, blocks: u64) {
        deploy::mine(&self.chain.client, blocks).await.unwrap();
    }

    async fn posted_height(&self) -> Height {
        read_tip(&self.chain.client, &self.chain.facts, At::Latest).await.unwrap().last_height
    }

    /// Lets L1 blocks pass until all of `blocks` are on L1, then reads the chain back and compares.
    async fn until_posted(&self, blocks: &[Block]) {
        let last = blocks.last().unwrap().header.height;
        eventually("the blocks are on L1", || async {
            self.mine(1).await;
            self.posted_height().await >= last
        })
        .await;
        // anvil shows a block's state a moment before the block, so the last batch can be missing from what is read back.
        eventually("all of them are read back", || async {
            let replayed = self.replay().await.blocks;
            assert!(blocks.starts_with(&replayed), "L1 holds other blocks than those that were final");
            replayed.len() == blocks.len()
        })
        .await;
    }

    async fn replay(&self) -> PostedChain {
        let result = async {
            loop {
                match read_posted_chain(&self.chain.client, &self.chain.facts).await {
                    Ok(chain) => return chain,
                    // anvil shows a block's state a moment before the block.
                    Err(ReplayError::L1(error)) if error.is_retryable() => tokio::time::sleep(POLL).await,
                    Err(error) => panic!("{error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, result).await.expect("the chain can be read back")
    }

    fn nobody_is_charged(&self) {
        for member in self.running() {
            assert_eq!(*member.charged.lock().unwrap(), []);
        }
    }

    /// The member whose turn the batch `index` is.
    fn poster(&self, index: u64) -> u8 {
        (0..4)
            .find(|member| rank(&self.chain.posters, 4, BatchIndex::new(index), MemberIndex::new(*member)) == 0)
            .unwrap()
    }
}

async fn status(member: &mut Member, what: &str, accept: impl Fn(&BatchStatus) -> bool) {
    tokio::time::timeout(PATIENCE, member.batcher.status.wait_for(|status| accept(status)))
        .await
        .unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
        .unwrap();
}

/// What the second member of the first epoch says of the first batch, as whoever it is in the committee of `epoch`.
fn lie(chain: &TestChain, epoch: Epoch, signer: u8, fill: u8) -> SignedStatement {
    let tip = InboxTip::genesis(&chain.facts);
    let statement = Statement::Attest(Attestation {
        committee_epoch: epoch,
        batch_index: tip.next_index,
        prev_batch_hash: tip.last_hash,
        header_hash: BatchHash::new(B256::repeat_byte(fill)),
        last_height: Height::new(5),
        last_digest: BlockDigest::new(B256::repeat_byte(fill)),
        state_root: B256::ZERO,
    });
    let signature = chain.keys[1].sign(&statement, &chain.facts.domain);
    SignedStatement { statement, signer: MemberIndex::new(signer), signature }
}

impl Cluster {
    /// Has the first node hear an attestation from its signer, again and again until `told`: before it has looked at L1 it knows of
    /// no batch that could be attested.
    async fn first_hears(&self, signed: &SignedStatement, told: impl AsyncFn() -> bool) {
        let inbox = self.hub.0.lock().unwrap()[0].clone().unwrap().1;
        let (epoch, from) = (signed.statement.epoch(), signed.signer);
        let hearing = async {
            while !told().await {
                let message = ConsensusMessage::Attestation(signed.clone());
                inbox.send(BatchMessage { epoch, from, message }).await.unwrap();
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("in time");
    }

    /// Has the first node hear one attestation and keep it.
    async fn first_keeps(&self, signed: &SignedStatement) {
        let ledger = Arc::clone(&self.members[0].as_ref().unwrap().ledger);
        let key = self.chain.keys[1].public_key();
        self.first_hears(signed, async || {
            ledger.attestations(BatchIndex::ZERO, &key).unwrap().iter().any(|kept| kept.statement == signed.statement)
        })
        .await;
    }

    /// Returns the evidence that the first node finds when it hears this.
    async fn first_accuses(&mut self, signed: &SignedStatement) -> Evidence {
        self.first_keeps(signed).await;
        let member = self.members[0].as_mut().unwrap();
        let found = tokio::time::timeout(PATIENCE, member.accused.recv()).await.expect("in time").unwrap();
        assert_eq!(found.offence(), Offence::ConflictingAttestations);
        assert!(member.charged.lock().unwrap().is_empty());
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_attests_two_ends_of_one_batch_is_accused_of_it_also_after_a_restart() {
    let mut cluster = Cluster::start(&[0]).await;
    let (epoch, domain) = (cluster.chain.facts.first.epoch, cluster.chain.facts.domain);
    let said = [1, 2].map(|fill| lie(&cluster.chain, epoch, 1, fill));
    cluster.first_keeps(&said[0]).await;
    let before = cluster.members[0].take().unwrap();
    before.cancel.cancel();
    let (key, record) = cluster.key_of(0);
    let epochs = cluster.chain.epochs(Some(&key));
    cluster.join_from(before.ledger, 0, key, record, epochs);
    let found = cluster.first_accuses(&said[1]).await;
    assert_eq!(found, Evidence::new(said[0].clone(), said[1].clone()).unwrap());
    let verifier = Verifier::new(domain, Arc::clone(&cluster.chain.committee)).unwrap();
    assert_eq!(verifier.verify_evidence(&found), Ok(()));

    // Whoever says such a thing in another's name is charged, and nobody is accused.
    let inbox = cluster.hub.0.lock().unwrap()[0].clone().unwrap().1;
    let forged = SignedStatement { signer: MemberIndex::new(2), ..said[1].clone() };
    let message = ConsensusMessage::Attestation(forged);
    inbox.send(BatchMessage { epoch, from: MemberIndex::new(2), message }).await.unwrap();
    let member = cluster.members[0].as_mut().unwrap();
    let charged = Arc::clone(&member.charged);
    eventually("the forger is charged", || async { !charged.lock().unwrap().is_empty() }).await;
    assert_eq!(charged.lock().unwrap()[0].1, MemberIndex::new(2));
    assert!(member.accused.try_recv().is_err());
}

/// The batch is too old for its own committee, and a later one certifies it: who attests one end for the first and another for the
/// second has signed against itself all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_attests_two_ends_of_one_batch_for_two_committees_is_accused_of_it() {
    let mut cluster = Cluster::start_growing(|_| {}).await;
    let then = cluster.chain.facts.first.epoch;
    let first = lie(&cluster.chain, then, 1, 1);
    cluster.first_keeps(&first).await;
    let later = Epoch::new(4);
    let (_, root) = blocks_of_two_epochs(&cluster, later).await;
    cluster.run_epoch(later, &root).await;
    // Who joined moved the others up.
    let second = lie(&cluster.chain, later, 2, 2);
    let found = cluster.first_accuses(&second).await;
    assert_eq!((found.epoch(), found.signer()), (later, MemberIndex::new(2)));
    assert_eq!([found.first().statement, found.second().statement], [second.statement, first.statement]);
    let committee = cluster.chain.epoch(later, &root, None).await;
    assert_eq!(committee.verifier.verify_evidence(&found), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn final_blocks_reach_l1_batch_after_batch_and_settle() {
    let mut cluster = Cluster::start(&[0, 1, 2, 3]).await;
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 30, 2);
    // The first batch is due by age already. No further L1 block comes until it is posted, so no rank's wait passes.
    cluster.finalize(&blocks[..10]);
    let tenth = blocks[9].header.height;
    eventually("the first batch is on L1", || async { cluster.posted_height().await == tenth }).await;
    // Posted by the one whose turn it was, and by nobody else.
    let poster = usize::from(cluster.poster(0));
    for index in 0..4 {
        let sent = cluster.chain.client.transaction_count(account(5 + index).address(), At::Latest).await.unwrap();
        // One for the committee, one for the batch.
        assert_eq!(sent, if index == poster { 2 } else { 0 }, "member {index}");
    }
    cluster.finalize(&blocks[10..30]);
    cluster.until_posted(&blocks).await;
    cluster.mine(8).await;
    let last = blocks.last().unwrap().header.height;
    for member in cluster.members.iter_mut().flatten() {
        status(member, "settled", |status| status.settled_height == last && status.unposted_blocks == 0).await;
        let ledger = Arc::clone(&member.ledger);
        eventually("recorded as settled", || async {
            ledger.last_batch().unwrap().is_some_and(|record| {
                record.header.last_height == last && matches!(record.l1, BatchOnL1::Settled { .. })
            })
        })
        .await;
    }
    cluster.nobody_is_charged();
}

/// Puts an ether into the pool that posters are paid from.
async fn fund(chain: &TestChain) {
    let data: Bytes = BatchInbox::fundCall {}.abi_encode().into();
    let fund = json!({
        "from": account(9).address(), "to": chain.facts.inbox, "value": "0xde0b6b3a7640000", "data": data,
    });
    let hash: TxHash = chain.client.request("eth_sendTransaction", (fund,)).await.unwrap();
    eventually("the pool is funded", || async { chain.client.receipt(hash).await.unwrap().is_some() }).await;
}

/// Checks that whoever posted these batches, and nobody else, was paid for each what its transaction burnt, a little less at the
/// most, and that the pool has the rest.
async fn posters_were_paid_once(chain: &TestChain, batches: &[PostedBatch]) {
    let filter = Filter::new()
        .address(chain.facts.inbox)
        .event_signature(BatchInbox::PostingRefunded::SIGNATURE_HASH)
        .from_block(0);
    let paid: Vec<(u64, U256)> = chain
        .client
        .logs(&filter)
        .await
        .unwrap()
        .iter()
        .map(|log| BatchInbox::PostingRefunded::decode_log_data(log.data()).unwrap())
        .map(|event| (event.index, event.amount))
        .collect();
    assert_eq!(paid.len(), batches.len(), "{paid:?}");
    let mut pool = U256::from(10_u64.pow(18));
    for (batch, (index, amount)) in batches.iter().zip(paid) {
        let receipt = chain.client.receipt(batch.transaction).await.unwrap().unwrap();
        let gas = u128::from(receipt.gas_used) * receipt.effective_gas_price;
        let blobs = u128::from(receipt.blob_gas_used.unwrap_or_default()) * receipt.blob_gas_price.unwrap_or_default();
        let burnt = U256::from(gas + blobs);
        assert_eq!(index, batch.header.index.get());
        assert!(amount <= burnt && amount >= burnt * U256::from(95) / U256::from(100), "{amount} of {burnt} wei");
        pool -= amount;
    }
    let left: U256 = chain.client.request("eth_getBalance", (chain.facts.inbox, "latest")).await.unwrap();
    assert_eq!(left, pool);
}

/// More than calldata holds, so several blobs. What blobs cost on a test's L1 is next to nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_travel_in_blobs_and_come_back_from_them() {
    let mut cluster = Cluster::start(&[]).await;
    fund(&cluster.chain).await;
    cluster.data = DataChoice::Auto;
    for index in 0..4 {
        cluster.join(index);
    }
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 20, 100);
    cluster.finalize(&blocks);
    // Read back from the blobs, and compared.
    cluster.until_posted(&blocks).await;
    let replayed = cluster.replay().await;
    let first = &replayed.batches[0];
    assert!(replayed.batches.iter().all(|batch| batch.header.data_kind == DataKind::Blobs));
    assert!(first.data.len() > BATCH_DATA_BYTES_MAX, "{} bytes", first.data.len());
    posters_were_paid_once(&cluster.chain, &replayed.batches).await;
    cluster.nobody_is_charged();

    // Who was not there reads the data back from the blobs, and without a beacon endpoint all but the data.
    let blind = client_without_beacon(&cluster.chain.anvil);
    let error = read_posted_chain(&blind, &cluster.chain.facts).await.unwrap_err();
    assert!(matches!(error, ReplayError::L1(L1Error::NoBeacon)), "{error}");
    for (client, data) in [(blind, &Bytes::new()), (cluster.chain.client.clone(), &first.data)] {
        cluster.client = client;
        cluster.join(4);
        let late = cluster.members[4].take().unwrap();
        let recorded = late.batcher.recorded.clone();
        eventually("the late node has recorded the batches", || async {
            recorded.borrow().is_some_and(|recorded| recorded.posted.get() == replayed.batches.len() as u64)
        })
        .await;
        let record = late.ledger.batch(BatchIndex::ZERO).unwrap().unwrap();
        assert_eq!((&record.header, record.certificate.as_ref()), (&first.header, Some(&first.certificate)));
        assert!(
            record.data == *data && record.l1 != BatchOnL1::Unposted,
            "{:?}: {} bytes",
            record.l1,
            record.data.len()
        );
        late.cancel.cancel();
    }
}

/// The hash of a transaction as it travels; blobs do not count for it.
fn hash_of(raw: &Bytes) -> TxHash {
    *TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap().tx_hash()
}

/// Blobs that L1 takes and never includes, and blobs that cost more than any poster may offer: either way the same blocks get there
/// as calldata. Should L1 include the blobs after all, nothing is posted or paid for a second time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_l1_holds_back_in_blobs_gets_there_once_as_calldata() {
    for asks_wei in [None, Some(501_000_000_000)] {
        let mut cluster = Cluster::start(&[]).await;
        fund(&cluster.chain).await;
        let gate = match asks_wei {
            None => BlobGate::that_keeps_them(&cluster.chain.anvil).await,
            Some(wei) => BlobGate::that_asks_for(&cluster.chain.anvil, wei).await,
        };
        (cluster.data, cluster.client) = (DataChoice::Blobs, gate.client(&cluster.chain.anvil));
        for index in 0..4 {
            cluster.join(index);
        }
        let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 6, 1);
        cluster.finalize(&blocks);
        let poster = cluster.members[usize::from(cluster.poster(0))].as_ref().unwrap();
        let seen = poster.batcher.poster.clone().unwrap();
        // The batch is due by its age already, and no L1 block comes.
        eventually("L1 holds the blobs back", || async {
            match asks_wei {
                None => !gate.held.lock().unwrap().is_empty(),
                Some(_) => seen.borrow().trouble.contains("ceiling"),
            }
        })
        .await;
        assert_eq!(cluster.posted_height().await, Height::ZERO);
        cluster.until_posted(&blocks).await;
        let batches = cluster.replay().await.batches;
        assert!(batches.iter().all(|batch| batch.header.data_kind == DataKind::Calldata));
        posters_were_paid_once(&cluster.chain, &batches).await;
        // For a while nobody sends blobs again: each time they would occupy other members' accounts.
        let senders = || -> BTreeSet<Address> {
            let sender = |raw: &Bytes| TxEnvelope::decode_2718(&mut raw.as_ref()).unwrap().recover_signer().unwrap();
            gate.held.lock().unwrap().iter().map(sender).collect()
        };
        let occupied = senders();
        let more = cluster.chain.blocks_after(&blocks.last().unwrap().header, 6, 1);
        cluster.finalize(&more);
        cluster.until_posted(&[blocks, more].concat()).await;
        assert_eq!(senders(), occupied);
        let batches = cluster.replay().await.batches;
        assert!(batches.iter().all(|batch| batch.header.data_kind == DataKind::Calldata));
        cluster.nobody_is_charged();

        // L1 changes its mind.
        for member in cluster.running() {
            member.cancel.cancel();
        }
        let held = gate.held.lock().unwrap().clone();
        assert_eq!(held.is_empty(), asks_wei.is_some());
        if let Some(raw) = held.first() {
            assert_eq!(cluster.chain.client.broadcast(raw).await.unwrap(), Broadcast::Accepted);
            let receipt = async || cluster.chain.client.receipt(hash_of(raw)).await.unwrap();
            eventually("the blobs are in a block", || async { receipt().await.is_some() }).await;
            assert!(!receipt().await.unwrap().status(), "the inbox took the blocks twice");
        }
        assert_eq!(cluster.replay().await.batches, batches);
        posters_were_paid_once(&cluster.chain, &batches).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_rank_takes_over_from_a_dead_poster() {
    // The schedule depends on L1's randomness, so the one to leave out is known only once the chain stands.
    let mut cluster = Cluster::start(&[]).await;
    let poster = cluster.poster(0);
    for index in (0..4).filter(|index| *index != poster) {
        cluster.join(index);
    }
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 6, 1);
    cluster.finalize(&blocks);
    // L1 blocks pass up to the turn of the next in line and no further, so that nobody behind it gets a turn while it works.
    let spec = &cluster.chain.facts.spec;
    let tip = read_tip(&cluster.chain.client, &cluster.chain.facts, At::Latest).await.unwrap();
    let turn = tip.accepted_at.get() + spec.batch_age_blocks + spec.post_backoff_blocks;
    let head = cluster.chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    assert!(head < turn, "its turn has passed: {head}, {turn}");
    cluster.mine(turn - head).await;
    let last = blocks.last().unwrap().header.height;
    eventually("the batch is on L1", || async { cluster.posted_height().await == last }).await;
    cluster.until_posted(&blocks).await;
    let next = (poster + 1) % 4;
    let account = account(5 + usize::from(next)).address();
    assert_eq!(cluster.chain.client.transaction_count(account, At::Latest).await.unwrap(), 2);
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_an_l1_reorg_took_back_are_posted_again() {
    let cluster = Cluster::start(&[0, 1, 2, 3]).await;
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 6, 1);
    cluster.finalize(&blocks);
    cluster.until_posted(&blocks).await;
    let tip = read_tip(&cluster.chain.client, &cluster.chain.facts, At::Latest).await.unwrap();
    let head = cluster.chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    let depth = head + 1 - tip.accepted_at.get();
    anvil_call(&cluster.chain.client, "anvil_reorg", (depth, Vec::<(String, u64)>::new())).await;
    cluster.until_posted(&blocks).await;
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_batch_does_not_wait_for_its_age() {
    let cluster = Cluster::start_with(&[0, 1, 2, 3], |spec| spec.batch_age_blocks = 60).await;
    // Signatures do not compress, so this is enough for more than one batch.
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 24, 100);
    cluster.finalize(&blocks);
    eventually("a full batch is on L1 although no time passes there", || async {
        cluster.posted_height().await > Height::ZERO
    })
    .await;
    cluster.until_posted(&blocks).await;
    let replayed = cluster.replay().await;
    let origin = cluster.chain.facts.genesis.origin.number.get();
    let (first, last) = (&replayed.batches[0], replayed.batches.last().unwrap());
    assert!(first.l1_block.get() < origin + 60 && first.data.len() > 100_000, "{}", first.data.len());
    assert!(last.l1_block.get() >= first.l1_block.get() + 60, "the rest is not full and waits");
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_behind_attests_when_it_has_caught_up() {
    // Any two hold at most 60 of 100: the third is needed, and it is behind.
    let cluster = Cluster::start(&[0, 1, 2]).await;
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 5, 1);
    let early: Vec<&Member> = cluster.running().take(2).collect();
    for member in &early {
        let height = finalize(&*member.ledger, &blocks);
        member.heads.send_replace(height);
    }
    cluster.mine(12).await;
    let late = cluster.members[2].as_ref().unwrap();
    let mut watching = early[0].batcher.status.clone();
    tokio::time::timeout(PATIENCE, watching.wait_for(|status| status.attested_weight > 0)).await.unwrap().unwrap();
    assert_eq!(cluster.posted_height().await, Height::ZERO);
    let height = finalize(&*late.ledger, &blocks);
    late.heads.send_replace(height);
    cluster.until_posted(&blocks).await;
    for member in cluster.running() {
        member.cancel.cancel();
    }
}

/// Twelve blocks of the first epoch, the last of which hands over to `next`, and eight of that.
async fn blocks_of_two_epochs(cluster: &Cluster, next: Epoch) -> (Vec<Block>, BlockHeader) {
    let chain = &cluster.chain;
    let mut blocks = chain.blocks_after(&chain.facts.genesis, 12, 2);
    chain.hand_over(&mut blocks, next).await;
    let root = blocks[11].header.clone();
    let epoch = chain.epoch(next, &root, None).await;
    assert_eq!(epoch.committee.len(), 5);
    blocks.extend(chain.blocks_of(&epoch, &root, 8, 2));
    (blocks, root)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_epochs_members_post_its_batches_also_when_the_next_one_runs() {
    let mut cluster = Cluster::start_growing(|spec| spec.batch_age_blocks = 60).await;
    let (blocks, root) = blocks_of_two_epochs(&cluster, Epoch::new(3)).await;
    cluster.finalize(&blocks[..1]);
    for member in cluster.members.iter_mut().flatten() {
        status(member, "at work", |status| status.unposted_blocks == 1).await;
    }
    cluster.say_about_another_epoch(&blocks[..1]);
    cluster.run_epoch(Epoch::new(3), &root).await;
    cluster.finalize(&blocks[1..]);
    eventually("the first epoch is on L1 whole, though no time passes there", || async {
        cluster.posted_height().await == root.height
    })
    .await;
    cluster.until_posted(&blocks).await;
    let mut first_heights = Vec::new();
    for batch in cluster.replay().await.batches {
        assert_eq!(batch.certificate.statement.epoch(), batch.header.epoch);
        first_heights.push((batch.header.epoch.get(), batch.header.first_height.get()));
    }
    assert_eq!(first_heights, [(2, 1), (3, 13)]);
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_committee_certifies_what_is_too_old_for_its_own() {
    let cluster = Cluster::start_growing(|spec| spec.live_epochs = 1).await;
    let (blocks, root) = blocks_of_two_epochs(&cluster, Epoch::new(4)).await;
    cluster.finalize(&blocks[..12]);
    cluster.run_epoch(Epoch::new(4), &root).await;
    cluster.finalize(&blocks[12..]);
    // No more L1 blocks than needed, for the last epoch must not get too old as well.
    eventually("the first epoch is on L1", || async { cluster.posted_height().await == root.height }).await;
    cluster.mine(cluster.chain.facts.spec.batch_age_blocks).await;
    let last = blocks.last().unwrap().header.height;
    eventually("the next one too", || async { cluster.posted_height().await == last }).await;
    cluster.until_posted(&blocks).await;
    let batches = cluster.replay().await.batches;
    let epochs: Vec<_> =
        batches.iter().map(|batch| (batch.header.epoch.get(), batch.certificate.statement.epoch().get())).collect();
    assert_eq!(epochs, [(2, 4), (4, 4)]);
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_epoch_is_certified_by_who_runs_though_a_quorum_of_it_had_no_seat_then() {
    let chain = TestChain::start_growing(|spec| spec.live_epochs = 1).await;
    let mut cluster = Cluster::of(chain, &[]);
    let (blocks, root) = blocks_of_two_epochs(&cluster, Epoch::new(4)).await;
    // The other three of the first epoch hold 78 of 120 now, and the one who joined 20.
    let absent =
        cluster.chain.committee.members().iter().position(|member| member.weight == Weight::new(22_000_000)).unwrap();
    for index in (0..5).filter(|index| usize::from(*index) != absent) {
        cluster.join_at(index, Epoch::new(4), &root).await;
    }
    cluster.finalize(&blocks);
    // All turns have come already. No more L1 blocks, for the last epoch must not get too old as well.
    eventually("the first epoch is on L1", || async { cluster.posted_height().await == root.height }).await;
    // anvil shows a block's state a moment before the block.
    eventually("it is read back", || async { !cluster.replay().await.batches.is_empty() }).await;
    let batch = &cluster.replay().await.batches[0];
    assert_eq!((batch.header.epoch.get(), batch.certificate.statement.epoch().get()), (2, 4));
    assert_eq!(batch.certificate.signers.len(), 4);
    cluster.nobody_is_charged();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_epoch_is_certified_by_its_own_committee_where_l1_takes_nobody_elses_word() {
    let mut cluster = Cluster::of(TestChain::start_growing(|_| {}).await, &[]);
    let live_epochs = cluster.chain.facts.spec.live_epochs;
    assert!(live_epochs > EPOCHS_KEPT as u64, "L1 goes back further than the book: {live_epochs}");
    let (blocks, root) = blocks_of_two_epochs(&cluster, Epoch::new(4)).await;
    for index in 0..5 {
        cluster.join_at(index, Epoch::new(4), &root).await;
    }
    cluster.finalize(&blocks);
    cluster.until_posted(&blocks).await;
    let batches = cluster.replay().await.batches;
    let epochs: Vec<_> =
        batches.iter().map(|batch| (batch.header.epoch.get(), batch.certificate.statement.epoch().get())).collect();
    assert_eq!(epochs, [(2, 2), (4, 4)]);
    cluster.nobody_is_charged();
}
