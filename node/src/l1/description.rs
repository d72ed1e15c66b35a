//! The description of a chain: the parameters that its contracts are deployed with.
//!
//! One JSON file, one meaning: `contracts/script/Deploy.s.sol` reads the same files by the same names, those of `ChainSpec`
//! in `contracts/src/Types.sol`. A field too many or too few is refused by both. Which values a chain may have is the
//! contracts' to say: `SpecRules` refuses with field, value and bounds. What a node refuses besides, it says at its start.

use std::str::FromStr;

use alloy_primitives::{Address, B256, U256};
use baton_proto::ChainSpec;
use serde_json::{Map, Value};

use super::bindings::{BindingError, SequencerRegistry, spec_from_l1};

/// That of a devnet (protocol section 14).
///
/// A block's payload is bounded so that a block always fits one calldata batch. `liveEpochs` is beyond any life of a devnet:
/// its committees are there as long as its processes, so each certifies the batches of its own epoch, however late. Epochs
/// last seconds, and a node that is away for two would be jailed: nobody has `jailMinViews` turns in one.
const DEVNET: &str = include_str!("../../../contracts/deployments/devnet.json");

/// What a chain is deployed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its rules. A zero `bond_token` stands for a new `DevToken`.
    pub spec: ChainSpec,
    /// What the pool of rewards pays for an epoch, in base units of the bond token.
    pub reward_per_epoch: U256,
}

/// Why a text describes no chain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum DescriptionError {
    #[error("it is not JSON: {0}")]
    NotJson(String),
    #[error("{field} is missing")]
    Missing { field: String },
    #[error("there is no {got}; there are {known}")]
    Unknown { got: String, known: String },
    #[error("{field} is {got}, but it must be {expected}")]
    Value { field: String, got: String, expected: String },
    #[error(transparent)]
    Code(BindingError),
}

impl Description {
    /// Returns the description of a devnet, which the binary carries.
    #[must_use]
    pub fn devnet() -> Self {
        Self::parse(DEVNET).expect("a test parses the committed file")
    }

    /// Reads a description.
    ///
    /// # Errors
    /// [`DescriptionError`], with the field.
    pub fn parse(text: &str) -> Result<Self, DescriptionError> {
        Self::read(text, [])
    }

    /// Reads the description of a devnet, or `text` in its place, with other values for some fields of the spec.
    ///
    /// `changes` are pairs of a field's name and its value as one writes it, such as `("deltaMs", "250")`.
    ///
    /// # Errors
    /// [`DescriptionError`], with the field.
    pub fn changed<'a>(
        text: Option<&str>,
        changes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, DescriptionError> {
        Self::read(text.unwrap_or(DEVNET), changes)
    }

    fn read<'a>(text: &str, changes: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, DescriptionError> {
        let all = serde_json::from_str(text).map_err(|error| DescriptionError::NotJson(error.to_string()))?;
        let mut all = Fields::of("", "the description", all)?;
        let mut spec = Fields::of("spec.", "spec", all.take("spec")?)?;
        for (name, value) in changes {
            // A field that there is not stays, and is refused at the end.
            spec.values.insert(
                name.to_owned(),
                match value {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => Value::String(value.to_owned()),
                },
            );
        }
        let read = SequencerRegistry::ChainSpec {
            l2ChainId: spec.number("l2ChainId")?,
            epochBlocks: spec.number("epochBlocks")?,
            originSettle: spec.number("originSettle")?,
            minBlockMs: spec.number("minBlockMs")?,
            idleBlockMs: spec.number("idleBlockMs")?,
            deltaMs: spec.number("deltaMs")?,
            inactiveViews: spec.number("inactiveViews")?,
            clockDriftMs: spec.number("clockDriftMs")?,
            blockBytesMax: spec.number("blockBytesMax")?,
            blockGasLimit: spec.number("blockGasLimit")?,
            execLagMax: spec.number("execLagMax")?,
            forcedLag: spec.number("forcedLag")?,
            abandonBlocks: spec.number("abandonBlocks")?,
            maxOriginAge: spec.number("maxOriginAge")?,
            liveEpochs: spec.number("liveEpochs")?,
            batchBytesMax: spec.number("batchBytesMax")?,
            batchBlobsMax: spec.number("batchBlobsMax")?,
            batchAgeBlocks: spec.number("batchAgeBlocks")?,
            postBackoff: spec.number("postBackoff")?,
            correlationEpochs: spec.number("correlationEpochs")?,
            evidenceBlocks: spec.number("evidenceBlocks")?,
            jailEpochs: spec.number("jailEpochs")?,
            jailMinViews: spec.number("jailMinViews")?,
            baseSlashBps: spec.number("baseSlashBps")?,
            reporterBps: spec.number("reporterBps")?,
            jailMissBps: spec.number("jailMissBps")?,
            minCommittee: spec.number("minCommittee")?,
            allowSmall: spec.flag("allowSmall")?,
            orderingRule: spec.number("orderingRule")?,
            executor: spec.number("executor")?,
            weightUnit: spec.number("weightUnit")?,
            weightCap: spec.number("weightCap")?,
            minBond: spec.number("minBond")?,
            bondToken: spec.hex::<Address>("bondToken", "an address: 0x and 40 hex digits")?,
            genesisHash: spec.hex::<B256>("genesisHash", "a hash: 0x and 64 hex digits")?,
        };
        spec.end()?;
        let reward_per_epoch = all.number("rewardPerEpoch")?;
        all.end()?;
        Ok(Self { spec: spec_from_l1(&read).map_err(DescriptionError::Code)?, reward_per_epoch })
    }
}

/// The fields of one JSON object, each taken once by its name.
struct Fields {
    /// What stands before their names in errors.
    prefix: &'static str,
    values: Map<String, Value>,
    taken: Vec<&'static str>,
}

impl Fields {
    fn of(prefix: &'static str, what: &str, value: Value) -> Result<Self, DescriptionError> {
        match value {
            Value::Object(values) => Ok(Self { prefix, values, taken: Vec::new() }),
            other => Err(wrong(what, &other, "an object".to_owned())),
        }
    }

    fn take(&mut self, name: &'static str) -> Result<Value, DescriptionError> {
        self.taken.push(name);
        let missing = || DescriptionError::Missing { field: format!("{}{name}", self.prefix) };
        self.values.remove(name).ok_or_else(missing)
    }

    /// Takes a number that fits `T`. JSON's own numbers end at 64 bits; larger ones are written as text.
    fn number<T: TryFrom<U256>>(&mut self, name: &'static str) -> Result<T, DescriptionError> {
        let value = self.take(name)?;
        let number = match &value {
            Value::Number(number) => number.as_u64().map(U256::from),
            Value::String(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                U256::from_str_radix(digits, 10).ok()
            }
            _ => None,
        };
        number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| {
            let bits = 8 * size_of::<T>();
            let text = if bits > 64 { ", as text where it takes more than 64 bits" } else { "" };
            let most = U256::MAX >> 256_usize.saturating_sub(bits);
            wrong(&format!("{}{name}", self.prefix), &value, format!("a whole number from 0 to {most}{text}"))
        })
    }

    fn flag(&mut self, name: &'static str) -> Result<bool, DescriptionError> {
        let value = self.take(name)?;
        let expected = || wrong(&format!("{}{name}", self.prefix), &value, "true or false".to_owned());
        value.as_bool().ok_or_else(expected)
    }

    fn hex<T: FromStr>(&mut self, name: &'static str, expected: &str) -> Result<T, DescriptionError> {
        let value = self.take(name)?;
        let text = value.as_str().filter(|text| text.starts_with("0x"));
        let wrong = || wrong(&format!("{}{name}", self.prefix), &value, expected.to_owned());
        text.and_then(|text| text.parse().ok()).ok_or_else(wrong)
    }

    /// Refuses what was not taken.
    fn end(self) -> Result<(), DescriptionError> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(got) => {
                Err(DescriptionError::Unknown { got: format!("{}{got}", self.prefix), known: self.taken.join(", ") })
            }
        }
    }
}

fn wrong(field: &str, got: &Value, expected: String) -> DescriptionError {
    DescriptionError::Value { field: field.to_owned(), got: got.to_string(), expected }
}

#[cfg(test)]
mod tests {
    use baton_proto::ExecutorKind;

    use super::*;

    /// The committed description with `from` replaced by `to`.
    fn with(from: &str, to: &str) -> Result<Description, DescriptionError> {
        assert_eq!(DEVNET.matches(from).count(), 1, "{from}");
        Description::parse(&DEVNET.replace(from, to))
    }

    #[test]
    fn the_devnet_is_as_its_description_says() {
        let Description { spec, reward_per_epoch } = Description::devnet();
        assert_eq!((spec.l2_chain_id.get(), spec.live_epochs), (2_028, 1 << 32));
        assert_eq!((spec.min_bond, reward_per_epoch), (U256::from(10_u64.pow(12)), U256::from(10_u64.pow(12))));
        assert!(spec.allow_small && spec.bond_token.is_zero());
        assert!(spec.block_bytes_max < spec.batch_bytes_max, "a block fits a batch of calldata, with its header");
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_bounds() {
        for (from, to, message) in [
            ("\"deltaMs\": 100,", "", "spec.deltaMs is missing"),
            ("\"rewardPerEpoch\": 1000000000000,", "", "rewardPerEpoch is missing"),
            (
                "\"deltaMs\": 100",
                "\"deltaMs\": -1",
                "spec.deltaMs is -1, but it must be a whole number from 0 to 18446744073709551615",
            ),
            (
                "\"deltaMs\": 100",
                "\"deltaMs\": 1.5",
                "spec.deltaMs is 1.5, but it must be a whole number from 0 to 18446744073709551615",
            ),
            (
                "\"deltaMs\": 100",
                "\"deltaMs\": \"\"",
                "spec.deltaMs is \"\", but it must be a whole number from 0 to 18446744073709551615",
            ),
            (
                "\"baseSlashBps\": 500",
                "\"baseSlashBps\": 65536",
                "spec.baseSlashBps is 65536, but it must be a whole number from 0 to 65535",
            ),
            (
                "\"minCommittee\": 1",
                "\"minCommittee\": 256",
                "spec.minCommittee is 256, but it must be a whole number from 0 to 255",
            ),
            (
                "\"weightUnit\": 1000000000000",
                "\"weightUnit\": 1.5",
                "spec.weightUnit is 1.5, but it must be a whole number from 0 to 340282366920938463463374607431768211455, as text where it takes more than 64 bits",
            ),
            ("true", "1", "spec.allowSmall is 1, but it must be true or false"),
            (
                "\"0x0000000000000000000000000000000000000000\"",
                "\"0x00\"",
                "spec.bondToken is \"0x00\", but it must be an address: 0x and 40 hex digits",
            ),
            (
                "\"0x0000000000000000000000000000000000000000\"",
                "\"0000000000000000000000000000000000000000\"",
                "spec.bondToken is \"0000000000000000000000000000000000000000\", but it must be an address: 0x and 40 hex digits",
            ),
            (
                "\"0x14538a888dc834cd3e2a77429030ad31fcbc8e5ab8afe71ea720da0a097a3fce\"",
                "0",
                "spec.genesisHash is 0, but it must be a hash: 0x and 64 hex digits",
            ),
            (
                "0x14538a888dc834cd3e2a77429030ad31fcbc8e5ab8afe71ea720da0a097a3fce",
                "0x0000000000000000000000000000000000000000000000000000000000000000",
                "the chain's parameters are refused: the chain has an executor, but no genesis (genesisHash is zero)",
            ),
            ("\"executor\": 1", "\"executor\": 2", "executor is 2, which this version does not know"),
        ] {
            assert_eq!(with(from, to).unwrap_err().to_string(), message);
        }
        let unknown = with("\"deltaMs\": 100", "\"deltaMs\": 100, \"deltaMS\": 1").unwrap_err().to_string();
        assert!(
            unknown.starts_with("there is no spec.deltaMS; there are l2ChainId, ") && unknown.ends_with("genesisHash"),
            "{unknown}"
        );
        let unknown = with("\"spec\": {", "\"owner\": 1, \"spec\": {").unwrap_err();
        assert_eq!(unknown.to_string(), "there is no owner; there are spec, rewardPerEpoch");
        assert_eq!(
            Description::parse("[]").unwrap_err().to_string(),
            "the description is [], but it must be an object"
        );
        assert!(Description::parse("{").unwrap_err().to_string().starts_with("it is not JSON: "));
    }

    #[test]
    fn numbers_beyond_json_are_text() {
        let large = with("\"weightUnit\": 1000000000000", "\"weightUnit\": \"100000000000000000000\"").unwrap();
        assert_eq!(large.spec.weight_unit, 10_u128.pow(20));
    }

    #[test]
    fn changes_reach_the_fields_that_they_name() {
        let changed = Description::changed(None, [("deltaMs", "250"), ("allowSmall", "false")]).unwrap();
        let spec = ChainSpec { delta_ms: 250, allow_small: false, ..Description::devnet().spec };
        assert_eq!(changed, Description { spec, ..Description::devnet() });
        let hash = B256::with_last_byte(7);
        let changed =
            Description::changed(None, [("executor", "0"), ("genesisHash", &B256::ZERO.to_string())]).unwrap();
        assert_eq!((changed.spec.executor, changed.spec.genesis_hash), (ExecutorKind::None, B256::ZERO));
        let changed = Description::changed(None, [("genesisHash", hash.to_string().as_str())]).unwrap();
        assert_eq!((changed.spec.executor, changed.spec.genesis_hash), (ExecutorKind::Embedded, hash));
        let other = DEVNET.replace("\"l2ChainId\": 2028", "\"l2ChainId\": 7");
        assert_eq!(Description::changed(Some(&other), []).unwrap().spec.l2_chain_id.get(), 7);
    }
}
