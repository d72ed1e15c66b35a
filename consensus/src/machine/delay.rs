//! Δ as this node sees it: how long one hop takes, with a margin and within bounds.
//!
//! A sample is the time from our own Finalize of a view to its finalization: votes that everybody sends at about the same
//! moment, whoever led and whatever it withheld, because the notarization that calls for them is spread by whoever has it. It
//! is the time of a quorum, so fewer than a third can neither make it longer than the slowest honest member takes, nor
//! shorter than the fastest third of the weight. (Where some honest members have given the view up and the votes of liars are
//! needed, these can draw a sample out; the upper bound is all that this gains them.)
//!
//! ```text
//!  8Δ ┤          ╭─╮  up at once, to 3/2 of the sample, or views would go on being lost for nothing
//!     │          │  ╲
//!     │          │    ╲__  down by a sixteenth of what is too much in each final view, since one quick round is no promise
//!   Δ ┤──╮       │       ╲___
//!     │   ╲______│           ╲___╭───────  back to Δ when a leader, or its votes, came later than we waited; and then
//! Δ/2 ┤                          │         not below it for 256 final views, 512 the next time, …
//!     └───────────────────────────────▶ final views
//! ```
//! Below the configured Δ there may be leaders that live far away, or whose blocks are big: a quorum does not show them, so
//! the first loss ends the attempt, each time for twice as long. A liar that comes late on purpose gains no more than the
//! configured Δ, which it would have had anyway.

/// The estimate stays at or below so many times the configured Δ.
const GROWTH_MAX: u64 = 8;

/// The estimate stays at or above the configured Δ divided by this.
const SHRINK_MAX: u64 = 2;

/// What is too much shrinks by one part in so many with each sample: to a tenth within 36 of them.
const SHRINK_STEPS: u64 = 16;

/// Samples for which the estimate stays at or above the configured Δ after it was too short once; doubles each time.
const PATIENCE: u64 = 256;

/// No patience is longer.
const PATIENCE_MAX: u64 = 65_536;

/// The estimate of one machine.
#[derive(Debug)]
pub(super) struct Delay {
    configured_ms: u64,
    estimate_ms: u64,
    /// Samples before the estimate may fall below what is configured.
    waits: u64,
    patience: u64,
}

impl Delay {
    pub(super) const fn new(configured_ms: u64) -> Self {
        Self { configured_ms, estimate_ms: configured_ms, waits: 0, patience: PATIENCE }
    }

    /// Goes on from what was observed in another committee, within the bounds. That it was quick is no promise of new members.
    pub(super) fn resume(&mut self, observed_ms: u64) {
        self.estimate_ms = observed_ms.clamp(self.configured_ms, self.configured_ms.saturating_mul(GROWTH_MAX));
    }

    /// Returns Δ for timers of the view that is entered now.
    pub(super) const fn estimate_ms(&self) -> u64 {
        self.estimate_ms
    }

    /// Takes the time of one hop to a quorum.
    pub(super) fn on_hop(&mut self, hop_ms: u64) {
        let shortest = if self.waits > 0 { 1 } else { SHRINK_MAX };
        self.waits = self.waits.saturating_sub(1);
        let least = self.configured_ms.div_ceil(shortest);
        let most = self.configured_ms.saturating_mul(GROWTH_MAX);
        let wanted = hop_ms.saturating_add(hop_ms.div_ceil(2)).clamp(least, most);
        let surplus = self.estimate_ms.saturating_sub(wanted);
        self.estimate_ms = self.estimate_ms.max(wanted).saturating_sub(surplus.div_ceil(SHRINK_STEPS));
    }

    /// Somebody came later than we waited: what is configured was promised to it.
    pub(super) fn on_late(&mut self) {
        if self.estimate_ms < self.configured_ms {
            self.estimate_ms = self.configured_ms;
            self.waits = self.patience;
            self.patience = self.patience.saturating_mul(2).min(PATIENCE_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(delay: &mut Delay, samples: u64, hop_ms: u64) -> u64 {
        (0..samples).for_each(|_| delay.on_hop(hop_ms));
        delay.estimate_ms()
    }

    #[test]
    fn it_grows_at_once_shrinks_slowly_and_stays_within_bounds() {
        let mut delay = Delay::new(100);
        assert_eq!(after(&mut delay, 1, 400), 600);
        // One quick round changes little, many do.
        assert_eq!(after(&mut delay, 1, 0), 565);
        assert!((90..110).contains(&after(&mut delay, 35, 0)));
        assert_eq!(after(&mut delay, 100, 0), 50);
        assert_eq!(after(&mut delay, 1, u64::MAX), 800);
        assert_eq!(after(&mut delay, 1_000, 60), 90);
        let mut tiny = Delay::new(1);
        assert_eq!((after(&mut tiny, 50, 0), after(&mut tiny, 1, 9)), (1, 8));
    }

    #[test]
    fn it_goes_on_from_what_was_observed_within_the_bounds() {
        let mut delay = Delay::new(100);
        for (observed_ms, resumed_ms) in [(0, 100), (70, 100), (400, 400), (u64::MAX, 800)] {
            delay.resume(observed_ms);
            assert_eq!(delay.estimate_ms(), resumed_ms);
        }
        assert!(after(&mut delay, 1, 0) < 800);
    }

    #[test]
    fn after_a_loss_it_stays_at_what_is_configured_for_longer_each_time() {
        let mut delay = Delay::new(100);
        let mut patience = PATIENCE;
        for _ in 0..10 {
            assert_eq!(after(&mut delay, 100, 0), 50);
            delay.on_late();
            assert_eq!(after(&mut delay, patience, 0), 100);
            patience = (2 * patience).min(PATIENCE_MAX);
            // More losses meanwhile tell nothing new.
            delay.on_late();
        }
        assert_eq!(patience, PATIENCE_MAX);
        // What was longer than configured is not cut short.
        assert_eq!(after(&mut delay, 1, 400), 600);
        delay.on_late();
        assert_eq!(delay.estimate_ms(), 600);
    }
}
