//! The server as clients see it: real HTTP requests and WebSockets to a real listener, over a ledger and a pool in memory.

mod calls;
mod node;
mod subscriptions;
mod transport;
mod websocket;
