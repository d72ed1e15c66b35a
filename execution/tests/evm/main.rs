//! The embedded EVM from outside: blocks, refusals, reads and traces, and the same transactions on anvil.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod anvil;
mod blocks;
mod calls;
mod code;
mod differential;
mod kit;
mod skips;
mod traces;
