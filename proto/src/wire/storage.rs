//! The same encodings for disk: what is stored is what would be sent.
//!
//! Disks rot, so reading back checks as much as reading from a peer does. Signatures of transactions are the exception: a
//! header commits to every byte of them, so who finds the header to be the stored one has the bytes that were checked then.

use alloy_primitives::{Bytes, TxHash};
use prost::Message;

use super::{Known, WireError, block, check_length, count, decode_canonical, fields, pb};
use crate::{
    BatchHeader, Block, BlockHeader, Certificate, Evidence, SignedStatement, Statement, Transaction, TransactionError,
    limits::{BLOCK_TRANSACTIONS_MAX, FORCED_PER_BLOCK_MAX, FRAME_BYTES_MAX, RECORD_BYTES_MAX},
};

/// Returns a block's encoding.
#[must_use]
pub fn block_to_bytes(block: &Block) -> Vec<u8> {
    pb::Block::from(block).encode_to_vec()
}

/// Decodes a block that was checked before it was stored: it is what its header commits to, and its transactions are as of
/// [`Transaction::decode_stored`]. That its header is the stored one is for the caller to check, by its digest.
///
/// # Errors
/// [`WireError`] as for a block from a peer, but for signatures.
pub fn block_from_bytes(bytes: &[u8]) -> Result<Block, WireError> {
    check_length("block", bytes, FRAME_BYTES_MAX)?;
    count::at_most("block.transactions", bytes, &[2], BLOCK_TRANSACTIONS_MAX)?;
    count::at_most("block.forced", bytes, &[3, 2], FORCED_PER_BLOCK_MAX)?;
    block::block(decode_canonical("block", bytes, FRAME_BYTES_MAX)?, &Stored)
}

/// Transactions that were checked before they were stored.
struct Stored;

impl Known for Stored {
    fn transaction(&self, _: &TxHash) -> Option<Transaction> {
        None
    }

    fn decode(&self, raw: Bytes) -> Result<Transaction, TransactionError> {
        Transaction::decode_stored(raw)
    }
}

/// Returns the header of an encoded block; its transactions are neither decoded nor compared.
///
/// # Errors
/// [`WireError`] if the bytes are no block or its header is missing or malformed.
pub fn header_of_block_bytes(bytes: &[u8]) -> Result<BlockHeader, WireError> {
    check_length("block", bytes, FRAME_BYTES_MAX)?;
    count::at_most("block.transactions", bytes, &[2], BLOCK_TRANSACTIONS_MAX)?;
    count::at_most("block.forced", bytes, &[3, 2], FORCED_PER_BLOCK_MAX)?;
    let block: pb::Block = decode_canonical("block", bytes, FRAME_BYTES_MAX)?;
    fields::required("block.header", block.header)?.try_into()
}

macro_rules! stored {
    ($type:ident, $what:literal, $to:ident, $from:ident) => {
        #[doc = concat!("Returns the encoding of a `", stringify!($type), "`.")]
        #[must_use]
        pub fn $to(value: &$type) -> Vec<u8> {
            pb::$type::from(value).encode_to_vec()
        }

        #[doc = concat!("Decodes a `", stringify!($type), "`.\n\n# Errors\n[`WireError`] as for one from a peer.")]
        pub fn $from(bytes: &[u8]) -> Result<$type, WireError> {
            decode_canonical::<pb::$type>($what, bytes, RECORD_BYTES_MAX)?.try_into()
        }
    };
}

stored!(BlockHeader, "block_header", header_to_bytes, header_from_bytes);
stored!(BatchHeader, "batch_header", batch_header_to_bytes, batch_header_from_bytes);
stored!(Statement, "statement", statement_to_bytes, statement_from_bytes);
stored!(SignedStatement, "signed_statement", signed_statement_to_bytes, signed_statement_from_bytes);
stored!(Certificate, "certificate", certificate_to_bytes, certificate_from_bytes);
stored!(Evidence, "evidence", evidence_to_bytes, evidence_from_bytes);
