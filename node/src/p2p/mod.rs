//! The network between nodes: libp2p over TCP with Noise and yamux, and over QUIC.
//!
//! ```text
//!                    broadcast, send            gossip                request
//!                          │                      │                      │
//!             one bounded queue per peer    one bounded queue       64 at a time
//!                          ▼                      ▼                      ▼
//!  our end     one stream to each member     gossipsub topic    one stream per request
//!  ════════════════════════╪══════════════════════╪══════════════════════╪═══════════
//!  their end      one reader per member     judged, then forwarded   answered in 10 s
//!                          │ waits                │ stalest dropped      │ refused
//!                          └──────────────▶ NetworkEvent ◀───────────────┘
//! ```
//!
//! - **Members** are whoever proves to be one. Two nodes that connect ask each other who they are, each with a fresh nonce;
//!   the answer is a signature of the member's consensus key over both peer ids and the nonce (protocol section 6). Noise
//!   proves the peer, the signature says which member speaks through it, and no file has to. Two peers at most speak for
//!   one member, the newest ones: an operator who moves is in two places for a while.
//! - **Consensus** messages go straight to every proven member and to observers, each encoded once. A peer that does not
//!   read loses its stalest messages and holds up nobody else. Only streams of proven members are read, and what is read
//!   from one is that member's word (protocol section 5, R11).
//! - **Epochs** come and go while connections stay. What a peer proves is a key, for the connection and no epoch; which
//!   member that key is, in which epoch, is looked up when it matters. A node with a key names it before it has a seat,
//!   and the proof is checked when it gets one. Who was a member of an epoch that is still remembered is heard about that
//!   epoch, for its batches, and has its place; after that it is a peer like any other.
//! - **Transactions** are gossiped without a sender's name under content-addressed ids, and go on only after they were
//!   decoded, their senders recovered, and what the chain demands of all of them found true. How many a peer may have us
//!   recover is bounded, and how many all strangers together may.
//! - **Announcements**, final headers with their certificates and evidence, are gossiped on topics of their own, for those
//!   who have no stream. They go on only after the node has checked their signatures.
//! - **Requests** for blocks are answered by any node to any node. Transactions can be handed over the same way, past gossip.
//! - Configured peers are dialled for ever, with jittered back-off up to three seconds, never twice at once. Of a peer with
//!   addresses of both kinds, those of TCP are tried first and those of QUIC next, in turns.
//! - **Discovery**: a proven member is asked which members' peers it knows, and they are dialled until they have proven
//!   themselves or a few attempts failed. Where proven members are found is kept in a small file across restarts. What one
//!   source can make us dial is bounded, and configured peers are dialled whatever anybody says.
//! - Stream and topic names carry the version and the chain. A Baton node that names another chain in `identify`, and a
//!   configured peer that is none, is refused for a while, with both names in the log and in [`NetworkEvent::PeerRefused`].
//! - Strangers have places of their own among those who connect to us; before these are all taken, whoever came first and
//!   has not proven to be a member goes. So strangers that only sit there keep no member out.
//! - Every peer has a budget for its consensus stream, which is read slower above it, and for questions, which are
//!   refused. Faults that no honest peer commits cost points ([`Fault`]); whoever has too many is disconnected and
//!   refused, each time for longer, and forgiven after. Everything a peer sends is bounded before memory is taken for
//!   it, and decoded away from the network's own task.

mod addresses;
mod announcements;
mod arrivals;
mod backoff;
mod bans;
mod behaviour;
mod book;
mod budget;
mod charges;
mod claim;
mod dialer;
mod directory;
mod discover;
mod epochs;
mod forwarded;
mod frame;
mod frame_codec;
mod gossip;
mod identity;
mod inbound;
mod lane;
mod learned;
mod members;
mod network;
mod protocol;
mod prove;
mod queue;
mod reports;
mod request;
mod seats;
mod seen;
mod service;
mod shared;
mod stats;
#[cfg(test)]
mod tests;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use baton_proto::{
    BlsPublicKey, BlsSignature, ChainSpec, Epoch, MemberIndex, PeerProof, Transaction,
    wire::{Announcement, ConsensusMessage, Known, SyncRequest, SyncResponse},
};
pub use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::sync::oneshot;

pub use announcements::Acceptance;
pub(crate) use behaviour::GOSSIP_AGAIN_AFTER;
pub use charges::Fault;
pub use identity::{IdentityError, load_identity, load_or_create_identity};
pub use network::{Network, Reach};
pub(crate) use queue::DropQueue;
pub use request::RequestError;
pub use stats::{Counter, NetworkStats};

use crate::epoch::EpochBook;

/// Who we are in the network and whom we know.
#[derive(Clone)]
pub struct NetworkConfig {
    /// The key that proves our peer id.
    pub identity: Keypair,
    /// Addresses to listen on, such as `/ip4/0.0.0.0/tcp/9000`; port 0 takes any free one.
    pub listen: Vec<Multiaddr>,
    /// Addresses at which others reach us, besides those that we listen on.
    pub announce: Vec<Multiaddr>,
    /// File that keeps where members were found; with none, nothing is kept.
    pub book: Option<PathBuf>,
    /// Whose committees have the keys that we take proofs of, on the chain that is part of every protocol name. The network
    /// goes along when an epoch is added.
    pub epochs: EpochBook,
    /// The chain's parameters: transactions that no block may hold are not handed on.
    pub spec: ChainSpec,
    /// The consensus keys that speak through this node, at most [`SPEAKERS_MAX`]; none of a follower or an observer, which
    /// sends no consensus messages. Nor does a node whose keys have no seat.
    pub speakers: Vec<Speaker>,
    /// Peers to keep connected, with addresses; several entries of one peer are joined, and our own is passed over. Who
    /// they are they have to prove like anybody else.
    pub peers: Vec<(PeerId, Multiaddr)>,
    /// Peers that get a copy of each broadcast and whose own consensus messages are not read.
    pub observers: Vec<(PeerId, Multiaddr)>,
}

/// Signs with the consensus key, under the ciphersuite of peer proofs. Called from threads that may block.
pub type ProvePeer = Arc<dyn Fn(&PeerProof) -> BlsSignature + Send + Sync>;

/// Most consensus keys that speak through one node: a sequencer's, and the one that it changes to.
pub const SPEAKERS_MAX: usize = 2;

/// A consensus key that speaks through this node. Others are told of it whether it has a seat or not, so that whoever
/// joins a committee, or changes its key, is known already.
#[derive(Clone)]
pub struct Speaker {
    /// The public key.
    pub key: BlsPublicKey,
    /// Proves to others that we have it.
    pub prove: ProvePeer,
}

/// What the node knows of transactions already, which spares recovering their senders again.
pub type KnownLookup = Arc<dyn Known>;

/// Sends consensus messages. Never waits; what cannot be sent in time is dropped, stalest first.
///
/// Members are those of the epoch that the message is about ([`ConsensusMessage::epoch`]): a batch is attested by the
/// committee of its own epoch, also when the next one runs. Nothing is sent about an epoch in which we have no seat.
pub trait Outbound: Send + Sync {
    /// Sends `message` to every other member of its epoch and to the observers; a certificate of an epoch that is over also to
    /// those of the running one.
    fn broadcast(&self, message: ConsensusMessage);

    /// Sends `message` to one other member of its epoch.
    fn send(&self, to: MemberIndex, message: ConsensusMessage);
}

/// What the network tells the node.
#[derive(Debug)]
pub enum NetworkEvent {
    /// A member said something. Its stream is read no further until this is taken.
    Consensus {
        /// The epoch that the message is about; or the running one, while that is yet to come. What somebody says about an
        /// epoch that is forgotten, or in which it has no seat, is passed over, but for certificates: those come as from its
        /// place in the running one.
        epoch: Epoch,
        /// The sender's place in that epoch, proven by its stream.
        from: MemberIndex,
        /// What it said; signatures are not checked.
        message: ConsensusMessage,
    },
    /// A gossip message was judged well-formed and forwarded, or a peer handed transactions over directly. When too many
    /// wait, the stalest are dropped.
    Transactions {
        /// Who brought it; seldom who made it.
        from: PeerId,
        /// Transactions that the chain allows, with their senders; at least one.
        transactions: Vec<Transaction>,
    },
    /// Gossip brought something about a view. It goes on if `verdict` says so in time; dropped, it is ignored.
    Announced {
        /// Who brought it; seldom who made it.
        from: PeerId,
        /// What it says; signatures are not checked.
        announcement: Announcement,
        /// Takes the judgement.
        verdict: oneshot::Sender<Acceptance>,
    },
    /// A peer asks. If `respond` is dropped or not used in time, the answer is [`SyncResponse::Unavailable`].
    SyncRequest {
        /// Who asks.
        from: PeerId,
        /// What it asks.
        request: SyncRequest,
        /// Takes the answer.
        respond: oneshot::Sender<SyncResponse>,
    },
    /// A member of the running epoch is connected: a peer has proven to speak for it, or the epoch began with it connected.
    MemberConnected {
        /// The epoch that runs.
        epoch: Epoch,
        /// Its member.
        member: MemberIndex,
    },
    /// The last connection with the last peer that spoke for a member of the running epoch ended.
    MemberDisconnected {
        /// The epoch that runs.
        epoch: Epoch,
        /// Its member.
        member: MemberIndex,
    },
    /// A peer was disconnected and is refused for a while.
    PeerRefused {
        /// The peer.
        peer: PeerId,
        /// Why.
        reason: Refusal,
    },
}

/// Why a peer is refused for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It serves another chain, or a version of the protocol that we do not know.
    OtherChain {
        /// What we speak: version, L1 chain id, registry, L2 chain id.
        ours: String,
        /// What it says it speaks.
        theirs: String,
    },
    /// Its faults exceed the budget.
    Faults {
        /// The last of them.
        last: Fault,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherChain { ours, theirs } => write!(f, "it speaks {theirs}, we speak {ours}"),
            Self::Faults { last } => write!(f, "too many faults, the last: {last}"),
        }
    }
}

/// Why a network does not start.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum StartError {
    #[error("observer {0} is configured twice, or is a peer as well, or ourselves")]
    DuplicatePeer(PeerId),
    #[error("cannot listen on {address}: {source}")]
    Listen { address: Multiaddr, source: io::Error },
    #[error("not listening on all addresses after {0:?}")]
    ListenTimeout(Duration),
    #[error("addresses with names need a resolver: {0}")]
    Dns(io::Error),
    #[error("network set-up: {0}")]
    Setup(String),
}
