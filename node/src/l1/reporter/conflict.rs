//! Two certificates of one view that contradict each other: a third of the stake lied, and L1 takes all that it bonded.

use alloy_primitives::{Address, keccak256};
use baton_consensus::Committee;
use baton_proto::{Conflict, Epoch, L1BlockNumber};
use tracing::{error, info, warn};

use super::{CONFLICT_KEY, Window, Work, is_final_refusal, turn};
use crate::l1::{
    bindings::{RevertReason, SequencerRegistry, conflict_submission},
    client::At,
    error::L1Error,
    materialize,
    sender::{Call, SendError},
};

/// The case that a halted node makes.
pub(super) struct Case {
    conflict: Conflict,
    /// Newest L1 block when this process took the case up.
    since: Option<L1BlockNumber>,
    /// Why the slasher refused it last, which was logged.
    refusal: Option<RevertReason>,
}

impl Case {
    pub(super) const fn epoch(&self) -> Epoch {
        self.conflict.epoch()
    }
}

impl Work {
    /// Takes up what this node halted for, if two certificates of one view show it.
    pub(super) fn take_conflict(&mut self) -> Result<(), SendError> {
        let Some(bytes) = self.ledger.l1_fact(CONFLICT_KEY)? else { return Ok(()) };
        match serde_json::from_slice::<Conflict>(&bytes) {
            Ok(conflict) => {
                warn!(epoch = %conflict.epoch(), signers = conflict.signers().len(), "evidence of contradicting certificates");
                self.conflict = Some(Case { conflict, since: None, refusal: None });
            }
            Err(error) => error!(%error, "the stored certificates do not decode"),
        }
        Ok(())
    }

    /// One look at the case, and one step of it if its time has come.
    pub(super) async fn conflict_round(
        &mut self,
        head: L1BlockNumber,
        finalized: L1BlockNumber,
    ) -> Result<(), SendError> {
        let call = self.conflict_call(head, finalized).await?;
        let reason = match self.sender.drive(call.as_ref()).await {
            Err(SendError::Refused(reason)) => reason,
            outcome => return outcome.map(drop),
        };
        if self.is_hopeless(&reason, call.as_ref()).await? {
            error!(%reason, "the slasher refuses the certificates for good");
            self.conflict = None;
        } else if let Some(case) = &mut self.conflict
            && case.refusal.as_ref() != Some(&reason)
        {
            warn!(%reason, "the slasher does not take the certificates now");
            case.refusal = Some(reason);
        }
        Ok(())
    }

    /// Whether most endpoints say that the slasher will never take the certificates.
    async fn is_hopeless(&self, reason: &RevertReason, call: Option<&Call>) -> Result<bool, SendError> {
        match call {
            Some(call) if is_final_refusal(reason) => self.is_refused_for_good(call).await,
            _ => Ok(false),
        }
    }

    async fn conflict_call(
        &mut self,
        head: L1BlockNumber,
        finalized: L1BlockNumber,
    ) -> Result<Option<Call>, SendError> {
        let Some(case) = &mut self.conflict else { return Ok(None) };
        let since = *case.since.get_or_insert(head);
        let conflict = case.conflict.clone();
        let committee = self.committees.of(conflict.epoch()).await?;
        let me = self.committees.own_place(&committee);
        if me.is_some_and(|me| conflict.signers().contains(me)) {
            error!("this node's own key signed both certificates; they are left to others");
            self.conflict = None;
            return Ok(None);
        }
        let guilty = guilty(&conflict, &committee);
        // As for pairs, one endpoint alone closes no case.
        if self.have_paid(&guilty, Some(finalized)).await? {
            info!(offenders = guilty.len(), "all who signed both certificates have lost their bonds");
            self.conflict = None;
            return Ok(None);
        }
        if self.have_paid(&guilty, None).await? {
            return Ok(None);
        }
        let window = self.window(conflict.epoch()).await?;
        let id = keccak256(conflict.epoch().get().to_be_bytes());
        let due = since.get().saturating_add(turn(&id, committee.len(), me).saturating_mul(window.turn_blocks()));
        if head.get() < due && !window.is_ending(head.get()) {
            return Ok(None);
        }
        if matches!(window, Window::Unnamed) {
            return self.naming(conflict.epoch()).await.map(Some);
        }
        let data = conflict_submission(&conflict).map_err(|error| SendError::Sign(error.to_string()))?;
        let submission = Call::plain(self.facts.slasher, data);
        // Certificates are checked against a committee that somebody has stored.
        let simulated = self.client.simulate(self.sender.account(), &submission).await;
        if let Err(L1Error::Reverted { reason, .. }) = &simulated
            && reason.is_not_materialized()
        {
            let (from, registry) = (self.sender.account(), self.facts.domain.registry);
            return Ok(materialize::next_step(&self.client, from, registry, conflict.epoch()).await?);
        }
        self.commit_or_show(submission, window, head).await.map(Some)
    }

    /// Whether none of `owners` has anything left: in a final block as most endpoints see it, or in the newest one.
    async fn have_paid(&self, owners: &[Address], finalized: Option<L1BlockNumber>) -> Result<bool, SendError> {
        for owner in owners {
            let question = SequencerRegistry::bondOfCall { owner: *owner };
            let registry = self.facts.domain.registry;
            let bond = match finalized {
                Some(finalized) => self.client.agreed_call(registry, &question, At::Number(finalized)).await?,
                None => self.client.call(registry, &question, At::Latest).await?,
            };
            if !bond.is_zero() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn guilty(conflict: &Conflict, committee: &Committee) -> Vec<Address> {
    conflict.signers().iter().filter_map(|signer| committee.member(signer)).map(|member| member.owner).collect()
}
