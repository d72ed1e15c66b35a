//! Who sits where: the place of every consensus key in each epoch that is remembered, ours included.
//!
//! A peer proves a key, for as long as it is connected; epochs come and go meanwhile. So the network keeps keys, and asks
//! here which member of which epoch one is whenever it matters. An index alone says nothing.

use std::{collections::HashSet, sync::Arc};

use baton_proto::{BlsPublicKey, Epoch, MemberIndex};
use tokio::sync::watch;

use crate::epoch::{EpochBook, EpochContext};

/// The epochs, and which keys are ours.
#[derive(Clone)]
pub(super) struct Seats {
    epochs: EpochBook,
    ours: Vec<BlsPublicKey>,
}

impl Seats {
    pub(super) fn new(epochs: EpochBook, ours: Vec<BlsPublicKey>) -> Self {
        Self { epochs, ours }
    }

    /// Returns the running epoch.
    pub(super) fn running(&self) -> Arc<EpochContext> {
        self.epochs.running()
    }

    /// Returns an epoch, if it is remembered.
    pub(super) fn of(&self, epoch: Epoch) -> Option<Arc<EpochContext>> {
        self.epochs.of(epoch)
    }

    /// Returns a receiver that is told whenever there is another epoch.
    pub(super) fn changes(&self) -> watch::Receiver<Vec<Arc<EpochContext>>> {
        self.epochs.changes()
    }

    /// Returns the key of a member of an epoch that is remembered.
    pub(super) fn key(&self, epoch: Epoch, member: MemberIndex) -> Option<BlsPublicKey> {
        Some(self.epochs.of(epoch)?.committee.member(member)?.key)
    }

    /// Returns the place of `key` in the running epoch.
    pub(super) fn running_place(&self, key: &BlsPublicKey) -> Option<(Epoch, MemberIndex)> {
        place(&self.epochs.running(), key)
    }

    /// Returns as whom `key` says something about `epoch`: its place there, or in the running epoch while that one is yet
    /// to come.
    pub(super) fn place(&self, epoch: Epoch, key: &BlsPublicKey) -> Option<(Epoch, MemberIndex)> {
        match self.epochs.of(epoch) {
            Some(context) => place(&context, key),
            None => self.running_place(key).filter(|(running, _)| epoch > *running),
        }
    }

    /// Returns the newest epoch that has a seat for `key`, with its place.
    pub(super) fn newest(&self, key: &BlsPublicKey) -> Option<(Arc<EpochContext>, MemberIndex)> {
        let epochs = self.epochs.changes();
        let recent = epochs.borrow();
        recent.iter().rev().find_map(|context| Some((Arc::clone(context), context.committee.index_of_key(key)?)))
    }

    /// Returns whether `key` has a seat in an epoch that is remembered.
    pub(super) fn has(&self, key: &BlsPublicKey) -> bool {
        self.newest(key).is_some()
    }

    /// Returns whether `key` has a seat in the epoch after the running one, as far as that is known.
    pub(super) fn is_coming(&self, key: &BlsPublicKey) -> bool {
        self.epochs.is_coming(key)
    }

    /// Returns whether `key` is ours.
    pub(super) fn is_ours(&self, key: &BlsPublicKey) -> bool {
        self.ours.contains(key)
    }

    /// Returns whether we have a seat in an epoch that is remembered.
    pub(super) fn has_ours(&self) -> bool {
        self.ours.iter().any(|key| self.has(key))
    }

    /// Returns our place in `context`'s epoch.
    pub(super) fn ours_in(&self, context: &EpochContext) -> Option<MemberIndex> {
        self.ours.iter().find_map(|key| context.committee.index_of_key(key))
    }

    /// Returns how many keys have a seat in any epoch that is remembered.
    pub(super) fn count(&self) -> usize {
        let epochs = self.epochs.changes();
        let recent = epochs.borrow();
        let keys: HashSet<&BlsPublicKey> =
            recent.iter().flat_map(|context| context.committee.members()).map(|member| &member.key).collect();
        keys.len()
    }
}

fn place(context: &EpochContext, key: &BlsPublicKey) -> Option<(Epoch, MemberIndex)> {
    Some((context.epoch, context.committee.index_of_key(key)?))
}
