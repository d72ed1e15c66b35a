//! What members say of epochs that have ended. Nothing is decided there any more, but who contradicts now what it said before
//! has lied all the same, and so has a quorum whose certificates contradict each other (protocol section 7).

use std::sync::{Arc, Mutex, PoisonError};

use baton_proto::{
    Certificate, Epoch, Evidence, MemberIndex,
    wire::{Announcement, ConsensusMessage},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, mpsc::error::SendError, oneshot, watch};
use tracing::{debug, warn};

use super::{
    bygone::{Bygone, Old},
    consensus::Stages,
};
use crate::{
    driver::{Checked, LateError, accused, keep_late_word, late_certificate},
    epoch::{EpochBook, EpochContext},
    ledger::Ledger,
    p2p::{Acceptance, Fault},
};

/// Messages about epochs that have ended that are compared with what their members said then, at a time: a few reads each.
const AT_ONCE: usize = 16;

/// Messages that wait for an epoch's end at most, and how many of them are one member's. One place in a committee of the largest
/// size has its share.
const WAITING_MAX: usize = 1_024;
const WAITING_OF_MEMBER_MAX: usize = 16;

/// Told about a fault of a member of an epoch.
pub(super) type ChargeMember = Arc<dyn Fn(Epoch, MemberIndex, Fault) + Send + Sync>;

/// What nobody heard of an epoch while it ended, with who said it.
pub(super) type Unheard = (Epoch, Vec<(MemberIndex, ConsensusMessage)>);

/// Epochs' unheard messages that may wait: one ends after the other, in two stages each.
pub(super) const UNHEARD_MAX: usize = 4;

/// Hears what comes late. Clones are the same.
#[derive(Clone)]
pub(super) struct Late {
    ledger: Arc<dyn Ledger>,
    book: EpochBook,
    stages: watch::Receiver<Stages>,
    charge: ChargeMember,
    /// Who judges what is about epochs that the book knows no more.
    bygone: mpsc::Sender<Bygone>,
    places: Arc<Semaphore>,
    /// Two halves that come together must not pass each other by.
    order: Arc<Mutex<()>>,
    waiting: Arc<Mutex<Waiting>>,
}

/// What was said of an epoch while it ended here.
#[derive(Default)]
struct Waiting {
    epoch: Epoch,
    messages: Vec<(MemberIndex, ConsensusMessage)>,
}

impl Late {
    pub(super) fn new(
        ledger: Arc<dyn Ledger>,
        book: EpochBook,
        stages: watch::Receiver<Stages>,
        charge: ChargeMember,
        bygone: mpsc::Sender<Bygone>,
    ) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { ledger, book, stages, charge, bygone, places, order: Arc::default(), waiting: Arc::default() }
    }

    /// Takes what the member `from` of `epoch` says of an epoch that has ended. Within the runtime.
    pub(super) fn hear(&self, epoch: Epoch, from: MemberIndex, message: ConsensusMessage) {
        // Members say little of what is over; who says much of it crowds out others that do.
        let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() else { return };
        self.hear_with(permit, epoch, from, message);
    }

    /// The same of what nobody heard while `epoch` ended, as soon as another one runs: between two nobody listens. Within the
    /// runtime.
    ///
    /// However long that takes: a node can wait for L1 then. So little is kept of each member, and of a proposal the vote alone.
    pub(super) fn hear_once_over(&self, (epoch, messages): Unheard) {
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            if waiting.epoch != epoch {
                *waiting = Waiting { epoch, messages: Vec::new() };
            }
            let was_empty = waiting.messages.is_empty();
            for (from, message) in messages {
                let share = waiting.messages.iter().filter(|(by, _)| *by == from).count();
                if waiting.messages.len() < WAITING_MAX && share < WAITING_OF_MEMBER_MAX {
                    waiting.messages.extend(vote_alone(message).map(|message| (from, message)));
                }
            }
            was_empty && !waiting.messages.is_empty()
        };
        // One task for all that waits.
        if !is_first {
            return;
        }
        let late = self.clone();
        tokio::spawn(async move {
            if late.stages.clone().wait_for(|stages| stages.epoch > epoch).await.is_err() {
                return;
            }
            let messages = {
                let mut waiting = late.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                if waiting.epoch == epoch { std::mem::take(&mut waiting.messages) } else { Vec::new() }
            };
            for (from, message) in messages {
                let Ok(permit) = Arc::clone(&late.places).acquire_owned().await else { return };
                late.hear_with(permit, epoch, from, message);
            }
        });
    }

    fn hear_with(&self, permit: OwnedSemaphorePermit, epoch: Epoch, from: MemberIndex, message: ConsensusMessage) {
        let about = message.epoch();
        match (message, self.book.of(about)) {
            (ConsensusMessage::Evidence(evidence), _) => self.judge(permit, epoch, from, evidence),
            (ConsensusMessage::Certificate(certificate), None) => {
                let (verdict, judged) = oneshot::channel();
                if self.bygone.try_send((Old::Final(Box::new(certificate)), verdict)).is_err() {
                    debug!(%about, "dropped a certificate of an epoch that is forgotten");
                }
                // It asks L1, one after the other, and nobody else waits for that.
                drop(permit);
                self.charge_if_false((), epoch, from, judged);
            }
            (ConsensusMessage::Certificate(certificate), Some(context)) => {
                let late = self.clone();
                tokio::task::spawn_blocking(move || {
                    late.certificate(epoch, from, &context, certificate);
                    drop(permit);
                });
            }
            // Who has no seat there has no voice.
            (message, Some(context)) if about == epoch => {
                let late = self.clone();
                let runtime = tokio::runtime::Handle::current();
                tokio::task::spawn_blocking(move || {
                    let _within = runtime.enter();
                    late.word(permit, from, &context, &message);
                });
            }
            _ => {}
        }
    }

    fn certificate(&self, epoch: Epoch, from: MemberIndex, context: &EpochContext, certificate: Certificate) {
        let running = self.stages.borrow().epoch;
        match late_certificate(self.ledger.as_ref(), &context.verifier, running, &self.order, certificate) {
            Ok(broken) if broken.is_empty() => {}
            Ok(broken) => drop(tokio::spawn(tell(self.stages.clone(), Checked::Contradiction(broken)))),
            Err(LateError::Invalid(error)) if error.is_peer_fault() => {
                (self.charge)(epoch, from, Fault::InvalidSignature);
            }
            Err(error) => warn!(%error, "what was certified in an earlier epoch could not be compared"),
        }
    }

    fn word(
        &self,
        permit: OwnedSemaphorePermit,
        from: MemberIndex,
        context: &EpochContext,
        message: &ConsensusMessage,
    ) {
        let found = {
            let _one_at_a_time = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            let found = accused(self.ledger.as_ref(), context, from, message);
            found.and_then(|found| {
                keep_late_word(self.ledger.as_ref(), &context.committee, from, message).map(|()| found)
            })
        };
        let permit = Arc::new(permit);
        match found {
            Ok(pairs) => {
                pairs.into_iter().for_each(|evidence| self.judge(Arc::clone(&permit), context.epoch, from, evidence));
            }
            Err(error) => warn!(%error, "what was heard in an earlier epoch could not be read"),
        }
    }

    /// Has evidence judged by who judges what strangers bring, for its sender may have no seat in the running epoch; a false one
    /// is charged all the same.
    fn judge(&self, permit: impl Send + 'static, epoch: Epoch, from: MemberIndex, evidence: Evidence) {
        let (verdict, judged) = oneshot::channel();
        let announced = self.stages.borrow().announced.clone();
        let late = self.clone();
        tokio::spawn(async move {
            if announced.send((Announcement::Evidence(evidence), verdict)).await.is_err() {
                debug!(%epoch, %from, "dropped evidence of an earlier epoch");
            }
            late.charge_if_false(permit, epoch, from, judged);
        });
    }

    /// Holds the place of what is judged until it is.
    fn charge_if_false(
        &self,
        permit: impl Send + 'static,
        epoch: Epoch,
        from: MemberIndex,
        judged: oneshot::Receiver<Acceptance>,
    ) {
        let charge = Arc::clone(&self.charge);
        tokio::spawn(async move {
            if let Ok(Acceptance::Reject(fault)) = judged.await {
                charge(epoch, from, fault);
            }
            drop(permit);
        });
    }
}

/// Returns what of a message matters once its epoch is over.
fn vote_alone(message: ConsensusMessage) -> Option<ConsensusMessage> {
    match message {
        ConsensusMessage::Proposal { notarize: vote, .. }
        | ConsensusMessage::CompactProposal { notarize: vote, .. } => {
            Some(ConsensusMessage::Vote { vote, leader: None })
        }
        ConsensusMessage::Vote { .. } | ConsensusMessage::Certificate(_) | ConsensusMessage::Evidence(_) => {
            Some(message)
        }
        ConsensusMessage::CertificateRequest { .. }
        | ConsensusMessage::BatchProposal { .. }
        | ConsensusMessage::Attestation(_) => None,
    }
}

/// Tells the driver something that must not be lost: between two epochs nobody listens, and then the next one is told.
pub(super) async fn tell(mut stages: watch::Receiver<Stages>, mut news: Checked) {
    loop {
        let checked = stages.borrow_and_update().checked.clone();
        match checked.send(news).await {
            Ok(()) => return,
            Err(SendError(unheard)) => news = unheard,
        }
        if stages.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Address;
    use baton_proto::{Block, Statement, View};

    use super::*;
    use crate::{
        driver::testing::{World, block_of},
        ledger::{ChainIdentity, MemoryLedger},
    };

    #[tokio::test]
    async fn little_waits_of_each_member_while_the_next_epoch_cannot_be_opened() {
        let world = World::new(&[1, 1, 1, 1]);
        let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
        ledger.init_genesis(&world.epoch().root).unwrap();
        let epoch = world.epoch().epoch;
        let (consensus, checked, announced) = (mpsc::channel(1).0, mpsc::channel(1).0, mpsc::channel(1).0);
        let (_running, stages) = watch::channel(Stages { epoch, consensus, checked, announced });
        let book = EpochBook::new(world.epoch());
        let late = Late::new(ledger, book, stages, Arc::new(|_, _, _| {}), mpsc::channel(1).0);
        let vote = |by: u8, view| {
            let vote = world.sign(by, Statement::Nullify { epoch, view: View::new(view) });
            (MemberIndex::new(by), ConsensusMessage::Vote { vote, leader: None })
        };
        let block = Arc::new(block_of(1, 1, vec![]));
        let notarize = world.sign(1, Statement::Notarize { epoch, view: View::new(1), block: block.header.digest() });
        let whole = ConsensusMessage::Proposal { block: Block::clone(&block), notarize };
        late.hear_once_over((epoch, (1..100).map(|view| vote(0, view)).collect()));
        late.hear_once_over((epoch, vec![(MemberIndex::new(1), whole), vote(2, 1)]));
        let waiting = late.waiting.lock().unwrap();
        let of = |by| waiting.messages.iter().filter(|(from, _)| *from == MemberIndex::new(by)).count();
        assert_eq!([0, 1, 2].map(of), [WAITING_OF_MEMBER_MAX, 1, 1]);
        // Of a proposal the vote is enough to convict its leader.
        assert!(waiting.messages.iter().all(|(_, message)| matches!(message, ConsensusMessage::Vote { .. })));
    }
}
