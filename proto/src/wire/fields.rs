//! Single fields: lengths and ranges.

use alloy_primitives::{Address, B256};
use prost::bytes::Bytes;

use super::WireError;
use crate::{BlsSignature, MemberIndex, limits::COMMITTEE_MEMBERS_MAX};

pub(super) fn hash(what: &'static str, bytes: &[u8]) -> Result<B256, WireError> {
    array(what, bytes).map(B256::new)
}

pub(super) fn address(what: &'static str, bytes: &[u8]) -> Result<Address, WireError> {
    array(what, bytes).map(|bytes: [u8; 20]| Address::new(bytes))
}

pub(super) fn signature(what: &'static str, bytes: &[u8]) -> Result<BlsSignature, WireError> {
    array(what, bytes).map(BlsSignature::new)
}

pub(super) fn array<const N: usize>(what: &'static str, bytes: &[u8]) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::WrongLength { what, got: bytes.len(), expected: N })
}

pub(super) fn member(what: &'static str, index: u32) -> Result<MemberIndex, WireError> {
    let max = COMMITTEE_MEMBERS_MAX as u64 - 1;
    match u8::try_from(index) {
        Ok(small) if usize::from(small) < COMMITTEE_MEMBERS_MAX => Ok(MemberIndex::new(small)),
        _ => Err(WireError::OutOfRange { what, got: u64::from(index), min: 0, max }),
    }
}

pub(super) fn required<T>(what: &'static str, field: Option<T>) -> Result<T, WireError> {
    field.ok_or(WireError::Missing { what })
}

pub(super) fn to_bytes(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
