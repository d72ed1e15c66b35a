//! What the node tells its operator: the log, one status that everything reads, numbers, and the health endpoints.

pub mod health;
pub mod log;
pub mod metrics;
mod readiness;
mod status;

pub use metrics::Metrics;
pub use readiness::{Duty, NotReady, NotReadyCode};
pub use status::{NodeStatus, STATUS_LINE_INTERVAL, SyncProgress, run_status_line};
