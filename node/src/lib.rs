//! The Baton sequencer node: everything with a side effect. The protocol's rules live in `baton-consensus`.

pub mod admission;
pub mod batcher;
pub mod cli;
pub mod config;
pub mod devnet;
pub mod driver;
mod durable_file;
pub mod duties;
pub mod epoch;
pub mod l1;
pub mod ledger;
pub mod node;
pub mod p2p;
pub mod proof;
pub mod proposer;
pub mod rpc;
pub mod signer;
pub mod sync;
pub mod telemetry;
pub mod validity;
