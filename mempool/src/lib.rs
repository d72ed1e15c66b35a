//! Transactions waiting for a place in a block: who may wait, for how long, and who goes first.
//!
//! - [`Pool::add`] admits a transaction or says why not, in the words that clients know from geth.
//! - Each account has one queue by nonce. The run of consecutive nonces that starts at the account's next nonce and that its
//!   balance covers is *executable*; what lies beyond is *gapped*: it waits for a nonce or for money, and is never selected.
//!   What offers less than the base fee stays where it is and is not selected before the base fee has fallen.
//! - [`Pool::select`] gives a leader the transactions of its block in the chain's ordering rule; [`order::obeys`] and
//!   [`order::consecutive_nonces`] are how voters check the order that they are given.
//! - Every quantity is bounded (see [`PoolConfig`]). When the pool is full the newcomer takes the place of what is worth
//!   least, or is refused: gapped before executable, then the lowest fee *on the way to it*. A transaction is never worth
//!   more than those that must run before it, so a rich tail cannot shelter a queue of worthless predecessors.
//!
//! Nonce, balance and code of final state are all that the pool judges by; they are judged again when a final block changes
//! them, so that nothing is kept that can never be paid for. They come from the caller ([`Accounts`], [`Pool::on_final`]), as
//! time does: nothing here reads a clock, a disk or a network, and equal calls give equal pools everywhere.

mod account;
mod accounts;
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

pub use accounts::{AccountCode, AccountFacts, Accounts, cost};
pub use admission::TransactionRules;
pub use config::PoolConfig;
pub use counts::PoolCounts;
pub use departed::Fate;
pub use error::PoolError;
pub use gas::{floor_gas, intrinsic_gas};
pub use inspect::{Standing, Standings};
pub use pool::{Added, Pool, Settled, Waiting};
pub use select::{InFlight, Selection};
