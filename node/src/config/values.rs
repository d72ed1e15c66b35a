//! Values of keys that have a grammar of their own. The file, the environment and flags all read the same text.

use std::{fmt, str::FromStr};

use alloy_primitives::Address;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use reqwest::Url;
use serde::{Deserialize, Serialize, Serializer};

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum ValueError {
    #[error("not a URL: {0}")]
    NotAUrl(String),
    #[error("an L1 endpoint is http or https, not {0}")]
    Scheme(String),
    #[error("expected OWNER@MULTIADDR/p2p/PEERID, got {0}")]
    NotAPeer(String),
    #[error("{got} is not an address: {why}")]
    NotAnAddress { got: String, why: String },
    #[error("{got} is not a multiaddr: {why}")]
    NotAMultiaddr { got: String, why: String },
    #[error("{got} is not a peer id: {why}")]
    NotAPeerId { got: String, why: String },
    #[error("{0} does not end in /p2p/PEERID")]
    NoPeerId(String),
    #[error("address {address} belongs to another peer than {peer_id}")]
    OtherPeer { address: String, peer_id: String },
    #[error("expected text or json, got {0}")]
    NotAFormat(String),
}

/// An L1 endpoint. It prints as scheme, host and port alone: the rest may be an access token.
#[derive(Clone, PartialEq, Eq)]
pub struct L1Url(Url);

impl L1Url {
    /// Returns the whole URL, for connecting only.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl FromStr for L1Url {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let url = Url::parse(text).map_err(|error| ValueError::NotAUrl(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Self(url)),
            other => Err(ValueError::Scheme(other.to_owned())),
        }
    }
}

impl fmt::Display for L1Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        let hides = !matches!(self.0.path(), "" | "/")
            || self.0.query().is_some()
            || !self.0.username().is_empty()
            || self.0.password().is_some();
        if hides { f.write_str("/[redacted]") } else { Ok(()) }
    }
}

impl fmt::Debug for L1Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for L1Url {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A node of the committee. In the file a table of these three keys; elsewhere `OWNER@MULTIADDR/p2p/PEERID`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PeerTable")]
pub struct Peer {
    /// Owner of the bond on L1, by which the committee knows the member.
    pub owner: Address,
    /// Its libp2p identity.
    #[serde(serialize_with = "display")]
    pub peer_id: PeerId,
    /// Where to dial it, without the `/p2p/` part; may be empty, then the peer has to dial us.
    pub addresses: Vec<Multiaddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    owner: Address,
    peer_id: String,
    addresses: Vec<Multiaddr>,
}

impl TryFrom<PeerTable> for Peer {
    type Error = ValueError;

    fn try_from(table: PeerTable) -> Result<Self, ValueError> {
        let peer_id = table
            .peer_id
            .parse::<PeerId>()
            .map_err(|error| ValueError::NotAPeerId { got: table.peer_id, why: error.to_string() })?;
        let addresses = table
            .addresses
            .into_iter()
            .map(|address| {
                let (dial, named) = split_peer_id(address.clone());
                match named {
                    Some(named) if named != peer_id => {
                        Err(ValueError::OtherPeer { address: address.to_string(), peer_id: peer_id.to_string() })
                    }
                    _ => Ok(dial),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { owner: table.owner, peer_id, addresses })
    }
}

impl FromStr for Peer {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (owner, address) = text.split_once('@').ok_or_else(|| ValueError::NotAPeer(text.to_owned()))?;
        let owner = owner
            .parse::<Address>()
            .map_err(|error| ValueError::NotAnAddress { got: owner.to_owned(), why: error.to_string() })?;
        let Observer { peer_id, address } = address.parse()?;
        Ok(Self { owner, peer_id, addresses: vec![address] })
    }
}

/// A process that hears everything and says nothing: `MULTIADDR/p2p/PEERID`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Observer {
    /// Its libp2p identity.
    pub peer_id: PeerId,
    /// Where to dial it, without the `/p2p/` part.
    pub address: Multiaddr,
}

impl FromStr for Observer {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let whole: Multiaddr = text
            .parse()
            .map_err(|error| ValueError::NotAMultiaddr { got: text.to_owned(), why: format!("{error}") })?;
        match split_peer_id(whole) {
            (address, Some(peer_id)) if !address.is_empty() => Ok(Self { peer_id, address }),
            _ => Err(ValueError::NoPeerId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Observer {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, self.peer_id)
    }
}

impl Serialize for Observer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Shape of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(ValueError::NotAFormat(other.to_owned())),
        }
    }
}

fn split_peer_id(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.pop() {
        Some(Protocol::P2p(peer_id)) => (address, Some(peer_id)),
        Some(other) => (address.with(other), None),
        None => (address, None),
    }
}

fn display<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
