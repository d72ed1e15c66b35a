//! Members, weights and the quorum of one epoch.

use alloy_primitives::Address;
use baton_proto::{BlsPublicKey, Epoch, MemberIndex, SignerSet, Weight, limits::COMMITTEE_MEMBERS_MAX};
use serde::{Deserialize, Serialize};

/// The registry keeps the total weight of a committee below this, so that every sum here has room to spare.
const TOTAL_WEIGHT_LIMIT: u64 = 1 << 63;

/// One sequencer in one epoch's committee, as `SequencerRegistry.committee(epoch)` returns it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitteeMember {
    /// Who bonded: the sequencer's identity on L1.
    pub owner: Address,
    /// Where the fees of this member's blocks go.
    pub fee_recipient: Address,
    /// Voting power in this epoch, clipped by the registry.
    pub weight: Weight,
    /// The consensus key, whose possession the registry has had proven.
    pub key: BlsPublicKey,
}

/// Why a list of members is not a committee.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum CommitteeError {
    #[error("a committee of epoch {0} without members")]
    Empty(Epoch),
    #[error("{got} members, but at most {max} fit a bitmap")]
    TooMany { got: usize, max: usize },
    #[error("owner {second} stands after {first}, but members are in ascending address order, each once")]
    Order { first: Address, second: Address },
    #[error("owners {first} and {second} have the same key")]
    DuplicateKey { first: Address, second: Address },
    #[error("owner {0} has no weight")]
    ZeroWeight(Address),
    #[error("total weight {0} is not below 2^63")]
    TooHeavy(u128),
}

/// The members of one epoch in address order, and the one place where weights are added up.
///
/// Source: protocol sections 1 and 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committee {
    epoch: Epoch,
    members: Vec<CommitteeMember>,
    total: Weight,
}

impl Committee {
    /// Takes the members of `epoch` in ascending owner order, 1 to 128 of them.
    ///
    /// # Errors
    /// [`CommitteeError`] if the list cannot be what the registry returned. Keys are compared here and decoded by
    /// [`crate::Verifier::new`].
    pub fn new(epoch: Epoch, members: Vec<CommitteeMember>) -> Result<Self, CommitteeError> {
        if members.is_empty() {
            return Err(CommitteeError::Empty(epoch));
        }
        if members.len() > COMMITTEE_MEMBERS_MAX {
            return Err(CommitteeError::TooMany { got: members.len(), max: COMMITTEE_MEMBERS_MAX });
        }
        for (first, second) in members.iter().zip(members.iter().skip(1)) {
            if first.owner >= second.owner {
                return Err(CommitteeError::Order { first: first.owner, second: second.owner });
            }
        }
        let mut by_key: Vec<&CommitteeMember> = members.iter().collect();
        by_key.sort_by_key(|member| member.key);
        for (first, second) in by_key.iter().zip(by_key.iter().skip(1)) {
            if first.key == second.key {
                return Err(CommitteeError::DuplicateKey { first: first.owner, second: second.owner });
            }
        }
        if let Some(member) = members.iter().find(|member| member.weight == Weight::ZERO) {
            return Err(CommitteeError::ZeroWeight(member.owner));
        }
        let sum = members.iter().fold(0_u128, |sum, member| sum.saturating_add(u128::from(member.weight.get())));
        let total = u64::try_from(sum).ok().filter(|total| *total < TOTAL_WEIGHT_LIMIT);
        let total = Weight::new(total.ok_or(CommitteeError::TooHeavy(sum))?);
        Ok(Self { epoch, members, total })
    }

    /// Returns the epoch whose committee this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Returns how many members there are, 1 to 128.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a committee is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns the members in address order; a member's place is its index.
    #[must_use]
    pub fn members(&self) -> &[CommitteeMember] {
        &self.members
    }

    /// Returns the member with this index, if there is one.
    #[must_use]
    pub fn member(&self, index: MemberIndex) -> Option<&CommitteeMember> {
        self.members.get(index.as_usize())
    }

    /// Returns every index in ascending order.
    pub fn indices(&self) -> impl Iterator<Item = MemberIndex> + use<> {
        // At most 128 members, checked in `new`, so the cast keeps the number.
        (0..self.members.len() as u8).map(MemberIndex::new)
    }

    /// Returns the index of the member that `owner` is, if it is one.
    #[must_use]
    pub fn index_of(&self, owner: Address) -> Option<MemberIndex> {
        self.indices().find(|index| self.member(*index).is_some_and(|member| member.owner == owner))
    }

    /// Returns the index of the member with this key, if there is one.
    #[must_use]
    pub fn index_of_key(&self, key: &BlsPublicKey) -> Option<MemberIndex> {
        self.indices().find(|index| self.member(*index).is_some_and(|member| member.key == *key))
    }

    /// Returns the sum of all weights, below 2^63.
    #[must_use]
    pub const fn total_weight(&self) -> Weight {
        self.total
    }

    /// Returns the summed weight of `signers`, or `None` if a bit beyond the last member is set.
    #[must_use]
    pub fn weight_of(&self, signers: SignerSet) -> Option<u128> {
        signers.iter().try_fold(0_u128, |sum, index| sum.checked_add(u128::from(self.member(index)?.weight.get())))
    }

    /// Returns whether `signers` are members with more than two thirds of the weight: `3 * signed > 2 * total`.
    ///
    /// Any two quorums share more than a third of the weight, and so an honest member.
    #[must_use]
    pub fn is_quorum(&self, signers: SignerSet) -> bool {
        // Both products stay below 2^66.
        let total = u128::from(self.total.get());
        self.weight_of(signers).is_some_and(|signed| signed.saturating_mul(3) > total.saturating_mul(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn member(number: u8, weight: u64) -> CommitteeMember {
        CommitteeMember {
            owner: Address::repeat_byte(number),
            fee_recipient: Address::ZERO,
            weight: Weight::new(weight),
            key: BlsPublicKey::new([number; 256]),
        }
    }

    fn committee(weights: &[u64]) -> Committee {
        let members = weights.iter().zip(1..).map(|(weight, number)| member(number, *weight)).collect();
        Committee::new(Epoch::new(2), members).unwrap()
    }

    #[test]
    fn a_quorum_is_more_than_two_thirds_by_weight() {
        let equal = committee(&[1, 1, 1]);
        assert!(!equal.is_quorum(SignerSet::from_bits(0b011)), "exactly two thirds");
        assert!(equal.is_quorum(SignerSet::from_bits(0b111)));
        let devnet = committee(&[32, 28, 22, 18]);
        assert!(devnet.is_quorum(SignerSet::from_bits(0b1110)), "any one may be missing");
        assert!(!devnet.is_quorum(SignerSet::from_bits(0b0011)));
        assert!(!devnet.is_quorum(SignerSet::from_bits(0b1_1111)), "a bit beyond the last member");
        assert_eq!(devnet.weight_of(SignerSet::from_bits(0b1_0000)), None);
        assert!(!devnet.is_quorum(SignerSet::EMPTY));
    }

    #[test]
    fn a_list_that_the_registry_cannot_return_is_refused() {
        let epoch = Epoch::new(2);
        let new = |members| Committee::new(epoch, members);
        assert_eq!(new(vec![]), Err(CommitteeError::Empty(epoch)));
        let many = (0..129).map(|n| member(n, 1)).collect();
        assert_eq!(new(many), Err(CommitteeError::TooMany { got: 129, max: 128 }));
        assert!(new((0..128).map(|n| member(n, 1)).collect()).is_ok());
        assert!(matches!(new(vec![member(2, 1), member(1, 1)]), Err(CommitteeError::Order { .. })));
        assert!(matches!(new(vec![member(1, 1), member(1, 1)]), Err(CommitteeError::Order { .. })));
        let twin = CommitteeMember { key: member(1, 1).key, ..member(2, 1) };
        assert!(matches!(new(vec![member(1, 1), twin]), Err(CommitteeError::DuplicateKey { .. })));
        assert!(matches!(new(vec![member(1, 0)]), Err(CommitteeError::ZeroWeight(_))));
        let heavy = vec![member(1, 1 << 62), member(2, 1 << 62)];
        assert_eq!(new(heavy), Err(CommitteeError::TooHeavy(1 << 63)));
    }

    proptest! {
        #[test]
        fn two_quorums_share_more_than_a_third(
            weights in prop::collection::vec(1_u64..1_000_000, 1..12),
            order in prop::collection::vec(any::<u64>(), 24),
        ) {
            let committee = committee(&weights);
            // Two smallest-possible quorums: members leave in random order while the rest is one.
            let quorum = |order: &[u64]| {
                let mut leaving: Vec<usize> = (0..weights.len()).collect();
                leaving.sort_by_key(|index| order[*index]);
                leaving.into_iter().fold((1_u128 << weights.len()) - 1, |bits, index| {
                    let fewer = bits & !(1 << index);
                    if committee.is_quorum(SignerSet::from_bits(fewer)) { fewer } else { bits }
                })
            };
            let (first, second) = (quorum(&order[..12]), quorum(&order[12..]));
            let shared = committee.weight_of(SignerSet::from_bits(first & second)).unwrap();
            prop_assert!(3 * shared > u128::from(committee.total_weight().get()));
        }
    }
}
