//! Certificates: one statement signed by a quorum.

use serde::{Deserialize, Serialize};

use crate::{BlsSignature, MemberIndex, Statement};

/// A set of committee members as a bitmap; bit `i` is the member with index `i`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignerSet(u128);

impl SignerSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Wraps a bitmap.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Returns the bitmap.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// Adds a member and returns whether it is new. An index of 128 or more cannot be a member and is never added.
    pub fn insert(&mut self, member: MemberIndex) -> bool {
        let Some(bit) = 1_u128.checked_shl(u32::from(member.get())) else { return false };
        let fresh = self.0 & bit == 0;
        self.0 |= bit;
        fresh
    }

    /// Returns whether `member` is in the set.
    #[must_use]
    pub fn contains(self, member: MemberIndex) -> bool {
        1_u128.checked_shl(u32::from(member.get())).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Returns how many members are in the set.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the members in ascending order.
    pub fn iter(self) -> impl Iterator<Item = MemberIndex> {
        (0..128_u8).map(MemberIndex::new).filter(move |member| self.contains(*member))
    }
}

impl FromIterator<MemberIndex> for SignerSet {
    fn from_iter<I: IntoIterator<Item = MemberIndex>>(members: I) -> Self {
        let mut set = Self::EMPTY;
        for member in members {
            set.insert(member);
        }
        set
    }
}

/// One statement, who signed it, and the sum of their signatures; not yet checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// What they all signed.
    pub statement: Statement,
    /// Who signed.
    pub signers: SignerSet,
    /// Sum of their signatures.
    pub signature: BlsSignature,
}
