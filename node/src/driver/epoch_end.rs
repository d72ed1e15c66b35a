//! Learning that the others have gone on to a later epoch: whoever is still in this one asks how it ended.
//!
//! Nothing of a later epoch can be checked here before this one has ended: its committee follows from the last block.
//! But that anybody speaks of one is reason enough to ask, and the answer, the finalization of this epoch's last block,
//! proves itself with the committee that is known. What lies before that block comes as it does for anybody who is
//! behind. Where nobody speaks, it is asked all the same once L1 is in a later epoch and nothing becomes final any
//! more. Silence is no answer: it is asked again until those who know as much as we do say that they know of no end.

use std::time::{Duration, Instant};

use baton_consensus::{Verified, Verifier};
use baton_proto::{
    Certificate, Epochs, Height,
    wire::{FinalHeader, SyncRequest, SyncResponse},
};
use tracing::{debug, warn};

use crate::{
    p2p::{PeerId, Reach},
    sync::RangeSource,
};

/// How often it is worth asking: strangers can speak of any epoch.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether anything became final in an epoch that is due to end.
pub(super) const SEEK_EVERY: Duration = Duration::from_secs(3);

/// Members, and others, asked before whoever speaks of a later epoch next is the reason to ask again.
const ASKED_MAX: usize = 4;

/// Says when it is time to ask, however many speak of later epochs.
#[derive(Debug, Default)]
pub(super) struct LaterEpochs {
    said: Option<Instant>,
}

impl LaterEpochs {
    /// Returns whether this is worth telling the driver.
    pub(super) fn is_news(&mut self) -> bool {
        let now = Instant::now();
        let is_news = self.said.is_none_or(|said| now.duration_since(said) >= ASK_EVERY);
        if is_news {
            self.said = Some(now);
        }
        is_news
    }
}

/// What speaks for this epoch being over, and what against.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// A block became final under our eyes, and others of this epoch can follow it.
    has_lived: bool,
    /// Somebody spoke of a later epoch, and nobody has denied since that this one is over.
    may_be_over: bool,
    /// The final height at the last look while the epoch was due to end.
    looked_at: Option<Height>,
    /// Whether too few answered to the last question.
    is_unanswered: bool,
    questions: usize,
}

impl Life {
    /// A block became final under our eyes; `can_go_on` says whether others of this epoch can follow it.
    pub(super) const fn on_final(&mut self, can_go_on: bool) {
        self.has_lived |= can_go_on;
    }

    /// Somebody speaks of a later epoch.
    pub(super) const fn on_later_epoch(&mut self) {
        self.may_be_over = true;
    }

    /// Who was asked knows no end of this epoch.
    pub(super) const fn on_denied(&mut self) {
        self.may_be_over = false;
    }

    /// Too few of those who were asked said anything.
    pub(super) const fn on_silence(&mut self) {
        self.is_unanswered = true;
    }

    /// Returns whether this epoch surely runs, which a quiet moment alone does not show: one that is over is quiet too, and
    /// none but the running one makes blocks final.
    pub(super) const fn is_sure(&self, is_asking: bool) -> bool {
        self.has_lived && !self.may_be_over && !is_asking
    }

    /// Returns whether a block became final under our eyes that others of this epoch can follow.
    pub(super) const fn has_lived(&self) -> bool {
        self.has_lived
    }

    /// Returns whether somebody speaks of a later epoch, and nobody denied yet that this one is over.
    pub(super) const fn may_be_over(&self) -> bool {
        self.may_be_over
    }

    /// Returns how many questions how this epoch ended came before this one.
    pub(super) const fn next_question(&mut self) -> usize {
        let before = self.questions;
        self.questions = before.wrapping_add(1);
        self.is_unanswered = false;
        before
    }

    /// Returns whether it is to be asked how this epoch ended, though nobody spoke of that: the last question found no answer,
    /// or nothing became final since the last look, though L1 is in a later epoch (`is_due`), which the next block of any
    /// leader would show.
    pub(super) fn must_ask(&mut self, is_due: bool, final_height: Height) -> bool {
        let looked_at = std::mem::replace(&mut self.looked_at, is_due.then_some(final_height));
        self.is_unanswered || is_due && looked_at == Some(final_height)
    }
}

/// What became of the question how an epoch ended.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one answer at a time")]
pub(super) enum Found {
    /// The finalization of its last block.
    End(Verified<Certificate>),
    /// Most of the members that were asked know no end of it, though they know as much of the chain as we do.
    Denied,
    /// Too few of them answered: they may be gone, busy or behind.
    Silence,
}

/// Asks for the end of the verifier's epoch until somebody proves it: some of its members, then some of all others on
/// our chain, who came after them. `turn` says how often that was done before: others are asked each time, so that
/// nobody can keep the honest ones out by being first. Anybody can prove an end; that there is none, only members are
/// believed whose chain is at least as long as ours, which is final up to `head`.
pub(super) async fn find<S: RangeSource>(
    source: &S,
    turn: usize,
    head: Height,
    verifier: &Verifier,
    epochs: Epochs,
) -> Found {
    let epoch = verifier.committee().epoch();
    let Reach { mut members, configured, others } = source.reach();
    let mut others: Vec<PeerId> = configured.into_iter().chain(others).collect();
    for peers in [&mut members, &mut others] {
        let first = turn.wrapping_mul(ASKED_MAX).checked_rem(peers.len()).unwrap_or(0);
        peers.rotate_left(first);
        peers.truncate(ASKED_MAX);
    }
    let (asked, mut denials) = (members.len(), 0_usize);
    for (place, peer) in members.into_iter().chain(others).enumerate() {
        match source.request(peer, SyncRequest::EpochEnd(epoch)).await {
            Ok(SyncResponse::EpochEnd(last)) => match prove(last, verifier, epochs) {
                Some(end) => return Found::End(end),
                None => {
                    warn!(%peer, %epoch, "a peer served something else as the end of an epoch");
                    source.charge(peer);
                }
            },
            Ok(SyncResponse::Head { height, .. }) => {
                debug!(%peer, %epoch, %height, "a peer knows no end of the epoch");
                denials += usize::from(place < asked && height >= head);
            }
            Ok(_) => debug!(%peer, %epoch, "a peer does not say how the epoch ended"),
            Err(error) => debug!(%peer, %error, "the end of the epoch is not known"),
        }
    }
    if 2 * denials > asked { Found::Denied } else { Found::Silence }
}

/// Decoding has checked that the certificate is a finalization of the header's block.
fn prove(last: FinalHeader, verifier: &Verifier, epochs: Epochs) -> Option<Verified<Certificate>> {
    let FinalHeader { header, finalization } = last;
    let is_early = finalization.statement.view() < Some(header.view);
    if header.epoch != verifier.committee().epoch() || !epochs.ends_with(&header) || is_early {
        return None;
    }
    verifier.verify_certificate(finalization).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use baton_proto::{BlockDigest, Epoch, L1BlockNumber, Statement, View};

    use super::*;
    use crate::{
        driver::testing::{World, block_of},
        p2p::RequestError,
    };

    /// Stands for no answer.
    const DEAF: SyncResponse = SyncResponse::Taken(0);

    /// How far the chain is final where the end is sought.
    const HEAD: Height = Height::new(4);

    const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::ZERO, blocks: 10 };

    /// What each peer answers, and whom it was charged to; [`DEAF`] does not.
    #[derive(Clone)]
    struct Peers(Arc<Inner>);

    struct Inner {
        reach: Reach,
        answers: Vec<SyncResponse>,
        asked: Mutex<Vec<usize>>,
        charged: Mutex<Vec<usize>>,
    }

    impl Peers {
        /// The first `members` of those who answer so are members.
        fn new(members: usize, answers: Vec<SyncResponse>) -> Self {
            let mut named: Vec<PeerId> = answers.iter().map(|_| PeerId::random()).collect();
            let others = named.split_off(members);
            let reach = Reach { members: named, others, ..Reach::default() };
            Self(Arc::new(Inner { reach, answers, asked: Mutex::default(), charged: Mutex::default() }))
        }

        fn place(&self, peer: PeerId) -> usize {
            self.0.reach.members.iter().chain(&self.0.reach.others).position(|known| *known == peer).unwrap()
        }
    }

    impl RangeSource for Peers {
        async fn request(&self, peer: PeerId, request: SyncRequest) -> Result<SyncResponse, RequestError> {
            assert_eq!(request, SyncRequest::EpochEnd(Epoch::new(2)));
            self.0.asked.lock().unwrap().push(self.place(peer));
            match &self.0.answers[self.place(peer)] {
                SyncResponse::Taken(_) => Err(RequestError::Timeout),
                answer => Ok(answer.clone()),
            }
        }

        fn reach(&self) -> Reach {
            self.0.reach.clone()
        }

        fn charge(&self, peer: PeerId) {
            self.0.charged.lock().unwrap().push(self.place(peer));
        }
    }

    /// The last block of epoch 2 with a finalization of a later view by `signers`.
    fn last(world: &World, signers: &[u8], origin: u64) -> FinalHeader {
        let mut header = block_of(5, 7, vec![]).header;
        header.origin.number = L1BlockNumber::new(origin);
        let statement = Statement::Finalize { epoch: header.epoch, view: View::new(9), block: header.digest() };
        FinalHeader { header, finalization: world.certify(signers, statement) }
    }

    fn end(found: Found) -> Option<Certificate> {
        match found {
            Found::End(end) => Some(end.into_inner()),
            Found::Denied | Found::Silence => None,
        }
    }

    async fn find_among(members: usize, answers: Vec<SyncResponse>) -> (Option<Certificate>, Vec<usize>, Vec<usize>) {
        let (world, peers) = (World::new(&[1, 1, 1, 1]), Peers::new(members, answers));
        let found = end(find(&peers, 0, HEAD, &world.verifier, EPOCHS).await);
        let (asked, charged) = (peers.0.asked.lock().unwrap().clone(), peers.0.charged.lock().unwrap().clone());
        (found, asked, charged)
    }

    #[tokio::test]
    async fn the_first_proof_counts_and_who_lies_is_charged() {
        let world = World::new(&[1, 1, 1, 1]);
        let good = last(&world, &[0, 1, 2], 30);
        let answers = vec![
            SyncResponse::Unavailable,
            SyncResponse::EpochEnd(last(&world, &[0, 1], 30)),
            SyncResponse::EpochEnd(good.clone()),
            SyncResponse::EpochEnd(good.clone()),
        ];
        let (found, asked, charged) = find_among(4, answers).await;
        assert_eq!((found, asked, charged), (Some(good.finalization), vec![0, 1, 2], vec![1]));
    }

    #[tokio::test]
    async fn others_prove_it_where_no_member_does_and_each_has_a_turn() {
        let good = last(&World::new(&[1, 1, 1, 1]), &[0, 1, 2], 30);
        let mut answers = vec![SyncResponse::Unavailable; 3 * ASKED_MAX];
        answers.push(SyncResponse::EpochEnd(good.clone()));
        for members in [0, 3 * ASKED_MAX] {
            let (world, peers) = (World::new(&[1, 1, 1, 1]), Peers::new(members, answers.clone()));
            let (mut life, mut questions) = (Life::default(), 0);
            let found = loop {
                questions += 1;
                if let Some(found) = end(find(&peers, life.next_question(), HEAD, &world.verifier, EPOCHS).await) {
                    break found;
                }
                assert!(questions < 4, "{:?}", peers.0.asked);
            };
            assert_eq!(found, good.finalization);
            assert!(peers.0.charged.lock().unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_final_block_that_ends_nothing_is_no_answer() {
        let world = World::new(&[1, 1, 1, 1]);
        // L1 block 29 is the last of epoch 2.
        let in_the_middle = SyncResponse::EpochEnd(last(&world, &[0, 1, 2], 29));
        let (found, asked, charged) = find_among(1, vec![in_the_middle]).await;
        assert_eq!((found, asked, charged), (None, vec![0], vec![0]));
    }

    #[tokio::test]
    async fn silence_is_no_denial_and_neither_is_what_strangers_or_those_behind_say() {
        let head = |height| SyncResponse::Head { height: Height::new(height), digest: BlockDigest::ZERO };
        let (knows, behind, busy) = (head(HEAD.get()), head(HEAD.get() - 1), SyncResponse::Unavailable);
        let is_denied = async |members: usize, answers: &[&SyncResponse]| {
            let (world, answers) = (World::new(&[1, 1, 1, 1]), answers.iter().copied().cloned().collect());
            match find(&Peers::new(members, answers), 0, HEAD, &world.verifier, EPOCHS).await {
                Found::Denied => true,
                Found::Silence => false,
                Found::End(end) => panic!("{end:?}"),
            }
        };
        assert!(is_denied(3, &[&knows, &knows, &DEAF]).await);
        assert!(is_denied(3, &[&busy, &knows, &knows]).await);
        assert!(!is_denied(3, &[&DEAF, &DEAF, &DEAF]).await);
        assert!(!is_denied(3, &[&busy, &busy, &knows]).await, "one alone may lie");
        assert!(!is_denied(3, &[&knows, &behind, &behind]).await);
        assert!(!is_denied(2, &[&DEAF, &busy, &knows, &knows, &knows]).await, "strangers can say anything");
        assert!(!is_denied(0, &[&knows]).await);
        assert!(!is_denied(0, &[]).await);
    }

    #[test]
    fn what_finds_no_answer_is_asked_again() {
        let (mut life, at) = (Life::default(), Height::new(7));
        life.on_final(true);
        life.on_later_epoch();
        life.next_question();
        life.on_silence();
        assert!(!life.is_sure(false) && life.must_ask(false, at));
        life.next_question();
        assert!(!life.must_ask(false, at), "that is being done");
        life.on_denied();
        assert!(life.is_sure(false) && !life.must_ask(false, at));
    }

    #[test]
    fn an_epoch_surely_runs_only_where_blocks_become_final_and_nobody_speaks_of_a_later_one() {
        let mut life = Life::default();
        assert!(!life.is_sure(false), "quiet as an epoch that is over");
        life.on_final(false);
        assert!(!life.is_sure(false), "its last block says nothing of what comes");
        life.on_final(true);
        assert!(life.is_sure(false) && !life.is_sure(true));
        life.on_later_epoch();
        life.on_final(true);
        assert!(!life.is_sure(false));
        life.on_denied();
        assert!(life.is_sure(false));
    }

    #[test]
    fn the_end_is_sought_where_nothing_becomes_final_though_it_is_due() {
        let (mut life, at) = (Life::default(), Height::new);
        assert!(!life.must_ask(false, at(7)) && !life.must_ask(false, at(7)), "the epoch goes on, however slowly");
        assert!(!life.must_ask(true, at(7)), "a leader may be about to end it");
        assert!(life.must_ask(true, at(7)) && life.must_ask(true, at(7)));
        assert!(!life.must_ask(true, at(8)) && life.must_ask(true, at(8)));
    }

    #[test]
    fn however_many_speak_of_later_epochs_one_question_a_while_is_enough() {
        let mut later = LaterEpochs::default();
        assert!(later.is_news());
        assert!((0..1_000).all(|_| !later.is_news()) || later.said.is_some_and(|said| said.elapsed() >= ASK_EVERY));
        later.said = Instant::now().checked_sub(ASK_EVERY);
        assert!(later.is_news());
    }
}
