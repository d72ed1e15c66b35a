//! Everything that can happen to the machine.

use baton_proto::{
    BlockDigest, BlockHeader, Certificate, ChainSpec, Epochs, L1BlockNumber, MemberIndex, SignedStatement, Statement,
    View,
};

use crate::Verified;

/// One thing that happened. The driver hands them over one at a time and runs the effects of each before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The node is ready to take part. The first input, once; anything before it is refused.
    Started,
    /// A leader's block arrived. `notarize` is the leader's own Notarize of `header`, which is its proposal signature. The view
    /// of `notarize` is the header's, or a later one in which a handover block is proposed again.
    ///
    /// Conversion from bytes has checked that the body is the one `header` commits to. The driver keeps the body in
    /// memory until the block is stored, final, or its view is below the final one, unless this input is refused: then
    /// it drops the body at once.
    Proposal {
        /// The block's header.
        header: BlockHeader,
        /// The leader's Notarize of it.
        notarize: Verified<SignedStatement>,
    },
    /// A member's vote arrived, over the stream of that member.
    Vote {
        /// The vote.
        vote: Verified<SignedStatement>,
        /// With another member's Notarize: the leader's own Notarize of the same block, which always comes along, so
        /// that members who voted for different blocks hold the leader's pair as soon as their votes meet.
        leader: Option<Verified<SignedStatement>>,
    },
    /// A Notarize, Nullify or Finalize certificate arrived.
    Certificate(Verified<Certificate>),
    /// Answer to [`Effect::Validate`](crate::Effect::Validate).
    Validated {
        /// Digest of the block that was judged.
        block: BlockDigest,
        /// The judgement.
        verdict: Verdict,
    },
    /// Answer to [`Effect::Fetch`](crate::Effect::Fetch): the block is durably stored, whole.
    ///
    /// The driver has checked that the body is the one the header commits to. A block that is not wanted (any more) is
    /// ignored. Validity is not judged here: a quorum has done that.
    Fetched {
        /// The block's header.
        header: BlockHeader,
    },
    /// The ledger's final head has moved by catching up; answers [`Effect::Behind`](crate::Effect::Behind).
    Synced {
        /// The new final head: durably final in the ledger, with all its ancestors.
        header: BlockHeader,
        /// Proof: a Finalize certificate of that block (of a handover block in any view from its own on), or of a descendant to
        /// which headers led. Whoever caught up has checked that no block of the epoch comes after its handover block.
        certificate: Verified<Certificate>,
    },
    /// Answer to [`Effect::Build`](crate::Effect::Build): our block, its body durably stored.
    Built {
        /// The view that was asked for.
        view: View,
        /// The header of the new block.
        header: BlockHeader,
    },
    /// Answer to [`Effect::Build`](crate::Effect::Build) when this node cannot build. It then gives its view up at once,
    /// and the others follow without waiting for a timeout.
    NotBuilt {
        /// The view that was asked for.
        view: View,
    },
    /// Answer to [`Effect::Sign`](crate::Effect::Sign): in the sign record, then signed. The disk has
    /// both this and what was stored before it when anything that follows from it leaves the process.
    Signed(Verified<SignedStatement>),
    /// Answer to [`Effect::Sign`](crate::Effect::Sign): the sign record holds something that forbids it.
    SignRefused(Statement),
    /// Nothing is safe any more, as the driver found: these certificates cannot be true beside each other, of views that the
    /// machine does not remember or of blocks that it does not know; or, if there are none, a third of the weight or more
    /// is known to lie.
    SafetyBroken(Vec<Verified<Certificate>>),
    /// A timer that [`Effect::SetTimer`](crate::Effect::SetTimer) set has run out.
    TimerFired(Timer),
    /// The leader of the current view has something to put into a block, as far as this node knows: a due forced entry,
    /// a due epoch, or a transaction that is executable on our final state. Our own users' go to the next leaders directly,
    /// and gossip brings everybody's to every leader, long before a leader's time is up. Counting only what we sent it
    /// ourselves would leave a dead leader's view to the idle timeout wherever a single node has all the users.
    ///
    /// Counts for the current view only: the driver says it again after each [`Effect::Entered`](crate::Effect::Entered)
    /// while it holds. Saying it twice in a view is harmless.
    WorkArrived,
    /// A member (re)connected: it is told at once what a retry would tell it.
    Connected(MemberIndex),
    /// A member asked for what we know about a view. The driver bounds how often one member may ask.
    CertificateWanted {
        /// The view.
        view: View,
        /// Who asked.
        from: MemberIndex,
    },
}

/// What became of a block under [`Effect::Validate`](crate::Effect::Validate).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The body is complete and valid on its parent, and durably stored: a vote for it may leave.
    Valid,
    /// The block breaks a rule that every honest node judges alike. What this node merely has not seen yet (an L1
    /// origin, a timestamp ahead of its clock) is never invalid: the driver waits, and answers when it knows.
    Invalid,
}

/// Timers, each for one view. Setting one again replaces it; those of views that are over may be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The earliest moment for a block of this view: entry + MIN_BLOCK_MS.
    Pace(View),
    /// The latest moment for a block when there is no work: entry + IDLE_BLOCK_MS.
    Idle(View),
    /// t_L: the leader's block should be here.
    Leader(View),
    /// t_A: the view should be certified.
    Advance(View),
    /// t_R: say again what the others may have missed.
    Retry(View),
}

impl Timer {
    /// Returns the view it is for.
    #[must_use]
    pub const fn view(self) -> View {
        match self {
            Self::Pace(view) | Self::Idle(view) | Self::Leader(view) | Self::Advance(view) | Self::Retry(view) => view,
        }
    }
}

/// The parameters of the protocol, from the chain spec; all nodes of a chain have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Assumed bound on one network hop, Δ, at first. From what votes take the machine finds its own, never below half of this
    /// and never above eight times this ([`Machine::delta_ms`](crate::Machine::delta_ms)).
    pub delta_ms: u64,
    /// Least time between entering a view as its leader and proposing.
    pub min_block_ms: u64,
    /// Time after which a leader without work proposes an empty block.
    pub idle_block_ms: u64,
    /// Views without a word from a member, while a quorum spoke, after which its turns are skipped.
    pub inactive_views: u64,
    /// Tells the handover block: the one whose L1 origin lies in a later epoch than the machine's.
    pub epochs: Epochs,
}

impl Config {
    /// Returns the parameters of the chain whose epoch 0 begins with L1 block `genesis`.
    #[must_use]
    pub const fn new(spec: &ChainSpec, genesis: L1BlockNumber) -> Self {
        Self {
            delta_ms: spec.delta_ms,
            min_block_ms: spec.min_block_ms,
            idle_block_ms: spec.idle_block_ms,
            inactive_views: spec.inactive_views,
            epochs: spec.epochs(genesis),
        }
    }
}

/// What a machine starts from after a restart; a new node has only the head.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The ledger's final head.
    pub head: BlockHeader,
    /// Every statement of this epoch in our own sign record, in any order.
    pub statements: Vec<Statement>,
    /// The stored certificates above the final view and the highest finalization, verified again. Those of another epoch
    /// than the machine's are ignored.
    pub certificates: Vec<Verified<Certificate>>,
    /// Headers of the unfinalized blocks whose bodies the ledger holds, in any order.
    pub headers: Vec<BlockHeader>,
}

impl Recovered {
    /// Returns what a node has that never took part: the final head and nothing else.
    #[must_use]
    pub const fn fresh(head: BlockHeader) -> Self {
        Self { head, statements: Vec::new(), certificates: Vec::new(), headers: Vec::new() }
    }
}
