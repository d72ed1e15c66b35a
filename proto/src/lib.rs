//! What Baton nodes sign, send and store, and the words that everyone shares.
//!
//! - [`Block`] is what consensus agrees on, [`BatchHeader`] what goes to L1, [`Statement`] what a BLS key signs,
//!   [`Certificate`] a statement signed by a quorum, [`Evidence`] two statements that an honest key never signs both.
//! - Every digest that L1 rebuilds is made here and pinned by `contracts/test/vectors/digests.json`, which Rust and
//!   Solidity tests both read.
//! - Bytes from outside become these types in [`wire`], [`batch_data`] and [`blobs`] alone, and there every size is bounded
//!   ([`limits`]).
//!
//! Nothing here does I/O, reads a clock or checks a BLS signature: `baton-consensus` does the last, and says so by a type.

mod abi;
pub mod batch;
pub mod batch_data;
pub mod blobs;
mod block;
mod bls;
mod certificate;
mod evidence;
mod forced;
mod ids;
pub mod limits;
pub mod merkle;
mod peer_proof;
mod spec;
mod statement;
mod transaction;
pub mod wire;

pub use batch::{BatchHeader, DataKind, Duties, duties_root};
pub use block::{Block, BlockHeader, L1Origin, PayloadCommitment};
pub use bls::{BlsPublicKey, BlsSignature, PEER_DST, POSSESSION_DST, STATEMENT_DST};
pub use certificate::{Certificate, SignerSet};
pub use evidence::{Conflict, Evidence, Offence};
pub use forced::{Forced, ForcedEntry, ForcedFlaw, RAW_TRANSACTION};
pub use ids::{
    BatchHash, BatchIndex, BlockDigest, Epoch, Height, L1BlockNumber, L1ChainId, L2ChainId, MemberIndex, TimestampMs,
    View, Weight,
};
pub use peer_proof::PeerProof;
pub use spec::{ChainSpec, Epochs, ExecutorKind, OrderingRule, SpecError};
pub use statement::{Attestation, Domain, SignedStatement, Statement, StatementKind};
pub use transaction::{Transaction, TransactionError};
