//! Tests with a real anvil, which `npm ci` in `contracts/` brings.

mod contracts;
mod deployment;
mod facts;
mod forced;
mod inbox;
mod reporter;
mod sender;
mod settler;
mod watcher;
