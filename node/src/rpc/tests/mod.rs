//! The server as clients see it: real HTTP requests and WebSockets to a real listener, over a ledger and a pool in memory.

mod bodies;
mod called;
mod calls;
mod execution;
mod fees;
mod filters;
mod logs;
mod node;
mod proof;
mod subscriptions;
mod sync_send;
mod traces;
mod transport;
mod txpool;
mod websocket;
