//! Positional arguments of a call, with geth's words for what is wrong with them.

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, Bytes, TxHash, U64, U256};
use jsonrpsee::types::Params;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::RpcError;

/// The arguments of one call.
pub(super) struct Arguments(Vec<Value>);

impl Arguments {
    /// Reads at most `max` arguments; trailing `null`s count as left out.
    pub(super) fn read(params: &Params<'_>, max: usize) -> Result<Self, RpcError> {
        let mut values: Vec<Value> = match params.as_str() {
            None => Vec::new(),
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Array(values)) => values,
                Ok(Value::Null) => Vec::new(),
                _ => return Err(RpcError::ArgumentsNotAList),
            },
        };
        while values.last().is_some_and(Value::is_null) {
            values.pop();
        }
        if values.len() > max { Err(RpcError::TooManyArguments(max)) } else { Ok(Self(values)) }
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, RpcError> {
        self.hex(index)
    }

    pub(super) fn hash(&self, index: usize) -> Result<TxHash, RpcError> {
        self.hex(index)
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        self.hex(index)
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, RpcError> {
        self.typed(index)
    }

    pub(super) fn text(&self, index: usize) -> Result<String, RpcError> {
        self.typed(index)
    }

    /// A quantity, or a plain number; `None` if it is left out.
    pub(super) fn optional_number(&self, index: usize) -> Result<Option<u64>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Number(number)) if number.is_u64() => Ok(number.as_u64()),
            Some(_) => self.typed::<U64>(index).map(|quantity| Some(quantity.to())),
        }
    }

    /// An object; its default if it is left out.
    pub(super) fn options<T: DeserializeOwned + Default>(&self, index: usize) -> Result<T, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(_) => self.typed(index),
        }
    }

    /// A quantity or a tag.
    pub(super) fn number_or_tag(&self, index: usize) -> Result<BlockNumberOrTag, RpcError> {
        self.typed(index)
    }

    /// A quantity, a tag, a hash, or the object of EIP-1898.
    pub(super) fn block(&self, index: usize) -> Result<BlockId, RpcError> {
        self.typed(index)
    }

    /// As [`Self::block`]; the last final block if it is left out.
    pub(super) fn block_or_latest(&self, index: usize) -> Result<BlockId, RpcError> {
        if self.is_left_out(index) { Ok(BlockId::latest()) } else { self.block(index) }
    }

    /// A storage slot: up to 32 bytes of hex, also an odd number of digits.
    pub(super) fn slot(&self, index: usize) -> Result<U256, RpcError> {
        let text = self.text(index)?;
        let wrong = |why: &str| Err(RpcError::InvalidArgument { index, why: why.to_owned() });
        let Some(digits) = text.strip_prefix("0x") else { return wrong("hex string without 0x prefix") };
        match digits.len() {
            0..=64 => U256::from_str_radix(digits, 16).or_else(|_| wrong("invalid hex string")),
            _ => wrong("hex string too long, want at most 32 bytes"),
        }
    }

    /// Whether there is no such argument, or `null` in its place.
    pub(super) fn is_left_out(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(Value::is_null)
    }

    /// Hex data, which the types themselves would also read without its prefix.
    fn hex<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        match self.0.get(index) {
            Some(Value::String(text)) if !text.starts_with("0x") => {
                Err(RpcError::InvalidArgument { index, why: "hex string without 0x prefix".into() })
            }
            _ => self.typed(index),
        }
    }

    /// Whatever `T` is in JSON.
    pub(super) fn typed<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        let value = self.0.get(index).filter(|value| !value.is_null()).ok_or(RpcError::MissingArgument(index))?;
        T::deserialize(value).map_err(|error| RpcError::InvalidArgument { index, why: error.to_string() })
    }
}
