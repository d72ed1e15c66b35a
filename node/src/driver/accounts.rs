//! The final state as the pool asks for it.

use std::{cell::OnceCell, sync::Arc};

use alloy_primitives::{Address, KECCAK256_EMPTY};
use baton_execution::{
    ExecuteError, Executor, StateError,
    state::{Account, EvmState, Head},
};
use baton_mempool::{AccountCode, AccountFacts, Accounts};
use baton_proto::BlockHeader;

use super::DriverError;
use crate::ledger::Ledger;

/// Accounts in the final state of the moment of the first question.
///
/// A read that fails tells nothing; the next write ends the node.
pub(crate) struct FinalAccounts<'a> {
    ledger: &'a dyn Ledger,
    state: OnceCell<Option<Arc<dyn EvmState>>>,
}

impl<'a> FinalAccounts<'a> {
    /// Asks for nothing yet.
    pub(crate) const fn new(ledger: &'a dyn Ledger) -> Self {
        Self { ledger, state: OnceCell::new() }
    }

    fn read(&self, state: &dyn EvmState, address: Address) -> Result<Option<AccountFacts>, StateError> {
        let Account { nonce, balance, code_hash, .. } = state.account(address)?.unwrap_or_default();
        if code_hash == KECCAK256_EMPTY {
            return Ok(Some(AccountFacts { nonce, balance, code: AccountCode::Absent }));
        }
        let code = state.code(code_hash)?;
        Ok(code.map(|code| AccountFacts { nonce, balance, code: AccountCode::of(&code) }))
    }
}

impl Accounts for FinalAccounts<'_> {
    fn account(&self, account: Address) -> Option<AccountFacts> {
        let state = self.state.get_or_init(|| self.ledger.state().ok()).as_deref()?;
        self.read(state, account).ok().flatten()
    }
}

/// Returns the most that each unit of gas can cost at least in the block after `unfinalized` ones, ascending from the final
/// head: blocks use no more gas than they declare, and one that uses less never makes the next one dearer.
///
/// # Errors
/// [`DriverError`] when the final state cannot be read.
pub(super) fn base_fee_after(
    ledger: &dyn Ledger,
    executor: &dyn Executor,
    unfinalized: &[BlockHeader],
) -> Result<u64, DriverError> {
    let Some(mut head) = ledger.state()?.head().map_err(ExecuteError::from)? else { return Ok(0) };
    for header in unfinalized {
        head = Head { base_fee: executor.next_base_fee(&head), gas_used: header.declared_gas, ..head };
    }
    Ok(executor.next_base_fee(&head))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::U256;
    use baton_execution::{ChainExecutor, evm::EvmExecutor, genesis::Genesis};
    use baton_proto::{Domain, L1BlockNumber, L1ChainId, L1Origin};
    use serde_json::json;

    use super::*;
    use crate::{
        driver::testing::{L2, child},
        ledger::{ChainIdentity, MemoryLedger},
    };

    #[test]
    fn an_account_is_told_with_balance_and_code_and_the_base_fee_of_the_next_block() {
        let delegation = format!("0xef0100{}", "07".repeat(20));
        let file = json!({
            "chainId": L2.get(),
            "nativeToken": { "name": "Ether", "symbol": "ETH" },
            "gasLimit": 120_000_000,
            "eip1559": {
                "baseFeePerGas": "1000", "minBaseFeePerGas": "10",
                "elasticityMultiplier": 6, "baseFeeChangeDenominator": 250
            },
            "alloc": {
                "00000000000000000000000000000000000000a1": { "balance": "17", "nonce": "3" },
                "00000000000000000000000000000000000000a2": { "balance": "18", "code": delegation },
                "00000000000000000000000000000000000000a3": { "code": "0x60015f55" }
            }
        });
        let genesis = Genesis::parse(&file.to_string()).unwrap();
        let domain = Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2 };
        let chain = ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO };
        let ledger = MemoryLedger::new(&chain).unwrap();
        assert_eq!(FinalAccounts::new(&ledger).account(Address::ZERO), Some(AccountFacts::default()));
        let root = BlockHeader::genesis(L2, L1Origin { number: L1BlockNumber::new(1), hash: Default::default() }, 1);
        ledger.init_genesis_with(&root, &genesis.changes(&root).unwrap()).unwrap();

        let accounts = FinalAccounts::new(&ledger);
        let facts = |nonce, balance, code| Some(AccountFacts { nonce, balance: U256::from(balance), code });
        let told = [0xa0, 0xa1, 0xa2, 0xa3].map(|byte| accounts.account(Address::with_last_byte(byte)));
        assert_eq!(told[0], Some(AccountFacts::default()));
        assert_eq!(told[1], facts(3, 17, AccountCode::Absent));
        assert_eq!(told[2].map(|told| (told.balance, told.code)), Some((U256::from(18), AccountCode::Delegation)));
        assert_eq!(told[3].map(|told| told.code), Some(AccountCode::Contract));

        let executor = ChainExecutor::Embedded(EvmExecutor::new(&genesis));
        // An empty block lowers it by one part in 250. A full one raises it by five, so an unfinalized one might.
        assert_eq!(base_fee_after(&ledger, &executor, &[]).unwrap(), 996);
        let mut full = child(&root, vec![]).header;
        full.declared_gas = 120_000_000;
        assert_eq!(base_fee_after(&ledger, &executor, &[full]).unwrap(), 996 + 19);
        assert_eq!(base_fee_after(&ledger, &ChainExecutor::None, &[]).unwrap(), 0);
    }
}
