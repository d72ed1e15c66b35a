//! Four batchers in one process on a real L1: final blocks in, certified batches on L1 out.

mod blobs;
mod lies;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use alloy_primitives::{B256, keccak256};
use baton_proto::{
    Attestation, BatchIndex, Block, BlockHeader, BlsPublicKey, ChainSpec, DataKind, Epoch, Evidence, Height,
    MemberIndex, SignedStatement, Statement, Weight, wire::ConsensusMessage,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{BatchMessage, BatchStatus, Batcher, BatcherConfig, BatcherContext, Roots, Situation, rank};
use crate::{
    epoch::{EPOCHS_KEPT, EpochBook},
    l1::{
        AccountConfig, At, DataChoice, InboxTip, L1Client, PostedChain, ReplayError, Watcher, deploy,
        read_posted_chain, read_tip,
        testing::{PATIENCE, POLL, TestChain, account, anvil_call, eventually, finalize, finalize_to},
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
        let (evidence, accused) = mpsc::channel(1);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_executes_to_another_state_attests_nothing_and_says_why() {
    let mut cluster = Cluster::start(&[0, 1, 2, 3]).await;
    let blocks = cluster.chain.blocks_after(&cluster.chain.facts.genesis, 5, 1);
    for (index, member) in cluster.members.iter().flatten().enumerate() {
        let state_root = if index == 3 { B256::repeat_byte(1) } else { B256::ZERO };
        let height = finalize_to(&*member.ledger, &blocks, state_root);
        member.heads.send_replace(height);
    }
    cluster.mine(12).await;
    cluster.until_posted(&blocks).await;
    for batch in cluster.replay().await.batches {
        assert!(!batch.certificate.signers.contains(MemberIndex::new(3)), "{:?}", batch.certificate);
        assert_eq!(batch.header.state_root, B256::ZERO);
    }
    let other = cluster.members[3].as_mut().unwrap();
    status(other, "it sees what L1 accepted", |status| status.broken.contains("names state root 0x0000")).await;
    assert!(cluster.members[0].as_ref().unwrap().batcher.status.borrow().broken.is_empty());
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
