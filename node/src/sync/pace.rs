//! How fast catching up goes, and how long it will take.

use std::{fmt, time::Duration};

use baton_proto::Height;
use tokio::time::Instant;

/// Pause between two lines in the log.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Measures one run of catching up.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: (Instant, Height),
    line: (Instant, Height),
}

/// What the log says about a run of catching up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Our final height.
    pub current: Height,
    /// The highest height that is proven to be final.
    pub target: Height,
    /// Blocks a second since the line before.
    pub blocks_per_s: f64,
    /// Time until the target at this rate; `None` while nothing moves.
    pub eta: Option<Duration>,
}

impl Pace {
    /// Starts to measure at the height `head`.
    #[must_use]
    pub const fn new(head: Height, now: Instant) -> Self {
        Self { began: (now, head), line: (now, head) }
    }

    /// Returns what to log now, if a line is due.
    pub fn line(&mut self, current: Height, target: Height, now: Instant) -> Option<Line> {
        let (since, from) = self.line;
        if now.saturating_duration_since(since) < LINE_EVERY {
            return None;
        }
        self.line = (now, current);
        Some(line((since, from), current, target, now))
    }

    /// Returns the figures of the whole run.
    #[must_use]
    pub fn total(&self, current: Height, now: Instant) -> Line {
        line(self.began, current, current, now)
    }
}

fn line((since, from): (Instant, Height), current: Height, target: Height, now: Instant) -> Line {
    let seconds = now.saturating_duration_since(since).as_secs_f64().max(f64::EPSILON);
    let blocks_per_s = current.get().saturating_sub(from.get()) as f64 / seconds;
    let missing = target.get().saturating_sub(current.get()) as f64;
    let eta =
        (blocks_per_s > 0.0).then(|| Duration::try_from_secs_f64(missing / blocks_per_s).unwrap_or(Duration::MAX));
    Line { current, target, blocks_per_s, eta }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { current, target, blocks_per_s, eta } = self;
        let percent = 100.0 * current.get() as f64 / (target.get().max(1)) as f64;
        write!(f, "{current}/{target} ({percent:.1} %), {blocks_per_s:.0} blocks/s, ")?;
        match eta {
            Some(eta) => write!(f, "{} s left", eta.as_secs()),
            None => write!(f, "not moving"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_we_are_how_fast_and_how_long_still() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let height = Height::new;
        let mut pace = Pace::new(height(1_000), start);
        assert_eq!(pace.line(height(1_500), height(9_000), at(4)), None, "not due yet");
        let line = pace.line(height(2_000), height(9_000), at(5)).unwrap();
        assert_eq!(line.to_string(), "2000/9000 (22.2 %), 200 blocks/s, 35 s left");
        // Each line is about the time since the one before.
        let line = pace.line(height(6_000), height(9_000), at(15)).unwrap();
        assert_eq!(line.to_string(), "6000/9000 (66.7 %), 400 blocks/s, 7 s left");
        let stuck = pace.line(height(6_000), height(9_000), at(25)).unwrap();
        assert_eq!(stuck.to_string(), "6000/9000 (66.7 %), 0 blocks/s, not moving");
        assert_eq!(pace.total(height(9_000), at(40)).blocks_per_s, 200.0);
    }
}
