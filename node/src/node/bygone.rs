//! What shows a lie in epochs that this node remembers no more: L1 takes it for longer, so it is judged by what L1 knows of them.
//!
//! The book keeps some epochs, as many as batches need. L1 takes evidence until EVIDENCE_BLOCKS after it was told how an
//! epoch went on, a week on a real chain (protocol section 7). Anybody can name any epoch, so L1 is asked seldom, and what it
//! would not take any more is dropped without asking; nor is anybody asked for a finalization that contradicts nothing here.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc, time::Duration};

use baton_consensus::Verifier;
use baton_proto::{Certificate, Epoch, Evidence, MemberIndex};
use lru::LruCache;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{OpenError, consensus::Stages, late::tell};
use crate::{
    driver::{Checked, contradicted, rejected},
    epoch::verifier_of,
    l1::{At, ChainFacts, L1Client, L1View, bindings::BatchInbox, committee},
    ledger::{Ledger, root_of_epoch},
    p2p::Acceptance,
};

/// How much may wait; more are dropped, and gossip brings them again from the next node that learns of them.
pub(super) const BYGONE_MAX: usize = 16;

/// Committees that are remembered.
const COMMITTEES_MAX: NonZeroUsize = NonZeroUsize::new(4).expect("not zero");

/// Offenders that are remembered: one pair for each is all that L1 punishes.
const OFFENDERS_MAX: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");

/// Least time between two committees that are read, whoever names whatever epochs.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How long an epoch that L1 had not closed counts as such.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// What somebody says of such an epoch.
#[derive(Debug)]
pub(super) enum Old {
    /// Two statements of one member.
    Evidence(Box<Evidence>),
    /// What a quorum is said to have signed.
    Final(Box<Certificate>),
}

/// That, and where its judgement goes.
pub(super) type Bygone = (Old, oneshot::Sender<Acceptance>);

/// Who sat in an epoch.
struct Sat {
    verifier: Arc<Verifier>,
    /// The last L1 block in which L1 takes evidence of it; none while it is not closed there.
    last_block: Option<u64>,
    read_at: Instant,
}

/// Judges one after the other, and tells the driver of what is true.
pub(super) struct BygoneEvidence {
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    stages: watch::Receiver<Stages>,
    l1: watch::Receiver<L1View>,
    committees: LruCache<Epoch, Sat>,
    offenders: LruCache<(Epoch, MemberIndex), ()>,
    /// L1 takes no evidence of this epoch any more, nor of those before it, which were closed before.
    too_late: Option<Epoch>,
    next_read: Instant,
}

impl BygoneEvidence {
    pub(super) fn new(
        client: L1Client,
        facts: Arc<ChainFacts>,
        ledger: Arc<dyn Ledger>,
        l1: watch::Receiver<L1View>,
        stages: watch::Receiver<Stages>,
    ) -> Self {
        Self {
            client,
            facts,
            ledger,
            stages,
            l1,
            committees: LruCache::new(COMMITTEES_MAX),
            offenders: LruCache::new(OFFENDERS_MAX),
            too_late: None,
            next_read: Instant::now(),
        }
    }

    /// Judges until `stop`.
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Bygone>,
        stop: CancellationToken,
    ) -> Result<(), Infallible> {
        while let Some(Some((old, verdict))) = stop.run_until_cancelled(inbox.recv()).await {
            let judging = async {
                match old {
                    Old::Evidence(evidence) => self.judge(*evidence).await,
                    Old::Final(certificate) => self.judge_certificate(*certificate).await,
                }
            };
            let Some((acceptance, news)) = stop.run_until_cancelled(judging).await else { break };
            // The network may have stopped waiting; what is true is of use all the same.
            let _ = verdict.send(acceptance);
            if let Some(news) = news {
                stop.run_until_cancelled(tell(self.stages.clone(), news)).await;
            }
        }
        // Whoever asks after that is told by a closed channel.
        stop.cancelled().await;
        Ok(())
    }

    /// Returns whether evidence goes on to other peers, and what the driver learns if it is true.
    async fn judge(&mut self, evidence: Evidence) -> (Acceptance, Option<Checked>) {
        let (epoch, signer) = (evidence.epoch(), evidence.signer());
        if self.offenders.contains(&(epoch, signer)) {
            return (Acceptance::Ignore, None);
        }
        let Some(verifier) = self.verifier_if_in_time(epoch).await else { return (Acceptance::Ignore, None) };
        if let Err(error) = verifier.verify_evidence(&evidence) {
            return (rejected(&error), None);
        }
        self.offenders.put((epoch, signer), ());
        let against = verifier.committee().member(signer).map(|member| Box::new(member.key));
        (Acceptance::Accept, against.map(|against| Checked::BygoneEvidence { evidence, against }))
    }

    /// The same of a certificate, which only matters if it cannot be true beside what this node holds.
    async fn judge_certificate(&mut self, certificate: Certificate) -> (Acceptance, Option<Checked>) {
        let (epoch, running) = (certificate.statement.epoch(), self.stages.borrow().epoch);
        let ledger = Arc::clone(&self.ledger);
        let judged = match contradicted(ledger.as_ref(), running, &certificate) {
            Ok(Some(found)) => match self.verifier_if_in_time(epoch).await {
                Some(verifier) => found.judge(ledger.as_ref(), &verifier, certificate),
                None => return (Acceptance::Ignore, None),
            },
            Ok(None) => return (Acceptance::Ignore, None),
            Err(error) => Err(error),
        };
        judged.unwrap_or_else(|error| {
            warn!(%error, "what was final before could not be read");
            (Acceptance::Ignore, None)
        })
    }

    /// Returns what checks the signatures of an epoch's committee, if L1 still takes evidence of that epoch and says who sat in it.
    async fn verifier_if_in_time(&mut self, epoch: Epoch) -> Option<Arc<Verifier>> {
        if epoch < self.facts.first.epoch || self.too_late.is_some_and(|last| epoch <= last) {
            return None;
        }
        match self.verifier(epoch).await {
            Ok(Some(verifier)) => return Some(verifier),
            Ok(None) => debug!(%epoch, "dropped evidence that L1 would not take any more"),
            Err(error) => debug!(%epoch, %error, "dropped evidence: L1 does not say who sat in its epoch"),
        }
        None
    }

    /// Returns what checks the signatures of an epoch's committee, or `None` where L1's window for evidence is over: then nobody
    /// need have a bond that stands for the key.
    async fn verifier(&mut self, epoch: Epoch) -> Result<Option<Arc<Verifier>>, OpenError> {
        if let Some(known) = self.committees.get(&epoch) {
            let now = self.l1.borrow().finalized.map_or(0, |(origin, _)| origin.number.get());
            if known.last_block.map_or(known.read_at.elapsed() < READ_AGAIN_AFTER, |last| now <= last) {
                return Ok(Some(Arc::clone(&known.verifier)));
            }
        }
        sleep_until(self.next_read).await;
        self.next_read = Instant::now() + READ_EVERY;
        let finalized = self.client.agreed_final().await?.origin.number;
        // L1 knows a skipped epoch only once somebody has named it; it closes with the last one before it that ran.
        let ran = epoch.next().map(|next| root_of_epoch(self.ledger.as_ref(), next)).transpose()?;
        let ran = ran.map_or(epoch, |last| last.epoch);
        let question = BatchInbox::closedAtCall { epoch: ran.get() };
        let closed_at = self.client.agreed_call(self.facts.inbox, &question, At::Number(finalized)).await?;
        // An epoch that is not closed has 0 here.
        let last_block = (closed_at != 0).then(|| closed_at.saturating_add(self.facts.spec.evidence_blocks));
        if last_block.is_some_and(|last| finalized.get() > last) {
            self.too_late = self.too_late.max(Some(epoch));
            self.committees.pop(&epoch);
            return Ok(None);
        }
        let members = committee(&self.client, &self.facts, epoch, At::Number(finalized)).await?;
        let verifier = Arc::new(verifier_of(self.facts.domain, epoch, members)?);
        let known = Sat { verifier: Arc::clone(&verifier), last_block, read_at: Instant::now() };
        self.committees.put(epoch, known);
        Ok(Some(verifier))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, U256};
    use alloy_sol_types::SolValue;
    use baton_consensus::{SecretKey, Verified, aggregate};
    use baton_proto::{L1BlockNumber, L1Origin, SignedStatement, Statement, View};
    use tokio::time::timeout;

    use super::*;
    use crate::{
        l1::{
            deploy,
            testing::{PATIENCE, TestChain, anvil_call, code_that_returns, mine_to, other_digest},
        },
        ledger::{ChainIdentity, MemoryLedger},
        p2p::Fault,
    };

    /// Two blocks of one view, signed by `key` in the place of `signer`.
    fn pair(chain: &TestChain, epoch: u64, signer: u8, key: &SecretKey) -> Evidence {
        let vote = |block| {
            let statement =
                Statement::Notarize { epoch: Epoch::new(epoch), view: View::new(7), block: other_digest(block) };
            let signature = key.sign(&statement, &chain.facts.domain);
            SignedStatement { statement, signer: MemberIndex::new(signer), signature }
        };
        Evidence::new(vote(1), vote(2)).unwrap()
    }

    fn l1_at(finalized: u64) -> L1View {
        let origin = L1Origin { number: L1BlockNumber::new(finalized), hash: B256::ZERO };
        L1View {
            head: None,
            finalized: Some((origin, 0)),
            settled_origin: None,
            healthy: true,
            why: String::new(),
            unhealthy_since: None,
        }
    }

    /// A block of `epoch` that is on no chain of ours, final by the word of `keys`, which are the first members.
    fn finalization(chain: &TestChain, epoch: u64, keys: &[SecretKey]) -> Certificate {
        let statement = Statement::Finalize { epoch: Epoch::new(epoch), view: View::new(5), block: other_digest(1) };
        let signatures: Vec<_> = keys.iter().map(|key| key.sign(&statement, &chain.facts.domain)).collect();
        let signers = (0..).take(keys.len()).map(MemberIndex::new).collect();
        Certificate { statement, signers, signature: aggregate(&signatures).unwrap() }
    }

    #[tokio::test]
    async fn evidence_of_a_forgotten_epoch_counts_for_as_long_as_l1_takes_it() {
        let chain = TestChain::start_growing(|_| {}).await;
        mine_to(&chain.client, chain.facts.epochs().start(Epoch::new(40)).get() + 4).await;
        let mut facts = ChainFacts::clone(&chain.facts);
        facts.spec.evidence_blocks = 1;
        let (checked, mut driver) = mpsc::channel(8);
        let (consensus, announced) = (mpsc::channel(1).0, mpsc::channel(1).0);
        let (_stages, stages) = watch::channel(Stages { epoch: Epoch::new(40), consensus, checked, announced });
        let (bygone, inbox) = mpsc::channel(BYGONE_MAX);
        let stop = CancellationToken::new();
        let identity = ChainIdentity { domain: facts.domain, inbox: facts.inbox, slasher: facts.slasher };
        let ledger = Arc::new(MemoryLedger::new(&identity).unwrap());
        ledger.init_genesis(&facts.genesis).unwrap();
        let (l1_seen, l1) = watch::channel(l1_at(0));
        let task = BygoneEvidence::new(chain.client.clone(), Arc::new(facts), ledger, l1, stages);
        let task = tokio::spawn(task.run(inbox, stop.clone()));
        let judged = async |evidence: &Evidence| {
            let (verdict, judged) = oneshot::channel();
            bygone.send((Old::Evidence(Box::new(evidence.clone())), verdict)).await.unwrap();
            timeout(PATIENCE, judged).await.expect("in time").unwrap()
        };
        let said = async |certificate: Certificate| {
            let (verdict, judged) = oneshot::channel();
            bygone.send((Old::Final(Box::new(certificate)), verdict)).await.unwrap();
            timeout(PATIENCE, judged).await.expect("in time").unwrap()
        };
        let true_one = pair(&chain, 2, 1, &chain.keys[1]);
        let forged = judged(&pair(&chain, 2, 1, &chain.keys[2])).await;
        assert_eq!(forged, Acceptance::Reject(Fault::InvalidSignature));
        assert_eq!(judged(&true_one).await, Acceptance::Accept);
        let told = timeout(PATIENCE, driver.recv()).await.expect("in time");
        let Some(Checked::BygoneEvidence { evidence, against }) = told else { panic!("{told:?}") };
        assert_eq!((&evidence, *against), (&true_one, chain.keys[1].public_key()));
        assert_eq!(judged(&true_one).await, Acceptance::Ignore, "known");
        assert_eq!(judged(&pair(&chain, 1, 1, &chain.keys[1])).await, Acceptance::Ignore, "nobody sat in it");
        // In epoch 3 another has come in front.
        assert_eq!(judged(&pair(&chain, 3, 0, &chain.joiner)).await, Acceptance::Accept);
        assert!(matches!(driver.recv().await, Some(Checked::BygoneEvidence { .. })));

        // Our chain leaves this block out. That of epoch 40, which runs, may be news of it.
        let lie = finalization(&chain, 2, &chain.keys);
        assert_eq!(said(finalization(&chain, 40, &chain.keys)).await, Acceptance::Ignore);
        assert_eq!(said(finalization(&chain, 2, &chain.keys[..1])).await, Acceptance::Reject(Fault::InvalidSignature));
        assert_eq!(said(lie.clone()).await, Acceptance::Accept);
        let told = timeout(PATIENCE, driver.recv()).await.expect("in time");
        let Some(Checked::Contradiction(broken)) = told else { panic!("{told:?}") };
        assert_eq!(broken.into_iter().map(Verified::into_inner).collect::<Vec<_>>(), [lie]);

        // The inbox holds that epochs were closed long ago, and the window is over for all up to the one that was asked about.
        let long_ago = code_that_returns(&U256::from(1).abi_encode());
        anvil_call(&chain.client, "anvil_setCode", (chain.facts.inbox, long_ago)).await;
        deploy::mine(&chain.client, 8).await.unwrap();
        for (epoch, signer) in [(4, 1), (3, 1), (2, 0)] {
            let key = if epoch == 2 { &chain.keys[0] } else { &chain.keys[usize::from(signer) - 1] };
            assert_eq!(judged(&pair(&chain, epoch, signer, key)).await, Acceptance::Ignore, "epoch {epoch}");
        }
        assert!(driver.try_recv().is_err());

        // One whose window ends while its committee is known: nobody need have a bond from then on.
        let closed_at = chain.client.agreed_final().await.unwrap().origin.number.get() + 8;
        let soon = code_that_returns(&U256::from(closed_at).abi_encode());
        anvil_call(&chain.client, "anvil_setCode", (chain.facts.inbox, soon)).await;
        deploy::mine(&chain.client, 8).await.unwrap();
        assert_eq!(judged(&pair(&chain, 6, 0, &chain.joiner)).await, Acceptance::Accept);
        assert!(matches!(driver.recv().await, Some(Checked::BygoneEvidence { .. })));
        deploy::mine(&chain.client, 8).await.unwrap();
        l1_seen.send_replace(l1_at(closed_at + 8));
        assert_eq!(judged(&pair(&chain, 6, 1, &chain.keys[0])).await, Acceptance::Ignore);
        assert!(driver.try_recv().is_err());
        stop.cancel();
        assert_eq!(task.await.unwrap(), Ok(()));
    }
}
