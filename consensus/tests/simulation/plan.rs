//! What a seed decides before anything happens: the cluster, its liars, and how rough its world is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// The devnet's committee; any one member is below a third.
const FOUR: &[u64] = &[32, 28, 22, 18];

/// Seven members, of which some pairs stay below a third together.
const SEVEN: &[u64] = &[20, 17, 15, 13, 12, 12, 11];

/// When a driver answers the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answers {
    /// In the same turn, as the node's driver does where the answer is at hand.
    AtOnce,
    /// A little later, among other inputs: a signer or a validator beside the loop, which the contract of `Effect` allows.
    Later,
}

/// What a liar is good at; `actors/` has a file for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Craft {
    /// The next three in one: tells every half another story.
    Equivocator,
    /// Proposes twice.
    EquivocatingLeader,
    /// Votes twice.
    EquivocatingVoter,
    /// Gives up and finalizes one view.
    Conflicter,
    /// Shows its blocks and votes to some, late or never; passes nothing on and serves nobody.
    Withholder,
    /// Shows its blocks when the others are about to give them up.
    LateLeader,
    /// Gives up every view at once.
    Nullifier,
    /// Is honest, but crashes bring back an old copy of its sign record.
    Outdated,
    /// Two honest nodes with one key.
    Twin,
    /// Gives every honest member the votes that it likes to see.
    Flatterer,
    /// Sends what makes no sense.
    Garbage,
    /// Signs as others.
    Impersonator,
    /// Speaks the truth, and all that it ever heard or said again and again.
    Replayer,
    /// Signs wrongly now and then, so that what others said along with it has to be checked anew.
    Spoiler,
    /// Acts as if one member were not there.
    Censor,
}

impl Craft {
    pub(crate) const ALL: [Self; 15] = [
        Self::Equivocator,
        Self::EquivocatingLeader,
        Self::EquivocatingVoter,
        Self::Conflicter,
        Self::Withholder,
        Self::LateLeader,
        Self::Nullifier,
        Self::Outdated,
        Self::Twin,
        Self::Flatterer,
        Self::Garbage,
        Self::Impersonator,
        Self::Replayer,
        Self::Spoiler,
        Self::Censor,
    ];

    /// Whether a member of this craft keeps a sign record, and obeys it.
    pub(crate) const fn keeps_record(self) -> bool {
        matches!(self, Self::Outdated | Self::Twin)
    }
}

/// Whether liars go on when everything else has healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AfterHealing {
    LieOn,
    Reform,
}

/// A mistake made on purpose, which the checks must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flaw {
    /// A crash takes the whole sign record along.
    ForgetsRecord,
    /// What a turn has to say is sent before the record is synced.
    SpeaksBeforeRecord,
    /// A certificate with our signature of this turn is written before the record is synced.
    CertifiesBeforeRecord,
    /// A Finalize is recorded before the body of its block is synced.
    FinalizesBeforeBody,
    /// A Finalize is recorded before the notarization of its block is synced, where the body is there already.
    FinalizesBeforeNotarization,
    /// What a turn has to say is sent before the ledger is synced.
    OvertakesPersist,
    /// Blocks are called final before they are synced.
    FinalizesUnsynced,
    /// A record that may lack statements takes any quiet moment for one in the running epoch.
    ListensToSilence,
    /// A block is called valid before its body is stored.
    VotesWithoutBody,
    /// A block is judged before its L1 origin was seen final.
    TakesAnyOrigin,
}

/// The world of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Of the sequencers, in the first epoch.
    pub(crate) weights: Vec<u64>,
    /// By sequencer.
    pub(crate) liars: BTreeMap<usize, Craft>,
    /// Keepers of a record stop when a certificate shows that their key said more than their record holds.
    pub(crate) notices_own_bits: bool,
    pub(crate) after_healing: AfterHealing,
    /// Inputs that share a turn, and the syncs at its end.
    pub(crate) turn_inputs_max: usize,
    pub(crate) answers: Answers,
    /// The checks before the machine drop a certificate whose statement they have seen, as the node's do.
    pub(crate) remembers_certificates: bool,
    /// Longest way of a message at first.
    pub(crate) delay_ms: u64,
    /// Most messages that get lost.
    pub(crate) loss_percent_max: u64,
    /// Messages that arrive twice.
    pub(crate) twice_percent: u64,
    /// Most that a node's clock runs too fast or too slow.
    pub(crate) drift_percent_max: u64,
    /// Mean time between troubles.
    pub(crate) calm_ms: u64,
    /// Views at whose beginning somebody has work.
    pub(crate) work_percent: u64,
    /// Proposals that cannot be judged yet, and turns in which no block can be built.
    pub(crate) slow_percent: u64,
    /// How long an epoch is on L1; 0: the first one never ends.
    pub(crate) epoch_ms: u64,
    /// Epochs, counted from the first one, from which on and until which a sequencer has no seat: it joins later, or leaves, or
    /// comes back.
    pub(crate) away: BTreeMap<usize, (u64, u64)>,
    /// Nodes without a key, which follow the chain.
    pub(crate) followers: usize,
    /// Views below the final one whose statements a sign record keeps, if it forgets any.
    pub(crate) remembered_views: Option<u64>,
    /// Who loses its disk, once: the others are all honest, and a quorum.
    pub(crate) loses_disk: Option<usize>,
    /// The machine of an epoch that is over stays until the next one is over too.
    pub(crate) keeps_past: bool,
    /// How long there are faults.
    pub(crate) faults_ms: u64,
    pub(crate) flaw: Option<Flaw>,
    /// The liars weigh more than a third, so agreement may break.
    pub(crate) lawless: bool,
    /// Messages take exactly `delay_ms`, disks no time, and timers are far away.
    pub(crate) steady: bool,
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
                liars.insert(liar, random.pick(&Craft::ALL));
            }
        }
        let plan = Self {
            weights: weights.to_vec(),
            liars,
            notices_own_bits: random.chance(50),
            after_healing: random.pick(&[AfterHealing::LieOn, AfterHealing::Reform]),
            turn_inputs_max: random.pick(&[1, 4, 16]),
            answers: random.pick(&[Answers::AtOnce, Answers::Later]),
            remembers_certificates: random.chance(50),
            delay_ms: random.pick(&[10, 40, 120, 250]),
            loss_percent_max: random.pick(&[1, 5, 30]),
            twice_percent: random.pick(&[0, 5, 20]),
            drift_percent_max: random.pick(&[0, 1, 20]),
            calm_ms: random.pick(&[300, 1_000, 3_000]),
            work_percent: random.pick(&[0, 50, 100]),
            slow_percent: random.pick(&[0, 3, 10]),
            epoch_ms: random.pick(&[0, 1_000, 1_500, 4_000]),
            away: BTreeMap::new(),
            followers: random.pick(&[0, 0, 0, 1, 2]),
            remembered_views: random.pick(&[None, Some(0), Some(4), Some(200)]),
            loses_disk: None,
            keeps_past: random.chance(50),
            faults_ms: random.pick(&[5_000, 10_000, 20_000]),
            flaw: None,
            lawless: false,
            steady: false,
        };
        plan.with_some_away(random).with_a_lost_disk(random)
    }

    fn with_a_lost_disk(self, random: &mut Random) -> Self {
        let (at, total) = (random.index(self.weights.len()), self.weights.iter().sum::<u64>());
        let is_quorum = self.weights.iter().all(|weight| 3 * (total - weight) > 2 * total);
        let can = self.liars.is_empty() && self.away.is_empty() && self.epoch_ms > 0 && is_quorum;
        Self { loses_disk: (can && random.chance(50)).then_some(at), ..self }
    }

    /// Liars stay below a third of every committee.
    fn with_some_away(mut self, random: &mut Random) -> Self {
        for _ in 0..if self.epoch_ms > 0 { random.below(4) } else { 0 } {
            let (sequencer, from) = (random.index(self.weights.len()), random.below(4));
            let away = (from, random.pick(&[from + 1, from + 3, u64::MAX]));
            let mut plan = self.clone();
            plan.away.insert(sequencer, away);
            if (0..=plan.epochs()).all(|after| plan.is_lawful(after)) {
                self = plan;
            }
        }
        self
    }

    fn is_lawful(&self, after: u64) -> bool {
        let committee = self.committee(after);
        let lying = committee.iter().filter(|(sequencer, _)| self.liars.contains_key(sequencer));
        let weight: u64 = committee.iter().map(|(_, weight)| weight).sum();
        3 * lying.map(|(_, weight)| weight).sum::<u64>() < weight
    }

    /// Returns how many epochs can follow the first one.
    pub(crate) fn epochs(&self) -> u64 {
        self.faults_ms.checked_div(self.epoch_ms).map_or(0, |epochs| epochs + 1)
    }

    /// Returns who has a seat in an epoch, counted from the first one, and with which weight: a liar with the same in all of
    /// them, while the weights of the others change places.
    pub(crate) fn committee(&self, after: u64) -> Vec<(usize, u64)> {
        let honest: Vec<usize> = (0..self.weights.len()).filter(|member| !self.liars.contains_key(member)).collect();
        let shift = usize::try_from(after).expect("few epochs");
        let mut weights = self.weights.clone();
        for (place, member) in honest.iter().enumerate() {
            weights[*member] = self.weights[honest[(place + shift) % honest.len()]];
        }
        let is_away =
            |member: &usize| self.away.get(member).is_some_and(|(from, until)| (*from..*until).contains(&after));
        (0..weights.len()).filter(|member| !is_away(member)).map(|member| (member, weights[member])).collect()
    }

    /// As [`Self::of`], with a mistake and the world in which it can do harm.
    pub(crate) fn flawed(random: &mut Random, flaw: Flaw) -> Self {
        let plan = Self { flaw: Some(flaw), weights: FOUR.to_vec(), calm_ms: 300, ..Self::of(random) };
        let plan = Self { liars: BTreeMap::new(), away: BTreeMap::new(), loses_disk: None, ..plan };
        match flaw {
            Flaw::TakesAnyOrigin => Self { liars: BTreeMap::from([(3, Craft::EquivocatingLeader)]), ..plan },
            Flaw::ForgetsRecord
            | Flaw::SpeaksBeforeRecord
            | Flaw::OvertakesPersist
            | Flaw::FinalizesUnsynced
            | Flaw::ListensToSilence
            | Flaw::VotesWithoutBody
            | Flaw::FinalizesBeforeNotarization => plan,
            // Whose vote alone is a quorum does all of it within one turn.
            Flaw::CertifiesBeforeRecord | Flaw::FinalizesBeforeBody => {
                Self { weights: vec![1], followers: 0, answers: Answers::AtOnce, work_percent: 100, ..plan }
            }
        }
    }

    /// Liars of more than a third of the weight and less than two thirds, who may sign anything and keep the rest apart.
    pub(crate) fn lawless(random: &mut Random) -> Self {
        let weights = random.pick(&[FOUR, SEVEN, &[1, 1, 1, 1]]).to_vec();
        let total: u64 = weights.iter().sum();
        let mut liars = BTreeMap::new();
        let mut lying = 0;
        let wanted = total / 3 + random.below(total / 3);
        for _ in 0..100 {
            let liar = random.index(weights.len());
            let fits = 3 * (lying + weights[liar]) < 2 * total;
            if !liars.contains_key(&liar) && fits && (lying <= wanted || 3 * lying <= total) {
                lying += weights[liar];
                let crafts = [Craft::Flatterer, Craft::Flatterer, Craft::Flatterer, Craft::Equivocator, Craft::Twin];
                liars.insert(liar, random.pick(&crafts));
            }
        }
        assert!(3 * lying > total, "these weights make no coalition of more than a third: {weights:?}");
        let calm_ms = random.pick(&[1_000, 3_000]);
        let epoch_ms = random.pick(&[0, 1_500, 4_000]);
        let plan = Self { weights, liars, calm_ms, epoch_ms, away: BTreeMap::new(), followers: 0, ..Self::of(random) };
        Self { notices_own_bits: false, lawless: true, loses_disk: None, ..plan }
    }

    /// Equal members, always with work, on links of one length.
    pub(crate) fn steady(members: usize, delay_ms: u64) -> Self {
        let weights = vec![1; members];
        Self { weights, delay_ms, answers: Answers::AtOnce, steady: true, ..Self::calm() }
    }

    /// Nodes: one a sequencer, after them a second one for each twin, and then the followers.
    pub(crate) fn nodes(&self) -> usize {
        self.weights.len() + self.twins().count() + self.followers
    }

    pub(crate) fn is_follower(&self, at: usize) -> bool {
        at >= self.nodes() - self.followers
    }

    fn twins(&self) -> impl Iterator<Item = usize> {
        self.liars.iter().filter(|(_, craft)| **craft == Craft::Twin).map(|(member, _)| *member)
    }

    /// Returns the sequencer whose key a node has; a follower is its own.
    pub(crate) fn owner(&self, at: usize) -> usize {
        let second = at.checked_sub(self.weights.len());
        second.and_then(|second| self.twins().nth(second)).unwrap_or(at)
    }

    /// Returns what the sequencer at a node is good at, if it lies.
    pub(crate) fn craft(&self, at: usize) -> Option<Craft> {
        if self.liars.is_empty() { None } else { self.liars.get(&self.owner(at)).copied() }
    }

    /// A quiet network of honest members who always have work and answer at once.
    pub(crate) fn calm() -> Self {
        Self {
            weights: FOUR.to_vec(),
            liars: BTreeMap::new(),
            notices_own_bits: true,
            after_healing: AfterHealing::Reform,
            turn_inputs_max: 1,
            answers: Answers::Later,
            remembers_certificates: true,
            delay_ms: 10,
            loss_percent_max: 1,
            twice_percent: 0,
            drift_percent_max: 0,
            calm_ms: 0,
            work_percent: 100,
            slow_percent: 0,
            epoch_ms: 0,
            away: BTreeMap::new(),
            followers: 0,
            remembered_views: None,
            loses_disk: None,
            keeps_past: true,
            faults_ms: 0,
            flaw: None,
            lawless: false,
            steady: false,
        }
    }
}
