//! Opening epochs: what L1 says of them, or what it said before, with this node's key.

use std::{sync::Arc, time::Duration};

use baton_proto::{BlockHeader, BlsPublicKey, Epoch, Height};
use tokio::sync::watch;
use tracing::{info, warn};

use super::OpenError;
use crate::{
    epoch::{EPOCHS_KEPT, EpochBook, EpochContext, verifier_of},
    l1::{ChainFacts, EpochFacts, FactsError, L1Client, L1View, coming_committees, decided_at, read_epoch_facts},
    ledger::{Ledger, LedgerError, root_of_epoch},
    signer::OwnKey,
};

/// Key under which the ledger keeps the last epochs' committees, so that a restart works while L1 is down.
const EPOCHS_KEY: &str = "epochs";

/// Opens epochs. A cheap handle.
#[derive(Clone)]
pub(super) struct Opener {
    pub(super) facts: Arc<ChainFacts>,
    pub(super) client: L1Client,
    pub(super) ledger: Arc<dyn Ledger>,
    /// This node's consensus key, and the one that it changes to; none of a follower.
    pub(super) keys: Vec<Arc<OwnKey>>,
    /// Pause between two questions while L1 does not answer.
    pub(super) poll: Duration,
}

impl Opener {
    /// Opens the epoch that goes on from the final head, and those before it that are stored.
    ///
    /// # Errors
    /// [`OpenError`] when the ledger cannot be read or L1 describes no epoch that could run.
    pub(super) async fn book(&self) -> Result<EpochBook, OpenError> {
        let head = self.ledger.head()?.height;
        let head = self.ledger.header(head)?.ok_or(LedgerError::NoGenesis)?;
        let epochs = self.facts.epochs();
        let running = match head.height {
            Height::ZERO => self.facts.first.epoch,
            _ if epochs.ends_with(&head) => epochs.of(head.origin.number),
            _ => head.epoch,
        };
        let root = |epoch| root_of_epoch(self.ledger.as_ref(), epoch);
        let book = EpochBook::new(Arc::new(self.epoch(running, root(running)?).await?));
        let stored = self.stored()?;
        // The first epoch's committee stands with the chain's facts. Once as many came after it as are remembered it is forgotten
        // like others: nobody need have a bond that stands for its keys.
        let first = (stored.len() < EPOCHS_KEPT).then(|| self.facts.first.clone());
        for facts in first.into_iter().chain(stored).filter(|facts| facts.epoch < running) {
            // One that was read ahead may have been skipped.
            let has_run = match facts.epoch.next() {
                Some(next) => root(next)?.epoch == facts.epoch,
                None => false,
            };
            if has_run {
                book.add(Arc::new(self.context(&facts, root(facts.epoch)?)?));
            }
        }
        Ok(book)
    }

    /// Opens the epoch that starts from `root`. Waits for L1, however long that takes, unless the epoch was opened before.
    ///
    /// # Errors
    /// [`OpenError`] for what no waiting can heal.
    pub(super) async fn epoch(&self, epoch: Epoch, root: BlockHeader) -> Result<EpochContext, OpenError> {
        if epoch == self.facts.first.epoch {
            return self.context(&self.facts.first, root);
        }
        if let Some(facts) = self.stored()?.iter().find(|facts| facts.epoch == epoch) {
            return self.context(facts, root);
        }
        let facts = self.read(epoch).await?;
        let context = self.context(&facts, root)?;
        self.store(facts)?;
        Ok(context)
    }

    /// Reads what L1 says of the epoch after `running` as soon as that is final, so that it can begin while L1 is down. Returns
    /// it; `None` if the watcher of L1 ends.
    ///
    /// # Errors
    /// As [`Self::epoch`].
    pub(super) async fn read_ahead(
        &self,
        running: Epoch,
        mut l1: watch::Receiver<L1View>,
    ) -> Result<Option<EpochFacts>, OpenError> {
        let Some(next) = running.next() else { return Ok(None) };
        if let Some(facts) = self.stored()?.into_iter().find(|facts| facts.epoch == next) {
            return Ok(Some(facts));
        }
        let rests_on = decided_at(&self.facts, next);
        let is_final = |view: &L1View| view.finalized.is_some_and(|(origin, _)| origin.number >= rests_on);
        if l1.wait_for(is_final).await.is_err() {
            return Ok(None);
        }
        let facts = self.read(next).await?;
        // What is stored is opened without asking L1 again: an answer that no epoch can run with must not stay.
        verifier_of(self.facts.domain, next, facts.committee.clone())?;
        self.store(facts.clone())?;
        info!(epoch = %next, members = facts.committee.len(), "the next epoch's committee is known");
        Ok(Some(facts))
    }

    fn store(&self, facts: EpochFacts) -> Result<(), OpenError> {
        let mut stored = self.stored()?;
        stored.push(facts);
        let gone = stored.len().saturating_sub(EPOCHS_KEPT);
        let kept = serde_json::to_vec(&stored[gone..]).map_err(|error| FactsError::Unreadable(error.to_string()))?;
        self.ledger.put_l1_fact(EPOCHS_KEY, &kept)?;
        Ok(())
    }

    async fn read(&self, epoch: Epoch) -> Result<EpochFacts, OpenError> {
        let mut said = String::new();
        loop {
            let error = match read_epoch_facts(&self.client, &self.facts, epoch, self.poll).await {
                Ok(facts) => return Ok(facts),
                Err(error) if !error.is_retryable() => return Err(error.into()),
                Err(error) => error.to_string(),
            };
            if said != error {
                warn!(%epoch, %error, "waiting for L1: the committee of the next epoch is not known yet");
                said = error;
            }
            tokio::time::sleep(self.poll).await;
        }
    }

    fn context(&self, facts: &EpochFacts, root: BlockHeader) -> Result<EpochContext, OpenError> {
        Ok(EpochContext::new(self.facts.domain, facts, root, self.keys.iter().map(Arc::as_ref))?)
    }

    /// Returns the last epochs that were read from L1, oldest first.
    fn stored(&self) -> Result<Vec<EpochFacts>, OpenError> {
        let Some(bytes) = self.ledger.l1_fact(EPOCHS_KEY)? else { return Ok(Vec::new()) };
        // What cannot be read is on L1 too.
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            warn!(%error, "the stored epochs do not decode; they are read from L1 again");
            Vec::new()
        }))
    }

    /// Says what this node is in the running epoch, and refuses a key that no committee knows.
    ///
    /// # Errors
    /// [`OpenError::NotInCommittee`].
    pub(super) async fn check_seat(&self, epochs: &EpochBook) -> Result<(), OpenError> {
        let epoch = epochs.running();
        let keys: Vec<BlsPublicKey> = self.keys.iter().map(|key| key.public_key()).collect();
        let Some(key) = keys.first().copied() else {
            info!("no consensus key: this node follows the committee and signs nothing");
            return Ok(());
        };
        if epochs.has_seat() {
            if epoch.signer.is_none() {
                info!(running = %epoch.epoch, "this key has no seat in the running epoch any more; following");
            }
            return Ok(());
        }
        // L1 may be epochs ahead of the final chain, and fixes committees one more ahead.
        let coming = match coming_committees(&self.client, &self.facts).await {
            Ok(coming) => coming,
            Err(error) => {
                warn!(%error, "L1 does not say whether this key has a seat in a coming epoch; following");
                return Ok(());
            }
        };
        let seat = coming.iter().find(|(_, committee)| committee.iter().any(|member| keys.contains(&member.key)));
        if let Some((seat, _)) = seat {
            info!(running = %epoch.epoch, %seat, "this key has a seat in a coming epoch; following until then");
            return Ok(());
        }
        Err(OpenError::NotInCommittee {
            key: Box::new(key),
            epoch: epoch.epoch,
            committee: epoch.committee.members().iter().map(|member| member.key).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::Bytes;
    use alloy_sol_types::SolCall;
    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{
        epoch::EpochError,
        l1::{
            At, Watcher,
            bindings::SequencerRegistry,
            deploy,
            testing::{PATIENCE, POLL, TestChain, anvil_call, code_that_returns, finalize, mine_to},
        },
    };

    fn opener(chain: &TestChain) -> Opener {
        Opener {
            facts: Arc::clone(&chain.facts),
            client: chain.client.clone(),
            ledger: chain.ledger(),
            keys: vec![],
            poll: POLL,
        }
    }

    #[tokio::test]
    async fn an_epoch_that_was_read_ahead_begins_without_l1() {
        let chain = TestChain::start_growing(|_| {}).await;
        let opener = opener(&chain);
        let cancel = CancellationToken::new();
        let (client, facts) = (chain.client.clone(), Arc::clone(&chain.facts));
        let watcher = Watcher::spawn(client, facts, Arc::clone(&opener.ledger), POLL, cancel.clone());
        let (first, next) = (chain.facts.first.epoch, Epoch::new(3));
        let root = chain.facts.genesis.clone();
        let reading = opener.read_ahead(first, watcher.view.clone());
        tokio::pin!(reading);
        // L1 is at the start of the first epoch: nothing of the next one is final yet.
        let too_early = timeout(10 * POLL, &mut reading).await;
        assert!(too_early.is_err(), "{too_early:?}");
        mine_to(&chain.client, decided_at(&chain.facts, next).get() + 4).await;
        let read = timeout(PATIENCE, reading).await.expect("in time").unwrap().expect("L1 is watched");
        assert_eq!((read.epoch, read.committee.len()), (next, 5));
        cancel.cancel();
        watcher.task.await.unwrap();

        let dead = "http://127.0.0.1:1".to_owned();
        let client = L1Client::new(&[dead], chain.client.chain_id(), Duration::from_secs(5)).unwrap();
        let dead = Opener { client, ..opener.clone() };
        let opened = timeout(PATIENCE, dead.epoch(next, root)).await.expect("without L1").unwrap();
        assert_eq!(opened.committee.members(), read.committee);
        // A restart goes on from it as well, and does not take it for one that was.
        let book = dead.book().await.unwrap();
        assert_eq!(book.running().epoch, first);
        assert!(book.of(next).is_none());
    }

    #[tokio::test]
    async fn a_committee_that_cannot_run_is_not_stored() {
        let chain = TestChain::start_growing(|_| {}).await;
        let (opener, cancel) = (opener(&chain), CancellationToken::new());
        let (client, facts) = (chain.client.clone(), Arc::clone(&chain.facts));
        let watcher = Watcher::spawn(client, facts, Arc::clone(&opener.ledger), POLL, cancel.clone());
        let (first, next) = (chain.facts.first.epoch, Epoch::new(3));
        let registry = chain.deployment.registry;
        let call = SequencerRegistry::committeeCall { epoch: next.get() };
        mine_to(&chain.client, decided_at(&chain.facts, next).get() + 4).await;
        // From now on the registry answers with a committee in which a key is no point of the curve.
        let mut members = chain.client.call(registry, &call, At::Latest).await.unwrap();
        members[2].blsKey = vec![7; BlsPublicKey::LENGTH].into();
        let honest: Bytes = chain.client.request("eth_getCode", (registry, "latest")).await.unwrap();
        let lying = code_that_returns(&SequencerRegistry::committeeCall::abi_encode_returns(&members));
        anvil_call(&chain.client, "anvil_setCode", (registry, lying)).await;
        deploy::mine(&chain.client, 8).await.unwrap();
        let reading =
            async || timeout(PATIENCE, opener.read_ahead(first, watcher.view.clone())).await.expect("in time");
        let error = reading().await.unwrap_err();
        assert!(matches!(error, OpenError::Epoch(EpochError::Key { .. })), "{error}");
        assert_eq!(opener.stored().unwrap(), []);
        anvil_call(&chain.client, "anvil_setCode", (registry, honest)).await;
        deploy::mine(&chain.client, 8).await.unwrap();
        assert_eq!(reading().await.unwrap().expect("L1 is watched").committee.len(), 5);
        assert_eq!(opener.stored().unwrap().len(), 1);
        cancel.cancel();
        watcher.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_restart_knows_the_epochs_before_the_running_one() {
        let chain = TestChain::start_growing(|_| {}).await;
        let opener = opener(&chain);
        let mut roots = vec![chain.facts.genesis.clone()];
        for next in [3, 5] {
            let running = opener.book().await.unwrap().running();
            assert_eq!(running.root, roots[roots.len() - 1]);
            let mut blocks = chain.blocks_of(&running, &running.root, 4, 0);
            chain.hand_over(&mut blocks, Epoch::new(next)).await;
            finalize(&*opener.ledger, &blocks);
            roots.push(blocks[3].header.clone());
        }
        let book = opener.book().await.unwrap();
        let known: Vec<_> = book.changes().borrow().iter().map(|of| (of.epoch.get(), of.committee.len())).collect();
        assert_eq!(known, [(2, 4), (3, 5), (5, 5)]);
        assert!(book.changes().borrow().iter().map(|of| &of.root).eq(&roots));
    }
}
