//! The door as users and peers meet it.

use std::{collections::BTreeMap, path::Path, sync::Mutex, time::Duration};

use alloy_primitives::Address;
use baton_mempool::{AccountFacts, Accounts, PoolConfig, Settled};
use baton_proto::{Domain, L1ChainId, L2ChainId, OrderingRule};
use futures::FutureExt as _;
use tempfile::TempDir;

use super::{
    restore::restore,
    testing::{CHAIN_ID, Control, TestDisk, raw_call, raw_transfer, transfer},
    *,
};
use crate::ledger::{ChainIdentity, MemoryLedger};

const CHAIN: L2ChainId = L2ChainId::new(CHAIN_ID);

/// Final nonces that a test decides on.
#[derive(Default)]
struct Final(BTreeMap<Address, u64>);

impl Accounts for Final {
    fn account(&self, account: Address) -> Option<AccountFacts> {
        let nonce = self.0.get(&account).copied().unwrap_or_default();
        Some(AccountFacts { nonce, ..AccountFacts::default() })
    }
}

struct Door {
    admission: Arc<Admission>,
    pool: Arc<Mutex<Pool>>,
    senders: Arc<Senders>,
    work: Arc<Notify>,
    announced: Arc<Mutex<Vec<TxHash>>>,
    arrivals: Arc<Arrivals>,
    disk: Arc<Control>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), &'static str>>,
}

fn config() -> PoolConfig {
    PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee)
}

fn journal_in(folder: &Path, bounds: JournalBounds) -> (Journal, Vec<Kept>, Arc<Control>) {
    let path = folder.join("transactions.journal");
    let (disk, control) = TestDisk::new(&path);
    let (journal, kept) = Journal::open_on(Box::new(disk), &path, CHAIN, bounds).unwrap();
    (journal, kept, control)
}

impl Door {
    fn open() -> (Self, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        (Self::open_in(folder.path(), &Final::default()), folder)
    }

    /// Starts as a node does, on what the folder holds.
    fn open_in(folder: &Path, nonces: &Final) -> Self {
        Self::open_with(folder, nonces, JournalBounds::of(&config()))
    }

    fn open_with(folder: &Path, nonces: &Final, bounds: JournalBounds) -> Self {
        Self::open_announcing(folder, nonces, bounds, Duration::from_secs(3_600))
    }

    fn open_announcing(folder: &Path, nonces: &Final, bounds: JournalBounds, announce_again_after: Duration) -> Self {
        let domain =
            Domain { l1_chain_id: L1ChainId::new(31_337), registry: Address::repeat_byte(0xaa), l2_chain_id: CHAIN };
        let identity = ChainIdentity { domain, inbox: Address::repeat_byte(0xbb), slasher: Address::repeat_byte(0xcc) };
        let senders = Arc::new(Senders::new());
        let (mut journal, kept, disk) = journal_in(folder, bounds);
        let pool = restore(&mut journal, kept, config(), nonces, &senders).unwrap();
        let pool = Arc::new(Mutex::new(pool));
        let work = Arc::new(Notify::new());
        let announced = Arc::new(Mutex::new(Vec::new()));
        let arrivals = Arc::new(Arrivals::default());
        let stop = CancellationToken::new();
        let context = AdmissionContext {
            pool: Arc::clone(&pool),
            ledger: Arc::new(MemoryLedger::new(&identity).unwrap()),
            senders: Arc::clone(&senders),
            work: Arc::clone(&work),
            announce: Box::new({
                let announced = Arc::clone(&announced);
                move |transactions| announced.lock().unwrap().extend(transactions.iter().map(|tx| *tx.hash()))
            }),
            announce_again_after,
            arrivals: Arc::clone(&arrivals),
        };
        let (admission, task) = Admission::new(context, journal, stop.clone());
        Self { admission, pool, senders, work, announced, arrivals, disk, stop, task: tokio::spawn(task) }
    }

    /// Makes it final that the next nonce of `account` is `next`.
    fn settle(&self, account: Address, next: u64) {
        let settled = Settled { touched: &[account], refused: &[], base_fee: 0 };
        self.pool.lock().unwrap().on_final(&settled, &Final([(account, next)].into()));
    }

    fn waiting(&self) -> Vec<TxHash> {
        self.pool.lock().unwrap().transactions().map(|tx| *tx.hash()).collect()
    }

    async fn submit(&self, raw: Bytes) -> Result<TxHash, SubmitError> {
        self.admission.submit(raw).await
    }

    /// Sends all at once, and returns the answers in the order of `raw`.
    async fn submit_all(&self, raw: impl IntoIterator<Item = Bytes>) -> Vec<Result<TxHash, SubmitError>> {
        futures::future::join_all(raw.into_iter().map(|raw| self.admission.submit(raw))).await
    }

    async fn close(self) {
        self.stop.cancel();
        assert_eq!(self.task.await.unwrap(), Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_user_sends_in_a_row_is_taken_in_that_order() {
    let (door, _folder) = Door::open();
    // More than an account may have beyond a gap, so that another order would be refused.
    let raw: Vec<Bytes> = (0..500).map(|nonce| raw_transfer(1, nonce, 5)).collect();
    let answers = door.submit_all(raw.clone()).await;
    for (raw, answer) in raw.iter().zip(answers) {
        assert_eq!(answer.as_ref(), Ok(Transaction::decode(raw.clone()).unwrap().hash()));
    }
    assert_eq!(door.pool.lock().unwrap().len(), 500);
    door.work.notified().await;
    let announced = door.announced.lock().unwrap().clone();
    assert_eq!(announced.first(), Some(transfer(1, 0, 5).hash()));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_apart_and_not_announced() {
    let (door, _folder) = Door::open();
    let mut oversized = vec![0x02; TRANSACTION_BYTES_MAX + 1];
    oversized[1] = 0xf8;
    let answers = door
        .submit_all([
            raw_transfer(1, 0, 5),
            raw_transfer(1, 0, 5),
            Bytes::new(),
            oversized.into(),
            raw_transfer(1, 0, 6),
        ])
        .await;
    let texts: Vec<_> = answers[1..].iter().map(|answer| answer.as_ref().unwrap_err().to_string()).collect();
    assert_eq!(answers[0].as_ref(), Ok(transfer(1, 0, 5).hash()));
    assert_eq!(texts[0], "already known");
    assert!(answers[2] == Err(TransactionError::Malformed(texts[1].clone()).into()), "{texts:?}");
    assert!(texts[2].starts_with("oversized data"), "{texts:?}");
    // 5 + 1 is more than a tenth, but the fee cap has not moved.
    assert!(texts[3].starts_with("replacement transaction underpriced"), "{texts:?}");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_hear_of_what_users_sent_again_while_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let soon = Duration::from_millis(20);
    let door = Door::open_announcing(folder.path(), &Final::default(), JournalBounds::of(&config()), soon);
    // Brought by a peer, and by a user; brought by a peer alone; and two that only users sent.
    brought(&door, raw_transfer(2, 0, 5)).await;
    brought(&door, raw_transfer(3, 0, 5)).await;
    assert!(door.submit(raw_transfer(3, 0, 5)).await.is_err());
    assert!(door.submit_all([raw_transfer(1, 0, 5), raw_transfer(1, 1, 5)]).await.iter().all(Result::is_ok));
    let (settled, waits, both) = (transfer(1, 0, 5), transfer(1, 1, 5), transfer(3, 0, 5));
    let again = async |transaction: &Transaction| {
        let times = || door.announced.lock().unwrap().iter().filter(|hash| *hash == transaction.hash()).count();
        let before = times();
        let twice = async {
            while times() < before + 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), twice).await.expect("announced again");
    };
    again(&settled).await;
    again(&both).await;
    door.settle(settled.sender(), 1);
    again(&waits).await;
    door.announced.lock().unwrap().clear();
    again(&waits).await;
    let announced = door.announced.lock().unwrap().clone();
    assert!(!announced.contains(settled.hash()), "final is final");
    assert!(!announced.contains(transfer(2, 0, 5).hash()), "left to whoever it came to first");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sender_is_recovered_twice() {
    let (door, _folder) = Door::open();
    let known = PoolAndSenders { pool: Arc::clone(&door.pool), senders: Arc::clone(&door.senders) };
    // By gossip, by a user, in a proposal while it waits, and by sync when the pool has it no more.
    let raw = raw_transfer(1, 0, 5);
    let gossiped = known.decode_any(raw.clone());
    door.admission.gossiped(vec![gossiped.clone()]);
    door.work.notified().await;
    assert_eq!(door.arrivals.since(0, 9), (vec![*gossiped.hash()], 1));
    assert_eq!(door.submit_all([raw.clone()]).await[0].as_ref().unwrap_err().to_string(), "already known");
    assert_eq!(known.decode_any(raw.clone()).raw().as_ptr(), gossiped.raw().as_ptr(), "the pool's own is shared");
    door.settle(gossiped.sender(), 1);
    assert_eq!(known.decode_any(raw), gossiped);
    assert_eq!(door.senders.recovered(), 1);
    // Nor of one that the pool refused.
    for _ in 0..2 {
        let refused = door.submit_all([raw_transfer(2, u64::MAX, 5)]).await.remove(0);
        assert_eq!(refused.unwrap_err().to_string(), "nonce has max value");
    }
    assert_eq!(door.senders.recovered(), 2);
    door.close().await;
}

impl PoolAndSenders {
    /// As wire decoding asks.
    fn decode_any(&self, raw: Bytes) -> Transaction {
        use baton_proto::wire::Known as _;
        let hash = alloy_primitives::keccak256(&raw);
        self.transaction(&hash).unwrap_or_else(|| self.decode(raw).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_finds_no_room_is_told_to_retry_at_once() {
    let (door, _folder) = Door::open();
    let (bytes, mut nonces) = (TRANSACTION_BYTES_MAX - 200, 0..);
    let mut next = || raw_call(1, nonces.next().unwrap(), 5, vec![0; bytes]);
    let mut waiting = Vec::new();
    let busy = {
        // Nothing leaves while somebody else holds the pool.
        let _held = door.pool.lock().unwrap();
        loop {
            let mut submission = door.admission.submit(next());
            // Polled once, it is queued.
            match (&mut submission).now_or_never() {
                None => waiting.push(submission),
                Some(answer) => break answer,
            }
        }
    };
    assert_eq!(busy, Err(SubmitError::Busy));
    assert_eq!(waiting.len(), SUBMISSION_BYTES_MAX / bytes);
    assert!(futures::future::join_all(waiting).await.iter().all(Result::is_ok));
    // Answered is gone: there is room again.
    assert!(door.admission.submit(raw_transfer(2, 0, 5)).await.is_ok());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_when_the_node_stops_is_told() {
    let (door, _folder) = Door::open();
    let admission = Arc::clone(&door.admission);
    door.close().await;
    assert_eq!(admission.submit(raw_transfer(1, 0, 5)).await, Err(SubmitError::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_before_the_disk_has_it_and_many_share_a_sync() {
    let (door, _folder) = Door::open();
    door.disk.hold(true);
    let mut waiting: Vec<_> = (0..300).map(|nonce| door.admission.submit(raw_transfer(1, nonce, 5))).collect();
    for submission in &mut waiting {
        assert_eq!(submission.now_or_never(), None);
    }
    tokio::task::block_in_place(|| door.disk.wait_for_append());
    for submission in &mut waiting {
        assert_eq!(submission.now_or_never(), None, "answered while the disk has nothing");
    }
    assert!(door.announced.lock().unwrap().is_empty());
    door.disk.hold(false);
    assert!(futures::future::join_all(waiting).await.iter().all(Result::is_ok));
    assert_eq!(door.announced.lock().unwrap().len(), 300);
    assert_eq!(door.arrivals.since(0, 999).0, *door.announced.lock().unwrap());
    // While the first sync is held, at most seven batches are on their way; the others are full.
    assert!(door.disk.appends() <= 7 + 300 / 64, "{} syncs for 300 transactions", door.disk.appends());
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_disk_cannot_hold_is_refused_and_taken_back() {
    let (door, folder) = Door::open();
    door.submit(raw_transfer(1, 0, 5)).await.unwrap();
    let before = door.waiting();
    door.disk.fail(true);
    // A new one, one twice, and one that would replace what is there.
    let refused = [raw_transfer(1, 1, 5), raw_transfer(1, 1, 5), raw_call(1, 0, 2_000, vec![1])];
    for answer in door.submit_all(refused.clone()).await {
        let error = answer.unwrap_err();
        assert!(error.is_ours() && error.is_retryable(), "{error}");
        assert!(error.to_string().contains("cannot store it durably"), "{error}");
    }
    assert_eq!(door.waiting(), before);
    assert_eq!(door.announced.lock().unwrap().len(), 1);
    assert_eq!(door.arrivals.count(), 1, "told of what was taken back");
    // The next one finds the disk well, and a new file takes the place of what the failure left.
    door.disk.fail(false);
    assert!(door.submit(raw_transfer(1, 1, 7)).await.is_ok());
    let expected = door.waiting();
    door.close().await;
    let again = Door::open_in(folder.path(), &Final::default());
    assert_eq!(again.waiting(), expected);
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_were_told_is_accepted_survives_a_restart_and_peers_hear_of_it_again() {
    let (door, folder) = Door::open();
    let known = |raw| Transaction::decode(raw).unwrap();
    // Executable, gapped, replaced by the same user, replaced by way of a peer, brought by a peer and then sent as well.
    let gapped: Vec<Bytes> = (70..80).map(|nonce| raw_transfer(2, nonce, 5)).collect();
    door.submit(raw_transfer(1, 0, 5)).await.unwrap();
    assert!(door.submit_all(gapped.clone()).await.iter().all(Result::is_ok));
    let (old, new) = (raw_transfer(3, 0, 5), raw_call(3, 0, 2_000, vec![1]));
    door.submit(old.clone()).await.unwrap();
    door.submit(new.clone()).await.unwrap();
    let (lost, by_peer) = (raw_transfer(4, 0, 5), raw_call(4, 0, 2_000, vec![1]));
    door.submit(lost.clone()).await.unwrap();
    let brought = raw_transfer(5, 0, 5);
    door.admission.gossiped(vec![known(by_peer.clone()), known(brought.clone())]);
    // Behind what peers brought in the same queue.
    while !door.waiting().contains(known(brought.clone()).hash()) {
        tokio::task::yield_now().await;
    }
    assert_eq!(door.submit(brought.clone()).await, Err(baton_mempool::PoolError::AlreadyKnown.into()));
    let since = door.pool.lock().unwrap().added_ms(known(brought.clone()).hash());
    door.close().await;

    let used = Final(BTreeMap::from([(transfer(1, 0, 5).sender(), 1)]));
    let again = Door::open_in(folder.path(), &used);
    let mut expected: Vec<TxHash> =
        gapped.into_iter().chain([new, brought.clone()]).map(|raw| *known(raw).hash()).collect();
    let mut waiting = again.waiting();
    expected.sort_unstable();
    waiting.sort_unstable();
    assert_eq!(waiting, expected, "the used, the replaced and what only peers brought are not here");
    assert_eq!(again.pool.lock().unwrap().added_ms(known(brought).hash()), since);
    again.work.notified().await;
    let mut announced = again.announced.lock().unwrap().clone();
    announced.sort_unstable();
    assert_eq!(announced, expected);
    again.close().await;
}

/// Waits until the pool has what peers brought.
async fn brought(door: &Door, raw: Bytes) {
    let transaction = Transaction::decode(raw).unwrap();
    let hash = *transaction.hash();
    door.admission.gossiped(vec![transaction]);
    while !door.waiting().contains(&hash) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_replaced_does_not_come_back_once_its_replacement_is_gone() {
    let (door, folder) = Door::open();
    let (old, new, by_peer) = (raw_transfer(1, 0, 5), raw_call(1, 0, 2_000, vec![1]), raw_call(1, 0, 4_000, vec![2]));
    door.submit(old).await.unwrap();
    door.submit(new).await.unwrap();
    // A peer's is not held durably, so of all three the journal could only bring back the first.
    brought(&door, by_peer).await;
    door.close().await;
    let again = Door::open_in(folder.path(), &Final::default());
    assert_eq!(again.waiting(), Vec::<TxHash>::new());
    again.close().await;
}

/// On one thread, so that both submissions wait before anything takes them.
#[tokio::test]
async fn what_was_replaced_by_one_that_shares_its_sync_does_not_come_back_either() {
    let (door, folder) = Door::open();
    let (old, new, by_peer) = (raw_transfer(1, 0, 5), raw_call(1, 0, 2_000, vec![1]), raw_call(1, 0, 4_000, vec![2]));
    assert!(door.submit_all([old, new]).await.iter().all(Result::is_ok));
    assert_eq!(door.disk.appends(), 1);
    brought(&door, by_peer).await;
    door.close().await;
    let again = Door::open_in(folder.path(), &Final::default());
    assert_eq!(again.waiting(), Vec::<TxHash>::new());
    again.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_outgrows_its_bounds_is_written_anew_with_what_still_waits() {
    let folder = tempfile::tempdir().unwrap();
    let bounds = JournalBounds { records_max: 8, bytes_max: 1 << 20 };
    let door = Door::open_with(folder.path(), &Final::default(), bounds);
    let sender = transfer(1, 0, 5).sender();
    for nonce in 0..100 {
        door.submit(raw_transfer(1, nonce, 5)).await.unwrap();
        // All but the last three become final.
        let next = nonce.saturating_sub(2);
        door.settle(sender, next);
    }
    let size = std::fs::metadata(folder.path().join("transactions.journal")).unwrap().len();
    assert!(size < 16 * 200, "{size} bytes for three transactions that wait");
    let expected = door.waiting();
    door.close().await;
    let again = Door::open_in(folder.path(), &Final([(sender, 97)].into()));
    assert_eq!(again.waiting(), expected);
    again.close().await;
}

#[tokio::test]
async fn a_restart_renews_no_life_and_believes_no_clock_that_was_ahead() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _, _) = journal_in(folder.path(), JournalBounds::of(&config()));
    journal.rewrite(Vec::new()).unwrap();
    let now = now_ms();
    let at = |nonce, at_ms| (at_ms, transfer(1, nonce, 5));
    let minute = 60_000;
    let records = [at(0, now - config().lifetime_ms - minute), at(1, now - minute), at(2, now + 10 * minute)];
    journal.append(&records, &[]).unwrap();
    drop(journal);
    let (mut journal, kept, _) = journal_in(folder.path(), JournalBounds::of(&config()));
    let pool = restore(&mut journal, kept, config(), &Final::default(), &Senders::new()).unwrap();
    assert_eq!(pool.transactions().map(Transaction::nonce).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(pool.added_ms(records[1].1.hash()), Some(now - minute));
    assert!(pool.added_ms(records[2].1.hash()).unwrap() <= now_ms());
    assert!(!journal.holds(records[0].1.hash()) && journal.holds(records[1].1.hash()));
}

#[tokio::test]
async fn of_one_account_and_nonce_the_last_accepted_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _, _) = journal_in(folder.path(), JournalBounds::of(&config()));
    journal.rewrite(Vec::new()).unwrap();
    // The first was evicted, so the second did not have to outbid it.
    let (evicted, last) = (transfer(1, 0, 900), transfer(1, 0, 5));
    journal.append(&[(now_ms(), evicted), (now_ms(), last.clone())], &[]).unwrap();
    let (mut journal, kept, _) = journal_in(folder.path(), JournalBounds::of(&config()));
    let pool = restore(&mut journal, kept, config(), &Final::default(), &Senders::new()).unwrap();
    assert_eq!(pool.transactions().collect::<Vec<_>>(), [&last]);
}
