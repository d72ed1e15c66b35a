//! `baton_getProof`: what a node shows of a transaction, step by step.

use std::sync::Arc;

use alloy_primitives::{Address, U128};
use baton_proto::{
    Attestation, BlsSignature, Certificate, Epoch, ForcedEntry, Height, L1BlockNumber, SignerSet, Statement,
    Transaction,
};
use serde_json::json;

use super::node::{TestNode, first_epoch, tx};
use crate::{
    driver::testing::child,
    ledger::{BatchOnL1, BatchRecord, Ledger as _},
    proof::{Proof, Told},
};

async fn proof(node: &TestNode, transaction: &Transaction) -> Proof {
    let shown = node.call("baton_getProof", json!([transaction.hash()])).await;
    Proof::from_json(shown.to_string().as_bytes()).unwrap()
}

/// Whether the path leads to the first header.
fn holds(proof: &Proof) -> bool {
    let block = proof.block.as_ref().unwrap();
    block.headers[0].holds(block.index, &proof.raw, &block.path)
}

fn heights(proof: &Proof) -> Vec<u64> {
    proof.block.as_ref().unwrap().headers.iter().map(|header| header.height.get()).collect()
}

#[tokio::test]
async fn a_transaction_has_a_proof_of_every_step_that_this_node_knows_of() {
    let node = TestNode::start().await;
    let (mine, gapped) = (tx(1, 0, 7), tx(3, 5, 7));
    assert!(node.call("baton_getProof", json!([mine.hash()])).await.is_null());
    node.send(&mine).await;
    let pooled = proof(&node, &mine).await;
    assert_eq!((&pooled.raw, pooled.hash, &pooled.block), (mine.raw(), *mine.hash(), &None));
    assert!(pooled.committees.is_empty(), "nobody signed yet");

    node.finalize(vec![]);
    let entry = ForcedEntry::new(L1BlockNumber::new(40), Address::repeat_byte(0xaa), 0, tx(2, 0, 1).raw().clone());
    let digest = node.finalize_with(vec![entry], vec![mine.clone(), gapped.clone(), tx(4, 0, 1)]);
    for (transaction, index) in [(tx(2, 0, 1), 0), (mine.clone(), 1), (gapped.clone(), 2), (tx(4, 0, 1), 3)] {
        let shown = proof(&node, &transaction).await;
        let block = shown.block.as_ref().unwrap();
        assert!(holds(&shown), "{index}");
        assert_eq!((block.index, block.headers[0].digest(), &shown.raw), (index, digest, transaction.raw()));
        let told = if transaction == gapped {
            matches!(block.outcome, Some(Told::Skipped { .. }))
        } else {
            block.outcome == Some(Told::Executed)
        };
        assert!(told, "{:?}", block.outcome);
    }
    let finalized = proof(&node, &mine).await.block.unwrap().finalization.unwrap();
    assert_eq!((finalized.height.get(), finalized.signers), (2, U128::from(0b111)));

    // The vote for it is shown if it is kept.
    let header = node.ledger.header(Height::new(2)).unwrap().unwrap();
    let statement = Statement::Notarize { epoch: header.epoch, view: header.view, block: digest };
    node.ledger.store_certificate(&certificate(statement, 0b1110)).unwrap();
    let shown = proof(&node, &mine).await;
    assert_eq!(shown.committees[0].members, first_epoch().committee);
    let notarized = shown.block.unwrap().notarization.unwrap();
    assert_eq!((notarized.height.get(), notarized.view, notarized.signers), (2, header.view, U128::from(0b1110)));

    // Its batch, with the headers up to the batch's last block, once L1 is known to have it.
    node.finalize(vec![]);
    node.finalize(vec![]);
    node.record_batch(0, 1..=3, 30, false);
    node.announce_recorded(1, 0);
    assert_eq!(proof(&node, &mine).await.block.unwrap().batch, None, "nobody attested it");
    attest(&node);
    let shown = proof(&node, &mine).await;
    assert_eq!(heights(&shown), [2, 3]);
    let batch = shown.block.unwrap().batch.unwrap();
    assert_eq!((batch.epoch, batch.header.last_height.get(), batch.signers), (Epoch::new(2), 3, U128::from(0b1011)));
    assert!(matches!(batch.l1, BatchOnL1::Posted { block, .. } if block.get() == 30), "{:?}", batch.l1);
    assert_eq!(node.refused("baton_getProof", json!(["0x12"])).await.0, -32_602);
}

fn certificate(statement: Statement, bits: u128) -> Certificate {
    Certificate { statement, signers: SignerSet::from_bits(bits), signature: BlsSignature::new([2; 48]) }
}

/// Adds a certificate to what is recorded of batch 0.
fn attest(node: &TestNode) {
    let record = node.ledger.last_batch().unwrap().unwrap();
    let attestation = Attestation::of(Epoch::new(2), &record.header);
    let certificate = Some(certificate(Statement::Attest(attestation), 0b1011));
    node.ledger.put_batch(&BatchRecord { certificate, ..record }).unwrap();
}

#[tokio::test]
async fn a_block_that_is_only_voted_for_is_shown_with_the_votes_that_are_kept() {
    let node = TestNode::start().await;
    let mine = tx(1, 0, 7);
    let block = child(&node.ledger.header(Height::ZERO).unwrap().unwrap(), vec![tx(2, 0, 1), mine.clone()]);
    let (header, digest) = (block.header.clone(), block.header.digest());
    node.notarized.on_notarized(digest, Arc::new(block.clone()), header.view);
    assert!(node.call("baton_getProof", json!([mine.hash()])).await.is_null(), "its body is not here");
    let statement = Statement::Notarize { epoch: header.epoch, view: header.view, block: digest };
    node.ledger.persist(&[block], &[certificate(statement, 0b1011)]).unwrap();
    let shown = proof(&node, &mine).await;
    let place = shown.block.as_ref().unwrap();
    assert!(holds(&shown) && place.finalization.is_none() && place.outcome.is_none() && place.batch.is_none());
    let votes = place.notarization.as_ref().unwrap();
    assert_eq!((votes.height.get(), votes.view, votes.signers), (1, header.view, U128::from(0b1011)));
    assert_eq!(shown.committees[0].epoch, header.epoch);
}
