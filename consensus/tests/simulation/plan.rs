//! What a seed decides before anything happens: the cluster, its liars, and how rough its world is.

use std::collections::BTreeMap;

use crate::random::Random;

/// The devnet's committee; any one member is below a third.
const FOUR: &[u64] = &[32, 28, 22, 18];

/// Seven members, of which some pairs stay below a third together.
const SEVEN: &[u64] = &[20, 17, 15, 13, 12, 12, 11];

/// When a driver syncs what it has written. Both keep the ordering promise of `Effect`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncing {
    /// After every write, as the node's driver does.
    EachWrite,
    /// As late as the promise allows: before an answer that rests on it, and before anything leaves the process.
    BeforeSpeaking,
}

/// When a driver answers the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answers {
    /// In the same turn, as the node's driver does where the answer is at hand.
    AtOnce,
    /// A little later, among other inputs: a signer or a validator beside the loop.
    Later,
}

/// What a liar is good at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Craft {
    /// Proposes twice, votes twice, and tells every half another story.
    Equivocator,
    /// Shows its blocks and votes to some, late or never; passes nothing on and serves nobody.
    Withholder,
    /// Speaks the truth, and all that it ever heard or said again and again.
    Replayer,
}

/// Whether liars go on when everything else has healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterHealing {
    LieOn,
    Reform,
}

/// A mistake made on purpose, which the checks must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A crash takes the whole sign record along.
    ForgetsRecord,
    /// The signature is returned, and sent, before the record is synced.
    SpeaksBeforeRecord,
    /// What follows from a certificate is sent before the certificate is synced.
    OvertakesPersist,
    /// A block is called valid before its body is stored.
    VotesWithoutBody,
    /// Half of the weight lies: more than the protocol bears.
    TooManyLiars,
}

/// The world of one run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) weights: &'static [u64],
    pub(crate) liars: BTreeMap<usize, Craft>,
    pub(crate) after_healing: AfterHealing,
    pub(crate) syncing: Syncing,
    pub(crate) answers: Answers,
    /// The checks before the machine drop a certificate whose statement they have seen, as the node's do.
    pub(crate) remembers_certificates: bool,
    /// Longest way of a message at first.
    pub(crate) delay_ms: u64,
    /// Most messages that get lost.
    pub(crate) loss_percent_max: u64,
    /// Messages that arrive twice.
    pub(crate) twice_percent: u64,
    /// Mean time between troubles.
    pub(crate) calm_ms: u64,
    /// Views at whose beginning somebody has work.
    pub(crate) work_percent: u64,
    /// Proposals that cannot be judged yet, and turns in which no block can be built.
    pub(crate) slow_percent: u64,
    /// How long there are faults.
    pub(crate) faults_ms: u64,
    pub(crate) flaw: Option<Flaw>,
}

impl Plan {
    /// Liars together stay below a third of the weight.
    pub(crate) fn of(random: &mut Random) -> Self {
        let weights = match random.below(10) {
            0..=4 => FOUR,
            5 => &[1, 1, 1, 1],
            6 | 7 => SEVEN,
            8 => random.pick(&[&[1, 1, 1][..], &[3, 2, 2]]),
            _ => &[1],
        };
        let mut liars = BTreeMap::new();
        let total: u64 = weights.iter().sum();
        let mut lying = 0;
        for _ in 0..random.below(3) {
            let liar = random.index(weights.len());
            if !liars.contains_key(&liar) && 3 * (lying + weights[liar]) < total {
                lying += weights[liar];
                liars.insert(liar, random.pick(&[Craft::Equivocator, Craft::Withholder, Craft::Replayer]));
            }
        }
        Self {
            weights,
            liars,
            after_healing: random.pick(&[AfterHealing::LieOn, AfterHealing::Reform]),
            syncing: random.pick(&[Syncing::EachWrite, Syncing::BeforeSpeaking]),
            answers: random.pick(&[Answers::AtOnce, Answers::Later]),
            remembers_certificates: random.chance(50),
            delay_ms: random.pick(&[10, 40, 120, 250]),
            loss_percent_max: random.pick(&[1, 5, 30]),
            twice_percent: random.pick(&[0, 5, 20]),
            calm_ms: random.pick(&[300, 1_000, 3_000]),
            work_percent: random.pick(&[0, 50, 100]),
            slow_percent: random.pick(&[0, 3, 10]),
            faults_ms: random.pick(&[5_000, 10_000, 20_000]),
            flaw: None,
        }
    }

    /// As [`Self::of`], with a mistake and the world in which it can do harm.
    pub(crate) fn flawed(random: &mut Random, flaw: Flaw) -> Self {
        let plan = Self { flaw: Some(flaw), weights: FOUR, calm_ms: 300, ..Self::of(random) };
        let plan = Self { liars: BTreeMap::new(), ..plan };
        match flaw {
            Flaw::ForgetsRecord => plan,
            Flaw::SpeaksBeforeRecord | Flaw::OvertakesPersist | Flaw::VotesWithoutBody => {
                Self { syncing: Syncing::BeforeSpeaking, ..plan }
            }
            Flaw::TooManyLiars => {
                let liars = BTreeMap::from([(0, Craft::Equivocator), (2, Craft::Equivocator)]);
                Self { liars, ..plan }
            }
        }
    }

    /// A quiet network of honest members who always have work and answer at once.
    pub(crate) fn calm() -> Self {
        Self {
            weights: FOUR,
            liars: BTreeMap::new(),
            after_healing: AfterHealing::Reform,
            syncing: Syncing::EachWrite,
            answers: Answers::Later,
            remembers_certificates: true,
            delay_ms: 10,
            loss_percent_max: 1,
            twice_percent: 0,
            calm_ms: 0,
            work_percent: 100,
            slow_percent: 0,
            faults_ms: 0,
            flaw: None,
        }
    }
}
