//! Deadlines of the machine's timers.

use std::collections::BTreeMap;

use baton_consensus::Timer;
use tokio::time::{Duration, Instant};

/// One deadline per timer; setting a timer again moves it.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<Timer, Instant>,
}

impl Timers {
    /// Sets or moves `timer` to fire after `after_ms` milliseconds.
    pub(crate) fn set(&mut self, timer: Timer, after_ms: u64) {
        self.deadlines.insert(timer, Instant::now() + Duration::from_millis(after_ms));
    }

    /// Drops the timers for which `keep` says no.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Timer) -> bool) {
        self.deadlines.retain(|timer, _| keep(timer));
    }

    /// Returns when the next timer fires, if one is set.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.values().min().copied()
    }

    /// Removes and returns the timers that are due, the earliest first.
    pub(crate) fn take_due(&mut self) -> Vec<Timer> {
        let now = Instant::now();
        let mut due: Vec<(Instant, Timer)> = self
            .deadlines
            .iter()
            .filter(|(_, deadline)| **deadline <= now)
            .map(|(timer, deadline)| (*deadline, *timer))
            .collect();
        due.sort_unstable();
        due.iter().for_each(|(_, timer)| {
            self.deadlines.remove(timer);
        });
        due.into_iter().map(|(_, timer)| timer).collect()
    }
}
