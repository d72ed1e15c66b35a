//! What a devnet starts from: the accounts that every Ethereum tool knows, with money.

use alloy_primitives::{B256, U256};
use baton_execution::genesis::Genesis;
use baton_proto::ChainSpec;
use serde_json::{Map, Value, json};

use super::accounts;

/// Native tokens of each account, in wei: what anvil gives them.
const ACCOUNT_WEI: u128 = 10_000 * 1_000_000_000_000_000_000;

/// Wei that a unit of gas costs in the first block, as anvil has it, and at least: what an idle devnet comes down to.
const BASE_FEE: u64 = 1_000_000_000;
const BASE_FEE_MIN: u64 = 1_000_000;

/// Gas limit over target, and how much of the base fee one block may change: for blocks that come ten times a second.
const ELASTICITY: u64 = 6;
const DENOMINATOR: u64 = 250;

/// Returns the genesis file of a devnet with these parameters.
pub(crate) fn text(spec: &ChainSpec) -> String {
    let balance = U256::from(ACCOUNT_WEI).to_string();
    let accounts = accounts::developer_accounts().into_iter();
    let alloc: Map<String, Value> =
        accounts.map(|account| (account.address.to_string(), json!({ "balance": balance }))).collect();
    let file = json!({
        "chainId": spec.l2_chain_id.get(),
        "nativeToken": { "name": "Ether", "symbol": "ETH" },
        "gasLimit": spec.block_gas_limit,
        "eip1559": {
            "baseFeePerGas": BASE_FEE,
            "minBaseFeePerGas": BASE_FEE_MIN,
            "elasticityMultiplier": ELASTICITY,
            "baseFeeChangeDenominator": DENOMINATOR,
        },
        "alloc": alloc,
    });
    // A map of text and numbers has one way to be written.
    format!("{file:#}\n")
}

/// Returns the hash of a genesis file, if it is one of a chain with these parameters, or else why it is not.
pub(crate) fn hash(text: &str, spec: &ChainSpec) -> Result<B256, String> {
    let genesis = Genesis::parse(text).map_err(|error| error.to_string())?;
    genesis.check(spec).map_err(|error| error.to_string())?;
    genesis.hash().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::l1::Description;

    #[test]
    fn the_committed_description_of_a_devnet_names_its_genesis() {
        let spec = Description::devnet().spec;
        assert_eq!(hash(&text(&spec), &spec), Ok(spec.genesis_hash));
        let genesis = Genesis::parse(&text(&spec)).unwrap();
        let rich = |address| genesis.accounts.get(&address).is_some_and(|of| of.balance == U256::from(ACCOUNT_WEI));
        assert_eq!(accounts::developer_accounts().iter().filter(|account| rich(account.address)).count(), 10);
    }
}
