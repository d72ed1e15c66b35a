//! Waiting between attempts: doubling, bounded and jittered, so that a restarted node is not met by everybody at once.

use std::{future::pending, time::Duration};

use tokio::task::JoinSet;

/// First wait after a failure.
const FIRST: Duration = Duration::from_millis(100);

/// Longest wait: a restarted node is back in the mesh this soon after it listens again.
const LONGEST: Duration = Duration::from_secs(3);

/// The next wait of one repeated attempt.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) const fn new() -> Self {
        Self::up_to(LONGEST)
    }

    /// Makes one whose waits grow up to `longest`.
    pub(super) const fn up_to(longest: Duration) -> Self {
        Self { next: FIRST, longest }
    }

    /// Forgets the failures so far.
    pub(super) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// Returns how long to wait now: between half of the current bound and the whole, and doubles the bound.
    pub(super) fn wait(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.longest);
        jittered(bound)
    }
}

/// Returns a wait between half of `bound` and the whole.
pub(super) fn jittered(bound: Duration) -> Duration {
    rand::random_range(bound / 2..=bound)
}

/// Values that come back after a while.
pub(super) struct Timers<T>(JoinSet<T>);

impl<T: Send + 'static> Timers<T> {
    pub(super) fn new() -> Self {
        Self(JoinSet::new())
    }

    /// Makes [`Self::next`] return `value` after `wait`.
    pub(super) fn after(&mut self, wait: Duration, value: T) {
        self.0.spawn(async move {
            tokio::time::sleep(wait).await;
            value
        });
    }

    /// Returns the next value that is due; waits for ever while there is none. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> T {
        loop {
            match self.0.join_next().await {
                Some(Ok(value)) => return value,
                // A sleep cannot panic; it is cancelled only together with the runtime.
                Some(Err(_)) => {}
                None => pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_start_over() {
        let mut backoff = Backoff::new();
        let mut bound = FIRST;
        for _ in 0..10 {
            let wait = backoff.wait();
            assert!(wait >= bound / 2 && wait <= bound, "{wait:?} of {bound:?}");
            bound = (bound * 2).min(LONGEST);
        }
        assert!(backoff.wait() >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
    }

    #[tokio::test]
    async fn a_timer_that_is_due_overtakes_one_that_is_not() {
        let mut timers = Timers::new();
        timers.after(Duration::from_secs(3_600), 'b');
        timers.after(Duration::from_millis(1), 'a');
        assert_eq!(timers.next().await, 'a');
    }
}
