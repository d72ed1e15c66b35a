//! Epochs that the book has forgotten, opened again from what L1 says of them: the next batch can be that old, and the next
//! epoch that is settled.

use std::{sync::Arc, time::Duration};

use baton_proto::Epoch;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{ChainFacts, L1Client, read_epoch_facts};
use crate::{
    epoch::EpochContext,
    ledger::{Ledger, LedgerError, root_of_epoch},
    signer::OwnKey,
};

/// How long L1 may take to say who sat in an epoch; then it is asked again when somebody next looks.
const READ_WITHIN: Duration = Duration::from_secs(15);

/// Opens one epoch at a time, for batches are made in order, and epochs settled.
pub(crate) struct Forgotten {
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    keys: Vec<Arc<OwnKey>>,
    retry: Duration,
    opened: Option<Arc<EpochContext>>,
    /// What the operator was told last.
    said: String,
}

impl Forgotten {
    pub(crate) const fn new(
        client: L1Client,
        facts: Arc<ChainFacts>,
        ledger: Arc<dyn Ledger>,
        retry: Duration,
    ) -> Self {
        Self { client, facts, ledger, keys: Vec::new(), retry, opened: None, said: String::new() }
    }

    /// Has epochs opened with the seats that these keys have in them.
    pub(crate) fn with_keys(self, keys: Vec<Arc<OwnKey>>) -> Self {
        Self { keys, ..self }
    }

    /// Returns an epoch that was over long since, the same one as before if it was opened last; `None` while L1 does not say
    /// what it was. With keys this node has its seat in it: where LIVE_EPOCHS reaches that far back, L1 takes nobody's word but its
    /// own committee's. What was attested then binds: sign records never forget attestations.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger cannot be read.
    pub(crate) async fn open(&mut self, epoch: Epoch) -> Result<Option<Arc<EpochContext>>, LedgerError> {
        if let Some(opened) = self.opened.as_ref().filter(|opened| opened.epoch == epoch) {
            return Ok(Some(Arc::clone(opened)));
        }
        let facts = if epoch == self.facts.first.epoch {
            Ok(self.facts.first.clone())
        } else {
            match timeout(READ_WITHIN, read_epoch_facts(&self.client, &self.facts, epoch, self.retry)).await {
                Ok(read) => read.map_err(|error| error.to_string()),
                Err(_) => Err("L1 did not answer in time".into()),
            }
        };
        let root = root_of_epoch(self.ledger.as_ref(), epoch)?;
        let opened = facts.and_then(|facts| {
            let keys = self.keys.iter().map(Arc::as_ref);
            EpochContext::new(self.facts.domain, &facts, root, keys).map_err(|error| error.to_string())
        });
        match opened {
            Ok(opened) => {
                let opened = Arc::new(opened);
                info!(%epoch, members = opened.committee.len(), "an epoch that was forgotten is known again");
                self.said.clear();
                Ok(Some(Arc::clone(self.opened.insert(opened))))
            }
            Err(error) => {
                if self.said != error {
                    warn!(%epoch, %error, "an epoch that was forgotten cannot be opened again");
                    self.said = error;
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l1::{
        L1Client,
        testing::{POLL, TestChain, finalize},
    };

    #[tokio::test]
    async fn an_old_epoch_is_read_from_l1_once() {
        let chain = TestChain::start_growing(|_| {}).await;
        let first = chain.first_epoch(None);
        let mut blocks = chain.blocks_of(&first, &chain.facts.genesis, 4, 0);
        chain.hand_over(&mut blocks, Epoch::new(3)).await;
        let ledger = chain.ledger();
        finalize(&*ledger, &blocks);
        let third = chain.epoch(Epoch::new(3), &blocks[3].header, None).await;

        let record = tempfile::tempdir().unwrap();
        let key = Arc::new(chain.own_key(&chain.keys[2], record.path()));
        let forgotten =
            |client: &L1Client| Forgotten::new(client.clone(), Arc::clone(&chain.facts), Arc::clone(&ledger), POLL);
        let mut there = forgotten(&chain.client);
        let opened = there.open(third.epoch).await.unwrap().expect("L1 knows it");
        assert_eq!((&opened.committee, &opened.root), (&third.committee, &third.root));
        let leader = |of: &EpochContext| (1..200).map(|view| of.leaders.leader(baton_proto::View::new(view))).collect();
        let leaders: [Vec<_>; 2] = [leader(&opened), leader(&third)];
        assert_eq!(leaders[0], leaders[1]);

        // Without L1 it stays known, and the first epoch stands with the chain's facts; no other is there.
        let dead = "http://127.0.0.1:1".to_owned();
        let dead = L1Client::new(&[dead], chain.client.chain_id(), Duration::from_secs(5)).unwrap();
        there.client = dead.clone();
        assert!(Arc::ptr_eq(&there.open(third.epoch).await.unwrap().unwrap(), &opened));
        let mut gone = forgotten(&dead);
        assert!(gone.open(third.epoch).await.unwrap().is_none());
        let again = gone.open(first.epoch).await.unwrap().expect("known without L1");
        assert_eq!((&again.committee, &again.root), (&first.committee, &first.root));

        // Nobody has a seat in it but with a key.
        assert!(again.me().is_none());
        let again = forgotten(&dead).with_keys(vec![Arc::clone(&key)]).open(first.epoch).await.unwrap().unwrap();
        assert_eq!(again.me(), first.committee.index_of_key(&key.public_key()));
        assert!(again.me().is_some());
    }
}
