//! Tests with a real anvil, which `npm ci` in `contracts/` brings, and vectors that the contracts' own tests read.

mod contracts;
mod deployment;
mod facts;
mod forced;
mod inbox;
mod majority;
mod materialize;
mod reporter;
mod reporter_order;
mod sender;
mod settler;
mod vectors;
mod watcher;
