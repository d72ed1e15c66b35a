//! Catching up: final blocks come from peers in ranges with a certificate, and nobody is believed without one.
//!
//! A range is consecutive blocks, the headers above them up to a finalized one, and that one's finalization. The
//! certificate proves the last header, every parent digest proves the one below it, and the first must name the asker's own
//! final head as its parent: so a lying server can only waste one request before another is asked.

mod catch_up;
mod parts;
mod range;
mod serve;

pub use catch_up::{CatchUp, Progress};
pub use range::{RangeError, VerifiedRange, verify_range};
pub use serve::answer;
