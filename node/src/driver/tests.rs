//! A driver around a machine, and what it makes of checked messages.

use std::{path::Path, sync::Mutex};

use alloy_consensus::TxEip1559;
use alloy_primitives::{Address, B256, TxKind, U256};
use baton_consensus::{Config, HeardOut, Recovered, SecretKey, Timer};
use baton_execution::{ChainExecutor, evm::EvmExecutor, genesis::Genesis};
use baton_mempool::{Fate, PoolConfig, Standing, Standings};
use baton_proto::{
    BlsPublicKey, Certificate, ChainSpec, Conflict, ExecutorKind, Forced, ForcedEntry, L1BlockNumber, L1Origin,
    OrderingRule, SignedStatement, Statement, Transaction, wire::FinalRange,
};
use serde_json::json;

use super::{
    catching_up::CatchingUp,
    commit::Came,
    testing::{L2, World, child, signed_by, spec, transfer},
    *,
};
use crate::{
    l1::{CONFLICT_KEY, testing::see_final},
    ledger::{ChainIdentity, ForcedCursor, MemoryLedger, VoteCheck},
    signer::{OwnKey, SignRecord, SignRecordError},
    sync::prove_range,
    telemetry::Metrics,
};

/// Limit of every wait; a test that is well takes a fraction of it.
const LIMIT: Duration = Duration::from_secs(60);

/// Keeps what the driver says.
#[derive(Default)]
struct Outbox(Mutex<Vec<ConsensusMessage>>);

impl Outbound for Outbox {
    fn broadcast(&self, message: ConsensusMessage) {
        self.0.lock().unwrap().push(message);
    }

    fn send(&self, _: MemberIndex, message: ConsensusMessage) {
        self.broadcast(message);
    }
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The leaders of the first two views, and a member that leads neither.
fn seats(world: &World) -> ([u8; 2], u8) {
    let leaders = [1, 2].map(|view| world.epoch().leaders.leader(View::new(view)).get());
    (leaders, (0..4).find(|member| !leaders.contains(member)).unwrap())
}

/// The driver of a member that leads neither of the first two views, in view 1.
struct Stage {
    world: World,
    driver: Driver,
    outbox: Arc<Outbox>,
    leaders: [u8; 2],
    /// The leader of view 1 is connected, and can be charged.
    _leader: Network,
    _l1: watch::Sender<L1View>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self::of(World::new(&[1, 1, 1, 1]), false).await
    }

    /// `listens_first` says that it has just been started.
    async fn of(world: World, listens_first: bool) -> Self {
        Self::with_record(world, listens_first, SignRecord::create).await
    }

    async fn with_record(
        world: World,
        listens_first: bool,
        create: impl FnOnce(&Path, &BlsPublicKey) -> Result<SignRecord, SignRecordError>,
    ) -> Self {
        Self::with(world, listens_first, create, None).await
    }

    /// On a chain that executes, where `accounts` have so much wei, and nobody else any.
    async fn charging(accounts: &[(Address, u64)]) -> Self {
        let alloc: serde_json::Map<_, _> = accounts
            .iter()
            .map(|(account, balance)| (account.to_string(), json!({ "balance": balance.to_string() })))
            .collect();
        let file = json!({
            "chainId": L2.get(),
            "nativeToken": { "name": "Ether", "symbol": "ETH" },
            "gasLimit": 120_000_000,
            "eip1559": {
                "baseFeePerGas": "7", "minBaseFeePerGas": "7",
                "elasticityMultiplier": 6, "baseFeeChangeDenominator": 250
            },
            "alloc": alloc
        });
        let genesis = Genesis::parse(&file.to_string()).unwrap();
        Self::with(World::new(&[1, 1, 1, 1]), false, SignRecord::create, Some(genesis)).await
    }

    async fn with(
        world: World,
        listens_first: bool,
        create: impl FnOnce(&Path, &BlsPublicKey) -> Result<SignRecord, SignRecordError>,
        genesis: Option<Genesis>,
    ) -> Self {
        let spec = match &genesis {
            Some(_) => ChainSpec { executor: ExecutorKind::Embedded, ..spec() },
            None => spec(),
        };
        let folder = tempfile::tempdir().unwrap();
        let (leaders, me) = seats(&world);
        let key = world.key(me);
        let record = create(&folder.path().join("record"), &key.public_key()).unwrap();
        let own = OwnKey::new(key, record, world.domain).unwrap();
        let epoch = world.epoch_seated(&own);
        let (network, leader) = world.hears(leaders[0]).await;

        let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let ledger = Arc::new(MemoryLedger::new(&ChainIdentity { domain: world.domain, inbox, slasher }).unwrap());
        match &genesis {
            Some(genesis) => ledger.init_genesis_with(&epoch.root, &genesis.changes(&epoch.root).unwrap()).unwrap(),
            None => ledger.init_genesis(&epoch.root).unwrap(),
        }
        // Nobody has put anything into the forced queue.
        let read = ForcedCursor { read_to: L1BlockNumber::new(u64::MAX), length: 0, hash: B256::ZERO };
        ledger.put_forced(&[], &read).unwrap();
        let facts = ChainFacts {
            spec: spec.clone(),
            domain: world.domain,
            inbox,
            slasher,
            liveness: Address::repeat_byte(4),
            genesis_l1: L1BlockNumber::ZERO,
            genesis: epoch.root.clone(),
            first: world.facts(B256::repeat_byte(1)),
        };
        let view = L1View {
            head: None,
            finalized: None,
            settled_origin: None,
            healthy: true,
            why: String::new(),
            unhealthy_since: None,
        };
        let (l1, l1_seen) = watch::channel(view);
        let (outbox, window) = (Arc::new(Outbox::default()), Arc::new(ViewWindow::default()));
        let others = epoch.others().collect();
        let nothing_known = Arc::new(|_: &_| None);
        let rebuilder = Rebuilder::new(network.clone(), nothing_known, Arc::clone(&window), others, mpsc::channel(1).0);
        let machine = Machine::new(
            Config::new(&spec, facts.genesis_l1),
            Arc::clone(&epoch.committee),
            epoch.leaders.clone(),
            epoch.me(),
            &epoch.root,
            Recovered::fresh(epoch.root.clone()),
        );
        let context = DriverContext {
            facts: Arc::new(facts),
            ledger,
            executor: Arc::new(match &genesis {
                Some(genesis) => ChainExecutor::Embedded(EvmExecutor::new(genesis)),
                None => ChainExecutor::None,
            }),
            pool: Arc::new(Mutex::new(Pool::new(PoolConfig::of(&spec)))),
            work: Arc::default(),
            outbound: Arc::<Outbox>::clone(&outbox),
            network,
            rebuilder,
            l1: l1_seen,
            origins: Origins::new(epoch.root.origin),
            evidence_found: Arc::default(),
            window,
            certified: Arc::new(Certified::new(epoch.me())),
            heard: Arc::new(Mutex::new(HeardOut::new(Arc::clone(&epoch.committee), epoch.me()))),
            testimony: Arc::default(),
            halt: CancellationToken::new(),
            notarized: Arc::default(),
            heads: watch::channel(Height::ZERO).0,
            progress: watch::channel(DriverStatus::default()).0,
            metrics: Metrics::default().consensus,
            missed_lines: MissedLines::default(),
            listens_first,
            book: EpochBook::new(Arc::clone(&epoch)),
            keys: vec![Arc::new(own)],
            epoch,
        };
        let mut driver = Driver::new(context, machine).unwrap();
        driver.input(Input::Started).await.unwrap();
        Self { world, driver, outbox, leaders, _leader: leader, _l1: l1, _folder: folder }
    }

    /// A key of ours that has no seat.
    fn another_key(&self) -> OwnKey {
        let key = SecretKey::generate(&[99; 32]);
        let record = SignRecord::create(&self._folder.path().join("another"), &key.public_key()).unwrap();
        OwnKey::new(key, record, self.world.domain).unwrap()
    }

    /// Opens the record again, as a restart does.
    fn reopened(self) -> Result<OwnKey, SignRecordError> {
        let (folder, world, me) = (self._folder, self.world, self.driver.context.epoch.me().unwrap());
        drop(self.driver);
        let key = world.key(me.get());
        let record = SignRecord::open(&folder.path().join("record"), &key.public_key())?;
        OwnKey::new(key, record, world.domain)
    }

    /// Two blocks that `member` notarized in one view.
    fn pair(&self, member: MemberIndex) -> Evidence {
        let [first, second] = [1, 2].map(|block| {
            let block = BlockDigest::new(B256::repeat_byte(block));
            let view = View::new(9);
            self.world.sign(member.get(), Statement::Notarize { epoch: self.driver.context.epoch.epoch, view, block })
        });
        Evidence::new(first, second).unwrap()
    }

    /// The block of view 1 that its leader may propose.
    fn block(&self) -> Block {
        let mut block = child(&self.driver.context.epoch.root, vec![]);
        block.header.proposer = MemberIndex::new(self.leaders[0]);
        block
    }

    /// The leader of `view` proposes `block`.
    async fn proposes(&mut self, view: u64, block: &Block) {
        let statement =
            Statement::Notarize { epoch: block.header.epoch, view: View::new(view), block: block.header.digest() };
        let notarize: SignedStatement = self.world.sign(self.leaders[view as usize - 1], statement);
        let notarize = self.world.verifier.verify(notarize).unwrap();
        let block = Arc::new(block.clone());
        self.driver.on_checked(Checked::Proposal { block, notarize }).await.unwrap();
        self.driver.end_turn().unwrap();
    }

    /// Looks longer than it takes to hear a quorum out that is there, and says nothing.
    async fn listens_in_vain(&mut self) {
        let looked_from = Instant::now();
        while looked_from.elapsed() < 3 * LOOK_AT_RECORD_EVERY {
            self.driver.hear(true).await.unwrap();
            tokio::time::sleep(hearing::LOOK_EVERY).await;
        }
        assert!(self.driver.hearing.is_some() && self.voted_for().is_empty());
    }

    /// Blocks that this member has voted for.
    fn voted_for(&self) -> Vec<BlockDigest> {
        let said = self.outbox.0.lock().unwrap();
        let vote = |message: &ConsensusMessage| match message {
            ConsensusMessage::Vote { vote, .. } => vote.statement.block(),
            _ => None,
        };
        said.iter().filter_map(vote).collect()
    }

    /// How many invalid blocks were seen, and how often somebody was charged.
    fn counts(&self) -> (u64, u64) {
        let context = &self.driver.context;
        (context.metrics.proposals_invalid.get(), context.network.stats().faults_charged.get())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_block_gets_no_vote_and_is_charged_to_the_leader_that_signed_it() {
    let mut stage = Stage::new().await;
    let good = stage.block();
    stage.proposes(1, &good).await;
    assert_eq!((stage.voted_for(), stage.counts()), (vec![good.header.digest()], (0, 0)));
    assert_eq!(stage.driver.context.metrics.last_signed_height(), 1);

    let mut stage = Stage::new().await;
    let mut bad = stage.block();
    // Nothing ever left the forced queue.
    bad.header.forced_position = 1;
    stage.proposes(1, &bad).await;
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (1, 1)));
}

/// Transaction number `nonce` of account `key` with this tip.
fn offer(key: u8, nonce: u64, tip: u128) -> Transaction {
    signed_by(
        key,
        TxEip1559 {
            chain_id: L2.get(),
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: 1_000,
            max_priority_fee_per_gas: tip,
            to: TxKind::Call(Address::repeat_byte(9)),
            ..TxEip1559::default()
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_voter_checks_order_nonces_and_gas() {
    let (poor, rich) = (offer(1, 0, 5), offer(2, 0, 9));
    // Of one account, each with as much gas as a transaction can have: seven fit a block.
    let large = |count| (0..count).map(|nonce| transfer(nonce, 0)).collect::<Vec<_>>();
    let cases = [
        ("the rule's order", vec![rich.clone(), poor.clone()], true),
        ("a leader's own order", vec![poor.clone(), rich.clone()], false),
        ("consecutive nonces", vec![rich.clone(), offer(1, 0, 5), offer(1, 1, 50)], true),
        ("a gap", vec![rich, offer(1, 0, 5), offer(1, 2, 5)], false),
        ("all of a block's gas", large(7), true),
        ("more gas than a block has", large(8), false),
    ];
    let mut wrong = Vec::new();
    for (what, transactions, is_valid) in cases {
        let mut stage = Stage::new().await;
        let spec = ChainSpec { ordering_rule: OrderingRule::PriorityFee, ..spec() };
        stage.driver.context.facts = Arc::new(ChainFacts { spec, ..ChainFacts::clone(&stage.driver.context.facts) });
        let mut block = child(&stage.driver.context.epoch.root, transactions);
        block.header.proposer = MemberIndex::new(stage.leaders[0]);
        stage.proposes(1, &block).await;
        let (voted, charged) = if is_valid { (vec![block.header.digest()], (0, 0)) } else { (vec![], (1, 1)) };
        if (stage.voted_for(), stage.counts()) != (voted, charged) {
            wrong.push(what);
        }
    }
    assert!(wrong.is_empty(), "judged wrongly: {wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_votes_while_execution_is_too_far_behind_finality() {
    let mut stage = Stage::new().await;
    let most = stage.driver.context.facts.spec.exec_lag_max;
    stage.driver.catching_up = Some(CatchingUp::aiming_at(Height::new(most + 1)));
    let block = stage.block();
    stage.proposes(1, &block).await;
    stage.driver.judge_waiting().await.unwrap();
    stage.driver.end_turn().unwrap();
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (0, 0)), "it waits, and nobody is at fault");
    stage.driver.catching_up = Some(CatchingUp::aiming_at(Height::new(most)));
    stage.driver.judge_waiting().await.unwrap();
    stage.driver.end_turn().unwrap();
    assert_eq!(stage.voted_for(), vec![block.header.digest()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_final_here_is_executed() {
    let mut stage = Stage::new().await;
    let transaction = offer(1, 0, 5);
    let mut block = child(&stage.driver.context.epoch.root, vec![transaction.clone()]);
    block.header.proposer = MemberIndex::new(stage.leaders[0]);
    let finalize =
        Statement::Finalize { epoch: block.header.epoch, view: block.header.view, block: block.header.digest() };
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let certificate = stage.world.certify(&others, finalize);
    stage.driver.commit(vec![Arc::new(block)], certificate, Came::Live).unwrap();
    // Before anybody hears of it, even.
    let ledger = &stage.driver.context.ledger;
    assert_eq!((stage.driver.status.final_height, ledger.head().unwrap().height), (Height::new(1), Height::new(1)));
    assert_eq!(ledger.nonce(transaction.sender()).unwrap(), 1);
    assert!(ledger.results(Height::new(1)).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_is_judged_again_by_what_a_final_block_leaves() {
    /// What [`offer`] can cost.
    const ONE: u64 = 21_000 * 1_000;
    let (sender, other) = (offer(1, 0, 5).sender(), offer(2, 0, 5).sender());
    let mut stage = Stage::charging(&[(sender, 5 * ONE), (other, ONE)]).await;
    let ledger = Arc::clone(&stage.driver.context.ledger);
    let pool = Arc::clone(&stage.driver.context.pool);
    let priced = |key, nonce, price, value| {
        signed_by(
            key,
            TxEip1559 {
                chain_id: L2.get(),
                nonce,
                gas_limit: 21_000,
                max_fee_per_gas: price,
                to: TxKind::Call(Address::repeat_byte(9)),
                value: U256::from(value),
                ..TxEip1559::default()
            },
        )
    };
    let (dear, low) = (priced(1, 3, 1_000, ONE), priced(2, 0, 6, 0));
    for transaction in [offer(1, 0, 5), offer(1, 1, 5), offer(1, 2, 5), dear.clone(), low.clone()] {
        pool.lock().unwrap().add(transaction, 0, &FinalAccounts::new(ledger.as_ref())).unwrap();
    }
    let refused = pool.lock().unwrap().add(offer(2, 1, 5), 0, &FinalAccounts::new(ledger.as_ref()));
    assert!(refused.unwrap_err().to_string().starts_with("insufficient funds for gas * price + value: balance "));

    // Another transaction of the sender's first nonce takes most of the money. The other's is included below the base fee.
    let spends = priced(1, 0, 7, 3 * ONE + ONE / 2);
    let mut block = child(&stage.driver.context.epoch.root, vec![spends.clone(), low.clone()]);
    block.header.proposer = MemberIndex::new(stage.leaders[0]);
    let finalize =
        Statement::Finalize { epoch: block.header.epoch, view: block.header.view, block: block.header.digest() };
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let certificate = stage.world.certify(&others, finalize);
    stage.driver.commit(vec![Arc::new(block)], certificate, Came::Live).unwrap();
    assert_eq!(ledger.nonce(sender).unwrap(), 1);

    let pool = pool.lock().unwrap();
    // It has less than one and a half left: one can run, one waits for money, and one costs two.
    let left: Vec<_> = pool.inspect_account(sender).map(|(standing, tx)| (standing, tx.nonce())).collect();
    assert_eq!(left, [(Standing::Pending, 1), (Standing::Queued, 2)]);
    assert_eq!(pool.fate(dear.hash()), Some(Fate::Unfunded));
    assert!(pool.contains(low.hash()), "its turn is still to come");
    assert_eq!(pool.standings(), Standings { pending: 2, queued: 1 });
    drop(pool);
    let parent = ledger.header(Height::new(1)).unwrap().unwrap();
    let Input::Built { header, .. } = stage.driver.build(View::new(9), &parent, &[]).unwrap() else {
        panic!("no block")
    };
    let block = stage.driver.blocks.get(&header.digest()).unwrap().unwrap();
    assert_eq!(block.transactions, [offer(1, 1, 5)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_waits_until_its_origin_is_seen_final() {
    let mut stage = Stage::new().await;
    let mut block = stage.block();
    block.header.origin = L1Origin { number: L1BlockNumber::new(7), hash: B256::repeat_byte(7) };
    stage.proposes(1, &block).await;
    stage.driver.judge_waiting().await.unwrap();
    assert_eq!(stage.voted_for(), vec![], "a block that L1 may yet take back must not be built on");
    // Nobody is at fault: L1 looks different from everywhere.
    assert_eq!(stage.counts(), (0, 0));
    see_final(&stage.driver.context.origins, block.header.origin);
    stage.driver.judge_waiting().await.unwrap();
    stage.driver.end_turn().unwrap();
    assert_eq!(stage.voted_for(), vec![block.header.digest()]);

    // Another block is final there, as far as this node has seen. With several endpoints it may be the one that is wrong.
    let mut stage = Stage::new().await;
    let other = L1Origin { hash: B256::repeat_byte(8), ..block.header.origin };
    see_final(&stage.driver.context.origins, other);
    let mut block = stage.block();
    block.header.origin = L1Origin { number: other.number, hash: B256::repeat_byte(7) };
    stage.proposes(1, &block).await;
    stage.driver.judge_waiting().await.unwrap();
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (0, 0)));
    assert!(!stage.driver.waiting.is_empty(), "it is judged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_a_user_out_gets_no_vote() {
    let entries = vec![ForcedEntry::new(L1BlockNumber::ZERO, Address::ZERO, 0, vec![1].into())];
    let hash = Forced::new(B256::ZERO, entries.clone()).hash_after(0).unwrap();
    let queue = ForcedCursor { read_to: L1BlockNumber::new(u64::MAX), length: 1, hash };
    let mut stage = Stage::new().await;
    stage.driver.context.ledger.put_forced(&entries, &queue).unwrap();
    let censoring = stage.block();
    stage.proposes(1, &censoring).await;
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (1, 1)));

    let mut stage = Stage::new().await;
    stage.driver.context.ledger.put_forced(&entries, &queue).unwrap();
    let mut block = stage.block();
    block.forced = Forced::new(B256::ZERO, entries.clone());
    (block.header.forced_position, block.header.forced_hash) = (1, hash);
    let taking = block.clone();
    stage.proposes(1, &taking).await;
    assert_eq!((stage.voted_for(), stage.counts()), (vec![taking.header.digest()], (0, 0)));

    // Who has not read L1 so far cannot tell: it is nobody's fault, though the origin is the parent's.
    let mut stage = Stage::new().await;
    let unread = ForcedCursor { read_to: L1BlockNumber::ZERO, length: 0, hash: B256::ZERO };
    stage.driver.context.ledger.put_forced(&[], &unread).unwrap();
    stage.proposes(1, &taking).await;
    stage.driver.judge_waiting().await.unwrap();
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (0, 0)));
    stage.driver.context.ledger.put_forced(&entries, &queue).unwrap();
    stage.driver.judge_waiting().await.unwrap();
    stage.driver.end_turn().unwrap();
    assert_eq!(stage.voted_for(), vec![taking.header.digest()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_sign_is_written_down_and_forgotten_when_there_is_no_room() {
    let mut stage = Stage::new().await;
    let (epoch, ledger) = (stage.driver.context.epoch.epoch, Arc::clone(&stage.driver.context.ledger));
    let kept = testimony::views_kept(4);
    let views = [1, 5_000, 5_001].map(View::new);
    for view in views {
        let signed = stage.world.sign(stage.leaders[0], Statement::Nullify { epoch, view });
        stage.driver.context.testimony.note(&signed, VoteCheck::Checked);
    }
    let are_kept = || views.map(|view| !ledger.votes(epoch, view).unwrap().is_empty());
    assert_eq!(are_kept(), [false; 3]);
    stage.driver.end_turn().unwrap();
    assert_eq!(are_kept(), [true; 3]);
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    // Whatever the block is: the view is final.
    let block = BlockDigest::new(B256::repeat_byte(3));
    let finalize = Statement::Finalize { epoch, view: View::new(kept + 5_001), block };
    let certificate = stage.world.verifier.verify_certificate(stage.world.certify(&others, finalize)).unwrap();
    stage.driver.on_checked(Checked::Certificate(certificate)).await.unwrap();
    assert_eq!(are_kept(), [true; 3], "a power cut can take the certificate back");
    stage.driver.end_turn().unwrap();
    assert_eq!(are_kept(), [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_is_shown_what_it_said_itself_and_above_the_final_view_alone() {
    let mut stage = Stage::new().await;
    let epoch = stage.driver.context.epoch.epoch;
    let [back, other] = stage.leaders;
    let nullify = |view: u64| Statement::Nullify { epoch, view: View::new(view) };
    for (signer, view) in [(back, 1), (back, 2), (other, 2), (back, 3)] {
        stage.driver.context.testimony.note(&stage.world.sign(signer, nullify(view)), VoteCheck::Unchecked);
    }
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let finalize = Statement::Finalize { epoch, view: View::new(1), block: BlockDigest::new(B256::repeat_byte(3)) };
    let certificate = stage.world.verifier.verify_certificate(stage.world.certify(&others, finalize)).unwrap();
    stage.driver.on_checked(Checked::Certificate(certificate)).await.unwrap();
    stage.driver.end_turn().unwrap();
    stage.outbox.0.lock().unwrap().clear();
    stage.driver.on_checked(Checked::Connected(MemberIndex::new(back))).await.unwrap();
    let said = stage.outbox.0.lock().unwrap();
    let of_others = said.iter().filter_map(|message| match message {
        ConsensusMessage::Vote { vote, .. } if Some(vote.signer) != stage.driver.context.epoch.me() => Some(vote),
        _ => None,
    });
    let shown: Vec<(u8, Statement)> = of_others.map(|vote| (vote.signer.get(), vote.statement)).collect();
    assert_eq!(shown, [(back, nullify(2)), (back, nullify(3))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vouched_record_takes_up_what_others_show_before_anything_new_is_signed() {
    let mut stage = Stage::with_record(World::new(&[1, 1, 1, 1]), true, SignRecord::create_by_override).await;
    let (epoch, me) = (stage.driver.context.epoch.epoch, stage.driver.context.epoch.me().unwrap());
    let block = |byte| BlockDigest::new(B256::repeat_byte(byte));
    let notarize = |view, byte| Statement::Notarize { epoch, view: View::new(view), block: block(byte) };
    let verifier = Arc::clone(&stage.world.verifier);
    let vote = |stage: &Stage, signer: u8, said| verifier.verify(stage.world.sign(signer, said)).unwrap();
    let other = (0..4).find(|other| *other != me.get()).unwrap();
    // Our word alone, beside another one's vote, and in a certificate.
    let alone = Statement::Finalize { epoch, view: View::new(1), block: block(1) };
    let shown = Checked::Ours(vote(&stage, me.get(), alone));
    stage.driver.on_checked(shown).await.unwrap();
    let beside = notarize(2, 1);
    let (vote_of_other, ours) = (vote(&stage, other, beside), vote(&stage, me.get(), beside));
    stage.driver.on_checked(Checked::Vote { vote: vote_of_other, leader: Some(ours) }).await.unwrap();
    let in_a_certificate = notarize(3, 1);
    let certificate = |stage: &Stage, statement| {
        let signers: Vec<u8> = (0..4).filter(|member| *member != other).collect();
        Checked::Certificate(verifier.verify_certificate(stage.world.certify(&signers, statement)).unwrap())
    };
    let shown = certificate(&stage, in_a_certificate);
    stage.driver.on_checked(shown).await.unwrap();
    let signer = stage.driver.context.epoch.signer.clone().unwrap();
    assert_eq!(signer.recorded(epoch, View::ZERO).unwrap(), [alone, beside, in_a_certificate]);
    // What it cannot take up beside that is another speaker's.
    let shown = certificate(&stage, notarize(3, 2));
    let ended = stage.driver.on_checked(shown).await;
    assert!(matches!(ended, Err(DriverError::StaleSignRecord { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_of_ours_that_our_record_lacks_ends_the_node() {
    let mut stage = Stage::new().await;
    let (epoch, me) = (stage.driver.context.epoch.epoch, stage.driver.context.epoch.me().unwrap());
    let shown = stage.world.sign(me.get(), Statement::Nullify { epoch, view: View::new(1) });
    let shown = stage.world.verifier.verify(shown).unwrap();
    let ended = stage.driver.on_checked(Checked::Ours(shown)).await;
    assert!(matches!(ended, Err(DriverError::StaleSignRecord { view }) if view == View::new(1)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_block_that_is_proposed_again_is_nobodys_fault() {
    let mut stage = Stage::new().await;
    let mut again = stage.block();
    again.header.forced_position = 1;
    // The first L1 block of another epoch, which the leader of view 1 never named.
    again.header.origin = L1Origin { number: L1BlockNumber::new(3 * 512), hash: B256::repeat_byte(3) };
    assert!(stage.driver.context.facts.epochs().ends_with(&again.header));
    let nullify = Statement::Nullify { epoch: again.header.epoch, view: View::new(1) };
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let certificate = stage.world.verifier.verify_certificate(stage.world.certify(&others, nullify)).unwrap();
    stage.driver.on_checked(Checked::Certificate(certificate)).await.unwrap();
    assert_eq!(stage.driver.status.view, View::new(2));
    stage.proposes(2, &again).await;
    assert_eq!((stage.voted_for(), stage.counts()), (vec![], (0, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_why_a_turn_of_our_own_is_missing_in_the_chain() {
    let log = Log::default();
    let writer = log.clone();
    let logger = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(logger.finish());
    let mut stage = Stage::new().await;
    let (epoch, me) = (Arc::clone(&stage.driver.context.epoch), stage.driver.context.epoch.me().unwrap());
    let leader = |view: u64| epoch.leaders.leader(View::new(view));
    let own = (1..).find(|view| leader(*view) == me && leader(view + 1) != me).unwrap();
    let others: Vec<u8> = epoch.others().map(MemberIndex::get).collect();
    let certify = |world: &World, statement| {
        let certificate = world.certify(&others, statement);
        Checked::Certificate(world.verifier.verify_certificate(certificate).unwrap())
    };
    let nullify = |view: u64| Statement::Nullify { epoch: epoch.epoch, view: View::new(view) };
    for view in 1..own {
        let certificate = certify(&stage.world, nullify(view));
        stage.driver.on_checked(certificate).await.unwrap();
    }
    // It proposes; nobody votes for that, and the block of the next leader becomes final.
    stage.driver.input(Input::TimerFired(Timer::Idle(View::new(own)))).await.unwrap();
    assert_eq!(stage.driver.context.metrics.proposals_created.get(), 1);
    let certificate = certify(&stage.world, nullify(own));
    stage.driver.on_checked(certificate).await.unwrap();
    let mut block = child(&epoch.root, vec![]);
    (block.header.view, block.header.proposer) = (View::new(own + 1), leader(own + 1));
    let (view, digest) = (block.header.view, block.header.digest());
    let notarize = Statement::Notarize { epoch: epoch.epoch, view, block: digest };
    let notarize = stage.world.verifier.verify(stage.world.sign(leader(own + 1).get(), notarize)).unwrap();
    stage.driver.on_checked(Checked::Proposal { block: Arc::new(block), notarize }).await.unwrap();
    assert!(!String::from_utf8(log.0.lock().unwrap().clone()).unwrap().contains("missed a turn"));
    let certificate = certify(&stage.world, Statement::Finalize { epoch: epoch.epoch, view, block: digest });
    stage.driver.on_checked(certificate).await.unwrap();
    stage.driver.end_turn().unwrap();
    assert_eq!(stage.driver.status.final_height, Height::new(1));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    // Of turns that it led before, it said nothing more than that they were over.
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("missed a turn of our own")).collect();
    let line = lines.iter().find(|line| line.contains(&format!("view={own} "))).expect(&log);
    assert!(line.contains("WARN") && line.contains("proposed ") && line.contains("too few members voted"), "{line}");
    assert!(line.contains("were no quorum"), "{line}");
    let turns = (1..=own).filter(|view| leader(*view) == me).count();
    assert_eq!(lines.len(), turns, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_contradicted_itself_never_signs_again() {
    let mut stage = Stage::new().await;
    let me = stage.driver.context.epoch.me().unwrap();
    let ended = stage.driver.on_checked(Checked::Evidence(stage.pair(me))).await;
    assert!(matches!(&ended, Err(error @ DriverError::OwnKeyEquivocates { .. }) if error.is_refusal()), "{ended:?}");
    // Whichever of the two files outlives the other.
    let kept = stage.driver.context.ledger.evidence().unwrap();
    assert_eq!(kept.iter().map(|kept| kept.evidence.signer()).collect::<Vec<_>>(), [me]);
    let own = stage.driver.context.epoch.signer.as_ref().unwrap().public_key();
    assert!(stage.driver.context.ledger.l1_fact(&given_up_key(&own)).unwrap().is_some());
    let block = stage.block();
    let ended = stage.driver.turn.sign(Statement::Nullify { epoch: block.header.epoch, view: View::new(1) });
    assert!(matches!(ended, Err(DriverError::Signer(SignError::Closed))), "not even before the process is gone");
    assert!(matches!(stage.reopened(), Err(SignRecordError::Condemned { .. })), "nor after a restart");
    // A key that others did not catch is used again.
    assert!(Stage::new().await.reopened().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_against_a_third_ends_voting_for_good() {
    let mut stage = Stage::new().await;
    let others: Vec<MemberIndex> = stage.driver.context.epoch.others().collect();
    let halted = |stage: &Stage| stage.driver.context.ledger.l1_fact(HALTED_KEY).unwrap().is_some();
    for (place, member) in others.iter().take(2).enumerate() {
        stage.driver.on_checked(Checked::Evidence(stage.pair(*member))).await.unwrap();
        stage.driver.on_checked(Checked::Evidence(stage.pair(*member))).await.unwrap();
        // One of four is less than a third, two are more.
        assert_eq!((halted(&stage), stage.driver.status.halted.is_some()), (place == 1, place == 1), "{place}");
        assert_eq!(stage.driver.context.halt.is_cancelled(), place == 1);
    }
    let block = stage.block();
    stage.proposes(1, &block).await;
    assert!(stage.voted_for().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_is_on_the_disk_before_anybody_hears_of_it_and_consensus_goes_on_though_nobody_takes_it() {
    let mut stage = Stage::new().await;
    let liar = stage.driver.context.epoch.others().last().unwrap();
    let pair = stage.pair(liar);
    stage.driver.on_checked(Checked::Evidence(pair.clone())).await.unwrap();
    let stored = stage.driver.context.ledger.evidence().unwrap();
    assert_eq!(stored, [EvidenceRecord { evidence: pair, l1: EvidenceOnL1::Open }]);
    assert!(stage.outbox.0.lock().unwrap().is_empty());
    // As many as a former member can make of the epochs that it sat in; here nobody takes them to L1.
    for epoch in 1_000..1_400 {
        let statement = |block| Statement::Notarize {
            epoch: Epoch::new(epoch),
            view: View::new(1),
            block: BlockDigest::new(B256::repeat_byte(block)),
        };
        let [first, second] = [1, 2].map(|block| stage.world.sign(liar.get(), statement(block)));
        let evidence = Evidence::new(first, second).unwrap();
        let against = Box::new(stage.world.key(liar.get()).public_key());
        stage.driver.on_checked(Checked::BygoneEvidence { evidence, against }).await.unwrap();
    }
    assert_eq!(stage.driver.context.ledger.evidence().unwrap().len(), 401);
    let block = stage.block();
    stage.proposes(1, &block).await;
    assert_eq!(stage.voted_for(), [block.header.digest()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_that_still_waits_when_the_driver_ends_is_kept() {
    let Stage { world, driver, leaders, _folder, _leader, _l1, .. } = Stage::new().await;
    let ledger = Arc::clone(&driver.context.ledger);
    let (checked, inbox) = mpsc::channel(CHECKED_QUEUE_MAX);
    let (liar, stop) = (leaders[0], CancellationToken::new());
    // More than one turn takes.
    for epoch in 1_000..1_000 + 4 * TURN_INPUTS_MAX as u64 {
        let notarize = |block| Statement::Notarize {
            epoch: Epoch::new(epoch),
            view: View::new(1),
            block: BlockDigest::new(B256::repeat_byte(block)),
        };
        let [first, second] = [1, 2].map(|block| world.sign(liar, notarize(block)));
        let (evidence, against) = (Evidence::new(first, second).unwrap(), Box::new(world.key(liar).public_key()));
        checked.send(Checked::BygoneEvidence { evidence, against }).await.unwrap();
    }
    stop.cancel();
    assert_eq!(driver.run(inbox, stop).await.unwrap(), DriverEnd::Stopped);
    assert_eq!(ledger.evidence().unwrap().len(), 4 * TURN_INPUTS_MAX);
    // Who comes later knows that nobody took it.
    assert!(checked.is_closed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_final_range_of_another_chain_ends_voting_and_both_certificates_are_kept_and_shown() {
    let mut stage = Stage::new().await;
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let finalize = |block: &Block| Statement::Finalize {
        epoch: block.header.epoch,
        view: block.header.view,
        block: block.header.digest(),
    };
    let ours = stage.block();
    let first = stage.world.certify(&others, finalize(&ours));
    stage.driver.blocks.insert(Arc::new(ours.clone()));
    stage.driver.commit(vec![Arc::new(ours.clone())], first, Came::InARange).unwrap();
    stage.driver.end_turn().unwrap();

    let mut below = ours.clone();
    below.header.timestamp_ms = TimestampMs::new(ours.header.timestamp_ms.get() + 1);
    let theirs = child(&below.header, vec![]);
    let second = stage.world.certify(&others, finalize(&theirs));
    let range = FinalRange { blocks: vec![theirs.clone()], tail: vec![], finalization: second.clone() };
    let epochs = stage.driver.context.facts.epochs();
    let range = prove_range(range, theirs.header.height, 1, &stage.world.verifier, epochs).unwrap();
    stage.driver.on_range(Some(Box::new(range))).await.unwrap();
    stage.driver.end_turn().unwrap();

    let ledger = &stage.driver.context.ledger;
    assert!(ledger.l1_fact(HALTED_KEY).unwrap().is_some() && stage.driver.context.halt.is_cancelled());
    assert!(stage.driver.status.halted.is_some());
    assert_eq!(ledger.head().unwrap().digest, ours.header.digest(), "our final chain only grows");
    assert!(ledger.certificates_of(theirs.header.epoch, theirs.header.view).unwrap().contains(&second));
    let said = stage.outbox.0.lock().unwrap().clone();
    assert!(said.contains(&ConsensusMessage::Certificate(second)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_compared_with_what_the_ledger_holds() {
    let mut stage = Stage::new().await;
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let ours = stage.block();
    let (epoch, view, block) = (ours.header.epoch, ours.header.view, ours.header.digest());
    let [finalization, nullify] = [Statement::Finalize { epoch, view, block }, Statement::Nullify { epoch, view }]
        .map(|statement| stage.world.certify(&others, statement));
    stage.driver.context.ledger.persist(&[], &[nullify]).unwrap();
    let height = ours.header.height;
    let range = FinalRange { blocks: vec![ours], tail: vec![], finalization };
    let epochs = stage.driver.context.facts.epochs();
    let range = prove_range(range, height, 1, &stage.world.verifier, epochs).unwrap();
    stage.driver.on_range(Some(Box::new(range))).await.unwrap();
    assert!(stage.driver.status.halted.is_some() && marked(&*stage.driver.context.ledger).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_a_view_that_the_machine_forgot_is_found_by_what_the_ledger_holds() {
    let mut stage = Stage::new().await;
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let ours = stage.block();
    let (epoch, view, block) = (ours.header.epoch, ours.header.view, ours.header.digest());
    let [finalize, nullify] = [Statement::Finalize { epoch, view, block }, Statement::Nullify { epoch, view }]
        .map(|statement| stage.world.certify(&others, statement));
    // As after a restart: the machine has not seen how this became final.
    stage.driver.commit(vec![Arc::new(ours)], finalize.clone(), Came::InARange).unwrap();
    let nullify = stage.world.verifier.verify_certificate(nullify).unwrap();
    stage.driver.on_checked(Checked::Certificate(nullify.clone())).await.unwrap();
    stage.driver.end_turn().unwrap();
    let ledger = &stage.driver.context.ledger;
    assert!(ledger.l1_fact(HALTED_KEY).unwrap().is_some() && stage.driver.status.halted.is_some());
    // The pair is kept for L1, and shown to everybody.
    let kept: Conflict = serde_json::from_slice(&ledger.l1_fact(CONFLICT_KEY).unwrap().unwrap()).unwrap();
    assert_eq!(kept.certificates(), [&finalize, &Certificate::clone(&nullify)]);
    let said = stage.outbox.0.lock().unwrap().clone();
    assert!(kept.certificates().iter().all(|half| said.contains(&ConsensusMessage::Certificate((*half).clone()))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_about_an_epoch_that_is_over_halts_the_running_one() {
    for was_told_before_the_epoch in [false, true] {
        let mut stage = Stage::new().await;
        let view = View::new(9);
        let [nullify, finalize] = {
            let epoch = Epoch::new(1);
            let block = BlockDigest::new(B256::repeat_byte(9));
            [Statement::Nullify { epoch, view }, Statement::Finalize { epoch, view, block }]
        };
        // Who sat in it has checked both.
        let before = stage.world.epoch_of(1, &[0, 1, 2]);
        let halves = [nullify, finalize].map(|statement| {
            let certificate = stage.world.certify(&[0, 1, 2], statement);
            before.verifier.verify_certificate(certificate).unwrap()
        });
        let ledger = Arc::clone(&stage.driver.context.ledger);
        // Whoever found it has written it down.
        let plain = halves.each_ref().map(|half| Certificate::clone(half));
        broken::mark(&*ledger, broken::reason(&plain), &plain).unwrap();
        let kept: Conflict = serde_json::from_slice(&ledger.l1_fact(CONFLICT_KEY).unwrap().unwrap()).unwrap();
        assert_eq!(kept.certificates(), [&plain[0], &plain[1]]);
        let halt = stage.driver.context.halt.clone();
        if was_told_before_the_epoch {
            // Nobody listened then, and now somebody looks.
            let (stop, (_sender, checked)) = (CancellationToken::new(), mpsc::channel(1));
            let mut progress = stage.driver.context.progress.subscribe();
            let running = tokio::spawn(stage.driver.run(checked, stop.clone()));
            let halted = progress.wait_for(|status| status.halted.is_some());
            tokio::time::timeout(LIMIT, halted).await.expect("in time").unwrap();
            stop.cancel();
            assert_eq!(running.await.unwrap().unwrap(), DriverEnd::Stopped);
        } else {
            stage.driver.on_checked(Checked::Contradiction(halves.to_vec())).await.unwrap();
            stage.driver.end_turn().unwrap();
            assert!(stage.driver.status.halted.is_some());
            // All of it is told, though it is of another epoch.
            let said = stage.outbox.0.lock().unwrap().clone();
            assert!(plain.iter().all(|half| said.contains(&ConsensusMessage::Certificate(half.clone()))));
        }
        assert!(halt.is_cancelled());
        assert_eq!(marked(&*ledger).unwrap(), Some(broken::reason(&plain)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_among_the_last_messages_of_an_epoch_is_marked() {
    let mut stage = Stage::new().await;
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let (epoch, view) = (stage.driver.context.epoch.epoch, View::new(9));
    let block = BlockDigest::new(B256::repeat_byte(9));
    let (sender, mut checked) = mpsc::channel(2);
    for statement in [Statement::Nullify { epoch, view }, Statement::Finalize { epoch, view, block }] {
        let certificate = stage.world.certify(&others, statement);
        let certificate = stage.world.verifier.verify_certificate(certificate).unwrap();
        sender.send(Checked::Certificate(certificate)).await.unwrap();
    }
    assert!(marked(&*stage.driver.context.ledger).unwrap().is_none());
    stage.driver.take_last_evidence(&mut checked).unwrap();
    assert!(marked(&*stage.driver.context.ledger).unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_against_a_key_of_ours_counts_whether_it_has_a_seat_or_not() {
    let mut stage = Stage::new().await;
    let unseated = Arc::new(stage.another_key());
    let (epoch, view) = (Epoch::new(1), View::new(9));
    let pair = [1, 2].map(|fill| {
        let block = BlockDigest::new(B256::repeat_byte(fill));
        stage.world.sign(3, Statement::Notarize { epoch, view, block })
    });
    let [first, second] = pair;
    let evidence = Evidence::new(first, second).unwrap();
    let against = |key: BlsPublicKey| Checked::BygoneEvidence { evidence: evidence.clone(), against: Box::new(key) };
    let stranger = SecretKey::generate(&[77; 32]).public_key();
    stage.driver.on_checked(against(stranger)).await.unwrap();
    stage.driver.context.keys.push(Arc::clone(&unseated));
    let ended = stage.driver.on_checked(against(unseated.public_key())).await;
    assert!(matches!(ended, Err(DriverError::OwnKeyEquivocates { .. })), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_comes_late_is_kept_for_its_other_half() {
    let mut stage = Stage::new().await;
    let others: Vec<u8> = stage.driver.context.epoch.others().map(MemberIndex::get).collect();
    let mut ours = stage.block();
    ours.header.view = View::new(400);
    let (epoch, view) = (ours.header.epoch, ours.header.view);
    let finalize = Statement::Finalize { epoch, view, block: ours.header.digest() };
    let finalize = stage.world.certify(&others, finalize);
    stage.driver.commit(vec![Arc::new(ours)], finalize.clone(), Came::InARange).unwrap();
    let finalize = stage.world.verifier.verify_certificate(finalize).unwrap();
    stage.driver.input(Input::Certificate(finalize)).await.unwrap();
    let halves = [1, 2].map(|fill| {
        let block = BlockDigest::new(B256::repeat_byte(fill));
        let certificate = stage.world.certify(&others, Statement::Notarize { epoch, view: View::new(7), block });
        stage.world.verifier.verify_certificate(certificate).unwrap()
    });
    for (half, is_broken) in halves.iter().zip([false, true]) {
        stage.driver.on_checked(Checked::Certificate(half.clone())).await.unwrap();
        stage.driver.end_turn().unwrap();
        assert_eq!(stage.driver.status.halted.is_some(), is_broken);
        assert!(stage.driver.context.ledger.certificates_of(epoch, View::new(7)).unwrap().contains(half));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_start_nothing_is_signed_until_a_quorum_was_heard_out() {
    // The leader of view 1 is connected, and it and we are no quorum.
    let mut stage = Stage::of(World::new(&[1, 1, 1, 1]), true).await;
    let block = stage.block();
    stage.proposes(1, &block).await;
    stage.driver.context.heard.lock().unwrap().on_word(MemberIndex::new(stage.leaders[0]), View::new(1));
    stage.listens_in_vain().await;

    // Where the two are one, what waited is said.
    let weights = (0..4_u32.pow(4)).map(|n| [0, 1, 2, 3].map(|place| 1 + 2 * u64::from(n / 4_u32.pow(place) % 4)));
    let weighty = |world: &World| {
        let (leaders, me) = seats(world);
        let is_quorum =
            |members: &[u8]| world.committee.is_quorum(members.iter().copied().map(MemberIndex::new).collect());
        is_quorum(&[leaders[0], me]) && !is_quorum(&[leaders[0]]) && !is_quorum(&[me])
    };
    let mut worlds = weights.map(|weights| World::new(&weights));
    let world = worlds.find(weighty).unwrap();
    let mut stage = Stage::with_record(world, true, SignRecord::create_by_override).await;
    let block = stage.block();
    stage.proposes(1, &block).await;
    assert!(stage.voted_for().is_empty());
    // But not before that leader has said anything, or while it was further on and we are not there yet.
    stage.listens_in_vain().await;
    let (leader, heard) = (MemberIndex::new(stage.leaders[0]), Arc::clone(&stage.driver.context.heard));
    heard.lock().unwrap().on_word(leader, View::new(2));
    stage.listens_in_vain().await;
    *heard.lock().unwrap() = HeardOut::new(Arc::clone(&stage.world.committee), stage.driver.context.epoch.me());
    heard.lock().unwrap().on_word(leader, View::new(1));
    // Nor while somebody speaks of a later epoch, and nobody has denied it.
    stage.driver.life.on_later_epoch();
    stage.listens_in_vain().await;
    stage.driver.life.on_denied();
    while stage.driver.hearing.is_some() {
        stage.driver.hear(true).await.unwrap();
        tokio::time::sleep(hearing::LOOK_EVERY).await;
    }
    stage.driver.end_turn().unwrap();
    assert!(stage.voted_for().contains(&block.header.digest()));
    // And what its record lacks after that is another speaker's, whoever vouches for it.
    let nullify = Statement::Nullify { epoch: block.header.epoch, view: View::new(9) };
    let shown = stage.world.sign(stage.driver.context.epoch.me().unwrap().get(), nullify);
    let ended = stage.driver.on_checked(Checked::Ours(stage.world.verifier.verify(shown).unwrap())).await;
    assert!(matches!(ended, Err(DriverError::StaleSignRecord { .. })), "{ended:?}");
}
