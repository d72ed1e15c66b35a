//! Percentiles of what was measured.

use std::time::Duration;

/// Durations in ascending order.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<Duration>);

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut sorted: Vec<Duration> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self(sorted)
    }
}

impl Samples {
    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the smallest sample that at least `percent` of all samples do not exceed; zero of none.
    #[must_use]
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }

    /// Returns the samples, ascending.
    #[must_use]
    pub fn into_durations(self) -> Vec<Duration> {
        self.0
    }

    /// Returns p50, p90 and p99 in milliseconds, as the tables show them.
    #[must_use]
    pub fn spread_ms(&self) -> String {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| millis(self.percentile(percent)));
        format!("{p50} / {p90} / {p99}")
    }
}

/// Milliseconds with as many digits as mean something.
#[must_use]
pub fn millis(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1_000.0;
    match millis {
        ..10.0 => format!("{millis:.2}"),
        10.0..100.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_sample_that_so_many_do_not_exceed() {
        let samples: Samples = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!([50, 90, 99, 100].map(|percent| samples.percentile(percent).as_millis()), [100, 180, 198, 200]);
        assert_eq!(Samples::from_iter([Duration::from_millis(7)]).percentile(1).as_millis(), 7);
        assert_eq!(Samples::default().percentile(50), Duration::ZERO);
    }
}
