//! What others show of this node's own key: a stale sign record, or another process that signs with it (protocol section 6).
//!
//! Whatever carries our signature and is not in our record was signed elsewhere, or before the record was what it is now:
//!
//! | a statement that the record lacks, of a view | record complete | record that listens |
//! | --- | --- | --- |
//! | at or below the final one | of no use to anybody | former life |
//! | above it, up to where listening started | stale: stop | former life |
//! | above both | stale, or another speaker: stop | another speaker: stop |
//!
//! A record that may lack statements signs nothing in the running epoch, so what its key said before it started to listen
//! is harmless; what the key says after that, somebody else says. Listening lasts as long as the record is quiet: until the
//! epoch after the one in which a quorum was heard out.
//!
//! There is one way to go on where a record that is not the whole one is all that is left and the others are no quorum without
//! this key: the operator vouches that no other process signs with it. At such a start, until this node signs anything, what a
//! complete record would have to stop for is taken up into it, unless it contradicts what is there: nobody can vouch for a
//! vote that he does not know of, and from then on the record knows of it.

use std::sync::Arc;

use baton_consensus::Verified;
use baton_proto::{Certificate, Epoch, SignedStatement, Statement, View};
use tracing::{info, warn};

use super::DriverError;
use crate::signer::{SignRecordError, Signer};

/// Views above the highest certificate at the start of listening that the key's former life may have spoken in, and
/// that others can certify later: it can have known a certificate that nobody else has
/// ([`HeardOut`](baton_consensus::HeardOut)), and spoke in the view after it. A second speaker goes on to the views
/// after that.
const FORMER_LIFE_VIEWS: u64 = 2;

/// Judges what carries this node's signature, in one epoch.
pub(super) struct KeyWatch {
    /// None of a follower: it has no key.
    signer: Option<Arc<Signer>>,
    epoch: Epoch,
    /// None where the record holds everything that the key signed in this epoch.
    listening: Option<Listening>,
    /// Nothing was signed since a start at which the operator vouched for the record: it takes up what it lacks.
    takes_up: bool,
}

/// How far a record that may lack statements has come.
#[derive(Debug, Default)]
struct Listening {
    /// View of the highest certificate that came in.
    heard: View,
    /// View of the highest certificate when listening started: once a quorum had had time to say what it holds.
    started_at: Option<View>,
    /// Whether everything was in order at the last look.
    was_settled: bool,
}

impl KeyWatch {
    /// Begins to judge in `epoch`. `is_hearing` says that nothing was signed in it since the start.
    pub(super) fn new(signer: Option<Arc<Signer>>, epoch: Epoch, is_hearing: bool) -> Self {
        let listens = signer.as_ref().is_some_and(|signer| signer.listens_in(epoch));
        if listens {
            warn!(%epoch, "the sign record may lack what this key signed: this node listens and signs nothing in this epoch");
        }
        let takes_up = is_hearing && signer.as_ref().is_some_and(|signer| signer.is_vouched_for());
        Self { signer, epoch, listening: listens.then(Listening::default), takes_up }
    }

    /// A quorum was heard out: from now on this node signs, and what the record lacks somebody else has said.
    pub(super) const fn on_heard_out(&mut self) {
        self.takes_up = false;
    }

    /// Returns the epoch in which this node signs nothing, while it does not.
    pub(super) fn listens_in(&self) -> Option<Epoch> {
        self.listening.as_ref().map(|_| self.epoch)
    }

    /// Returns whether listening has yet to start.
    pub(super) fn is_arriving(&self) -> bool {
        self.listening.as_ref().is_some_and(|listening| listening.started_at.is_none())
    }

    /// Starts to listen if all is settled at this look as it was at the last one: a quorum is connected, what it sent is
    /// taken, and no final block is missing. `current` is the view of the machine, which holds a certificate of the one
    /// before. From then on the record knows in which epoch it is quiet; the caller can wait for the disk.
    ///
    /// # Errors
    /// [`SignRecordError`] if that is not on the disk.
    pub(super) fn look(&mut self, is_settled: bool, current: View) -> Result<(), SignRecordError> {
        let (Some(signer), Some(listening)) = (&self.signer, &mut self.listening) else { return Ok(()) };
        if listening.started_at.is_none() && is_settled && listening.was_settled {
            signer.settle_listening(self.epoch)?;
            let start = listening.heard.max(current.previous().unwrap_or_default());
            info!(epoch = %self.epoch, above = %start, "a quorum was heard out; listening for another speaker of this key");
            listening.started_at = Some(start);
        }
        listening.was_settled = is_settled;
        Ok(())
    }

    /// Takes note of a certificate, and judges it if it holds our signature. `final_view` is the machine's.
    ///
    /// # Errors
    /// [`DriverError::StaleSignRecord`] or [`DriverError::AnotherSpeaker`].
    pub(super) fn on_certificate(
        &mut self,
        certificate: &Verified<Certificate>,
        final_view: View,
    ) -> Result<(), DriverError> {
        let Some(view) = certificate.statement.view().filter(|_| certificate.statement.epoch() == self.epoch) else {
            return Ok(());
        };
        if let Some(listening) = &mut self.listening {
            listening.heard = listening.heard.max(view);
        }
        match &self.signer {
            Some(signer) if certificate.signers.contains(signer.me()) => {
                self.judge(signer, &certificate.statement, view, final_view)
            }
            _ => Ok(()),
        }
    }

    /// Judges a statement if it is ours.
    ///
    /// # Errors
    /// As [`Self::on_certificate`].
    pub(super) fn on_statement(&self, signed: &Verified<SignedStatement>, final_view: View) -> Result<(), DriverError> {
        match (&self.signer, signed.statement.view()) {
            (Some(signer), Some(view)) if signed.signer == signer.me() && signed.statement.epoch() == self.epoch => {
                self.judge(signer, &signed.statement, view, final_view)
            }
            _ => Ok(()),
        }
    }

    fn judge(&self, signer: &Signer, said: &Statement, view: View, final_view: View) -> Result<(), DriverError> {
        let found = match &self.listening {
            None if view > final_view => DriverError::StaleSignRecord { view },
            Some(Listening { started_at: Some(start), .. })
                if view.get() > start.get().saturating_add(FORMER_LIFE_VIEWS) =>
            {
                DriverError::AnotherSpeaker { view }
            }
            _ => return Ok(()),
        };
        if signer.accounts_for(said)? {
            return Ok(());
        }
        let may_take_up = self.listening.is_none() && self.takes_up;
        if may_take_up && tokio::task::block_in_place(|| signer.take_up(said))? {
            warn!(statement = ?said, "others show what the sign record lacked: it is taken up");
            return Ok(());
        }
        Err(found)
    }
}

#[cfg(test)]
mod tests;
