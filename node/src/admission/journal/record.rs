//! The journal's bytes. All numbers are big-endian; a checksum is the first eight bytes of a keccak256.
//!
//! | part | holds |
//! | --- | --- |
//! | header, twice | `batontxj`, version (4 bytes), L2 chain id (8), mark (16), checksum of these |
//! | record | length of the body (4), checksum of mark, length and body, body |
//! | body: accepted | `1`, when in milliseconds (8), the transaction's EIP-2718 encoding |
//! | body: obsolete | `2`, hash of a transaction that must not come back (32) |
//!
//! The mark is random in every file and known to nobody but this node. Behind a damaged place the next whole record is
//! looked for at every byte, among them the calldata of the damaged one: who sent it cannot have put a record there,
//! because its checksum takes the mark. Without the mark no record can be read, so the header is there twice.

use alloy_primitives::{Bytes, Keccak256, TxHash};
use baton_proto::{L2ChainId, limits::TRANSACTION_BYTES_MAX};

const MAGIC: &[u8; 8] = b"batontxj";

/// The version that this code writes.
pub(super) const VERSION: u32 = 2;

/// What tells the records of one file from all other bytes.
pub(super) type Mark = [u8; 16];

const HEADER_BYTES: usize = 44;

/// Both copies of the header.
pub(super) const HEADERS_BYTES: usize = 2 * HEADER_BYTES;

/// Length and checksum.
const PREFIX_BYTES: usize = 12;

/// What a record takes besides the transaction in it.
pub(super) const OVERHEAD_BYTES: usize = PREFIX_BYTES + ACCEPTED_BYTES_MIN;

/// Kind and time.
const ACCEPTED_BYTES_MIN: usize = 9;

const ACCEPTED: u8 = 1;
const OBSOLETE: u8 = 2;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) chain: L2ChainId,
    pub(super) mark: Mark,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// A user's transaction was accepted.
    Accepted { at_ms: u64, raw: Bytes },
    /// Another one replaced it.
    Obsolete(TxHash),
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// `None` if both copies are damaged.
    pub(super) header: Option<Header>,
    /// Every record that is whole, in order.
    pub(super) records: Vec<Record>,
    /// The first byte that belongs to nothing whole, and how many such bytes there are.
    pub(super) damaged_at: Option<usize>,
    pub(super) damaged_bytes: usize,
    /// Whether something whole follows a damaged place: then it is not just a write that was cut off.
    pub(super) is_damaged_inside: bool,
}

/// Returns both copies of the header of a journal of `chain`.
pub(super) fn headers(chain: L2ChainId, mark: &Mark) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(chain.get().to_be_bytes());
    bytes.extend(mark);
    bytes.extend(checksum(&[&bytes]));
    bytes.repeat(2)
}

impl Record {
    /// Appends the record to `out`, which goes to the file with this mark.
    pub(super) fn write(&self, mark: &Mark, out: &mut Vec<u8>) {
        match self {
            Self::Accepted { at_ms, raw } => put(mark, out, &[&[ACCEPTED], &at_ms.to_be_bytes(), raw]),
            Self::Obsolete(hash) => put(mark, out, &[&[OBSOLETE], hash.as_slice()]),
        }
    }

    /// Reads the record at the start of `bytes` and returns it with its length; `None` if there is no whole one.
    fn read(mark: &Mark, bytes: &[u8]) -> Option<(Self, usize)> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (sum, rest) = rest.split_first_chunk::<8>()?;
        let body_bytes = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if body_bytes > ACCEPTED_BYTES_MIN + TRANSACTION_BYTES_MAX {
            return None;
        }
        let body = rest.get(..body_bytes)?;
        let (kind, content) = body.split_first()?;
        if checksum(&[mark, length, body]) != *sum {
            return None;
        }
        let record = match *kind {
            ACCEPTED => {
                let (at_ms, raw) = content.split_first_chunk::<8>()?;
                Self::Accepted { at_ms: u64::from_be_bytes(*at_ms), raw: Bytes::copy_from_slice(raw) }
            }
            OBSOLETE => Self::Obsolete(TxHash::try_from(content).ok()?),
            _ => return None,
        };
        Some((record, PREFIX_BYTES + body_bytes))
    }
}

/// Reads a file. What is damaged is passed over byte by byte until something whole is found.
pub(super) fn read(bytes: &[u8]) -> Contents {
    let mut contents = Contents::default();
    for at in [0, HEADER_BYTES] {
        match bytes.get(at..).and_then(read_header) {
            Some(header) => contents.header = contents.header.or(Some(header)),
            None => contents.pass_over(at, HEADER_BYTES.min(bytes.len().saturating_sub(at))),
        }
    }
    // Headers are never what a crash cut off: a new file takes the old one's place when it is whole.
    contents.is_damaged_inside = contents.damaged_at.is_some();
    let Some(Header { mark, .. }) = contents.header else { return contents };
    let mut at = HEADERS_BYTES;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        match Record::read(&mark, rest) {
            Some((record, length)) => {
                contents.is_damaged_inside |= contents.damaged_at.is_some();
                contents.records.push(record);
                at += length;
            }
            None => {
                contents.pass_over(at, 1);
                at += 1;
            }
        }
    }
    contents
}

impl Contents {
    fn pass_over(&mut self, at: usize, bytes: usize) {
        self.damaged_at.get_or_insert(at);
        self.damaged_bytes += bytes;
    }
}

fn read_header(bytes: &[u8]) -> Option<Header> {
    let (fields, sum) = bytes.get(..HEADER_BYTES)?.split_last_chunk::<8>()?;
    let (version, rest) = fields.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    let (chain, mark) = rest.split_first_chunk::<8>()?;
    let (version, chain) = (u32::from_be_bytes(*version), L2ChainId::new(u64::from_be_bytes(*chain)));
    let header = Header { version, chain, mark: mark.try_into().ok()? };
    (checksum(&[fields]) == *sum).then_some(header)
}

fn put(mark: &Mark, out: &mut Vec<u8>, body: &[&[u8]]) {
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    let length = u32::try_from(body_bytes).expect("a transaction has at most 128 KiB").to_be_bytes();
    out.extend(length);
    let parts: Vec<&[u8]> = [&mark[..], &length].into_iter().chain(body.iter().copied()).collect();
    out.extend(checksum(&parts));
    body.iter().for_each(|part| out.extend_from_slice(part));
}

fn checksum(parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = Keccak256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let hash = hasher.finalize();
    *hash.first_chunk().expect("a hash has 32 bytes")
}
