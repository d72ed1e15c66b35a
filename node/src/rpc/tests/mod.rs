//! The server as clients see it: real HTTP requests to a real listener, over a ledger and a pool in memory.

mod calls;
mod node;
mod transport;
