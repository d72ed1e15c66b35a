//! From final blocks to batches on L1: who closes a batch, who attests it, who posts it.

mod rules;

pub use rules::{ProposalError, Situation, block_count, rank};
