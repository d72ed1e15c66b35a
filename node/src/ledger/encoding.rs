//! How numbers, words and byte strings are written inside a value.
//!
//! Numbers of a fixed width are big-endian. A number of up to 256 bits is its length in one byte and then its bytes without
//! leading zeros; a byte string is its length in four bytes and then itself. Each has one encoding only.

use alloy_primitives::{Address, B256, U256};

/// Appends a number of up to 256 bits.
pub(super) fn push_number(bytes: &mut Vec<u8>, number: U256) {
    let digits = number.to_be_bytes_trimmed_vec();
    // At most 32.
    bytes.push(digits.len() as u8);
    bytes.extend(digits);
}

/// Appends a byte string.
pub(super) fn push_bytes(bytes: &mut Vec<u8>, string: &[u8]) {
    push_count(bytes, string.len());
    bytes.extend(string);
}

/// Appends how many of something follow.
pub(super) fn push_count(bytes: &mut Vec<u8>, count: usize) {
    // Nothing in a block has 2^32 of anything: its payload is bounded, and its gas.
    bytes.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

/// Reads a value from its start. Every method returns nothing where the bytes are not what it reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns `value` if nothing is left.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.is_empty().then_some(value)
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_be_bytes)
    }

    pub(super) fn word(&mut self) -> Option<B256> {
        self.array::<32>().map(B256::from)
    }

    pub(super) fn address(&mut self) -> Option<Address> {
        self.array::<20>().map(Address::from)
    }

    pub(super) fn number(&mut self) -> Option<U256> {
        let length = self.byte()?;
        let digits = self.take(usize::from(length))?;
        (digits.len() <= 32 && digits.first() != Some(&0)).then(|| U256::from_be_slice(digits))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }
}
