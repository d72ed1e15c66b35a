//! Looking at what waits, without changing anything: what `txpool_*` of JSON-RPC shows.

use alloy_primitives::Address;
use baton_proto::Transaction;

use crate::{Pool, account::Account};

/// How a transaction waits, in geth's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Every nonce before it is used or waits too, and the balance covers all of them: it is executable, if not at today's
    /// base fee.
    Pending,
    /// It waits for an earlier nonce or for money.
    Queued,
}

/// How many transactions wait in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standings {
    /// Executable ones.
    pub pending: usize,
    /// Those that wait for something first.
    pub queued: usize,
}

impl Pool {
    /// Returns how many transactions wait in which way. O(accounts).
    #[must_use]
    pub fn standings(&self) -> Standings {
        let queued = self.accounts.values().map(Account::gapped_len).sum();
        Standings { pending: self.len().saturating_sub(queued), queued }
    }

    /// Returns all transactions by account and nonce, each with how it waits.
    ///
    /// Lazy, at most [`crate::PoolConfig::transactions_max`] of them: whoever holds a lock meanwhile takes no more than it
    /// will show. A transaction is cheap to clone.
    pub fn inspect(&self) -> impl Iterator<Item = (Standing, &Transaction)> {
        self.accounts.values().flat_map(standing)
    }

    /// Returns the transactions of one account by nonce, each with how it waits; at most
    /// [`crate::PoolConfig::account_transactions_max`] and those that were restored.
    pub fn inspect_account(&self, account: Address) -> impl Iterator<Item = (Standing, &Transaction)> {
        self.accounts.get(&account).into_iter().flat_map(standing)
    }
}

fn standing(account: &Account) -> impl Iterator<Item = (Standing, &Transaction)> {
    account.iter().map(|(nonce, queued)| {
        let standing = if account.runs(nonce) { Standing::Pending } else { Standing::Queued };
        (standing, &queued.transaction)
    })
}

#[cfg(test)]
mod tests {
    use baton_proto::OrderingRule;

    use super::*;
    use crate::{
        PoolConfig,
        testing::{CHAIN_ID, State, account, tx},
    };

    #[test]
    fn what_waits_is_told_by_account_and_nonce_and_how() {
        let mut pool = Pool::new(PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee));
        assert_eq!(pool.standings(), Standings::default());
        for transaction in [tx(1, 5, 1), tx(1, 1, 1), tx(2, 7, 1), tx(1, 0, 1)] {
            pool.add(transaction, 0, &State::default()).unwrap();
        }
        let told = |told: Vec<(Standing, &Transaction)>| -> Vec<(Standing, Address, u64)> {
            told.into_iter().map(|(standing, tx)| (standing, tx.sender(), tx.nonce())).collect()
        };
        let one = account(1);
        let of_one = [(Standing::Pending, one, 0), (Standing::Pending, one, 1), (Standing::Queued, one, 5)];
        assert_eq!(told(pool.inspect_account(one).collect()), of_one);
        assert_eq!(told(pool.inspect_account(account(3)).collect()), []);
        let mut all = of_one.to_vec();
        all.push((Standing::Queued, account(2), 7));
        all.sort_by_key(|(_, sender, nonce)| (*sender, *nonce));
        assert_eq!(told(pool.inspect().collect()), all);
        assert_eq!(pool.standings(), Standings { pending: 2, queued: 2 });
    }
}
