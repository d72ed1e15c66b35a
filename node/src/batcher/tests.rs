//! Four batchers in one process on a real L1: final blocks in, certified batches on L1 out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use baton_consensus::SecretKey;
use baton_proto::{BatchIndex, Block, ChainSpec, Height, MemberIndex, wire::ConsensusMessage};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{BatchMessage, BatchStatus, Batcher, BatcherConfig, BatcherContext, rank};
use crate::{
    l1::{
        AccountConfig, At, PostedChain, ReplayError, Watcher, deploy, read_posted_chain, read_tip,
        testing::{PATIENCE, POLL, TestChain, account, anvil_call, eventually, finalize},
    },
    ledger::{BatchOnL1, Ledger},
    p2p::Outbound,
    signer::{SignRecord, Signer},
};

/// Delivers to every other member at once; what a full inbox does not take is lost.
#[derive(Clone, Default)]
struct Hub(Arc<Mutex<Vec<Option<mpsc::Sender<BatchMessage>>>>>);

struct Port {
    hub: Hub,
    me: MemberIndex,
}

impl Outbound for Port {
    fn broadcast(&self, message: ConsensusMessage) {
        for (index, inbox) in self.hub.0.lock().unwrap().iter().enumerate() {
            if index != self.me.as_usize()
                && let Some(inbox) = inbox
            {
                let _ = inbox.try_send(BatchMessage { from: self.me, message: message.clone() });
            }
        }
    }

    fn send(&self, to: MemberIndex, message: ConsensusMessage) {
        if let Some(Some(inbox)) = self.hub.0.lock().unwrap().get(to.as_usize()) {
            let _ = inbox.try_send(BatchMessage { from: self.me, message });
        }
    }
}

struct Member {
    batcher: Batcher,
    ledger: Arc<dyn Ledger>,
    heads: watch::Sender<Height>,
    cancel: CancellationToken,
    charged: Arc<Mutex<Vec<(MemberIndex, String)>>>,
    _record: tempfile::TempDir,
}

struct Cluster {
    chain: TestChain,
    hub: Hub,
    members: Vec<Option<Member>>,
}

impl Cluster {
    async fn start(running: &[u8]) -> Self {
        Self::start_with(running, |_| {}).await
    }

    async fn start_with(running: &[u8], adjust: impl FnOnce(&mut ChainSpec)) -> Self {
        let chain = TestChain::start_with(adjust).await;
        let hub = Hub::default();
        hub.0.lock().unwrap().resize_with(4, || None);
        let mut cluster = Self { chain, hub, members: (0..4).map(|_| None).collect() };
        for index in running {
            cluster.join(*index);
        }
        cluster
    }

    fn join(&mut self, index: u8) {
        let chain = &self.chain;
        let me = MemberIndex::new(index);
        let ledger = chain.ledger();
        let cancel = CancellationToken::new();
        let watcher =
            Watcher::spawn(chain.client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL, cancel.clone());
        let (inbox, messages) = mpsc::channel(256);
        self.hub.0.lock().unwrap()[me.as_usize()] = Some(inbox);
        let record = tempfile::tempdir().unwrap();
        let key = SecretKey::from_bytes(&chain.keys[me.as_usize()].to_bytes()).unwrap();
        let sign_record = SignRecord::create(&record.path().join("record"), &key.public_key()).unwrap();
        let signer = Arc::new(Signer::new(key, sign_record, chain.facts.domain, me).unwrap());
        let (heads, head) = watch::channel(Height::ZERO);
        let charged: Arc<Mutex<Vec<(MemberIndex, String)>>> = Arc::default();
        let charges = Arc::clone(&charged);
        let context = BatcherContext {
            client: chain.client.clone(),
            facts: Arc::clone(&chain.facts),
            committee: Arc::clone(&chain.committee),
            verifier: Arc::clone(&chain.verifier),
            leaders: chain.leaders.clone(),
            posters: chain.posters.clone(),
            me: Some(me),
            ledger: Arc::clone(&ledger),
            signer: Some(signer),
            outbound: Arc::new(Port { hub: self.hub.clone(), me }),
            heads: head,
            l1: watcher.view,
            messages,
            charge: Arc::new(move |member, why| charges.lock().unwrap().push((member, why.to_owned()))),
            poster: Some((account(5 + me.as_usize()), AccountConfig { poll: POLL, ..AccountConfig::default() })),
            config: BatcherConfig { repeat: Duration::from_millis(100), retry: POLL },
            cancel: cancel.clone(),
        };
        let batcher = Batcher::spawn(context).unwrap();
        self.members[me.as_usize()] = Some(Member { batcher, ledger, heads, cancel, charged, _record: record });
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
