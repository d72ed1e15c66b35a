//! The real machine, held against the model: it never says what the model forbids, and, given what it needs, it says what
//! the model allows.
//!
//! Beside the machine stand the model's honest members, who say anything that the model lets them, and one liar.

use std::{collections::HashMap, sync::Arc};

use baton_consensus::{Effect, Input, Machine, Recovered, Timer, Verdict, Verified};
use baton_proto::{
    BlockDigest, BlockHeader, Certificate, MemberIndex, SignedStatement, Statement, StatementKind, View,
};

use crate::{
    COMMITTEES,
    blocks::{Block, BlockId, Blocks, ROOT},
    common::{EPOCH, Insecure, World, finalize, notarize, nullify},
    random::Random,
    rules::{Epoch, Rules},
    state::{Counting, Members, State, Word, blocks as in_places},
};

/// Views of a run.
const LAST: u8 = 4;

/// One machine among members that the model plays.
struct Driven {
    seed: u64,
    random: Random,
    world: World,
    rules: Rules,
    state: State,
    numbers: Blocks,
    headers: Vec<BlockHeader>,
    ids: HashMap<BlockDigest, BlockId>,
    /// The machine's place among the honest members.
    me: usize,
    machine: Machine<Insecure>,
    /// Answers that the driver owes.
    owed: Vec<Input>,
    /// What a restart finds: statements, certificates, stored blocks, the final head.
    signed: Vec<Statement>,
    persisted: Vec<Verified<Certificate>>,
    stored: Vec<BlockHeader>,
    head: BlockHeader,
    finalized: usize,
    /// Votes for a handover block proposed again.
    again: usize,
    ended: bool,
    log: Vec<String>,
}

impl Driven {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let weights = random.pick(&COMMITTEES);
        let liar = random.pick(&[0_u8, 1, 2, 3]);
        let me = random.index(3);
        let members = Members::new(&weights, &[liar], Counting::Weight);
        let world = World::new(&weights);
        let rules = Rules { members, views: LAST, epoch: Epoch::MayEnd, broken: None };
        let genesis = world.genesis.clone();
        let machine = machine(&world, rules.members.honest[me], Recovered::fresh(genesis.clone()));
        let mut driven = Self {
            seed,
            random,
            rules,
            state: State::new(),
            numbers: Blocks::new(),
            ids: HashMap::from([(genesis.digest(), ROOT)]),
            headers: vec![genesis.clone()],
            me,
            machine,
            owed: Vec::new(),
            signed: Vec::new(),
            persisted: Vec::new(),
            stored: Vec::new(),
            head: genesis,
            finalized: 0,
            again: 0,
            ended: false,
            log: Vec::new(),
            world,
        };
        driven.feed("started", Input::Started);
        driven
    }

    fn member(&self, place: usize) -> MemberIndex {
        MemberIndex::new(self.rules.members.honest[place])
    }

    fn liar(&self) -> MemberIndex {
        MemberIndex::new(self.rules.members.byzantine[0])
    }

    fn my_index(&self) -> MemberIndex {
        self.member(self.me)
    }

    fn leader(&self, view: u8) -> MemberIndex {
        self.world.leader(u64::from(view))
    }

    /// The honest member that leads a view, by its place.
    fn leading(&self, view: u8) -> Option<usize> {
        (0..self.rules.members.honest.len()).find(|place| self.member(*place) == self.leader(view))
    }

    fn view(&self) -> u8 {
        u8::try_from(self.machine.view().get()).unwrap()
    }

    /// A block, one in six the last of its epoch.
    fn block(&mut self, view: u8, parent: BlockId, twin: u8) -> BlockId {
        let last = self.random.chance(17);
        let number = self.numbers.number(Block { view, parent, twin, last });
        self.learn();
        number
    }

    /// Gives every block that the model knows a header.
    fn learn(&mut self) {
        for number in self.headers.len()..self.numbers.len() {
            let number = BlockId::try_from(number).unwrap();
            let Block { view, parent, twin, last } = self.numbers.get(number);
            let parent = self.headers[usize::from(parent)].clone();
            let header = if last {
                self.world.block_of(EPOCH.next().unwrap(), view.into(), &parent, twin.into())
            } else {
                self.world.block(view.into(), &parent, twin.into())
            };
            self.ids.insert(header.digest(), number);
            self.headers.push(header);
        }
    }

    fn header(&self, block: BlockId) -> BlockHeader {
        self.headers[usize::from(block)].clone()
    }

    fn digest(&self, block: BlockId) -> BlockDigest {
        self.headers[usize::from(block)].digest()
    }

    fn statement(&self, word: Word) -> Statement {
        match word {
            Word::Notarize { view, block } => notarize(view.into(), self.digest(block)),
            Word::Nullify { view } => nullify(view.into()),
            Word::Finalize { view, block } => finalize(view.into(), self.digest(block)),
        }
    }

    fn word(&self, statement: &Statement) -> Word {
        let view = u8::try_from(statement.view().unwrap().get()).unwrap();
        let block = || self.ids[&statement.block().unwrap()];
        match statement.kind() {
            StatementKind::Notarize => Word::Notarize { view, block: block() },
            StatementKind::Finalize => Word::Finalize { view, block: block() },
            StatementKind::Nullify => Word::Nullify { view },
            StatementKind::Attest => panic!("the machine attests nothing"),
        }
    }

    /// Has the machine take an input, and the model judge what it says. Signatures come at once; other answers are owed.
    fn feed(&mut self, what: &str, input: Input) {
        self.log.push(what.to_owned());
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut effects = Vec::new();
            if let Err(refused) = self.machine.handle(input, &mut effects) {
                self.log.push(format!("  refused: {refused}"));
            }
            for effect in effects {
                match effect {
                    Effect::Sign(statement) => {
                        self.judge(statement);
                        let signed = self.world.sign(self.my_index(), statement);
                        inputs.push(Input::Signed(signed));
                    }
                    Effect::Persist(certificate) => {
                        let members: Vec<u8> = certificate.signers.iter().map(MemberIndex::get).collect();
                        self.persisted.push(self.world.certify(&members, certificate.statement));
                    }
                    Effect::Validate { header, .. } => {
                        let valid = Input::Validated { block: header.digest(), verdict: Verdict::Valid };
                        self.stored.push(header);
                        self.owed.push(valid);
                    }
                    Effect::Build { view, parent, .. } => {
                        let parent = self.ids[&parent.digest()];
                        let block = self.block(u8::try_from(view.get()).unwrap(), parent, 0);
                        self.stored.push(self.header(block));
                        self.owed.push(Input::Built { view, header: self.header(block) });
                    }
                    Effect::Fetch { block, .. } => {
                        let header = self.header(self.ids[&block]);
                        self.stored.push(header.clone());
                        self.owed.push(Input::Fetched { header });
                    }
                    Effect::Finalized { chain, certificate } => {
                        let view = u8::try_from(certificate.statement.view().unwrap().get()).unwrap();
                        let block = self.ids[&certificate.statement.block().unwrap()];
                        let held = self.state.certificates(&self.rules.members, view);
                        assert!(held.finalized(block), "{}", self.story("final without a finalization"));
                        self.head = chain.last().unwrap().clone();
                        self.finalized += 1;
                    }
                    Effect::Report(evidence) => {
                        assert_eq!(evidence.signer(), self.liar(), "{}", self.story("an honest member is accused"));
                    }
                    Effect::SafetyBroken(_) => panic!("{}", self.story("safety is broken")),
                    Effect::EpochEnded { last, .. } => {
                        let last = self.ids[&last.digest()];
                        let is_final = self.rules.finalized(&self.state).iter().any(|(_, block)| *block == last);
                        let ends = is_final && self.numbers.get(last).last;
                        assert!(ends, "{}", self.story("the epoch does not end here"));
                        self.ended = true;
                    }
                    Effect::Broadcast(_)
                    | Effect::Send(..)
                    | Effect::Behind { .. }
                    | Effect::SetTimer { .. }
                    | Effect::Entered { .. } => {}
                }
            }
        }
    }

    /// The machine wants to say something: the model must allow it, or know that it was said before.
    fn judge(&mut self, statement: Statement) {
        let word = self.word(&statement);
        self.log.push(format!("  the machine says {word:?}"));
        if self.signed.contains(&statement) {
            return;
        }
        let may = self.rules.may(&self.numbers, &self.state, self.me, word);
        assert!(may, "{}", self.story("the model forbids this"));
        assert!(!self.ended, "{}", self.story("the epoch has ended"));
        if let Word::Notarize { view, block } = word {
            self.again += usize::from(self.numbers.get(block).view < view);
        }
        self.state.say(self.me, word);
        self.signed.push(statement);
    }

    fn story(&self, what: &str) -> String {
        format!("seed {}: {what}\n{}", self.seed, self.log.join("\n"))
    }

    fn answer(&mut self, place: usize) {
        let owed = self.owed.swap_remove(place);
        self.feed(&format!("answer {owed:?}"), owed);
    }

    fn answer_all(&mut self) {
        while !self.owed.is_empty() {
            self.answer(0);
        }
    }

    /// Another honest member speaks in a view, if it finds words. Where an honest member leads, it speaks first, once, and
    /// the others vote for its block; in the machine's own views they wait for the machine.
    fn other_speaks(&mut self, view: u8) {
        let others: Vec<usize> = (0..3).filter(|place| *place != self.me).collect();
        let place = self.random.pick(&others);
        let mut words = self.rules.words(&mut self.numbers, &self.state, place, view);
        self.learn();
        let leader = self.leading(view);
        let proposed = leader.map(|leader| *self.state.said(leader, view));
        words.retain(|word| match *word {
            Word::Notarize { view: at, block } => {
                at == view && proposed.is_none_or(|said| leader == Some(place) || said.notarized(block))
            }
            Word::Nullify { view: at } | Word::Finalize { view: at, .. } => at == view,
        });
        if !words.is_empty() {
            let word = self.random.pick(&words);
            self.log.push(format!("honest {place} says {word:?}"));
            self.state.say(place, word);
        }
    }

    /// Shows the machine the leader's proposal of a block.
    fn propose(&mut self, view: u8, block: BlockId) {
        let header = self.header(block);
        let notarize = self.world.sign(self.leader(view), notarize(view.into(), header.digest()));
        self.feed(&format!("proposal in {view}: {}", self.numbers.name(block)), Input::Proposal { header, notarize });
    }

    fn certificate(&mut self, statement: Statement, says: impl Fn(&Self, usize) -> bool) {
        let places = (0..self.rules.members.honest.len()).filter(|place| says(self, *place));
        let mut signers: Vec<u8> = places.map(|place| self.rules.members.honest[place]).collect();
        signers.extend(&self.rules.members.byzantine);
        signers.sort_unstable();
        let certificate = self.world.certify(&signers, statement);
        self.feed(&format!("certificate {:?}", self.word(&statement)), Input::Certificate(certificate));
    }

    fn show(&mut self, word: Word) {
        let statement = self.statement(word);
        match word {
            Word::Notarize { view, block } => {
                self.certificate(statement, |driven, place| driven.state.said(place, view).notarized(block));
            }
            Word::Nullify { view } => {
                self.certificate(statement, |driven, place| driven.state.said(place, view).nullify);
            }
            Word::Finalize { view, block } => {
                self.certificate(statement, |driven, place| driven.state.said(place, view).finalized(block));
            }
        }
    }

    /// Every certificate that can be made in a view.
    fn certificates(&self, view: u8) -> Vec<Word> {
        let held = self.state.certificates(&self.rules.members, view);
        let notarizations = in_places(held.notarize).map(|block| Word::Notarize { view, block });
        let finalizations = in_places(held.finalize).map(|block| Word::Finalize { view, block });
        notarizations.chain(finalizations).chain(held.nullify.then_some(Word::Nullify { view })).collect()
    }

    fn restart(&mut self) {
        self.owed.clear();
        let mut recovered = Recovered::fresh(self.head.clone());
        recovered.statements.clone_from(&self.signed);
        recovered.headers = self.stored.iter().filter(|header| header.height > self.head.height).cloned().collect();
        let above = |held: &&Verified<Certificate>| held.statement.view() >= Some(self.head.view);
        recovered.certificates = self.persisted.iter().filter(above).cloned().collect();
        self.machine = machine(&self.world, self.my_index().get(), recovered);
        self.feed("restarted", Input::Started);
    }
}

fn machine(world: &World, me: u8, recovered: Recovered) -> Machine<Insecure> {
    let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
    Machine::with_scheme(world.config, committee, schedule, Some(MemberIndex::new(me)), &world.genesis, recovered)
}

// ── It never says what the model forbids ───────────────────────────────────────────────────────────────────────────────

impl Driven {
    /// Something happens: likely or not, honest or not.
    fn something(&mut self) {
        let view = if self.random.chance(60) { self.view() } else { self.random.below(u64::from(LAST)) as u8 + 1 };
        match self.random.below(100) {
            0..25 => self.other_speaks(view),
            25..45 => self.any_proposal(view),
            45..60 => self.any_vote(view),
            60..75 => {
                let words = self.certificates(view);
                if !words.is_empty() {
                    let word = self.random.pick(&words);
                    self.show(word);
                }
            }
            75..83 => self.any_timer(),
            83..86 => self.feed("work", Input::WorkArrived),
            86..88 => self.restart(),
            _ if !self.owed.is_empty() => {
                let place = self.random.index(self.owed.len());
                if self.random.chance(10)
                    && let Input::Validated { verdict, .. } = &mut self.owed[place]
                {
                    *verdict = Verdict::Invalid;
                }
                self.answer(place);
            }
            _ => {}
        }
    }

    /// The liar proposes anything, on any block of a view below; an honest leader what it voted for.
    fn any_proposal(&mut self, view: u8) {
        let block = match self.leading(view) {
            Some(leader) if leader == self.me => return,
            Some(leader) => self.state.said(leader, view).notarize[0],
            None => {
                let count = self.numbers.len();
                let parent = BlockId::try_from(self.random.index(count)).unwrap();
                let twin = u8::from(self.random.chance(30));
                match self.numbers.get(parent) {
                    of if of.view >= view => ROOT,
                    // Any block may be proposed again; one that is not the last of its epoch is refused.
                    of if self.random.chance(if of.last { 60 } else { 10 }) => parent,
                    _ => self.block(view, parent, twin),
                }
            }
        };
        if block != ROOT {
            self.propose(view, block);
        }
    }

    /// A vote of another honest member, or one that the liar makes up.
    fn any_vote(&mut self, view: u8) {
        let place = self.random.index(4);
        let fits = |of: Block| of.view == view || (of.last && of.view < view);
        let blocks: Vec<BlockId> = self.ids.values().copied().filter(|id| fits(self.numbers.get(*id))).collect();
        let mut words = vec![Word::Nullify { view }];
        let mut sorted = blocks;
        sorted.sort_unstable();
        for block in sorted {
            words.extend([Word::Notarize { view, block }, Word::Finalize { view, block }]);
        }
        if place < 3 {
            let said = *self.state.said(place, view);
            words.retain(|word| match *word {
                Word::Notarize { block, .. } => said.notarized(block),
                Word::Finalize { block, .. } => said.finalized(block),
                Word::Nullify { .. } => said.nullify,
            });
        }
        if place == self.me || words.is_empty() {
            return;
        }
        let word = self.random.pick(&words);
        let statement = self.statement(word);
        let signer = if place < 3 { self.member(place) } else { self.liar() };
        let leader = self.leader_of(word, statement);
        let vote = self.world.sign(signer, statement);
        self.feed(&format!("vote of {place}: {word:?}"), Input::Vote { vote, leader });
    }

    /// The leader's own Notarize, which comes along with another's, if the leader said it or says anything.
    fn leader_of(&self, word: Word, statement: Statement) -> Option<Verified<SignedStatement>> {
        let Word::Notarize { view, block } = word else { return None };
        let said = self.leading(view).is_none_or(|leader| self.state.said(leader, view).notarized(block));
        said.then(|| self.world.sign(self.leader(view), statement))
    }

    fn any_timer(&mut self) {
        let view = self.machine.view();
        let timers =
            [Timer::Pace(view), Timer::Idle(view), Timer::Leader(view), Timer::Advance(view), Timer::Retry(view)];
        let timer = self.random.pick(&timers);
        self.feed(&format!("{timer:?}"), Input::TimerFired(timer));
    }
}

#[test]
fn the_machine_never_says_what_the_model_forbids() {
    let (mut said, mut finalized, mut restarted) = (HashMap::<StatementKind, usize>::new(), 0, 0);
    let (mut again, mut ended) = (0, 0);
    for seed in 0..1_500 {
        let mut driven = Driven::new(seed);
        for _ in 0..120 {
            if driven.view() > LAST {
                break;
            }
            driven.something();
        }
        driven.signed.iter().for_each(|statement| *said.entry(statement.kind()).or_default() += 1);
        finalized += driven.finalized;
        again += driven.again;
        ended += usize::from(driven.ended);
        restarted += usize::from(driven.log.iter().any(|line| line == "restarted"));
    }
    println!("the machine said {said:?}, {again} of these votes again, and made {finalized} chains final");
    println!("{restarted} runs had a restart, {ended} came to the end of the epoch");
    for kind in [StatementKind::Notarize, StatementKind::Nullify, StatementKind::Finalize] {
        assert!(said[&kind] > 50, "{said:?}");
    }
    assert!(finalized > 10 && restarted > 100 && again > 10 && ended > 3, "{finalized} {restarted} {again} {ended}");
}

// ── It says what the model allows ──────────────────────────────────────────────────────────────────────────────────────

impl Driven {
    /// Shows the machine all that makes a block fit to be built on, or to be proposed again: notarizations of it and its
    /// ancestors, each in its own view, and that of a later view if it has one there.
    fn prove(&mut self, view: u8, block: BlockId) {
        let mut chain: Vec<BlockId> = self.numbers.ancestors(block).collect();
        chain.reverse();
        chain.push(block);
        let vertices = chain.into_iter().map(|block| (self.numbers.get(block).view, block)).collect::<Vec<_>>();
        for (view, block) in vertices.into_iter().chain([(view, block)]).filter(|(_, block)| *block != ROOT) {
            self.show(Word::Notarize { view, block });
            self.answer_all();
        }
    }

    /// The latest view below `view` in which a block is certified.
    fn last_certified(&self, block: BlockId, view: u8) -> u8 {
        let is_certified = |at: &u8| {
            self.certificates(*at).iter().any(|word| matches!(word, Word::Notarize { block: of, .. } if *of == block))
        };
        (1..view).rev().find(is_certified).unwrap_or(0)
    }

    /// Lets the machine into a view by what ended the one before, if anything did.
    fn enter(&mut self, view: u8) -> bool {
        if self.view() < view {
            let words = self.certificates(view - 1);
            let nullified = Word::Nullify { view: view - 1 };
            match words.first() {
                _ if words.contains(&nullified) => self.show(nullified),
                Some(Word::Notarize { block, .. }) => self.prove(view - 1, *block),
                _ => return false,
            }
        }
        assert_eq!(self.view(), view, "{}", self.story("the certificate lets it in"));
        true
    }

    /// Picks a word that the model allows the machine in the view where it is, and gives it what it needs to say so.
    /// Returns what was expected.
    fn speak(&mut self, view: u8, proposed: &mut bool) -> Option<Word> {
        let mut words = self.rules.words(&mut self.numbers, &self.state, self.me, view);
        self.learn();
        let leader = self.leading(view);
        let shown = leader.map(|leader| *self.state.said(leader, view));
        words.retain(|word| match *word {
            // One proposal is all that an honest member votes on; its own it makes itself.
            Word::Notarize { view: at, block } => {
                at == view && !*proposed && (leader == Some(self.me) || shown.is_none_or(|said| said.notarized(block)))
            }
            Word::Nullify { view: at } | Word::Finalize { view: at, .. } => at == view,
        });
        let word = if words.is_empty() { return None } else { self.random.pick(&words) };
        self.log.push(format!("the model allows {word:?}"));
        match word {
            Word::Notarize { .. } if leader == Some(self.me) => {
                *proposed = true;
                self.feed("idle", Input::TimerFired(Timer::Idle(View::new(view.into()))));
                self.answer_all();
                // Which parent it builds on is its own choice; `judge` has compared it with the model.
                let said = self.state.said(self.me, view).notarize[0];
                assert_ne!(said, ROOT, "{}", self.story("a leader proposes"));
                return Some(Word::Notarize { view, block: said });
            }
            Word::Notarize { block, .. } => {
                *proposed = true;
                let of = self.numbers.get(block);
                let below = if of.view < view { block } else { of.parent };
                let certified = self.last_certified(below, view);
                self.prove(certified, below);
                for between in certified + 1..view {
                    self.show(Word::Nullify { view: between });
                }
                self.propose(view, block);
                self.answer_all();
            }
            Word::Nullify { .. } => {
                self.feed("t_A", Input::TimerFired(Timer::Advance(View::new(view.into()))));
            }
            Word::Finalize { view, block } => self.prove(view, block),
        }
        Some(word)
    }
}

#[test]
fn the_machine_says_what_the_model_allows() {
    let (mut spoken, mut finalized) = (HashMap::<StatementKind, usize>::new(), 0);
    let (mut again, mut ended) = (0, 0);
    for seed in 0..1_500 {
        let mut driven = Driven::new(seed);
        for view in 1..=LAST {
            if driven.ended || !driven.enter(view) {
                break;
            }
            let mut proposed = false;
            for _ in 0..12 {
                if driven.random.chance(70) {
                    driven.other_speaks(view);
                } else if driven.view() == view
                    && !driven.ended
                    && let Some(word) = driven.speak(view, &mut proposed)
                {
                    let statement = driven.statement(word);
                    assert!(driven.signed.contains(&statement), "{}", driven.story("the machine says what it may"));
                    *spoken.entry(statement.kind()).or_default() += 1;
                }
            }
            // What is final in the model becomes final at the machine.
            for word in driven.certificates(view) {
                if let Word::Finalize { block, .. } = word
                    && driven.random.chance(50)
                {
                    driven.show(word);
                    driven.answer_all();
                    assert_eq!(driven.head.digest(), driven.digest(block), "{}", driven.story("final"));
                    finalized += 1;
                    let last = driven.numbers.get(block).last;
                    assert_eq!(driven.ended, last, "{}", driven.story("the end of the epoch"));
                }
            }
        }
        again += driven.again;
        ended += usize::from(driven.ended);
    }
    println!("the machine spoke when it could: {spoken:?}, {again} votes again, and made {finalized} blocks final");
    assert!(again > 20 && ended > 20, "{again} {ended}");
    for kind in [StatementKind::Notarize, StatementKind::Nullify, StatementKind::Finalize] {
        assert!(spoken[&kind] > 100, "{spoken:?}");
    }
    assert!(finalized > 100, "{finalized}");
}
