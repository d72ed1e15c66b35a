//! What the end-to-end stories share: a devnet of real processes, clients, and a witness that records statements.
//!
//! Stories wait for events with a generous limit, never for an amount of time, and stop every process they started by
//! its id, also when they fail.

pub mod bench;
pub mod devnet;
pub mod follower;
pub mod history;
pub mod metrics;
pub mod reserved;
pub mod rpc;
pub mod transactions;
pub mod witness;
