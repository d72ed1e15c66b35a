//! Catching up: final blocks come from peers in ranges with a certificate, and nobody is believed without one.
//!
//! A range is consecutive blocks, the headers above them up to a finalized one, and that one's finalization. The
//! certificate proves the last header, and every parent digest proves the one below it: so a range proves itself, in
//! whatever order ranges come, and a lying server can only waste one request before another is asked.
//!
//! ```text
//!   finalization far above our head
//!        │ target
//!        ▼
//!    CatchUp ──▶ plan: which range of whom ──▶ members, several at once ──▶ prove_range, each on its own
//!        ▲                                                                      │
//!        └── held within HELD_BYTES_MAX until their turn ◀──────────────────────┘
//!        │ in order
//!        ▼
//!    driver: execute, one synced ledger step per range
//! ```

mod catch_up;
mod pace;
mod parts;
mod plan;
mod range;
mod serve;
mod source;
#[cfg(test)]
mod tests;

pub use catch_up::CatchUp;
pub use pace::{Line, Pace};
pub use range::{ProvenRange, RangeError, prove_range};
pub use serve::answer;
pub use source::RangeSource;

/// Most bytes of memory that a run of catching up holds ahead of the ledger, answers that are on their way included.
pub const HELD_BYTES_MAX: usize = plan::HELD_BYTES_MAX;
