//! BLS12-381 keys and signatures as bytes. What they mean is for `consensus::bls` to check.

use std::fmt;

use alloy_primitives::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Ciphersuite of statement signatures: signatures in G1, keys in G2, with proofs of possession.
pub const STATEMENT_DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";

/// Ciphersuite of proofs of possession.
pub const POSSESSION_DST: &[u8] = b"BATON_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_";

/// Ciphersuite of peer proofs.
pub const PEER_DST: &[u8] = b"BATON_PEER_BLS12381G1_XMD:SHA-256_SSWU_RO_";

macro_rules! bytes_type {
    ($(#[$doc:meta])* $name:ident, $length:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $length]);

        impl $name {
            /// Length in bytes.
            pub const LENGTH: usize = $length;

            /// Wraps bytes as they are; nothing is checked.
            #[must_use]
            pub const fn new(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }

            /// Wraps bytes if there are exactly [`Self::LENGTH`] of them.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode_prefixed(self.0))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode_prefixed(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode_prefixed(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let bytes = hex::decode(&text).map_err(D::Error::custom)?;
                Self::from_slice(&bytes)
                    .ok_or_else(|| D::Error::custom(format!("expected {} bytes, got {}", $length, bytes.len())))
            }
        }
    };
}

bytes_type!(
    /// A public key: the EIP-2537 form of a G2 point, 256 bytes, each coordinate (x.c0, x.c1, y.c0, y.c1) left-padded
    /// to 64, exactly as the registry stores it.
    BlsPublicKey,
    256
);
bytes_type!(
    /// A signature or a sum of signatures: a compressed G1 point, 48 bytes.
    BlsSignature,
    48
);
