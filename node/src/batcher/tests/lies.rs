//! Who attests two ends of one batch is accused of it.

use std::sync::Arc;

use alloy_primitives::B256;
use baton_consensus::Verifier;
use baton_proto::{
    Attestation, BatchHash, BatchIndex, BlockDigest, Epoch, Evidence, Height, MemberIndex, Offence, SignedStatement,
    Statement, wire::ConsensusMessage,
};

use super::{Cluster, blocks_of_two_epochs};
use crate::{
    batcher::BatchMessage,
    l1::{
        InboxTip,
        testing::{PATIENCE, POLL, TestChain, eventually},
    },
};

/// What the second member of the first epoch says of the first batch, as whoever it is in the committee of `epoch`.
fn lie(chain: &TestChain, epoch: Epoch, signer: u8, fill: u8) -> SignedStatement {
    let tip = InboxTip::genesis(&chain.facts);
    let statement = Statement::Attest(Attestation {
        committee_epoch: epoch,
        batch_index: tip.next_index,
        prev_batch_hash: tip.last_hash,
        header_hash: BatchHash::new(B256::repeat_byte(fill)),
        last_height: Height::new(5),
        last_digest: BlockDigest::new(B256::repeat_byte(fill)),
        state_root: B256::ZERO,
    });
    let signature = chain.keys[1].sign(&statement, &chain.facts.domain);
    SignedStatement { statement, signer: MemberIndex::new(signer), signature }
}

impl Cluster {
    /// Has the first node hear an attestation from its signer, again and again until `told`: before it has looked at L1 it knows of
    /// no batch that could be attested.
    async fn first_hears(&self, signed: &SignedStatement, told: impl AsyncFn() -> bool) {
        let inbox = self.hub.0.lock().unwrap()[0].clone().unwrap().1;
        let (epoch, from) = (signed.statement.epoch(), signed.signer);
        let hearing = async {
            while !told().await {
                let message = ConsensusMessage::Attestation(signed.clone());
                inbox.send(BatchMessage { epoch, from, message }).await.unwrap();
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.expect("in time");
    }

    /// Has the first node hear one attestation and keep it.
    async fn first_keeps(&self, signed: &SignedStatement) {
        let ledger = Arc::clone(&self.members[0].as_ref().unwrap().ledger);
        let key = self.chain.keys[1].public_key();
        self.first_hears(signed, async || {
            ledger.attestations(BatchIndex::ZERO, &key).unwrap().iter().any(|kept| kept.statement == signed.statement)
        })
        .await;
    }

    /// Returns the evidence that the first node finds when it hears this.
    async fn first_accuses(&mut self, signed: &SignedStatement) -> Evidence {
        self.first_keeps(signed).await;
        let member = self.members[0].as_mut().unwrap();
        let found = tokio::time::timeout(PATIENCE, member.accused.recv()).await.expect("in time").unwrap();
        assert_eq!(found.offence(), Offence::ConflictingAttestations);
        assert!(member.charged.lock().unwrap().is_empty());
        found
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_attests_two_ends_of_one_batch_is_accused_of_it_also_after_a_restart() {
    let mut cluster = Cluster::start(&[0]).await;
    let (epoch, domain) = (cluster.chain.facts.first.epoch, cluster.chain.facts.domain);
    let said = [1, 2].map(|fill| lie(&cluster.chain, epoch, 1, fill));
    cluster.first_keeps(&said[0]).await;
    let before = cluster.members[0].take().unwrap();
    before.cancel.cancel();
    let (key, record) = cluster.key_of(0);
    let epochs = cluster.chain.epochs(Some(&key));
    cluster.join_from(before.ledger, 0, key, record, epochs);
    let found = cluster.first_accuses(&said[1]).await;
    assert_eq!(found, Evidence::new(said[0].clone(), said[1].clone()).unwrap());
    let verifier = Verifier::new(domain, Arc::clone(&cluster.chain.committee)).unwrap();
    assert_eq!(verifier.verify_evidence(&found), Ok(()));

    // Whoever says such a thing in another's name is charged, and nobody is accused.
    let inbox = cluster.hub.0.lock().unwrap()[0].clone().unwrap().1;
    let forged = SignedStatement { signer: MemberIndex::new(2), ..said[1].clone() };
    let message = ConsensusMessage::Attestation(forged);
    inbox.send(BatchMessage { epoch, from: MemberIndex::new(2), message }).await.unwrap();
    let member = cluster.members[0].as_mut().unwrap();
    let charged = Arc::clone(&member.charged);
    eventually("the forger is charged", || async { !charged.lock().unwrap().is_empty() }).await;
    assert_eq!(charged.lock().unwrap()[0].1, MemberIndex::new(2));
    assert!(member.accused.try_recv().is_err());
}

/// The batch is too old for its own committee, and a later one certifies it: who attests one end for the first and another for the
/// second has signed against itself all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_attests_two_ends_of_one_batch_for_two_committees_is_accused_of_it() {
    let mut cluster = Cluster::start_growing(|_| {}).await;
    let then = cluster.chain.facts.first.epoch;
    let first = lie(&cluster.chain, then, 1, 1);
    cluster.first_keeps(&first).await;
    let later = Epoch::new(4);
    let (_, root) = blocks_of_two_epochs(&cluster, later).await;
    cluster.run_epoch(later, &root).await;
    // Who joined moved the others up.
    let second = lie(&cluster.chain, later, 2, 2);
    let found = cluster.first_accuses(&second).await;
    assert_eq!((found.epoch(), found.signer()), (later, MemberIndex::new(2)));
    assert_eq!([found.first().statement, found.second().statement], [second.statement, first.statement]);
    let committee = cluster.chain.epoch(later, &root, None).await;
    assert_eq!(committee.verifier.verify_evidence(&found), Ok(()));
}
