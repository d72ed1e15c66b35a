//! What L1 knows blobs by: commitments, versioned hashes, and the proofs that travel with a blob transaction.
//!
//! The first use loads the ceremony's points, which takes seconds; a commitment takes some 50 ms of one core, the proofs of a
//! blob some 200 ms. So everything here belongs on threads that may block.

use alloy::eips::eip7594::BlobTransactionSidecarEip7594;
use alloy_primitives::B256;
use baton_proto::{
    DataKind,
    blobs::{self, BlobsError},
};
use c_kzg::{Blob, KzgSettings, ethereum_kzg_settings};
use sha2::{Digest as _, Sha256};

/// Tables that make proofs a third faster and take some 100 MB: not worth it for a batch now and then.
const PRECOMPUTE: u64 = 0;

/// First byte of a versioned hash of a KZG commitment. Source: EIP-4844, `VERSIONED_HASH_VERSION_KZG`.
const VERSION_KZG: u8 = 1;

/// Why bytes have no commitment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum KzgError {
    #[error(transparent)]
    Blobs(#[from] BlobsError),
    #[error("no blob of L1: {0}")]
    Kzg(String),
}

impl From<c_kzg::Error> for KzgError {
    fn from(error: c_kzg::Error) -> Self {
        Self::Kzg(error.to_string())
    }
}

fn settings() -> &'static KzgSettings {
    ethereum_kzg_settings(PRECOMPUTE)
}

fn commitment(blob: &[u8]) -> Result<[u8; 48], KzgError> {
    Ok(settings().blob_to_kzg_commitment(&Blob::from_bytes(blob)?)?.to_bytes().into_inner())
}

fn versioned(commitment: &[u8; 48]) -> B256 {
    let mut hash = B256::from_slice(&Sha256::digest(commitment));
    hash[0] = VERSION_KZG;
    hash
}

/// Returns the versioned hash of one blob of 131,072 bytes.
///
/// # Errors
/// [`KzgError::Kzg`] for another length, or an element that is no field element.
pub(super) fn versioned_hash(blob: &[u8]) -> Result<B256, KzgError> {
    commitment(blob).map(|commitment| versioned(&commitment))
}

/// Returns what a batch header with this data says of it.
///
/// # Errors
/// [`KzgError::Blobs`] for more data than blobs hold.
pub fn data_hash(kind: DataKind, data: &[u8]) -> Result<B256, KzgError> {
    match kind {
        DataKind::Calldata => Ok(alloy_primitives::keccak256(data)),
        DataKind::Blobs => {
            let hashes = blobs::pack(data)?.iter().map(|blob| versioned_hash(blob)).collect::<Result<Vec<_>, _>>()?;
            Ok(blobs::data_hash(&hashes))
        }
    }
}

/// The blobs of one transaction, with what L1 wants to see of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecar {
    /// By which the transaction names its blobs, in their order.
    pub versioned_hashes: Vec<B256>,
    /// Blobs, commitments and cell proofs as they travel (EIP-7594).
    pub carried: BlobTransactionSidecarEip7594,
}

impl Sidecar {
    /// Packs `data` and proves it.
    ///
    /// # Errors
    /// [`KzgError::Blobs`] for more data than blobs hold.
    pub fn of(data: &[u8]) -> Result<Self, KzgError> {
        let mut carried = BlobTransactionSidecarEip7594::default();
        let mut versioned_hashes = Vec::new();
        for bytes in blobs::pack(data)? {
            let commitment = commitment(&bytes)?;
            let (_, proofs) = settings().compute_cells_and_kzg_proofs(&Blob::from_bytes(&bytes)?)?;
            versioned_hashes.push(versioned(&commitment));
            carried.commitments.push(commitment.into());
            carried
                .cell_proofs
                .extend(proofs.iter().map(|proof| alloy_primitives::FixedBytes(proof.to_bytes().into_inner())));
            carried.blobs.push(alloy_primitives::FixedBytes::from_slice(&bytes));
        }
        Ok(Self { versioned_hashes, carried })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0xc0 and zeros is infinity compressed: the commitment to a blob of zeros. Its hash is known from EIP-4844's own tests.
    #[test]
    fn an_empty_blob_has_the_hash_that_everybody_knows() {
        let hash = versioned_hash(&vec![0; blobs::BLOB_BYTES]).unwrap();
        let known = alloy_primitives::b256!("0x010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014");
        assert_eq!(hash, known);
    }

    #[test]
    fn a_sidecar_proves_every_cell_of_what_the_header_commits_to() {
        let data: Vec<u8> = (0..blobs::CARRIED_BYTES as u32).map(|at| (at % 251) as u8).collect();
        let sidecar = Sidecar::of(&data).unwrap();
        assert_eq!(sidecar.carried.blobs.len(), 2);
        assert_eq!(sidecar.carried.cell_proofs.len(), 2 * 128);
        assert_eq!(blobs::data_hash(&sidecar.versioned_hashes), data_hash(DataKind::Blobs, &data).unwrap());
        let commitment = c_kzg::Bytes48::from_bytes(sidecar.carried.commitments[1].as_slice()).unwrap();
        let cells = settings().compute_cells(&Blob::from_bytes(sidecar.carried.blobs[1].as_slice()).unwrap()).unwrap();
        let proofs: Vec<_> = sidecar.carried.cell_proofs[128..]
            .iter()
            .map(|proof| c_kzg::Bytes48::from_bytes(proof.as_slice()).unwrap())
            .collect();
        let indices: Vec<u64> = (0..128).collect();
        let verified = settings().verify_cell_kzg_proof_batch(&[commitment; 128], &indices, &cells[..], &proofs);
        assert!(verified.unwrap());
        assert_eq!(blobs::unpack(&sidecar.carried.blobs).unwrap(), data);
    }

    #[test]
    fn what_is_no_blob_has_no_hash() {
        assert!(matches!(versioned_hash(&[0; 32]), Err(KzgError::Kzg(_))));
        // Above the order of the group.
        assert!(matches!(versioned_hash(&vec![0xff; blobs::BLOB_BYTES]), Err(KzgError::Kzg(_))));
        let got = baton_proto::limits::BATCH_BLOB_DATA_BYTES_MAX + 1;
        assert_eq!(data_hash(DataKind::Blobs, &vec![0; got]), Err(KzgError::Blobs(BlobsError::TooLong { got })));
        assert_eq!(data_hash(DataKind::Calldata, b"x"), Ok(alloy_primitives::keccak256(b"x")));
    }
}
