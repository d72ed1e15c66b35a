//! Simplex consensus weighted by stake, as a deterministic machine: inputs in, effects out.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod bls;
mod committee;
mod duties;
mod effect;
mod input;
mod schedule;
mod scheme;
mod verified;

pub use bls::{MinSig, SecretKey, aggregate, to_eip2537, verify_possession};
pub use committee::{Committee, CommitteeError, CommitteeMember};
pub use duties::DutyTable;
pub use effect::{Effect, Outgoing};
pub use input::{Config, Input, Recovered, Timer, Verdict};
pub use schedule::Schedule;
pub use scheme::Scheme;
pub use verified::{KeyError, Verified, Verifier, VerifyError};
