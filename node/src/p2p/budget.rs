//! How much a peer may send: a rate with room for a burst.

use std::time::{Duration, Instant};

use baton_proto::limits::FRAME_BYTES_MAX;

/// A rate per second and how much may come at once. It fills with time, and starts full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    per_unit: Duration,
    burst: Duration,
    /// When all that was taken is paid for.
    paid: Instant,
}

/// What became of a request against its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Within it.
    Within,
    /// Above it: the peer is told that we are busy.
    Over,
    /// Above twice the burst: no honest peer goes on asking when it is told so.
    FarOver,
}

impl Bucket {
    /// Makes a full bucket of `burst` units that gains `per_second`.
    pub(super) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let per_unit = Duration::from_secs(1) / per_second.max(1);
        Self { per_unit, burst: per_unit * burst, paid: now }
    }

    /// Takes `units`, and returns how long to wait until that is within the budget.
    pub(super) fn take(&mut self, units: u32, now: Instant) -> Duration {
        self.paid = self.paid.max(now) + self.per_unit * units;
        (self.paid - now).saturating_sub(self.burst)
    }

    /// Takes one unit if there is one; beyond that, units are lent up to another burst.
    pub(super) fn try_take(&mut self, now: Instant) -> Taken {
        let paid = self.paid.max(now) + self.per_unit;
        let owed = paid - now;
        if owed > self.burst * 2 {
            return Taken::FarOver;
        }
        self.paid = paid;
        if owed > self.burst { Taken::Over } else { Taken::Within }
    }

    /// Takes `units` if they are all there, else none; returns whether they were.
    pub(super) fn try_take_all(&mut self, units: u32, now: Instant) -> bool {
        let is_within = self.has(units, now);
        if is_within {
            self.take(units, now);
        }
        is_within
    }

    /// Returns whether `units` are there.
    fn has(&self, units: u32, now: Instant) -> bool {
        self.paid.max(now) + self.per_unit * units - now <= self.burst
    }
}

/// Most messages of one peer per second: ten views with some ten messages each (proposal, three kinds of vote, as many
/// certificates, questions) make 100; a chain that does not pace itself has 500 views at most.
pub(super) const MESSAGES_PER_SECOND: u32 = 8_192;

/// Most KiB of one peer per second: a leader of every view sends ten of the largest proposals, 22 MiB.
const KIB_PER_SECOND: u32 = 32 * 1024;

/// Most KiB at once: the four proposals that a sender's queue holds.
const KIB_BURST: u32 = 4 * (FRAME_BYTES_MAX as u32).div_ceil(1024);

/// What one peer may say on its consensus stream. Above it we read slower, and the sender's own queue takes the rest.
#[derive(Debug)]
pub(super) struct StreamBudget {
    messages: Bucket,
    kib: Bucket,
}

impl StreamBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            messages: Bucket::new(MESSAGES_PER_SECOND, MESSAGES_PER_SECOND, now),
            kib: Bucket::new(KIB_PER_SECOND, KIB_BURST, now),
        }
    }

    /// Takes one message of `bytes`, and returns how long to wait before the next is read.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> Duration {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        self.messages.take(1, now).max(self.kib.take(kib, now))
    }
}

/// Most questions of one peer per second, and at once: catching up asks for 256 blocks at a time, sixteen times in
/// parallel, and a voter asks for the bodies of every view.
const QUESTIONS_PER_SECOND: u32 = 256;
const QUESTIONS_BURST: u32 = 512;

/// Most transactions of one peer per second, gossiped or handed over: recovering their senders, 40 µs each, takes a third of
/// a core. At once as many as both of a node's queues towards us hold, which it fills when it comes back with a full pool.
const TRANSACTIONS_PER_SECOND: u32 = 8_192;
const TRANSACTIONS_BURST: u32 = 2 * 8_192;

/// How many transactions of a member one of a stranger counts for, so that one stranger takes half of what they share.
const STRANGERS_WEIGHT: u32 = 4;

/// Most transactions of all strangers together, for who has one identity can have many: a sixth of a core. At once as many
/// as one queue of a follower holds.
const STRANGERS_TRANSACTIONS_PER_SECOND: u32 = 4_096;
const STRANGERS_TRANSACTIONS_BURST: u32 = 8_192;

/// Transactions of each stranger that do not count against those, for one that is busy must not silence a follower with a
/// few users, and those of all strangers together, for the same reason as above. At once as many as a message of the largest
/// transactions or a handful of small messages hold.
const STRANGERS_OWN_PER_SECOND: u32 = 32;
const STRANGERS_OWN_BURST: u32 = 128;
const STRANGERS_OWN_TOGETHER_PER_SECOND: u32 = 2_048;
const STRANGERS_OWN_TOGETHER_BURST: u32 = 4_096;

/// What all peers that have not proven to be members may have us do together.
#[derive(Debug)]
pub(super) struct StrangersBudget {
    transactions: Bucket,
    own: Bucket,
}

impl StrangersBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            transactions: Bucket::new(STRANGERS_TRANSACTIONS_PER_SECOND, STRANGERS_TRANSACTIONS_BURST, now),
            own: Bucket::new(STRANGERS_OWN_TOGETHER_PER_SECOND, STRANGERS_OWN_TOGETHER_BURST, now),
        }
    }
}

/// Most challenges, and most questions for the directory, of one peer per second and at once: each is asked once for a
/// connection, and again after seconds where the answer was lost.
const INTRODUCTIONS_PER_SECOND: u32 = 1;
const INTRODUCTIONS_BURST: u32 = 16;

/// What one peer may ask of us.
#[derive(Debug)]
pub(super) struct AskBudget {
    pub(super) sync: Bucket,
    pub(super) prove: Bucket,
    pub(super) directory: Bucket,
    transactions: Bucket,
    /// As long as it is a stranger.
    own: Bucket,
}

impl AskBudget {
    pub(super) fn new(now: Instant) -> Self {
        let introductions = Bucket::new(INTRODUCTIONS_PER_SECOND, INTRODUCTIONS_BURST, now);
        Self {
            sync: Bucket::new(QUESTIONS_PER_SECOND, QUESTIONS_BURST, now),
            prove: introductions,
            directory: introductions,
            transactions: Bucket::new(TRANSACTIONS_PER_SECOND, TRANSACTIONS_BURST, now),
            own: Bucket::new(STRANGERS_OWN_PER_SECOND, STRANGERS_OWN_BURST, now),
        }
    }

    /// Takes a message of `count` transactions, a stranger's out of its own few if they suffice, else out of what
    /// `strangers` share; returns whether it is within the budget. Above it nobody is charged: a peer hands on what its
    /// users and other peers send.
    pub(super) fn try_take_transactions(
        &mut self,
        count: usize,
        strangers: Option<&mut StrangersBudget>,
        now: Instant,
    ) -> bool {
        // What holds none has to be looked at too.
        let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
        match strangers {
            None => self.transactions.try_take_all(count, now),
            Some(strangers) => {
                let weighed = count.saturating_mul(STRANGERS_WEIGHT);
                try_take_both((&mut self.own, count), (&mut strangers.own, count), now)
                    || try_take_both((&mut self.transactions, weighed), (&mut strangers.transactions, count), now)
            }
        }
    }
}

/// Takes from both what is asked of each, or from neither.
fn try_take_both(one: (&mut Bucket, u32), other: (&mut Bucket, u32), now: Instant) -> bool {
    other.0.has(other.1, now) && one.0.try_take_all(one.1, now) && other.0.try_take_all(other.1, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_free_and_then_the_rate_counts() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        assert_eq!(bucket.take(5, start), Duration::ZERO);
        assert_eq!(bucket.take(1, start), SECOND / 10);
        assert_eq!(bucket.take(9, start), SECOND);
        // All is paid for and the bucket full again.
        assert_eq!(bucket.take(5, start + 10 * SECOND), Duration::ZERO);
        assert_eq!(bucket.take(10, start + 10 * SECOND), SECOND);
    }

    #[test]
    fn questions_are_refused_then_a_fault_then_taken_again() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, 5, start);
        let taken: Vec<Taken> = (0..12).map(|_| bucket.try_take(start)).collect();
        assert_eq!(taken[..5], [Taken::Within; 5]);
        assert_eq!(taken[5..10], [Taken::Over; 5]);
        assert_eq!(taken[10..], [Taken::FarOver; 2]);
        assert_eq!(bucket.try_take(start + SECOND), Taken::Within);
    }

    #[test]
    fn transactions_above_the_budget_are_refused_and_cost_nothing() {
        let start = Instant::now();
        let (mut asks, mut strangers) = (AskBudget::new(start), StrangersBudget::new(start));
        let burst = TRANSACTIONS_BURST as usize;
        assert!(asks.try_take_transactions(burst, None, start));
        for _ in 0..1_000 {
            assert!(!asks.try_take_transactions(1_000, None, start));
        }
        // So whoever sends twice the rate gets half of it through.
        assert!(asks.try_take_transactions(TRANSACTIONS_PER_SECOND as usize, None, start + SECOND));
        assert!(!asks.try_take_transactions(0, None, start + SECOND), "an empty message is one too");

        // One stranger has a fourth of that, and leaves others as much; many have no more than two, but for a few of each.
        let (share, few) = (burst / STRANGERS_WEIGHT as usize, STRANGERS_OWN_BURST as usize);
        let mut take = |asks: &mut AskBudget, count| asks.try_take_transactions(count, Some(&mut strangers), start);
        let mut one = AskBudget::new(start);
        assert!(!take(&mut one, share + 1) && take(&mut one, share) && !take(&mut one, few + 1));
        let mut two = AskBudget::new(start);
        assert!(take(&mut two, share));
        let mut quiet = AskBudget::new(start);
        assert!(!take(&mut quiet, few + 1) && take(&mut quiet, few) && !take(&mut quiet, 1));
        // Identities cost nothing, so there is an end to that too.
        let others = (0..100).filter(|_| take(&mut AskBudget::new(start), few)).count();
        assert_eq!(others, STRANGERS_OWN_TOGETHER_BURST as usize / few - 1);
        assert!(AskBudget::new(start).try_take_transactions(burst, None, start), "members do not share with them");
    }

    #[test]
    fn honest_members_are_never_slowed() {
        // Every view led by one member with the largest proposal, ten a second, beside a hundred small messages.
        let start = Instant::now();
        let mut budget = StreamBudget::new(start);
        for view in 0..100_u32 {
            let now = start + SECOND / 10 * view;
            assert_eq!(budget.take(FRAME_BYTES_MAX, now), Duration::ZERO, "view {view}");
            for _ in 0..10 {
                assert_eq!(budget.take(300, now), Duration::ZERO, "view {view}");
            }
        }
    }
}
