//! Runs over many seeds, and what to say about them.

use std::{
    fmt,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{
    cluster::Cluster,
    plan::{Flaw, Plan},
    random::Random,
    report::Counts,
};

/// Seeds of a run that names none: 20 to 30 CPU seconds.
pub(crate) const DEFAULT: Range<u64> = 1..401;

/// How many seeds to run, and from which on; `make simulate` sets both.
const SEEDS_VARIABLE: &str = "BATON_SIMULATE_SEEDS";
const START_VARIABLE: &str = "BATON_SIMULATE_START";

/// Pause between two lines about how far a long run has come.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Something that must not happen, and did.
pub(crate) struct Failure {
    seed: u64,
    step: u64,
    /// What was found.
    pub(crate) complaint: String,
    plan: String,
    last_lines: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, step, complaint, plan, last_lines } = self;
        write!(
            f,
            "seed {seed} fails at step {step}: {complaint}\nits world: {plan}\nits last lines:\n{last_lines}\
             run it again with: make simulate SEEDS=1 START={seed}"
        )
    }
}

/// The cluster of a seed, before anything has happened.
pub(crate) fn cluster(seed: u64, flaw: Option<Flaw>) -> Cluster {
    let mut random = Random::new(seed);
    let plan = match flaw {
        None => Plan::of(&mut random),
        Some(flaw) => Plan::flawed(&mut random, flaw),
    };
    Cluster::new(plan, random)
}

/// One seed, from faults to progress.
pub(crate) fn run(seed: u64, flaw: Option<Flaw>) -> Result<Counts, Failure> {
    let mut cluster = cluster(seed, flaw);
    let lived = catch_unwind(AssertUnwindSafe(|| cluster.live()));
    lived.map(|()| cluster.counts).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Failure {
            seed,
            step: cluster.counts.steps,
            complaint: text.unwrap_or_default(),
            plan: format!("{:?}", cluster.plan),
            last_lines: cluster.trace.last_lines(),
        }
    })
}

/// Runs seeds until one fails, and says about every second how far it is. Returns what all of them were made of.
pub(crate) fn run_all(seeds: Range<u64>) -> Counts {
    let (first, wanted) = (seeds.start, seeds.end - seeds.start);
    let begin = Instant::now();
    let mut reported = begin;
    let mut total = Counts::default();
    println!("seeds {first} to {}", seeds.end - 1);
    for seed in seeds {
        match run(seed, None) {
            Ok(counts) => total += counts,
            Err(failure) => panic!("{failure}"),
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

/// Returns the seeds that the environment asks for.
pub(crate) fn asked() -> Option<Range<u64>> {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name} must be a number, not {text:?}")))
    };
    let (seeds, start) = (number(SEEDS_VARIABLE), number(START_VARIABLE));
    if seeds.is_none() && start.is_none() {
        return None;
    }
    let (seeds, start) = (seeds.unwrap_or(1), start.unwrap_or(1));
    let end = start.checked_add(seeds).unwrap_or_else(|| panic!("{START_VARIABLE} + {SEEDS_VARIABLE} is too large"));
    assert!(seeds > 0, "{SEEDS_VARIABLE} must be at least 1");
    Some(start..end)
}
