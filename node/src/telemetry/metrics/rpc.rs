//! What the JSON-RPC server counts.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::register;

/// Seconds of a call: 100 µs, in threes, to 20 s.
fn call_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 3.0, 12))
}

/// A method of the table; what clients make up counts as `unknown`, so that they cannot make series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Method {
    method: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    method: &'static str,
    outcome: &'static str,
}

/// Numbers of the JSON-RPC server.
#[derive(Clone, Debug)]
pub struct RpcMetrics {
    calls: Family<Outcome, Counter>,
    durations: Family<Method, Histogram, fn() -> Histogram>,
    /// Open connections, WebSockets among them.
    pub connections: Gauge,
    /// Open WebSockets.
    pub websockets: Gauge,
    /// Connections that were closed at once because too many were open.
    pub connections_refused: Counter,
    /// Bytes of large answers that their clients have yet to read.
    pub unread_bytes: Gauge,
}

impl RpcMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            calls: register(r, "calls", "Calls by method and whether they were answered or refused", Family::default()),
            durations: register(
                r,
                "call_duration_seconds",
                "Time from a call's turn at the gate to its answer",
                Family::new_with_constructor(call_seconds as fn() -> Histogram),
            ),
            connections: register(r, "connections", "Open connections", Gauge::default()),
            websockets: register(r, "websockets", "Open WebSockets", Gauge::default()),
            connections_refused: register(
                r,
                "connections_refused",
                "Connections closed at once because too many were open",
                Counter::default(),
            ),
            unread_bytes: register(
                r,
                "unread_bytes",
                "Bytes of large answers that their clients have yet to read",
                Gauge::default(),
            ),
        }
    }

    /// A call of a known method was answered after `took`.
    pub fn called(&self, method: &'static str, took: Duration, refused: bool) {
        let outcome = if refused { "refused" } else { "answered" };
        self.calls.get_or_create(&Outcome { method, outcome }).inc();
        self.durations.get_or_create(&Method { method }).observe(took.as_secs_f64());
    }
}
