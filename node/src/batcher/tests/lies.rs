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
    lie_of(chain, 1, signer, Attestation { committee_epoch: epoch, ..attestation(chain, fill) })
}

/// Signed by the member `of` of the first epoch.
fn lie_of(chain: &TestChain, of: usize, signer: u8, attestation: Attestation) -> SignedStatement {
    let statement = Statement::Attest(attestation);
    let signature = chain.keys[of].sign(&statement, &chain.facts.domain);
    SignedStatement { statement, signer: MemberIndex::new(signer), signature }
}

/// Of the first batch, for the first committee.
fn attestation(chain: &TestChain, fill: u8) -> Attestation {
    let tip = InboxTip::genesis(&chain.facts);
    Attestation {
        committee_epoch: chain.facts.first.epoch,
        batch_index: tip.next_index,
        prev_batch_hash: tip.last_hash,
        header_hash: BatchHash::new(B256::repeat_byte(fill)),
        last_height: Height::new(5),
        last_digest: BlockDigest::new(B256::repeat_byte(fill)),
        state_root: B256::ZERO,
    }
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

impl Cluster {
    /// Has the first node hear these once, each from its signer.
    async fn first_hears_once(&self, said: impl IntoIterator<Item = SignedStatement>) {
        let inbox = self.hub.0.lock().unwrap()[0].clone().unwrap().1;
        for signed in said {
            let (epoch, from) = (signed.statement.epoch(), signed.signer);
            let message = ConsensusMessage::Attestation(signed);
            inbox.send(BatchMessage { epoch, from, message }).await.unwrap();
        }
    }

    async fn accused_by_first(&mut self) -> Evidence {
        let member = self.members[0].as_mut().unwrap();
        tokio::time::timeout(PATIENCE, member.accused.recv()).await.expect("in time").unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_number_of_other_attestations_hides_two_that_contradict_each_other() {
    let mut cluster = Cluster::start(&[0]).await;
    let epoch = cluster.chain.facts.first.epoch;
    let verifier = Verifier::new(cluster.chain.facts.domain, Arc::clone(&cluster.chain.committee)).unwrap();
    // Other ends of the batch that L1 waits for: no two of them are an offence.
    for height in 100..124 {
        let other = Attestation { last_height: Height::new(height), ..attestation(&cluster.chain, 1) };
        cluster.first_keeps(&lie_of(&cluster.chain, 1, 1, other)).await;
    }
    let said = [1, 2].map(|fill| lie(&cluster.chain, epoch, 1, fill));
    cluster.first_keeps(&said[0]).await;
    let found = cluster.first_accuses(&said[1]).await;
    assert_eq!(found, Evidence::new(said[0].clone(), said[1].clone()).unwrap());

    // The one after it on any batch before: nobody can say yet which that will be.
    let ahead = |prev: u8, fill| {
        let of = attestation(&cluster.chain, fill);
        let (batch_index, prev_batch_hash) = (BatchIndex::new(1), BatchHash::new(B256::repeat_byte(prev)));
        lie_of(&cluster.chain, 2, 2, Attestation { batch_index, prev_batch_hash, ..of })
    };
    let said = [ahead(99, 1), ahead(99, 2)];
    cluster.first_hears_once((0..24).map(|prev| ahead(prev, 1)).chain(said.clone())).await;
    let found = cluster.accused_by_first().await;
    assert_eq!(found, Evidence::new(said[0].clone(), said[1].clone()).unwrap());
    assert_eq!(verifier.verify_evidence(&found), Ok(()));
    let ledger = &cluster.members[0].as_ref().unwrap().ledger;
    assert_eq!(ledger.attestations(BatchIndex::new(1), &cluster.chain.keys[2].public_key()).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_evidence_is_lost_while_nobody_takes_it() {
    let mut cluster = Cluster::start(&[0]).await;
    let epoch = cluster.chain.facts.first.epoch;
    cluster.first_keeps(&lie(&cluster.chain, epoch, 1, 1)).await;
    let lies = |of: u8| [1, 2].map(|fill| lie_of(&cluster.chain, of.into(), of, attestation(&cluster.chain, fill)));
    cluster.first_hears_once((1..4).flat_map(lies)).await;
    // There is room for one, and nobody has taken it.
    let ledger = Arc::clone(&cluster.members[0].as_ref().unwrap().ledger);
    eventually("two are on the disk", || async { ledger.evidence().unwrap().len() >= 2 }).await;
    for of in 1..4 {
        assert_eq!(cluster.accused_by_first().await.signer(), MemberIndex::new(of));
    }
    assert_eq!(ledger.evidence().unwrap().len(), 3);
}
