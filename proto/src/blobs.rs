//! A batch's data as the blobs of one L1 transaction (EIP-4844).
//!
//! # Format, version 1
//! A blob is [`ELEMENTS`] numbers of 32 bytes, big-endian, each below the order of BLS12-381's groups. The first byte
//! of each is zero, so each is, and carries the other 31 bytes. What all blobs carry, in the transaction's order, is
//! one stream:
//!
//! `0x01 ‖ length of the data, 4 bytes, big-endian ‖ the data ‖ zeros to the end of the last blob`
//!
//! Data has exactly one list of blobs: as few as hold it. [`unpack`] refuses any other, so whoever has the data has the blobs,
//! their commitments and their versioned hashes, and L1 holds a batch's data in one form only.

use alloy_primitives::{B256, keccak256};

use crate::limits::{BATCH_BLOB_DATA_BYTES_MAX, BATCH_BLOBS_MAX};

/// The version byte of the format described above.
pub const VERSION: u8 = 1;

/// Bytes of one blob. Source: EIP-4844.
pub const BLOB_BYTES: usize = ELEMENTS * ELEMENT_BYTES;

/// Field elements of one blob. Source: EIP-4844, `FIELD_ELEMENTS_PER_BLOB`.
pub const ELEMENTS: usize = 4_096;

/// Bytes of one field element.
const ELEMENT_BYTES: usize = 32;

/// Bytes that one blob carries: 126,976.
pub const CARRIED_BYTES: usize = ELEMENTS * (ELEMENT_BYTES - 1);

/// Bytes in front of the data: the version and the length.
pub const HEAD_BYTES: usize = 5;

/// Why data makes no blobs, or blobs hold no data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum BlobsError {
    #[error("{got} bytes, blobs of one batch hold at most {BATCH_BLOB_DATA_BYTES_MAX}")]
    TooLong { got: usize },
    #[error("{got} blobs, a batch has 1 to {BATCH_BLOBS_MAX}")]
    Count { got: usize },
    #[error("blob {blob} has {got} bytes, expected {BLOB_BYTES}")]
    BlobLength { blob: usize, got: usize },
    #[error("element {element} of blob {blob} does not start with a zero")]
    Element { blob: usize, element: usize },
    #[error("version {got}, this node knows version {VERSION}")]
    UnknownVersion { got: u8 },
    #[error("{length} bytes of data take {expected} blobs, not {got}")]
    WrongCount { length: usize, expected: usize, got: usize },
    #[error("byte {at} behind the data is not zero")]
    NotZero { at: usize },
}

/// Returns how many blobs hold `length` bytes of data: at least one.
#[must_use]
pub const fn count_for(length: usize) -> usize {
    length.saturating_add(HEAD_BYTES).div_ceil(CARRIED_BYTES)
}

/// Returns the most bytes of data that `blobs` blobs hold, of those that a batch may have.
#[must_use]
pub const fn data_bytes_max(blobs: u64) -> usize {
    let blobs = if blobs > BATCH_BLOBS_MAX as u64 { BATCH_BLOBS_MAX } else { blobs as usize };
    (blobs * CARRIED_BYTES).saturating_sub(HEAD_BYTES)
}

/// Returns `data` as blobs of [`BLOB_BYTES`] bytes each.
///
/// # Errors
/// [`BlobsError::TooLong`].
pub fn pack(data: &[u8]) -> Result<Vec<Vec<u8>>, BlobsError> {
    if data.len() > BATCH_BLOB_DATA_BYTES_MAX {
        return Err(BlobsError::TooLong { got: data.len() });
    }
    let length = u32::try_from(data.len()).map_err(|_| BlobsError::TooLong { got: data.len() })?;
    let stream: Vec<u8> = [&[VERSION][..], &length.to_be_bytes(), data].concat();
    Ok(stream
        .chunks(CARRIED_BYTES)
        .map(|carried| {
            let mut blob = vec![0; BLOB_BYTES];
            for (element, bytes) in blob.chunks_mut(ELEMENT_BYTES).zip(carried.chunks(ELEMENT_BYTES - 1)) {
                for (to, from) in element.iter_mut().skip(1).zip(bytes) {
                    *to = *from;
                }
            }
            blob
        })
        .collect())
}

/// Returns the data that `blobs`, in the transaction's order, hold.
///
/// # Errors
/// [`BlobsError`] for everything that [`pack`] does not make.
pub fn unpack<B: AsRef<[u8]>>(blobs: &[B]) -> Result<Vec<u8>, BlobsError> {
    if !(1..=BATCH_BLOBS_MAX).contains(&blobs.len()) {
        return Err(BlobsError::Count { got: blobs.len() });
    }
    let mut stream = Vec::with_capacity(blobs.len() * CARRIED_BYTES);
    for (index, blob) in blobs.iter().enumerate() {
        let blob = blob.as_ref();
        if blob.len() != BLOB_BYTES {
            return Err(BlobsError::BlobLength { blob: index, got: blob.len() });
        }
        for (element, bytes) in blob.chunks(ELEMENT_BYTES).enumerate() {
            match bytes.split_first() {
                Some((0, carried)) => stream.extend_from_slice(carried),
                _ => return Err(BlobsError::Element { blob: index, element }),
            }
        }
    }
    let [version, a, b, c, d, rest @ ..] = stream.as_slice() else { return Err(BlobsError::Count { got: 0 }) };
    if *version != VERSION {
        return Err(BlobsError::UnknownVersion { got: *version });
    }
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if count_for(length) != blobs.len() {
        return Err(BlobsError::WrongCount { length, expected: count_for(length), got: blobs.len() });
    }
    // As many blobs as the length takes hold that length.
    let (data, padding) = rest.split_at(length.min(rest.len()));
    if let Some(at) = padding.iter().position(|byte| *byte != 0) {
        return Err(BlobsError::NotZero { at });
    }
    Ok(data.to_vec())
}

/// Returns `dataHash` of a batch header whose data is in blobs: keccak256 of their versioned hashes in the transaction's order.
///
/// Source: `BatchInbox.post`.
#[must_use]
pub fn data_hash(versioned_hashes: &[B256]) -> B256 {
    let mut bytes = Vec::with_capacity(versioned_hashes.len() * 32);
    for hash in versioned_hashes {
        bytes.extend_from_slice(hash.as_slice());
    }
    keccak256(bytes)
}
