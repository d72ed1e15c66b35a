//! Transactions waiting for a place in a block: who may wait, for how long, and who goes first.
//!
//! - [`Pool::add`] admits a transaction or says why not, in the words that clients know from geth.
//! - Each account has one queue by nonce. The run of consecutive nonces that starts at the account's next nonce is
//!   *executable*; what lies beyond a gap is *gapped*, waits, and is never selected.
//! - [`Pool::select`] gives a leader the transactions of its block in the chain's ordering rule; [`order::obeys`] and
//!   [`order::consecutive_nonces`] are how voters check the order that they are given.
//! - Every quantity is bounded (see [`PoolConfig`]). When the pool is full the newcomer takes the place of what is worth
//!   least, or is refused: gapped before executable, then the lowest fee *on the way to it*. A transaction is never worth
//!   more than those that must run before it, so a rich tail cannot shelter a queue of worthless predecessors.
//!
//! Final nonces are the only state the pool judges by. They come from the caller ([`Nonces`], [`Pool::on_final`]), as time
//! does: nothing here reads a clock, a disk or a network, and equal calls give equal pools everywhere.

mod account;
mod admission;
mod config;
mod counts;
mod departed;
mod error;
mod gas;
mod inspect;
pub mod order;
mod pool;
mod select;
#[cfg(test)]
mod testing;

pub use admission::TransactionRules;
pub use config::PoolConfig;
pub use counts::PoolCounts;
pub use departed::Fate;
pub use error::PoolError;
pub use gas::{floor_gas, intrinsic_gas};
pub use inspect::{Standing, Standings};
pub use pool::{Added, Nonces, Pool, Waiting};
pub use select::Selection;
