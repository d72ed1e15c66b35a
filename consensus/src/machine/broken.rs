//! Safety seen broken: who says so, who is told, and what is still done.
//!
//! While less than a third of the weight lies, no two certificates of one view contradict each other (S4), and every
//! finalization is of one chain. Whoever holds what cannot stand together, from peers, from catching up or from its own
//! disk after a restart, signs nothing more. It tells everybody what it holds, for each member must see it to stop, and
//! each half may be all that somebody else has; and it goes on comparing what members say, since every pair names one
//! more of those to blame.

use super::*;

impl<S: Scheme> Machine<S> {
    /// Returns a certificate of the same view that cannot be true beside `got` (S4).
    pub(super) fn rival(&self, got: &Certificate) -> Option<Verified<Certificate>> {
        self.views.get(&got.statement.view()?)?.contradicted(got).cloned()
    }

    /// Returns whether a finalization is of a block that our final chain is known not to hold: in its view another one
    /// is final, or none; or the epoch ended before it.
    pub(super) fn is_elsewhere(&self, got: &Certificate) -> bool {
        let Statement::Finalize { view, block, .. } = got.statement else { return false };
        if view > self.chain.head_view() {
            return self.is_handover(self.chain.head()) && block != self.chain.head_digest();
        }
        self.chain.is_off_trunk(view, block)
    }

    /// Halts if a finalization we hold turns out to be of another chain than ours, or if what was restored contradicts itself.
    pub(super) fn halt_if_broken(&mut self, effects: &mut Vec<Effect>) {
        if !self.broken.is_empty() {
            return self.halt(self.broken.clone(), effects);
        }
        let mut held = self.views.values().filter_map(|state| state.finalization.as_ref());
        if let Some(elsewhere) = held.find(|held| self.is_elsewhere(held)).cloned() {
            self.halt_beside_ours(elsewhere, effects);
        }
    }

    /// Halts over a finalization that cannot be true beside the one that made our head final.
    pub(super) fn halt_beside_ours(&mut self, other: Verified<Certificate>, effects: &mut Vec<Effect>) {
        self.halt(self.proof.clone().into_iter().chain([other]).collect(), effects);
    }

    /// Whatever we said next could only make it worse, but for what shows that it is so.
    pub(super) fn halt(&mut self, certificates: Vec<Verified<Certificate>>, effects: &mut Vec<Effect>) {
        self.phase = Phase::Halted;
        self.broken = certificates;
        let plain = || self.broken.iter().map(|held| (**held).clone());
        effects.push(Effect::SafetyBroken(plain().collect()));
        effects.extend(plain().map(Outgoing::Certificate).map(Effect::Broadcast));
    }

    /// Tells a member why this node says nothing else.
    pub(super) fn show_broken(&self, member: MemberIndex, effects: &mut Vec<Effect>) {
        let held = self.broken.iter().map(|held| Outgoing::Certificate((**held).clone()));
        effects.extend(held.map(|certificate| Effect::Send(member, certificate)));
    }

    /// After the halt only votes are compared, around the view that the others have reached.
    pub(super) fn look_ahead(&mut self, certified: View) {
        self.current = certified.next().unwrap_or(certified).max(self.current);
        self.prune();
    }

    /// Returns the finalization of the head, or failing that the lowest one that can be of a descendant, among those restored.
    pub(super) fn stored_proof(&self) -> Option<Verified<Certificate>> {
        let held = || self.views.range(self.chain.head_view()..).filter_map(|(_, state)| state.finalization.as_ref());
        let of_head = held().find(|held| held.statement.block() == Some(self.chain.head_digest()));
        of_head.or_else(|| held().find(|held| !self.is_elsewhere(held))).cloned()
    }
}
