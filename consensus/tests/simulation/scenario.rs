//! A run as a file: the seed, the world and everything that goes wrong. A failing one is made as small as it gets.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::{
    cluster::Cluster,
    plan::{Answers, Flaw, Plan},
    random::Random,
    report::Counts,
    seeds::Failure,
    trouble::Trouble,
};

/// Runs, and time, after which a failure is small enough.
const RUNS_MAX: u32 = 400;
const MINIMIZE_MAX: Duration = Duration::from_secs(120);

/// Everything that decides a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Scenario {
    /// Decides what is left to chance within the world: delays, losses, what liars choose.
    pub(crate) seed: u64,
    pub(crate) plan: Plan,
    /// When something goes wrong, in ms, and what.
    pub(crate) troubles: Vec<(u64, Trouble)>,
}

impl Scenario {
    /// The run of a seed.
    pub(crate) fn of(seed: u64, flaw: Option<Flaw>) -> Self {
        let mut random = Random::new(seed);
        let plan = match flaw {
            None => Plan::of(&mut random),
            Some(flaw) => Plan::flawed(&mut random, flaw),
        };
        let troubles = Trouble::all(&plan, &mut random);
        Self { seed, plan, troubles }
    }

    /// The run of a seed without a planted mistake.
    pub(crate) fn lawful(seed: u64) -> Self {
        Self::of(seed, None)
    }

    /// The run of a seed in which more than a third of the weight lies, and less than two thirds.
    pub(crate) fn lawless(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let plan = Plan::lawless(&mut random);
        let troubles = Trouble::all(&plan, &mut random);
        Self { seed, plan, troubles }
    }

    /// A quiet world.
    pub(crate) const fn quiet(seed: u64, plan: Plan) -> Self {
        Self { seed, plan, troubles: Vec::new() }
    }

    /// Plays it, from faults to progress; or, with too many liars, to the end of agreement.
    #[expect(clippy::result_large_err, reason = "a run ends with at most one")]
    pub(crate) fn run(&self) -> Result<Counts, Failure> {
        let mut cluster = Cluster::new(self.clone());
        let lived = catch(|| if self.plan.lawless { cluster.live_lawlessly() } else { cluster.live() });
        lived.map(|()| cluster.counts).map_err(|complaint| Failure {
            scenario: self.clone(),
            step: cluster.counts.steps,
            complaint,
            last_lines: cluster.trace.last_lines(),
        })
    }

    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is no scenario: {error}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) {
        let text = serde_json::to_string_pretty(self).expect("numbers and words");
        fs::write(path, text + "\n").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

/// Returns what a panic says. Nothing is printed: a failure that is made small panics some hundred times.
pub(crate) fn catch(run: impl FnOnce()) -> Result<(), String> {
    thread_local! {
        static CAUGHT: Cell<bool> = const { Cell::new(false) };
    }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                print(info);
            }
        }));
    });
    CAUGHT.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(run));
    CAUGHT.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

/// Leaves out whatever a failure does without: troubles, liars, roughness, time.
pub(crate) fn minimize(failure: Failure) -> Failure {
    let kind = kind_of(&failure.complaint);
    let (begin, mut runs) = (Instant::now(), 0);
    let mut best = failure;
    let mut is_smaller = |scenario: Scenario, best: &mut Failure| {
        runs += 1;
        if runs > RUNS_MAX || begin.elapsed() > MINIMIZE_MAX {
            return false;
        }
        let failed = scenario.run().err().filter(|failure| kind_of(&failure.complaint) == kind);
        failed.map(|failure| *best = failure).is_some()
    };
    loop {
        let before = best.scenario.size();
        let mut chunk = best.scenario.troubles.len();
        while chunk > 0 {
            let mut from = 0;
            while from < best.scenario.troubles.len() {
                let mut less = best.scenario.clone();
                less.troubles.drain(from..(from + chunk).min(less.troubles.len()));
                if !is_smaller(less, &mut best) {
                    from += chunk;
                }
            }
            chunk /= 2;
        }
        for liar in best.scenario.plan.liars.clone().into_keys() {
            let mut less = best.scenario.clone();
            less.plan.liars.remove(&liar);
            is_smaller(less, &mut best);
        }
        for calmer in best.scenario.calmer() {
            is_smaller(calmer, &mut best);
        }
        if best.scenario.size() == before {
            return best;
        }
    }
}

impl Scenario {
    /// What [`minimize`] makes smaller.
    fn size(&self) -> (usize, usize, u64) {
        (self.troubles.len(), self.plan.liars.len(), self.plan.faults_ms)
    }

    /// The same in a world that is calmer in one way.
    fn calmer(&self) -> Vec<Self> {
        let plan = &self.plan;
        let plans = [
            Plan { twice_percent: 0, ..plan.clone() },
            Plan { slow_percent: 0, ..plan.clone() },
            Plan { work_percent: 100, ..plan.clone() },
            Plan { delay_ms: 10, ..plan.clone() },
            Plan { drift_percent_max: 0, ..plan.clone() },
            Plan { epoch_ms: 0, away: BTreeMap::new(), ..plan.clone() },
            Plan { away: BTreeMap::new(), ..plan.clone() },
            Plan { followers: 0, ..plan.clone() },
            Plan { remembered_views: None, ..plan.clone() },
            Plan { answers: Answers::AtOnce, ..plan.clone() },
            Plan { turn_inputs_max: 1, ..plan.clone() },
            Plan { faults_ms: plan.faults_ms / 2, ..plan.clone() },
        ];
        plans.into_iter().map(|plan| Self { plan, ..self.clone() }).collect()
    }
}

/// A complaint without what differs from run to run: words with digits in them.
fn kind_of(complaint: &str) -> String {
    let words = complaint.split_whitespace().filter(|word| !word.contains(|letter: char| letter.is_ascii_digit()));
    words.take(8).collect::<Vec<_>>().join(" ")
}
