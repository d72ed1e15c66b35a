//! From attestations to the poster: the certificate, what is kept of it, and when this node posts it.

use std::sync::Arc;

use alloy_primitives::Bytes;
use baton_proto::{BatchHeader, Certificate};
use tracing::info;

use super::Work;
use crate::{
    batcher::{BatcherError, rules::rank},
    l1::InboxView,
    ledger::{BatchOnL1, BatchRecord, LedgerError},
};

impl Work {
    pub(super) fn store(
        &self,
        header: &BatchHeader,
        data: &Bytes,
        certificate: Option<Certificate>,
    ) -> Result<(), LedgerError> {
        if certificate.is_none()
            && self.context.ledger.batch(header.index)?.is_some_and(|record| {
                record.certificate.is_some() && record.header.prev_batch_hash == header.prev_batch_hash
            })
        {
            // What a quorum stands behind is worth more than another proposal for the same place.
            return Ok(());
        }
        // Another may have posted it before our certificate was complete.
        let known = self.context.ledger.batch_without_data(header.index)?.filter(|known| known.header == *header);
        let l1 = known.map_or(BatchOnL1::Unposted, |known| known.l1);
        self.context.ledger.put_batch(&BatchRecord { header: header.clone(), data: data.clone(), certificate, l1 })
    }

    pub(super) fn certify(&mut self, view: &InboxView) -> Result<(), BatcherError> {
        let Some(round) = &mut self.round else { return Ok(()) };
        let Some(certified) = round.try_certify(&self.by.committee, view.head).cloned() else { return Ok(()) };
        info!(
            index = %certified.header.index,
            first_height = %certified.header.first_height,
            last_height = %certified.header.last_height,
            bytes = certified.data.len(),
            signers = certified.certificate.signers.len(),
            "batch certified"
        );
        self.store(&certified.header, &certified.data, Some(certified.certificate))?;
        Ok(())
    }

    /// Tells the poster what to post, when this node's rank has waited long enough for those before it.
    pub(super) fn order(&mut self, view: &InboxView, broken: &str) {
        let Some(round) = &self.round else { return };
        let order = match (round.certified(), round.certified_at) {
            (Some(certified), Some(since)) if broken.is_empty() => {
                let wait =
                    self.posting_rank(&certified.header).saturating_mul(self.context.facts.spec.post_backoff_blocks);
                (view.head.get() >= since.get().saturating_add(wait)).then_some(certified)
            }
            _ => None,
        };
        self.orders.send_if_modified(|current| {
            if current.as_deref() == order {
                return false;
            }
            *current = order.map(|order| Arc::new(order.clone()));
            true
        });
    }

    fn posting_rank(&self, header: &BatchHeader) -> u64 {
        let members = self.by.committee.len();
        match self.by.me() {
            Some(_) if self.proposed_by_me.as_ref() == Some(header) => 0,
            Some(me) => rank(&self.by.posters, members, header.index, me),
            None => members as u64,
        }
    }
}
