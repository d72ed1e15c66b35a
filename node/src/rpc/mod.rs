//! The JSON-RPC server that wallets, scripts and operators talk to.
//!
//! ```text
//!  connection ──▶ listener    how many, how long, addressed to whom
//!      request ──▶ gate       size and time of a batch, unknown methods, size of an answer
//!         call ──▶ methods    one blocking function per method, off the async loop, a few at a time
//!                     │
//!                     ├──▶ ledger, pool, status: what is true        (chain, transactions, status)
//!                     └──▶ Submit: the node takes a transaction
//! ```
//! Methods, error codes and texts are the ones that clients know from geth: they match strings, not codes.
//!
//! | tag | the block |
//! | --- | --- |
//! | `latest` | the last final block: never lost or reordered while less than a third of weight is Byzantine |
//! | `safe` | the last block in a batch that L1 accepted |
//! | `finalized` | the last block in a batch in a finalized L1 block |
//! | `pending` | as `latest`; only nonces look into the pool |
//! | `earliest` | genesis |
//!
//! Source: protocol section 10.

mod arguments;
mod chain;
mod context;
mod error;
mod gate;
mod host;
mod listener;
mod methods;
mod render;
mod status;
mod transactions;

pub use context::{RpcContext, Submit};
pub use error::RpcError;
pub use listener::{RpcServer, serve};
pub use status::{CommitteeView, MemberView};

#[cfg(test)]
mod tests;
