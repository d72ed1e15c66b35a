//! The check itself: a pure function of a proof and of what is trusted.

use std::{collections::BTreeMap, fmt};

use alloy_primitives::{B256, TxHash, U128, keccak256};
use baton_consensus::CommitteeMember;
use baton_proto::{Attestation, BlockDigest, BlockHeader, BlsSignature, Epoch, Height, Statement, Transaction};
use serde::Serialize;

use super::{
    AttestedState, CommitteeOf, Flaw, Found, InBatch, InBlock, Ladder, OnL1, Proof, Rung, Signed, Step, Votes,
    certificate,
};
use crate::{epoch::verifier_of, ledger::BatchOnL1};

/// Who says who the members are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The registry on L1.
    L1,
    /// A file that the user trusts.
    File,
    /// The proof itself: whoever made it may have made them up, with the signatures.
    Proof,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::L1 => "L1",
            Self::File => "the file",
            Self::Proof => "the proof",
        })
    }
}

/// Whose signatures count.
#[derive(Clone, Debug)]
pub struct Committees {
    source: Source,
    of: BTreeMap<Epoch, Vec<CommitteeMember>>,
}

impl Committees {
    /// Trusts what L1 said.
    #[must_use]
    pub fn of_l1(l1: &OnL1) -> Self {
        Self { source: Source::L1, of: l1.committees.clone() }
    }

    /// Trusts what a file says.
    #[must_use]
    pub fn of_file(committees: Vec<CommitteeOf>) -> Self {
        Self { source: Source::File, of: by_epoch(committees) }
    }

    /// Trusts what the proof says of itself.
    #[must_use]
    pub fn of_proof(proof: &Proof) -> Self {
        Self { source: Source::Proof, of: by_epoch(proof.committees.clone()) }
    }
}

fn by_epoch(committees: Vec<CommitteeOf>) -> BTreeMap<Epoch, Vec<CommitteeMember>> {
    committees.into_iter().map(|committee| (committee.epoch, committee.members)).collect()
}

/// Why a signature is not found good.
enum Obstacle {
    Flaw(Flaw),
    /// Nobody has said who sat in this epoch.
    Unknown(Epoch),
}

impl From<Flaw> for Obstacle {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl Obstacle {
    fn found(self, by: String) -> Found {
        match self {
            Self::Flaw(why) => Found::Fails { why },
            Self::Unknown(epoch) => {
                let needs = format!("the committee of epoch {epoch}, which the proof lacks");
                Found::Unchecked { by, signed: None, needs }
            }
        }
    }
}

/// Checks every step that `proof` claims of transaction `asked`. Without `l1` nothing is known of what L1 holds.
///
/// Never trusts a word of the proof but, where `committees` are its own, who the members are.
#[must_use]
pub fn check(proof: &Proof, asked: TxHash, committees: &Committees, l1: Option<&OnL1>) -> Ladder {
    let mut ladder = Ladder {
        hash: asked,
        domain: proof.domain,
        committees: committees.source,
        rungs: Vec::with_capacity(6),
        outcome: proof.block.as_ref().and_then(|block| block.outcome.clone()),
        state: None,
    };
    let mut rung = |step, found: Found| {
        let holds = matches!(found, Found::Holds { .. });
        ladder.rungs.push(Rung { step, found });
        holds
    };
    let rest = |what: &str| Found::Missing { what: what.to_owned() };
    if !rung(Step::Accepted, accepted(proof, asked)) {
        for step in [Step::Included, Step::Notarized, Step::Final, Step::Posted, Step::Settled] {
            rung(step, rest("nothing to look for without the transaction"));
        }
        return ladder;
    }
    let Some(block) = &proof.block else {
        rung(Step::Included, rest("it is in no block that this node can show"));
        for step in [Step::Notarized, Step::Final, Step::Posted, Step::Settled] {
            rung(step, rest("not yet"));
        }
        return ladder;
    };
    let checker = Checker { proof, block, digests: digests(&block.headers), committees, l1 };
    if !rung(Step::Included, checker.included()) {
        for step in [Step::Notarized, Step::Final, Step::Posted, Step::Settled] {
            rung(step, rest("nothing to show without its place in the block"));
        }
        return ladder;
    }
    let is_final = checker.is_final();
    rung(Step::Notarized, checker.notarized(&is_final));
    rung(Step::Final, is_final);
    let posted = checker.posted();
    let settled = checker.settled(&posted);
    let is_attested = matches!(posted, Found::Holds { .. } | Found::Unchecked { signed: Some(_), .. });
    rung(Step::Posted, posted);
    rung(Step::Settled, settled);
    let batch = block.batch.as_ref().filter(|batch| is_attested && batch.header.state_root != B256::ZERO);
    ladder.state = batch.map(|batch| AttestedState { height: batch.header.last_height, root: batch.header.state_root });
    ladder
}

fn accepted(proof: &Proof, asked: TxHash) -> Found {
    match transaction(proof, asked) {
        Ok(transaction) => Found::Holds {
            by: format!(
                "its {} bytes are signed by {}, nonce {}",
                proof.raw.len(),
                transaction.sender(),
                transaction.nonce()
            ),
            signed: None,
        },
        Err(why) => Found::Fails { why },
    }
}

fn transaction(proof: &Proof, asked: TxHash) -> Result<Transaction, Flaw> {
    if proof.hash != asked {
        return Err(Flaw::OtherTransaction { asked, got: proof.hash });
    }
    let got = keccak256(&proof.raw);
    if got != asked {
        return Err(Flaw::OtherBytes { got });
    }
    let transaction = Transaction::decode(proof.raw.clone())?;
    let (expected, got) = (proof.domain.l2_chain_id, transaction.chain_id());
    if got != expected.get() { Err(Flaw::OtherChain { expected, got }) } else { Ok(transaction) }
}

fn digests(headers: &[BlockHeader]) -> Vec<BlockDigest> {
    headers.iter().map(BlockHeader::digest).collect()
}

struct Checker<'a> {
    proof: &'a Proof,
    block: &'a InBlock,
    digests: Vec<BlockDigest>,
    committees: &'a Committees,
    l1: Option<&'a OnL1>,
}

impl Checker<'_> {
    fn included(&self) -> Found {
        let InBlock { index, path, headers, .. } = self.block;
        let Some(header) = headers.first() else { return Found::Fails { why: Flaw::NoHeader } };
        let (expected, got) = (self.proof.domain.l2_chain_id, header.l2_chain_id);
        if got != expected {
            return Found::Fails { why: Flaw::OtherChain { expected, got: got.get() } };
        }
        let height = header.height;
        if !header.holds(*index, &self.proof.raw, path) {
            return Found::Fails { why: Flaw::NotInBlock { index: *index, height } };
        }
        let (count, hashes) = (header.transaction_count, path.len());
        let by =
            format!("in block {height} at place {index} of {count}, by a Merkle path of {hashes} to its payload root");
        Found::Holds { by, signed: None }
    }

    fn notarized(&self, is_final: &Found) -> Found {
        let Some(votes) = &self.block.notarization else {
            return match is_final {
                Found::Holds { .. } => {
                    Found::Holds { by: "as it is final: nobody finalizes what is not notarized".into(), signed: None }
                }
                _ => Found::Missing { what: "a notarization".into() },
            };
        };
        let by = format!("in view {}", votes.view);
        let height = self.block.headers.first().map(|header| header.height).unwrap_or_default();
        if votes.height != height {
            return Found::Fails { why: Flaw::OtherVotes { expected: height, got: votes.height } };
        }
        let statement = |epoch, block| Statement::Notarize { epoch, view: votes.view, block };
        self.voted(votes, statement)
            .map_or_else(|obstacle| obstacle.found(by.clone()), |signed| holds(format!("{by} by {signed}"), signed))
    }

    fn is_final(&self) -> Found {
        let Some(votes) = &self.block.finalization else {
            return Found::Missing { what: "a finalization: another block can still take its place".into() };
        };
        let above = self.block.headers.first().map(|header| votes.height.get().saturating_sub(header.height.get()));
        let by = match above.unwrap_or_default() {
            0 => format!("in view {}", votes.view),
            _ => format!("through block {}, which descends from it, in view {}", votes.height, votes.view),
        };
        let statement = |epoch, block| Statement::Finalize { epoch, view: votes.view, block };
        self.voted(votes, statement)
            .map_or_else(|obstacle| obstacle.found(by.clone()), |signed| holds(format!("{by} by {signed}"), signed))
    }

    fn voted(&self, votes: &Votes, statement: impl Fn(Epoch, BlockDigest) -> Statement) -> Result<Signed, Obstacle> {
        let (header, digest) = self.linked(votes.height)?;
        self.signed(statement(header.epoch, digest), votes.signers, votes.signature)
    }

    /// Returns the header at `height`, which is the block's own or has it as an ancestor.
    fn linked(&self, height: Height) -> Result<(&BlockHeader, BlockDigest), Flaw> {
        let headers = &self.block.headers;
        let (Some(first), Some(last)) = (headers.first(), headers.last()) else { return Err(Flaw::NoHeader) };
        let absent = Flaw::NoHeaderAt { asked: height, first: first.height, last: last.height };
        let above = height.get().checked_sub(first.height.get()).and_then(|above| usize::try_from(above).ok());
        let above = above.filter(|above| *above < headers.len()).ok_or(absent)?;
        for ((below, digest), header) in headers.iter().zip(&self.digests).zip(headers.iter().skip(1)).take(above) {
            if header.parent != *digest || below.height.next() != Some(header.height) {
                return Err(Flaw::NotLinked { below: below.height });
            }
        }
        headers.get(above).zip(self.digests.get(above).copied()).ok_or(Flaw::NoHeader)
    }

    fn posted(&self) -> Found {
        let Some(batch) = &self.block.batch else { return Found::Missing { what: "a batch that L1 holds".into() } };
        let header = &batch.header;
        let by = format!("in batch {} (blocks {} to {})", header.index, header.first_height, header.last_height);
        let signed = match self.attested(batch) {
            Ok(signed) => signed,
            Err(obstacle) => return obstacle.found(by),
        };
        let (BatchOnL1::Posted { tx, block } | BatchOnL1::Settled { tx, block }) = batch.l1 else {
            return Found::Missing { what: format!("batch {} is attested, and L1 has yet to take it", header.index) };
        };
        let Some(l1) = self.l1 else {
            let needs = format!("L1, which took it in block {block} with {tx}, as the proof says");
            return Found::Unchecked { by: format!("{by}, attested by {signed}"), signed: Some(signed), needs };
        };
        let flaw = match &l1.post {
            None => Some(Flaw::NoL1Transaction(tx)),
            Some(post) if post.block.number != block => {
                Some(Flaw::OtherL1Block { expected: block, got: post.block.number })
            }
            Some(post) if !post.accepted.contains(&(header.index, header.hash())) => {
                Some(Flaw::NotAccepted { inbox: l1.inbox, index: header.index, hash: header.hash() })
            }
            Some(_) => None,
        };
        if let Some(why) = flaw {
            return Found::Fails { why };
        }
        holds(format!("{by}, attested by {signed}; L1 took it in block {block} with {tx}"), signed)
    }

    fn attested(&self, batch: &InBatch) -> Result<Signed, Obstacle> {
        let header = &batch.header;
        let (index, first, last) = (header.index, header.first_height, header.last_height);
        let height = self.block.headers.first().map(|header| header.height).unwrap_or_default();
        if !(first..=last).contains(&height) {
            return Err(Flaw::OutsideBatch { index, first, last, height }.into());
        }
        let (_, got) = self.linked(last)?;
        if got != header.last_digest {
            return Err(Flaw::OtherLastBlock { index, height: last, expected: header.last_digest, got }.into());
        }
        self.signed(Statement::Attest(Attestation::of(batch.epoch, header)), batch.signers, batch.signature)
    }

    fn settled(&self, posted: &Found) -> Found {
        let missing = |what: String| Found::Missing { what };
        let Some(batch) = &self.block.batch else { return missing("not yet".into()) };
        let (claimed, block) = match batch.l1 {
            BatchOnL1::Settled { block, .. } => (true, block),
            BatchOnL1::Posted { block, .. } => (false, block),
            BatchOnL1::Unposted => return missing("not yet".into()),
        };
        if matches!(posted, Found::Fails { .. } | Found::Missing { .. }) {
            return missing("nothing to show without its place on L1".into());
        }
        match self.l1 {
            None if claimed => {
                let by = format!("L1 block {block} is final, as the proof says");
                Found::Unchecked { by, signed: None, needs: "L1".into() }
            }
            None => missing(format!("L1 block {block} was not final when the proof was made")),
            Some(l1) if l1.finalized.number >= block => {
                let hash = l1.post.as_ref().map(|post| post.block.hash).unwrap_or_default();
                let last = l1.finalized.number;
                let by = format!("L1 block {block} ({hash}) is final: L1's last final block is {last}");
                Found::Holds { by, signed: None }
            }
            Some(l1) if claimed => Found::Fails { why: Flaw::NotFinal { block, finalized: l1.finalized } },
            Some(l1) => {
                missing(format!("L1 block {block} is not final: L1's last final block is {}", l1.finalized.number))
            }
        }
    }

    /// Checks that a quorum of those who are trusted signed `statement`.
    fn signed(&self, statement: Statement, signers: U128, signature: BlsSignature) -> Result<Signed, Obstacle> {
        let (epoch, source) = (statement.epoch(), self.committees.source);
        let Some(members) = self.committees.of.get(&epoch) else {
            let known = source != Source::L1;
            return Err(if known { Obstacle::Unknown(epoch) } else { Flaw::NoCommittee { epoch }.into() });
        };
        let named = self.proof.committees.iter().find(|named| named.epoch == epoch);
        if named.is_some_and(|named| !same_voters(&named.members, members)) {
            return Err(Flaw::OtherCommittee { epoch, trusted: source }.into());
        }
        let verifier = verifier_of(self.proof.domain, epoch, members.clone())
            .map_err(|error| Flaw::UnusableCommittee(error.to_string()))?;
        let certificate = certificate(statement, signers, signature);
        let signers = certificate.signers;
        verifier.verify_certificate(certificate).map_err(|error| Flaw::Certificate { epoch, error })?;
        let committee = verifier.committee();
        let weight = committee.weight_of(signers).and_then(|weight| u64::try_from(weight).ok());
        Ok(Signed {
            epoch,
            weight: weight.unwrap_or_default(),
            total: committee.total_weight().get(),
            members: signers.iter().collect(),
            of: committee.len(),
        })
    }
}

/// Who gets the fees is no part of it: that can change, and nothing that is signed rests on it.
fn same_voters(left: &[CommitteeMember], right: &[CommitteeMember]) -> bool {
    let voters = |members: &[CommitteeMember]| -> Vec<_> {
        members.iter().map(|member| (member.owner, member.weight, member.key)).collect()
    };
    voters(left) == voters(right)
}

const fn holds(by: String, signed: Signed) -> Found {
    Found::Holds { by, signed: Some(signed) }
}
