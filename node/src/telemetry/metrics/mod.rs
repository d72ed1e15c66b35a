//! Numbers for Prometheus: `baton_<subsystem>_<name>_<unit>`, in the OpenMetrics text format.
//!
//! A stage counts what only it sees in its own fields of [`Metrics`]; what is kept anyway (the status, the network's
//! counters, intents) is read when somebody asks. Labels are few and fixed: never a peer, an account or a hash.

mod consensus;
mod process;
mod rpc;
mod scrape;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::Address;
use baton_mempool::Pool;
use prometheus_client::{
    encoding::text::encode,
    metrics::{gauge::ConstGauge, info::Info},
    registry::{Metric, Registry},
};
use tokio::sync::watch;

pub use self::{consensus::ConsensusMetrics, rpc::RpcMetrics};
use self::{
    process::Process,
    scrape::{LivenessSource, NetworkSource, PoolSource, PostingSource, StatusSource},
};
use super::NodeStatus;
use crate::{epoch::EpochBook, l1::LivenessView, ledger::Ledger, p2p::Network};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every number that the node shows. Clones share them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    /// What the driver and the checks before it count.
    pub consensus: ConsensusMetrics,
    /// What the JSON-RPC server counts.
    pub rpc: RpcMetrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("baton");
        registry.register("up", "1 while the process runs", ConstGauge::new(1_u64));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "What is running", build);
        registry.register_collector(Box::new(Process));
        let consensus = ConsensusMetrics::new(registry.sub_registry_with_prefix("consensus"));
        let rpc = RpcMetrics::new(registry.sub_registry_with_prefix("rpc"));
        Self { registry: Arc::new(Mutex::new(registry)), consensus, rpc }
    }
}

impl Metrics {
    /// Shows what the status says, from its first moment on.
    pub fn show_status(&self, status: watch::Receiver<NodeStatus>) {
        self.registry(|registry| registry.register_collector(Box::new(StatusSource { status })));
    }

    /// Shows the committee as far as it is connected, and what the network counts.
    pub fn show_network(&self, network: Network, epochs: EpochBook) {
        self.registry(|registry| registry.register_collector(Box::new(NetworkSource { network, epochs })));
    }

    /// Shows what the pool counts.
    pub fn show_pool(&self, pool: Arc<Mutex<Pool>>) {
        self.registry(|registry| registry.register_collector(Box::new(PoolSource { pool })));
    }

    /// Shows what the posting account has on its way to L1.
    pub fn show_posting(&self, ledger: Arc<dyn Ledger>, account: Address) {
        self.registry(|registry| registry.register_collector(Box::new(PostingSource { ledger, account })));
    }

    /// Shows rewards and jail on L1.
    pub fn show_liveness(&self, liveness: watch::Receiver<Option<LivenessView>>) {
        self.registry(|registry| registry.register_collector(Box::new(LivenessSource { liveness })));
    }

    /// Writes all of it. Reads the ledger, so it may block.
    ///
    /// # Errors
    /// Never in practice: text is written to memory.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.registry(|registry| encode(&mut text, registry))?;
        Ok(text)
    }

    fn registry<R>(&self, use_it: impl FnOnce(&mut Registry) -> R) -> R {
        use_it(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Registers a metric and returns the handle to count with.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use baton_proto::L2ChainId;

    use super::*;

    #[test]
    fn every_series_has_the_prefix_and_the_text_ends_as_the_format_demands() {
        let metrics = Metrics::default();
        let (_publish, status) = watch::channel(NodeStatus::starting(L2ChainId::new(6_000)));
        metrics.show_status(status);
        metrics.consensus.proposals_received.inc();
        metrics.rpc.called("eth_chainId", std::time::Duration::from_millis(2), false);
        let text = metrics.encode().unwrap();
        assert!(text.ends_with("# EOF\n"), "{text}");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            assert!(line.starts_with("baton_"), "{line}");
        }
        for expected in [
            "baton_up 1",
            "baton_consensus_proposals_received_total 1",
            "baton_rpc_calls_total{method=\"eth_chainId\",outcome=\"answered\"} 1",
            "baton_rpc_call_duration_seconds_count{method=\"eth_chainId\"} 1",
            "baton_node_ready 0",
        ] {
            assert!(text.lines().any(|line| line == expected), "{expected} is missing in\n{text}");
        }
        #[cfg(target_os = "linux")]
        for name in ["baton_process_resident_memory_bytes ", "baton_process_cpu_seconds_total "] {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            assert!(line.parse::<f64>().is_ok_and(|value| value > 0.0), "{name}{line}");
        }
    }
}
