//! Learning that the others have gone on to a later epoch: whoever is still in this one asks how it ended.
//!
//! Nothing of a later epoch can be checked here before this one has ended: its committee follows from the last block. But
//! that anybody speaks of one is reason enough to ask, and the answer, the finalization of this epoch's last block, proves
//! itself with the committee that is known. What lies before that block comes as it does for anybody who is behind.

use std::time::{Duration, Instant};

use baton_consensus::{Verified, Verifier};
use baton_proto::{
    Certificate, Epochs, MemberIndex,
    wire::{FinalHeader, SyncRequest, SyncResponse},
};
use tracing::{debug, warn};

use super::rebuild::Servers;
use crate::p2p::Fault;

/// How often it is worth asking: strangers can speak of any epoch.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Members asked before whoever speaks of a later epoch next is the reason to ask again.
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

/// Asks members in `order` for the end of the verifier's epoch until one of them proves it.
pub(super) async fn find<S: Servers>(
    servers: &S,
    order: &[MemberIndex],
    verifier: &Verifier,
    epochs: Epochs,
) -> Option<Verified<Certificate>> {
    let epoch = verifier.committee().epoch();
    for member in order.iter().copied().take(ASKED_MAX) {
        match servers.ask(member, SyncRequest::EpochEnd(epoch)).await {
            Ok(SyncResponse::EpochEnd(last)) => match prove(last, verifier, epochs) {
                Some(end) => return Some(end),
                None => {
                    warn!(%member, %epoch, "a member served something else as the end of an epoch");
                    servers.charge(member, Fault::InvalidAnswer);
                }
            },
            Ok(_) => debug!(%member, %epoch, "a member knows no end of the epoch"),
            Err(error) => debug!(%member, %error, "the end of the epoch is not known"),
        }
    }
    None
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
    use std::sync::Mutex;

    use baton_proto::{Epoch, L1BlockNumber, Statement, View};

    use super::*;
    use crate::{
        driver::testing::{World, block_of},
        p2p::RequestError,
    };

    const EPOCHS: Epochs = Epochs { genesis: L1BlockNumber::ZERO, blocks: 10 };

    /// What each member answers, and whom it was charged to.
    struct Members {
        answers: Vec<SyncResponse>,
        asked: Mutex<Vec<u8>>,
        charged: Mutex<Vec<u8>>,
    }

    impl Servers for Members {
        async fn ask(&self, member: MemberIndex, request: SyncRequest) -> Result<SyncResponse, RequestError> {
            assert_eq!(request, SyncRequest::EpochEnd(Epoch::new(2)));
            self.asked.lock().unwrap().push(member.get());
            self.answers.get(member.as_usize()).cloned().ok_or(RequestError::NotConnected)
        }

        fn charge(&self, member: MemberIndex, fault: Fault) {
            assert_eq!(fault, Fault::InvalidAnswer);
            self.charged.lock().unwrap().push(member.get());
        }
    }

    /// The last block of epoch 2 with a finalization of a later view by `signers`.
    fn last(world: &World, signers: &[u8], origin: u64) -> FinalHeader {
        let mut header = block_of(5, 7, vec![]).header;
        header.origin.number = L1BlockNumber::new(origin);
        let statement = Statement::Finalize { epoch: header.epoch, view: View::new(9), block: header.digest() };
        FinalHeader { header, finalization: world.certify(signers, statement) }
    }

    async fn find_among(answers: Vec<SyncResponse>) -> (Option<Certificate>, Vec<u8>, Vec<u8>) {
        let world = World::new(&[1, 1, 1, 1]);
        let members = Members { answers, asked: Mutex::default(), charged: Mutex::default() };
        let order: Vec<MemberIndex> = world.committee.indices().collect();
        let found = find(&members, &order, &world.verifier, EPOCHS).await.map(Verified::into_inner);
        (found, members.asked.into_inner().unwrap(), members.charged.into_inner().unwrap())
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
        let (found, asked, charged) = find_among(answers).await;
        assert_eq!((found, asked, charged), (Some(good.finalization), vec![0, 1, 2], vec![1]));
    }

    #[tokio::test]
    async fn a_final_block_that_ends_nothing_is_no_answer() {
        let world = World::new(&[1, 1, 1, 1]);
        // L1 block 29 is the last of epoch 2.
        let in_the_middle = SyncResponse::EpochEnd(last(&world, &[0, 1, 2], 29));
        let (found, asked, charged) = find_among(vec![in_the_middle]).await;
        assert_eq!((found, asked, charged), (None, vec![0, 1, 2, 3], vec![0]));
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
