//! Who leads which view, and who posts which batch: seeded smooth weighted round robin, integers only.
//!
//! Anyone recomputes both from L1: committee, randomness, chain ids and registry. Source: protocol section 3; Solidity
//! has the same in `SequencerRegistry.leaderSchedule`, and `contracts/test/vectors/schedule.json` holds both to it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use baton_proto::{Domain, MemberIndex, View};

use crate::Committee;

/// Turns that are computed and kept together.
const CHUNK_TURNS: u64 = 1_024;

/// Chunks of turns kept at hand: the running one, its neighbours, and one that somebody looks back at.
const CHUNKS_MAX: usize = 4;

/// Remembered states to start from. At 128 members one has 2 KiB, so they stay below 1 MiB; when they are full every
/// second one goes and the distance between them doubles.
const CHECKPOINTS_MAX: usize = 512;

/// The turns of one epoch's members; a cheap handle, and every clone shares the cache.
///
/// In any prefix of turns a member has less than two turns more than its exact share, and less than 2 + H(n) fewer,
/// with H(n) = 1 + 1/2 + … + 1/n.
#[derive(Clone)]
pub struct Schedule {
    turns: Arc<Mutex<Turns>>,
}

impl Schedule {
    /// Returns the schedule of leaders: turn `v` leads view `v`. `randomness` is R(e) of protocol section 2.
    #[must_use]
    pub fn leaders(domain: &Domain, committee: &Committee, randomness: B256) -> Self {
        Self::tagged("BATON_LEADER_V1", domain, committee, randomness)
    }

    /// Returns the schedule of posters: turn `k + 1` posts batch `k`.
    #[must_use]
    pub fn posters(domain: &Domain, committee: &Committee, randomness: B256) -> Self {
        Self::tagged("BATON_POST_V1", domain, committee, randomness)
    }

    fn tagged(tag: &str, domain: &Domain, committee: &Committee, randomness: B256) -> Self {
        let seed = seed(tag, domain, committee, randomness);
        Self { turns: Arc::new(Mutex::new(Turns::new(seed, committee))) }
    }

    /// Returns the member that leads `view`; views start at 1, and view 0 (the root, which nobody leads) gives view 1's.
    ///
    /// `O(members)` for each view from the nearest remembered state on; a running epoch asks for neighbours. Never ask
    /// for a view that only a single peer claims: its number can be anything.
    #[must_use]
    pub fn leader(&self, view: View) -> MemberIndex {
        self.turn(view.get())
    }

    /// Returns the member whose turn number `n` is, from 1.
    #[must_use]
    pub fn turn(&self, n: u64) -> MemberIndex {
        // The cache is consistent between statements, so a panic elsewhere while it was locked does it no harm.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner).turn(n)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").finish_non_exhaustive()
    }
}

fn seed(tag: &str, domain: &Domain, committee: &Committee, randomness: B256) -> B256 {
    let owners: Vec<Address> = committee.members().iter().map(|member| member.owner).collect();
    let weights: Vec<u64> = committee.members().iter().map(|member| member.weight.get()).collect();
    let members = keccak256((owners, weights).abi_encode_params());
    let fields = (
        tag.to_owned(),
        U256::from(domain.l1_chain_id.get()),
        domain.registry,
        U256::from(domain.l2_chain_id.get()),
        U256::from(committee.epoch().get()),
        randomness,
        members,
    );
    keccak256(fields.abi_encode_params())
}

/// The round robin with its bounded memory.
struct Turns {
    weights: Vec<i128>,
    total: i128,
    /// Priorities before chunk number `key`.
    checkpoints: BTreeMap<u64, Vec<i128>>,
    /// Chunks between two checkpoints, a power of two.
    spacing: u64,
    /// Recent chunks with their numbers, the latest used last.
    chunks: VecDeque<(u64, Vec<MemberIndex>)>,
}

impl Turns {
    fn new(seed: B256, committee: &Committee) -> Self {
        let total = committee.total_weight().get();
        let start = committee.indices().map(|index| i128::from(first_priority(seed, index, total))).collect();
        Self {
            weights: committee.members().iter().map(|member| i128::from(member.weight.get())).collect(),
            total: i128::from(total),
            checkpoints: BTreeMap::from([(0, start)]),
            spacing: 1,
            chunks: VecDeque::new(),
        }
    }

    fn turn(&mut self, n: u64) -> MemberIndex {
        let place = n.saturating_sub(1);
        let (chunk, offset) = (place / CHUNK_TURNS, place % CHUNK_TURNS);
        let leaders = match self.chunks.iter().position(|(number, _)| *number == chunk) {
            Some(at) => self.chunks.remove(at).map(|(_, leaders)| leaders).unwrap_or_default(),
            None => self.compute(chunk),
        };
        let leader = usize::try_from(offset).ok().and_then(|offset| leaders.get(offset)).copied();
        self.chunks.push_back((chunk, leaders));
        if self.chunks.len() > CHUNKS_MAX {
            self.chunks.pop_front();
        }
        leader.expect("a chunk holds CHUNK_TURNS turns and the offset is a remainder of it")
    }

    fn compute(&mut self, chunk: u64) -> Vec<MemberIndex> {
        let nearest = self.checkpoints.range(..=chunk).next_back().map(|(at, state)| (*at, state.clone()));
        let (mut at, mut state) = nearest.expect("the checkpoint of chunk 0 is never dropped");
        loop {
            let mut leaders = Vec::new();
            for _ in 0..CHUNK_TURNS {
                leaders.push(self.step(&mut state));
            }
            if at == chunk {
                return leaders;
            }
            at = at.saturating_add(1);
            if at.is_multiple_of(self.spacing) {
                self.remember(at, &state);
            }
        }
    }

    fn remember(&mut self, at: u64, state: &[i128]) {
        self.checkpoints.entry(at).or_insert_with(|| state.to_vec());
        if self.checkpoints.len() > CHECKPOINTS_MAX {
            self.spacing = self.spacing.saturating_mul(2);
            let spacing = self.spacing;
            self.checkpoints.retain(|at, _| at.is_multiple_of(spacing));
        }
    }

    /// One turn: everybody's priority grows by its weight, the highest leads (ties to the lowest index) and pays the
    /// total. Priorities stay within a few totals of zero, far from the ends of an `i128`, so nothing saturates.
    fn step(&self, state: &mut [i128]) -> MemberIndex {
        let mut best: Option<(i128, u8)> = None;
        for ((priority, weight), index) in state.iter_mut().zip(&self.weights).zip(0..) {
            *priority = priority.saturating_add(*weight);
            if best.is_none_or(|(highest, _)| *priority > highest) {
                best = Some((*priority, index));
            }
        }
        let leader = MemberIndex::new(best.map_or(0, |(_, index)| index));
        if let Some(priority) = state.get_mut(leader.as_usize()) {
            *priority = priority.saturating_sub(self.total);
        }
        leader
    }
}

/// Returns a member's priority before turn 1, uniform in `[0, total)`.
///
/// Words come from `keccak256(abi.encode(seed, i, k))` for k = 0, 1, …, four big-endian words each; those in the last,
/// incomplete multiple of `total` are rejected, so that no remainder is likelier than another.
fn first_priority(seed: B256, index: MemberIndex, total: u64) -> u64 {
    let range = 1_u128 << 64;
    let total_wide = u128::from(total.max(1));
    // At most 2^64, which an honest u64 word never reaches: then nothing is rejected.
    let limit = range.saturating_sub(range.checked_rem(total_wide).unwrap_or(0));
    for block in 0_u64.. {
        let hash = keccak256((seed, U256::from(index.get()), U256::from(block)).abi_encode_params());
        for word in hash.as_slice().chunks_exact(8) {
            let word = word.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
            if u128::from(word) < limit {
                return word.checked_rem(total.max(1)).unwrap_or(0);
            }
        }
    }
    // Not reached: a word is rejected with a chance below one half (total < 2^63).
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CommitteeMember;
    use baton_proto::{BlsPublicKey, Epoch, L1ChainId, L2ChainId, Weight};

    fn domain() -> Domain {
        Domain {
            l1_chain_id: L1ChainId::new(31_337),
            registry: Address::repeat_byte(0x52),
            l2_chain_id: L2ChainId::new(42_069),
        }
    }

    fn committee(weights: &[u64]) -> Committee {
        let member = |(weight, number): (&u64, u8)| CommitteeMember {
            owner: Address::repeat_byte(number),
            fee_recipient: Address::ZERO,
            weight: Weight::new(*weight),
            key: BlsPublicKey::new([number; 256]),
        };
        Committee::new(Epoch::new(2), weights.iter().zip(1..).map(member).collect()).unwrap()
    }

    /// The largest surplus and deficit, in units of turns times total weight, over every prefix of `turns`.
    fn worst(weights: &[u64], randomness: B256, turns: u64) -> (i128, i128) {
        let committee = committee(weights);
        let schedule = Schedule::leaders(&domain(), &committee, randomness);
        let total = i128::from(committee.total_weight().get());
        let mut balance = vec![0_i128; weights.len()];
        let (mut surplus, mut deficit) = (0, 0);
        for turn in 1..=turns {
            let leader = schedule.turn(turn).as_usize();
            for (index, (balance, weight)) in balance.iter_mut().zip(weights).enumerate() {
                *balance += if index == leader { total } else { 0 } - i128::from(*weight);
                surplus = surplus.max(*balance);
                deficit = deficit.max(-*balance);
            }
        }
        (surplus, deficit)
    }

    #[test]
    fn devnet_members_are_within_two_turns_of_their_share_for_a_thousand_seeds() {
        let weights = [32, 28, 22, 18].map(|stake| stake * 1_000_000);
        let two = 2 * i128::from(weights.iter().sum::<u64>());
        for seed in 0..1_000_u64 {
            let (surplus, deficit) = worst(&weights, keccak256(seed.to_be_bytes()), 4_096);
            assert!(surplus < two && deficit < two, "seed {seed}: surplus {surplus}, deficit {deficit}, two {two}");
        }
    }

    #[test]
    fn any_committee_keeps_the_bound_of_the_protocol() {
        let mut seed = keccak256("bound");
        let mut draw = |below: u64| {
            seed = keccak256(seed);
            u64::from_be_bytes(seed[..8].try_into().unwrap()) % below
        };
        for case in 0..48_u64 {
            let members = [1, 2, 3, 5, 7, 16, 33, 64, 100, 128][usize::try_from(case % 10).unwrap()];
            let spread = [1, 3, 1_000, 1_000_000_007][usize::try_from(case % 4).unwrap()];
            let weights: Vec<u64> = (0..members).map(|_| 1 + draw(spread)).collect();
            let total = i128::from(weights.iter().sum::<u64>());
            // 2 + H(n) in units of a 2^-32 turn, rounded down: a bound that is never too generous.
            let harmonic: i128 = (1..=members).map(|n| (1_i128 << 32) / n).sum();
            let bound_below = (2_i128 << 32) + harmonic;
            let (surplus, deficit) = worst(&weights, keccak256(case.to_be_bytes()), 4_096);
            assert!(surplus < 2 * total, "case {case}: surplus {surplus} of {total}, weights {weights:?}");
            assert!(deficit << 32 < bound_below * total, "case {case}: deficit {deficit} of {total}");
        }
    }

    #[test]
    fn any_turn_is_answered_the_same_however_one_gets_there() {
        let committee = committee(&[5, 3, 2]);
        let forward = Schedule::leaders(&domain(), &committee, B256::repeat_byte(7));
        let direct = Schedule::leaders(&domain(), &committee, B256::repeat_byte(7));
        let turns: Vec<MemberIndex> = (1..=20_000).map(|n| forward.turn(n)).collect();
        for n in [19_999, 1, 1_024, 1_025, 4_096, 4_097, 12_345, 2, 20_000] {
            assert_eq!(direct.turn(n), turns[usize::try_from(n).unwrap() - 1], "turn {n}");
        }
        assert_eq!(forward.leader(View::ZERO), turns[0]);
    }

    #[test]
    fn memory_stays_bounded_over_a_long_epoch() {
        let mut turns = Turns::new(B256::repeat_byte(1), &committee(&[2, 1]));
        let last = turns.turn(CHUNK_TURNS * 2_000);
        assert!(turns.checkpoints.len() <= CHECKPOINTS_MAX && turns.chunks.len() <= CHUNKS_MAX);
        assert!(turns.spacing > 1, "the run was long enough to thin the checkpoints");
        let early = turns.turn(3);
        let mut fresh = Turns::new(B256::repeat_byte(1), &committee(&[2, 1]));
        assert_eq!((fresh.turn(3), fresh.turn(CHUNK_TURNS * 2_000)), (early, last));
    }

    #[test]
    fn leaders_posters_epochs_and_randomness_have_schedules_of_their_own() {
        let committee = committee(&[5, 4, 3, 2, 1]);
        let list = |schedule: Schedule| (1..=64).map(|n| schedule.turn(n).get()).collect::<Vec<u8>>();
        let leaders = list(Schedule::leaders(&domain(), &committee, B256::ZERO));
        let later = Committee::new(Epoch::new(3), committee.members().to_vec()).unwrap();
        assert_ne!(leaders, list(Schedule::posters(&domain(), &committee, B256::ZERO)));
        assert_ne!(leaders, list(Schedule::leaders(&domain(), &committee, B256::repeat_byte(1))));
        assert_ne!(leaders, list(Schedule::leaders(&domain(), &later, B256::ZERO)));
        assert_eq!(leaders, list(Schedule::leaders(&domain(), &committee, B256::ZERO)));
    }
}
