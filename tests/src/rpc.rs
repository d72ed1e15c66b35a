//! A JSON-RPC client that shows exactly what the server said.

use std::time::Duration;

use serde_json::{Value, json};

/// How long one call may take on a busy machine.
const CALL_WITHIN: Duration = Duration::from_secs(30);

/// An error object of JSON-RPC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcError {
    /// The code.
    pub code: i64,
    /// The text that clients match on.
    pub message: String,
}

/// One endpoint.
#[derive(Clone, Debug)]
pub struct Rpc {
    url: String,
    client: reqwest::Client,
}

impl Rpc {
    /// Points at `url`; nothing is sent yet.
    #[must_use]
    pub fn new(url: &str) -> Self {
        // Plain HTTP only, but the TLS stack wants its provider named once per process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(CALL_WITHIN).build().expect("no option can fail");
        Self { url: url.to_owned(), client }
    }

    /// Returns the endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls a method. The outer result is about the connection, the inner one is what the server answered.
    ///
    /// # Errors
    /// When no well-formed answer came.
    pub async fn try_call(&self, method: &str, params: Value) -> anyhow::Result<Result<Value, RpcError>> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = self.client.post(&self.url).json(&body).send().await?.json().await?;
        if let Some(error) = answer.get("error") {
            let code = error["code"].as_i64().unwrap_or_default();
            return Ok(Err(RpcError { code, message: error["message"].as_str().unwrap_or_default().to_owned() }));
        }
        Ok(Ok(answer.get("result").cloned().unwrap_or(Value::Null)))
    }

    /// Posts a whole request, one call or a batch, and returns the answer's bytes unread.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn post(&self, request: Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let post = self.client.post(&self.url).header("content-type", "application/json").body(request);
        let answer = post.send().await.and_then(reqwest::Response::error_for_status)?;
        Ok(answer.bytes().await?.into())
    }

    /// Calls a method that must succeed.
    ///
    /// # Errors
    /// When it does not; the message says what was called where.
    pub async fn call(&self, method: &str, params: Value) -> anyhow::Result<Value> {
        let answer =
            self.try_call(method, params).await.map_err(|error| error.context(format!("{method} at {}", self.url)))?;
        answer.map_err(|error| anyhow::anyhow!("{method} at {}: {error}", self.url))
    }

    /// Returns the final height.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn height(&self) -> anyhow::Result<u64> {
        quantity(&self.call("eth_blockNumber", json!([])).await?)
    }

    /// Returns the block at `height` with full transactions, or null.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn block(&self, height: u64) -> anyhow::Result<Value> {
        self.call("eth_getBlockByNumber", json!([format!("{height:#x}"), true])).await
    }
}

/// Reads a JSON-RPC quantity.
///
/// # Errors
/// When it is none.
pub fn quantity(value: &Value) -> anyhow::Result<u64> {
    let text = value.as_str().ok_or_else(|| anyhow::anyhow!("not a quantity: {value}"))?;
    Ok(u64::from_str_radix(text.trim_start_matches("0x"), 16)?)
}
