//! The genesis file as it is written.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use alloy_primitives::U256;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    pub(super) chain_id: Number,
    pub(super) native_token: Token,
    pub(super) gas_limit: Number,
    pub(super) eip1559: Eip1559,
    pub(super) alloc: Unique<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Token {
    pub(super) name: String,
    pub(super) symbol: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Eip1559 {
    pub(super) base_fee_per_gas: Number,
    pub(super) min_base_fee_per_gas: Number,
    pub(super) elasticity_multiplier: Number,
    pub(super) base_fee_change_denominator: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Entry {
    pub(super) balance: Number,
    pub(super) nonce: Number,
    pub(super) code: String,
    pub(super) storage: Unique<Number>,
}

/// A number as geth's genesis files have them: a JSON number, or a string, decimal or hexadecimal with `0x`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Plain(u64),
    Text(String),
}

impl Default for Number {
    fn default() -> Self {
        Self::Plain(0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => fmt::Display::fmt(text, f),
        }
    }
}

impl Number {
    /// Returns the number, if it is one of at most 256 bits.
    pub(super) fn get(&self) -> Option<U256> {
        match self {
            Self::Plain(number) => Some(U256::from(*number)),
            Self::Text(text) => number(text),
        }
    }
}

/// Reads `0x…` or decimal digits.
pub(super) fn number(text: &str) -> Option<U256> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    // The parser of the crate would also take an empty string and underscores.
    let plain = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    plain.then(|| U256::from_str_radix(digits, u64::from(radix)).ok()).flatten()
}

/// A JSON object in which no key comes twice, letter by letter; serde would keep the last one.
#[derive(Debug)]
pub(super) struct Unique<T>(pub(super) BTreeMap<String, T>);

impl<T> Default for Unique<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((key, value)) = object.next_entry::<String, T>()? {
                    if entries.contains_key(&key) {
                        return Err(A::Error::custom(format!("`{key}` is there twice")));
                    }
                    entries.insert(key, value);
                }
                Ok(Unique(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
