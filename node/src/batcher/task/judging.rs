//! Judging what others propose, and attesting what is right.

use std::sync::Arc;

use baton_consensus::Verified;
use baton_proto::{Attestation, Epoch, Height, MemberIndex, Statement, wire::ConsensusMessage};
use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::{Work, posting::store};
use crate::{
    batcher::{
        BatcherError, Charge, block_count,
        blocks::{final_blocks, state_root},
        round::{Held, Progress, Round},
        rules::{ProposalError, Roots, Situation, rank},
    },
    l1::InboxView,
};

impl Work {
    /// Judges proposals whose time may have come, and attests what is right.
    pub(super) async fn judge_waiting(&mut self, view: &InboxView, final_height: Height) -> Result<(), BatcherError> {
        let waiting = self.round.as_ref().map(Round::waiting).unwrap_or_default();
        for (from, held) in waiting {
            match self.judge(view, final_height, from, &held).await? {
                Ok(()) => self.attest(from, &held).await?,
                Err(error) if error.can_pass() => {}
                Err(error) => {
                    refuse(&self.context.charge, self.by.epoch, from, &error);
                    if let Some(round) = &mut self.round {
                        round.judge(from, held.hash, Progress::Refused);
                    }
                }
            }
        }
        Ok(())
    }

    async fn judge(
        &mut self,
        view: &InboxView,
        final_height: Height,
        from: MemberIndex,
        held: &Held,
    ) -> Result<Result<(), ProposalError>, BatcherError> {
        let header = &held.header;
        if header.last_height > final_height {
            return Ok(Err(ProposalError::NotFinalHere { last: header.last_height, head: final_height }));
        }
        let ledger = Arc::clone(&self.context.ledger);
        let last = ledger.header(header.last_height)?.ok_or(BatcherError::MissingBlock(header.last_height))?;
        let next = match header.last_height.next() {
            Some(next) if next <= final_height => ledger.header(next)?,
            _ => None,
        };
        let Some(round) = &mut self.round else { return Ok(Ok(())) };
        let (tip, epoch) = (round.tip, self.epoch.epoch);
        let facts = Arc::clone(&self.context.facts);
        let situation = Situation::new(&facts, epoch, &tip, view.head, round.complete_since);
        if let Err(error) = situation.check_span(&last) {
            return Ok(Err(error));
        }
        let size = (header.data_kind, held.data.len());
        let is_complete = situation.is_complete(size, block_count(header), &last, next.as_ref());
        if is_complete {
            round.complete_since.get_or_insert(view.head);
        }
        let rank = rank(&self.by.posters, self.by.committee.len(), header.index, from);
        if let Err(error) = situation.check_turn(from, rank, is_complete) {
            return Ok(Err(error));
        }
        let counted = self.duties.up_to(tip.last_height, view.settled.last_height)?;
        let (context, held, head) = (Arc::clone(&self.epoch), held.clone(), view.head);
        spawn_blocking(move || {
            let own = final_blocks(&*ledger, held.header.first_height, held.header.last_height)?;
            let duties = counted.root_with(&context.leaders, own.iter().map(|block| &block.header))?;
            let roots = Roots { state: state_root(&*ledger, held.header.last_height)?, duties };
            let situation = Situation::new(&facts, epoch, &tip, head, None);
            Ok(situation.check_content(&held.header, &held.data, &own, roots))
        })
        .await?
    }

    /// Signs what was judged right, stores the batch, unless another one of its index has a certificate, and tells everybody.
    pub(super) async fn attest(&mut self, from: MemberIndex, held: &Held) -> Result<(), BatcherError> {
        let Some(signer) = self.by.signer.clone() else {
            if let Some(round) = &mut self.round {
                round.judge(from, held.hash, Progress::Attested);
            }
            return Ok(());
        };
        let statement = Statement::Attest(Attestation::of(self.by.epoch, &held.header));
        store(&*self.context.ledger, &held.header, &held.data, None)?;
        let signed = match spawn_blocking(move || signer.sign(&[statement])).await? {
            Ok(signed) => signed,
            Err(error) if error.is_refusal() => {
                warn!(index = %held.header.index, %error, "the sign record forbids attesting this batch");
                if let Some(round) = &mut self.round {
                    round.judge(from, held.hash, Progress::Refused);
                }
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(round) = &mut self.round else { return Ok(()) };
        round.judge(from, held.hash, Progress::Attested);
        for signed in signed.into_iter().map(Verified::into_inner) {
            debug!(index = %held.header.index, last_height = %held.header.last_height, "batch attested");
            // Against itself this node signs nothing: its record forbids it.
            round.attest(&signed);
            round.mine.push(signed.clone());
            self.context.outbound.broadcast(ConsensusMessage::Attestation(signed));
        }
        Ok(())
    }
}

pub(super) fn refuse(charge: &Charge, epoch: Epoch, from: MemberIndex, error: &ProposalError) {
    if error.is_peer_fault() {
        warn!(%epoch, %from, %error, "proposed batch refused");
        charge(epoch, from, "a batch that no honest member proposes");
    } else {
        debug!(%epoch, %from, %error, "proposed batch passed over");
    }
}
