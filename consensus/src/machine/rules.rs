//! What follows from all that is known: certify, finalize, enter, vote, give up, propose (R1 to R8).

use super::*;
use crate::chain::Ancestry;

/// Retries and views without a finalization before timeouts begin to grow: a few absent leaders in a row are ordinary.
const STALL_FREE: u32 = 8;

/// Retries and views in which timeouts double once they grow.
const STALL_STEP: u32 = 4;

/// No timeout is longer.
const TIMEOUT_MS_MAX: u64 = 30_000;

/// t_L in units of Δ.
const LEADER_DELTAS: u64 = 3;

/// t_A in units of Δ: one more than t_L.
const ADVANCE_DELTAS: u64 = 4;

/// t_R in units of Δ.
const RETRY_DELTAS: u64 = 5;

/// Whether a header may be voted for, as far as its ancestors go (R3, I4).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Descent {
    /// The parent is certified or final, and every view between is nullified by a certificate we hold.
    Proven,
    /// Something is missing: fetch and wait.
    Missing(Vec<Want>),
    /// No honest leader proposes this.
    Illegal,
}

/// Something that others have and we need.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Want {
    Block(BlockDigest),
    Certificate(View),
}

impl<S: Scheme> Machine<S> {
    pub(super) fn on_started(&mut self, effects: &mut Vec<Effect>) {
        self.phase = Phase::Running;
        self.halt_if_broken(effects);
        if self.phase == Phase::Halted {
            return;
        }
        self.certify(effects);
        self.finalize(effects);
        self.end(effects);
        let first = self.next_view().unwrap_or(View::new(1));
        if self.phase == Phase::Ended {
            self.current = first;
            self.retry(effects);
        }
        if self.phase != Phase::Running {
            return;
        }
        self.started = first;
        // Recent Finalize votes may not have left before the crash; the current view's statements are repeated on entry.
        let recent = View::new(first.get().saturating_sub(healing::FINALIZE_VIEWS));
        let views: Vec<View> = self.views.range(recent..first).map(|(view, _)| *view).collect();
        for view in views {
            self.repeat(view, &[StatementKind::Finalize], effects);
        }
        self.enter(first, effects);
        effects.push(Effect::Broadcast(Outgoing::CertificateRequest { view: first }));
    }

    /// Draws every conclusion that the last input allows, in an order in which each can build on the ones before.
    pub(super) fn settle(&mut self, effects: &mut Vec<Effect>) {
        loop {
            if self.phase == Phase::Running {
                self.certify(effects);
                self.finalize(effects);
            }
            self.end(effects);
            if self.phase != Phase::Running {
                return;
            }
            match self.next_view().filter(|next| *next > self.current) {
                Some(next) => self.enter(next, effects),
                None => break,
            }
        }
        self.hasten(effects);
        self.vote(effects);
        self.give_up(effects);
        self.propose(effects);
        self.seek(effects);
    }

    /// R4, R5: a notarization whose block is stored and whose parent is certified or final can be built on. Views in
    /// ascending order, so that one new body certifies a whole chain.
    fn certify(&mut self, effects: &mut Vec<Effect>) {
        let open = self.views.range(self.above_head()..).filter(|(_, state)| state.certified.is_none());
        let open: Vec<(View, BlockDigest)> =
            open.filter_map(|(view, state)| Some((*view, state.notarized()?))).collect();
        for (view, block) in open {
            let Some(header) = self.chain.header(block) else { continue };
            let after_the_last = self.chain.header(header.parent).is_some_and(|parent| self.is_handover(parent));
            if !self.can_stand(header, view) || after_the_last || !self.chain.is_stored(block) {
                continue;
            }
            if self.certified_view(header.parent).is_none() {
                continue;
            }
            let state = self.state(view);
            state.certified = Some(block);
            // Not when the leader equivocated: the other block may be notarized elsewhere, and a view in doubt is better
            // finalized through its descendants.
            if state.notarization.is_some() && !state.is_equivocated() && view > self.final_view {
                let epoch = self.epoch;
                self.sign(Statement::Finalize { epoch, view, block }, effects);
            }
        }
    }

    /// Returns the view of a block that may be built on: the final head, or one certified in the view it was built in.
    fn certified_view(&self, block: BlockDigest) -> Option<View> {
        if block == self.chain.head_digest() {
            return Some(self.chain.head_view());
        }
        let view = self.chain.header(block)?.view;
        self.views.get(&view).filter(|state| state.certified == Some(block)).map(|_| view)
    }

    /// R8: the highest finalization whose ancestry is here makes its whole branch final.
    fn finalize(&mut self, effects: &mut Vec<Effect>) {
        let above = self.views.range(self.above_head()..).rev();
        let held: Vec<Verified<Certificate>> = above.filter_map(|(_, state)| state.finalization.clone()).collect();
        for certificate in held {
            let (Some(block), Some(view)) = (certificate.statement.block(), certificate.statement.view()) else {
                continue;
            };
            match self.chain.ancestry(block) {
                Ancestry::Missing(_) => {}
                Ancestry::Conflict => return self.halt_beside_ours(certificate, effects),
                Ancestry::Known(chain) => {
                    if let Some((head, below)) = chain.split_last() {
                        // No honest member takes part in either, so a third of the weight lied.
                        if !self.can_stand(head, view) || below.iter().any(|header| self.is_handover(header)) {
                            return self.halt(vec![certificate], effects);
                        }
                        self.chain.advance(&chain);
                        self.proof = Some(certificate.clone());
                        effects.push(Effect::Finalized { certificate: certificate.into_inner(), chain });
                        self.halt_if_broken(effects);
                    }
                    return self.prune();
                }
            }
        }
    }

    /// R1: the view to be in, by certified notarization, nullification or finalization of the one before.
    fn next_view(&self) -> Option<View> {
        let decided = |state: &ViewState| state.nullification.is_some() || state.certified.is_some();
        let left = self.views.range(self.current..).rev().find(|(_, state)| decided(state)).map(|(view, _)| *view);
        left.max(Some(self.final_view)).and_then(View::next)
    }

    fn enter(&mut self, view: View, effects: &mut Vec<Effect>) {
        self.current = view;
        self.entry = Entry::default();
        self.asked = Asked::default();
        self.stall = self.stall.saturating_add(1);
        let leader = self.state(view).leader;
        if self.is_inactive(leader) && self.skips > 0 {
            self.skips = self.skips.saturating_sub(1);
            self.entry.skipped = true;
        }
        effects.push(Effect::Entered { view, leader });
        effects.push(Effect::SetTimer { timer: Timer::Pace(view), after_ms: self.config.min_block_ms });
        effects.push(Effect::SetTimer { timer: Timer::Idle(view), after_ms: self.config.idle_block_ms });
        self.time_retry(effects);
        self.repeat(view, &[StatementKind::Notarize, StatementKind::Finalize, StatementKind::Nullify], effects);
        self.prune();
    }

    /// R6: a leader of whom nothing was heard for `inactive_views` views, while a quorum spoke.
    fn is_inactive(&self, leader: MemberIndex) -> bool {
        let watched = self.current.get().saturating_sub(self.started.get());
        let heard = self.recently_heard();
        Some(leader) != self.me
            && watched >= self.config.inactive_views
            && !heard.contains(leader)
            && self.committee.is_quorum(heard)
    }

    /// Starts t_L and t_A at the moment from which the leader should propose: work is known and the view is old enough,
    /// or it is as old as an idle view gets.
    pub(super) fn time_leader(&mut self, effects: &mut Vec<Effect>) {
        let due = self.entry.idle || (self.entry.paced && self.entry.work);
        if due && !self.entry.timing {
            self.entry.timing = true;
            let view = self.current;
            let timers = [(Timer::Leader(view), LEADER_DELTAS), (Timer::Advance(view), ADVANCE_DELTAS)];
            let after_ms = |deltas| self.timeout_ms(deltas, self.delay.estimate_ms());
            effects.extend(timers.map(|(timer, deltas)| Effect::SetTimer { timer, after_ms: after_ms(deltas) }));
        }
    }

    pub(super) fn time_retry(&self, effects: &mut Vec<Effect>) {
        let timer = Timer::Retry(self.current);
        // A quick network is no reason to repeat oneself more often.
        let delta_ms = self.delay.estimate_ms().max(self.config.delta_ms);
        effects.push(Effect::SetTimer { timer, after_ms: self.timeout_ms(RETRY_DELTAS, delta_ms) });
    }

    /// A number of Δ, doubled for every [`STALL_STEP`] views or retries without a finalization beyond [`STALL_FREE`].
    fn timeout_ms(&self, deltas: u64, delta_ms: u64) -> u64 {
        let doublings = self.stall.saturating_sub(STALL_FREE).checked_div(STALL_STEP).unwrap_or(0).min(32);
        let longest = TIMEOUT_MS_MAX.max(self.config.delta_ms.saturating_mul(deltas));
        delta_ms.saturating_mul(deltas).saturating_mul(1_u64 << doublings).min(longest)
    }

    /// R3: vote for the leader's first header once its ancestry is proven and its body judged.
    fn vote(&mut self, effects: &mut Vec<Effect>) {
        let (epoch, view) = (self.epoch, self.current);
        let Some((block, validation)) = self.votable() else { return };
        match validation {
            Validation::NotAsked => {
                let Some(header) = self.chain.header(block).cloned() else { return };
                if self.descent(view, &header) != Descent::Proven {
                    return;
                }
                if header.view != view {
                    self.state(view).validation = Validation::Done(Verdict::Valid);
                    self.sign(Statement::Notarize { epoch, view, block }, effects);
                    return;
                }
                let Some(parent) = self.chain.header(header.parent).cloned() else { return };
                let Ancestry::Known(ancestors) = self.chain.ancestry(header.parent) else { return };
                self.state(view).validation = Validation::Asked;
                effects.push(Effect::Validate { header, parent, ancestors });
            }
            Validation::Done(Verdict::Valid) => {
                self.sign(Statement::Notarize { epoch, view, block }, effects);
            }
            Validation::Asked | Validation::Done(Verdict::Invalid) => {}
        }
    }

    /// Returns the proposal of the current view if we may still vote for it.
    fn votable(&self) -> Option<(BlockDigest, Validation)> {
        let state = self.views.get(&self.current)?;
        let block = state.proposal?;
        // The record can have outlived the body that it says we voted for.
        let again = |own: &Own| own.statement.block() == Some(block) && matches!(own.state, OwnState::Recorded);
        let said = state.own.get(&StatementKind::Notarize).is_some_and(|own| !again(own));
        let said = said || state.has_said(StatementKind::Nullify);
        if self.me.is_none() || self.me == Some(state.leader) || said || state.is_equivocated() {
            return None;
        }
        Some((block, state.validation))
    }

    /// Judges the place in the chain of a header proposed in `view` (R3): parent, height, and the views between.
    pub(super) fn descent(&self, view: View, header: &BlockHeader) -> Descent {
        if header.view != view {
            return self.descent_again(view, header);
        }
        let at_head = header.parent == self.chain.head_digest();
        // The head is final: a block at its height or right above it that does not build on it is on another branch.
        if !at_head && header.height.previous() <= Some(self.chain.head().height) {
            return Descent::Illegal;
        }
        let Some(parent) = self.chain.header(header.parent) else {
            return Descent::Missing(vec![Want::Block(header.parent)]);
        };
        let parent_view = if at_head { self.chain.head_view() } else { parent.view };
        // On a handover block nothing stands but itself.
        if parent_view >= view || parent.height.next() != Some(header.height) || self.is_handover(parent) {
            return Descent::Illegal;
        }
        if parent_view < self.final_view {
            // Leaving out a final view is never legal, but it takes a proven chain to say which views are final blocks'
            // ancestors: while we are behind, we wait.
            return if self.is_behind() { Descent::Missing(Vec::new()) } else { Descent::Illegal };
        }
        let mut wants: Vec<Want> = self.gaps(parent_view, view).map(Want::Certificate).collect();
        let certified = self.certified_view(header.parent).is_some();
        // A notarized parent waits for its body or its own ancestors, which are sought for its own sake.
        if !certified && self.views.get(&parent_view).and_then(ViewState::notarized) != Some(header.parent) {
            wants.push(Want::Certificate(parent_view));
        }
        if certified && wants.is_empty() { Descent::Proven } else { Descent::Missing(wants) }
    }

    /// Returns the views strictly between two that have no nullification here.
    fn gaps(&self, below: View, above: View) -> impl Iterator<Item = View> {
        let between = below.get().saturating_add(1)..above.get();
        let open = |view: &View| self.views.get(view).is_none_or(|state| state.nullification.is_none());
        between.map(View::new).filter(open).take(healing::REQUESTS_MAX)
    }

    /// R6: give the current view up when its time or its chance is over. After our Finalize the gate refuses.
    fn give_up(&mut self, effects: &mut Vec<Effect>) {
        let (epoch, view) = (self.epoch, self.current);
        let Some(state) = self.views.get(&view) else { return };
        // A header that the chain did not take stands no higher than the final head.
        let judged =
            |block| self.chain.header(block).is_none_or(|header| self.descent(view, header) == Descent::Illegal);
        let illegal = state.validation == Validation::NotAsked && state.proposal.is_some_and(judged);
        let entry = &self.entry;
        let over = (entry.leader_late && state.proposal.is_none())
            || entry.advance_late
            || entry.skipped
            || entry.not_built
            || illegal
            || state.validation == Validation::Done(Verdict::Invalid)
            || state.is_given_up_by_leader();
        if over {
            self.sign(Statement::Nullify { epoch, view }, effects);
        }
    }

    /// R2: we lead, and the time for a block has come: at once with work once the view is MIN_BLOCK_MS old, without at
    /// IDLE_BLOCK_MS.
    fn propose(&mut self, effects: &mut Vec<Effect>) {
        let view = self.current;
        let due = self.entry.idle || (self.entry.paced && self.entry.work);
        let Some(state) = self.views.get(&view) else { return };
        // A recorded Notarize from before a restart counts as said: either its block is repeated or the view is lost.
        let said = state.own.contains_key(&StatementKind::Notarize) || state.has_said(StatementKind::Nullify);
        if Some(state.leader) != self.me || !due || said || state.proposal.is_some() || self.entry.building.is_some() {
            return;
        }
        let Ok(parent) = self.best_parent() else { return };
        let Some(header) = self.chain.header(parent).cloned() else { return };
        if self.is_handover(&header) {
            return self.propose_again(&header, effects);
        }
        let Ancestry::Known(ancestors) = self.chain.ancestry(parent) else { return };
        self.entry.building = Some(parent);
        effects.push(Effect::Build { view, parent: header, ancestors });
    }

    /// R2: the highest certified or final block below the current view with every view between nullified; or the views
    /// that stand in the way, those nearest to ours first.
    pub(super) fn best_parent(&self) -> Result<BlockDigest, Vec<View>> {
        let mut missing = Vec::new();
        let mut best = self.chain.head_digest();
        for (view, state) in self.below() {
            if let Some(block) = state.and_then(|state| state.certified) {
                best = block;
                break;
            }
            if state.is_none_or(|state| state.nullification.is_none()) {
                missing.push(view);
            }
            if missing.len() >= healing::REQUESTS_MAX {
                break;
            }
        }
        if missing.is_empty() { Ok(best) } else { Err(missing) }
    }

    /// Views between the final head's and the current one, descending.
    fn below(&self) -> impl Iterator<Item = (View, Option<&ViewState>)> {
        let between = self.above_head().get()..self.current.get();
        between.rev().map(|view| (View::new(view), self.views.get(&View::new(view))))
    }
}
