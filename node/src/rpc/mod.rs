//! The JSON-RPC server that wallets, scripts and operators talk to.
//!
//! ```text
//!  connection ──▶ listener    how many, how long, addressed to whom
//!                     │ upgrade
//!                     ▼
//!                  socket     one WebSocket: messages in flight, pings, clients that do not read
//!      request ──▶ gate       size and time of a batch, size of an answer, room for those not read yet
//!         call ──▶ calls      unknown methods, subscriptions where they can be had
//!                     ├──▶ methods        one blocking function per method, off the async loop, a few at a time (threads)
//!                     │       ├──▶ ledger, pool, status: what is true     (chain, transactions, tx_status, status)
//!                     │       └──▶ Submit: the node takes a transaction
//!                     └──▶ subscriptions ──▶ feed: what became true, in order, from a cursor on
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

mod accounts;
mod arguments;
mod at;
mod bodies;
mod call;
mod call_object;
mod calls;
mod chain;
mod context;
mod cursor;
mod duties;
mod error;
mod feed;
mod fees;
mod fill;
mod filters;
mod forced;
mod gate;
mod host;
mod limits;
mod listener;
mod logs;
mod methods;
mod proof;
mod receipts;
mod render;
mod socket;
mod status;
mod subscriptions;
mod sync_send;
mod threads;
mod trace;
mod transactions;
mod tx_status;
mod txpool;
mod unread;

pub use context::{RpcContext, Submit};
pub use cursor::CursorError;
pub use duties::{DutiesView, JailView, MemberDuties, SequencerView};
pub use error::RpcError;
pub use feed::Announcements;
pub use listener::{RpcServer, serve};
pub use status::{CommitteeView, MemberView, TurnView};

#[cfg(test)]
mod tests;
