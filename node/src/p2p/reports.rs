//! What the network's task reports, on its way to the node.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{NetworkEvent, queue::DropQueue};

/// Reports that wait for the node.
pub(super) struct Reports {
    /// Everything but transactions and consensus messages.
    pub(super) notices: DropQueue<NetworkEvent>,
    /// Accepted gossip messages, weighed in bytes.
    pub(super) transactions: DropQueue<NetworkEvent>,
}

/// Most notices that wait.
const NOTICES_MAX: usize = 1_024;

/// Most accepted gossip messages that wait, and their most bytes.
const TRANSACTION_MESSAGES_MAX: usize = 1_024;
const TRANSACTION_BYTES_MAX: usize = 16 * 1024 * 1024;

impl Reports {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            notices: DropQueue::new(NOTICES_MAX, usize::MAX),
            transactions: DropQueue::new(TRANSACTION_MESSAGES_MAX, TRANSACTION_BYTES_MAX),
        })
    }

    /// Hands the reports on, notices first, until nobody takes them.
    pub(super) async fn forward(self: Arc<Self>, events: mpsc::Sender<NetworkEvent>) {
        loop {
            // A place is taken before a report, so that a report that waits for a place can still go stale.
            let Ok(place) = events.reserve().await else { return };
            place.send(tokio::select! {
                biased;
                notice = self.notices.pop() => notice,
                transactions = self.transactions.pop() => transactions,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::{Epoch, MemberIndex};
    use libp2p::PeerId;

    use super::*;

    #[tokio::test]
    async fn notices_come_first_and_what_nobody_takes_goes_stale() {
        let reports = Reports::new();
        let transactions = || NetworkEvent::Transactions { from: PeerId::random(), transactions: vec![] };
        for _ in 0..TRANSACTION_MESSAGES_MAX {
            assert_eq!(reports.transactions.push(transactions(), 1), 0);
        }
        assert_eq!(reports.transactions.push(transactions(), 1), 1);
        let connected = NetworkEvent::MemberConnected { epoch: Epoch::new(2), member: MemberIndex::new(1) };
        reports.notices.push(connected, 1);
        let (events, mut inbox) = mpsc::channel(1);
        let forwarding = tokio::spawn(reports.forward(events));
        assert!(matches!(inbox.recv().await, Some(NetworkEvent::MemberConnected { .. })));
        for _ in 0..TRANSACTION_MESSAGES_MAX {
            assert!(matches!(inbox.recv().await, Some(NetworkEvent::Transactions { .. })));
        }
        inbox.close();
        drop(inbox);
        forwarding.abort();
    }
}
