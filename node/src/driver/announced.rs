//! Judging what gossip says about views: final headers with their certificates, and evidence.
//!
//! Who brought it says nothing about who made it, so nothing here is anybody's vote: a certificate carries its own proof,
//! and so does evidence; votes come over proven streams only (protocol section 5, R11). Evidence of an earlier epoch comes
//! here also where a member's stream brought it: whoever signed against itself is punished after the epoch has ended, and
//! who brings it need not sit in the running one. The order is cheap before dear:
//! size and shape were checked where the bytes were decoded, then epoch and window, then "known already", then the
//! signature. Only what was found true counts as known, so that nobody can make a false one stand in a true one's way.
//! Certificates of one statement differ in who signed; the first true one is enough for everyone, the others go no
//! further. Members send each other theirs anyway: where nobody else is connected, one of a statement that has its
//! certificate here is not even looked at.

use std::{cmp::Ordering, num::NonZeroUsize, sync::Arc};

use baton_consensus::{RETENTION_VIEWS, VerifyError};
use baton_proto::{
    Certificate, Epoch, Evidence, MemberIndex, Offence, Statement, View,
    limits::COMMITTEE_MEMBERS_MAX,
    wire::{Announcement, ConsensusMessage, FinalHeader},
};
use lru::LruCache;
use tokio::sync::{mpsc, mpsc::error::SendError, oneshot};
use tracing::warn;

use super::{
    certified::Certified, contradiction::contradicted, epoch_end::LaterEpochs, intake::Checked, window::ViewWindow,
};
use crate::{
    epoch::{EPOCHS_KEPT, EpochBook, EpochContext},
    ledger::Ledger,
    p2p::{Acceptance, Fault},
};

/// Announcements that may wait to be judged: as many as the network holds back at once.
pub const ANNOUNCED_QUEUE_MAX: usize = 64;

/// Final statements that are remembered: those of the whole window, several times over.
const FINALS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// Offences that are remembered. One member alone can commit three in each view of the window.
const OFFENCES_REMEMBERED: NonZeroUsize = NonZeroUsize::new(4_096).expect("not zero");

/// Offenders of earlier epochs that are remembered: everybody in each epoch that the book knows.
const OFFENDERS_REMEMBERED: NonZeroUsize = NonZeroUsize::new(EPOCHS_KEPT * COMMITTEE_MEMBERS_MAX).expect("not zero");

/// Something that gossip brought, and where its judgement goes.
pub type Heard = (Announcement, oneshot::Sender<Acceptance>);

/// Judges announcements on a thread of its own, apart from the checks of members' messages: strangers can gossip too,
/// and must not hold up votes.
pub struct GossipChecks {
    running: Arc<EpochContext>,
    book: EpochBook,
    later: LaterEpochs,
    ledger: Arc<dyn Ledger>,
    window: Arc<ViewWindow>,
    certified: Arc<Certified>,
    has_followers: Box<dyn Fn() -> bool + Send>,
    finals: LruCache<Statement, ()>,
    offences: LruCache<(MemberIndex, View, Offence), ()>,
    /// Who was seen to have signed against itself in an earlier epoch: one pair for each is all that L1 punishes.
    offenders: LruCache<(Epoch, MemberIndex), ()>,
}

impl GossipChecks {
    /// Makes the stage for the epoch that is running; `book` knows those before it, and `ledger` what was final. `has_followers` says whether anybody is
    /// connected who is no member.
    #[must_use]
    pub fn new(
        running: Arc<EpochContext>,
        book: EpochBook,
        ledger: Arc<dyn Ledger>,
        window: Arc<ViewWindow>,
        certified: Arc<Certified>,
        has_followers: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        Self {
            running,
            book,
            ledger,
            later: LaterEpochs::default(),
            window,
            certified,
            has_followers: Box::new(has_followers),
            finals: LruCache::new(FINALS_REMEMBERED),
            offences: LruCache::new(OFFENCES_REMEMBERED),
            offenders: LruCache::new(OFFENDERS_REMEMBERED),
        }
    }

    /// Judges until either channel closes; returns what is true and the driver did not hear, as if a member had said it.
    pub fn run(
        mut self,
        mut heard: mpsc::Receiver<Heard>,
        checked: &mpsc::Sender<Checked>,
    ) -> Vec<(MemberIndex, ConsensusMessage)> {
        while let Some((announcement, verdict)) = heard.blocking_recv() {
            let (acceptance, news) = self.judge(announcement);
            // The network may have stopped waiting; what is true is of use all the same.
            let _ = verdict.send(acceptance);
            if let Some(news) = news
                && let Err(SendError(news)) = checked.blocking_send(news)
            {
                return news.into_message().into_iter().collect();
            }
        }
        Vec::new()
    }

    /// Returns whether an announcement goes on to other peers, and what the driver learns from it.
    fn judge(&mut self, announcement: Announcement) -> (Acceptance, Option<Checked>) {
        match announcement {
            Announcement::Final(header) => self.final_header(header),
            Announcement::Evidence(evidence) => self.evidence(evidence),
        }
    }

    fn final_header(&mut self, FinalHeader { header, finalization }: FinalHeader) -> (Acceptance, Option<Checked>) {
        let statement = finalization.statement;
        let Some(view) = statement.view() else { return (Acceptance::Reject(Fault::InvalidMessage), None) };
        let final_view = self.window.final_view();
        // A view far ahead is what a node that is behind has to hear of: it has no upper bound, and costs no more.
        let is_past = view.get() < final_view.get().saturating_sub(RETENTION_VIEWS);
        let running = self.running.epoch;
        if statement.epoch() > running {
            return (Acceptance::Ignore, self.later.is_news().then_some(Checked::LaterEpoch));
        }
        if statement.epoch() < running || is_past {
            return self.past_final(finalization);
        }
        if header.epoch != running || self.finals.contains(&statement) {
            return (Acceptance::Ignore, None);
        }
        if self.certified.contains(&statement) && !(self.has_followers)() {
            return (Acceptance::Ignore, None);
        }
        match self.running.verifier.verify_certificate(finalization) {
            Ok(certificate) => {
                self.finals.put(statement, ());
                self.certified.insert(&certificate);
                // Also of a view below the final one: it may be of another chain than ours.
                (Acceptance::Accept, Some(Checked::Certificate(certificate)))
            }
            Err(error) => (rejected(&error), None),
        }
    }

    /// There is no end of old ones, and anybody has them: only what the ledger contradicts is worth a check.
    fn past_final(&self, finalization: Certificate) -> (Acceptance, Option<Checked>) {
        let epoch = finalization.statement.epoch();
        // That of an epoch which the book forgot goes elsewhere.
        let Some(context) = self.book.of(epoch) else { return (Acceptance::Ignore, None) };
        let ledger = self.ledger.as_ref();
        let judged = contradicted(ledger, self.running.epoch, &finalization).and_then(|found| match found {
            Some(found) => found.judge(ledger, &context.verifier, finalization),
            None => Ok((Acceptance::Ignore, None)),
        });
        judged.unwrap_or_else(|error| {
            warn!(%error, "what was final before could not be read");
            (Acceptance::Ignore, None)
        })
    }

    fn evidence(&mut self, evidence: Evidence) -> (Acceptance, Option<Checked>) {
        let offence = (evidence.signer(), evidence.view(), evidence.offence());
        let offender = (evidence.epoch(), evidence.signer());
        // Who signs against itself may do so for any number of views; only those that matter are passed on. Of an epoch that
        // has ended, one is enough. L1 takes evidence of any epoch that the book knows; that of older ones goes elsewhere.
        let age = self.running.epoch.cmp(&evidence.epoch());
        let matters = match age {
            Ordering::Equal => {
                evidence.concerns(|view| self.window.contains(view)) && !self.offences.contains(&offence)
            }
            Ordering::Greater => !self.offenders.contains(&offender),
            Ordering::Less => false,
        };
        let Some(context) = matters.then(|| self.book.of(evidence.epoch())).flatten() else {
            return (Acceptance::Ignore, None);
        };
        if let Err(error) = context.verifier.verify_evidence(&evidence) {
            return (rejected(&error), None);
        }
        if age.is_eq() {
            self.offences.put(offence, ());
        } else {
            self.offenders.put(offender, ());
        }
        (Acceptance::Accept, Some(Checked::Evidence(evidence)))
    }
}

/// Returns what becomes of an announcement whose signature does not hold.
pub(crate) fn rejected(error: &VerifyError) -> Acceptance {
    if error.is_peer_fault() { Acceptance::Reject(Fault::InvalidSignature) } else { Acceptance::Ignore }
}

#[cfg(test)]
mod tests;
