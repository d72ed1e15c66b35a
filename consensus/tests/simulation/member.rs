//! One member alone with what the others say, view after view, and the votes that wait beside its machine: no network, no
//! disk, so that very many views pass in little time.

use std::{collections::VecDeque, sync::Arc};

use baton_consensus::{Effect, Held, HeldVotes, Input, Machine, Recovered, Remembered, Timer, Verdict};
use baton_proto::{BlockHeader, MemberIndex, SignedStatement, Statement, StatementKind, View};

use crate::common::{Insecure, World, finalize, notarize, nullify};

const ME: MemberIndex = MemberIndex::new(1);

/// How much is kept: views, votes and blocks of the machine, statements of its own, views and votes that wait beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept(pub(crate) [usize; 4]);

impl Kept {
    pub(crate) fn most(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at].max(other.0[at])))
    }
}

/// A member, and the world that it hears of.
pub(crate) struct Member {
    world: World,
    machine: Machine<Insecure>,
    held: HeldVotes,
    parent: BlockHeader,
    /// What the machine was answered, before it is told.
    answers: VecDeque<Input>,
    /// The highest statement that was certified: what is said of it later decides nothing.
    certified: Option<Statement>,
}

impl Member {
    pub(crate) fn new() -> Self {
        let world = World::new(&[1, 1, 1, 1]);
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let recovered = Recovered::fresh(world.genesis.clone());
        let machine = Machine::with_scheme(world.config, committee, schedule, Some(ME), &world.genesis, recovered);
        let held = HeldVotes::new(Arc::clone(&world.committee), Some(ME), world.config.inactive_views);
        let parent = world.genesis.clone();
        let mut member = Self { world, machine, held, parent, answers: VecDeque::new(), certified: None };
        member.tell(Input::Started);
        member
    }

    pub(crate) fn kept(&self) -> Kept {
        let Remembered { views, votes, .. } = self.machine.remembered();
        let (waiting_views, waiting) = self.held.remembered();
        Kept([views, votes, waiting_views, waiting])
    }

    /// A view in which everybody votes for the leader's block, and finalizes it.
    pub(crate) fn finalize(&mut self, view: u64) {
        assert_eq!(self.machine.view(), View::new(view));
        let leader = self.world.leader(view);
        if leader == ME {
            self.tell(Input::TimerFired(Timer::Idle(View::new(view))));
        } else {
            let header = self.world.block(view, &self.parent, 0);
            let notarize = self.world.sign(leader, notarize(view, header.digest()));
            self.checked(&notarize);
            self.held.on_handed_on(&notarize, None, leader);
            self.parent = header.clone();
            self.tell(Input::Proposal { header, notarize });
        }
        let block = self.parent.digest();
        self.others_say(notarize(view, block), leader);
        self.others_say(finalize(view, block), leader);
        assert_eq!(self.machine.head().digest(), block, "view {view} is not final");
    }

    /// A view whose leader says nothing, or, if we lead, in which no block can be built.
    pub(crate) fn nullify(&mut self, view: u64) {
        let leader = self.world.leader(view);
        self.parent = self.machine.head().clone();
        for timer in [Timer::Leader(View::new(view)), Timer::Advance(View::new(view))] {
            self.tell(Input::TimerFired(timer));
        }
        self.others_say(nullify(view), leader);
        assert_eq!(self.machine.view(), View::new(view + 1), "view {view} is not nullified");
    }

    fn others_say(&mut self, statement: Statement, leader: MemberIndex) {
        let view = statement.view().expect("a vote");
        let others: Vec<MemberIndex> = self.world.committee.indices().filter(|member| *member != ME).collect();
        for signer in others {
            let is_proposal = statement.kind() == StatementKind::Notarize && signer == leader;
            if is_proposal {
                continue;
            }
            let vote = self.world.raw(signer, statement);
            let carries = statement.kind() == StatementKind::Notarize;
            let leaders = carries.then(|| self.world.raw(leader, statement));
            let is_certified = self.certified == Some(statement);
            let now = self.held.take_in(Held { vote, leader: leaders }, view, leader, is_certified);
            self.hand_on(now, leader);
        }
    }

    fn hand_on(&mut self, mut now: Vec<Held>, leader: MemberIndex) {
        while let Some(Held { vote, leader: leaders }) = now.pop() {
            let vote = self.world.verifier.verify(vote).expect("rightly signed");
            let leaders = leaders.map(|own| self.world.verifier.verify(own).expect("rightly signed"));
            for signed in [Some(&vote), leaders.as_ref()].into_iter().flatten() {
                now.extend(self.checked(signed));
            }
            self.held.on_handed_on(&vote, leaders.as_deref(), leader);
            self.tell(Input::Vote { vote, leader: leaders });
        }
    }

    fn checked(&mut self, signed: &SignedStatement) -> Vec<Held> {
        self.held.on_checked(signed, self.certified == Some(signed.statement))
    }

    /// An input, and the answers to all that the machine asks for.
    fn tell(&mut self, input: Input) {
        self.answers.push_back(input);
        while let Some(input) = self.answers.pop_front() {
            let mut effects = Vec::new();
            self.machine.handle(input, &mut effects).expect("nothing here breaks a rule");
            for effect in effects {
                match effect {
                    Effect::Sign(statement) => {
                        let signed = self.world.sign(ME, statement);
                        self.checked(&signed);
                        self.answers.push_back(Input::Signed(signed));
                    }
                    Effect::Persist(certificate) => self.certified = Some(certificate.statement),
                    Effect::Build { view, parent, .. } => {
                        let header = self.world.block(view.get(), &parent, 0);
                        self.parent = header.clone();
                        self.answers.push_back(Input::Built { view, header });
                    }
                    Effect::Validate { header, .. } => {
                        let (block, verdict) = (header.digest(), Verdict::Valid);
                        self.answers.push_back(Input::Validated { block, verdict });
                    }
                    Effect::Report(_) | Effect::SafetyBroken(_) => panic!("nobody lies: {effect:?}"),
                    _ => {}
                }
            }
        }
    }
}
