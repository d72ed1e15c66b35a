//! The one gate through which everything passes that we sign (invariants I1 to I5), and what becomes of it.

use super::*;

impl<S: Scheme> Machine<S> {
    /// Asks for a signature if no rule stands against it, and returns whether it did.
    ///
    /// The rules above decide when to speak; this decides whether we may. It looks at what we said in the view and at
    /// nothing that a peer could have made up, so a mistake elsewhere costs a vote and never safety.
    pub(super) fn sign(&mut self, statement: Statement, effects: &mut Vec<Effect>) -> bool {
        let Some(view) = statement.view().filter(|_| self.may_sign(&statement)) else { return false };
        let own = Own { statement, state: OwnState::Asked };
        let now_ms = self.now_ms;
        let state = self.state(view);
        state.own.insert(statement.kind(), own);
        if statement.kind() == StatementKind::Finalize {
            state.finalizing_since_ms = now_ms;
        }
        effects.push(Effect::Sign(statement));
        true
    }

    fn may_sign(&self, statement: &Statement) -> bool {
        let Some(view) = statement.view() else { return false };
        if self.me.is_none() || self.phase != Phase::Running || statement.epoch() != self.epoch {
            return false;
        }
        let Some(state) = self.views.get(&view) else {
            // Nothing is known about the view, so nothing was said in it; only giving up needs no knowledge.
            return matches!(statement, Statement::Nullify { .. });
        };
        if let Some(own) = state.own.get(&statement.kind()) {
            // I1, I2: one statement of a kind. The identical one, recorded before a restart, is said again, but never of a
            // block whose body the crash took: others count on it here.
            let is_here = statement.block().is_none_or(|block| self.chain.is_stored(block));
            return own.statement == *statement && matches!(own.state, OwnState::Recorded) && is_here;
        }
        match *statement {
            // I4: certified parent, nullified gap. No Notarize after Nullify or Finalize.
            Statement::Notarize { view, block, .. } => {
                !state.has_said(StatementKind::Nullify)
                    && !state.has_said(StatementKind::Finalize)
                    && self.chain.is_stored(block)
                    && self
                        .chain
                        .header(block)
                        .is_some_and(|header| matches!(self.descent(view, header), rules::Descent::Proven))
            }
            // I2: for a notarization held. I3: never beside Nullify.
            Statement::Finalize { block, .. } => {
                let notarized = state.notarization.as_ref().and_then(|held| held.statement.block());
                !state.has_said(StatementKind::Nullify) && notarized == Some(block)
            }
            // I3: never beside Finalize.
            Statement::Nullify { .. } => !state.has_said(StatementKind::Finalize),
            Statement::Attest(_) => false,
        }
    }

    /// Takes a statement from the sign record at start-up: it binds us, and is said again when its view comes (R12).
    pub(super) fn remember(&mut self, statement: Statement) {
        let Some(view) = statement.view().filter(|view| *view > self.final_view) else { return };
        if statement.epoch() == self.epoch {
            let own = Own { statement, state: OwnState::Recorded };
            self.state(view).own.insert(statement.kind(), own);
        }
    }

    /// Says again what the sign record holds for `view`, of these kinds.
    pub(super) fn repeat(&mut self, view: View, kinds: &[StatementKind], effects: &mut Vec<Effect>) {
        let Some(state) = self.views.get(&view) else { return };
        let recorded = kinds.iter().filter_map(|kind| state.own.get(kind));
        let recorded = recorded.filter(|own| matches!(own.state, OwnState::Recorded));
        let statements: Vec<Statement> = recorded.map(|own| own.statement).collect();
        for statement in statements {
            self.sign(statement, effects);
        }
    }

    pub(super) fn on_signed(
        &mut self,
        signed: Verified<SignedStatement>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        let view = self.answered(&signed.statement)?;
        if Some(signed.signer) != self.me {
            return Err(Rejected::NotAsked(signed.statement.kind()));
        }
        let own = Own { statement: signed.statement, state: OwnState::Signed(Box::new(signed.clone())) };
        let schedule = &self.schedule;
        let state = self.views.entry(view).or_insert_with(|| ViewState::new(schedule.leader(view)));
        state.own.insert(signed.statement.kind(), own);
        // After a restart our own block of the current view is the one that the record names.
        if let Statement::Notarize { block, .. } = signed.statement
            && state.leader == signed.signer
            && state.proposal.is_none()
            && self.chain.is_stored(block)
        {
            state.proposal = Some(block);
            state.validation = Validation::Done(Verdict::Valid);
        }
        if let Some(message) = self.message(&signed) {
            effects.push(Effect::Broadcast(message));
        }
        self.count(&signed, effects);
        Ok(())
    }

    pub(super) fn on_sign_refused(&mut self, statement: &Statement) -> Result<(), Rejected> {
        let view = self.answered(statement)?;
        let own = Own { statement: *statement, state: OwnState::Refused };
        self.state(view).own.insert(statement.kind(), own);
        Ok(())
    }

    /// Returns the view of a statement that we asked to sign.
    fn answered(&self, statement: &Statement) -> Result<View, Rejected> {
        let asked = |view: &View| {
            let own = self.views.get(view).and_then(|state| state.own.get(&statement.kind()));
            own.is_some_and(|own| own.statement == *statement && matches!(own.state, OwnState::Asked))
        };
        statement.view().filter(asked).ok_or(Rejected::NotAsked(statement.kind()))
    }

    /// Returns the message that carries a signed statement of ours: a proposal if we lead, else a vote.
    ///
    /// None for a Notarize whose leader's own we have lost in a restart: nobody would take it, and the leader's comes
    /// again with its next retry.
    pub(super) fn message(&self, signed: &Verified<SignedStatement>) -> Option<Outgoing> {
        let notarize = (**signed).clone();
        let (Statement::Notarize { view, block, .. }, Some(me)) = (signed.statement, self.me) else {
            return Some(Outgoing::Vote { vote: notarize, leader: None });
        };
        let state = self.views.get(&view)?;
        if state.leader == me {
            let header = self.chain.header(block)?.clone();
            return Some(Outgoing::Proposal { header, notarize });
        }
        let leader = state.votes.vote(StatementKind::Notarize, state.leader)?;
        let leader = (leader.statement == signed.statement).then(|| (**leader).clone())?;
        Some(Outgoing::Vote { vote: notarize, leader: Some(leader) })
    }
}
