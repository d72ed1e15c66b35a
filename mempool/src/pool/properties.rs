//! Laws that hold after any history of a small pool with few accounts, nonces and fees, so that everything collides.

use std::collections::BTreeSet;

use baton_proto::OrderingRule;
use proptest::prelude::*;

use super::*;
use crate::{
    Selection,
    order::{consecutive_nonces, obeys},
    testing::{CHAIN_ID, Draft, State},
};

impl Pool {
    /// Recomputes indices, sums and bounds the long way round.
    pub(super) fn assert_consistent(&self) {
        let mut bytes = 0;
        let mut by_hash = BTreeMap::new();
        for (address, account) in &self.accounts {
            account.assert_consistent();
            assert!(account.len() > 0, "an empty account is kept");
            assert!(account.len() <= self.config.account_transactions_max);
            assert!(account.gapped_len() <= self.config.account_gapped_max);
            for (nonce, queued) in account.iter() {
                assert_eq!(queued.transaction.sender(), *address);
                bytes += queued.transaction.raw().len();
                by_hash.insert(*queued.transaction.hash(), (*address, nonce));
            }
        }
        assert_eq!(by_hash, self.by_hash);
        assert_eq!(bytes, self.bytes);
        let by_worth: BTreeMap<_, _> =
            self.accounts.iter().map(|(address, account)| (account.worth().unwrap(), *address)).collect();
        assert_eq!(by_worth, self.by_worth);
        let executable = self.accounts.values().filter(|account| account.len() > account.gapped_len()).count();
        assert_eq!(executable, self.executable_accounts);
        assert!(self.len() <= self.config.transactions_max && self.bytes <= self.config.bytes_max);
    }

    fn contents(&self) -> Vec<(TxHash, u64, u64)> {
        let all = self.accounts.values().flat_map(Account::iter);
        all.map(|(_, queued)| (*queued.transaction.hash(), queued.added_ms, queued.arrival)).collect()
    }
}

const BYTES_MAX: usize = 3_000;

#[derive(Clone, Debug)]
enum Step {
    Add {
        key: u64,
        nonce: u64,
        tip: u128,
        fee: u128,
        input: usize,
    },
    /// A block takes the best `count`; `stranger` nonces of account 1 are used by transactions that we never saw.
    Finalize {
        count: usize,
        stranger: u64,
        tell: bool,
    },
    /// A leader includes any transaction of ours, in turn or not.
    Misplace {
        which: prop::sample::Index,
    },
    Wait {
        ms: u64,
    },
    /// The caller could not keep what it had accepted.
    Discard {
        which: prop::sample::Index,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1u64..6, 0u64..14, 0u128..12, 0u128..6, prop_oneof![3 => Just(0usize), 1 => 100usize..900])
            .prop_map(|(key, nonce, tip, more, input)| Step::Add { key, nonce, tip, fee: tip + more, input }),
        2 => (0usize..5, 0u64..2, any::<bool>())
            .prop_map(|(count, stranger, tell)| Step::Finalize { count, stranger, tell }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Misplace { which }),
        1 => (0u64..700).prop_map(|ms| Step::Wait { ms }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Discard { which }),
    ]
}

/// The nonces that are executable by the definition: in the pool, with all between them and the next one.
fn executable(pool: &Pool, state: &State) -> BTreeSet<(Address, u64)> {
    let held: BTreeSet<_> = pool.transactions().map(|tx| (tx.sender(), tx.nonce())).collect();
    let runs = |sender: &Address, nonce: u64| (state.nonce(*sender)..=nonce).all(|n| held.contains(&(*sender, n)));
    held.iter().filter(|(sender, nonce)| state.nonce(*sender) <= *nonce && runs(sender, *nonce)).copied().collect()
}

struct World {
    pool: Pool,
    state: State,
    now_ms: u64,
}

impl World {
    fn add(&mut self, draft: &Draft) {
        let tx = draft.signed();
        let (before, bytes) = (self.pool.contents(), self.pool.bytes());
        let held: BTreeMap<_, _> = self.pool.transactions().map(|tx| ((tx.sender(), tx.nonce()), tx.clone())).collect();
        let old = held.get(&(tx.sender(), tx.nonce()));
        let was_executable = executable(&self.pool, &self.state);
        match self.pool.add(tx.clone(), self.now_ms, &self.state) {
            Ok(added) => {
                assert_eq!(self.pool.get(&added.hash).as_ref(), Some(&tx));
                assert_eq!(added.replaced.map(|waiting| waiting.transaction), old.cloned());
                let is_executable = executable(&self.pool, &self.state);
                assert_eq!(added.executable, is_executable.contains(&(tx.sender(), tx.nonce())));
                if !added.executable {
                    // What waits beyond a gap takes nobody's place who could run.
                    assert!(is_executable.is_superset(&was_executable), "a gapped one pushed out an executable one");
                }
                if bytes + tx.raw().len() <= BYTES_MAX && held.len() < self.pool.config.transactions_max {
                    assert_eq!(self.pool.len(), held.len() + usize::from(old.is_none()), "evicted without need");
                }
            }
            Err(error) => {
                assert_eq!(self.pool.contents(), before, "refused ({error}), and yet something changed");
            }
        }
    }

    fn finalize(&mut self, count: usize, stranger: u64, tell: bool) {
        let none = BTreeMap::new();
        let block = self.pool.select(&Selection { count_max: count, ..Selection::everything(&none) }, &self.state);
        let mut nonces = BTreeMap::new();
        for tx in &block {
            nonces.insert(tx.sender(), tx.nonce() + 1);
        }
        if stranger > 0 {
            let account = crate::testing::account(1);
            let next = nonces.get(&account).copied().unwrap_or_else(|| self.state.nonce(account));
            nonces.insert(account, next + stranger);
        }
        self.state.0.extend(&nonces);
        if tell {
            let expected: Vec<_> = self
                .pool
                .transactions()
                .filter(|tx| nonces.get(&tx.sender()).is_none_or(|next| tx.nonce() >= *next))
                .cloned()
                .collect();
            let included: Vec<_> = block.iter().map(|tx| *tx.hash()).collect();
            self.pool.on_final(&nonces, &included);
            assert_eq!(
                self.pool.transactions().cloned().collect::<Vec<_>>(),
                expected,
                "not exactly the used nonces left"
            );
        } else {
            // The ledger is ahead of the pool until the next block; catch up as the driver does, with what changed since.
            self.check_selection(false);
            self.pool.on_final(&nonces, &[]);
        }
    }

    fn misplace(&mut self, which: &prop::sample::Index) {
        let all: Vec<_> = self.pool.transactions().cloned().collect();
        if all.is_empty() {
            return;
        }
        let tx = which.get(&all);
        let next = self.state.nonce(tx.sender());
        self.pool.on_final(&BTreeMap::new(), &[*tx.hash()]);
        assert_eq!(self.pool.contains(tx.hash()), tx.nonce() > next);
    }

    fn discard(&mut self, which: &prop::sample::Index) {
        let all: Vec<_> = self.pool.transactions().cloned().collect();
        if all.is_empty() {
            return;
        }
        let gone = which.get(&all);
        assert!(self.pool.discard(gone.hash()) && !self.pool.contains(gone.hash()));
        assert!(!self.pool.discard(gone.hash()));
        // Only what the account has no place for beyond the new gap goes with it.
        let others = |pool: &Pool| pool.transactions().filter(|tx| tx.sender() != gone.sender()).count();
        assert_eq!(others(&self.pool), all.iter().filter(|tx| tx.sender() != gone.sender()).count());
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
        let before = self.pool.len();
        let expired = self.pool.expire(self.now_ms);
        assert_eq!(before - expired.len(), self.pool.len());
        assert!(expired.iter().all(|hash| !self.pool.contains(hash)));
        let lifetime_ms = self.pool.config.lifetime_ms;
        assert!(self.pool.contents().iter().all(|(_, added_ms, _)| self.now_ms - added_ms < lifetime_ms));
    }

    /// `is_told`: whether the pool has heard of all that final state holds. Until then it may select less than it could; what
    /// it does select is right all the same.
    fn check_selection(&self, is_told: bool) {
        let none = BTreeMap::new();
        let rule = self.pool.config.ordering_rule;
        let executable = executable(&self.pool, &self.state);
        let selected = self.pool.select(&Selection::everything(&none), &self.state);
        let chosen: BTreeSet<_> = selected.iter().map(|tx| (tx.sender(), tx.nonce())).collect();
        assert!(chosen.is_subset(&executable), "a gapped or used one is selected");
        if is_told {
            assert_eq!(chosen, executable, "with room for all, all executable ones are selected");
        }
        for bounded in [
            Selection { gas_max: 500_000, count_max: 7, ..Selection::everything(&none) },
            Selection { bytes_max: 900, count_max: 9, ..Selection::everything(&none) },
            Selection { skip: &|hash| hash[0].is_multiple_of(3), ..Selection::everything(&none) },
        ] {
            let selected = self.pool.select(&bounded, &self.state);
            assert!(obeys(rule, &selected) && consecutive_nonces(&selected));
            assert!(selected.len() <= bounded.count_max);
            assert!(selected.iter().map(Transaction::gas_limit).sum::<u64>() <= bounded.gas_max);
            assert!(selected.iter().map(|tx| tx.raw().len()).sum::<usize>() <= bounded.bytes_max);
            assert!(selected.iter().all(|tx| !(bounded.skip)(tx.hash())));
            let mut next = self.state.clone();
            for tx in &selected {
                assert_eq!(next.nonce(tx.sender()), tx.nonce(), "a selected transaction is not next");
                next.0.insert(tx.sender(), tx.nonce() + 1);
            }
        }
        for (sender, pending) in
            self.state.0.keys().map(|sender| (sender, self.pool.pending_nonce(*sender, &self.state)))
        {
            assert!(!executable.contains(&(*sender, pending)));
            assert!((self.state.nonce(*sender)..pending).all(|nonce| executable.contains(&(*sender, nonce))));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_keeps_the_laws(steps in prop::collection::vec(step(), 1..120), first_seen in any::<bool>()) {
        let ordering_rule = if first_seen { OrderingRule::FirstSeen } else { OrderingRule::PriorityFee };
        let config = PoolConfig {
            transactions_max: 16,
            bytes_max: BYTES_MAX,
            account_transactions_max: 7,
            account_gapped_max: 3,
            lifetime_ms: 1_000,
            ..PoolConfig::new(CHAIN_ID, 120_000_000, ordering_rule)
        };
        let mut world = World { pool: Pool::new(config), state: State::default(), now_ms: 0 };
        for step in steps {
            match step {
                Step::Add { key, nonce, tip, fee, input } => {
                    let draft = Draft { key, nonce, tip, fee: Some(fee), input: vec![0; input], gas: 50_000, ..Draft::default() };
                    world.add(&draft);
                }
                Step::Finalize { count, stranger, tell } => world.finalize(count, stranger, tell),
                Step::Misplace { which } => world.misplace(&which),
                Step::Wait { ms } => world.wait(ms),
                Step::Discard { which } => world.discard(&which),
            }
            world.pool.assert_consistent();
            world.check_selection(true);
        }
    }
}
