//! What must hold of everything that Baton signs, sends and stores.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod batch_data;
mod digests;
mod golden;
#[expect(dead_code, reason = "some strategies wait for their laws")]
mod strategies;
