//! Who was a member when: for what is about epochs that may have ended long ago.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use baton_consensus::Committee;
use baton_proto::{Epoch, MemberIndex};

use super::{
    client::{At, L1Client},
    epoch_facts::committee,
    error::L1Error,
    facts::ChainFacts,
};
use crate::epoch::EpochBook;

/// The committees of the epochs that the book knows, and older ones as L1 has them.
pub(super) struct Committees {
    client: L1Client,
    facts: Arc<ChainFacts>,
    book: EpochBook,
    /// Read from L1; the owner says which are still needed.
    older: BTreeMap<Epoch, Arc<Committee>>,
}

impl Committees {
    pub(super) const fn new(client: L1Client, facts: Arc<ChainFacts>, book: EpochBook) -> Self {
        Self { client, facts, book, older: BTreeMap::new() }
    }

    /// Returns the committee of `epoch` if it is known without asking L1.
    pub(super) fn known(&self, epoch: Epoch) -> Option<Arc<Committee>> {
        let in_book = self.book.of(epoch).map(|context| Arc::clone(&context.committee));
        in_book.or_else(|| self.older.get(&epoch).cloned())
    }

    /// Returns the committee of `epoch`, which has begun: L1 never changes it any more.
    ///
    /// # Errors
    /// [`L1Error`] when L1 does not answer, or with what no registry answers.
    pub(super) async fn of(&mut self, epoch: Epoch) -> Result<Arc<Committee>, L1Error> {
        if let Some(known) = self.known(epoch) {
            return Ok(known);
        }
        let finalized = At::Number(self.client.agreed_final().await?.origin.number);
        let members = committee(&self.client, &self.facts, epoch, finalized).await?;
        let unreadable = |message: String| L1Error::Unreadable { method: "committee", message };
        let read = Committee::new(epoch, members).map_err(|error| unreadable(error.to_string()))?;
        Ok(Arc::clone(self.older.entry(epoch).or_insert(Arc::new(read))))
    }

    /// Forgets what was read of other epochs than `needed`.
    pub(super) fn keep(&mut self, needed: &BTreeSet<Epoch>) {
        self.older.retain(|epoch, _| needed.contains(epoch));
    }

    /// Returns this node's place in `committee`, under whichever key it has had a seat lately.
    pub(super) fn own_place(&self, committee: &Committee) -> Option<MemberIndex> {
        self.book.own_place(committee)
    }
}
