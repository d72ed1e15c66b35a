//! `/livez`, `/readyz` and `/metrics`, on a listener of their own.

use std::io;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use super::{Metrics, NodeStatus, NotReady, metrics};

/// Answer of `/readyz`: status 200 if ready, else 503.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether every duty is allowed and nothing is wrong.
    pub ready: bool,
    /// What is wrong and which duties it forbids; absent when ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<NotReady>,
}

/// Answer of `/livez`: status 200 whenever the process answers at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Liveness {
    /// Always true.
    pub alive: bool,
}

/// Serves all endpoints until `stop`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    status: watch::Receiver<NodeStatus>,
    metrics: Metrics,
    stop: CancellationToken,
) -> io::Result<()> {
    axum::serve(listener, router(status, metrics)).with_graceful_shutdown(stop.cancelled_owned()).await
}

fn router(status: watch::Receiver<NodeStatus>, metrics: Metrics) -> Router {
    let numbers = Router::new().route("/metrics", get(numbers)).with_state(metrics);
    Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).with_state(status).merge(numbers)
}

/// Off the async loop, because some numbers are read from the disk.
async fn numbers(State(metrics): State<Metrics>) -> Response {
    match tokio::task::spawn_blocking(move || metrics.encode()).await {
        Ok(Ok(text)) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn livez() -> Json<Liveness> {
    Json(Liveness { alive: true })
}

async fn readyz(State(status): State<watch::Receiver<NodeStatus>>) -> (StatusCode, Json<Readiness>) {
    let status = status.borrow();
    let code = if status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Readiness { ready: status.is_ready(), reasons: status.not_ready.clone() }))
}

#[cfg(test)]
mod tests {
    use baton_proto::L2ChainId;
    use serde_json::{Value, json};

    use super::*;

    async fn get(url: String) -> (u16, Value) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    #[tokio::test]
    async fn ready_follows_the_status_and_alive_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (publish, status) = watch::channel(NodeStatus::starting(L2ChainId::new(6_000)));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve(listener, status, Metrics::default(), stop.clone()));

        assert_eq!(get(format!("{url}/livez")).await, (200, json!({"alive": true})));
        let (code, body) = get(format!("{url}/readyz")).await;
        assert_eq!((code, &body["ready"]), (503, &json!(false)));
        assert_eq!(body["reasons"][0]["code"], "starting");

        publish.send_modify(|status| status.not_ready.clear());
        assert_eq!(get(format!("{url}/readyz")).await, (200, json!({"ready": true})));

        publish.send_modify(|status| status.not_ready.push(NotReady::l1_stale(None, "refused")));
        let (code, body) = get(format!("{url}/readyz")).await;
        assert_eq!(code, 503);
        assert_eq!(
            body["reasons"],
            json!([{"code": "l1Stale", "message": "no l1 head seen: refused", "forbids": ["newOrigin", "attest", "post"]}])
        );
        assert_eq!(get(format!("{url}/livez")).await.0, 200);

        let answer = reqwest::get(format!("{url}/metrics")).await.unwrap();
        assert_eq!(answer.headers()["content-type"], metrics::CONTENT_TYPE);
        assert!(answer.text().await.unwrap().contains("\nbaton_up 1\n"));

        stop.cancel();
        server.await.unwrap().unwrap();
    }
}
