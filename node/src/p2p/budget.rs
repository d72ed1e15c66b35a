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
}

impl AskBudget {
    pub(super) fn new(now: Instant) -> Self {
        let introductions = Bucket::new(INTRODUCTIONS_PER_SECOND, INTRODUCTIONS_BURST, now);
        Self {
            sync: Bucket::new(QUESTIONS_PER_SECOND, QUESTIONS_BURST, now),
            prove: introductions,
            directory: introductions,
        }
    }
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
