//! The server as clients see it: real HTTP requests and WebSockets to a real listener, over a ledger and a pool in memory.

mod bodies;
mod calls;
mod filters;
mod node;
mod subscriptions;
mod transport;
mod txpool;
mod websocket;
