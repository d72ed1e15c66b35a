//! `baton_getProof`: what shows how far one transaction came, for `baton verify` and whoever else trusts no node.

use std::sync::Arc;

use baton_consensus::CommitteeMember;
use baton_execution::Outcome;
use baton_proto::{Block, BlockHeader, Certificate, Epoch, Height, Statement, View};

use super::{RpcContext, RpcError, arguments::Arguments, threads::Deadline, tx_status::batch_of};
use crate::{
    ledger::LedgerError,
    proof::{CommitteeOf, HEADERS_MAX, InBatch, InBlock, Proof, Told, VERSION, Votes},
};

/// `baton_getProof`: `null` for a transaction that this node does not know.
pub(super) fn get_proof(
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<Option<Proof>, RpcError> {
    let hash = arguments.hash(0)?;
    // The ledger last, as for its status.
    let pooled = context.pool().get(&hash);
    let notarized = context.announcements.notarized.find(&hash);
    let mut proof = Proof {
        version: VERSION,
        domain: context.facts.domain,
        hash,
        raw: pooled.as_ref().map(|transaction| transaction.raw().clone()).unwrap_or_default(),
        block: None,
        committees: Vec::new(),
    };
    if let Some(record) = context.ledger.transaction(&hash)? {
        let lacking = || RpcError::IndexWithoutBlock { hash, block: record.block };
        let block = context.ledger.block(record.block)?.ok_or_else(lacking)?;
        let outcome = match record.outcome {
            Outcome::Executed => Told::Executed,
            Outcome::Skipped(reason) => Told::Skipped { why: reason.to_string() },
        };
        let mut place = place(&mut proof, &block, record.index).ok_or_else(lacking)?;
        place.outcome = Some(outcome);
        proof.block = Some(FinalPlace { context, deadline, place, header: block.header }.with_all()?);
    } else if let Some((_, digest, index)) = notarized
        && let Some(block) = context.ledger.block_by_digest(digest)?
    {
        let lacking = || RpcError::IndexWithoutBlock { hash, block: block.header.height };
        let mut place = place(&mut proof, &block, index).ok_or_else(lacking)?;
        place.notarization = notarization(context, &block.header, [block.header.view])?;
        proof.block = Some(place);
    } else if pooled.is_none() {
        return Ok(None);
    }
    let named = |epoch| committee_of(context, epoch).map(|members| CommitteeOf { epoch, members });
    proof.committees = proof.epochs().into_iter().filter_map(named).collect();
    Ok(Some(proof))
}

/// Returns the place of item `index` of `block`, and puts its bytes into `proof`.
fn place(proof: &mut Proof, block: &Block, index: u32) -> Option<InBlock> {
    proof.raw = block.item(index)?.clone();
    Some(InBlock {
        index,
        path: block.path(index)?,
        outcome: None,
        headers: vec![block.header.clone()],
        notarization: None,
        finalization: None,
        batch: None,
    })
}

/// A place in a final block, to which the ledger adds what it holds.
struct FinalPlace<'a> {
    context: &'a RpcContext,
    deadline: &'a Deadline,
    place: InBlock,
    header: BlockHeader,
}

impl FinalPlace<'_> {
    fn with_all(mut self) -> Result<InBlock, RpcError> {
        let (ledger, height) = (Arc::clone(&self.context.ledger), self.header.height);
        let mut views = vec![self.header.view];
        if let Some((at, certificate)) = ledger.finalization_from(height)?
            && self.reach(at)?
        {
            let votes = Votes::of(at, &certificate);
            if at == height {
                views.push(votes.view);
            }
            self.place.finalization = Some(votes);
        }
        self.place.notarization = notarization(self.context, &self.header, views)?;
        if let Some(record) = batch_of(self.context, height)?
            && let Some(certificate) = &record.certificate
            && self.reach(record.header.last_height)?
        {
            self.place.batch = Some(InBatch::of(record.header, certificate, record.l1));
        }
        Ok(self.place)
    }

    /// Adds headers up to `height`. Returns whether they reach it: there can be too many, and L1 can know a batch whose blocks
    /// this node still lacks.
    fn reach(&mut self, height: Height) -> Result<bool, RpcError> {
        let (headers, first) = (&mut self.place.headers, self.header.height.get());
        let needed = height.get().saturating_sub(first).saturating_add(1);
        if needed > HEADERS_MAX as u64 {
            return Ok(false);
        }
        while (headers.len() as u64) < needed {
            self.deadline.check()?;
            let next = Height::new(first.saturating_add(headers.len() as u64));
            let Some(header) = self.context.ledger.header(next)? else { return Ok(false) };
            headers.push(header);
        }
        Ok(true)
    }
}

/// Returns the notarization of a block in one of `views`, if it is kept.
fn notarization(
    context: &RpcContext,
    header: &BlockHeader,
    views: impl IntoIterator<Item = View>,
) -> Result<Option<Votes>, LedgerError> {
    let block = header.digest();
    for view in views {
        let wanted = Statement::Notarize { epoch: header.epoch, view, block };
        let is_wanted = |certificate: &Certificate| certificate.statement == wanted;
        let found = context.ledger.certificates_of(header.epoch, view)?.into_iter().find(is_wanted);
        if let Some(certificate) = found {
            return Ok(Some(Votes::of(header.height, &certificate)));
        }
    }
    Ok(None)
}

fn committee_of(context: &RpcContext, epoch: Epoch) -> Option<Vec<CommitteeMember>> {
    let known = context.epochs.of(epoch).map(|known| known.committee.members().to_vec());
    let first = &context.facts.first;
    known.or_else(|| (first.epoch == epoch).then(|| first.committee.clone()))
}
