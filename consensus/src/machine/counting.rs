//! Votes become certificates, certificates become the highest finalization (R4, R7, R8).

use super::*;

impl<S: Scheme> Machine<S> {
    /// Counts a vote inside the window, reports what it proves, and adds up a certificate when it completes a quorum.
    pub(super) fn count(&mut self, vote: &Verified<SignedStatement>, effects: &mut Vec<Effect>) {
        let Some(view) = vote.statement.view() else { return };
        self.hear(vote.signer, view);
        let statement = vote.statement;
        let is_halted = self.phase == Phase::Halted;
        let state = self.state(view);
        let added = state.votes.add(vote);
        effects.extend(added.evidence.into_iter().map(Effect::Report));
        if is_halted {
            return;
        }
        let held = state.slot(statement.kind()).is_none_or(|slot| slot.is_some());
        // After a restart our vote may have waited for the leader's, without which nobody takes it.
        let ours = state.signed(StatementKind::Notarize).filter(|own| own.statement == statement).cloned();
        if added.counted
            && vote.signer == state.leader
            && self.me != Some(vote.signer)
            && let Some(message) = ours.and_then(|own| self.message(&own))
        {
            effects.push(Effect::Broadcast(message));
        }
        if !added.counted || held || view <= self.final_view {
            return;
        }
        let (signers, signatures) = self.state(view).votes.signers(&statement);
        if !self.committee.is_quorum(signers) {
            return;
        }
        // Each signature is verified, so the sum needs no check of its own. It fails only if the sum is zero, which
        // members that registered cancelling keys can bring about for a set of their own choice; then the next vote helps.
        if let Ok(signature) = S::aggregate(&signatures) {
            self.hold(Verified::new(Certificate { statement, signers, signature }), effects);
        }
    }

    /// Keeps a certificate that is new: durable, then spread once if it moves anything.
    pub(super) fn hold(&mut self, certificate: Verified<Certificate>, effects: &mut Vec<Effect>) {
        let Some(view) = certificate.statement.view() else { return };
        if let Some(held) = self.rival(&certificate) {
            return self.halt(vec![held, certificate], effects);
        }
        if self.is_elsewhere(&certificate) {
            return self.halt_beside_ours(certificate, effects);
        }
        let finalizes = certificate.statement.kind() == StatementKind::Finalize;
        if view <= self.final_view {
            // Too late to move anything, but one that contradicts it may come later still.
            return self.remember_certificate(certificate);
        }
        for signer in certificate.signers.iter() {
            self.hear(signer, view);
        }
        let Some(slot) = self.state(view).slot(certificate.statement.kind()) else { return };
        if slot.is_some() {
            return;
        }
        *slot = Some(certificate.clone());
        effects.push(Effect::Persist((*certificate).clone()));
        // Older ones, which fill the gaps of somebody's ancestry, were spread when they moved views.
        if finalizes || view >= self.current {
            effects.push(Effect::Broadcast(Outgoing::Certificate((*certificate).clone())));
        }
        if finalizes {
            let since_ms = self.state(view).finalizing_since_ms;
            if let (Some(since_ms), Some(now_ms)) = (since_ms, self.now_ms) {
                self.delay.on_hop(now_ms.saturating_sub(since_ms));
            }
            self.raise(view, certificate);
        }
    }

    /// Takes a certificate that is stored already: at start-up, or from catching up.
    pub(super) fn restore(&mut self, certificate: Verified<Certificate>) {
        let own = certificate.statement.epoch() == self.epoch;
        let Some(view) = certificate.statement.view().filter(|_| own) else { return };
        if let Some(held) = self.rival(&certificate) {
            self.broken = vec![held, certificate.clone()];
        }
        let finalizes = certificate.statement.kind() == StatementKind::Finalize;
        let finalized = self.finalization.as_ref().and_then(|held| held.statement.view());
        if finalizes && view >= self.final_view && finalized.is_none_or(|held| held < view) {
            self.raise(view, certificate.clone());
        }
        self.remember_certificate(certificate);
    }

    /// Keeps a certificate inside the window, unless there is one of its kind.
    fn remember_certificate(&mut self, certificate: Verified<Certificate>) {
        if let Some(view) = certificate.statement.view()
            && view.get().saturating_add(RETENTION_VIEWS) > self.final_view.get()
            && let Some(slot) = self.state(view).slot(certificate.statement.kind())
        {
            slot.get_or_insert(certificate);
        }
    }

    fn raise(&mut self, view: View, certificate: Verified<Certificate>) {
        self.final_view = self.final_view.max(view);
        self.finalization = Some(certificate);
        self.stall = 0;
        self.skips = SKIPS_MAX;
    }

    fn hear(&mut self, member: MemberIndex, view: View) {
        if let Some(heard) = self.heard.get_mut(member.as_usize()) {
            *heard = view.max(*heard);
        }
    }
}
