//! Final headers and evidence that gossip brought, while the node judges them.

use std::{collections::HashMap, time::Duration};

use libp2p::{PeerId, gossipsub::MessageId};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use tracing::error;

use super::Fault;

/// Most announcements that are judged at once; what comes on top is ignored. Each costs the node a pairing or two.
const JUDGED_MAX: usize = 64;

/// Most of them from one peer, so that one that floods us does not keep the others' out.
const JUDGED_PER_PEER_MAX: usize = 16;

/// Longest wait for a judgement: gossip forgets messages that wait longer.
const JUDGED_WITHIN: Duration = Duration::from_secs(3);

/// What becomes of something that gossip brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// It is true and new: it goes on.
    Accept,
    /// No honest peer sends it: it goes no further, and its bringer is charged.
    Reject(Fault),
    /// Nobody's fault: too late, too early, or known already.
    Ignore,
}

/// An announcement with its judgement.
pub(super) struct Weighed {
    pub(super) id: MessageId,
    pub(super) source: PeerId,
    pub(super) acceptance: Acceptance,
}

/// The announcements that wait for their judgement.
#[derive(Default)]
pub(super) struct Announced {
    waiting: JoinSet<Weighed>,
    by_peer: HashMap<PeerId, usize>,
}

impl Announced {
    /// Takes a message in and returns where its judgement goes; or its end, if too many wait.
    pub(super) fn push(&mut self, id: MessageId, source: PeerId) -> Result<oneshot::Sender<Acceptance>, Weighed> {
        let of_peer = self.by_peer.get(&source).copied().unwrap_or_default();
        if self.waiting.len() >= JUDGED_MAX || of_peer >= JUDGED_PER_PEER_MAX {
            return Err(Weighed { id, source, acceptance: Acceptance::Ignore });
        }
        self.by_peer.insert(source, of_peer + 1);
        let (verdict, judged) = oneshot::channel();
        self.waiting.spawn(async move {
            let acceptance = match timeout(JUDGED_WITHIN, judged).await {
                Ok(Ok(acceptance)) => acceptance,
                // Dropped or too late.
                Ok(Err(_)) | Err(_) => Acceptance::Ignore,
            };
            Weighed { id, source, acceptance }
        });
        Ok(verdict)
    }

    /// Returns the next judged one, or `None` when none waits. Nothing is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Option<Weighed> {
        loop {
            match self.waiting.join_next().await? {
                Ok(weighed) => {
                    if let Some(count) = self.by_peer.get_mut(&weighed.source) {
                        *count -= 1;
                        if *count == 0 {
                            self.by_peer.remove(&weighed.source);
                        }
                    }
                    return Some(weighed);
                }
                Err(failure) => error!(%failure, "waiting for a judgement failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_dropped_is_ignored_and_what_is_judged_is_told() {
        let mut announced = Announced::default();
        let source = PeerId::random();
        let verdict = announced.push(MessageId::new(b"a"), source).ok().unwrap();
        verdict.send(Acceptance::Reject(Fault::InvalidSignature)).unwrap();
        assert_eq!(announced.next().await.unwrap().acceptance, Acceptance::Reject(Fault::InvalidSignature));
        drop(announced.push(MessageId::new(b"b"), source));
        assert_eq!(announced.next().await.unwrap().acceptance, Acceptance::Ignore);
        assert!(announced.next().await.is_none() && announced.by_peer.is_empty());
    }

    #[tokio::test]
    async fn one_peer_that_floods_leaves_room_for_others() {
        let mut announced = Announced::default();
        let (flood, mut held) = (PeerId::random(), vec![]);
        for n in 0..100_u8 {
            held.extend(announced.push(MessageId::new(&[n]), flood).ok());
        }
        assert_eq!(held.len(), JUDGED_PER_PEER_MAX);
        for n in 0..100_u8 {
            held.extend(announced.push(MessageId::new(&[n]), PeerId::random()).ok());
        }
        assert_eq!(held.len(), JUDGED_MAX);
    }
}
