//! L1 over JSON-RPC: several endpoints tried in order, each known to be on the right chain before it is believed.

mod majority;

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    network::{Ethereum, TransactionBuilder},
    providers::{Provider, RootProvider},
    rpc::{
        json_rpc::{ErrorPayload, RpcError, RpcRecv, RpcSend},
        types::{Filter, Log, Transaction, TransactionReceipt, TransactionRequest},
    },
    transports::{HttpError, TransportError, TransportErrorKind},
};
use alloy_primitives::{Address, B256, Bytes, TxHash};
use alloy_sol_types::SolCall;
use baton_proto::{L1BlockNumber, L1ChainId, L1Origin};

use super::{
    beacon::Beacon, bindings::RevertReason, error::L1Error, log_ranges::LogRange, median::median, sender::Call,
};

/// How long one call to one endpoint may take, by default.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Most endpoints: each is asked in turn, so a long list would only delay the answer that none works.
pub(super) const ENDPOINTS_MAX: usize = 8;

/// HTTP's words for one that asks too often, and for one that asks for too much.
const TOO_MANY_REQUESTS: u16 = 429;
const PAYLOAD_TOO_LARGE: u16 = 413;

/// The parts of an L1 block header that Baton reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Block {
    /// Number and hash.
    pub origin: L1Origin,
    /// Unix seconds.
    pub timestamp_s: u64,
    /// `prevrandao`.
    pub mix_hash: B256,
    /// Wei per gas; 0 before EIP-1559.
    pub base_fee_wei: u128,
}

/// Which state of L1 is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The newest block.
    Latest,
    /// The newest block that L1 calls final.
    Finalized,
    /// A block by number.
    Number(L1BlockNumber),
}

impl At {
    const fn tag(self) -> BlockNumberOrTag {
        match self {
            Self::Latest => BlockNumberOrTag::Latest,
            Self::Finalized => BlockNumberOrTag::Finalized,
            Self::Number(number) => BlockNumberOrTag::Number(number.get()),
        }
    }
}

/// What a broadcast achieved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// At least one endpoint holds the transaction.
    Accepted,
    /// Every endpoint that answered says that the nonce is used up.
    NonceTooLow,
    /// Every endpoint that answered wants more for replacing the transaction it holds at this nonce.
    Underpriced,
    /// Every endpoint that answered refused; this is the first reason.
    Refused(String),
}

struct Endpoint {
    /// Scheme, host and port only: paths and queries often hold access keys.
    label: String,
    provider: RootProvider<Ethereum>,
    chain_checked: AtomicBool,
}

/// A client of one L1 chain. Cheap to clone.
#[derive(Clone)]
pub struct L1Client {
    endpoints: Arc<[Endpoint]>,
    /// `None` where nobody said whom to ask for blobs.
    beacon: Option<Beacon>,
    chain_id: L1ChainId,
    timeout: Duration,
    /// Shared by all who ask for logs.
    log_range: Arc<LogRange>,
}

impl fmt::Debug for L1Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.endpoints.iter().map(|endpoint| endpoint.label.as_str()).collect();
        f.debug_struct("L1Client").field("chain_id", &self.chain_id).field("endpoints", &labels).finish()
    }
}

impl L1Client {
    /// Makes a client of chain `chain_id` that asks `urls` in this order. Nothing is sent yet.
    ///
    /// # Errors
    /// [`L1Error::EndpointCount`], [`L1Error::BadUrl`].
    pub fn new(urls: &[String], chain_id: L1ChainId, timeout: Duration) -> Result<Self, L1Error> {
        if urls.is_empty() || urls.len() > ENDPOINTS_MAX {
            return Err(L1Error::EndpointCount { got: urls.len() });
        }
        // reqwest is built without a provider of its own and panics without one; whoever came first keeps its choice.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let endpoints = urls
            .iter()
            .map(|text| {
                let url: reqwest::Url = text.parse().map_err(|_| L1Error::BadUrl(text.clone()))?;
                if !matches!(url.scheme(), "http" | "https") {
                    return Err(L1Error::BadUrl(text.clone()));
                }
                let host = url.host_str().ok_or_else(|| L1Error::BadUrl(text.clone()))?;
                let label = match url.port_or_known_default() {
                    Some(port) => format!("{}://{host}:{port}", url.scheme()),
                    None => format!("{}://{host}", url.scheme()),
                };
                Ok(Endpoint { label, provider: RootProvider::new_http(url), chain_checked: AtomicBool::new(false) })
            })
            .collect::<Result<Vec<_>, L1Error>>()?;
        Ok(Self { endpoints: endpoints.into(), beacon: None, chain_id, timeout, log_range: Arc::default() })
    }

    /// Has blobs read from the beacon API at `urls`, asked in this order. Nothing is sent yet.
    ///
    /// # Errors
    /// [`L1Error::EndpointCount`], [`L1Error::BadUrl`].
    pub fn with_beacon(mut self, urls: &[String]) -> Result<Self, L1Error> {
        if urls.is_empty() || urls.len() > ENDPOINTS_MAX {
            return Err(L1Error::EndpointCount { got: urls.len() });
        }
        self.beacon = Some(Beacon::new(urls, self.timeout)?);
        Ok(self)
    }

    /// Returns whether this client can read blobs.
    #[must_use]
    pub const fn has_beacon(&self) -> bool {
        self.beacon.is_some()
    }

    /// Returns the blobs of block `number` that have these versioned hashes, in the order of the hashes, each checked against
    /// its hash.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn blobs(&self, number: L1BlockNumber, hashes: &[B256]) -> Result<Vec<Bytes>, L1Error> {
        let beacon = self.beacon.as_ref().ok_or(L1Error::NoBeacon)?;
        beacon.blobs(&self.existing_block(At::Number(number)).await?, hashes).await
    }

    /// Returns what a unit of blob gas costs now, in wei, as the first endpoint has it that says so.
    ///
    /// # Errors
    /// [`L1Error`] when no endpoint says so: [a refusal](L1Error::is_refusal) if one of them could be asked.
    pub async fn blob_base_fee(&self) -> Result<u128, L1Error> {
        let (mut refused, mut failed) = (None, None);
        for endpoint in self.endpoints.iter() {
            let asked = self.ask_one(endpoint, "eth_blobBaseFee", None, |provider| async move {
                provider.get_blob_base_fee().await
            });
            match asked.await {
                Ok(wei) => return Ok(wei),
                Err(error) if error.is_refusal() => refused = refused.or(Some(error)),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(refused.or(failed).unwrap_or(L1Error::EndpointCount { got: 0 }))
    }

    /// Returns the chain that every endpoint must be on.
    #[must_use]
    pub const fn chain_id(&self) -> L1ChainId {
        self.chain_id
    }

    /// Asks every endpoint for its chain id, so that a wrong one is refused at start and not when it is first needed.
    ///
    /// # Errors
    /// [`L1Error::WrongChain`] if any endpoint that answers is on another chain; otherwise the first endpoint's error
    /// if none answers.
    pub async fn check_chain(&self) -> Result<(), L1Error> {
        let mut answered = false;
        let mut unanswered = None;
        for endpoint in self.endpoints.iter() {
            match self.ensure_chain(endpoint).await {
                Ok(()) => answered = true,
                Err(error @ L1Error::WrongChain { .. }) => return Err(error),
                Err(error) => unanswered = unanswered.or(Some(error)),
            }
        }
        match unanswered {
            Some(error) if !answered => Err(error),
            _ => Ok(()),
        }
    }

    async fn ensure_chain(&self, endpoint: &Endpoint) -> Result<(), L1Error> {
        if endpoint.chain_checked.load(Ordering::Relaxed) {
            return Ok(());
        }
        let got = L1ChainId::new(
            self.timed(endpoint, "eth_chainId", None, async { endpoint.provider.get_chain_id().await }).await?,
        );
        if got != self.chain_id {
            return Err(L1Error::WrongChain { endpoint: endpoint.label.clone(), expected: self.chain_id, got });
        }
        endpoint.chain_checked.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn timed<T>(
        &self,
        endpoint: &Endpoint,
        method: &'static str,
        to: Option<Address>,
        call: impl Future<Output = Result<T, TransportError>>,
    ) -> Result<T, L1Error> {
        let result = match tokio::time::timeout(self.timeout, call).await {
            Ok(result) => result.map_err(|error| classify(&endpoint.label, method, to, error)),
            Err(_) => Err(L1Error::Timeout {
                endpoint: endpoint.label.clone(),
                method,
                timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            }),
        };
        if matches!(result, Err(L1Error::Timeout { .. } | L1Error::Unreachable { .. })) {
            // Whatever comes up at that address next must say again which chain it is on.
            endpoint.chain_checked.store(false, Ordering::Relaxed);
        }
        result
    }

    async fn ask_one<T, F: Future<Output = Result<T, TransportError>>>(
        &self,
        endpoint: &Endpoint,
        method: &'static str,
        to: Option<Address>,
        call: impl Fn(RootProvider<Ethereum>) -> F,
    ) -> Result<T, L1Error> {
        self.ensure_chain(endpoint).await?;
        self.timed(endpoint, method, to, call(endpoint.provider.clone())).await
    }

    /// Asks the endpoints in order until one answers. A revert is an answer. The error is the first endpoint's.
    async fn ask<T, F: Future<Output = Result<T, TransportError>>>(
        &self,
        method: &'static str,
        to: Option<Address>,
        call: impl Fn(RootProvider<Ethereum>) -> F,
    ) -> Result<T, L1Error> {
        let mut first = None;
        for endpoint in self.endpoints.iter() {
            match self.ask_one(endpoint, method, to, &call).await {
                Ok(value) => return Ok(value),
                Err(error @ L1Error::Reverted { .. }) => return Err(error),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(L1Error::EndpointCount { got: 0 }))
    }

    /// Calls any method on the first endpoint that answers.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn request<P: RpcSend, R: RpcRecv>(&self, method: &'static str, params: P) -> Result<R, L1Error> {
        self.ask(method, None, |provider| {
            let params = params.clone();
            async move { provider.client().request(method, params).await }
        })
        .await
    }

    /// Returns a block, or `None` if L1 has none there.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn block(&self, at: At) -> Result<Option<L1Block>, L1Error> {
        let block = self
            .ask("eth_getBlockByNumber", None, |provider| async move { provider.get_block_by_number(at.tag()).await })
            .await?;
        Ok(block.as_ref().map(block_from_rpc))
    }

    /// Returns the block at `at`, which must exist.
    ///
    /// # Errors
    /// [`L1Error::Missing`] when it does not.
    pub async fn existing_block(&self, at: At) -> Result<L1Block, L1Error> {
        self.block(at).await?.ok_or_else(|| L1Error::Missing { what: format!("block {at:?}") })
    }

    /// Calls a view function.
    ///
    /// # Errors
    /// [`L1Error::Reverted`] with the named reason, [`L1Error::Unreadable`] when no such contract is there.
    pub async fn call<C: SolCall>(&self, to: Address, call: &C, at: At) -> Result<C::Return, L1Error> {
        let request = TransactionRequest::default().with_to(to).with_input(call.abi_encode());
        decoded::<C>(to, &self.call_request(request, at).await?)
    }

    /// Simulates a transaction on the newest state.
    ///
    /// # Errors
    /// [`L1Error::Reverted`] with the named reason.
    pub async fn simulate(&self, from: Address, call: &Call) -> Result<(), L1Error> {
        self.call_request(request_of(from, call), At::Latest).await.map(|_| ())
    }

    /// Simulates on the newest state how `from` creates the contract at `address`, with `gas`.
    ///
    /// # Errors
    /// [`L1Error::Reverted`] with the constructor's named reason.
    pub async fn simulate_creation(
        &self,
        from: Address,
        address: Address,
        code: &Bytes,
        gas: u64,
    ) -> Result<(), L1Error> {
        let request = TransactionRequest::default().with_from(from).with_gas_limit(gas).with_deploy_code(code.clone());
        let created = self.ask("eth_call", Some(address), |provider| {
            let request = request.clone();
            async move { provider.call(request).block(BlockId::Number(BlockNumberOrTag::Latest)).await }
        });
        created.await.map(|_| ())
    }

    async fn call_request(&self, request: TransactionRequest, at: At) -> Result<Bytes, L1Error> {
        let to = request.to.and_then(|kind| kind.to().copied());
        self.ask("eth_call", to, |provider| {
            let request = request.clone();
            // Without a block alloy asks for `pending`, which not every client has.
            async move { provider.call(request).block(BlockId::Number(at.tag())).await }
        })
        .await
    }

    /// Returns how much gas a transaction would use on the newest state.
    ///
    /// # Errors
    /// [`L1Error::Reverted`] with the named reason.
    pub async fn estimate_gas(&self, from: Address, call: &Call) -> Result<u64, L1Error> {
        let request = request_of(from, call);
        self.ask("eth_estimateGas", Some(call.to), |provider| {
            let request = request.clone();
            async move { provider.estimate_gas(request).block(BlockId::Number(BlockNumberOrTag::Latest)).await }
        })
        .await
    }

    /// Returns how many transactions of `account` are in the chain up to `at`: its next nonce there.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn transaction_count(&self, account: Address, at: At) -> Result<u64, L1Error> {
        self.ask("eth_getTransactionCount", None, |provider| async move {
            provider.get_transaction_count(account).block_id(BlockId::Number(at.tag())).await
        })
        .await
    }

    /// Returns the priority fee in wei that L1 suggests: the median of what its endpoints say, for one may say anything.
    ///
    /// # Errors
    /// The first endpoint's error when none answers.
    pub async fn priority_fee(&self) -> Result<u128, L1Error> {
        let (tips, errors) = self
            .gather("eth_maxPriorityFeePerGas", |provider| async move {
                provider.get_max_priority_fee_per_gas().await.map(Some)
            })
            .await;
        median(tips).ok_or_else(|| errors.into_iter().next().unwrap_or(L1Error::EndpointCount { got: 0 }))
    }

    /// Returns the receipt of a transaction that is in the chain.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn receipt(&self, hash: TxHash) -> Result<Option<TransactionReceipt>, L1Error> {
        self.ask(
            "eth_getTransactionReceipt",
            None,
            |provider| async move { provider.get_transaction_receipt(hash).await },
        )
        .await
    }

    /// Returns a transaction.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn transaction(&self, hash: TxHash) -> Result<Option<Transaction>, L1Error> {
        self.ask(
            "eth_getTransactionByHash",
            None,
            |provider| async move { provider.get_transaction_by_hash(hash).await },
        )
        .await
    }

    /// Returns how many L1 blocks a question for logs is about.
    pub(super) fn log_range(&self) -> &LogRange {
        &self.log_range
    }

    /// Returns the logs that match.
    ///
    /// # Errors
    /// [`L1Error`].
    pub async fn logs(&self, filter: &Filter) -> Result<Vec<Log>, L1Error> {
        self.ask("eth_getLogs", None, |provider| {
            let filter = filter.clone();
            async move { provider.get_logs(&filter).await }
        })
        .await
    }

    /// Hands a signed transaction to every endpoint. One that holds it already counts as having taken it.
    ///
    /// # Errors
    /// The first endpoint's error when none answered.
    pub async fn broadcast(&self, raw: &Bytes) -> Result<Broadcast, L1Error> {
        let mut answers = Vec::with_capacity(self.endpoints.len());
        let mut first_error = None;
        for endpoint in self.endpoints.iter() {
            let answer = self
                .ask_one(endpoint, "eth_sendRawTransaction", None, |provider| {
                    let raw = raw.clone();
                    async move { provider.client().request::<_, B256>("eth_sendRawTransaction", (raw,)).await }
                })
                .await;
            match answer {
                Ok(_) => answers.push(Broadcast::Accepted),
                Err(L1Error::Refused { message, .. }) => answers.push(broadcast_refusal(message)),
                Err(L1Error::Reverted { reason, .. }) => answers.push(Broadcast::Refused(reason.to_string())),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        if answers.contains(&Broadcast::Accepted) {
            return Ok(Broadcast::Accepted);
        }
        match answers.into_iter().next() {
            Some(answer) => Ok(answer),
            None => Err(first_error.unwrap_or(L1Error::EndpointCount { got: 0 })),
        }
    }
}

/// A call names its blobs; their bytes are nothing that it can see.
fn request_of(from: Address, call: &Call) -> TransactionRequest {
    let mut request = TransactionRequest::default().with_from(from).with_to(call.to).with_input(call.data.clone());
    request.blob_versioned_hashes = call.blobs.as_ref().map(|blobs| blobs.versioned_hashes.clone());
    request
}

fn decoded<C: SolCall>(to: Address, data: &Bytes) -> Result<C::Return, L1Error> {
    C::abi_decode_returns(data).map_err(|error| L1Error::Unreadable {
        method: "eth_call",
        message: format!("{} of the contract at {to}: {error}", C::SIGNATURE),
    })
}

fn broadcast_refusal(message: String) -> Broadcast {
    let lower = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if says(&["already known", "already imported", "known transaction", "already in mempool"]) {
        Broadcast::Accepted
    } else if says(&["nonce too low", "nonce is too low", "old nonce"]) {
        Broadcast::NonceTooLow
    } else if says(&["underpriced"]) {
        Broadcast::Underpriced
    } else {
        Broadcast::Refused(message)
    }
}

fn block_from_rpc(block: &alloy::rpc::types::Block) -> L1Block {
    let header = &block.header;
    L1Block {
        origin: L1Origin { number: L1BlockNumber::new(header.number), hash: header.hash },
        timestamp_s: header.timestamp,
        mix_hash: header.mix_hash,
        base_fee_wei: u128::from(header.base_fee_per_gas.unwrap_or_default()),
    }
}

fn classify(endpoint: &str, method: &'static str, to: Option<Address>, error: TransportError) -> L1Error {
    let endpoint = endpoint.to_owned();
    match error {
        RpcError::ErrorResp(payload) => refused(endpoint, method, to, payload),
        RpcError::NullResp => L1Error::Missing { what: format!("answer to {method}") },
        RpcError::DeserError { err, .. } => L1Error::Unreadable { method, message: err.to_string() },
        RpcError::Transport(TransportErrorKind::HttpError(http)) => match refusal_in(&http) {
            Some(payload) => refused(endpoint, method, to, payload),
            None => L1Error::Unreachable { endpoint, method, message: format!("HTTP status {}", http.status) },
        },
        // reqwest's own words repeat the URL, which may hold an access key.
        RpcError::Transport(_) => L1Error::Unreachable { endpoint, method, message: "connection failed".into() },
        other => L1Error::Unreadable { method, message: other.to_string() },
    }
}

fn refused(endpoint: String, method: &'static str, to: Option<Address>, payload: ErrorPayload) -> L1Error {
    match (to, revert_of(&payload)) {
        (Some(to), Some(reason)) => L1Error::Reverted { to, reason: Box::new(reason) },
        _ => L1Error::Refused { endpoint, method, code: payload.code, message: payload.message.to_string() },
    }
}

/// The refusal in the body of an answer that HTTP calls the asker's fault, as some providers send it. Who is to come more slowly, or
/// when the server is well again, was not answered.
fn refusal_in(http: &HttpError) -> Option<ErrorPayload> {
    #[derive(serde::Deserialize)]
    struct Body {
        error: ErrorPayload,
    }
    match http.status {
        TOO_MANY_REQUESTS => None,
        400..500 => match serde_json::from_str::<Body>(&http.body) {
            Ok(body) => Some(body.error),
            Err(_) if http.status == PAYLOAD_TOO_LARGE => {
                let message = "HTTP status 413: payload too large".into();
                Some(ErrorPayload { code: i64::from(http.status), message, data: None })
            }
            Err(_) => None,
        },
        _ => None,
    }
}

fn revert_of(payload: &ErrorPayload) -> Option<RevertReason> {
    if let Some(data) = payload.as_revert_data() {
        return Some(RevertReason::decode(&data));
    }
    // A revert without data, as an out-of-gas or a call of a function that is not there gives it.
    payload.message.to_lowercase().contains("revert").then(|| RevertReason::Message(payload.message.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_one_whatever_http_calls_it() {
        let classified = |status, body: &str| {
            let error = TransportErrorKind::http_error(status, body.to_owned());
            classify("http://l1", "eth_getLogs", None, error)
        };
        let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Log response size exceeded"}}"#;
        let endpoint = "http://l1".to_owned();
        let message = "Log response size exceeded".to_owned();
        let refused = L1Error::Refused { endpoint, method: "eth_getLogs", code: -32_602, message };
        assert_eq!(classified(400, body), refused);
        assert_eq!(classified(413, body), refused);
        assert!(matches!(classified(413, "<html>"), L1Error::Refused { code: 413, .. }));
        for (status, body) in [(429, body), (503, body), (500, body), (400, "<html>"), (404, "")] {
            assert!(matches!(classified(status, body), L1Error::Unreachable { .. }), "{status} {body}");
        }
    }
}
