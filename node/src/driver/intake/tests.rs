use alloy_primitives::{Address, B256};
use baton_proto::{BlockDigest, Forced, Height, L1BlockNumber};

use super::*;
use crate::{
    driver::{
        CHECKED_QUEUE_MAX,
        testing::{World, block_of},
    },
    ledger::{ChainIdentity, MemoryLedger},
    signer::{OwnKey, SignRecord},
};

/// A view that member 0 leads.
const VIEW: View = View::new(2);

/// The checks of a follower that one member is connected to: what that one sends can be charged to it.
struct Stage {
    world: World,
    intake: Intake,
    _sender: Network,
}

impl Stage {
    async fn with_sender(sender: u8) -> Self {
        let world = World::new(&[1, 1, 1, 1]);
        let identity = ChainIdentity { domain: world.domain, inbox: Address::ZERO, slasher: Address::ZERO };
        Self::after_a_start(sender, Arc::new(MemoryLedger::new(&identity).unwrap())).await
    }

    /// The same with what an earlier process left behind.
    async fn after_a_start(sender: u8, ledger: Arc<dyn Ledger>) -> Self {
        let world = World::new(&[1, 1, 1, 1]);
        let (network, sender) = world.hears(sender).await;
        let window = Arc::new(ViewWindow::default());
        let epoch = world.epoch_led_by_the_first(VIEW);
        let heard = Arc::new(Mutex::new(HeardOut::new(Arc::clone(&epoch.committee), None)));
        let (checked, _) = mpsc::channel(1);
        let rebuilder = Rebuilder::new(network.clone(), Arc::new(|_: &_| None), Arc::clone(&window), vec![], checked);
        let intake = Intake::new(IntakeContext {
            epoch,
            epochs: Epochs { genesis: L1BlockNumber::ZERO, blocks: 16 },
            // The first vote of a member in each view is checked at once.
            inactive_views: 1,
            window,
            certified: Arc::new(Certified::new(None)),
            heard,
            ledger,
            testimony: Arc::default(),
            network,
            rebuilder,
        });
        Self { world, intake, _sender: sender }
    }

    /// Member `from` sends `message`: what goes on, or what is wrong with it.
    fn check(&mut self, from: u8, message: ConsensusMessage) -> Result<Option<Checked>, &'static str> {
        let mut found = check(&mut self.intake, from, message)?;
        assert!(found.len() <= 1, "{found:?}");
        Ok(found.pop())
    }

    /// A member sends its own vote; returns whether it goes on.
    fn vote(&mut self, vote: &SignedStatement) -> bool {
        self.vote_beside(vote, None).is_some()
    }

    /// The same with a leader's signature beside it; says whether that one went on with it.
    fn vote_beside(&mut self, vote: &SignedStatement, leader: Option<&SignedStatement>) -> Option<bool> {
        let message = ConsensusMessage::Vote { vote: vote.clone(), leader: leader.map(|leader| leader.signature) };
        match self.check(vote.signer.get(), message).unwrap()? {
            Checked::Vote { vote: found, leader } => {
                assert_eq!(found.into_inner(), *vote);
                Some(leader.is_some())
            }
            other => panic!("{other:?}"),
        }
    }

    fn evidence(&mut self, evidence: &Evidence) -> Result<bool, &'static str> {
        // Who brings it does not matter.
        match self.check(3, ConsensusMessage::Evidence(evidence.clone()))? {
            None => Ok(false),
            Some(Checked::Evidence(found)) => {
                assert_eq!(&found, evidence);
                Ok(true)
            }
            Some(other) => panic!("{other:?}"),
        }
    }

    fn charges(&self) -> u64 {
        self.intake.network.stats().faults_charged.get()
    }

    fn notarize(&self, signer: u8, view: View, block: u8) -> SignedStatement {
        self.world.sign(signer, Statement::Notarize { epoch: self.intake.epoch, view, block: digest(block) })
    }

    /// `signed` with a signature that is not its signer's.
    fn forged(&self, signed: SignedStatement) -> SignedStatement {
        let other = if signed.signer == MemberIndex::new(2) { 3 } else { 2 };
        SignedStatement { signature: self.world.sign(other, signed.statement).signature, ..signed }
    }

    /// A pair of conflicting Notarizes by one member.
    fn pair(&self, signer: u8, blocks: [u8; 2]) -> Evidence {
        let [first, second] = blocks.map(|block| self.notarize(signer, VIEW, block));
        Evidence::new(first, second).unwrap()
    }

    /// The same with one signature or both forged.
    fn forged_pairs(&self, signer: u8, blocks: [u8; 2]) -> [Evidence; 3] {
        let [first, second] = blocks.map(|block| self.notarize(signer, VIEW, block));
        let [bad, also_bad] = [&first, &second].map(|signed| self.forged(signed.clone()));
        [(bad.clone(), second), (first, also_bad.clone()), (bad, also_bad)]
            .map(|(first, second)| Evidence::new(first, second).unwrap())
    }
}

/// Member `from` sends `message` and nobody anything else.
fn check(intake: &mut Intake, from: u8, message: ConsensusMessage) -> Result<Vec<Checked>, &'static str> {
    let (from, mut found) = (MemberIndex::new(from), vec![]);
    let sorted = intake.sort(from, message);
    intake.check(from, sorted, &mut found).map(|()| found)
}

fn digest(n: u8) -> BlockDigest {
    BlockDigest::new(B256::repeat_byte(n))
}

/// Everything that no honest member sends, in its own name or another's: from whom, what, and the words of the refusal.
fn refused(world: &World, epoch: Epoch) -> Vec<(u8, ConsensusMessage, &'static str)> {
    let block = block_of(5, VIEW.get(), vec![]);
    let notarize = |block: &Block| Statement::Notarize { epoch, view: VIEW, block: block.header.digest() };
    let proposal = |block: &Block, notarize| ConsensusMessage::Proposal { block: block.clone(), notarize };
    let compact = |block: &Block, notarize| ConsensusMessage::CompactProposal {
        header: block.header.clone(),
        notarize,
        forced: Forced::default(),
        transactions: vec![],
    };
    let mut others_block = block.clone();
    others_block.header.proposer = MemberIndex::new(1);
    let mut other_block = block.clone();
    other_block.header.height = Height::new(6);
    let mut other_gas = block.clone();
    other_gas.header.declared_gas += 1;
    let forged =
        SignedStatement { signature: world.sign(1, notarize(&block)).signature, ..world.sign(0, notarize(&block)) };
    let finalize = Statement::Finalize { epoch, view: VIEW, block: block.header.digest() };
    let nullify = Statement::Nullify { epoch, view: VIEW };
    let mut cases = vec![
        (1, ConsensusMessage::Vote { vote: world.sign(0, nullify), leader: None }, "a vote that another member signed"),
        (
            0,
            ConsensusMessage::Certificate(Certificate { statement: nullify, ..world.certify(&[0, 1, 2], finalize) }),
            "an invalid certificate",
        ),
        (
            0,
            compact(&other_gas, world.sign(0, notarize(&other_gas))),
            "a compact proposal whose transactions are not what its header commits to",
        ),
    ];
    for (from, block, notarize, words) in [
        (0, &block, world.sign(0, finalize), "a proposal without a Notarize"),
        (1, &block, world.sign(0, notarize(&block)), "a proposal that another member signed"),
        (
            1,
            &others_block,
            world.sign(1, notarize(&others_block)),
            "a proposal from a member that does not lead the view",
        ),
        (0, &other_block, world.sign(0, notarize(&block)), "a proposal whose Notarize names another block"),
        (0, &others_block, world.sign(0, notarize(&others_block)), "a proposal of a block that names another proposer"),
        (0, &block, forged, "a proposal with an invalid signature"),
    ] {
        cases.push((from, proposal(block, notarize.clone()), words));
        cases.push((from, compact(block, notarize), words));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_honest_member_sends_is_refused_and_charged_to_who_sends_it() {
    for sender in [0, 1] {
        let stage = Stage::with_sender(sender).await;
        let cases = refused(&stage.world, stage.intake.epoch);
        // The same block is taken from who may propose it.
        let block = block_of(5, VIEW.get(), vec![]);
        let notarize = Statement::Notarize { epoch: stage.intake.epoch, view: VIEW, block: block.header.digest() };
        let good = ConsensusMessage::Proposal { notarize: stage.world.sign(0, notarize), block };
        let Stage { world: _world, mut intake, _sender } = stage;
        let network = intake.network.clone();
        for (from, message, words) in &cases {
            assert_eq!(check(&mut intake, *from, message.clone()).unwrap_err(), *words, "{message:?}");
        }
        assert_eq!(network.stats().faults_charged.get(), 0, "that is for who takes the refusal");
        for (from, _, words) in &cases[..3] {
            let before = network.stats().faults_charged.get();
            intake.refuse(MemberIndex::new(*from), words);
            // Only who is connected can be charged.
            let charged = network.stats().faults_charged.get() - before;
            assert_eq!(charged, u64::from(*from == sender), "{words}");
        }
        let found = check(&mut intake, 0, good).unwrap();
        assert!(matches!(found[..], [Checked::Proposal { .. }]), "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_statement_in_one_place_is_neither_checked_nor_charged() {
    let mut stage = Stage::with_sender(0).await;
    let [first, second, third] = [1, 2, 3].map(|block| stage.notarize(0, VIEW, block));
    assert!(stage.vote(&first));
    assert!(stage.vote(&second), "two are an offence, and evidence");
    assert!(!stage.vote(&third));
    let forged = stage.forged(third);
    assert!(!stage.vote(&forged));
    assert_eq!(stage.charges(), 0, "its signature is not even looked at");
    // The two are taken as often as they are sent again: whoever missed them needs them.
    assert!(stage.vote(&first) && stage.vote(&second));

    // Places are those of one member, one view and one kind.
    let other_kind = stage.world.sign(0, Statement::Nullify { epoch: stage.intake.epoch, view: VIEW });
    let other_view = stage.notarize(0, View::new(VIEW.get() + 1), 3);
    let other_member = stage.notarize(1, VIEW, 3);
    assert!(stage.vote(&other_kind) && stage.vote(&other_view) && stage.vote(&other_member));
    assert_eq!(stage.charges(), 0);
    // In a place of its own a forged one is looked at, and charged.
    let forged = stage.forged(stage.notarize(0, View::new(VIEW.get() + 2), 3));
    assert!(!stage.vote(&forged));
    assert_eq!(stage.charges(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaders_third_block_is_ignored_wherever_it_stands() {
    let mut stage = Stage::with_sender(3).await;
    // Its first two arrive beside others' votes.
    for (voter, block) in [(1, 1), (2, 2)] {
        let (vote, leader) = (stage.notarize(voter, VIEW, block), stage.notarize(0, VIEW, block));
        assert_eq!(stage.vote_beside(&vote, Some(&leader)), Some(true));
    }
    // A third beside an honest vote costs the voter nothing, not even when it is forged.
    let (vote, leader) = (stage.notarize(3, VIEW, 3), stage.forged(stage.notarize(0, VIEW, 3)));
    assert_eq!(stage.vote_beside(&vote, Some(&leader)), Some(false));
    assert_eq!(stage.charges(), 0);
    // And as a proposal it goes no further.
    let block = block_of(5, VIEW.get(), vec![]);
    let statement = Statement::Notarize { epoch: stage.intake.epoch, view: VIEW, block: block.header.digest() };
    let third = ConsensusMessage::Proposal { notarize: stage.world.sign(0, statement), block };
    assert!(matches!(stage.check(0, third.clone()), Ok(None)));
    let mut fresh = Stage::with_sender(3).await;
    assert!(matches!(fresh.check(0, third), Ok(Some(Checked::Proposal { .. }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_valid_statements_use_up_a_place() {
    let mut stage = Stage::with_sender(3).await;
    for block in 10..13 {
        let forged = stage.forged(stage.notarize(1, VIEW, block));
        assert!(!stage.vote(&forged));
        let [.., both_forged] = stage.forged_pairs(1, [block, block + 100]);
        assert!(stage.evidence(&both_forged).is_err());
    }
    for block in [1, 2] {
        let vote = stage.notarize(1, VIEW, block);
        assert!(stage.vote(&vote), "its places are free");
    }
    // Whoever votes with a forged leader's signature beside it uses up its own places at most.
    for (forger, block) in [(2, 30), (3, 31), (2, 32)] {
        let (vote, leader) = (stage.notarize(forger, VIEW, block), stage.forged(stage.notarize(0, VIEW, block)));
        assert_eq!(stage.vote_beside(&vote, Some(&leader)), None);
    }
    assert_eq!(stage.charges(), 1, "the one forger that is connected");
    for block in [1, 2] {
        let vote = stage.notarize(0, VIEW, block);
        assert!(stage.vote(&vote), "the leader's places are free");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_valid_pair_against_a_member_is_handed_on_and_the_next_is_not_checked() {
    let mut stage = Stage::with_sender(3).await;
    let forged = stage.forged_pairs(1, [1, 2]);
    for forged in &forged {
        assert_eq!(stage.evidence(forged), Err("evidence with an invalid signature"));
    }
    // What was forged convicted nobody.
    let first = stage.pair(1, [1, 2]);
    assert_eq!(stage.evidence(&first), Ok(true));
    // From now on nothing against this member is looked at: not the same, not another pair, not a forged one.
    let (another, [forged_anew, ..]) = (stage.pair(1, [3, 4]), stage.forged_pairs(1, [5, 6]));
    for again in [&first, &another, &forged_anew] {
        assert_eq!(stage.evidence(again), Ok(false));
    }
    let other = stage.pair(2, [1, 2]);
    assert_eq!(stage.evidence(&other), Ok(true), "another member is another matter");
}

#[tokio::test(flavor = "multi_thread")]
async fn attestations_for_two_committees_are_evidence_under_one_key() {
    let mut stage = Stage::with_sender(3).await;
    let running = stage.intake.epoch;
    let said =
        [(running, 1), (Epoch::new(running.get() + 7), 2)].map(|(epoch, fill)| stage.world.attest(1, epoch, fill));
    let [first, second] = said;
    let half_forged = Evidence::new(first.clone(), stage.forged(second.clone())).unwrap();
    assert_eq!(stage.evidence(&half_forged), Err("evidence with an invalid signature"));
    let evidence = Evidence::new(first, second).unwrap();
    assert_eq!(stage.evidence(&evidence), Ok(true));
    assert_eq!(stage.evidence(&evidence), Ok(false), "known");
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_views_that_do_not_matter_is_not_checked() {
    let mut stage = Stage::with_sender(3).await;
    for view in (1 << 30..).take(3).map(View::new) {
        let (first, second) = (stage.notarize(2, view, 1), stage.notarize(2, view, 2));
        let half_forged = Evidence::new(first.clone(), stage.forged(second.clone())).unwrap();
        assert_eq!(stage.evidence(&half_forged), Ok(false));
        assert_eq!(stage.evidence(&Evidence::new(first, second).unwrap()), Ok(false));
    }
    assert!(stage.intake.statements.is_empty());
    // A certificate may be of any view that comes.
    let certificate = |stage: &Stage, view| {
        let statement = Statement::Nullify { epoch: stage.intake.epoch, view: View::new(view) };
        ConsensusMessage::Certificate(stage.world.certify(&[0, 1, 2], statement))
    };
    stage.intake.window.set(View::new(1_000), View::new(1_002));
    let (past, kept) = (1_000 - RETENTION_VIEWS - 1, 1_000 - RETENTION_VIEWS);
    let (held, past) = (certificate(&stage, past - 1), certificate(&stage, past));
    let (kept, far) = (certificate(&stage, kept), certificate(&stage, 1 << 30));
    // One that is past may be half of a lie, unless the ledger holds it already.
    let ConsensusMessage::Certificate(certificate) = &held else { unreachable!("made above") };
    stage.intake.ledger.persist(&[], std::slice::from_ref(certificate)).unwrap();
    assert!(stage.check(3, held).unwrap().is_none());
    assert!(stage.check(3, past.clone()).unwrap().is_some() && stage.check(3, past).unwrap().is_none());
    assert!(stage.check(3, kept.clone()).unwrap().is_some() && stage.check(3, kept).unwrap().is_none());
    assert!(stage.check(3, far).unwrap().is_some());

    let finalize = |stage: &Stage, view, block| {
        let statement = Statement::Finalize { epoch: stage.intake.epoch, view: View::new(view), block };
        stage.world.certify(&[0, 1, 2], statement)
    };
    let lie = ConsensusMessage::Certificate(finalize(&stage, 7, BlockDigest::new(B256::repeat_byte(9))));
    assert!(matches!(stage.check(3, lie).unwrap(), Some(Checked::Certificate(_))));
    let mut forged = finalize(&stage, 8, BlockDigest::new(B256::repeat_byte(9)));
    forged.signers = [0, 1, 3].map(MemberIndex::new).into_iter().collect();
    assert!(stage.check(3, ConsensusMessage::Certificate(forged)).is_err());
}

/// The last block of the epoch, of view 1, which `proposer` built.
fn handover(proposer: MemberIndex) -> Block {
    let mut block = block_of(5, 1, vec![]);
    // Epochs have 16 L1 blocks here, and the stage is in epoch 2.
    block.header.origin.number = L1BlockNumber::new(48);
    block.header.proposer = proposer;
    block
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_epochs_last_block_is_proposed_again() {
    let mut stage = Stage::with_sender(0).await;
    let built_it = stage.intake.schedule.leader(View::new(1));
    let propose_again = |stage: &Stage, block: &Block| {
        let statement = Statement::Notarize { epoch: stage.intake.epoch, view: VIEW, block: block.header.digest() };
        ConsensusMessage::Proposal { notarize: stage.world.sign(0, statement), block: block.clone() }
    };
    let mut goes_on = |block: &Block| {
        let message = propose_again(&stage, block);
        matches!(stage.check(0, message).unwrap(), Some(Checked::Proposal { .. }))
    };
    let last = handover(built_it);
    let mut ordinary = last.clone();
    ordinary.header.origin.number = L1BlockNumber::new(47);
    assert!(!goes_on(&ordinary), "its origin is in this epoch");
    let other = MemberIndex::new((built_it.get() + 1) % 4);
    assert!(!goes_on(&handover(other)), "its view had another leader");
    let mut of_the_future = last.clone();
    of_the_future.header.view = View::new(VIEW.get() + 1);
    assert!(!goes_on(&of_the_future));
    assert!(goes_on(&last));
    assert_eq!(stage.charges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_a_later_epoch_says_that_there_is_one_and_what_is_of_an_earlier_one_nothing() {
    let mut stage = Stage::with_sender(0).await;
    let vote = |stage: &Stage, epoch: u64| {
        let vote = stage.world.sign(0, Statement::Nullify { epoch: Epoch::new(epoch), view: VIEW });
        // Nobody can check it here: the committee is another one.
        ConsensusMessage::Vote { vote: stage.forged(vote), leader: None }
    };
    let (earlier, later) = (vote(&stage, 1), vote(&stage, 3));
    assert!(stage.check(0, earlier).unwrap().is_none());
    assert!(matches!(stage.check(0, later).unwrap(), Some(Checked::LaterEpoch)));
    assert_eq!(stage.charges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_together_is_judged_as_if_it_came_alone() {
    let mut stage = Stage::with_sender(2).await;
    let block = block_of(5, VIEW.get(), vec![]);
    let epoch = stage.intake.epoch;
    let notarize = Statement::Notarize { epoch, view: VIEW, block: block.header.digest() };
    let earlier = View::new(VIEW.get() - 1);
    let finalize = Statement::Finalize { epoch, view: earlier, block: digest(9) };
    let certificate = stage.world.certify(&[0, 1, 2], finalize);
    let forged = Certificate { statement: Statement::Nullify { epoch, view: earlier }, ..certificate.clone() };
    let bad_vote = stage.forged(stage.world.sign(2, Statement::Nullify { epoch, view: VIEW }));
    let good_vote = stage.world.sign(1, Statement::Nullify { epoch, view: VIEW });
    let vote = |vote: &SignedStatement| ConsensusMessage::Vote { vote: vote.clone(), leader: None };
    let came = [
        (0, ConsensusMessage::Proposal { block, notarize: stage.world.sign(0, notarize) }),
        (1, ConsensusMessage::Certificate(certificate.clone())),
        (2, ConsensusMessage::Certificate(forged)),
        (2, vote(&bad_vote)),
        (3, ConsensusMessage::Certificate(stage.world.certify(&[1, 2, 3], finalize))),
        (1, vote(&good_vote)),
    ];
    let came = came.into_iter().map(|(from, message)| (MemberIndex::new(from), message)).collect();
    let found = stage.intake.take_in(came);
    let [Checked::Proposal { notarize: leaders, .. }, Checked::Certificate(certified), Checked::Vote { vote, .. }] =
        &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((leaders.statement, &**certified, &**vote), (notarize, &certificate, &good_vote));
    assert_eq!(stage.charges(), 2, "for the forged certificate and the forged vote");
    // Of a leader that proposes more and more in one place, two are checked.
    let proposals = (1..=4).map(|height| {
        let block = block_of(height, VIEW.get() + 4, vec![]);
        let view = View::new(VIEW.get() + 4);
        let notarize = Statement::Notarize { epoch, view, block: block.header.digest() };
        (MemberIndex::new(0), ConsensusMessage::Proposal { block, notarize: stage.world.sign(0, notarize) })
    });
    let proposals = proposals.collect();
    assert_eq!(stage.intake.take_in(proposals).len(), 2);
}

impl Stage {
    /// Runs until these votes are checked, each from its signer; returns what went on, and what is kept.
    async fn runs(self, votes: &[SignedStatement]) -> (Vec<SignedStatement>, Arc<dyn Ledger>) {
        let ledger = Arc::clone(&self.intake.ledger);
        let (messages, inbox) = mpsc::channel(votes.len());
        for vote in votes {
            messages.try_send((vote.signer, ConsensusMessage::Vote { vote: vote.clone(), leader: None })).unwrap();
        }
        drop(messages);
        let (checked, mut found) = mpsc::channel(CHECKED_QUEUE_MAX);
        tokio::task::spawn_blocking(move || self.intake.run(inbox, &checked)).await.unwrap();
        let vote = |checked| match checked {
            Checked::Vote { vote, .. } => vote.into_inner(),
            other => panic!("{other:?}"),
        };
        (std::iter::from_fn(|| found.try_recv().ok()).map(vote).collect(), ledger)
    }

    fn says(&self, signer: u8, view: View, kind: StatementKind) -> SignedStatement {
        let epoch = self.intake.epoch;
        let statement = match kind {
            StatementKind::Nullify => Statement::Nullify { epoch, view },
            StatementKind::Finalize => Statement::Finalize { epoch, view, block: digest(1) },
            _ => Statement::Notarize { epoch, view, block: digest(1) },
        };
        self.world.sign(signer, statement)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_the_other_half_of_an_offence_still_finds_the_first() {
    let mut stage = Stage::with_sender(2).await;
    stage.intake.window.set(VIEW, VIEW);
    let [notarize, finalize, nullify] = [StatementKind::Notarize, StatementKind::Finalize, StatementKind::Nullify]
        .map(|kind| stage.says(2, VIEW, kind));
    let others = stage.says(1, VIEW, StatementKind::Finalize);
    // The second word of a member that was just heard waits unchecked.
    assert!(stage.vote(&notarize));
    let (found, ledger) = stage.runs(&[finalize.clone(), others.clone()]).await;
    assert_eq!(found, std::slice::from_ref(&others));
    let checks = |ledger: &dyn Ledger| -> Vec<VoteCheck> {
        let kept = ledger.votes(finalize.statement.epoch(), VIEW).unwrap();
        let check = |signed: &SignedStatement| kept.iter().find(|kept| kept.signed == *signed).unwrap().check;
        [&notarize, &finalize, &others].map(check).into()
    };
    assert_eq!(checks(&*ledger), [VoteCheck::Checked, VoteCheck::Unchecked, VoteCheck::Checked]);

    let stage = Stage::after_a_start(2, ledger).await;
    stage.intake.window.set(VIEW, VIEW);
    let (found, ledger) = stage.runs(std::slice::from_ref(&nullify)).await;
    assert!(found.contains(&finalize) && found.contains(&nullify), "both halves reach the machine: {found:?}");
    assert!(Evidence::new(finalize.clone(), nullify.clone()).is_some());
    assert_eq!(checks(&*ledger), [VoteCheck::Checked; 3]);
    // If this process ends before the machine has them, the next one needs nobody to repeat anything.
    let stage = Stage::after_a_start(2, ledger).await;
    stage.intake.window.set(VIEW, VIEW);
    let (found, _) = stage.runs(std::slice::from_ref(&others)).await;
    assert!(found.contains(&finalize) && found.contains(&nullify), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_heard_before_the_start_is_taken_in_with_its_leaders_word() {
    let stage = Stage::with_sender(2).await;
    stage.intake.window.set(VIEW, VIEW);
    let [leaders, vote] = [0, 2].map(|signer| stage.says(signer, VIEW, StatementKind::Notarize));
    let (_, ledger) = stage.runs(&[leaders.clone(), vote.clone()]).await;
    let mut stage = Stage::after_a_start(2, ledger).await;
    assert!(stage.intake.said_before().is_empty(), "nobody knows yet which views matter");
    stage.intake.window.set(VIEW, VIEW);
    let said = stage.intake.said_before();
    let message = |vote: &SignedStatement, leader| (vote.signer, ConsensusMessage::Vote { vote: vote.clone(), leader });
    assert_eq!(said, [message(&leaders, None), message(&vote, Some(leaders.signature))]);
    assert!(stage.intake.said_before().is_empty(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_long_past_is_not_past_for_who_lied_in_it() {
    let mut stage = Stage::with_sender(2).await;
    let [finalize, nullify] = [StatementKind::Finalize, StatementKind::Nullify].map(|kind| stage.says(2, VIEW, kind));
    stage.intake.testimony.note(&finalize, VoteCheck::Unchecked);
    stage.intake.testimony.keep(stage.intake.ledger.as_ref()).unwrap();
    let forged = stage.forged(nullify.clone());
    let message =
        |vote: &SignedStatement| vec![(vote.signer, ConsensusMessage::Vote { vote: vote.clone(), leader: None })];
    // While the view is recent, that is for the machine.
    stage.intake.window.set(VIEW, View::new(VIEW.get() + RETENTION_VIEWS - 1));
    let mut found = vec![];
    stage.intake.accuse(nullify.signer, &message(&nullify)[0].1, &mut found);
    assert!(found.is_empty(), "{found:?}");
    // Later the machine takes no vote of that view.
    let later = View::new(VIEW.get() + RETENTION_VIEWS + 1);
    stage.intake.window.set(later, later);
    assert!(stage.intake.take_in(message(&finalize)).is_empty(), "said again");
    assert!(stage.intake.take_in(message(&forged)).is_empty());
    assert_eq!(stage.charges(), 1);
    let found = stage.intake.take_in(message(&nullify));
    let [Checked::Evidence(evidence)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*evidence, Evidence::new(finalize, nullify.clone()).unwrap());
    assert!(stage.intake.take_in(message(&nullify)).is_empty(), "once is enough");
    assert!(stage.intake.take_in(message(&forged)).is_empty());
    assert_eq!(stage.charges(), 1, "a liar costs nothing more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notarize_of_ours_that_our_record_lacks_is_looked_at_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for (place, is_recorded) in [false, true].into_iter().enumerate() {
        let mut stage = Stage::with_sender(3).await;
        let key = stage.world.key(0);
        let record = SignRecord::create(&folder.path().join(place.to_string()), &key.public_key()).unwrap();
        let own = OwnKey::new(key, record, stage.world.domain).unwrap().seated(MemberIndex::new(0));
        let (vote, ours) = (stage.notarize(1, VIEW, 1), stage.notarize(0, VIEW, 1));
        if is_recorded {
            own.sign(&[ours.statement]).unwrap();
        }
        stage.intake.own = Some(Arc::new(own));
        // Of whom something was checked in this view, the next vote waits.
        assert!(stage.vote(&stage.world.sign(1, Statement::Nullify { epoch: stage.intake.epoch, view: VIEW })));
        let found = stage.vote_beside(&vote, Some(&ours));
        assert_eq!(found, if is_recorded { None } else { Some(true) });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vote_of_ours_is_taken_from_anybody_and_checked_only_if_our_record_lacks_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut stage = Stage::with_sender(3).await;
    let key = stage.world.key(0);
    let record = SignRecord::create(&folder.path().join("record"), &key.public_key()).unwrap();
    let own = OwnKey::new(key, record, stage.world.domain).unwrap().seated(MemberIndex::new(0));
    let [recorded, lost] = [1, 2].map(|block| stage.notarize(0, VIEW, block));
    own.sign(&[recorded.statement]).unwrap();
    stage.intake.own = Some(Arc::new(own));
    let message = |vote: &SignedStatement| ConsensusMessage::Vote { vote: vote.clone(), leader: None };
    // What is recorded needs no check.
    assert!(stage.check(3, message(&stage.forged(recorded.clone()))).unwrap().is_none());
    assert!(stage.check(3, message(&recorded)).unwrap().is_none());
    let refused = stage.check(3, message(&stage.forged(lost.clone())));
    assert_eq!(refused.unwrap_err(), "a vote of ours with an invalid signature");
    let found = stage.check(3, message(&lost)).unwrap();
    assert!(matches!(&found, Some(Checked::Ours(shown)) if **shown == lost), "{found:?}");
    assert!(stage.check(2, message(&lost)).unwrap().is_none(), "once is enough");
    // Of nobody else.
    let refused = stage.check(3, message(&stage.notarize(1, VIEW, 1)));
    assert_eq!(refused.unwrap_err(), "a vote that another member signed");
    // At or below the final view it can contradict nothing that we may still say.
    stage.intake.window.set(VIEW, VIEW.next().unwrap());
    assert!(stage.check(3, message(&stage.notarize(0, VIEW, 3))).unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_names_its_view_in_questions_and_in_votes_but_not_with_what_may_be_older() {
    let stage = Stage::with_sender(3).await;
    let (epoch, view) = (stage.intake.epoch, View::new(7));
    let later = Epoch::new(epoch.get() + 1);
    let has_caught_up = |stage: &Stage| stage.intake.heard.lock().unwrap().has_caught_up(view, 0);
    let vote = |signer: u8, statement| {
        let vote = stage.world.sign(signer, statement);
        (MemberIndex::new(signer), ConsensusMessage::Vote { vote, leader: None })
    };
    let finalize = Statement::Finalize { epoch, view, block: digest(1) };
    let another = vote(3, Statement::Nullify { epoch: later, view });
    let request = |from, epoch| (MemberIndex::new(from), ConsensusMessage::CertificateRequest { epoch, view });
    let few =
        [vote(0, finalize), another, request(1, epoch), request(3, later), vote(2, Statement::Nullify { epoch, view })];
    few.iter().for_each(|(from, message)| stage.intake.note_word(*from, message));
    assert!(!has_caught_up(&stage), "a follower has heard two of four");
    let (from, notarize) = vote(3, Statement::Notarize { epoch, view, block: digest(1) });
    stage.intake.note_word(from, &notarize);
    assert!(has_caught_up(&stage));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_the_start_is_no_word_of_a_member_now() {
    let stage = Stage::with_sender(3).await;
    let nullifies = [0, 1, 2].map(|signer| stage.says(signer, VIEW, StatementKind::Nullify));
    stage.intake.window.set(VIEW, VIEW);
    let (_, ledger) = stage.runs(&nullifies).await;
    let stage = Stage::after_a_start(3, ledger).await;
    stage.intake.window.set(VIEW, VIEW);
    let (heard, last) = (Arc::clone(&stage.intake.heard), stage.says(3, VIEW, StatementKind::Nullify));
    let (found, _) = stage.runs(&[last]).await;
    assert_eq!(found.len(), 4, "all are taken in");
    assert!(!heard.lock().unwrap().has_caught_up(VIEW, 0), "and one was heard");
}
