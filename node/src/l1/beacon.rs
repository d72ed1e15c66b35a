//! Blobs back from L1: the beacon API of its consensus nodes, which keep them for 18 days; an archive keeps them longer.
//!
//! A block's blobs are asked for by slot, which follows from the block's time. Where `/eth/v1/config/spec` does not exist, as with
//! anvil, blocks are asked for by the number that the execution layer gives them.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{B256, Bytes};
use baton_proto::{blobs::BLOB_BYTES, limits::BATCH_BLOBS_MAX};
use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{sync::OnceCell, task::spawn_blocking};

use super::{client::L1Block, error::L1Error, kzg};

/// Most bytes of one answer: the blobs of a batch in hex, and as many again ten times over for servers that do not filter.
const ANSWER_BYTES_MAX: usize = 11 * BATCH_BLOBS_MAX * (2 * BLOB_BYTES + 16);

/// How a server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// By slots: slot 0 began at the first, in Unix seconds, and each takes the second.
    Slots { genesis_s: u64, slot_s: u64 },
    /// By the execution layer's block numbers.
    Blocks,
}

impl Clock {
    /// Returns what `block` is called; `None` if it is older than the beacon chain.
    fn id_of(self, block: &L1Block) -> Option<u64> {
        match self {
            Self::Blocks => Some(block.origin.number.get()),
            Self::Slots { genesis_s, slot_s } => block.timestamp_s.checked_sub(genesis_s)?.checked_div(slot_s),
        }
    }
}

struct Server {
    /// Scheme, host and port only: paths and queries often hold access keys.
    label: String,
    url: Url,
    clock: OnceCell<Clock>,
}

/// Beacon endpoints, asked in this order. Cheap to clone.
#[derive(Clone)]
pub(super) struct Beacon {
    servers: Arc<[Server]>,
    http: Client,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
struct Genesis {
    genesis_time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
struct Spec {
    seconds_per_slot: String,
}

impl Beacon {
    /// # Errors
    /// [`L1Error::BadUrl`].
    pub(super) fn new(urls: &[String], timeout: Duration) -> Result<Self, L1Error> {
        let servers = urls
            .iter()
            .map(|text| {
                let url: Url = text.parse().map_err(|_| L1Error::BadUrl(text.clone()))?;
                let host = url.host_str().ok_or_else(|| L1Error::BadUrl(text.clone()))?;
                let label = match url.port_or_known_default() {
                    Some(port) => format!("{}://{host}:{port}", url.scheme()),
                    None => format!("{}://{host}", url.scheme()),
                };
                Ok(Server { label, url, clock: OnceCell::new() })
            })
            .collect::<Result<Vec<_>, L1Error>>()?;
        Ok(Self { servers: servers.into(), http: Client::new(), timeout })
    }

    /// Returns the blobs of `block` that have these versioned hashes, in the order of the hashes. Whatever the servers say, each
    /// blob is the one of its hash.
    ///
    /// # Errors
    /// The first server's [`L1Error`] when none has them all.
    pub(super) async fn blobs(&self, block: &L1Block, hashes: &[B256]) -> Result<Vec<Bytes>, L1Error> {
        let mut first = None;
        for server in self.servers.iter() {
            match self.ask(server, block, hashes).await {
                Ok(blobs) => return Ok(blobs),
                Err(error) => first = first.or(Some(error)),
            }
        }
        Err(first.unwrap_or(L1Error::NoBeacon))
    }

    async fn ask(&self, server: &Server, block: &L1Block, hashes: &[B256]) -> Result<Vec<Bytes>, L1Error> {
        let missing = || L1Error::Missing { what: format!("blobs of block {}", block.origin.number) };
        let clock = server.clock.get_or_try_init(|| self.clock(server)).await?;
        let id = clock.id_of(block).ok_or_else(missing)?;
        let wanted = hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let path = format!("eth/v1/beacon/blobs/{id}?versioned_hashes={wanted}");
        let got: Vec<Bytes> = self.get(server, "beacon/blobs", &path).await?.ok_or_else(missing)?;
        let hashes = hashes.to_vec();
        let sorted = spawn_blocking(move || {
            let known: Vec<(B256, Bytes)> =
                got.into_iter().filter_map(|blob| Some((kzg::versioned_hash(&blob).ok()?, blob))).collect();
            hashes
                .iter()
                .map(|wanted| known.iter().find(|(hash, _)| hash == wanted).map(|(_, blob)| blob.clone()))
                .collect::<Option<Vec<_>>>()
        });
        sorted.await.ok().flatten().ok_or_else(missing)
    }

    async fn clock(&self, server: &Server) -> Result<Clock, L1Error> {
        let unreadable = |message: String| L1Error::Unreadable { method: "config/spec", message };
        let Some(spec) = self.get::<Spec>(server, "config/spec", "eth/v1/config/spec").await? else {
            return Ok(Clock::Blocks);
        };
        let genesis = self
            .get::<Genesis>(server, "beacon/genesis", "eth/v1/beacon/genesis")
            .await?
            .ok_or_else(|| unreadable("there is no genesis".into()))?;
        let number = |text: &str| text.parse::<u64>().map_err(|error| unreadable(format!("{text}: {error}")));
        Ok(Clock::Slots { genesis_s: number(&genesis.genesis_time)?, slot_s: number(&spec.seconds_per_slot)?.max(1) })
    }

    /// Returns the `data` of an answer; `None` if there is no such thing.
    async fn get<T: DeserializeOwned>(
        &self,
        server: &Server,
        method: &'static str,
        path: &str,
    ) -> Result<Option<T>, L1Error> {
        let endpoint = || server.label.clone();
        let unreachable =
            |message: &str| L1Error::Unreachable { endpoint: endpoint(), method, message: message.into() };
        let base = server.url.as_str().trim_end_matches('/');
        let all = async {
            let asked = self.http.get(format!("{base}/{path}")).send().await;
            // reqwest's own words repeat the URL, which may hold an access key.
            let mut answer = asked.map_err(|_| unreachable("connection failed"))?;
            if answer.status() == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !answer.status().is_success() {
                return Err(unreachable(&format!("HTTP status {}", answer.status())));
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(|_| unreachable("connection broken"))? {
                body.extend_from_slice(&chunk);
                if body.len() > ANSWER_BYTES_MAX {
                    let message = format!("more than {ANSWER_BYTES_MAX} bytes");
                    return Err(L1Error::Unreadable { method, message });
                }
            }
            Ok(Some(body))
        };
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let body = tokio::time::timeout(self.timeout, all).await.map_err(|_| L1Error::Timeout {
            endpoint: endpoint(),
            method,
            timeout_ms,
        })??;
        let Some(body) = body else { return Ok(None) };
        let read: Answer<T> = serde_json::from_slice(&body)
            .map_err(|error| L1Error::Unreadable { method, message: error.to_string() })?;
        Ok(Some(read.data))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::keccak256;
    use axum::{Router, extract::Path, http::StatusCode as Status, routing::get};
    use baton_proto::{L1BlockNumber, L1Origin, blobs};
    use serde_json::json;

    use super::*;

    fn block(timestamp_s: u64) -> L1Block {
        let origin = L1Origin { number: L1BlockNumber::new(77), hash: keccak256("77") };
        L1Block { origin, timestamp_s, mix_hash: B256::ZERO, base_fee_wei: 0 }
    }

    fn blobs_of(text: &str) -> (Vec<Bytes>, Vec<B256>) {
        let packed: Vec<Bytes> = blobs::pack(text.as_bytes()).unwrap().into_iter().map(Bytes::from).collect();
        let hashes = packed.iter().map(|blob| kzg::versioned_hash(blob).unwrap()).collect();
        (packed, hashes)
    }

    /// A consensus node that calls `slot` what holds `blobs`.
    async fn server(slot: &'static str, blobs: Vec<Bytes>) -> (String, tokio::task::JoinHandle<()>) {
        let data = |value: serde_json::Value| axum::Json(json!({ "data": value }));
        let app = Router::new()
            .route("/key/eth/v1/config/spec", get(move || async move { data(json!({"SECONDS_PER_SLOT": "12"})) }))
            .route("/key/eth/v1/beacon/genesis", get(move || async move { data(json!({"genesis_time": "1000"})) }))
            .route(
                "/key/eth/v1/beacon/blobs/{id}",
                get(move |Path(id): Path<String>| async move {
                    if id == slot { Ok(data(json!(blobs))) } else { Err(Status::NOT_FOUND) }
                }),
            );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/key/", listener.local_addr().unwrap());
        (url, tokio::spawn(async move { axum::serve(listener, app).await.unwrap() }))
    }

    #[tokio::test]
    async fn a_block_is_asked_for_by_its_slot_and_a_blob_is_that_of_its_hash() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ((mine, hashes), (other, other_hashes)) = (blobs_of("mine"), blobs_of("another's"));
        // Slot 3 is from second 1036 on. The server has both blobs, in another order, and one that is none.
        let all = vec![other[0].clone(), Bytes::from(vec![0xff; BLOB_BYTES]), mine[0].clone()];
        let (url, task) = server("3", all).await;
        let beacon = Beacon::new(&["http://127.0.0.1:1".into(), url.clone()], Duration::from_secs(20)).unwrap();
        assert_eq!(beacon.blobs(&block(1_036), &hashes).await.unwrap(), mine);
        let both = beacon.blobs(&block(1_047), &[hashes[0], other_hashes[0]]).await.unwrap();
        assert_eq!(both, [mine[0].clone(), other[0].clone()]);

        // What it does not have, another slot, and a block from before its genesis.
        let alone = Beacon::new(&[url], Duration::from_secs(20)).unwrap();
        let (_, unknown) = blobs_of("nobody's");
        for (at, wanted) in [(1_036, &unknown), (1_048, &hashes), (999, &hashes)] {
            let error = alone.blobs(&block(at), wanted).await.unwrap_err();
            assert_eq!(error, L1Error::Missing { what: "blobs of block 77".into() });
        }
        task.abort();
    }

    #[tokio::test]
    async fn the_access_key_of_an_endpoint_shows_in_no_error() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let beacon = Beacon::new(&["http://127.0.0.1:1/secret".into()], Duration::from_secs(20)).unwrap();
        let error = beacon.blobs(&block(1_036), &[B256::ZERO]).await.unwrap_err();
        assert!(matches!(error, L1Error::Unreachable { .. }) && !error.to_string().contains("secret"), "{error}");
        let none = Beacon::new(&[], Duration::from_secs(20)).unwrap();
        assert_eq!(none.blobs(&block(1), &[B256::ZERO]).await, Err(L1Error::NoBeacon));
        assert!(matches!(Beacon::new(&["nothing".into()], Duration::ZERO), Err(L1Error::BadUrl(_))));
    }
}
