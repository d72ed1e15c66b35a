//! What gossip brings, what becomes of it, and what this node publishes.

use std::time::Instant;

use baton_proto::{
    Transaction,
    limits::GOSSIP_TRANSACTIONS_MAX,
    wire::{Announcement, TransactionGossip, WireError},
};
use libp2p::{PeerId, gossipsub};
use tracing::debug;

use super::{Running, Service};
use crate::p2p::{
    Acceptance, Fault, NetworkEvent,
    announcements::Weighed,
    behaviour::message_id,
    gossip::{Judged, Judgement, Received},
};

/// When a message went out, or came in, for the first time.
enum Published {
    Now,
    Before,
}

impl Service {
    /// Publishes what neither came nor went lately.
    fn publish_once(
        &mut self,
        topic: gossipsub::TopicHash,
        data: Vec<u8>,
    ) -> Result<Published, gossipsub::PublishError> {
        let (id, now) = (message_id(&topic, &data), Instant::now());
        if self.seen.contains(&id, now) {
            return Ok(Published::Before);
        }
        self.swarm.behaviour_mut().gossip.publish(topic, data)?;
        self.seen.note(id, now);
        Ok(Published::Now)
    }

    /// Publishes `first` and what else waits, several transactions per message.
    pub(super) fn publish(&mut self, first: Transaction) {
        let mut transactions = vec![first];
        while transactions.len() < GOSSIP_TRANSACTIONS_MAX
            && let Some(next) = self.shared.publish.try_pop()
        {
            transactions.push(next);
        }
        let topic = self.protocols.transactions.hash();
        for message in TransactionGossip::encode(&transactions) {
            match self.publish_once(topic.clone(), message) {
                Ok(Published::Now) => self.shared.stats.gossip_published.add(1),
                Ok(Published::Before) | Err(gossipsub::PublishError::Duplicate) => {}
                Err(error) => {
                    debug!(%error, "transactions not published");
                    self.shared.stats.gossip_unsent.add(1);
                }
            }
        }
    }

    /// Whether `peer` is a member or somebody whom the operator configured, such as a follower of its own.
    pub(super) fn is_no_stranger(&self, peer: &PeerId) -> bool {
        self.reserved.contains(peer) || self.is_member(peer)
    }

    pub(super) fn on_gossiped(
        &mut self,
        id: gossipsub::MessageId,
        source: PeerId,
        data: Vec<u8>,
        running: &mut Running,
    ) {
        let is_no_stranger = self.is_no_stranger(&source);
        let unjudged = if running.try_take_transactions(source, is_no_stranger, TransactionGossip::count(&data)) {
            running.judge.push(Received { id, source, is_member: is_no_stranger, data })
        } else {
            Some(Judged { id, source, judgement: Judgement::Ignore })
        };
        if let Some(unjudged) = unjudged {
            self.on_judged(unjudged);
        }
    }

    pub(super) fn on_judged(&mut self, Judged { id, source, judgement }: Judged) {
        let stats = &self.shared.stats;
        let acceptance = match judgement {
            Judgement::Accept(transactions) => {
                stats.gossip_accepted.add(1);
                let weight = transactions.iter().map(|tx| tx.raw().len()).sum();
                let event = NetworkEvent::Transactions { from: source, transactions };
                stats.events_dropped.add(self.reports.transactions.push(event, weight));
                gossipsub::MessageAcceptance::Accept
            }
            Judgement::Reject(reason) => {
                stats.gossip_rejected.add(1);
                debug!(peer = %source, %reason, "gossiped transactions rejected");
                self.shared.charge(source, Fault::InvalidTransactions);
                gossipsub::MessageAcceptance::Reject
            }
            Judgement::Ignore => {
                stats.gossip_ignored.add(1);
                gossipsub::MessageAcceptance::Ignore
            }
        };
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&id, &source, acceptance);
    }

    pub(super) fn publish_announcement(&mut self, announcement: &Announcement) {
        let topic = match announcement {
            Announcement::Final(_) => &self.protocols.finals,
            Announcement::Evidence(_) => &self.protocols.evidence,
        };
        match self.publish_once(topic.hash(), announcement.encode()) {
            Ok(Published::Now) => self.shared.stats.announcements_published.add(1),
            Ok(Published::Before) => self.shared.stats.announcements_known.add(1),
            // Nobody listens yet, or gossip is about to tell us that it knows it.
            Err(error) => debug!(%error, "announcement not published"),
        }
    }

    pub(super) fn on_announced(
        &mut self,
        id: gossipsub::MessageId,
        source: PeerId,
        decoded: Result<Announcement, WireError>,
        running: &mut Running,
    ) {
        match decoded {
            Ok(announcement) => match running.announced.push(id, source) {
                Ok(verdict) => self.notice(NetworkEvent::Announced { from: source, announcement, verdict }),
                Err(unjudged) => self.on_weighed(unjudged),
            },
            Err(reason) => {
                debug!(peer = %source, %reason, "undecodable announcement");
                let acceptance = Acceptance::Reject(Fault::InvalidMessage);
                self.on_weighed(Weighed { id, source, acceptance });
            }
        }
    }

    pub(super) fn on_weighed(&mut self, Weighed { id, source, acceptance }: Weighed) {
        let stats = &self.shared.stats;
        let acceptance = match acceptance {
            Acceptance::Accept => {
                stats.announcements_accepted.add(1);
                gossipsub::MessageAcceptance::Accept
            }
            Acceptance::Reject(fault) => {
                stats.gossip_rejected.add(1);
                self.shared.charge(source, fault);
                gossipsub::MessageAcceptance::Reject
            }
            Acceptance::Ignore => {
                stats.gossip_ignored.add(1);
                gossipsub::MessageAcceptance::Ignore
            }
        };
        self.swarm.behaviour_mut().gossip.report_message_validation_result(&id, &source, acceptance);
    }
}
