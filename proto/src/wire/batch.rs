//! Batch headers.

use super::{WireError, block::origin, fields, pb};
use crate::{BatchHash, BatchHeader, BatchIndex, BlockDigest, DataKind, Epoch, Height};

impl From<&BatchHeader> for pb::BatchHeader {
    fn from(header: &BatchHeader) -> Self {
        Self {
            index: header.index.get(),
            prev_batch_hash: fields::to_bytes(header.prev_batch_hash.get().as_slice()),
            epoch: header.epoch.get(),
            first_height: header.first_height.get(),
            last_height: header.last_height.get(),
            last_digest: fields::to_bytes(header.last_digest.get().as_slice()),
            last_origin: Some((&header.last_origin).into()),
            state_root: fields::to_bytes(header.state_root.as_slice()),
            forced_position: header.forced_position,
            forced_hash: fields::to_bytes(header.forced_hash.as_slice()),
            data_kind: u32::from(header.data_kind.code()),
            data_hash: fields::to_bytes(header.data_hash.as_slice()),
            duties_root: fields::to_bytes(header.duties_root.as_slice()),
        }
    }
}

impl TryFrom<pb::BatchHeader> for BatchHeader {
    type Error = WireError;

    fn try_from(header: pb::BatchHeader) -> Result<Self, WireError> {
        let data_kind = u8::try_from(header.data_kind).ok().and_then(DataKind::from_code).ok_or({
            WireError::OutOfRange {
                what: "batch_header.data_kind",
                got: header.data_kind as u64,
                min: 0,
                max: DataKind::Calldata.code() as u64,
            }
        })?;
        Ok(Self {
            index: BatchIndex::new(header.index),
            prev_batch_hash: BatchHash::new(fields::hash("batch_header.prev_batch_hash", &header.prev_batch_hash)?),
            epoch: Epoch::new(header.epoch),
            first_height: Height::new(header.first_height),
            last_height: Height::new(header.last_height),
            last_digest: BlockDigest::new(fields::hash("batch_header.last_digest", &header.last_digest)?),
            last_origin: origin("batch_header.last_origin", header.last_origin)?,
            state_root: fields::hash("batch_header.state_root", &header.state_root)?,
            forced_position: header.forced_position,
            forced_hash: fields::hash("batch_header.forced_hash", &header.forced_hash)?,
            data_kind,
            data_hash: fields::hash("batch_header.data_hash", &header.data_hash)?,
            duties_root: fields::hash("batch_header.duties_root", &header.duties_root)?,
        })
    }
}
