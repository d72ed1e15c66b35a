//! Sorting what the network brings: consensus to the checks, batches to the batcher, transactions to the pool, questions to
//! the ledger, announcements to their judge.

use std::sync::Arc;

use baton_proto::{
    MemberIndex,
    wire::{ConsensusMessage, SyncRequest, SyncResponse},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::{debug, info, warn};

use crate::{
    admission::Admission,
    batcher::BatchMessage,
    driver::{Checked, Heard},
    ledger::Ledger,
    p2p::NetworkEvent,
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
    pub(super) admission: Arc<Admission>,
    pub(super) consensus: mpsc::Sender<(MemberIndex, ConsensusMessage)>,
    pub(super) checked: mpsc::Sender<Checked>,
    pub(super) batches: mpsc::Sender<BatchMessage>,
    pub(super) announced: mpsc::Sender<Heard>,
}

impl Routing {
    /// Runs until the network ends or a stage behind it does.
    pub(super) async fn run(self, mut events: mpsc::Receiver<NetworkEvent>) -> Result<(), &'static str> {
        let answering = Arc::new(Semaphore::new(ANSWERS_AT_ONCE));
        let parts = Arc::new(Semaphore::new(PARTS_AT_ONCE));
        while let Some(event) = events.recv().await {
            match event {
                NetworkEvent::Consensus { from, message } => self.consensus(from, message).await?,
                NetworkEvent::Transactions { transactions, .. } => {
                    self.admission.gossiped(transactions);
                }
                NetworkEvent::Announced { announcement, verdict, .. } => {
                    // Dropped, it is ignored: gossip brings the next one.
                    if self.announced.try_send((announcement, verdict)).is_err() {
                        debug!("dropped an announcement");
                    }
                }
                NetworkEvent::SyncRequest { request: request @ SyncRequest::Transactions { .. }, respond, .. } => {
                    // All members may ask for a proposal's transactions in the same moment, and none of them has time to
                    // ask twice: they wait for each other. The network bounds how many, and for how long.
                    let (parts, ledger) = (Arc::clone(&parts), Arc::clone(&self.ledger));
                    tokio::spawn(async move {
                        let Ok(permit) = parts.acquire_owned().await else { return };
                        // Whoever waited too long has asked another.
                        if respond.is_closed() {
                            return;
                        }
                        tokio::task::spawn_blocking(move || reply(ledger.as_ref(), request, respond, permit));
                    });
                }
                NetworkEvent::SyncRequest { request, respond, .. } => {
                    // Whoever cannot be answered now asks another; the network says "unavailable" for us.
                    let Ok(permit) = Arc::clone(&answering).try_acquire_owned() else { continue };
                    let ledger = Arc::clone(&self.ledger);
                    tokio::task::spawn_blocking(move || reply(ledger.as_ref(), request, respond, permit));
                }
                NetworkEvent::MemberConnected(member) => {
                    info!(%member, "member connected");
                    self.checked.send(Checked::Connected(member)).await.map_err(|_| "the driver ended")?;
                }
                NetworkEvent::MemberDisconnected(member) => info!(%member, "member disconnected"),
                NetworkEvent::PeerRefused { peer, reason } => warn!(%peer, %reason, "peer refused"),
            }
        }
        Err("the network ended")
    }

    async fn consensus(&self, from: MemberIndex, message: ConsensusMessage) -> Result<(), &'static str> {
        match message {
            ConsensusMessage::BatchProposal { .. } | ConsensusMessage::Attestation(_) => {
                // A full queue means that L1 is far behind; batch messages are sent again until they are posted.
                if self.batches.try_send(BatchMessage { from, message }).is_err() {
                    debug!(%from, "dropped a batch message");
                }
                Ok(())
            }
            message => self.consensus.send((from, message)).await.map_err(|_| "the message checks ended"),
        }
    }
}

fn reply(
    ledger: &dyn Ledger,
    request: SyncRequest,
    respond: oneshot::Sender<SyncResponse>,
    permit: OwnedSemaphorePermit,
) {
    match answer(ledger, request) {
        Ok(response) => drop(respond.send(response)),
        Err(error) => warn!(%error, "a peer's question could not be answered"),
    }
    drop(permit);
}
