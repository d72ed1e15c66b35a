//! Runs over many seeds, and what to say about them.

use std::{
    fmt,
    ops::Range,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    report::Counts,
    scenario::{self, Scenario},
};

/// Seeds of a run that names none: 20 to 30 CPU seconds.
pub(crate) const DEFAULT: Range<u64> = 1..401;

/// How many seeds to run, and from which on; `make simulate` sets both.
const SEEDS_VARIABLE: &str = "BATON_SIMULATE_SEEDS";
const START_VARIABLE: &str = "BATON_SIMULATE_START";

/// Pause between two lines about how far a long run has come.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The scenario file to play; `make simulate SCENARIO=…` sets it.
const SCENARIO_VARIABLE: &str = "BATON_SIMULATE_SCENARIO";

/// Something that must not happen, and did.
pub(crate) struct Failure {
    pub(crate) scenario: Scenario,
    pub(crate) step: u64,
    /// What was found.
    pub(crate) complaint: String,
    pub(crate) last_lines: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario: Scenario { seed, plan, troubles }, step, complaint, last_lines } = self;
        write!(
            f,
            "seed {seed} fails at step {step}: {complaint}\nits world: {plan:?}\nits {} troubles: {troubles:?}\n\
             its last lines:\n{last_lines}run it again with: make simulate SEEDS=1 START={seed}",
            troubles.len()
        )
    }
}

/// Runs seeds, each in all of `worlds`, until one fails, and says about every second how far it is. Returns what all of them
/// were made of.
pub(crate) fn run_all(seeds: Range<u64>, worlds: &[fn(u64) -> Scenario]) -> Counts {
    let (first, wanted) = (seeds.start, seeds.end - seeds.start);
    let begin = Instant::now();
    let mut reported = begin;
    let mut total = Counts::default();
    println!("seeds {first} to {}", seeds.end - 1);
    for seed in seeds {
        for world in worlds {
            match world(seed).run() {
                Ok(counts) => total += counts,
                Err(failure) => panic!("{}", make_small(failure)),
            }
        }
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            let (done, seconds) = (seed - first + 1, begin.elapsed().as_secs_f64());
            println!(
                "{done} of {wanted} seeds, {} steps, {:.1} seeds/s, {:.0} steps/s",
                total.steps,
                done as f64 / seconds,
                total.steps as f64 / seconds
            );
        }
    }
    println!("{wanted} seeds from {first} on: {total}");
    total
}

/// Makes a failure small, writes it to a file, and tells of both.
fn make_small(failure: Failure) -> String {
    let first = failure.to_string();
    let small = scenario::minimize(failure);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("scenario-{}.json", small.scenario.seed));
    small.scenario.write(&path);
    format!("{first}\n\nmade small: {small}\nor, made small: make simulate SCENARIO={}", path.display())
}

/// Returns the scenario file that the environment asks for.
pub(crate) fn asked_scenario() -> Option<Scenario> {
    std::env::var_os(SCENARIO_VARIABLE).filter(|path| !path.is_empty()).map(|path| Scenario::read(Path::new(&path)))
}

/// Returns the number that a variable of the environment holds.
pub(crate) fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
}

/// Returns the seeds that the environment asks for.
pub(crate) fn asked() -> Option<Range<u64>> {
    let (seeds, start) = (number(SEEDS_VARIABLE), number(START_VARIABLE));
    if seeds.is_none() && start.is_none() {
        return None;
    }
    let (seeds, start) = (seeds.unwrap_or(1), start.unwrap_or(1));
    let end = start.checked_add(seeds).unwrap_or_else(|| panic!("{START_VARIABLE} + {SEEDS_VARIABLE} is too large"));
    assert!(seeds > 0, "{SEEDS_VARIABLE} must be at least 1");
    Some(start..end)
}
