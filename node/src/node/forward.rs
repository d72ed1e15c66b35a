//! Handing users' transactions to those who lead next, past gossip.
//!
//! Gossip brings a transaction everywhere in the end; the next leader should have it at once, whatever the mesh does. So
//! what this node accepted from its users goes straight to the two members that lead next, in batches, from sequencers and
//! followers alike. Nobody waits for it, and what cannot be sent is left to gossip.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::Future,
    sync::Arc,
    time::Duration,
};

use baton_consensus::Schedule;
use baton_proto::{
    Epoch, MemberIndex, Transaction, View,
    limits::{FORWARD_BYTES_MAX, FORWARD_TRANSACTIONS_MAX},
    wire::{SyncRequest, SyncResponse},
};
use tokio::{
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    driver::DriverStatus,
    epoch::EpochBook,
    p2p::{DropQueue, Network},
};

/// Members that each transaction goes to.
const LEADERS: usize = 2;

/// Views that are looked through for them: a heavy member leads several in a row, never so many.
const LOOK_VIEWS: u64 = 16;

/// Most transactions that wait to be forwarded, and their most bytes: one second at several thousand per second. When
/// more come, the stalest go.
const QUEUE_MAX: usize = 8_192;
const QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Pause between two batches; what comes meanwhile goes together.
const BATCH_EVERY: Duration = Duration::from_millis(20);

/// Most batches that one leader has not answered yet: over a round trip of 160 ms none is left out.
const UNANSWERED_MAX: usize = 8;

/// Longest wait for a leader's answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Who can be handed transactions.
pub(super) trait Takers {
    /// The members of an epoch that are connected.
    fn connected(&self, epoch: Epoch) -> BTreeSet<MemberIndex>;

    /// Hands transactions to a member of an epoch.
    fn give(&self, epoch: Epoch, to: MemberIndex, request: SyncRequest) -> impl Future<Output = ()> + Send + 'static;
}

impl Takers for Network {
    fn connected(&self, epoch: Epoch) -> BTreeSet<MemberIndex> {
        self.at(epoch).connected_members().into_iter().collect()
    }

    fn give(&self, epoch: Epoch, to: MemberIndex, request: SyncRequest) -> impl Future<Output = ()> + Send + 'static {
        let network = self.at(epoch);
        async move {
            match network.request(to, request).await {
                Ok(SyncResponse::Taken(count)) => debug!(%to, count, "transactions forwarded"),
                Ok(_) => debug!(%to, "a leader is too busy for forwarded transactions"),
                Err(error) => debug!(%to, %error, "transactions not forwarded"),
            }
        }
    }
}

/// Where users' transactions wait to be handed on. A cheap handle.
#[derive(Clone)]
pub(super) struct Forwarder(Arc<DropQueue<Transaction>>);

impl Forwarder {
    pub(super) fn new() -> Self {
        Self(Arc::new(DropQueue::new(QUEUE_MAX, QUEUE_BYTES_MAX)))
    }

    /// Takes in transactions that this node accepted from its users; never waits.
    pub(super) fn forward(&self, transactions: &[Transaction]) {
        for transaction in transactions {
            self.0.push(transaction.clone(), transaction.raw().len());
        }
    }

    /// Hands on what comes in until `stop`.
    pub(super) async fn run<T: Takers>(
        self,
        takers: T,
        epochs: EpochBook,
        driver: watch::Receiver<DriverStatus>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        let mut places: BTreeMap<MemberIndex, Arc<Semaphore>> = BTreeMap::new();
        while let Some(first) = stop.run_until_cancelled(self.0.pop()).await {
            let batch = self.batch(first);
            let (epoch, view) = (epochs.running(), driver.borrow().view);
            let connected = takers.connected(epoch.epoch);
            for leader in next_leaders(&epoch.leaders, view, epoch.me()) {
                let places = places.entry(leader).or_insert_with(|| Arc::new(Semaphore::new(UNANSWERED_MAX)));
                let Some(place) =
                    connected.contains(&leader).then(|| Arc::clone(places).try_acquire_owned().ok()).flatten()
                else {
                    continue;
                };
                let giving = takers.give(epoch.epoch, leader, batch.clone());
                tokio::spawn(async move {
                    if timeout(ANSWER_WITHIN, giving).await.is_err() {
                        debug!(%leader, "a leader does not answer to forwarded transactions");
                    }
                    drop(place);
                });
            }
            sleep(BATCH_EVERY).await;
        }
        Ok(())
    }

    /// Gathers what waits behind `first`, as much as one message holds.
    fn batch(&self, first: Transaction) -> SyncRequest {
        let mut bytes = first.raw().len();
        let mut batch = vec![first.raw().clone()];
        while batch.len() < FORWARD_TRANSACTIONS_MAX
            && let Some(next) = self.0.try_pop()
        {
            let weight = next.raw().len();
            if bytes + weight > FORWARD_BYTES_MAX {
                // If it has no room any more, fresher ones came, and gossip has it too.
                self.0.put_back(next, weight);
                break;
            }
            bytes += weight;
            batch.push(next.raw().clone());
        }
        SyncRequest::Take(batch)
    }
}

/// Returns the first two members, other than ourselves, that lead from view `from` on. The leader of the running view is
/// one of them: without transactions it waits for some.
fn next_leaders(leaders: &Schedule, from: View, me: Option<MemberIndex>) -> Vec<MemberIndex> {
    let mut next = Vec::with_capacity(LEADERS);
    for view in (from.get()..=from.get().saturating_add(LOOK_VIEWS)).map(View::new) {
        let leader = leaders.leader(view);
        if Some(leader) != me && !next.contains(&leader) {
            next.push(leader);
        }
        if next.len() == LEADERS {
            break;
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;
    use crate::driver::testing::{World, transfer};

    /// Limit of every wait; a test that is well takes a fraction of it.
    const LIMIT: Duration = Duration::from_secs(60);

    struct Fake {
        connected: Arc<Mutex<BTreeSet<MemberIndex>>>,
        given: mpsc::UnboundedSender<(MemberIndex, usize)>,
        silent: Option<MemberIndex>,
    }

    impl Takers for Fake {
        fn connected(&self, _: Epoch) -> BTreeSet<MemberIndex> {
            self.connected.lock().unwrap().clone()
        }

        fn give(&self, _: Epoch, to: MemberIndex, request: SyncRequest) -> impl Future<Output = ()> + Send + 'static {
            let SyncRequest::Take(transactions) = request else { panic!("{request:?}") };
            let bytes: usize = transactions.iter().map(|raw| raw.len()).sum();
            assert!(transactions.len() <= FORWARD_TRANSACTIONS_MAX && bytes <= FORWARD_BYTES_MAX);
            self.given.send((to, transactions.len())).unwrap();
            let is_silent = self.silent == Some(to);
            async move {
                if is_silent {
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    fn schedule(world: &World) -> Schedule {
        world.epoch().leaders.clone()
    }

    #[test]
    fn the_next_two_leaders_are_two_others() {
        let world = World::new(&[32, 28, 22, 18]);
        let leaders = schedule(&world);
        for view in 1..300 {
            for me in [None, Some(MemberIndex::new(0)), Some(MemberIndex::new(3))] {
                let next = next_leaders(&leaders, View::new(view), me);
                assert!(next.len() == 2 && next[0] != next[1] && !next.contains(&me.unwrap_or(MemberIndex::new(9))));
                let now = leaders.leader(View::new(view));
                assert!(Some(now) == me || next[0] == now);
            }
        }
        let alone = World::new(&[1]);
        assert!(next_leaders(&schedule(&alone), View::new(1), Some(MemberIndex::new(0))).is_empty());
    }

    #[tokio::test]
    async fn batches_go_to_the_leaders_that_are_connected_and_a_silent_one_holds_up_nobody() {
        let world = World::new(&[1, 1, 1, 1]);
        let leaders = schedule(&world);
        let (first, second) = match next_leaders(&leaders, View::new(1), None)[..] {
            [first, second] => (first, second),
            ref other => panic!("{other:?}"),
        };
        let (given, mut seen) = mpsc::unbounded_channel();
        let connected = Arc::new(Mutex::new(BTreeSet::from([first])));
        let fake = Fake { connected: Arc::clone(&connected), given, silent: Some(first) };
        let status = DriverStatus { view: View::new(1), ..DriverStatus::default() };
        let (_driver, driver_seen) = watch::channel(status);
        let (forwarder, stop) = (Forwarder::new(), CancellationToken::new());
        // Given before anybody takes them, they go together, as many as a message holds.
        let one = transfer(0, 0);
        forwarder.forward(&vec![one.clone(); FORWARD_TRANSACTIONS_MAX + 3]);
        let running =
            tokio::spawn(forwarder.clone().run(fake, EpochBook::new(world.epoch()), driver_seen, stop.clone()));
        let mut next = async || timeout(LIMIT, seen.recv()).await.expect("in time").unwrap();
        for count in [FORWARD_TRANSACTIONS_MAX, 3] {
            assert_eq!(next().await, (first, count), "the other is not connected");
        }
        connected.lock().unwrap().insert(second);
        // The silent one is left out once it owes too many answers; the other goes on.
        for owed in 2..UNANSWERED_MAX + 2 {
            forwarder.forward(std::slice::from_ref(&one));
            if owed < UNANSWERED_MAX {
                assert_eq!(next().await, (first, 1));
            }
            assert_eq!(next().await, (second, 1));
        }
        stop.cancel();
        assert!(timeout(LIMIT, running).await.expect("in time").unwrap().is_ok());
        assert!(seen.try_recv().is_err());
    }

    #[test]
    fn a_batch_holds_what_one_message_does() {
        let forwarder = Forwarder::new();
        let large = transfer(0, 100 * 1024);
        forwarder.forward(&[large.clone(), large.clone()]);
        for _ in 0..2 {
            let SyncRequest::Take(batch) = forwarder.batch(forwarder.0.try_pop().unwrap()) else { unreachable!() };
            assert_eq!(batch, [large.raw().clone()]);
        }
        assert!(forwarder.0.try_pop().is_none());
    }
}
