//! What `make bench` measures, on the machine at hand: a network under load, consensus alone, consensus in the simulator, and
//! gas on L1.
//!
//! Everything runs as operators run it: `baton` processes, an L1, disks that sync. The load generator shares the cores with
//! the nodes, so its own share is measured too.

pub mod engine;
pub mod finality;
pub mod gas;
pub mod machine;
pub mod network;
pub mod pool;
pub mod process;
pub mod samples;
pub mod simulated;
pub mod table;
pub mod transfers;
pub mod users;

/// Says on the error stream what is being done, so that the table alone goes to standard output.
pub fn say(what: impl std::fmt::Display) {
    eprintln!("bench: {what}");
}
