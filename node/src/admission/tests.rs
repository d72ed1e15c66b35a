//! The door as users and peers meet it.

use std::sync::Mutex;

use alloy_primitives::Address;
use baton_mempool::PoolConfig;
use baton_proto::{Domain, L1ChainId, L2ChainId, OrderingRule};
use futures::FutureExt as _;

use super::{
    testing::{CHAIN_ID, raw_call, raw_transfer, transfer},
    *,
};
use crate::ledger::{ChainIdentity, MemoryLedger};

struct Door {
    admission: Arc<Admission>,
    pool: Arc<Mutex<Pool>>,
    senders: Arc<Senders>,
    work: Arc<Notify>,
    announced: Arc<Mutex<Vec<TxHash>>>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), &'static str>>,
}

impl Door {
    fn open() -> Self {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0xaa),
            l2_chain_id: L2ChainId::new(CHAIN_ID),
        };
        let identity = ChainIdentity { domain, inbox: Address::repeat_byte(0xbb), slasher: Address::repeat_byte(0xcc) };
        let config = PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee);
        let pool = Arc::new(Mutex::new(Pool::new(config)));
        let senders = Arc::new(Senders::new());
        let work = Arc::new(Notify::new());
        let announced = Arc::new(Mutex::new(Vec::new()));
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
        };
        let (admission, task) = Admission::new(context, stop.clone());
        Self { admission, pool, senders, work, announced, stop, task: tokio::spawn(task) }
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
    let door = Door::open();
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
    let door = Door::open();
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
async fn no_sender_is_recovered_twice() {
    let door = Door::open();
    let known = PoolAndSenders { pool: Arc::clone(&door.pool), senders: Arc::clone(&door.senders) };
    // By gossip, by a user, in a proposal while it waits, and by sync when the pool has it no more.
    let raw = raw_transfer(1, 0, 5);
    let gossiped = known.decode_any(raw.clone());
    door.admission.gossiped(vec![gossiped.clone()]);
    door.work.notified().await;
    assert_eq!(door.submit_all([raw.clone()]).await[0].as_ref().unwrap_err().to_string(), "already known");
    assert_eq!(known.decode_any(raw.clone()).raw().as_ptr(), gossiped.raw().as_ptr(), "the pool's own is shared");
    door.pool.lock().unwrap().on_final(&[(gossiped.sender(), 1)].into(), &[*gossiped.hash()]);
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
    let door = Door::open();
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
    let door = Door::open();
    let admission = Arc::clone(&door.admission);
    door.close().await;
    assert_eq!(admission.submit(raw_transfer(1, 0, 5)).await, Err(SubmitError::Stopping));
}
