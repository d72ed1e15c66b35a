//! Judging gossiped transactions before they go on: decoding and sender recovery on blocking threads, bounded.

use std::{collections::VecDeque, sync::Arc};

use baton_mempool::TransactionRules;
use baton_proto::{
    Transaction,
    wire::{Known, TransactionGossip},
};
use libp2p::{PeerId, gossipsub::MessageId};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::error;

use super::KnownLookup;

/// Most messages that are decoded at once.
const DECODES_MAX: usize = 2;

/// Most of them from peers that have not proven to be members, so that members' never wait for theirs.
const STRANGERS_DECODES_MAX: usize = 1;

/// Most messages that wait for it (32 MiB of the largest); when more come, the stalest go unjudged, strangers' first.
const WAITING_MAX: usize = 128;

/// Most of them from one peer, so that one that floods us cannot push out what others send.
const WAITING_PER_PEER_MAX: usize = 32;

/// A message as it arrived.
pub(super) struct Received {
    pub(super) id: MessageId,
    pub(super) source: PeerId,
    pub(super) is_member: bool,
    pub(super) data: Vec<u8>,
}

/// What decoding said about a message.
pub(super) enum Judgement {
    /// Transactions that the chain allows, each with its sender: forward.
    Accept(Vec<Transaction>),
    /// The sender's fault, with the reason: do not forward, charge.
    Reject(String),
    /// Nobody's fault: do not forward.
    Ignore,
}

/// A message that was judged, or that went unjudged because too many waited.
pub(super) struct Judged {
    pub(super) id: MessageId,
    pub(super) source: PeerId,
    pub(super) judgement: Judgement,
}

/// The messages that wait and those in work.
pub(super) struct Judge {
    rules: TransactionRules,
    known: KnownLookup,
    waiting: VecDeque<Received>,
    work: JoinSet<Judged>,
    strangers: Arc<Semaphore>,
}

impl Judge {
    pub(super) fn new(rules: TransactionRules, known: KnownLookup) -> Self {
        let strangers = Arc::new(Semaphore::new(STRANGERS_DECODES_MAX));
        Self { rules, known, waiting: VecDeque::new(), work: JoinSet::new(), strangers }
    }

    /// Takes a message in; returns one that goes unjudged for it, if there are too many.
    pub(super) fn push(&mut self, received: Received) -> Option<Judged> {
        let source = received.source;
        self.waiting.push_back(received);
        let of_source = self.waiting.iter().filter(|waiting| waiting.source == source).count();
        let stalest = if of_source > WAITING_PER_PEER_MAX {
            self.waiting.iter().position(|waiting| waiting.source == source)
        } else {
            let stalest = || self.waiting.iter().position(|waiting| !waiting.is_member).unwrap_or(0);
            (self.waiting.len() > WAITING_MAX).then(stalest)
        };
        let dropped = stalest.and_then(|position| self.waiting.remove(position));
        self.start();
        dropped.map(|Received { id, source, .. }| Judged { id, source, judgement: Judgement::Ignore })
    }

    /// Returns the next judged message, or `None` when nothing is in work. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Judged> {
        loop {
            let done = self.work.join_next().await?;
            self.start();
            match done {
                Ok(judged) => return Some(judged),
                // The message stays unforwarded in gossip's cache until it is forgotten there.
                Err(failure) => error!(%failure, "decoding gossiped transactions failed"),
            }
        }
    }

    fn start(&mut self) {
        while self.work.len() < DECODES_MAX
            && let Some((Received { id, source, data, .. }, place)) = self.take_waiting()
        {
            let (rules, known) = (self.rules, self.known.clone());
            self.work.spawn_blocking(move || {
                let judgement = judge(&data, &rules, &*known);
                drop(place);
                Judged { id, source, judgement }
            });
        }
    }

    /// Takes out the first message that may be decoded now: one of a stranger waits while another's is.
    fn take_waiting(&mut self) -> Option<(Received, Option<OwnedSemaphorePermit>)> {
        let place = Arc::clone(&self.strangers).try_acquire_owned().ok();
        let position = self.waiting.iter().position(|waiting| waiting.is_member || place.is_some())?;
        let received = self.waiting.remove(position)?;
        let place = place.filter(|_| !received.is_member);
        Some((received, place))
    }
}

fn judge(data: &[u8], rules: &TransactionRules, known: &dyn Known) -> Judgement {
    match TransactionGossip::decode(data, known) {
        Ok(transactions) => match transactions.iter().find_map(|transaction| rules.check(transaction).err()) {
            Some(broken) => Judgement::Reject(broken.to_string()),
            None => Judgement::Accept(transactions),
        },
        Err(reason) if reason.is_peer_fault() => Judgement::Reject(reason.to_string()),
        Err(_) => Judgement::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc};

    use alloy_primitives::TxHash;

    use super::*;
    use crate::driver::testing::{rules, transfer};

    fn judge() -> Judge {
        Judge::new(rules(), Arc::new(|_: &_| None))
    }

    fn received(source: PeerId, n: u32) -> Received {
        Received { id: MessageId::new(&n.to_be_bytes()), source, is_member: true, data: vec![0xff] }
    }

    #[tokio::test]
    async fn one_peer_that_floods_loses_its_own_messages_only() {
        let mut judge = judge();
        let (flood, other) = (PeerId::random(), PeerId::random());
        assert!(judge.push(received(other, 0)).is_none());
        assert!(judge.push(received(other, 1)).is_none());
        assert!(judge.push(received(other, 2)).is_none());
        let mut unjudged = vec![];
        for n in 100..200 {
            unjudged.extend(judge.push(received(flood, n)));
        }
        assert_eq!(unjudged.len(), 100 - WAITING_PER_PEER_MAX);
        assert!(unjudged.iter().all(|judged| judged.source == flood));
        assert!(unjudged.iter().all(|judged| matches!(judged.judgement, Judgement::Ignore)));
        assert_eq!(unjudged[0].id, received(flood, 100).id, "the stalest go first");

        let mut judged = 0;
        while let Some(Judged { judgement, .. }) = judge.next().await {
            assert!(matches!(judgement, Judgement::Reject(_)));
            judged += 1;
        }
        assert_eq!(judged, 3 + WAITING_PER_PEER_MAX);
    }

    #[tokio::test]
    async fn all_peers_together_are_bounded_and_strangers_make_room() {
        let mut judge = judge();
        let member = PeerId::random();
        for n in 0..8 {
            assert!(judge.push(received(member, n)).is_none());
        }
        let mut unjudged = vec![];
        for n in 1_000..2_000 {
            let stranger = Received { is_member: false, ..received(PeerId::random(), n) };
            unjudged.extend(judge.push(stranger));
        }
        assert_eq!(unjudged.len(), 1_008 - WAITING_MAX - DECODES_MAX);
        assert!(unjudged.iter().all(|judged| judged.source != member));
    }

    #[tokio::test]
    async fn while_one_message_of_strangers_is_decoded_the_next_waits_and_members_do_not() {
        let (slow, quick) = (transfer(0, 0), transfer(1, 0));
        let (release, held) = mpsc::channel::<()>();
        let (is_slow, held) = (*slow.hash(), Mutex::new(held));
        let known = move |hash: &TxHash| {
            if *hash == is_slow {
                let _ = held.lock().unwrap().recv();
            }
            None
        };
        let mut judge = Judge::new(rules(), Arc::new(known));
        let message = |transactions: &[Transaction]| TransactionGossip::encode(transactions).remove(0);
        let (strangers, member) = ([1, 2].map(|_| PeerId::random()), PeerId::random());
        for (source, n) in strangers.into_iter().zip(0..) {
            let data = message(std::slice::from_ref(&slow));
            assert!(judge.push(Received { is_member: false, data, ..received(source, n) }).is_none());
        }
        for n in 2..6 {
            assert!(
                judge.push(Received { data: message(std::slice::from_ref(&quick)), ..received(member, n) }).is_none()
            );
        }
        let limit = std::time::Duration::from_secs(60);
        for _ in 2..6 {
            let Judged { source, judgement, .. } = tokio::time::timeout(limit, judge.next()).await.unwrap().unwrap();
            assert!(source == member && matches!(judgement, Judgement::Accept(_)));
        }
        drop(release);
        for stranger in strangers {
            let Judged { source, judgement, .. } = judge.next().await.unwrap();
            assert!(source == stranger && matches!(judgement, Judgement::Accept(_)));
        }
        assert!(judge.next().await.is_none());
    }
}
