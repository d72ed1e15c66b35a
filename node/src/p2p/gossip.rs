//! Judging gossiped transactions before they go on: decoding and sender recovery on blocking threads, bounded.

use std::collections::VecDeque;

use baton_proto::{
    L2ChainId, Transaction,
    wire::{Known, TransactionGossip},
};
use libp2p::{PeerId, gossipsub::MessageId};
use tokio::task::JoinSet;
use tracing::error;

use super::KnownLookup;

/// Most messages that are decoded at once.
const DECODES_MAX: usize = 2;

/// Most messages that wait for it (32 MiB of the largest); when more come, the stalest go unjudged.
const WAITING_MAX: usize = 128;

/// Most of them from one peer, so that one that floods us cannot push out what others send.
const WAITING_PER_PEER_MAX: usize = 32;

/// A message as it arrived.
pub(super) struct Received {
    pub(super) id: MessageId,
    pub(super) source: PeerId,
    pub(super) data: Vec<u8>,
}

/// What decoding said about a message.
pub(super) enum Judgement {
    /// This chain's transactions, each with its sender: forward.
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
    chain: L2ChainId,
    known: KnownLookup,
    waiting: VecDeque<Received>,
    work: JoinSet<Judged>,
}

impl Judge {
    pub(super) fn new(chain: L2ChainId, known: KnownLookup) -> Self {
        Self { chain, known, waiting: VecDeque::new(), work: JoinSet::new() }
    }

    /// Takes a message in; returns one that goes unjudged for it, if there are too many.
    pub(super) fn push(&mut self, received: Received) -> Option<Judged> {
        let source = received.source;
        self.waiting.push_back(received);
        let of_source = self.waiting.iter().filter(|waiting| waiting.source == source).count();
        let stalest = if of_source > WAITING_PER_PEER_MAX {
            self.waiting.iter().position(|waiting| waiting.source == source)
        } else {
            (self.waiting.len() > WAITING_MAX).then_some(0)
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
            && let Some(Received { id, source, data }) = self.waiting.pop_front()
        {
            let (chain, known) = (self.chain, self.known.clone());
            self.work.spawn_blocking(move || Judged { id, source, judgement: judge(&data, chain, &*known) });
        }
    }
}

fn judge(data: &[u8], chain: L2ChainId, known: &dyn Known) -> Judgement {
    match TransactionGossip::decode(data, known) {
        Ok(transactions) => match transactions.iter().find(|tx| tx.chain_id() != chain.get()) {
            Some(other) => Judgement::Reject(format!("transaction for chain {}, this is {chain}", other.chain_id())),
            None => Judgement::Accept(transactions),
        },
        Err(reason) if reason.is_peer_fault() => Judgement::Reject(reason.to_string()),
        Err(_) => Judgement::Ignore,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn one_peer_that_floods_loses_its_own_messages_only() {
        let mut judge = Judge::new(L2ChainId::new(1), Arc::new(|_: &_| None));
        let (flood, other) = (PeerId::random(), PeerId::random());
        let received = |source, n: u8| Received { id: MessageId::new(&[n]), source, data: vec![0xff] };
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
        assert_eq!(unjudged[0].id, MessageId::new(&[100]), "the stalest go first");

        let mut judged = 0;
        while let Some(Judged { judgement, .. }) = judge.next().await {
            assert!(matches!(judgement, Judgement::Reject(_)));
            judged += 1;
        }
        assert_eq!(judged, 3 + WAITING_PER_PEER_MAX);
    }

    #[tokio::test]
    async fn all_peers_together_are_bounded() {
        let mut judge = Judge::new(L2ChainId::new(1), Arc::new(|_: &_| None));
        let mut unjudged = 0;
        for n in 0..1_000_u32 {
            let received =
                Received { id: MessageId::new(&n.to_be_bytes()), source: PeerId::random(), data: vec![0xff] };
            unjudged += usize::from(judge.push(received).is_some());
        }
        assert_eq!(unjudged, 1_000 - WAITING_MAX - DECODES_MAX);
    }
}
