//! Sorting what the network brings: consensus to the checks, batches to the batcher, transactions to the pool, questions to
//! the ledger, announcements to their judge.

use std::sync::Arc;

use baton_proto::{
    Epoch, Epochs, MemberIndex, Transaction,
    wire::{Announcement, ConsensusMessage, SyncRequest, SyncResponse},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, mpsc::error::SendError, oneshot, watch};
use tracing::{debug, info, warn};

use super::{
    bygone::{Bygone, Old},
    consensus::Stages,
    early::Early,
    late::{Late, Unheard},
};
use crate::{
    batcher::BatchMessage,
    driver::Checked,
    epoch::EpochBook,
    ledger::{Ledger, end_of_epoch},
    p2p::{NetworkEvent, Outbound},
    sync::answer,
};

/// Peers' questions that are answered at a time; reading a range takes milliseconds and must not crowd out voting.
/// More than strangers may ask at once, so that a member always finds a place.
const ANSWERS_AT_ONCE: usize = 6;

/// Members' questions for a proposal's transactions that are answered at a time: out of memory and in well under a
/// millisecond while the block is new.
const PARTS_AT_ONCE: usize = 4;

/// Members' questions about epochs that have ended that are answered at a time; who is not answered asks again.
pub(super) const ENDS_AT_ONCE: usize = 2;

/// Where messages go.
pub(super) struct Routing {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) epochs: Epochs,
    pub(super) book: EpochBook,
    /// Takes in what gossip brought.
    pub(super) gossiped: Box<dyn Fn(Vec<Transaction>) + Send + Sync>,
    pub(super) stages: watch::Receiver<Stages>,
    pub(super) batches: mpsc::Sender<BatchMessage>,
    pub(super) outbound: Arc<dyn Outbound>,
    /// Places for questions how an epoch ended.
    pub(super) ends: Arc<Semaphore>,
    /// Who judges what is about epochs that the book knows no more.
    pub(super) bygone: mpsc::Sender<Bygone>,
    /// Who hears what is said of epochs that have ended.
    pub(super) late: Late,
    /// What nobody heard of an epoch while it ended.
    pub(super) unheard: mpsc::Receiver<Unheard>,
}

impl Routing {
    /// Runs until the network ends.
    pub(super) async fn run(mut self, mut events: mpsc::Receiver<NetworkEvent>) -> Result<(), &'static str> {
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
                Some(unheard) = self.unheard.recv() => {
                    self.late.hear_once_over(unheard);
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
                        // It may have begun while the message was on its way here.
                        let stages = self.stages.borrow().clone();
                        if stages.epoch >= message.epoch() {
                            self.hand_on(&mut early, &stages).await;
                            continue;
                        }
                    }
                    self.consensus(epoch, from, message).await;
                }
                NetworkEvent::Transactions { transactions, .. } => {
                    (self.gossiped)(transactions);
                }
                NetworkEvent::Announced { announcement, verdict, .. } if self.is_bygone(epoch_of(&announcement)) => {
                    let old = match announcement {
                        Announcement::Evidence(evidence) => Old::Evidence(Box::new(evidence)),
                        Announcement::Final(header) => Old::Final(Box::new(header.finalization)),
                    };
                    if self.bygone.try_send((old, verdict)).is_err() {
                        debug!("dropped an announcement about an epoch that is forgotten");
                    }
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

    /// Whether an epoch is over and so long gone that the book does not know it.
    fn is_bygone(&self, epoch: Epoch) -> bool {
        epoch < self.stages.borrow().epoch && self.book.of(epoch).is_none()
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

    /// Tells a member that asks about an epoch that has ended how it ended: whatever it missed, that proves that it is over.
    fn tell_end(&self, epoch: Epoch, to: MemberIndex) {
        let Ok(permit) = Arc::clone(&self.ends).try_acquire_owned() else { return };
        let (ledger, epochs, outbound) = (Arc::clone(&self.ledger), self.epochs, Arc::clone(&self.outbound));
        tokio::task::spawn_blocking(move || {
            match end_of_epoch(ledger.as_ref(), epoch, |header| epochs.ends_with(header)) {
                Ok(Some((_, finalization))) => outbound.send(to, ConsensusMessage::Certificate(finalization)),
                Ok(None) => debug!(%epoch, %to, "the end of an epoch that a member asks about is not known here"),
                Err(error) => warn!(%error, "the end of an epoch could not be read"),
            }
            drop(permit);
        });
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
            ConsensusMessage::CertificateRequest { epoch: about, .. } if about < self.stages.borrow().epoch => {
                self.tell_end(about, from);
            }
            message if message.epoch() < self.stages.borrow().epoch => self.late.hear(epoch, from, message),
            message => {
                let Some(stages) = stages_of(&self.stages, epoch).await else { return };
                if message.epoch() < stages.epoch {
                    // That one began meanwhile.
                    self.late.hear(epoch, from, message);
                } else if let Err(SendError(unheard)) = stages.consensus.send((from, message)).await
                    // What is about the epoch to come waits elsewhere.
                    && unheard.1.epoch() <= epoch
                {
                    self.late.hear_once_over((epoch, vec![unheard]));
                }
            }
        }
    }
}

/// Returns the epoch that an announcement is about.
fn epoch_of(announcement: &Announcement) -> Epoch {
    match announcement {
        Announcement::Final(header) => header.finalization.statement.epoch(),
        Announcement::Evidence(evidence) => evidence.epoch(),
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

    use alloy_primitives::{Address, B256};
    use baton_consensus::Verified;
    use baton_proto::{BlockDigest, Certificate, Evidence, L1BlockNumber, SignedStatement, Statement, View};
    use tokio::time::timeout;

    use super::{
        super::late::{ChargeMember, UNHEARD_MAX, tell},
        *,
    };
    use crate::{
        driver::{
            Heard, marked,
            testing::{World, child},
        },
        l1::testing::finalize,
        ledger::{ChainIdentity, KeptVote, MemoryLedger, VoteCheck},
        p2p::{Acceptance, Fault, PeerId},
    };

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

    const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::ZERO, blocks: 10 };

    /// Routing in epoch 3, where members 3 and 0 of epoch 2 sit in this order, with everything that it leads to.
    struct Here {
        world: World,
        ledger: Arc<MemoryLedger>,
        events: mpsc::Sender<NetworkEvent>,
        consensus: mpsc::Receiver<(MemberIndex, ConsensusMessage)>,
        announced: mpsc::Receiver<Heard>,
        checked: mpsc::Receiver<Checked>,
        bygone: mpsc::Receiver<Bygone>,
        sent: mpsc::UnboundedReceiver<(MemberIndex, ConsensusMessage)>,
        charged: mpsc::UnboundedReceiver<(Epoch, MemberIndex, Fault)>,
        leave: mpsc::Sender<Unheard>,
        stages: watch::Sender<Stages>,
    }

    struct Sent(mpsc::UnboundedSender<(MemberIndex, ConsensusMessage)>);

    impl Outbound for Sent {
        fn broadcast(&self, _: ConsensusMessage) {
            unreachable!("an answer is for who asks")
        }

        fn send(&self, to: MemberIndex, message: ConsensusMessage) {
            self.0.send((to, message)).unwrap();
        }
    }

    fn here() -> Here {
        let world = World::new(&[1, 1, 1, 1]);
        let before = world.epoch();
        let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
        ledger.init_genesis(&before.root).unwrap();
        let book = EpochBook::new(before);
        book.add(world.epoch_of(3, &[3, 0]));
        let (consensus, messages) = mpsc::channel(8);
        let (announced, heard) = mpsc::channel(8);
        let (told, checked) = mpsc::channel(8);
        let running = Stages { epoch: Epoch::new(3), consensus, checked: told, announced };
        let (running, stages) = watch::channel(running);
        let (outbound, sent) = mpsc::unbounded_channel();
        let (charge, charged) = mpsc::unbounded_channel();
        let (bygone, gone) = mpsc::channel(8);
        let charge: ChargeMember = Arc::new(move |epoch, member, fault| charge.send((epoch, member, fault)).unwrap());
        let held: Arc<dyn Ledger> = Arc::<MemoryLedger>::clone(&ledger);
        let late = Late::new(held, book.clone(), stages.clone(), charge, bygone.clone());
        let (leave, unheard) = mpsc::channel(UNHEARD_MAX);
        let routing = Routing {
            ledger: Arc::<MemoryLedger>::clone(&ledger),
            epochs: EPOCHS,
            book,
            gossiped: Box::new(|_| {}),
            stages,
            batches: mpsc::channel(1).0,
            outbound: Arc::new(Sent(outbound)),
            ends: Arc::new(Semaphore::new(ENDS_AT_ONCE)),
            bygone,
            late,
            unheard,
        };
        let (events, inbox) = mpsc::channel(8);
        tokio::spawn(routing.run(inbox));
        Here {
            world,
            ledger,
            events,
            consensus: messages,
            announced: heard,
            checked,
            bygone: gone,
            sent,
            charged,
            leave,
            stages: running,
        }
    }

    impl Here {
        /// Has a member of epoch 2 say something.
        async fn says(&self, from: u8, message: ConsensusMessage) {
            let event = NetworkEvent::Consensus { epoch: Epoch::new(2), from: MemberIndex::new(from), message };
            self.events.send(event).await.unwrap();
        }
    }

    async fn next<T>(inbox: impl Future<Output = Option<T>>) -> T {
        timeout(LIMIT, inbox).await.expect("in time").expect("routing runs")
    }

    #[tokio::test]
    async fn evidence_is_judged_by_who_knows_its_epoch() {
        let mut here = here();
        let announce = async |epoch: u64| {
            let vote = |block| {
                let block = BlockDigest::new(B256::repeat_byte(block));
                here.world.sign(3, Statement::Notarize { epoch: Epoch::new(epoch), view: View::new(7), block })
            };
            let announcement = Announcement::Evidence(Evidence::new(vote(1), vote(2)).unwrap());
            let event = NetworkEvent::Announced { from: PeerId::random(), announcement, verdict: oneshot::channel().0 };
            here.events.send(event).await.unwrap();
        };
        // Forgotten, remembered, running, and yet to come.
        for epoch in [1, 2, 3, 4] {
            announce(epoch).await;
        }
        let (Old::Evidence(evidence), _) = next(here.bygone.recv()).await else { panic!("evidence") };
        assert_eq!(evidence.epoch(), Epoch::new(1));
        for epoch in [2, 3, 4] {
            let (Announcement::Evidence(evidence), _) = next(here.announced.recv()).await else { panic!("evidence") };
            assert_eq!(evidence.epoch(), Epoch::new(epoch));
        }
        assert!(here.bygone.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_was_taken_before_its_epoch_began_here_is_not_lost() {
        let mut here = here();
        let nullify = Statement::Nullify { epoch: Epoch::new(3), view: View::new(1) };
        let message = ConsensusMessage::Vote { vote: here.world.sign(0, nullify), leader: None };
        here.says(0, message.clone()).await;
        // As from where that epoch has its sender.
        assert_eq!(next(here.consensus.recv()).await, (MemberIndex::new(1), message));
        // Who has left has no say there.
        let message = ConsensusMessage::Vote { vote: here.world.sign(1, nullify), leader: None };
        here.says(1, message).await;
        let message = ConsensusMessage::Vote { vote: here.world.sign(3, nullify), leader: None };
        here.says(3, message.clone()).await;
        assert_eq!(next(here.consensus.recv()).await, (MemberIndex::new(0), message));
    }

    #[tokio::test]
    async fn late_evidence_is_judged_and_who_brought_a_false_one_is_charged() {
        let mut here = here();
        let notarize = |fill| {
            let block = BlockDigest::new(B256::repeat_byte(fill));
            here.world.sign(1, Statement::Notarize { epoch: Epoch::new(2), view: View::new(9), block })
        };
        let evidence = Evidence::new(notarize(1), notarize(2)).unwrap();
        // Who brings it has no seat any more.
        for fault in [None, Some(Fault::InvalidSignature)] {
            here.says(2, ConsensusMessage::Evidence(evidence.clone())).await;
            let (announcement, verdict) = next(here.announced.recv()).await;
            assert_eq!(announcement, Announcement::Evidence(evidence.clone()));
            verdict.send(fault.map_or(Acceptance::Accept, Acceptance::Reject)).unwrap();
        }
        assert_eq!(next(here.charged.recv()).await, (Epoch::new(2), MemberIndex::new(2), Fault::InvalidSignature));
        assert!(here.charged.try_recv().is_err());
    }

    #[tokio::test]
    async fn who_contradicts_in_a_later_epoch_what_it_said_before_is_accused() {
        let mut here = here();
        let view = View::new(9);
        let finalize =
            Statement::Finalize { epoch: Epoch::new(2), view, block: BlockDigest::new(B256::repeat_byte(1)) };
        let nullify = Statement::Nullify { epoch: Epoch::new(2), view };
        let said = here.world.sign(1, finalize);
        here.ledger.keep_votes(&[KeptVote { signed: said.clone(), check: VoteCheck::Unchecked }]).unwrap();
        let vote = |signed: &SignedStatement| ConsensusMessage::Vote { vote: signed.clone(), leader: None };
        let forged =
            SignedStatement { signature: here.world.sign(2, nullify).signature, ..here.world.sign(1, nullify) };
        let honest = [here.world.sign(0, nullify), said.clone()];
        let (forged, liar) = (forged, here.world.sign(1, nullify));
        for signed in &honest {
            here.says(signed.signer.get(), vote(signed)).await;
        }
        // In another's stream it is nobody's word.
        here.says(2, vote(&liar)).await;
        for (signed, verdict) in [(forged, Acceptance::Reject(Fault::InvalidSignature)), (liar, Acceptance::Accept)] {
            here.says(1, vote(&signed)).await;
            let (announcement, judged) = next(here.announced.recv()).await;
            assert_eq!(announcement, Announcement::Evidence(Evidence::new(said.clone(), signed).unwrap()));
            judged.send(verdict).unwrap();
        }
        assert_eq!(next(here.charged.recv()).await, (Epoch::new(2), MemberIndex::new(1), Fault::InvalidSignature));
        assert!(here.charged.try_recv().is_err() && here.announced.try_recv().is_err());
        assert!(here.consensus.try_recv().is_err(), "nothing is decided there any more");
    }

    #[tokio::test]
    async fn certificates_of_an_epoch_that_is_over_are_compared_with_each_other() {
        let mut here = here();
        let (epoch, view) = (Epoch::new(2), View::new(9));
        let notarize = |fill| Statement::Notarize { epoch, view, block: BlockDigest::new(B256::repeat_byte(fill)) };
        let certificate = |statement| here.world.certify(&[0, 1, 2], statement);
        let forged = Certificate { signature: certificate(notarize(3)).signature, ..certificate(notarize(2)) };
        let [one, other] = [1, 2].map(|fill| certificate(notarize(fill)));
        // A view may be given up beside a notarization.
        here.says(0, ConsensusMessage::Certificate(certificate(Statement::Nullify { epoch, view }))).await;
        here.says(1, ConsensusMessage::Certificate(forged)).await;
        assert_eq!(next(here.charged.recv()).await, (epoch, MemberIndex::new(1), Fault::InvalidSignature));
        // However close they come.
        for half in [&one, &other] {
            here.says(2, ConsensusMessage::Certificate(half.clone())).await;
        }
        let told = next(here.checked.recv()).await;
        let Checked::Contradiction(broken) = told else { panic!("{told:?}") };
        let broken: Vec<Certificate> = broken.into_iter().map(Verified::into_inner).collect();
        assert!([&one, &other].iter().all(|half| broken.contains(half)) && broken.len() == 2, "{broken:?}");
        // What must not be lost is written down before anybody is told.
        assert!(marked(&*here.ledger).unwrap().is_some());
    }

    #[tokio::test]
    async fn who_sits_in_the_running_epoch_may_bring_certificates_of_earlier_ones() {
        let mut here = here();
        let view = View::new(9);
        let finalize = |epoch: u64, fill| {
            let block = BlockDigest::new(B256::repeat_byte(fill));
            here.world.certify(&[0, 1, 2], Statement::Finalize { epoch: Epoch::new(epoch), view, block })
        };
        let say = async |about: u64| {
            let message = ConsensusMessage::Certificate(finalize(about, 1));
            let event = NetworkEvent::Consensus { epoch: Epoch::new(3), from: MemberIndex::new(1), message };
            here.events.send(event).await.unwrap();
        };
        // One that the book forgot, and one that it knows: our chain has no such block.
        say(1).await;
        let (Old::Final(forgotten), _) = next(here.bygone.recv()).await else { panic!("a certificate") };
        assert_eq!(*forgotten, finalize(1, 1));
        say(2).await;
        assert!(matches!(next(here.checked.recv()).await, Checked::Contradiction(_)));
    }

    #[tokio::test]
    async fn what_nobody_heard_while_an_epoch_ended_is_heard_in_the_next() {
        let mut here = here();
        let (epoch, view) = (Epoch::new(3), View::new(9));
        let notarize = |fill| {
            let block = BlockDigest::new(B256::repeat_byte(fill));
            here.world.sign(3, Statement::Notarize { epoch, view, block })
        };
        // Of a member that has its seat 0 there.
        let pair = Evidence::new(notarize(1), notarize(2)).unwrap();
        let unheard = ConsensusMessage::Evidence(pair.clone());
        here.leave.send((epoch, vec![(MemberIndex::new(0), unheard)])).await.unwrap();
        // Routing has taken it, and whoever would hand it on too early has had its turns.
        while here.leave.capacity() < UNHEARD_MAX {
            tokio::task::yield_now().await;
        }
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        let (announced, mut heard) = mpsc::channel(8);
        here.stages.send_replace(Stages { announced, ..stages(4) });
        assert_eq!(next(heard.recv()).await.0, Announcement::Evidence(pair));
        assert!(here.announced.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_nobody_hears_between_two_epochs_is_told_in_the_next() {
        let (begin, begun) = watch::channel(stages(2));
        let (checked, mut driver) = mpsc::channel(1);
        tokio::spawn(tell(begun, Checked::LaterEpoch));
        tokio::task::yield_now().await;
        begin.send_replace(Stages { checked, ..stages(3) });
        assert!(matches!(next(driver.recv()).await, Checked::LaterEpoch));
    }

    #[tokio::test]
    async fn who_asks_about_an_epoch_that_is_over_is_told_how_it_ended() {
        let mut here = here();
        let mut last = child(&here.world.epoch().root, Vec::new());
        last.header.epoch = Epoch::new(2);
        last.header.origin.number = EPOCHS.start(Epoch::new(3));
        let mut first = child(&last.header, Vec::new());
        (first.header.epoch, first.header.view) = (Epoch::new(3), View::new(1));
        finalize(&*here.ledger, &[last.clone(), first]);
        let view = View::new(7);
        for (epoch, from) in [(3, 0), (1, 1), (2, 2)] {
            here.says(from, ConsensusMessage::CertificateRequest { epoch: Epoch::new(epoch), view }).await;
        }
        let (to, told) = next(here.sent.recv()).await;
        let ConsensusMessage::Certificate(end) = told else { panic!("{told:?}") };
        assert_eq!((to, end.statement.block()), (MemberIndex::new(2), Some(last.header.digest())));
    }
}
