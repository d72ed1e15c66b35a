//! What the driver answers: blocks judged, fetched, built, and a final head that moved by catching up.

use super::*;

impl<S: Scheme> Machine<S> {
    pub(super) fn on_validated(&mut self, block: BlockDigest, verdict: Verdict) {
        // The view can be long over, and its block pruned: then the judgement does not matter any more.
        let Some(view) = self.chain.header(block).map(|header| header.view) else { return };
        if verdict == Verdict::Valid {
            self.chain.mark_stored(block);
        }
        if let Some(state) = self.views.get_mut(&view)
            && state.proposal == Some(block)
            && state.validation == Validation::Asked
        {
            state.validation = Validation::Done(verdict);
        }
    }

    pub(super) fn on_fetched(&mut self, header: BlockHeader, effects: &mut Vec<Effect>) {
        let block = header.digest();
        if block == self.chain.head_digest() {
            return;
        }
        if header.height <= self.chain.head().height {
            // Not above our final head. If a quorum finalized it in a later view all the same, the two contradict.
            let finalized =
                |state: &ViewState| state.finalization.clone().filter(|held| held.statement.block() == Some(block));
            if let Some(held) = self.views.range(self.above_head()..).find_map(|(_, state)| finalized(state)) {
                self.halt_beside_ours(held, effects);
            }
            return;
        }
        let newest = View::new(self.current.get().saturating_add(AHEAD_VIEWS));
        let named = || self.views.range(self.above_head()..).any(|(_, state)| state.notarized() == Some(block));
        let proposed = || {
            let proposal = self.views.get(&self.current).and_then(|state| state.proposal);
            proposal.and_then(|proposal| self.chain.header(proposal)).is_some_and(|header| header.parent == block)
        };
        // A proposal can name anything as its parent; what lies ahead of every view would never be forgotten.
        let wanted = self.chain.header(block).is_some() || self.chain.is_parent(block) || proposed();
        if named() || (wanted && header.view <= newest) {
            self.chain.insert(block, header, true);
        }
    }

    pub(super) fn on_synced(
        &mut self,
        header: BlockHeader,
        certificate: Verified<Certificate>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        let certified =
            certificate.statement.view().filter(|_| certificate.statement.kind() == StatementKind::Finalize);
        let epochs = [header.epoch, certificate.statement.epoch()];
        if epochs != [self.epoch; 2] || certified.is_none_or(|view| view < header.view) {
            return Err(Rejected::NotAFinalization);
        }
        if header.height > self.chain.head().height && self.phase != Phase::Ended {
            let view = header.view;
            self.chain.jump(header);
            self.proof = Some(certificate.clone());
            self.final_view = self.final_view.max(view);
            self.asked.behind = None;
        }
        // The ledger has stored it with the blocks, so it is neither persisted nor spread again. It can be half of a pair.
        self.restore(certificate);
        self.halt_if_broken(effects);
        self.prune();
        Ok(())
    }

    pub(super) fn on_built(
        &mut self,
        view: View,
        header: BlockHeader,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Rejected> {
        // Too late is no fault: the view can be over, or given up.
        let Some(parent) = self.entry.building.filter(|_| view == self.current) else { return Ok(()) };
        let height = self.chain.header(parent).and_then(|parent| parent.height.next());
        let fits = header.view == view
            && header.epoch == self.epoch
            && header.l2_chain_id == self.chain.head().l2_chain_id
            && header.parent == parent
            && Some(header.height) == height
            && Some(header.proposer) == self.me;
        if !fits {
            return Err(Rejected::BuiltOther(view));
        }
        let (block, epoch) = (header.digest(), self.epoch);
        let state = self.state(view);
        if state.proposal.is_none() {
            state.proposal = Some(block);
            state.validation = Validation::Done(Verdict::Valid);
            self.chain.insert(block, header, true);
            self.sign(Statement::Notarize { epoch, view, block }, effects);
        }
        Ok(())
    }

    pub(super) fn on_not_built(&mut self, view: View) {
        if view == self.current && self.entry.building.is_some() {
            self.entry.not_built = true;
        }
    }
}
