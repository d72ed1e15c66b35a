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
        let executable = self.accounts.iter().filter(|(_, account)| account.len() > account.gapped_len());
        let heads =
            executable.map(|(address, account)| (account.get(account.next()).unwrap().transaction.max_fee(), *address));
        assert_eq!(heads.collect::<BTreeSet<_>>(), self.heads);
        let mut authorities = BTreeMap::new();
        for authority in self.transactions().flat_map(Transaction::authorities) {
            *authorities.entry(*authority).or_insert(0) += 1;
        }
        assert_eq!(authorities, self.authorities);
        assert!(self.len() <= self.config.transactions_max && self.bytes <= self.config.bytes_max);
    }

    fn contents(&self) -> Vec<(TxHash, u64, u64)> {
        let all = self.accounts.values().flat_map(Account::iter);
        all.map(|(_, queued)| (*queued.transaction.hash(), queued.added_ms, queued.arrival)).collect()
    }
}

const BYTES_MAX: usize = 3_000;

/// What the dearest run of an account's bound costs.
const BALANCE_MAX: u64 = 7 * 50_000 * 17;

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
    /// Execution refuses a transaction of ours at its turn.
    Refuse {
        which: prop::sample::Index,
    },
    /// An account gains or loses money.
    Fund {
        key: u64,
        balance: u64,
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
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Refuse { which }),
        2 => (1u64..6, prop_oneof![0..BALANCE_MAX / 10, 0..BALANCE_MAX])
            .prop_map(|(key, balance)| Step::Fund { key, balance }),
        1 => (0u64..700).prop_map(|ms| Step::Wait { ms }),
        1 => any::<prop::sample::Index>().prop_map(|which| Step::Discard { which }),
    ]
}

/// The nonces that are executable by the definition: in the pool, with all between them and the next one, and all together
/// covered by the balance.
fn executable(pool: &Pool, state: &State) -> BTreeSet<(Address, u64)> {
    let held: BTreeMap<_, _> = pool.transactions().map(|tx| ((tx.sender(), tx.nonce()), pool.cost(tx))).collect();
    let is_covered = |sender: Address, nonce: u64| {
        let costs: Option<Vec<_>> = (state.nonce(sender)..=nonce).map(|n| held.get(&(sender, n)).copied()).collect();
        let has_all_its_money = pool.config.executor == ExecutorKind::None;
        costs.is_some_and(|costs| has_all_its_money || costs.into_iter().sum::<U256>() <= state.balance(sender))
    };
    let all = held.keys().copied();
    all.filter(|(sender, nonce)| state.nonce(*sender) <= *nonce && is_covered(*sender, *nonce)).collect()
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

    /// Tells the pool what final state says now of these accounts.
    fn tell(&mut self, touched: &[Address]) {
        self.pool.on_final(&Settled { touched, refused: &[], base_fee: 0 }, &self.state);
    }

    fn finalize(&mut self, count: usize, stranger: u64, tell: bool) {
        let none = BTreeMap::new();
        let block = self.pool.select(&Selection { count_max: count, ..Selection::everything(&none) }, &self.state);
        let mut nonces = BTreeMap::new();
        for tx in &block {
            nonces.insert(tx.sender(), tx.nonce() + 1);
            // It spends all that it can.
            let left = self.state.balance(tx.sender()) - self.pool.cost(tx);
            self.state.balances.insert(tx.sender(), left);
        }
        if stranger > 0 {
            let account = crate::testing::account(1);
            let next = nonces.get(&account).copied().unwrap_or_else(|| self.state.nonce(account));
            nonces.insert(account, next + stranger);
        }
        self.state.nonces.extend(&nonces);
        let touched: Vec<_> = nonces.keys().copied().collect();
        if tell {
            let expected: Vec<_> = self
                .pool
                .transactions()
                .filter(|tx| nonces.get(&tx.sender()).is_none_or(|next| tx.nonce() >= *next))
                .filter(|tx| !block.contains(tx))
                .cloned()
                .collect();
            self.tell(&touched);
            // What a block took was covered beside those before it, so what follows still is.
            let left: Vec<_> = self.pool.transactions().cloned().collect();
            let is_unfunded =
                |tx: &Transaction| touched.contains(&tx.sender()) && self.pool.fate(tx.hash()) == Some(Fate::Unfunded);
            assert!(expected.iter().all(|tx| left.contains(tx) || is_unfunded(tx)), "more than the used nonces left");
            assert!(left.iter().all(|tx| expected.contains(tx)), "a used nonce is still here");
        } else {
            // The ledger is ahead of the pool until the next block; catch up as the driver does, with what changed since.
            self.check_selection(false);
            self.tell(&touched);
        }
    }

    fn refuse(&mut self, which: &prop::sample::Index) {
        let all: Vec<_> = self.pool.transactions().cloned().collect();
        if all.is_empty() {
            return;
        }
        let hash = *which.get(&all).hash();
        self.pool.on_final(&Settled { touched: &[], refused: &[hash], base_fee: 0 }, &self.state);
        assert!(!self.pool.contains(&hash));
    }

    fn fund(&mut self, key: u64, balance: u64) {
        let account = crate::testing::account(key);
        let before: Vec<_> = self.pool.transactions().cloned().collect();
        self.state.balances.insert(account, U256::from(balance));
        self.tell(&[account]);
        // Only what alone costs too much leaves, and of the others what finds no place beyond the run.
        let gapped_max = self.pool.config.account_gapped_max;
        let (mut left, mut stayed) = (0, 0);
        for tx in before.iter().filter(|tx| !self.pool.contains(tx.hash())) {
            assert_eq!((tx.sender(), self.pool.fate(tx.hash())), (account, Some(Fate::Unfunded)));
            left += usize::from(self.pool.cost(tx) <= U256::from(balance));
        }
        stayed += self.pool.accounts.get(&account).map_or(0, Account::gapped_len);
        assert!(left == 0 || stayed == gapped_max, "{left} left that had a place beside {stayed}");
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
            Selection { base_fee: 9, ..Selection::everything(&none) },
            Selection { skip: &|hash| hash[0].is_multiple_of(3), ..Selection::everything(&none) },
        ] {
            let selected = self.pool.select(&bounded, &self.state);
            assert!(obeys(rule, &selected) && consecutive_nonces(&selected));
            assert!(selected.len() <= bounded.count_max);
            assert!(selected.iter().map(Transaction::gas_limit).sum::<u64>() <= bounded.gas_max);
            assert!(selected.iter().map(|tx| tx.raw().len()).sum::<usize>() <= bounded.bytes_max);
            assert!(
                selected.iter().all(|tx| !(bounded.skip)(tx.hash()) && tx.max_fee() >= u128::from(bounded.base_fee))
            );
            let mut next = self.state.clone();
            for tx in &selected {
                assert_eq!(next.nonce(tx.sender()), tx.nonce(), "a selected transaction is not next");
                next.nonces.insert(tx.sender(), tx.nonce() + 1);
            }
        }
        for (sender, pending) in
            self.state.nonces.keys().map(|sender| (sender, self.pool.pending_nonce(*sender, self.state.nonce(*sender))))
        {
            assert!(!executable.contains(&(*sender, pending)));
            assert!((self.state.nonce(*sender)..pending).all(|nonce| executable.contains(&(*sender, nonce))));
        }
    }
}

impl World {
    fn new(ordering_rule: OrderingRule, executor: ExecutorKind) -> Self {
        let config = PoolConfig {
            transactions_max: 16,
            bytes_max: BYTES_MAX,
            account_transactions_max: 7,
            account_gapped_max: 3,
            lifetime_ms: 1_000,
            executor,
            ..PoolConfig::new(CHAIN_ID, 120_000_000, ordering_rule)
        };
        Self { pool: Pool::new(config), state: State::default(), now_ms: 0 }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Add { key, nonce, tip, fee, input } => {
                let (key, nonce, tip, fee) = (*key, *nonce, *tip, Some(*fee));
                let draft = Draft { key, nonce, tip, fee, input: vec![0; *input], gas: 50_000, ..Draft::default() };
                self.add(&draft);
            }
            Step::Finalize { count, stranger, tell } => self.finalize(*count, *stranger, *tell),
            Step::Refuse { which } => self.refuse(which),
            Step::Fund { key, balance } => self.fund(*key, *balance),
            Step::Wait { ms } => self.wait(*ms),
            Step::Discard { which } => self.discard(which),
        }
        self.pool.assert_consistent();
        self.check_selection(true);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_history_keeps_the_laws(
        steps in prop::collection::vec(step(), 1..120),
        first_seen in any::<bool>(),
        charges in any::<bool>(),
    ) {
        let ordering_rule = if first_seen { OrderingRule::FirstSeen } else { OrderingRule::PriorityFee };
        let executor = if charges { ExecutorKind::Embedded } else { ExecutorKind::None };
        let mut world = World::new(ordering_rule, executor);
        for step in &steps {
            world.take(step);
        }
        // Equal calls give equal pools.
        let mut again = World::new(ordering_rule, executor);
        for step in &steps {
            again.take(step);
        }
        prop_assert_eq!(format!("{:?}", again.pool), format!("{:?}", world.pool));
    }
}
