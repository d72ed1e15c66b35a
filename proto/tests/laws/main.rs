//! What must hold of everything that Baton signs, sends and stores.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod batch_data;
mod blobs;
mod digests;
mod evidence;
mod forced;
mod golden;
mod largest_block;
mod merkle;
mod strategies;
mod transactions;
mod wire;
mod wire_limits;
