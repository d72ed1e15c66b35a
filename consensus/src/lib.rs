//! Simplex consensus weighted by stake, as a deterministic machine: inputs in, effects out.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects, clippy::indexing_slicing))]

pub mod bls;
mod chain;
mod committee;
mod duties;
mod effect;
mod input;
mod machine;
mod rejected;
mod schedule;
mod scheme;
mod tally;
mod verified;
mod view;

pub use bls::{MinSig, SecretKey, aggregate, to_eip2537, verify_possession};
pub use committee::{Committee, CommitteeError, CommitteeMember};
pub use duties::DutyTable;
pub use effect::{Effect, Outgoing};
pub use input::{Config, Input, Recovered, Timer, Verdict};
pub use machine::{AHEAD_VIEWS, Machine, RETENTION_VIEWS};
pub use rejected::Rejected;
pub use schedule::Schedule;
pub use scheme::Scheme;
pub use verified::{KeyError, Verified, Verifier, VerifyError};
