//! `baton health`: the check for container engines, whose images have no curl.

use std::time::Duration;

use clap::Args;
use reqwest::Url;

use crate::telemetry::health::Readiness;

/// Longest that the node may take to answer: a check that hangs is a node that hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Arguments of `baton health`.
#[derive(Clone, Debug, Args)]
pub struct HealthArgs {
    /// The node's readiness endpoint.
    #[arg(long, env = "BATON_HEALTH_URL", default_value = "http://127.0.0.1:9001/readyz")]
    pub url: Url,
}

/// Why the node does not count as ready.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum HealthError {
    #[error("no answer from {url}: {why}")]
    NoAnswer { url: Url, why: String },
    #[error("not ready: {0}")]
    NotReady(String),
}

/// Asks once and says what it heard.
pub(super) async fn run(args: HealthArgs) -> Result<(), HealthError> {
    let readiness = ask(&args.url).await.map_err(|why| HealthError::NoAnswer { url: args.url, why })?;
    if !readiness.ready {
        let reasons: Vec<_> = readiness.reasons.iter().map(ToString::to_string).collect();
        return Err(HealthError::NotReady(reasons.join("; ")));
    }
    println!("ready");
    Ok(())
}

async fn ask(url: &Url) -> Result<Readiness, String> {
    let text = |error: reqwest::Error| {
        // The outer message repeats the URL; the cause is what helps.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    };
    let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).no_proxy().build().map_err(text)?;
    client.get(url.clone()).send().await.map_err(text)?.json().await.map_err(text)
}

#[cfg(test)]
mod tests {
    use baton_proto::L2ChainId;
    use tokio::{net::TcpListener, sync::watch};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        cli::CliError,
        telemetry::{Metrics, NodeStatus, health::serve},
    };

    #[tokio::test]
    async fn ready_is_0_and_anything_else_is_1_with_the_reasons() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: Url = format!("http://{}/readyz", listener.local_addr().unwrap()).parse().unwrap();
        let (publish, status) = watch::channel(NodeStatus::starting(L2ChainId::new(6_000)));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, status, Metrics::default(), stop.clone()));

        let error = run(HealthArgs { url: url.clone() }).await.unwrap_err();
        assert_eq!(error.to_string(), "not ready: starting");
        assert_eq!(CliError::from(error).exit_code(), 1);
        publish.send_modify(|status| status.not_ready.clear());
        run(HealthArgs { url: url.clone() }).await.unwrap();

        stop.cancel();
        server.await.unwrap().unwrap();
        let error = run(HealthArgs { url }).await.unwrap_err();
        assert!(matches!(error, HealthError::NoAnswer { .. }), "{error}");
    }
}
