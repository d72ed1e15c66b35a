//! Epochs are settled by the nodes themselves, in their order, each once; who was away is jailed.

use std::sync::Arc;

use alloy::rpc::types::Filter;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_sol_types::{SolCall, SolEvent};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, Block, BlockHeader, DataKind, Epoch, MemberIndex, Statement, View,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    duties::count,
    epoch::{EpochBook, EpochContext},
    l1::{
        AccountConfig, AccountContext, At, Description, LivenessView, Watcher,
        bindings::{Liveness, SequencerRegistry, post_call},
        deploy, spawn_liveness_watcher, spawn_reporter,
        testing::{POLL, TestChain, account, anvil_call, eventually, finalize},
    },
    ledger::{BatchOnL1, BatchRecord, Ledger},
    signer::OwnKey,
};

/// Blocks of an epoch.
const BLOCKS: u64 = 24;

/// The epochs of a chain with their blocks, and the batches of them that L1 has taken.
struct History {
    chain: TestChain,
    epochs: Vec<Arc<EpochContext>>,
    blocks: Vec<Block>,
    batches: Vec<BatchHeader>,
}

impl History {
    async fn new(adjust: impl FnOnce(&mut baton_proto::ChainSpec)) -> Self {
        Self { chain: TestChain::start_with(adjust).await, epochs: Vec::new(), blocks: Vec::new(), batches: Vec::new() }
    }

    /// The next epoch, in which all turns of `absent` are skipped, with its one batch on L1. `root` says which duties that
    /// commits to.
    async fn epoch_without(&mut self, absent: Option<u8>, root: impl FnOnce(B256) -> B256) {
        let chain = &self.chain;
        let parent = self.blocks.last().map_or(&chain.facts.genesis, |block| &block.header).clone();
        let epoch = match self.epochs.last() {
            None => Arc::new(chain.first_epoch(None)),
            Some(before) => chain.epoch(before.epoch.next().unwrap(), &parent, None).await,
        };
        let mut blocks = blocks_without(chain, &epoch, &parent, absent);
        chain.hand_over(&mut blocks, epoch.epoch.next().unwrap()).await;
        let last = blocks.last().unwrap().header.clone();
        self.blocks.extend(blocks);
        let ledger = chain.ledger();
        finalize(&*ledger, &self.blocks);
        let duties = count(&*ledger, &epoch, last.height).unwrap().unwrap().root();
        let before = self.batches.last();
        let data = Bytes::from_static(b"data");
        let header = BatchHeader {
            index: before.map_or(BatchIndex::ZERO, |before| before.index.next().unwrap()),
            prev_batch_hash: before.map_or(BatchHash::new(B256::ZERO), BatchHeader::hash),
            epoch: epoch.epoch,
            first_height: parent.height.next().unwrap(),
            last_height: last.height,
            last_digest: last.digest(),
            last_origin: last.origin,
            state_root: B256::ZERO,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind: DataKind::Calldata,
            data_hash: keccak256(&data),
            duties_root: root(duties),
        };
        let statement = Statement::Attest(Attestation::of(epoch.epoch, &header));
        let certificate = chain.certificate(statement, &[0, 1, 2, 3], &chain.facts.domain);
        let materialize = SequencerRegistry::materializeCall { epoch: epoch.epoch.get() }.abi_encode();
        let post = post_call(&header, &certificate, data).unwrap().abi_encode();
        for (to, data) in [(chain.deployment.registry, materialize), (chain.facts.inbox, post)] {
            deploy::send(&chain.client, &account(9), to, data.into(), "a test's call").await.unwrap();
        }
        self.batches.push(header);
        self.epochs.push(epoch);
    }

    /// A ledger that has all of it.
    fn ledger(&self) -> Arc<dyn Ledger> {
        let ledger = self.chain.ledger();
        finalize(&*ledger, &self.blocks);
        self.put_batches(&*ledger);
        ledger
    }

    fn put_batches(&self, ledger: &dyn Ledger) {
        for header in self.batches.clone() {
            ledger
                .put_batch(&BatchRecord { header, data: Bytes::new(), certificate: None, l1: BatchOnL1::Unposted })
                .unwrap();
        }
    }

    /// Starts what settles as member `index`, which remembers the epochs from `known` on.
    async fn settler(&self, index: u8, ledger: Arc<dyn Ledger>, known: usize) -> Settling {
        let chain = &self.chain;
        let record = tempfile::tempdir().unwrap();
        let own = chain.own_key(&chain.keys[usize::from(index)], record.path());
        self.start(index, Some(&own), ledger, known, record).await
    }

    /// The same for one that has no seat: after all members, and at the same time as any other of its kind.
    async fn observer(&self, index: u8) -> Settling {
        self.start(index, None, self.ledger(), 0, tempfile::tempdir().unwrap()).await
    }

    async fn start(
        &self,
        index: u8,
        own: Option<&OwnKey>,
        ledger: Arc<dyn Ledger>,
        known: usize,
        record: tempfile::TempDir,
    ) -> Settling {
        let chain = &self.chain;
        let book = match known {
            0 => chain.epochs(own),
            _ => EpochBook::new(self.seen(known, own).await),
        };
        for later in known + 1..self.epochs.len() {
            book.add(self.seen(later, own).await);
        }
        let (cancel, halted) = (CancellationToken::new(), CancellationToken::new());
        let facts = Arc::clone(&chain.facts);
        let watcher =
            Watcher::spawn(chain.client.clone(), Arc::clone(&facts), Arc::clone(&ledger), POLL, cancel.clone());
        let context = AccountContext {
            client: chain.client.clone(),
            facts: Arc::clone(&facts),
            ledger: Arc::clone(&ledger),
            key: account(5 + usize::from(index)),
            config: AccountConfig { poll: POLL, ..AccountConfig::default() },
            l1: watcher.view.clone(),
            cancel: cancel.clone(),
        };
        spawn_reporter(context, book.clone(), Arc::default(), halted.clone()).unwrap();
        let (seen, _) =
            spawn_liveness_watcher(chain.client.clone(), facts, ledger, book, watcher.view, POLL, cancel.clone());
        Settling { seen, halted, cancel, _record: record }
    }

    /// An epoch after the first as who has this key, or none, sees it.
    async fn seen(&self, place: usize, own: Option<&OwnKey>) -> Arc<EpochContext> {
        let EpochContext { epoch, root, .. } = self.epochs[place].as_ref();
        self.chain.epoch(*epoch, root, own).await
    }

    /// Whether so many epochs are settled after a while in which L1 goes on.
    async fn is_settled_in_a_while(&self, epoch: u64) -> bool {
        let settled = eventually("nothing", || async { self.settled_after_a_block().await == epoch });
        timeout(50 * POLL, settled).await.is_ok()
    }

    /// Mines a block, and returns which epoch was settled last.
    async fn settled_after_a_block(&self) -> u64 {
        deploy::mine(&self.chain.client, 1).await.unwrap();
        let question = Liveness::lastSettledCall {};
        self.chain.client.call(self.chain.facts.liveness, &question, At::Latest).await.unwrap()
    }

    /// The epochs that events of this kind name, in their order.
    async fn told<E: SolEvent>(&self) -> Vec<u64> {
        let filter = Filter::new().address(self.chain.facts.liveness).event_signature(E::SIGNATURE_HASH).from_block(0);
        let logs = self.chain.client.logs(&filter).await.unwrap();
        logs.iter().map(|log| U256::from_be_bytes(log.topics()[1].0).to()).collect()
    }

    async fn standing(&self, member: u8) -> Liveness::Standing {
        let owner = self.owner(member);
        let question = Liveness::standingsCall { owners: vec![owner] };
        self.chain.client.call(self.chain.facts.liveness, &question, At::Latest).await.unwrap().remove(0)
    }

    fn owner(&self, member: u8) -> Address {
        self.chain.committee.member(MemberIndex::new(member)).unwrap().owner
    }

    /// What the accounts of all members have sent.
    async fn transactions(&self) -> u64 {
        let mut sum = 0;
        for index in 0..4 {
            sum += self.chain.client.transaction_count(account(5 + index).address(), At::Latest).await.unwrap();
        }
        sum
    }
}

/// A member that settles.
struct Settling {
    seen: watch::Receiver<Option<LivenessView>>,
    halted: CancellationToken,
    cancel: CancellationToken,
    _record: tempfile::TempDir,
}

/// An epoch's blocks, without those that `absent` would have led; without it, every fifth view is skipped.
fn blocks_without(chain: &TestChain, epoch: &EpochContext, parent: &BlockHeader, absent: Option<u8>) -> Vec<Block> {
    let Some(absent) = absent.map(MemberIndex::new) else { return chain.blocks_of(epoch, parent, BLOCKS, 0) };
    let (mut parent, mut view, mut blocks) = (parent.clone(), View::ZERO, Vec::new());
    for _ in 0..BLOCKS {
        let mut block = chain.blocks_of(epoch, &parent, 1, 0).remove(0);
        view = view.next().unwrap();
        while epoch.leaders.leader(view) == absent {
            view = view.next().unwrap();
        }
        (block.header.view, block.header.proposer) = (view, epoch.leaders.leader(view));
        parent = block.header.clone();
        blocks.push(block);
    }
    blocks
}

#[tokio::test]
async fn a_closed_epoch_is_settled_by_one_of_many_with_one_transaction() {
    let mut history = History::new(|_| {}).await;
    history.epoch_without(None, |root| root).await;
    history.epoch_without(None, |root| root).await;
    let mut members = Vec::new();
    for index in 0..4 {
        members.push(history.settler(index, history.ledger(), 0).await);
    }
    eventually("the settlement", || async { history.settled_after_a_block().await == 2 }).await;
    assert!(!history.is_settled_in_a_while(3).await, "the next one is open");
    assert_eq!(history.told::<Liveness::EpochSettled>().await, [2]);
    assert_eq!(history.transactions().await, 1);
    // The reward is paid out of the pool, rounded down for each.
    let mut paid = U256::ZERO;
    for member in 0..4 {
        paid += history.standing(member).await.pending;
    }
    let all = Description::devnet().reward_per_epoch;
    assert!(paid <= all && paid + U256::from(4) > all, "{paid} of {all}");

    // Everybody shows what was settled: the table of its own chain.
    for member in &members {
        eventually("the settled turns", || async {
            member.seen.borrow().as_ref().is_some_and(|view| view.settled.is_some())
        })
        .await;
        let view = member.seen.borrow().clone().unwrap();
        let settled = view.settled.clone().unwrap();
        let counted = count(&*history.ledger(), &history.epochs[0], history.batches[0].last_height).unwrap().unwrap();
        assert_eq!((view.last_settled, settled.committee.epoch()), (Some(Epoch::new(2)), Epoch::new(2)));
        assert_eq!((&settled.table, settled.table.root()), (&counted, history.batches[0].duties_root));
        assert!(view.own_standing().is_some_and(|own| own.pending > U256::ZERO && own.jailed.is_none()));
        member.cancel.cancel();
    }
}

#[tokio::test]
async fn after_a_long_absence_epochs_are_settled_in_their_order_and_who_was_away_twice_is_jailed() {
    let mut history = History::new(|spec| spec.jail_min_views = 2).await;
    // By address, so it is not known beforehand who has the least.
    let weight = |member: &u8| history.chain.committee.member(MemberIndex::new(*member)).unwrap().weight;
    let smallest = (0..4).min_by_key(weight).unwrap();
    for _ in 0..5 {
        history.epoch_without(Some(smallest), |root| root).await;
    }
    // One alone comes, knows only the last of these epochs, and takes what it knows of the chain from L1 piece by piece.
    let ledger = history.chain.ledger();
    finalize(&*ledger, &history.blocks);
    let me = (0..4).find(|member| *member != smallest).unwrap();
    let member = history.settler(me, Arc::clone(&ledger), 4).await;
    assert!(!history.is_settled_in_a_while(2).await, "its batches are not recorded yet");
    history.put_batches(&*ledger);
    eventually("all closed epochs", || async { history.settled_after_a_block().await == 5 }).await;
    assert_eq!(history.told::<Liveness::EpochSettled>().await, [2, 3, 4, 5]);
    assert_eq!(history.transactions().await, 4);
    let standing = history.standing(smallest).await;
    assert!(standing.jailedSince != 0 && standing.absentIn == 5 && standing.pending == U256::ZERO, "{standing:?}");
    for other in (0..4).filter(|other| *other != smallest) {
        let standing = history.standing(other).await;
        assert!(standing.jailedSince == 0 && standing.pending > U256::ZERO, "{standing:?}");
    }
    eventually("it to see the jail", || async {
        let view = member.seen.borrow().clone();
        let owner = history.owner(smallest);
        view.is_some_and(|view| view.sequencers.iter().any(|of| of.owner == owner && of.jailed.is_some()))
    })
    .await;
    member.cancel.cancel();
}

#[tokio::test]
async fn an_epoch_whose_attested_duties_nobody_has_is_passed_over_in_time_and_holds_up_no_other() {
    let mut history = History::new(|spec| spec.evidence_blocks = 64).await;
    history.epoch_without(None, |_| B256::repeat_byte(7)).await;
    history.epoch_without(None, |root| root).await;
    history.epoch_without(None, |root| root).await;
    let member = history.settler(0, history.ledger(), 0).await;
    let question = Liveness::nextCall {};
    let next = history.chain.client.call(history.chain.facts.liveness, &question, At::Latest).await.unwrap();
    assert!(next.epoch == 2 && next.closedAt != 0);
    let head = history.chain.client.existing_block(At::Latest).await.unwrap().origin.number.get();
    for _ in head..next.closedAt + 64 - 1 {
        assert_eq!(history.settled_after_a_block().await, 0);
    }
    assert_eq!(history.transactions().await, 0, "what L1 would refuse is not sent");
    eventually("the one after it", || async { history.settled_after_a_block().await == 3 }).await;
    assert_eq!(history.told::<Liveness::EpochPassedOver>().await, [2]);
    assert_eq!(history.told::<Liveness::EpochSettled>().await, [3]);
    assert_eq!(history.transactions().await, 2);
    member.cancel.cancel();
}

#[tokio::test]
async fn two_that_come_at_once_settle_each_epoch_once_and_both_go_on() {
    let mut history = History::new(|_| {}).await;
    for _ in 0..3 {
        history.epoch_without(None, |root| root).await;
    }
    // No member is there, and a block takes what both have sent.
    anvil_call(&history.chain.client, "evm_setAutomine", (false,)).await;
    let observers = [history.observer(0).await, history.observer(1).await];
    eventually("all closed epochs", || async { history.settled_after_a_block().await == 3 }).await;
    eventually("their logs", || async { history.told::<Liveness::EpochSettled>().await == [2, 3] }).await;
    // Who was too late paid for at most one transaction in each epoch.
    let sent = history.transactions().await;
    assert!((2..=4).contains(&sent), "{sent} transactions");
    // Both see that nothing is left, and stay.
    for observer in observers {
        eventually("the settled epoch", || async {
            let seen = observer.seen.borrow().clone();
            seen.is_some_and(|view| view.last_settled == Some(Epoch::new(3)))
        })
        .await;
        observer.cancel.cancel();
    }
}

#[tokio::test]
async fn a_node_that_saw_safety_broken_settles_nothing() {
    let mut history = History::new(|_| {}).await;
    history.epoch_without(None, |root| root).await;
    history.epoch_without(None, |root| root).await;
    let halted = history.settler(0, history.ledger(), 0).await;
    halted.halted.cancel();
    assert!(!history.is_settled_in_a_while(2).await, "its chain may be the wrong one");
    let honest = history.settler(1, history.ledger(), 0).await;
    eventually("another's settlement", || async { history.settled_after_a_block().await == 2 }).await;
    for member in [halted, honest] {
        member.cancel.cancel();
    }
}
