//! From attestations to the poster: the certificate, what is kept of it, and when this node posts it.

use std::sync::Arc;

use alloy_primitives::Bytes;
use baton_proto::{BatchHeader, Certificate, DataKind, L1BlockNumber};
use tracing::{info, warn};

use super::Work;
use crate::{
    batcher::{BatcherError, rules::rank},
    l1::InboxView,
    ledger::{BatchOnL1, BatchRecord, Ledger, LedgerError},
};

/// Keeps a batch, unless what is kept in its place is worth more.
pub(super) fn store(
    ledger: &dyn Ledger,
    header: &BatchHeader,
    data: &Bytes,
    certificate: Option<Certificate>,
) -> Result<(), LedgerError> {
    let known = ledger.batch_without_data(header.index)?;
    // What a quorum stands behind is worth more than another proposal for the same place, and most is what L1 took.
    let is_worth_more = |known: &BatchRecord| {
        let is_on_l1 = known.l1 != BatchOnL1::Unposted && known.header != *header;
        is_on_l1 || (known.certificate.is_some() && certificate.is_none())
    };
    if known
        .as_ref()
        .is_some_and(|known| known.header.prev_batch_hash == header.prev_batch_hash && is_worth_more(known))
    {
        return Ok(());
    }
    // Another may have posted it before our certificate was complete.
    let l1 = known.filter(|known| known.header == *header).map_or(BatchOnL1::Unposted, |known| known.l1);
    ledger.put_batch(&BatchRecord { header: header.clone(), data: data.clone(), certificate, l1 })
}

/// For how many times as long as a batch may wait for its age no more blobs are sent, once L1 held some back.
const BLOBS_AVOIDED_FOR: u64 = 32;

impl Work {
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
        Ok(store(&*self.context.ledger, &certified.header, &certified.data, Some(certified.certificate))?)
    }

    /// Looks whether L1 holds the certified batch back: fees of blobs may be beyond what any poster offers, or whoever builds L1's
    /// blocks may leave blobs out. For as long as that batch might have waited for its age nothing is done about it.
    pub(super) fn hold_back(&mut self, view: &InboxView) {
        let patience_blocks = self.context.facts.spec.batch_age_blocks;
        if let Some(round) = &mut self.round
            && round.hold_back(view.head, patience_blocks)
        {
            warn!(index = %round.tip.next_index, patience_blocks,
                "L1 holds a certified batch in blobs back; the same blocks are offered as calldata");
            // Each batch in blobs that waits occupies accounts, of other ranks than the one before: soon nobody could post.
            let avoided = patience_blocks.saturating_mul(BLOBS_AVOIDED_FOR);
            self.calldata_until = L1BlockNumber::new(view.head.get().saturating_add(avoided));
        }
    }

    /// Tells the poster what to post, when this node's rank has waited long enough for those before it.
    pub(super) fn order(&mut self, view: &InboxView, broken: &str) {
        let Some(round) = &self.round else { return };
        let order = match (round.certified(), round.certified_at) {
            (Some(certified), Some(since)) if broken.is_empty() => {
                let rank = self.posting_rank(&certified.header);
                let wait = rank.saturating_mul(self.context.facts.spec.post_backoff_blocks);
                let may_post =
                    round.stays_with_blobs() || posts(certified.header.data_kind, rank, self.by.committee.len());
                (may_post && view.head.get() >= since.get().saturating_add(wait)).then_some(certified)
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

/// Whether `rank` of `members` may post such data at all.
///
/// A transaction with blobs that L1 holds back occupies its account: pools take nothing else from there. So only the first half of
/// the ranks sends blobs, and the accounts of the others are free for calldata. Where none of that half is there, the blobs wait
/// until calldata takes their place.
const fn posts(kind: DataKind, rank: u64, members: usize) -> bool {
    match kind {
        DataKind::Blobs => rank < members.div_ceil(2) as u64,
        DataKind::Calldata => true,
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, TxHash, keccak256};
    use baton_proto::{
        Attestation, BatchHash, BatchIndex, BlockDigest, BlsSignature, Epoch, Height, L1BlockNumber, L1Origin,
        SignerSet, Statement,
    };

    use super::*;
    use crate::{
        driver::testing::World,
        ledger::{ChainIdentity, MemoryLedger},
    };

    fn header(data: &[u8]) -> BatchHeader {
        BatchHeader {
            index: BatchIndex::new(3),
            prev_batch_hash: BatchHash::ZERO,
            epoch: Epoch::new(2),
            first_height: Height::new(1),
            last_height: Height::new(1),
            last_digest: BlockDigest::ZERO,
            last_origin: L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO },
            state_root: B256::ZERO,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind: DataKind::Calldata,
            data_hash: keccak256(data),
            duties_root: B256::ZERO,
        }
    }

    fn certificate(header: &BatchHeader) -> Certificate {
        let statement = Statement::Attest(Attestation::of(header.epoch, header));
        Certificate { statement, signers: SignerSet::EMPTY, signature: BlsSignature::new([1; 48]) }
    }

    #[test]
    fn a_certificate_that_completes_late_does_not_make_a_posted_batch_unposted() {
        let domain = World::new(&[1]).domain;
        let ledger =
            MemoryLedger::new(&ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO }).unwrap();
        let (mine, data) = (header(b"mine"), Bytes::from_static(b"mine"));
        let stored = || ledger.batch(mine.index).unwrap().unwrap();
        store(&ledger, &mine, &data, None).unwrap();
        assert_eq!((stored().l1, stored().certificate), (BatchOnL1::Unposted, None));
        // As the recorder does when somebody else has posted it.
        let l1 = BatchOnL1::Posted { tx: TxHash::repeat_byte(7), block: L1BlockNumber::new(9) };
        ledger.put_batch(&BatchRecord { l1, ..stored() }).unwrap();
        store(&ledger, &mine, &data, Some(certificate(&mine))).unwrap();
        assert_eq!((stored().l1, stored().certificate), (l1, Some(certificate(&mine))));
        // Nor does another's certificate push out what L1 took.
        let other = header(b"other");
        store(&ledger, &other, &Bytes::from_static(b"other"), Some(certificate(&other))).unwrap();
        assert_eq!((stored().l1, stored().header), (l1, mine.clone()));
        // Not so after an L1 reorg that put another batch before it.
        let reorged = BatchHeader { prev_batch_hash: BatchHash::new(B256::repeat_byte(1)), ..other.clone() };
        store(&ledger, &reorged, &Bytes::from_static(b"other"), None).unwrap();
        assert_eq!((stored().l1, stored().header), (BatchOnL1::Unposted, reorged));
    }

    #[test]
    fn a_mere_proposal_takes_nobodys_place_who_has_a_certificate() {
        let domain = World::new(&[1]).domain;
        let ledger =
            MemoryLedger::new(&ChainIdentity { domain, inbox: Address::ZERO, slasher: Address::ZERO }).unwrap();
        let (first, second) = (header(b"first"), header(b"second"));
        let proposed = |header: &BatchHeader| store(&ledger, header, &Bytes::new(), None).unwrap();
        let stored = || ledger.batch(first.index).unwrap().unwrap();
        proposed(&first);
        proposed(&second);
        assert_eq!(stored().header, second);
        store(&ledger, &first, &Bytes::new(), Some(certificate(&first))).unwrap();
        proposed(&second);
        proposed(&first);
        assert_eq!((stored().header, stored().certificate), (first.clone(), Some(certificate(&first))));
    }

    #[test]
    fn half_of_the_ranks_keep_their_accounts_for_calldata() {
        let who = |kind, members| (0..=members as u64).filter(|rank| posts(kind, *rank, members)).collect::<Vec<_>>();
        assert_eq!(who(DataKind::Blobs, 1), [0]);
        assert_eq!(who(DataKind::Blobs, 4), [0, 1]);
        assert_eq!(who(DataKind::Blobs, 5), [0, 1, 2]);
        // Whoever has no seat comes last.
        assert_eq!(who(DataKind::Calldata, 4), [0, 1, 2, 3, 4]);
    }
}
