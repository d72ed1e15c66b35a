//! What a node answers to those who catch up.

use baton_proto::{
    Certificate, Height,
    limits::RANGE_BLOCKS_MAX,
    wire::{FinalRange, NOTHING_KNOWN, SyncRequest, SyncResponse},
};

use super::{Chain, finalization, genesis, identity, take, verifier};
use crate::{
    ledger::{Ledger as _, MemoryLedger},
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
    let response = answer(ledger, request).unwrap();
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
        let proven = prove_range(range, Height::new(from), 256, &verifier).unwrap();
        assert_eq!(proven.last().0.get(), (from + 255).min(2_000));
    }
    let single = ask(&ledger, 101, 1).unwrap();
    assert_eq!((single.blocks.len(), single.tail.len()), (1, 1_799));
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
