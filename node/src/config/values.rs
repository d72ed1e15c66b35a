//! Values of keys that have a grammar of their own. The file, the environment and flags all read the same text.

use std::{fmt, str::FromStr};

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
    #[error("{got} is not a multiaddr: {why}")]
    NotAMultiaddr { got: String, why: String },
    #[error("{0} does not end in /p2p/PEERID")]
    NoPeerId(String),
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

/// Where to find one peer, and which it has to be: `MULTIADDR/p2p/PEERID`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PeerAddress {
    /// Its libp2p identity.
    pub peer_id: PeerId,
    /// Where to dial it, without the `/p2p/` part.
    pub address: Multiaddr,
}

impl FromStr for PeerAddress {
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

impl TryFrom<String> for PeerAddress {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/p2p/{}", self.address, self.peer_id)
    }
}

impl Serialize for PeerAddress {
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
