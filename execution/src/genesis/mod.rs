//! The genesis file: what an EVM chain starts from.
//!
//! ```json
//! {
//!   "chainId": 7777,
//!   "nativeToken": { "name": "Ether", "symbol": "ETH" },
//!   "gasLimit": 120000000,
//!   "eip1559": {
//!     "baseFeePerGas": "1000000000",
//!     "minBaseFeePerGas": 1000000,
//!     "elasticityMultiplier": 6,
//!     "baseFeeChangeDenominator": 250
//!   },
//!   "alloc": {
//!     "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266": { "balance": "0x21e19e0c9bab2400000" },
//!     "0x00000000000000000000000000000000000000aa": { "code": "0x60015f55", "nonce": 1, "storage": { "0x0": "0x7" } }
//!   }
//! }
//! ```
//!
//! Numbers are JSON numbers or strings, decimal or with `0x`. `alloc` is written as geth has it. The four contracts that tools
//! expect on every chain ([`MULTICALL3`], [`DETERMINISTIC_DEPLOYER`], [`HISTORY`], [`BEACON_ROOTS`]) are there without being
//! listed.

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, hex, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;
use baton_proto::{BlockHeader, ChainSpec, Height, L2ChainId, limits::TRANSACTION_GAS_MAX};

use crate::{
    StateError,
    state::{Account, Change, ChangeSet, Head, MemoryState},
    trie,
};

mod fees;
mod file;
mod predeploys;

pub use fees::FeeRule;
pub use predeploys::{BEACON_ROOTS, DETERMINISTIC_DEPLOYER, HISTORY, MULTICALL3};

use file::{Entry, File, Number};

/// Longest genesis file that is read: about 400,000 accounts.
pub const GENESIS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest code of a contract (EIP-170).
const CODE_BYTES_MAX: usize = 24_576;

/// First bytes of the code of an account that delegates (EIP-7702); 20 bytes of an address follow.
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// Why a genesis file is refused. Each message names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum GenesisError {
    #[error("the genesis file has {got} bytes, at most {GENESIS_BYTES_MAX} are read")]
    TooLong { got: usize },
    #[error("the genesis file is not what it should be: {0}")]
    Malformed(String),
    #[error("{field}: `{got}` is no number of at most {bits} bits")]
    NotANumber { field: String, got: String, bits: u32 },
    #[error("{field} is {got}, it must be at least {least}")]
    TooSmall { field: &'static str, got: u64, least: u64 },
    #[error("{field} is {got}, it must be at most {most}")]
    TooLarge { field: &'static str, got: u64, most: u64 },
    #[error("nativeToken.{field} is `{got}`, it must have 1 to {most} characters that can be printed")]
    Token { field: &'static str, got: String, most: usize },
    #[error("alloc: `{got}` is no address")]
    NotAnAddress { got: String },
    #[error("alloc: {0} is there twice, in two spellings")]
    Twice(Address),
    #[error("alloc.{address}: {flaw}")]
    Account { address: Address, flaw: AccountFlaw },
    #[error("the balances add up to more than 2^256")]
    TooMuchMoney,
    #[error("{field} is {genesis}, but the chain's registry on L1 says {spec}")]
    OtherChain { field: &'static str, genesis: u64, spec: u64 },
}

/// What is wrong with an account of a genesis file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum AccountFlaw {
    #[error("it has neither balance, nonce nor code, so it would not exist")]
    Empty,
    #[error("a contract that every chain has stands there")]
    Predeploy,
    #[error("a precompile stands there, which has neither code, nonce nor storage")]
    Precompile,
    #[error("code is not hexadecimal: {0}")]
    NotHex(String),
    #[error("code has {got} bytes, at most {CODE_BYTES_MAX} are allowed (EIP-170)")]
    CodeTooLong { got: usize },
    #[error("code starts with 0xef and is no delegation (EIP-3541, EIP-7702)")]
    CodeReserved,
    #[error("storage without code, which nothing could ever read")]
    StorageWithoutCode,
    #[error("storage slot `{0}` is there twice, in two spellings")]
    SlotTwice(String),
    #[error("nonce 2^64 - 1 could never send (EIP-2681)")]
    NonceMax,
}

/// The token that pays for gas. It has 18 decimals, as every wallet assumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeToken {
    /// Its name, such as `Ether`.
    pub name: String,
    /// Its symbol, such as `ETH`.
    pub symbol: String,
}

/// An account at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GenesisAccount {
    /// Wei.
    pub balance: U256,
    /// Its nonce.
    pub nonce: u64,
    /// Its code; empty for an account of a person.
    pub code: Bytes,
    /// Its storage; no value is zero.
    pub storage: BTreeMap<U256, U256>,
}

/// What an EVM chain starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The chain id.
    pub chain_id: L2ChainId,
    /// The token that pays for gas.
    pub native_token: NativeToken,
    /// Gas that a block may use.
    pub gas_limit: u64,
    /// How the base fee moves.
    pub fees: FeeRule,
    /// All accounts, predeployed contracts included.
    pub accounts: BTreeMap<Address, GenesisAccount>,
}

impl Genesis {
    /// Reads a genesis file, and adds the contracts that every chain has.
    ///
    /// # Errors
    /// [`GenesisError`] names the field and what is wrong with it.
    pub fn parse(json: &str) -> Result<Self, GenesisError> {
        if json.len() > GENESIS_BYTES_MAX {
            return Err(GenesisError::TooLong { got: json.len() });
        }
        let file: File = serde_json::from_str(json).map_err(|error| GenesisError::Malformed(error.to_string()))?;
        let gas_limit = small("gasLimit", &file.gas_limit)?;
        // A block must have room for every transaction that admission lets through.
        at_least("gasLimit", gas_limit, TRANSACTION_GAS_MAX)?;
        let chain_id = small("chainId", &file.chain_id)?;
        at_least("chainId", chain_id, 1)?;
        let native_token = NativeToken {
            name: printable("name", file.native_token.name, 64)?,
            symbol: printable("symbol", file.native_token.symbol, 11)?,
        };
        let fees = FeeRule {
            initial: small("eip1559.baseFeePerGas", &file.eip1559.base_fee_per_gas)?,
            least: small("eip1559.minBaseFeePerGas", &file.eip1559.min_base_fee_per_gas)?,
            elasticity: small("eip1559.elasticityMultiplier", &file.eip1559.elasticity_multiplier)?,
            denominator: small("eip1559.baseFeeChangeDenominator", &file.eip1559.base_fee_change_denominator)?,
        };
        at_least("eip1559.elasticityMultiplier", fees.elasticity, 1)?;
        at_most("eip1559.elasticityMultiplier", fees.elasticity, gas_limit)?;
        at_least("eip1559.baseFeeChangeDenominator", fees.denominator, 1)?;
        at_least("eip1559.baseFeePerGas", fees.initial, fees.least)?;

        let mut accounts: BTreeMap<Address, GenesisAccount> = BTreeMap::new();
        for (name, entry) in file.alloc.0 {
            let address: Address = name.parse().map_err(|_| GenesisError::NotAnAddress { got: name })?;
            if accounts.insert(address, account(address, entry)?).is_some() {
                return Err(GenesisError::Twice(address));
            }
        }
        // With this no balance ever overflows: nothing in the EVM makes money.
        let mut balances = accounts.values().map(|account| account.balance);
        if balances.try_fold(U256::ZERO, U256::checked_add).is_none() {
            return Err(GenesisError::TooMuchMoney);
        }
        for (address, code) in predeploys::predeploys() {
            let contract = GenesisAccount { nonce: 1, code, ..GenesisAccount::default() };
            if accounts.insert(address, contract).is_some() {
                return Err(GenesisError::Account { address, flaw: AccountFlaw::Predeploy });
            }
        }
        Ok(Self { chain_id: L2ChainId::new(chain_id), native_token, gas_limit, fees, accounts })
    }

    /// Compares with what the chain's registry on L1 says.
    ///
    /// # Errors
    /// [`GenesisError::OtherChain`] for the first field that differs.
    pub fn check(&self, spec: &ChainSpec) -> Result<(), GenesisError> {
        let same = |field, genesis, spec| match genesis == spec {
            true => Ok(()),
            false => Err(GenesisError::OtherChain { field, genesis, spec }),
        };
        same("chainId", self.chain_id.get(), spec.l2_chain_id.get())?;
        same("gasLimit", self.gas_limit, spec.block_gas_limit)
    }

    /// Returns the changes that make an empty state the state after `header`, the chain's genesis block.
    ///
    /// # Errors
    /// [`StateError`] if `header` is not one of height 0.
    pub fn changes(&self, header: &BlockHeader) -> Result<ChangeSet, StateError> {
        if header.height != Height::ZERO {
            return Err(StateError(format!("block {} is no genesis block", header.height)));
        }
        let (mut accounts, mut storage, mut code) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (&address, account) in &self.accounts {
            let code_hash = if account.code.is_empty() { KECCAK256_EMPTY } else { keccak256(&account.code) };
            let after =
                Account { nonce: account.nonce, balance: account.balance, code_hash, storage_root: EMPTY_ROOT_HASH };
            accounts.insert(address, Change { before: None, after: Some(after) });
            if !account.code.is_empty() {
                code.insert(code_hash, account.code.clone());
            }
            let slots = account.storage.iter();
            storage.extend(slots.map(|(slot, value)| ((address, *slot), Change { before: U256::ZERO, after: *value })));
        }
        let (state_root, nodes) = trie::update(&MemoryState::default(), EMPTY_ROOT_HASH, &mut accounts, &storage)?;
        let head = Head {
            height: header.height,
            digest: header.digest(),
            base_fee: self.fees.initial,
            gas_used: 0,
            state_root,
        };
        Ok(ChangeSet { head: Change { before: None, after: Some(head) }, accounts, storage, code, nodes })
    }

    /// Returns what the chain spec on L1 must name: keccak256 over the ABI encoding of ten words, which are keccak256 of
    /// `"BATON_GENESIS_V1"`, the chain id, the gas limit, the base fee's start, floor, elasticity and denominator, keccak256 of
    /// the token's name and of its symbol (UTF-8), and the state root at the start.
    ///
    /// Two files that say the same in other spellings have the same hash.
    ///
    /// # Errors
    /// Never: see [`Self::state_root`].
    pub fn hash(&self) -> Result<B256, StateError> {
        let Self { chain_id, native_token, gas_limit, fees, .. } = self;
        let FeeRule { initial, least, elasticity, denominator } = *fees;
        let numbers = [chain_id.get(), *gas_limit, initial, least, elasticity, denominator];
        let mut words = vec![keccak256("BATON_GENESIS_V1")];
        words.extend(numbers.map(|number| B256::from(U256::from(number))));
        words.extend([&native_token.name, &native_token.symbol].map(keccak256));
        words.push(self.state_root()?);
        Ok(keccak256(words.concat()))
    }

    /// Returns the state root at the start.
    ///
    /// # Errors
    /// Never: the state that it is computed from is an empty one in memory.
    pub fn state_root(&self) -> Result<B256, StateError> {
        let origin = baton_proto::L1Origin { number: baton_proto::L1BlockNumber::ZERO, hash: B256::ZERO };
        let changes = self.changes(&BlockHeader::genesis(self.chain_id, origin, 0))?;
        Ok(changes.head.after.map_or(EMPTY_ROOT_HASH, |head| head.state_root))
    }
}

/// Checks an account and brings it to its types.
fn account(address: Address, entry: Entry) -> Result<GenesisAccount, GenesisError> {
    let fail = |flaw| GenesisError::Account { address, flaw };
    let field = |name: &str| format!("alloc.{address}.{name}");
    let balance = number(|| field("balance"), &entry.balance)?;
    let nonce = number(|| field("nonce"), &entry.nonce)?;
    let nonce = u64::try_from(nonce).map_err(|_| not_a_number(field("nonce"), &entry.nonce, 64))?;
    if nonce == u64::MAX {
        return Err(fail(AccountFlaw::NonceMax));
    }
    let code: Bytes = hex::decode(&entry.code).map_err(|error| fail(AccountFlaw::NotHex(error.to_string())))?.into();
    let delegates = code.starts_with(&DELEGATION) && code.len() == 23;
    match code.len() {
        got if got > CODE_BYTES_MAX => return Err(fail(AccountFlaw::CodeTooLong { got })),
        _ if code.first() == Some(&0xef) && !delegates => return Err(fail(AccountFlaw::CodeReserved)),
        _ => {}
    }
    let mut storage = BTreeMap::new();
    for (name, value) in &entry.storage.0 {
        let slot = number(|| field("storage"), &Number::Text(name.clone()))?;
        let value = number(|| field(&format!("storage.{name}")), value)?;
        if storage.insert(slot, value).is_some() {
            return Err(fail(AccountFlaw::SlotTwice(name.clone())));
        }
    }
    storage.retain(|_, value| !value.is_zero());
    if !storage.is_empty() && code.is_empty() {
        return Err(fail(AccountFlaw::StorageWithoutCode));
    }
    if is_precompile(address) && !(code.is_empty() && nonce == 0) {
        return Err(fail(AccountFlaw::Precompile));
    }
    if balance.is_zero() && nonce == 0 && code.is_empty() {
        return Err(fail(AccountFlaw::Empty));
    }
    Ok(GenesisAccount { balance, nonce, code, storage })
}

/// Returns whether Osaka has a precompile there: 1 to 17 and 256 (EIP-7951).
fn is_precompile(address: Address) -> bool {
    let number = U256::from_be_slice(address.as_slice());
    (U256::from(1)..=U256::from(17)).contains(&number) || number == U256::from(256)
}

fn number(field: impl FnOnce() -> String, number: &Number) -> Result<U256, GenesisError> {
    number.get().ok_or_else(|| not_a_number(field(), number, 256))
}

fn small(field: &str, number: &Number) -> Result<u64, GenesisError> {
    let value = number.get().and_then(|value| u64::try_from(value).ok());
    value.ok_or_else(|| not_a_number(field.to_owned(), number, 64))
}

fn not_a_number(field: String, number: &Number, bits: u32) -> GenesisError {
    GenesisError::NotANumber { field, got: number.to_string(), bits }
}

fn at_least(field: &'static str, got: u64, least: u64) -> Result<(), GenesisError> {
    if got < least { Err(GenesisError::TooSmall { field, got, least }) } else { Ok(()) }
}

fn at_most(field: &'static str, got: u64, most: u64) -> Result<(), GenesisError> {
    if got > most { Err(GenesisError::TooLarge { field, got, most }) } else { Ok(()) }
}

fn printable(field: &'static str, got: String, most: usize) -> Result<String, GenesisError> {
    let count = got.chars().count();
    match (1..=most).contains(&count) && got.trim() == got && !got.chars().any(char::is_control) {
        true => Ok(got),
        false => Err(GenesisError::Token { field, got, most }),
    }
}

#[cfg(test)]
mod tests;
