//! The peer book: where peers that have proven to be members were found, kept across restarts.
//!
//! ```text
//! baton peers 1
//! /ip4/203.0.113.7/tcp/30303/p2p/12D3KooW…
//! ```
//! One line for each address; who was proven last stands last. It is a convenience and no more: whoever answers there has
//! to prove again who it is, and a file that does not read is an empty book.
//!
//! A member has as many places as peers may speak for it, so that one key under ever new peer ids takes no place from
//! anybody else. Which key a peer speaks for is known once it has proven it since the start; those of which it is not known
//! are the first to make room. Who has no seat any more is forgotten.

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use baton_proto::{BlsPublicKey, limits::COMMITTEE_MEMBERS_MAX};
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use tracing::warn;

use super::{
    addresses::{ADDRESSES_PER_PEER_MAX, Reach, dialable},
    members::{Members, PEERS_PER_MEMBER_MAX},
};

/// First line of a book's file.
const TITLE: &str = "baton peers 1";

/// Most peers of a book: two for each of 128 members.
pub(super) const BOOK_PEERS_MAX: usize = PEERS_PER_MEMBER_MAX * COMMITTEE_MEMBERS_MAX;

/// Most bytes of a book's file: all peers with all addresses, each of the longest, need 900 KiB.
const BOOK_BYTES_MAX: u64 = 1024 * 1024;

/// Where members' peers were found.
pub(super) struct Book {
    path: Option<PathBuf>,
    /// The one proven last at the end.
    entries: Vec<Entry>,
    has_changed: bool,
}

/// Where one peer was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    peer: PeerId,
    /// The key that it has proven to speak for since the start.
    key: Option<BlsPublicKey>,
    /// At least one.
    addresses: Vec<Multiaddr>,
}

impl Book {
    /// Reads the book at `path`, or starts an empty one; without a path nothing is kept.
    pub(super) fn load(path: Option<PathBuf>) -> Self {
        let entries = path.as_deref().map_or_else(Vec::new, |path| {
            read(path).unwrap_or_else(|why| {
                warn!(path = %path.display(), why, "the peer book does not read; starting with an empty one");
                Vec::new()
            })
        });
        Self { path, entries, has_changed: false }
    }

    /// Returns all peers with their addresses, the one proven last at the end.
    pub(super) fn peers(&self) -> impl Iterator<Item = (PeerId, &[Multiaddr])> {
        self.entries.iter().map(|entry| (entry.peer, entry.addresses.as_slice()))
    }

    /// Returns where `peer` was found.
    pub(super) fn addresses(&self, peer: &PeerId) -> Option<&[Multiaddr]> {
        self.peers().find(|(known, _)| known == peer).map(|(_, addresses)| addresses)
    }

    /// Notes where a peer is found that speaks for a member now, as `members` knows. Returns a peer that had to make room:
    /// another one of the same key if that has too many, else one of which no key is known. It is the one proven
    /// longest ago, and none that speaks for a member now.
    pub(super) fn note(&mut self, peer: PeerId, mut addresses: Vec<Multiaddr>, members: &Members) -> Option<PeerId> {
        addresses.truncate(ADDRESSES_PER_PEER_MAX);
        let key = *members.keys(&peer).last()?;
        let entry = Entry { peer, key: Some(key), addresses };
        if entry.addresses.is_empty() || self.entries.last() == Some(&entry) {
            return None;
        }
        self.entries.retain(|known| known.peer != peer);
        let of_key = self.entries.iter().filter(|known| known.key == Some(key)).count();
        let owner = if of_key >= PEERS_PER_MEMBER_MAX { Some(key) } else { None };
        let goes = if owner.is_some() || self.entries.len() >= BOOK_PEERS_MAX {
            self.entries.iter().position(|known| known.key == owner && members.keys(&known.peer).is_empty())
        } else {
            None
        };
        let displaced = goes.map(|at| self.entries.remove(at).peer);
        if self.entries.len() < BOOK_PEERS_MAX {
            self.entries.push(entry);
        }
        self.has_changed = true;
        displaced
    }

    /// Forgets a peer that is no member any more.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        let before = self.entries.len();
        self.entries.retain(|known| known.peer != *peer);
        self.has_changed |= self.entries.len() != before;
    }

    /// Forgets all whose key `has_seat` denies, and returns them. Those of which no key is known stay.
    pub(super) fn forget_unless(&mut self, has_seat: impl Fn(&BlsPublicKey) -> bool) -> Vec<PeerId> {
        let has_left = |entry: &mut Entry| entry.key.is_some_and(|key| !has_seat(&key));
        let gone: Vec<PeerId> = self.entries.extract_if(.., has_left).map(|entry| entry.peer).collect();
        self.has_changed |= !gone.is_empty();
        gone
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
        for (peer, addresses) in self.peers() {
            for address in addresses {
                let _ = writeln!(text, "{address}/p2p/{peer}");
            }
        }
        text
    }
}

fn read(path: &Path) -> Result<Vec<Entry>, String> {
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

fn parse(text: &str) -> Result<Vec<Entry>, String> {
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) || !text.ends_with('\n') {
        return Err(format!("it does not begin with {TITLE:?} or does not end with a line"));
    }
    let mut entries: Vec<Entry> = Vec::new();
    for (number, line) in (2..).zip(lines) {
        let bad = |why: &str| format!("line {number}: {why}");
        let whole: Multiaddr = line.parse().map_err(|_| bad("not a multiaddr"))?;
        let Some(Protocol::P2p(peer)) = whole.iter().last() else { return Err(bad("no peer id")) };
        let address = dialable(&whole, &peer, Reach::Loopback).ok_or_else(|| bad("not an address to dial"))?;
        match entries.last_mut() {
            Some(last) if last.peer == peer => last.addresses.push(address),
            _ => entries.push(Entry { peer, key: None, addresses: vec![address] }),
        }
        let is_crowded = entries.last().is_some_and(|last| last.addresses.len() > ADDRESSES_PER_PEER_MAX);
        if entries.len() > BOOK_PEERS_MAX || is_crowded {
            return Err(bad("too many"));
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: usize) -> Multiaddr {
        format!("/ip4/10.0.0.1/tcp/{}", port + 1).parse().unwrap()
    }

    fn key(n: usize) -> BlsPublicKey {
        BlsPublicKey::new([u8::try_from(n).unwrap(); 256])
    }

    /// Has `peer` prove to be `member`, and notes it.
    fn note(book: &mut Book, members: &mut Members, peer: PeerId, member: usize) -> Option<PeerId> {
        members.prove(peer, key(member));
        book.note(peer, vec![address(1)], members)
    }

    fn peers(book: &Book) -> Vec<PeerId> {
        book.peers().map(|(peer, _)| peer).collect()
    }

    #[test]
    fn a_book_comes_back_from_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.txt");
        let mut book = Book::load(Some(path.clone()));
        assert!(book.peers().next().is_none() && book.save().is_none());
        let ([a, b, c], mut members) = ([(); 3].map(|()| PeerId::random()), Members::default());
        for (peer, member) in [(a, 1), (b, 1), (c, 2)] {
            members.prove(peer, key(member));
        }
        book.note(a, vec![address(1), "/dns4/node1/udp/9/quic-v1".parse().unwrap()], &members);
        book.note(b, (0..20).map(address).collect(), &members);
        book.note(a, vec![address(1)], &members);
        book.note(c, vec![], &members);
        book.note(PeerId::random(), vec![address(1)], &members);
        book.save().unwrap()();
        assert!(!book.is_unsaved());
        let again = Book::load(Some(path));
        let expected = [(b, (0..ADDRESSES_PER_PEER_MAX).map(address).collect()), (a, vec![address(1)])];
        for book in [&book, &again] {
            let peers: Vec<(PeerId, Vec<Multiaddr>)> = book.peers().map(|(peer, all)| (peer, all.to_vec())).collect();
            assert_eq!(peers, expected);
        }
    }

    #[test]
    fn a_member_under_ever_new_peer_ids_takes_no_place_from_others() {
        let (mut book, mut members) = (Book::load(None), Members::default());
        let honest: Vec<PeerId> = (0..COMMITTEE_MEMBERS_MAX - 1).map(|_| PeerId::random()).collect();
        for (member, peer) in honest.iter().enumerate() {
            assert_eq!(note(&mut book, &mut members, *peer, member), None);
        }
        // Some of the honest are away, which must not cost them their places.
        for away in &honest[..20] {
            members.leave(away);
        }
        let mut restless = vec![];
        for n in 0..2 * BOOK_PEERS_MAX {
            restless.push(PeerId::random());
            let displaced = note(&mut book, &mut members, restless[n], COMMITTEE_MEMBERS_MAX - 1);
            assert_eq!(displaced, n.checked_sub(PEERS_PER_MEMBER_MAX).map(|before| restless[before]));
        }
        let kept = [&honest[..], &restless[restless.len() - PEERS_PER_MEMBER_MAX..]].concat();
        assert_eq!(peers(&book), kept);
        // Of its own two, the one that is connected stays.
        members.leave(&kept[kept.len() - 1]);
        let displaced = note(&mut book, &mut members, PeerId::random(), COMMITTEE_MEMBERS_MAX - 1);
        assert_eq!(displaced, kept.last().copied());
    }

    #[test]
    fn who_has_no_seat_any_more_is_forgotten() {
        let (mut book, mut members) = (Book::load(None), Members::default());
        let before = PeerId::random();
        book.entries = parse(&format!("{TITLE}\n{}/p2p/{before}\n", address(1))).unwrap();
        let [a, b, c] = [(); 3].map(|()| PeerId::random());
        for (peer, member) in [(a, 1), (b, 2), (c, 1)] {
            assert_eq!(note(&mut book, &mut members, peer, member), None);
        }
        // Connected or not.
        members.leave(&c);
        book.has_changed = false;
        assert_eq!(book.forget_unless(|_| true), []);
        assert!(!book.has_changed);
        assert_eq!(book.forget_unless(|known| *known != key(1)), [a, c]);
        assert_eq!(peers(&book), [before, b]);
        assert!(book.has_changed);
    }

    #[test]
    fn a_book_is_bounded_and_the_longest_unproven_go() {
        // A full book of an earlier run: of none in it is it known which member it is.
        let before: Vec<PeerId> = (0..BOOK_PEERS_MAX).map(|_| PeerId::random()).collect();
        let lines: String = before.iter().map(|peer| format!("{}/p2p/{peer}\n", address(1))).collect();
        let mut book = Book { entries: parse(&format!("{TITLE}\n{lines}")).unwrap(), ..Book::load(None) };
        let mut members = Members::default();
        // The first one is there again, so the second makes room for a new one.
        members.prove(before[0], key(0));
        let new = PeerId::random();
        assert_eq!(note(&mut book, &mut members, new, 1), Some(before[1]));
        assert_eq!(note(&mut book, &mut members, before[0], 0), None);
        assert_eq!(peers(&book), [&before[2..], &[new, before[0]]].concat());
        assert!(parse(&book.text()).is_ok());
        book.forget(&before[2]);
        assert_eq!(book.addresses(&before[2]), None);
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
            let loaded = Book::load(Some(path.clone()));
            assert!(loaded.peers().next().is_none(), "{}", &damaged[..damaged.len().min(100)]);
        }
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(Book::load(Some(path.clone())).peers().next().is_none());
        std::fs::write(&path, good).unwrap();
        assert_eq!(Book::load(Some(path)).peers().count(), 1);
    }
}
