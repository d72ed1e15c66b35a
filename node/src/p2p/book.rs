//! The peer book: where peers that have proven to be members were found, kept across restarts.
//!
//! ```text
//! baton peers 1
//! /ip4/203.0.113.7/tcp/30303/p2p/12D3KooW…
//! ```
//! One line for each address; who was proven last stands last. It is a convenience and no more: whoever answers there has
//! to prove again who it is, and a file that does not read is an empty book.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use tracing::warn;

use super::addresses::{ADDRESSES_PER_PEER_MAX, Reach, dialable};

/// First line of a book's file.
const TITLE: &str = "baton peers 1";

/// Most peers of a book: two for each of 128 members. The one proven longest ago makes room.
pub(super) const BOOK_PEERS_MAX: usize = 256;

/// Most bytes of a book's file: all peers with all addresses, each of the longest, need 900 KiB.
const BOOK_BYTES_MAX: u64 = 1024 * 1024;

/// Where members' peers were found.
pub(super) struct Book {
    path: Option<PathBuf>,
    /// The one proven last at the end.
    peers: Vec<(PeerId, Vec<Multiaddr>)>,
    has_changed: bool,
}

impl Book {
    /// Reads the book at `path`, or starts an empty one; without a path nothing is kept.
    pub(super) fn load(path: Option<PathBuf>) -> Self {
        let peers = path.as_deref().map_or_else(Vec::new, |path| {
            read(path).unwrap_or_else(|why| {
                warn!(path = %path.display(), why, "the peer book does not read; starting with an empty one");
                Vec::new()
            })
        });
        Self { path, peers, has_changed: false }
    }

    /// Returns all peers with their addresses.
    pub(super) fn peers(&self) -> &[(PeerId, Vec<Multiaddr>)] {
        &self.peers
    }

    /// Returns where `peer` was found.
    pub(super) fn addresses(&self, peer: &PeerId) -> Option<&[Multiaddr]> {
        self.peers.iter().find(|(known, _)| known == peer).map(|(_, addresses)| addresses.as_slice())
    }

    /// Notes where a peer that has proven to be a member is found. Returns a peer that had to make room.
    pub(super) fn note(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>) -> Option<PeerId> {
        addresses.truncate(ADDRESSES_PER_PEER_MAX);
        if addresses.is_empty() || self.peers.last().is_some_and(|last| *last == (peer, addresses.clone())) {
            return None;
        }
        self.peers.retain(|(known, _)| *known != peer);
        let displaced = (self.peers.len() >= BOOK_PEERS_MAX).then(|| self.peers.remove(0).0);
        self.peers.push((peer, addresses));
        self.has_changed = true;
        displaced
    }

    /// Forgets a peer that is no member any more.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        let before = self.peers.len();
        self.peers.retain(|(known, _)| known != peer);
        self.has_changed |= self.peers.len() != before;
    }

    /// Returns whether there is something to write.
    pub(super) fn is_unsaved(&self) -> bool {
        self.has_changed && self.path.is_some()
    }

    /// Returns the work of writing the book, for a thread that may block, if there is something to write.
    pub(super) fn save(&mut self) -> Option<impl FnOnce() + Send + use<>> {
        if !self.is_unsaved() {
            return None;
        }
        self.has_changed = false;
        let (path, text) = (self.path.clone()?, self.text());
        Some(move || {
            if let Err(error) = crate::durable_file::write(&path, text.as_bytes()) {
                warn!(path = %path.display(), %error, "the peer book cannot be written");
            }
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{TITLE}\n");
        for (peer, addresses) in &self.peers {
            for address in addresses {
                let _ = writeln!(text, "{address}/p2p/{peer}");
            }
        }
        text
    }
}

fn read(path: &Path) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, String> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
        Ok(file) if file.len() > BOOK_BYTES_MAX => {
            return Err(format!("{} bytes, more than {BOOK_BYTES_MAX}", file.len()));
        }
        Ok(_) => {}
    }
    parse(&std::fs::read_to_string(path).map_err(|error| error.to_string())?)
}

fn parse(text: &str) -> Result<Vec<(PeerId, Vec<Multiaddr>)>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) || !text.ends_with('\n') {
        return Err(format!("it does not begin with {TITLE:?} or does not end with a line"));
    }
    let mut peers: Vec<(PeerId, Vec<Multiaddr>)> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let bad = |why: &str| format!("line {number}: {why}");
        let whole: Multiaddr = line.parse().map_err(|_| bad("not a multiaddr"))?;
        let Some(Protocol::P2p(peer)) = whole.iter().last() else { return Err(bad("no peer id")) };
        let address = dialable(&whole, &peer, Reach::Loopback).ok_or_else(|| bad("not an address to dial"))?;
        match peers.last_mut() {
            Some((last, addresses)) if *last == peer => addresses.push(address),
            _ => peers.push((peer, vec![address])),
        }
        if peers.len() > BOOK_PEERS_MAX || peers.last().is_some_and(|(_, all)| all.len() > ADDRESSES_PER_PEER_MAX) {
            return Err(bad("too many"));
        }
    }
    Ok(peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{}", port + 1).parse().unwrap()
    }

    #[test]
    fn a_book_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.txt");
        let mut book = Book::load(Some(path.clone()));
        assert!(book.peers().is_empty() && book.save().is_none());
        let [a, b] = [PeerId::random(), PeerId::random()];
        book.note(a, vec![address(1), "/dns4/node1/udp/9/quic-v1".parse().unwrap()]);
        book.note(b, (0..20).map(address).collect());
        book.note(a, vec![address(1)]);
        book.note(PeerId::random(), vec![]);
        book.save().unwrap()();
        assert!(!book.is_unsaved());
        let again = Book::load(Some(path));
        assert_eq!(again.peers(), book.peers());
        assert_eq!(again.peers(), [(b, (0..ADDRESSES_PER_PEER_MAX).map(address).collect()), (a, vec![address(1)])]);
    }

    #[test]
    fn a_book_is_bounded_and_the_longest_unproven_go() {
        let mut book = Book::load(None);
        let peers: Vec<PeerId> = (0..=BOOK_PEERS_MAX).map(|_| PeerId::random()).collect();
        let displaced: Vec<PeerId> = peers.iter().filter_map(|peer| book.note(*peer, vec![address(1)])).collect();
        assert_eq!(displaced, peers[..1]);
        assert_eq!(book.peers().len(), BOOK_PEERS_MAX);
        assert!(parse(&book.text()).is_ok());
        book.forget(&peers[1]);
        assert_eq!(book.addresses(&peers[1]), None);
        // The longest text that can be written can be read.
        let name = format!("/dns4/{}/udp/65535/quic-v1", "x".repeat(253));
        let longest = name.len() + "/p2p/".len() + PeerId::random().to_string().len() + 1;
        assert!((BOOK_PEERS_MAX * ADDRESSES_PER_PEER_MAX * longest + TITLE.len()) as u64 <= BOOK_BYTES_MAX);
    }

    #[test]
    fn a_damaged_file_is_an_empty_book() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.txt");
        let good = format!("{TITLE}\n{}/p2p/{}\n", address(1), PeerId::random());
        for damaged in [
            good.replace("baton", "bacon"),
            good[..good.len() - 1].into(),
            good[..good.len() - 9].into(),
            format!("{good}nonsense\n"),
            format!("{good}/ip4/10.0.0.1/tcp/1\n"),
            format!("{TITLE}\n/ip4/0.0.0.0/tcp/1/p2p/{}\n", PeerId::random()),
            String::new(),
            "\n".repeat(BOOK_BYTES_MAX as usize + 1),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            assert!(Book::load(Some(path.clone())).peers().is_empty(), "{}", &damaged[..damaged.len().min(100)]);
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(Book::load(Some(path.clone())).peers().is_empty());
        std::fs::write(&path, good).unwrap();
        assert_eq!(Book::load(Some(path)).peers().len(), 1);
    }
}
