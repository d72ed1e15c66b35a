//! Everything the machine may ask for, with the ordering promise.

use baton_proto::{
    BlockDigest, BlockHeader, Certificate, Epoch, Evidence, MemberIndex, SignedStatement, Statement, View,
};

use crate::Timer;

/// One thing the node must do.
///
/// **The ordering promise.** The driver runs effects in the order they come, and nothing that leaves the process
/// ([`Broadcast`](Self::Broadcast), [`Send`](Self::Send)) overtakes a [`Persist`](Self::Persist) or
/// [`Sign`](Self::Sign) before it. The machine for its part asks to broadcast a statement of our own only after
/// [`Input::Signed`](crate::Input::Signed) said that it is signed. The driver may gather all `Sign` and `Persist`
/// effects of one turn into one synced write each, with the bodies that it stores, if nothing of the turn leaves the
/// process before that. Two things keep their order on the disk all the same: a certificate that holds a statement of
/// the turn must not become durable before the record of it; and the record of a Finalize not before the body of its
/// block and the notarization that called for it, or a member could come back bound for good to a block that nobody
/// has, or to one that nobody can notarize again. The driver may run [`Build`](Self::Build),
/// [`Validate`](Self::Validate), [`Fetch`](Self::Fetch) and catching up beside the loop:
/// their answers are inputs, and can come late or never. A failed durable write ends the process before anything later is
/// sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Record the statement durably, sign it, and answer [`Input::Signed`](crate::Input::Signed); or answer
    /// [`Input::SignRefused`](crate::Input::SignRefused) if the record forbids it. A statement that is recorded already
    /// (after a restart) is signed again: same bytes.
    Sign(Statement),
    /// Store the certificate durably. No answer. The machine never asks twice for one certificate in one run.
    Persist(Certificate),
    /// Send to every other member.
    Broadcast(Outgoing),
    /// Send to one member.
    Send(MemberIndex, Outgoing),
    /// We lead `view`: build a block with `header.view = view`, epoch and proposer ours, height one above `parent` and
    /// `parent.digest()` as parent; store its body durably; answer [`Input::Built`](crate::Input::Built), or
    /// [`Input::NotBuilt`](crate::Input::NotBuilt). The time for the block has come: pacing is done here.
    Build {
        /// The view.
        view: View,
        /// The block to build on.
        parent: BlockHeader,
        /// The unfinalized ancestors: above the final head, ascending, `parent` last; empty if `parent` is final.
        ancestors: Vec<BlockHeader>,
    },
    /// Judge a proposal whose leader, view, parent and height are checked and whose ancestry is proven: everything else
    /// that voters check. If valid, store the body durably. Answer [`Input::Validated`](crate::Input::Validated); when
    /// something is merely not seen yet, answer later.
    Validate {
        /// The proposed block.
        header: BlockHeader,
        /// Its parent.
        parent: BlockHeader,
        /// The unfinalized ancestors: above the final head, ascending, `parent` last; empty if `parent` is final.
        ancestors: Vec<BlockHeader>,
    },
    /// Get a block whole, store it durably, answer [`Input::Fetched`](crate::Input::Fetched).
    ///
    /// If the body is at hand from the proposal (even while it is being validated), storing it is all there is to do.
    /// Otherwise ask `from` first, then others. Comes again at each retry while the block is still wanted; one
    /// outstanding request per block is enough.
    Fetch {
        /// Digest of the block.
        block: BlockDigest,
        /// The view that made it wanted: the block was proposed in it, or is an ancestor of the one that was.
        view: View,
        /// A member that should have it.
        from: Option<MemberIndex>,
    },
    /// Blocks became final. In one atomic, synced step: make them final, with the certificate. Their bodies are stored.
    Finalized {
        /// Finalize certificate of the last block of `chain`. Its view is that of the header, or a later one for a handover
        /// block that was proposed again.
        certificate: Certificate,
        /// The newly final headers, ascending from the child of the final head before.
        chain: Vec<BlockHeader>,
    },
    /// A block is final that lies more than a few views above our final head, or whose ancestors nobody has sent us.
    ///
    /// Fetch final ranges from peers until the head is at or above that block, make them final in the ledger, and answer
    /// [`Input::Synced`](crate::Input::Synced) (after every range or at the end). Comes again at each retry while we
    /// are behind; one run of catching up at a time is enough.
    Behind {
        /// The highest finalization we know.
        certificate: Certificate,
    },
    /// The handover block is final, and with it the epoch. Always after the [`Finalized`](Self::Finalized) or
    /// [`Input::Synced`](crate::Input::Synced) that made it the head durably; once in a machine's life, so after a restart on
    /// such a head again.
    ///
    /// The next machine starts at view 1 of `next_epoch`, with that epoch's committee and schedule, `last` as root and head,
    /// and nothing else of this epoch. Starting it needs no record of its own: after a crash the head in the ledger tells
    /// which machine is next, for its origin lies in a later epoch than its header names.
    ///
    /// This machine signs nothing any more. As long as it is kept, others learn the end from it: it repeats the last
    /// finalization at each retry, to whoever connects, and to whoever asks about a view, and it still reports evidence.
    /// Once it is dropped, whoever is left behind in this epoch must be given that certificate from the ledger. Whoever knows
    /// it may have no seat in the next epoch and say nothing, so a driver does not only wait for a word of a later epoch: it
    /// also asks at a retry ([`Timer::Retry`]) while this epoch is over on L1.
    EpochEnded {
        /// The epoch's last block.
        last: BlockHeader,
        /// The epoch of its L1 origin: at least one later than the machine's. Epochs between are skipped.
        next_epoch: Epoch,
    },
    /// Answer [`Input::TimerFired`](crate::Input::TimerFired) after so many milliseconds. Replaces the same timer.
    SetTimer {
        /// The timer.
        timer: Timer,
        /// From now.
        after_ms: u64,
    },
    /// A member signed two statements that an honest one never signs both: store, gossip, submit. Comes once for each
    /// (signer, view, offence) while the view is remembered.
    ///
    /// If the signer is this node's own member, somebody else speaks with our key: stop signing at once.
    Report(Evidence),
    /// These certificates, or one of them and our final head, cannot both exist while less than a third of the weight is
    /// Byzantine: two of one view (S4), or finalizations of two chains, ours named first. Persist them, like
    /// [`Persist`](Self::Persist) before anything that comes later leaves: broadcasts of each follow. Raise the alarm, keep
    /// serving reads.
    ///
    /// The machine signs nothing from here on. It shows these certificates to whoever connects or asks about a view, and
    /// still takes [`Input::Proposal`](crate::Input::Proposal), [`Input::Vote`](crate::Input::Vote) and
    /// [`Input::Certificate`](crate::Input::Certificate), to report evidence that they hold, around the view that the others
    /// have reached. Other inputs are refused.
    SafetyBroken(Vec<Certificate>),
    /// A new view began. Say [`Input::WorkArrived`](crate::Input::WorkArrived) if its leader has work.
    Entered {
        /// The view.
        view: View,
        /// Who leads it.
        leader: MemberIndex,
    },
}

/// A message for other members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// Our block, or the epoch's handover block, which we propose again: then `header.view` is below the view of `notarize`,
    /// and the proposer another member. The driver attaches the body, which it stored before it answered `Built`, `Validated`
    /// or `Fetched`. If the body cannot be read, nothing is sent.
    Proposal {
        /// The header.
        header: BlockHeader,
        /// Our Notarize of it.
        notarize: SignedStatement,
    },
    /// Our vote.
    Vote {
        /// The vote.
        vote: SignedStatement,
        /// With a Notarize of another leader's block: that leader's own Notarize of the same block.
        leader: Option<SignedStatement>,
    },
    /// A certificate.
    Certificate(Certificate),
    /// "What do you know about this view?"
    CertificateRequest {
        /// The view.
        view: View,
    },
}
