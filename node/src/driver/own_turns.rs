//! What became of the views that this node led: its log says of each that the final chain lacks why that is.
//!
//! ```text
//!   entered ─▶ proposed ─▶ a quorum voted for it ─▶ final: nothing to tell
//!      │           │                 ╰──────────────────────────────────╮
//!      │           ╰─ too few voted in time, or too few are connected ──┤
//!      ├─ no block could be built, or signed ───────────────────────────┼─▶ a final block of a later view: missed, and why
//!      ╰─ nothing came of it here: what comes before it was missing ────┤
//!   never entered: down, behind, cut off ───────────────────────────────╯
//! ```
//! Lines are few for as many turns as there may be: those of views that this node was never in share one for each step in
//! which blocks become final, and at most [`LINES_MAX`] come in [`WINDOW`].

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use baton_proto::{Statement, View};
use tokio::time::{Duration, Instant};

/// Turns that are remembered while nothing is final; beyond it the oldest count as never entered.
const TURNS_MAX: usize = 256;

/// Lines about missed turns in one [`WINDOW`].
const LINES_MAX: u64 = 12;

/// A minute of a node that misses every turn of a busy chain is enough to see why.
const WINDOW: Duration = Duration::from_secs(60);

/// How far this node came with a turn of its own.
#[derive(Debug)]
enum Progress {
    Entered,
    NotBuilt(String),
    Unsigned(String),
    Proposed { after: Duration },
    Notarized,
}

#[derive(Debug)]
struct Turn {
    entered: Instant,
    progress: Progress,
    /// Whether this node gave the view up itself.
    gave_up: bool,
    /// Whether a quorum was connected when the view was left.
    was_connected: bool,
}

impl Turn {
    fn why(self) -> String {
        let alone = if self.was_connected { "" } else { "; this node and the members connected to it were no quorum" };
        let reason = match self.progress {
            Progress::NotBuilt(why) => format!("no block could be built: {why}"),
            Progress::Unsigned(why) => format!("nothing was signed: {why}"),
            Progress::Notarized => {
                "a quorum voted for its block, but the view was given up before the block was final".into()
            }
            Progress::Proposed { after } => format!(
                "proposed {} ms after the view began, but too few members voted for the block in time",
                after.as_millis()
            ),
            Progress::Entered if self.gave_up => {
                "timed out: what its block had to stand on was missing here, or not certified".into()
            }
            Progress::Entered => "the view was over before a block was due here: this node came late to it".into(),
        };
        format!("{reason}{alone}")
    }
}

/// One line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missed {
    /// The view, or the first of them.
    pub(super) view: View,
    /// How many turns the line is about.
    pub(super) turns: u64,
    /// Why they are missing.
    pub(super) why: String,
    /// Turns that were missed and not told of since the last line.
    pub(super) untold: u64,
}

/// The turns of one epoch.
#[derive(Debug)]
pub(super) struct OwnTurns {
    turns: BTreeMap<View, Turn>,
    lines: MissedLines,
}

impl OwnTurns {
    pub(super) const fn new(lines: MissedLines) -> Self {
        Self { turns: BTreeMap::new(), lines }
    }

    /// A view begins that this node leads.
    pub(super) fn entered(&mut self, view: View, now: Instant) {
        let turn = Turn { entered: now, progress: Progress::Entered, gave_up: false, was_connected: true };
        self.turns.entry(view).or_insert(turn);
        if self.turns.len() > TURNS_MAX {
            self.turns.pop_first();
        }
    }

    /// Returns whether `view` is one of this node's.
    pub(super) fn is_own(&self, view: View) -> bool {
        self.turns.contains_key(&view)
    }

    /// The view is left; `is_connected` says whether a quorum is.
    pub(super) fn left(&mut self, view: View, is_connected: bool) {
        if let Some(turn) = self.turns.get_mut(&view) {
            turn.was_connected = is_connected;
        }
    }

    /// No block could be built.
    pub(super) fn not_built(&mut self, view: View, why: String) {
        self.progress(view, Progress::NotBuilt(why));
    }

    /// A statement is signed.
    pub(super) fn signed(&mut self, statement: &Statement, now: Instant) {
        match *statement {
            Statement::Notarize { view, .. } => {
                let after = self.turns.get(&view).map(|turn| now.duration_since(turn.entered));
                if let Some(after) = after {
                    self.progress(view, Progress::Proposed { after });
                }
            }
            Statement::Nullify { view, .. } => {
                if let Some(turn) = self.turns.get_mut(&view) {
                    turn.gave_up = true;
                }
            }
            Statement::Finalize { .. } | Statement::Attest(_) => {}
        }
    }

    /// A statement is not signed, or not yet.
    pub(super) fn unsigned(&mut self, statement: &Statement, why: String) {
        if let Statement::Notarize { view, .. } = *statement {
            self.progress(view, Progress::Unsigned(why));
        }
    }

    /// A quorum has voted for a block of `view`.
    pub(super) fn notarized(&mut self, view: View) {
        self.progress(view, Progress::Notarized);
    }

    fn progress(&mut self, view: View, progress: Progress) {
        if let Some(turn) = self.turns.get_mut(&view) {
            turn.progress = progress;
        }
    }

    /// Blocks are final up to `last`, and the chain lacks these turns of this node; returns what the log has to say.
    pub(super) fn missed(&mut self, views: impl IntoIterator<Item = View>, last: View, now: Instant) -> Vec<Missed> {
        let mut found = Vec::new();
        let mut never = None;
        for view in views {
            match (self.turns.remove(&view), &mut never) {
                (Some(turn), _) => found.push((view, 1, turn.why())),
                (None, None) => never = Some((view, 1_u64)),
                (None, Some((_, turns))) => *turns = turns.saturating_add(1),
            }
        }
        let away =
            |(view, turns)| (view, turns, "this node was not in the view: it was down, behind or cut off".to_owned());
        found.extend(never.map(away));
        self.turns.retain(|view, _| *view > last);
        let tell = |(view, turns, why)| Some(Missed { view, turns, why, untold: self.lines.next(turns, now)? });
        found.into_iter().filter_map(tell).collect()
    }
}

/// How many lines were written lately, in whichever epoch. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct MissedLines(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    since: Option<Instant>,
    written: u64,
    untold: u64,
}

impl MissedLines {
    /// Returns how many turns were not told of before this line about `turns` of them, or nothing if it is one too many.
    fn next(&self, turns: u64, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (lines.since, lines.written) = (Some(now), 0);
        }
        if lines.written >= LINES_MAX {
            lines.untold = lines.untold.saturating_add(turns);
            return None;
        }
        lines.written = lines.written.saturating_add(1);
        Some(std::mem::take(&mut lines.untold))
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::{BlockDigest, Epoch};

    use super::*;

    const EPOCH: Epoch = Epoch::new(2);

    fn notarize(view: u64) -> Statement {
        Statement::Notarize { epoch: EPOCH, view: View::new(view), block: BlockDigest::ZERO }
    }

    fn nullify(view: u64) -> Statement {
        Statement::Nullify { epoch: EPOCH, view: View::new(view) }
    }

    /// What the log says of view 7 once view 8 is final and 7 is not in the chain.
    fn told(story: impl FnOnce(&mut OwnTurns, Instant)) -> String {
        let (mut turns, now) = (OwnTurns::new(MissedLines::default()), Instant::now());
        story(&mut turns, now);
        let mut lines = turns.missed([View::new(7)], View::new(8), now);
        let line = lines.pop().expect("a line");
        assert!(lines.is_empty() && turns.turns.is_empty());
        assert_eq!((line.view, line.turns, line.untold), (View::new(7), 1, 0));
        line.why
    }

    #[test]
    fn a_missed_turn_is_told_with_its_reason() {
        let view = View::new(7);
        let begins = |told: &str, expected: &str| assert!(told.starts_with(expected), "{told}");
        begins(&told(|_, _| {}), "this node was not in the view");
        begins(&told(|turns, now| turns.entered(view, now)), "the view was over before a block was due here");
        let timed_out = told(|turns, now| {
            turns.entered(view, now);
            turns.signed(&nullify(7), now);
        });
        begins(&timed_out, "timed out");
        let not_built = told(|turns, now| {
            turns.entered(view, now);
            turns.not_built(view, "too many blocks are not final".into());
            turns.signed(&nullify(7), now);
        });
        begins(&not_built, "no block could be built: too many blocks are not final");
        let refused = told(|turns, now| {
            turns.entered(view, now);
            turns.unsigned(&notarize(7), "the record forbids it".into());
        });
        begins(&refused, "nothing was signed: the record forbids it");
        let proposed = |turns: &mut OwnTurns, now: Instant| {
            turns.entered(view, now);
            turns.unsigned(&notarize(7), "not yet".into());
            turns.signed(&notarize(7), now + Duration::from_millis(120));
        };
        assert_eq!(
            told(proposed),
            "proposed 120 ms after the view began, but too few members voted for the block in time"
        );
        let alone = told(|turns, now| {
            proposed(turns, now);
            turns.left(view, false);
        });
        assert!(alone.starts_with("proposed 120 ms") && alone.ends_with("were no quorum"), "{alone}");
        let notarized = told(|turns, now| {
            proposed(turns, now);
            turns.notarized(view);
            turns.left(view, true);
        });
        begins(&notarized, "a quorum voted for its block");
    }

    #[test]
    fn turns_in_the_chain_are_not_told_and_those_above_it_wait() {
        let (mut turns, now) = (OwnTurns::new(MissedLines::default()), Instant::now());
        for view in [3, 7, 9] {
            turns.entered(View::new(view), now);
        }
        assert!(turns.missed([], View::new(8), now).is_empty());
        assert!(!turns.is_own(View::new(3)) && !turns.is_own(View::new(7)) && turns.is_own(View::new(9)));
        assert_eq!(turns.missed([View::new(9)], View::new(10), now).len(), 1);
    }

    #[test]
    fn whoever_was_away_has_one_line_for_all_turns_of_a_step() {
        let (mut turns, now) = (OwnTurns::new(MissedLines::default()), Instant::now());
        turns.entered(View::new(20), now);
        let lines = turns.missed((2..=20).map(View::new), View::new(30), now);
        assert_eq!(lines.iter().map(|line| (line.view.get(), line.turns)).collect::<Vec<_>>(), [(20, 1), (2, 18)]);
    }

    #[test]
    fn lines_and_memory_are_bounded_and_what_was_not_told_is_counted() {
        let lines = MissedLines::default();
        let (mut turns, now) = (OwnTurns::new(lines.clone()), Instant::now());
        let views = 1..=2 * TURNS_MAX as u64;
        views.clone().for_each(|view| turns.entered(View::new(view), now));
        assert_eq!(turns.turns.len(), TURNS_MAX);
        let told = turns.missed(views.map(View::new), View::new(u64::MAX), now);
        assert_eq!(told.len() as u64, LINES_MAX);
        // Another epoch counts on.
        let mut turns = OwnTurns::new(lines);
        let mut one = |now| turns.missed([View::new(1)], View::new(2), now).pop().map(|line| line.untold);
        assert_eq!(one(now + WINDOW / 2), None);
        // One line would have been for the 256 turns of which nothing was remembered.
        let untold = TURNS_MAX as u64 - LINES_MAX + TURNS_MAX as u64 + 1;
        assert_eq!((one(now + WINDOW), one(now + WINDOW)), (Some(untold), Some(0)));
    }
}
