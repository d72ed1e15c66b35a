//! What a node answers to those who catch up.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Signature, U256};
use baton_execution::{ExecutedBlock, Executor as _, NonceExecutor, Outcome};
use baton_proto::{
    Block, Certificate, Epoch, Height, Transaction, TransactionError,
    limits::RANGE_BLOCKS_MAX,
    wire::{FinalHeader, FinalRange, NOTHING_KNOWN, SyncRequest, SyncResponse, WireError},
};

use super::{Chain, EPOCHS, L2_CHAIN, child, finalization, genesis, identity, take, verifier};
use crate::{
    ledger::{FinalStep, Ledger as _, MemoryLedger, RocksLedger},
    sync::{answer, prove_range},
};

/// A ledger with `chain`, where the blocks at `certified` have their own finalization.
fn ledger(chain: &Chain, certified: &[u64]) -> MemoryLedger {
    let ledger = MemoryLedger::new(&identity()).unwrap();
    ledger.init_genesis(&genesis()).unwrap();
    let mut from = 0;
    for to in certified {
        let to = usize::try_from(*to).unwrap();
        take(&ledger, &chain.0[from..to], finalization(&chain.0[to - 1].header)).unwrap();
        from = to;
    }
    ledger
}

fn ask(ledger: &MemoryLedger, from: u64, blocks_max: u32) -> Option<FinalRange> {
    let request = SyncRequest::Range { from: Height::new(from), blocks_max };
    let response = answer(ledger, EPOCHS, request).unwrap();
    let bytes = response.encode();
    match SyncResponse::decode(&bytes, NOTHING_KNOWN).unwrap() {
        SyncResponse::Range(range) => Some(range),
        SyncResponse::Unavailable => None,
        other => panic!("a range became {other:?}"),
    }
}

#[test]
fn every_height_is_served_with_its_proof_however_far_up_the_finalization_is() {
    let chain = Chain::new(2_000);
    // Nothing was finalized by itself between 100 and 1,900.
    let ledger = ledger(&chain, &[50, 100, 1_900, 2_000]);
    let verifier = verifier();
    for from in [1, 50, 51, 100, 101, 300, 1_500, 1_899, 1_900, 1_901, 2_000] {
        let range = ask(&ledger, from, 256).unwrap();
        assert!(range.blocks.len() <= RANGE_BLOCKS_MAX);
        let proven = prove_range(range, Height::new(from), 256, &verifier, EPOCHS).unwrap();
        assert_eq!(proven.last().0.get(), (from + 255).min(2_000));
    }
    let single = ask(&ledger, 101, 1).unwrap();
    assert_eq!((single.blocks.len(), single.tail.len()), (1, 1_799));
}

/// A chain of two epochs: heights 1 to 3, the last of which ends the first epoch, and 4 to 5.
fn two_epochs() -> Vec<Block> {
    let mut blocks = Chain::new(2).0;
    for height in 3..=5_u64 {
        let mut block = child(&blocks[blocks.len() - 1].header, vec![]);
        block.header.epoch = Epoch::new(if height > 3 { 3 } else { 2 });
        block.header.origin.number = EPOCHS.start(Epoch::new(3));
        blocks.push(block);
    }
    blocks
}

#[test]
fn a_range_ends_where_its_epoch_does() {
    let ledger = ledger(&Chain(two_epochs()), &[3, 5]);
    let range = ask(&ledger, 2, 256).unwrap();
    assert_eq!((range.blocks.len(), range.tail.len()), (2, 0));
    assert!(prove_range(range, Height::new(2), 256, &verifier(), EPOCHS).is_ok());
    assert_eq!(ask(&ledger, 4, 256).unwrap().blocks.len(), 2);
}

#[test]
fn the_end_of_an_epoch_is_told_once_it_is_final() {
    let blocks = two_epochs();
    let end = |ledger: &MemoryLedger, epoch| match answer(ledger, EPOCHS, SyncRequest::EpochEnd(Epoch::new(epoch))) {
        Ok(SyncResponse::EpochEnd(last)) => Some(last),
        // Whoever knows of no end says up to where.
        Ok(SyncResponse::Head { height, .. }) if height == ledger.head().unwrap().height => None,
        other => panic!("{other:?}"),
    };
    let expected = FinalHeader { header: blocks[2].header.clone(), finalization: finalization(&blocks[2].header) };
    let running = ledger(&Chain(blocks[..2].to_vec()), &[2]);
    assert_eq!(end(&running, 2), None, "it is not over");
    let over = ledger(&Chain(blocks[..3].to_vec()), &[3]);
    assert_eq!(end(&over, 2), Some(expected.clone()), "over, and nothing after it is final yet");
    let next = ledger(&Chain(blocks), &[3, 5]);
    assert_eq!(end(&next, 2), Some(expected));
    assert!([0, 1, 3, 4, u64::MAX].into_iter().all(|epoch| end(&next, epoch).is_none()));
}

#[test]
fn what_is_not_final_here_is_unavailable() {
    let chain = Chain::new(120);
    let ledger = ledger(&chain, &[100]);
    assert!(ask(&ledger, 0, 10).is_none());
    assert!(ask(&ledger, 101, 10).is_none());
    assert!(ask(&ledger, u64::MAX, 10).is_none());
    assert_eq!(ask(&ledger, 100, 10).unwrap().blocks.len(), 1);
    let certificate: Certificate = finalization(&chain.0[119].header);
    ledger.store_certificate(&certificate).unwrap();
    assert!(ask(&ledger, 101, 10).is_none(), "a certificate alone makes no block final");
}

/// Nobody's: whoever tried to recover its sender would fail.
fn unrecoverable() -> Transaction {
    let signature = Signature::new(U256::ZERO, U256::from(1), false);
    let unsigned = TxEip1559 { chain_id: L2_CHAIN, gas_limit: 21_000, ..TxEip1559::default() };
    Transaction::decode_stored(TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()).unwrap()
}

#[test]
fn blocks_are_read_and_served_without_recovering_a_sender_and_whoever_gets_them_recovers() {
    let block = child(&genesis(), vec![unrecoverable()]);
    let digest = block.header.digest();
    let folder = tempfile::tempdir().unwrap();
    let ledger = RocksLedger::open(folder.path(), &identity()).unwrap();
    ledger.init_genesis(&genesis()).unwrap();
    let empty = Block { transactions: Vec::new(), ..block.clone() };
    let executed = NonceExecutor.execute(&empty, ledger.state().unwrap().as_ref()).unwrap();
    let results = vec![ExecutedBlock { outcomes: vec![Outcome::Executed], ..executed }];
    let certificate = finalization(&block.header);
    ledger.finalize(&FinalStep { blocks: vec![block.clone()], certificate, results }).unwrap();
    drop(ledger);

    let requests = [
        SyncRequest::Range { from: Height::new(1), blocks_max: 256 },
        SyncRequest::Block(digest),
        SyncRequest::Transactions { block: digest, indices: vec![0] },
    ];
    for request in requests {
        // Opened anew, it has nothing in memory.
        let ledger = RocksLedger::open(folder.path(), &identity()).unwrap();
        let bytes = answer(&ledger, EPOCHS, request).unwrap().encode();
        match SyncResponse::decode(&bytes, NOTHING_KNOWN) {
            Err(WireError::Transaction { index: 0, error: TransactionError::InvalidSender }) => {}
            Ok(SyncResponse::Transactions(raw)) => {
                assert_eq!(raw, [block.transactions[0].raw().clone()]);
                assert_eq!(Transaction::decode(raw[0].clone()), Err(TransactionError::InvalidSender));
            }
            other => panic!("{other:?}"),
        }
    }
    let ledger = RocksLedger::open(folder.path(), &identity()).unwrap();
    assert_eq!(ledger.block(Height::new(1)).unwrap(), Some(block));
}
