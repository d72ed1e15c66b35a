//! Who is where, on the wire: "which members' peers do you know?" and the answer.
//!
//! The question is one byte, the version; the answer repeats it and goes on with addresses, each a big-endian `u16` length
//! and a multiaddr that ends in `/p2p/`.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};

use super::addresses::ADDRESS_BYTES_MAX;

/// The question.
pub(super) const QUESTION: [u8; 1] = [1];

/// Most bytes of an answer: 256 peers with 8 addresses of 80 bytes, and room to spare.
pub(super) const DIRECTORY_BYTES_MAX: usize = 192 * 1024;

/// Bytes that a peer id adds to an address.
const PEER_ID_BYTES_MAX: usize = 64;

/// Why an answer is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MalformedDirectory {
    #[error("not version 1")]
    Version,
    #[error("the bytes break off inside an address")]
    Truncated,
    #[error("address {0} is too long, is no multiaddr, or names no peer")]
    Address(usize),
}

/// Encodes addresses up to the bound; what does not fit is left out.
pub(super) fn encode<'a>(addresses: impl Iterator<Item = (PeerId, &'a Multiaddr)>) -> Vec<u8> {
    let mut bytes = QUESTION.to_vec();
    for (peer, address) in addresses {
        let address = address.clone().with(Protocol::P2p(peer)).to_vec();
        let Ok(length) = u16::try_from(address.len()) else { continue };
        if bytes.len() + 2 + address.len() > DIRECTORY_BYTES_MAX {
            break;
        }
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&address);
    }
    bytes
}

/// Decodes addresses, in order; whether they may be dialled is for the caller to say.
///
/// # Errors
/// [`MalformedDirectory`]: no honest node sends this.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<(PeerId, Multiaddr)>, MalformedDirectory> {
    let mut rest = bytes.strip_prefix(&QUESTION).ok_or(MalformedDirectory::Version)?;
    let mut addresses = Vec::new();
    while !rest.is_empty() {
        let bad = MalformedDirectory::Address(addresses.len());
        let (length, after) = rest.split_first_chunk::<2>().ok_or(MalformedDirectory::Truncated)?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length > ADDRESS_BYTES_MAX + PEER_ID_BYTES_MAX {
            return Err(bad);
        }
        let (address, after) = after.split_at_checked(length).ok_or(MalformedDirectory::Truncated)?;
        let Ok(address) = Multiaddr::try_from(address.to_vec()) else { return Err(bad) };
        let Some(Protocol::P2p(peer)) = address.iter().last() else { return Err(bad) };
        addresses.push((peer, address));
        rest = after;
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_and_nothing_else_does() {
        let address: Multiaddr = "/ip4/10.0.0.1/udp/7/quic-v1".parse().unwrap();
        let [a, b] = [PeerId::random(), PeerId::random()];
        let bytes = encode([(a, &address), (b, &address)].into_iter());
        let decoded = decode(&bytes).unwrap();
        let expected = [a, b].map(|peer| (peer, address.clone().with(Protocol::P2p(peer))));
        assert_eq!(decoded, expected);
        assert_eq!(decode(&encode(std::iter::empty())), Ok(vec![]));

        assert_eq!(decode(&[]), Err(MalformedDirectory::Version));
        assert_eq!(decode(&[2]), Err(MalformedDirectory::Version));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(MalformedDirectory::Truncated));
        assert_eq!(decode(&[1, 0]), Err(MalformedDirectory::Truncated));
        assert_eq!(decode(&[1, 0xff, 0xff]), Err(MalformedDirectory::Address(0)));
        assert_eq!(decode(&[1, 0, 2, 0xff, 0xff]), Err(MalformedDirectory::Address(0)));
        let nameless = address.to_vec();
        let nameless = [&[1, 0, nameless.len() as u8], &nameless[..]].concat();
        assert_eq!(decode(&nameless), Err(MalformedDirectory::Address(0)));
    }

    #[test]
    fn an_answer_stays_below_its_bound() {
        let address: Multiaddr = format!("/dns4/{}/tcp/7", "x".repeat(253)).parse().unwrap();
        let bytes = encode(std::iter::repeat_n((PeerId::random(), &address), 5_000));
        assert!(bytes.len() <= DIRECTORY_BYTES_MAX && bytes.len() > DIRECTORY_BYTES_MAX - 400, "{}", bytes.len());
        assert!(decode(&bytes).is_ok());
    }
}
