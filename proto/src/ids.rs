//! Ids and amounts as types of their own, so that a height can never stand where a view is meant.
//!
//! None of them has `From<u64>`: one writes `Height::new(7)`, and reads the number back with `get`.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// The smallest value.
            pub const ZERO: Self = Self(0);

            /// Wraps a number.
            #[must_use]
            pub const fn new(value: u64) -> Self {
                Self(value)
            }

            /// Returns the number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// Returns the id after this one, or `None` at the end of the range.
            #[must_use]
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }

            /// Returns the id before this one, or `None` at zero.
            #[must_use]
            pub const fn previous(self) -> Option<Self> {
                match self.0.checked_sub(1) {
                    Some(value) => Some(Self(value)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id!(
    /// Height of a block in the L2 chain. The genesis block has height 0; the first block that consensus makes has 1.
    Height
);
number_id!(
    /// One leader's turn within an epoch. Views start at 1; 0 is the root that an epoch builds on.
    View
);
number_id!(
    /// A span of L1 blocks with one committee (protocol section 2). The L2 chain starts in epoch 2.
    Epoch
);
number_id!(
    /// Position of a batch in the inbox on L1, from 0.
    BatchIndex
);
number_id!(
    /// Number of an L1 block.
    L1BlockNumber
);
number_id!(
    /// Chain id of the rollup (EIP-155).
    L2ChainId
);
number_id!(
    /// Chain id of the L1 that holds the contracts (EIP-155).
    L1ChainId
);
number_id!(
    /// Voting power: bonded base units divided by the weight unit of the chain spec.
    Weight
);
number_id!(
    /// Unix time in milliseconds.
    TimestampMs
);

/// A member's place in one epoch's committee, in address order, from 0 to 127.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberIndex(u8);

impl MemberIndex {
    /// Wraps an index.
    #[must_use]
    pub const fn new(value: u8) -> Self {
        Self(value)
    }

    /// Returns the index.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Returns the index for use with slices.
    #[must_use]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for MemberIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(B256);

        impl $name {
            /// All zero bytes: what the first of a chain names as its predecessor.
            pub const ZERO: Self = Self(B256::ZERO);

            /// Wraps a hash.
            #[must_use]
            pub const fn new(value: B256) -> Self {
                Self(value)
            }

            /// Returns the hash.
            #[must_use]
            pub const fn get(self) -> B256 {
                self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

hash_id!(
    /// Keccak-256 of a block header's ABI encoding.
    BlockDigest
);
hash_id!(
    /// Keccak-256 of a batch header's ABI encoding.
    BatchHash
);
