//! What is known about the batch that L1 waits for: proposals, attestations, and the certificate they add up to.

use std::collections::BTreeMap;

use alloy_primitives::Bytes;
use baton_consensus::{Committee, aggregate};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BlsSignature, Certificate, DataKind, L1BlockNumber, MemberIndex,
    SignedStatement, SignerSet, Statement, limits::COMMITTEE_MEMBERS_MAX,
};

use crate::{
    l1::{CertifiedBatch, InboxTip},
    ledger::ATTESTED_MAX,
};

/// Most batches of one index and one proposer that this node attests. An honest one proposes another only after a restart, or
/// when it changes how the data travels; who proposes something else to each member would use up everybody's attestations.
const ATTESTED_PER_PROPOSER_MAX: usize = 3;

/// Most batches of one index that one member's attestations are counted for: as many as an honest one may come to.
const ATTESTED_PER_SIGNER_MAX: usize = ATTESTED_PER_PROPOSER_MAX * COMMITTEE_MEMBERS_MAX;

/// Whatever is counted is kept as well, so that no lie among it is missed.
const _: () = assert!(ATTESTED_PER_SIGNER_MAX <= ATTESTED_MAX);

/// How far a proposal got with this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Not judged, or its time has not come.
    Waiting,
    /// This node attested it.
    Attested,
    /// It will never be acceptable.
    Refused,
}

/// A proposal that is kept until the batch is on L1.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) header: BatchHeader,
    pub(super) hash: BatchHash,
    pub(super) data: Bytes,
    pub(super) progress: Progress,
}

impl Held {
    pub(super) fn new(header: BatchHeader, data: Bytes) -> Self {
        let hash = header.hash();
        Self { header, hash, data, progress: Progress::Waiting }
    }
}

#[derive(Debug)]
struct Tally {
    statement: Statement,
    signers: SignerSet,
    /// In the order in which they came.
    signed: Vec<(MemberIndex, BlsSignature)>,
}

/// Whether a batch in calldata is wanted in place of one in blobs that has its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instead {
    No,
    /// Since that L1 block: L1 holds the blobs back.
    Since(L1BlockNumber),
    /// Calldata cannot hold as much as one block of it.
    Never,
}

/// Everything about one index under one previous batch. When L1 moves, forwards or back, a new one is made.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) tip: InboxTip,
    /// One for each proposer: at most the committee.
    proposals: BTreeMap<MemberIndex, Held>,
    /// How many of each proposer's this node has attested.
    attested: BTreeMap<MemberIndex, usize>,
    /// At most [`ATTESTED_PER_SIGNER_MAX`] for each member.
    tallies: Vec<Tally>,
    /// This node's own attestations, to be sent again.
    pub(super) mine: Vec<SignedStatement>,
    /// The first batch that reached a quorum and whose data is here.
    certified: Option<CertifiedBatch>,
    /// Newest L1 block when the certificate was made.
    pub(super) certified_at: Option<L1BlockNumber>,
    instead: Instead,
    /// L1 block at which this node saw that the batch can be complete.
    pub(super) complete_since: Option<L1BlockNumber>,
}

impl Round {
    pub(super) fn new(tip: InboxTip) -> Self {
        Self {
            tip,
            proposals: BTreeMap::new(),
            attested: BTreeMap::new(),
            tallies: Vec::new(),
            mine: Vec::new(),
            certified: None,
            certified_at: None,
            instead: Instead::No,
            complete_since: None,
        }
    }

    /// Whether it is about the same batch as one after `tip`.
    pub(super) fn follows(&self, tip: &InboxTip) -> bool {
        self.tip.next_index == tip.next_index && self.tip.last_hash == tip.last_hash
    }

    /// Keeps a proposal; a proposer's newer one takes the place of its older, until this node has attested enough of its. Returns
    /// whether it is new here.
    pub(super) fn propose(&mut self, from: MemberIndex, proposal: Held) -> bool {
        if self.proposals.get(&from).is_some_and(|held| held.hash == proposal.hash) {
            return false;
        }
        if self.attested.get(&from).is_some_and(|attested| *attested >= ATTESTED_PER_PROPOSER_MAX) {
            return false;
        }
        self.proposals.insert(from, proposal);
        true
    }

    pub(super) fn proposal_of(&self, member: MemberIndex) -> Option<&Held> {
        self.proposals.get(&member)
    }

    /// Proposals that wait for this node's judgement.
    pub(super) fn waiting(&self) -> Vec<(MemberIndex, Held)> {
        self.proposals
            .iter()
            .filter(|(_, held)| held.progress == Progress::Waiting)
            .map(|(from, held)| (*from, held.clone()))
            .collect()
    }

    pub(super) fn judge(&mut self, from: MemberIndex, hash: BatchHash, progress: Progress) {
        if let Some(held) = self.proposals.get_mut(&from).filter(|held| held.hash == hash) {
            if progress == Progress::Attested && held.progress != progress {
                *self.attested.entry(from).or_default() += 1;
            }
            held.progress = progress;
        }
    }

    /// Whether an attestation is worth verifying: about this batch, and not counted or crowded out already.
    pub(super) fn wants(&self, attestation: &Attestation, signer: MemberIndex) -> bool {
        if attestation.batch_index != self.tip.next_index || attestation.prev_batch_hash != self.tip.last_hash {
            return false;
        }
        let counted: Vec<&Tally> = self.tallies.iter().filter(|tally| tally.signers.contains(signer)).collect();
        counted.len() < ATTESTED_PER_SIGNER_MAX
            && !counted.iter().any(|tally| tally.statement == Statement::Attest(*attestation))
    }

    /// Counts a verified attestation. Statements are told apart whole, so that one that couples a header's hash with
    /// other values never takes the place of the true one.
    pub(super) fn attest(&mut self, signed: &SignedStatement) {
        let Statement::Attest(attestation) = signed.statement else { return };
        if !self.wants(&attestation, signed.signer) {
            return;
        }
        match self.tallies.iter_mut().find(|tally| tally.statement == signed.statement) {
            Some(tally) => {
                if tally.signers.insert(signed.signer) {
                    tally.signed.push((signed.signer, signed.signature));
                }
            }
            None => self.tallies.push(Tally {
                statement: signed.statement,
                signers: SignerSet::from_iter([signed.signer]),
                signed: vec![(signed.signer, signed.signature)],
            }),
        }
    }

    /// Weight that signed for the best-supported batch.
    pub(super) fn best_weight(&self, committee: &Committee) -> u128 {
        self.tallies.iter().filter_map(|tally| committee.weight_of(tally.signers)).max().unwrap_or_default()
    }

    /// Makes the certificate when a batch whose data is here has a quorum. Returns it once.
    ///
    /// That data is what the header commits to shows at once for calldata. For blobs it is known when this node has judged the
    /// proposal: until then anybody could have put other data under the header of somebody else.
    ///
    /// Where L1 holds the batch back that has its certificate, one in calldata takes its place.
    pub(super) fn try_certify(&mut self, committee: &Committee, head: L1BlockNumber) -> Option<&CertifiedBatch> {
        let wants_calldata = self.wants_calldata_since().is_some();
        if self.certified.is_some() && !wants_calldata {
            return None;
        }
        let certified = self.tallies.iter().find_map(|tally| {
            if !committee.is_quorum(tally.signers) {
                return None;
            }
            let epoch = tally.statement.epoch();
            let held = self
                .proposals
                .values()
                .filter(|held| {
                    let was_judged = held.progress == Progress::Attested && !wants_calldata;
                    held.header.data_kind == DataKind::Calldata || was_judged
                })
                .find(|held| tally.statement == Statement::Attest(Attestation::of(epoch, &held.header)))?;
            // Each signature was verified, so each is a point; a sum of zero is no certificate.
            let signatures: Vec<BlsSignature> = tally.signed.iter().map(|(_, signature)| *signature).collect();
            let signature = aggregate(&signatures).ok()?;
            Some(CertifiedBatch {
                header: held.header.clone(),
                certificate: Certificate { statement: tally.statement, signers: tally.signers, signature },
                data: held.data.clone(),
            })
        })?;
        self.certified_at = Some(head);
        Some(&*self.certified.insert(certified))
    }

    /// Takes a certificate that was made before, by an earlier process or before an L1 reorg.
    pub(super) fn restore(&mut self, certified: CertifiedBatch, head: L1BlockNumber) {
        self.certified_at = Some(head);
        self.certified = Some(certified);
    }

    pub(super) fn certified(&self) -> Option<&CertifiedBatch> {
        self.certified.as_ref()
    }

    /// Notes whether L1 holds the certified batch back: it is in blobs, and `patience_blocks` L1 blocks have come without it.
    /// Returns whether that is news.
    pub(super) fn hold_back(&mut self, head: L1BlockNumber, patience_blocks: u64) -> bool {
        let (Some(certified), Some(since)) = (&self.certified, self.certified_at) else { return false };
        let is_late = head.get() >= since.get().saturating_add(patience_blocks);
        if self.instead != Instead::No || certified.header.data_kind != DataKind::Blobs || !is_late {
            return false;
        }
        self.instead = Instead::Since(head);
        true
    }

    /// Notes that the next batch cannot travel as calldata.
    pub(super) fn stay_with_blobs(&mut self) {
        self.instead = Instead::Never;
    }

    /// Whether it is known that the next batch cannot travel as calldata.
    pub(super) fn stays_with_blobs(&self) -> bool {
        self.instead == Instead::Never
    }

    /// Returns the L1 block since which a batch in calldata is wanted in place of the one that has its certificate.
    pub(super) fn wants_calldata_since(&self) -> Option<L1BlockNumber> {
        let is_in_blobs = self.certified.as_ref().is_some_and(|held| held.header.data_kind == DataKind::Blobs);
        match self.instead {
            Instead::Since(block) if is_in_blobs => Some(block),
            Instead::Since(_) | Instead::No | Instead::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, B256, keccak256};
    use baton_consensus::{CommitteeMember, SecretKey};
    use baton_proto::{BatchIndex, BlockDigest, Domain, Epoch, Height, L1ChainId, L1Origin, L2ChainId, Weight};

    use super::*;

    const ORIGIN: L1Origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
    const TIP: InboxTip = InboxTip {
        next_index: BatchIndex::ZERO,
        last_height: Height::ZERO,
        last_hash: BatchHash::ZERO,
        accepted_at: ORIGIN.number,
    };
    const DOMAIN: Domain =
        Domain { l1_chain_id: L1ChainId::new(1), registry: Address::ZERO, l2_chain_id: L2ChainId::new(7) };

    fn committee(members: u8) -> (Committee, Vec<SecretKey>) {
        let keys: Vec<SecretKey> = (0..members).map(|member| SecretKey::generate(&[member; 32])).collect();
        let member = |(place, key): (u8, &SecretKey)| CommitteeMember {
            owner: Address::repeat_byte(place + 1),
            fee_recipient: Address::repeat_byte(1),
            weight: Weight::new(1),
            key: key.public_key(),
        };
        (Committee::new(Epoch::new(2), (0..).zip(&keys).map(member).collect()).unwrap(), keys)
    }

    fn header(data_kind: DataKind, data: &str) -> BatchHeader {
        BatchHeader {
            index: BatchIndex::ZERO,
            prev_batch_hash: BatchHash::ZERO,
            epoch: Epoch::new(2),
            first_height: Height::new(1),
            last_height: Height::new(1),
            last_digest: BlockDigest::ZERO,
            last_origin: ORIGIN,
            state_root: B256::ZERO,
            forced_position: 0,
            forced_hash: B256::ZERO,
            data_kind,
            data_hash: keccak256(data),
            duties_root: B256::ZERO,
        }
    }

    fn attest(key: &SecretKey, signer: u8, header: &BatchHeader) -> SignedStatement {
        let statement = Statement::Attest(Attestation::of(Epoch::new(2), header));
        SignedStatement { statement, signer: MemberIndex::new(signer), signature: key.sign(&statement, &DOMAIN) }
    }

    #[test]
    fn who_proposes_something_else_to_everybody_uses_up_nobodys_attestations() {
        let (committee, keys) = committee(4);
        let mut round = Round::new(TIP);
        let (liar, honest) = (MemberIndex::new(3), MemberIndex::new(1));
        // The liar shows each of the others batches of its own, and each attests what it may.
        let mut told = 0;
        for member in 0..3_u8 {
            let mut theirs = Round::new(TIP);
            for variant in 0..40 {
                let header = header(DataKind::Calldata, &format!("{member} {variant}"));
                let held = Held::new(header.clone(), Bytes::new());
                let hash = held.hash;
                if theirs.propose(liar, held) {
                    theirs.judge(liar, hash, Progress::Attested);
                    told += 1;
                    let signed = attest(&keys[usize::from(member)], member, &header);
                    round.attest(&signed);
                }
            }
        }
        assert_eq!(told, 3 * ATTESTED_PER_PROPOSER_MAX);
        assert!(round.try_certify(&committee, ORIGIN.number).is_none());
        // The next in the queue proposes one batch to all.
        let header = header(DataKind::Calldata, "one for all");
        assert!(round.propose(honest, Held::new(header.clone(), Bytes::new())));
        for member in 0..3_u8 {
            let signed = attest(&keys[usize::from(member)], member, &header);
            let Statement::Attest(attestation) = signed.statement else { panic!() };
            assert!(round.wants(&attestation, signed.signer));
            round.attest(&signed);
        }
        assert_eq!(round.try_certify(&committee, ORIGIN.number).unwrap().header, header);
    }

    #[test]
    fn calldata_alone_takes_the_place_of_blobs_that_l1_holds_back() {
        let (committee, keys) = committee(1);
        let head = |blocks| L1BlockNumber::new(ORIGIN.number.get() + blocks);
        let mut round = Round::new(TIP);
        let certify = |round: &mut Round, from, kind, data: &str, at| {
            let (header, from) = (header(kind, data), MemberIndex::new(from));
            let held = Held::new(header.clone(), Bytes::new());
            let hash = held.hash;
            round.propose(from, held);
            round.judge(from, hash, Progress::Attested);
            round.attest(&attest(&keys[0], 0, &header));
            round.try_certify(&committee, at).map(|certified| certified.header == header)
        };
        assert!(!round.hold_back(head(9), 5), "nothing is certified");
        assert_eq!(certify(&mut round, 0, DataKind::Blobs, "first", head(1)), Some(true));
        assert!(!round.hold_back(head(5), 5));
        assert!(round.hold_back(head(6), 5) && !round.hold_back(head(7), 5), "that is news once");
        assert_eq!(round.wants_calldata_since(), Some(head(6)));
        // Until there is something better it stays what it was.
        assert_eq!(certify(&mut round, 1, DataKind::Blobs, "others", head(7)), None);
        assert_eq!(round.certified().unwrap().header, header(DataKind::Blobs, "first"));
        assert_eq!(certify(&mut round, 0, DataKind::Calldata, "instead", head(8)), Some(true));
        assert_eq!((round.wants_calldata_since(), round.certified_at), (None, Some(head(8))));
        assert!(!round.hold_back(head(99), 5), "L1 takes calldata or nothing");

        // Whoever is sure of it sooner than this node is heard.
        let mut round = Round::new(TIP);
        assert_eq!(certify(&mut round, 0, DataKind::Blobs, "first", head(1)), Some(true));
        assert_eq!(certify(&mut round, 1, DataKind::Calldata, "early", head(5)), None);
        assert!(round.hold_back(head(6), 5));
        let early = round.try_certify(&committee, head(6)).unwrap();
        assert_eq!(early.header, header(DataKind::Calldata, "early"));

        let mut round = Round::new(TIP);
        assert_eq!(certify(&mut round, 0, DataKind::Blobs, "first", head(1)), Some(true));
        assert!(round.hold_back(head(6), 5));
        round.stay_with_blobs();
        assert!(round.stays_with_blobs() && round.wants_calldata_since().is_none() && !round.hold_back(head(9), 5));
    }

    #[test]
    fn blobs_are_certified_only_with_data_that_was_judged() {
        let (committee, keys) = committee(1);
        let (origin, tip, me, key) = (ORIGIN, TIP, MemberIndex::new(0), &keys[0]);
        for data_kind in [DataKind::Calldata, DataKind::Blobs] {
            let header = header(data_kind, "data");
            let signed = attest(key, 0, &header);
            let mut round = Round::new(tip);
            let held = Held::new(header, Bytes::from_static(b"data, as somebody says"));
            let hash = held.hash;
            round.propose(me, held);
            round.attest(&signed);
            let at_once = round.try_certify(&committee, origin.number).is_some();
            assert_eq!(at_once, data_kind == DataKind::Calldata, "calldata was checked when it came");
            round.judge(me, hash, Progress::Refused);
            assert!(round.try_certify(&committee, origin.number).is_none());
            round.judge(me, hash, Progress::Attested);
            assert_eq!(round.try_certify(&committee, origin.number).is_some(), !at_once);
        }
    }
}
