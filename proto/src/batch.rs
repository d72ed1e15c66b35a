//! Batches: consecutive final blocks of one epoch as posted to L1.

use alloy_primitives::{B256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{
    BatchHash, BatchIndex, BlockDigest, Epoch, Height, L1Origin, abi,
    limits::{BATCH_BLOB_DATA_BYTES_MAX, BATCH_DATA_BYTES_MAX},
};

/// Where a batch's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataKind {
    /// In EIP-4844 blobs.
    Blobs,
    /// In the calldata of the posting transaction.
    Calldata,
}

impl DataKind {
    /// Returns the number that L1 uses.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Blobs => 0,
            Self::Calldata => 1,
        }
    }

    /// Returns the most data bytes of a batch of this kind, for any chain: a chain spec may set less, never more.
    #[must_use]
    pub const fn data_bytes_max(self) -> usize {
        match self {
            Self::Blobs => BATCH_BLOB_DATA_BYTES_MAX,
            Self::Calldata => BATCH_DATA_BYTES_MAX,
        }
    }

    /// Returns the kind for L1's number, if it is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Blobs),
            1 => Some(Self::Calldata),
            _ => None,
        }
    }
}

/// What a committee attests about a batch and L1 stores the hash of.
///
/// Source: protocol section 8; `BatchHeader` in `contracts/src/Types.sol` has the same fields in the same order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchHeader {
    /// Position in the inbox, from 0.
    pub index: BatchIndex,
    /// Hash of the batch before; zero for batch 0.
    pub prev_batch_hash: BatchHash,
    /// The epoch of every block in the batch.
    pub epoch: Epoch,
    /// Height of the first block.
    pub first_height: Height,
    /// Height of the last block.
    pub last_height: Height,
    /// Digest of the last block.
    pub last_digest: BlockDigest,
    /// L1 origin of the last block.
    pub last_origin: L1Origin,
    /// State root after the last block; zero while the chain's executor is `none`.
    pub state_root: B256,
    /// Forced entries consumed up to the last block.
    pub forced_position: u64,
    /// Rolling hash of the forced queue at that position.
    pub forced_hash: B256,
    /// Where the data is.
    pub data_kind: DataKind,
    /// Calldata: keccak256 of the data. Blobs: [`crate::blobs::data_hash`].
    pub data_hash: B256,
    /// Commitment to the epoch's turns led and missed up to the last block: [`duties_root`].
    pub duties_root: B256,
}

impl BatchHeader {
    /// Returns keccak256 of the header's ABI encoding (14 words).
    #[must_use]
    pub fn hash(&self) -> BatchHash {
        BatchHash::new(keccak256(self.abi_encode()))
    }

    /// Returns `abi.encode(header)` as Solidity writes it: 448 bytes.
    #[must_use]
    pub fn abi_encode(&self) -> Vec<u8> {
        abi::BatchHeader {
            index: self.index.get(),
            prevBatchHash: self.prev_batch_hash.get(),
            epoch: self.epoch.get(),
            firstHeight: self.first_height.get(),
            lastHeight: self.last_height.get(),
            lastDigest: self.last_digest.get(),
            lastOriginNumber: self.last_origin.number.get(),
            lastOriginHash: self.last_origin.hash,
            stateRoot: self.state_root,
            forcedPosition: self.forced_position,
            forcedHash: self.forced_hash,
            dataKind: self.data_kind.code(),
            dataHash: self.data_hash,
            dutiesRoot: self.duties_root,
        }
        .abi_encode()
    }
}

/// One member's turns in an epoch so far, as the final chain shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// Views whose block is in the final chain.
    pub led: u64,
    /// Views that the final chain skipped.
    pub missed: u64,
}

/// Returns `keccak256(abi.encode(uint64 epoch, uint64[] led, uint64[] missed))`, one entry per member in address order.
///
/// The table has at most 128 rows, so whoever settles an epoch on L1 can pass it whole.
#[must_use]
pub fn duties_root(epoch: Epoch, table: &[Duties]) -> B256 {
    let led: Vec<u64> = table.iter().map(|row| row.led).collect();
    let missed: Vec<u64> = table.iter().map(|row| row.missed).collect();
    keccak256((epoch.get(), led, missed).abi_encode_params())
}
