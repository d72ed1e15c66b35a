//! Sorting what the network brings: consensus to the checks, batches to the batcher, transactions to the pool, questions to
//! the ledger, announcements to their judge.

use std::sync::Arc;

use baton_proto::{
    Epoch, Epochs, MemberIndex,
    wire::{ConsensusMessage, SyncRequest, SyncResponse},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tracing::{debug, info, warn};

use super::{consensus::Stages, early::Early};
use crate::{
    admission::Admission, batcher::BatchMessage, driver::Checked, epoch::EpochBook, ledger::Ledger, p2p::NetworkEvent,
    sync::answer,
};

/// Peers' questions that are answered at a time; reading a range takes milliseconds and must not crowd out voting.
/// More than strangers may ask at once, so that a member always finds a place.
const ANSWERS_AT_ONCE: usize = 6;

/// Members' questions for a proposal's transactions that are answered at a time: out of memory and in well under a
/// millisecond while the block is new.
const PARTS_AT_ONCE: usize = 4;

/// Where messages go.
pub(super) struct Routing {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) epochs: Epochs,
    pub(super) book: EpochBook,
    pub(super) admission: Arc<Admission>,
    pub(super) stages: watch::Receiver<Stages>,
    pub(super) batches: mpsc::Sender<BatchMessage>,
}

impl Routing {
    /// Runs until the network ends.
    pub(super) async fn run(self, mut events: mpsc::Receiver<NetworkEvent>) -> Result<(), &'static str> {
        let answering = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
        let parts = Arc::new(Semaphore::new(PARTS_AT_ONCE));
        let mut begins = self.stages.clone();
        let mut early = Early::default();
        loop {
            let event = tokio::select! {
                // What came too early is handed on before what comes now.
                biased;
                Ok(()) = begins.changed() => {
                    let stages = begins.borrow_and_update().clone();
                    self.hand_on(&mut early, &stages).await;
                    continue;
                }
                event = events.recv() => event,
            };
            let Some(event) = event else { return Err("the network ended") };
            match event {
                NetworkEvent::Consensus { epoch, from, message } => {
                    if message.epoch() > epoch
                        && let Some(member) = self.book.of(epoch).and_then(|of| of.committee.member(from).cloned())
                    {
                        early.keep(member.key, &message);
                    }
                    self.consensus(epoch, from, message).await;
                }
                NetworkEvent::Transactions { transactions, .. } => {
                    self.admission.gossiped(transactions);
                }
                NetworkEvent::Announced { announcement, verdict, .. } => {
                    // Dropped, it is ignored: gossip brings the next one.
                    if self.stages.borrow().announced.try_send((announcement, verdict)).is_err() {
                        debug!("dropped an announcement");
                    }
                }
                NetworkEvent::SyncRequest { request: request @ SyncRequest::Transactions { .. }, respond, .. } => {
                    // All members may ask for a proposal's transactions in the same moment, and none of them has time to
                    // ask twice: they wait for each other. The network bounds how many, and for how long.
                    let (parts, ledger, epochs) = (Arc::clone(&parts), Arc::clone(&self.ledger), self.epochs);
                    tokio::spawn(async move {
                        let Ok(permit) = parts.acquire_owned().await else { return };
                        // Whoever waited too long has asked another.
                        if respond.is_closed() {
                            return;
                        }
                        tokio::task::spawn_blocking(move || reply(ledger.as_ref(), epochs, request, respond, permit));
                    });
                }
                NetworkEvent::SyncRequest { request, respond, .. } => {
                    // Whoever cannot be answered now asks another; the network says "unavailable" for us.
                    let Ok(permit) = Arc::clone(&answering).try_acquire_owned() else { continue };
                    let (ledger, epochs) = (Arc::clone(&self.ledger), self.epochs);
                    tokio::task::spawn_blocking(move || reply(ledger.as_ref(), epochs, request, respond, permit));
                }
                NetworkEvent::MemberConnected { epoch, member } => {
                    info!(%epoch, %member, "member connected");
                    if let Some(stages) = stages_of(&self.stages, epoch).await {
                        // Between two epochs nobody listens, and who joins one tells everybody what it knows anyway.
                        let _ = stages.checked.send(Checked::Connected(member)).await;
                    }
                }
                NetworkEvent::MemberDisconnected { epoch, member } => info!(%epoch, %member, "member disconnected"),
                NetworkEvent::PeerRefused { peer, reason } => warn!(%peer, %reason, "peer refused"),
            }
        }
    }

    /// Hands on what came before the epoch of `stages` had begun, as from where that epoch has its senders.
    async fn hand_on(&self, early: &mut Early, stages: &Stages) {
        let Some(context) = self.book.of(stages.epoch) else { return };
        for (key, message) in early.take(stages.epoch) {
            if let Some(from) = context.committee.index_of_key(&key) {
                // When this epoch is over too, nobody misses it.
                let _ = stages.consensus.send((from, message)).await;
            }
        }
    }

    /// `from` is a member of `epoch`, which the message is about, or which runs while it is about a later one.
    async fn consensus(&self, epoch: Epoch, from: MemberIndex, message: ConsensusMessage) {
        match message {
            ConsensusMessage::BatchProposal { .. } | ConsensusMessage::Attestation(_) => {
                // A full queue means that L1 is far behind; batch messages are sent again until they are posted.
                if self.batches.try_send(BatchMessage { epoch, from, message }).is_err() {
                    debug!(%from, "dropped a batch message");
                }
            }
            message => {
                let Some(stages) = stages_of(&self.stages, epoch).await else { return };
                if stages.consensus.send((from, message)).await.is_err() {
                    debug!(%from, "dropped a message between two epochs");
                }
            }
        }
    }
}

/// Returns where messages of `epoch` go, or `None` if that one is over. One that the network knows already is about to
/// begin: its first messages wait for that, and so do those behind them.
async fn stages_of(stages: &watch::Receiver<Stages>, epoch: Epoch) -> Option<Stages> {
    let mut stages = stages.clone();
    let begun = stages.wait_for(|stages| stages.epoch >= epoch).await.ok()?.clone();
    (begun.epoch == epoch).then_some(begun)
}

fn reply(
    ledger: &dyn Ledger,
    epochs: Epochs,
    request: SyncRequest,
    respond: oneshot::Sender<SyncResponse>,
    permit: OwnedSemaphorePermit,
) {
    match answer(ledger, epochs, request) {
        Ok(response) => drop(respond.send(response)),
        Err(error) => warn!(%error, "a peer's question could not be answered"),
    }
    drop(permit);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Limit of every wait; a test that is well takes a fraction of it.
    const LIMIT: Duration = Duration::from_secs(60);

    fn stages(epoch: u64) -> Stages {
        Stages {
            epoch: Epoch::new(epoch),
            consensus: mpsc::channel(1).0,
            checked: mpsc::channel(1).0,
            announced: mpsc::channel(1).0,
        }
    }

    #[tokio::test]
    async fn an_epochs_first_messages_wait_until_it_begins_and_late_ones_are_dropped() {
        let (begin, begun) = watch::channel(stages(2));
        let epoch =
            async |epoch| Some(timeout(LIMIT, stages_of(&begun, Epoch::new(epoch))).await.unwrap()?.epoch.get());
        assert_eq!((epoch(2).await, epoch(1).await), (Some(2), None));
        let waiting = stages_of(&begun, Epoch::new(5));
        tokio::pin!(waiting);
        assert!(futures::poll!(&mut waiting).is_pending());
        // Epochs may be skipped.
        begin.send_replace(stages(4));
        assert!(futures::poll!(&mut waiting).is_pending());
        begin.send_replace(stages(5));
        assert_eq!(timeout(LIMIT, waiting).await.unwrap().unwrap().epoch, Epoch::new(5));
        assert_eq!((epoch(5).await, epoch(4).await), (Some(5), None));
        // Nobody waits for an epoch that does not begin because the node ends.
        drop(begin);
        assert_eq!(epoch(6).await, None);
    }
}
