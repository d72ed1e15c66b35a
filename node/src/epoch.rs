//! The epochs that this node knows: who decides, who leads, who posts, and what this node is in each.
//!
//! ```text
//!   L1 ──▶ EpochFacts ──▶ EpochContext ──▶ EpochBook: the running epoch and the few before it
//!          (stored)        (keys checked)        │
//!                                                ├─▶ consensus runs the newest
//!                                                ├─▶ batches and evidence are of the epoch that they name
//!                                                └─▶ network, JSON-RPC and status show the newest
//! ```
//! A committee signs the batches of its own epoch, also when the next epoch runs already, and evidence is about a member of
//! the epoch in which it signed. So an epoch is remembered for a while after it has ended.

use std::sync::Arc;

use baton_consensus::{Committee, CommitteeError, CommitteeMember, KeyError, Schedule, Verifier};
use baton_proto::{BlockHeader, BlsPublicKey, Domain, Epoch, Epochs, MemberIndex};
use tokio::sync::watch;

use crate::{
    l1::EpochFacts,
    signer::{OwnKey, Signer},
};

/// Epochs that are remembered, the running one included: L1 takes a batch from its own committee until that is LIVE_EPOCHS
/// (16) back, and whoever posts late must find each other until then.
pub const EPOCHS_KEPT: usize = 18;

/// Returns the epoch of the block after `parent`: the same, or after a handover block that of its L1 origin. Genesis is none,
/// for its origin lies before its epoch.
///
/// Source: protocol section 2.
#[must_use]
pub fn epoch_after(epochs: &Epochs, parent: &BlockHeader) -> Epoch {
    if epochs.ends_with(parent) { epochs.of(parent.origin.number) } else { parent.epoch }
}

/// Why an epoch cannot run with what L1 says of it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum EpochError {
    #[error("the committee of epoch {epoch} is unusable: {error}")]
    Committee { epoch: Epoch, error: CommitteeError },
    #[error("the committee of epoch {epoch} has an unusable key: {error}")]
    Key { epoch: Epoch, error: KeyError },
}

/// Returns what checks the signatures of an epoch's committee, all of whose keys are checked.
///
/// # Errors
/// [`EpochError`]: no quorum could ever be checked.
pub fn verifier_of(domain: Domain, epoch: Epoch, members: Vec<CommitteeMember>) -> Result<Verifier, EpochError> {
    let committee =
        Committee::new(epoch, members).map_err(|error| EpochError::Committee { epoch, error }).map(Arc::new)?;
    Verifier::new(domain, committee).map_err(|error| EpochError::Key { epoch, error })
}

/// One epoch as this node sees it. Nothing in it changes.
pub struct EpochContext {
    /// Its number.
    pub epoch: Epoch,
    /// Who decides, with which weight.
    pub committee: Arc<Committee>,
    /// Checks what the committee signs.
    pub verifier: Arc<Verifier>,
    /// Who leads which view.
    pub leaders: Schedule,
    /// The same for questions from outside: one about far views must not make a vote wait.
    pub asked: Schedule,
    /// Who posts which batch.
    pub posters: Schedule,
    /// The block that it starts from: the last of the epoch before, or genesis.
    pub root: BlockHeader,
    /// Signs as a member; `None` for who has no seat in this epoch.
    pub signer: Option<Arc<Signer>>,
}

impl EpochContext {
    /// Makes an epoch of what L1 says. That of `keys` sits in it which the committee has: a sequencer that changes its key
    /// signs each epoch with the one that it had there, and with no other.
    ///
    /// # Errors
    /// [`EpochError`]: no quorum could ever be checked.
    pub fn new<'a>(
        domain: Domain,
        facts: &EpochFacts,
        root: BlockHeader,
        keys: impl IntoIterator<Item = &'a OwnKey>,
    ) -> Result<Self, EpochError> {
        let epoch = facts.epoch;
        let verifier = verifier_of(domain, epoch, facts.committee.clone())?;
        let committee = Arc::clone(verifier.committee());
        let seat = |key: &OwnKey| committee.index_of_key(&key.public_key()).map(|me| Arc::new(key.seated(me)));
        // A node is one member: of two that the operator gave it, the key in use.
        let signer = keys.into_iter().find_map(seat);
        Ok(Self {
            epoch,
            leaders: Schedule::leaders(&domain, &committee, facts.randomness),
            asked: Schedule::leaders(&domain, &committee, facts.randomness),
            posters: Schedule::posters(&domain, &committee, facts.randomness),
            verifier: Arc::new(verifier),
            signer,
            committee,
            root,
        })
    }

    /// Returns this node's seat.
    #[must_use]
    pub fn me(&self) -> Option<MemberIndex> {
        self.signer.as_ref().map(|signer| signer.me())
    }

    /// Returns all members but this node.
    pub fn others(&self) -> impl Iterator<Item = MemberIndex> {
        let me = self.me();
        self.committee.indices().filter(move |member| Some(*member) != me)
    }
}

/// The last [`EPOCHS_KEPT`] epochs, the running one last. Cheap to clone.
#[derive(Clone)]
pub struct EpochBook {
    recent: Arc<watch::Sender<Vec<Arc<EpochContext>>>>,
    /// The keys of the epoch after the running one, once L1 has fixed them.
    coming: Arc<watch::Sender<Vec<BlsPublicKey>>>,
    /// An epoch that was forgotten, and of which the next batch is all the same.
    recalled: Arc<watch::Sender<Option<Arc<EpochContext>>>>,
}

impl EpochBook {
    /// Begins with the running epoch.
    #[must_use]
    pub fn new(running: Arc<EpochContext>) -> Self {
        Self { recent: Arc::new(watch::Sender::new(vec![running])), coming: Arc::default(), recalled: Arc::default() }
    }

    /// Remembers one epoch again, in place of the one that was recalled before: batches are made in order. What its members say
    /// is heard as long, and they are spoken to, as far as they are connected for another epoch.
    pub fn recall(&self, context: Arc<EpochContext>) {
        self.recalled.send_replace(Some(context));
    }

    /// Adds an epoch. The newest one runs; a known one is replaced.
    pub fn add(&self, context: Arc<EpochContext>) {
        self.recent.send_modify(|recent| {
            recent.retain(|known| known.epoch != context.epoch);
            recent.push(context);
            recent.sort_by_key(|known| known.epoch);
            let gone = recent.len().saturating_sub(EPOCHS_KEPT);
            recent.drain(..gone);
        });
    }

    /// Says who sits in the epoch after the running one, which has not begun: nobody's word counts yet for that.
    pub fn announce(&self, next: &EpochFacts) {
        self.coming.send_replace(next.committee.iter().map(|member| member.key).collect());
    }

    /// Returns whether `key` has a seat in the epoch that was announced last.
    #[must_use]
    pub fn is_coming(&self, key: &BlsPublicKey) -> bool {
        self.coming.borrow().contains(key)
    }

    /// Returns the running epoch.
    ///
    /// # Panics
    /// Never: there is always one.
    #[must_use]
    pub fn running(&self) -> Arc<EpochContext> {
        Arc::clone(self.recent.borrow().last().expect("it began with one and none is taken out but for a newer one"))
    }

    /// Returns the oldest epoch that is remembered.
    ///
    /// # Panics
    /// Never, see [`Self::running`].
    #[must_use]
    pub fn oldest(&self) -> Epoch {
        self.recent.borrow().first().expect("it began with one and none is taken out but for a newer one").epoch
    }

    /// Returns an epoch, if it is remembered, or recalled.
    #[must_use]
    pub fn of(&self, epoch: Epoch) -> Option<Arc<EpochContext>> {
        let recent = self.recent.borrow().iter().find(|known| known.epoch == epoch).cloned();
        recent.or_else(|| self.recalled.borrow().clone().filter(|known| known.epoch == epoch))
    }

    /// Returns what signs with `key`, if that is this node's own and has a seat in one of the epochs.
    #[must_use]
    pub fn signer_of(&self, key: &BlsPublicKey) -> Option<Arc<Signer>> {
        self.signers().find(|signer| signer.public_key() == *key)
    }

    /// Returns this node's place in `committee`, under whichever key it had a seat in one of the epochs.
    #[must_use]
    pub fn own_place(&self, committee: &Committee) -> Option<MemberIndex> {
        self.signers().find_map(|signer| committee.index_of_key(&signer.public_key()))
    }

    /// Returns this node's seats, that of the newest epoch first.
    fn signers(&self) -> impl Iterator<Item = Arc<Signer>> + use<> {
        let seats: Vec<_> = self.recent.borrow().iter().rev().filter_map(|context| context.signer.clone()).collect();
        seats.into_iter()
    }

    /// Returns whether this node has a seat in one of the epochs.
    #[must_use]
    pub fn has_seat(&self) -> bool {
        self.recent.borrow().iter().any(|known| known.signer.is_some())
    }

    /// Returns a receiver that is told whenever an epoch is added.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Vec<Arc<EpochContext>>> {
        self.recent.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256};
    use baton_consensus::SecretKey;
    use baton_proto::{L1BlockNumber, L1ChainId, L1Origin, L2ChainId, Statement, View, Weight};

    use super::*;
    use crate::{driver::testing::World, signer::SignRecord};

    #[test]
    fn each_epoch_is_signed_with_the_key_that_it_has_and_recorded_for_that_key_alone() {
        let domain = Domain {
            l1_chain_id: L1ChainId::new(1),
            registry: Address::repeat_byte(0x11),
            l2_chain_id: L2ChainId::new(7),
        };
        let folder = tempfile::tempdir().unwrap();
        let [old, new, other] = [1, 2, 3].map(|fill| SecretKey::generate(&[fill; 32]));
        let own = [("old", &old), ("new", &new)].map(|(name, key)| {
            let record = folder.path().join(name);
            OwnKey::new(key.clone(), SignRecord::create(&record, &key.public_key()).unwrap(), domain).unwrap()
        });
        let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
        let epoch = |epoch, keys: &[&SecretKey]| {
            let member = |(place, key): (u8, &&SecretKey)| CommitteeMember {
                owner: Address::repeat_byte(place),
                fee_recipient: Address::ZERO,
                weight: Weight::new(1),
                key: key.public_key(),
            };
            let committee = (1..).zip(keys).map(member).collect();
            let facts = EpochFacts { epoch: Epoch::new(epoch), committee, randomness: B256::ZERO };
            let root = BlockHeader::genesis(domain.l2_chain_id, origin, 1);
            Arc::new(EpochContext::new(domain, &facts, root, &own).unwrap())
        };
        let [before, after] = [epoch(2, &[&other, &old]), epoch(3, &[&other, &new])];
        for (context, key) in [(&before, &old), (&after, &new)] {
            let signer = context.signer.as_ref().unwrap();
            assert_eq!((signer.me(), signer.public_key()), (MemberIndex::new(1), key.public_key()));
            let said = Statement::Nullify { epoch: context.epoch, view: View::new(4) };
            let signed = signer.sign(&[said]).unwrap().remove(0);
            context.verifier.verify((*signed).clone()).unwrap();
            for (by, context) in [(&old, &before), (&new, &after)] {
                let recorded = context.signer.as_ref().unwrap().recorded(said.epoch(), View::ZERO).unwrap();
                assert_eq!(recorded.contains(&said), by.public_key() == key.public_key());
            }
        }
        assert!(epoch(4, &[&other]).signer.is_none());
        // Of two seats it takes that of the key in use.
        assert_eq!(epoch(4, &[&new, &old]).signer.as_ref().unwrap().public_key(), old.public_key());

        let book = EpochBook::new(before);
        assert!(book.signer_of(&new.public_key()).is_none());
        book.add(Arc::clone(&after));
        for key in [&old, &new] {
            assert_eq!(book.signer_of(&key.public_key()).unwrap().public_key(), key.public_key());
        }
        assert!(book.signer_of(&other.public_key()).is_none());
        for context in book.changes().borrow().iter() {
            assert_eq!(book.own_place(&context.committee), Some(MemberIndex::new(1)));
        }
    }

    #[test]
    fn one_epoch_that_was_forgotten_can_be_recalled() {
        let world = World::new(&[1, 1, 1, 1]);
        let [old, older] = [world.epoch(), world.epoch_of(3, &[0, 1])];
        let book = EpochBook::new(world.epoch_of(40, &[0, 1]));
        for recalled in [&old, &older] {
            assert!(book.of(recalled.epoch).is_none());
            book.recall(Arc::clone(recalled));
            assert!(Arc::ptr_eq(&book.of(recalled.epoch).unwrap(), recalled));
        }
        assert!(book.of(old.epoch).is_none(), "one at a time");
        assert_eq!((book.oldest().get(), book.running().epoch.get()), (40, 40));
    }

    #[test]
    fn another_epoch_follows_only_where_a_block_hands_over() {
        let epochs = Epochs { genesis: L1BlockNumber::new(100), blocks: 16 };
        let origin = |number| L1Origin { number: L1BlockNumber::new(number), hash: B256::ZERO };
        let mut parent = BlockHeader::genesis(L2ChainId::new(7), origin(131), 1);
        let mut after = |number| {
            parent.origin = origin(number);
            epoch_after(&epochs, &parent).get()
        };
        // Genesis is of epoch 2 and names the last L1 block of epoch 1.
        assert_eq!([131, 132, 147].map(&mut after), [2, 2, 2]);
        assert_eq!([148, 163, 164, 196].map(&mut after), [3, 3, 4, 6]);
    }
}
