//! L1: reading what is final, following what is new, and getting transactions in.
//!
//! ```text
//!   L1Client ──▶ Watcher ──▶ L1View, Origins          what consensus and status read
//!      │    ╲──▶ inbox watcher ──▶ InboxView          where the chain of batches stands
//!      │
//!      ╰──▶ Sender (one per account, durable intents)
//!              ├── Poster    certified batches
//!              └── Reporter  evidence, and the duties of closed epochs
//! ```
//! Nothing here decides about blocks: only final L1 blocks reach consensus, through [`Origins`]. When L1 is down every
//! task goes on asking, says so once, and takes up its work where it was when L1 returns.

mod account;
mod anvil;
mod beacon;
pub mod bindings;
mod client;
mod committees;
mod data_price;
pub mod deploy;
mod description;
mod epoch_facts;
mod error;
mod facts;
mod fees;
mod forced;
mod forgotten;
mod inbox;
mod kzg;
mod liveness;
mod log_ranges;
mod materialize;
mod median;
mod origins;
mod poster;
mod reexecution;
mod replay;
mod reporter;
mod sender;
mod settler;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod watcher;

pub use account::{AccountConfig, AccountContext};
pub use anvil::{Anvil, AnvilError, AnvilOptions};
pub use bindings::RevertReason;
pub use client::{At, Broadcast, CALL_TIMEOUT, L1Block, L1Client};
pub use data_price::{DataChoice, DataPrices, cheaper};
pub use description::{Description, DescriptionError};
pub(crate) use epoch_facts::committee;
pub use epoch_facts::{EpochFacts, coming_committees, decided_at, read_epoch_facts};
pub use error::L1Error;
pub use facts::{ChainFacts, FACTS_KEY, FIRST_EPOCH, FactsError, chain_facts, read_chain_facts};
pub use fees::{AboveCeiling, Fees};
pub use forced::{due as forced_due, is_due as forced_is_due, nothing_read, read_entries};
pub(crate) use forgotten::Forgotten;
pub use inbox::{InboxTip, InboxView, read_tip, spawn_inbox_watcher};
pub use kzg::{KzgError, Sidecar, data_hash};
pub use liveness::{LivenessView, SequencerStanding, SettledDuties, spawn_liveness_watcher};
pub use origins::{OriginVerdict, Origins};
pub use poster::{CertifiedBatch, Poster, PosterStatus};
pub use reexecution::{ReexecutionError, execute_posted};
pub use replay::{Had, PostedBatch, PostedChain, ReplayError, posted_batches, read_posted_chain};
pub use reporter::{CONFLICT_KEY, rank as report_rank, report_rest, spawn_reporter};
pub use sender::{Call, SendError, Sender, SenderConfig, Standing};
pub use watcher::{L1Head, L1View, Watcher};
