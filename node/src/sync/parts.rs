//! Answering members that lack transactions of a proposed block.

use baton_proto::{BlockDigest, limits::TRANSACTIONS_BYTES_TARGET, wire::SyncResponse};

use crate::ledger::{Ledger, LedgerError};

/// Answers with the first of the wanted transactions of `block` that fit one message.
///
/// Every block that this node has proposed or voted for is in its ledger before anybody hears of it, final or not, and
/// the latest are in memory there.
///
/// # Errors
/// [`LedgerError`] when the ledger cannot be read.
pub(super) fn transactions(
    ledger: &dyn Ledger,
    block: BlockDigest,
    indices: &[u32],
) -> Result<SyncResponse, LedgerError> {
    let Some(block) = ledger.block_by_digest(block)? else { return Ok(SyncResponse::Unavailable) };
    let (mut raw, mut bytes) = (Vec::new(), 0);
    for index in indices {
        let Some(transaction) = block.transactions.get(*index as usize) else { break };
        if bytes >= TRANSACTIONS_BYTES_TARGET {
            break;
        }
        bytes += transaction.raw().len();
        raw.push(transaction.raw().clone());
    }
    Ok(if raw.is_empty() { SyncResponse::Unavailable } else { SyncResponse::Transactions(raw) })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, Bytes};
    use baton_proto::limits::{TRANSACTION_BYTES_MAX, TRANSACTIONS_ASKED_MAX};

    use super::*;
    use crate::{
        driver::testing::{World, block_of, transfer},
        ledger::{ChainIdentity, MemoryLedger},
    };

    #[test]
    fn a_stored_block_is_served_in_parts_that_fit() {
        let small: Vec<_> = (0..5).map(|nonce| transfer(nonce, 0)).collect();
        let large: Vec<_> = (5..12).map(|nonce| transfer(nonce, TRANSACTION_BYTES_MAX - 200)).collect();
        let block = block_of(1, 7, [small, large].concat());
        let (inbox, slasher) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let identity = ChainIdentity { domain: World::new(&[1]).domain, inbox, slasher };
        let ledger = MemoryLedger::new(&identity).unwrap();
        let ask = |indices: &[u32]| transactions(&ledger, block.header.digest(), indices).unwrap();
        assert_eq!(ask(&[0]), SyncResponse::Unavailable, "not stored yet");
        ledger.store_block(&block).unwrap();

        let raw = |indices: &[usize]| -> Vec<Bytes> {
            indices.iter().map(|index| block.transactions[*index].raw().clone()).collect()
        };
        assert_eq!(ask(&[1, 3]), SyncResponse::Transactions(raw(&[1, 3])));
        // Four of the large ones are below the target, so a fifth goes along and no more.
        assert_eq!(ask(&[0, 5, 6, 7, 8, 9, 10, 11]), SyncResponse::Transactions(raw(&[0, 5, 6, 7, 8, 9])));
        // No block has such places; those before are served.
        assert_eq!(ask(&[4, 12]), SyncResponse::Transactions(raw(&[4])));
        assert_eq!(ask(&[12, TRANSACTIONS_ASKED_MAX as u32]), SyncResponse::Unavailable);
    }
}
