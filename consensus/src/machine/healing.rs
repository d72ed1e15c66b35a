//! Any message can be lost: say it again (R9), serve what we hold (R10), seek what we lack.

use super::rules::{Descent, Want};
use super::*;
use crate::chain::Ancestry;

/// Views back for which our Finalize votes are repeated (R9).
pub(super) const FINALIZE_VIEWS: u64 = 4;

/// Certificates asked for between two retries.
pub(super) const REQUESTS_MAX: usize = 32;

/// Blocks asked for between two retries.
const FETCHES_MAX: usize = 16;

/// A finalization at most so many views above our head is reached block by block; a higher one by catching up.
const NEAR_VIEWS: u64 = 8;

impl<S: Scheme> Machine<S> {
    /// R9, on t_R: repeat, ask again, and wait longer if nothing finalizes.
    pub(super) fn retry(&mut self, effects: &mut Vec<Effect>) {
        self.stall = self.stall.saturating_add(1);
        self.asked = Asked::default();
        if self.is_behind() {
            self.say_behind(effects);
        }
        effects.extend(self.repeats().into_iter().map(Effect::Broadcast));
        if self.phase != Phase::Ended {
            effects.push(Effect::Broadcast(Outgoing::CertificateRequest { view: self.current }));
        }
        self.time_retry(effects);
    }

    /// A member that was away hears now what it would hear at our next retry, which can be long off by then.
    pub(super) fn on_connected(&mut self, member: MemberIndex, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Halted {
            return self.show_broken(member, effects);
        }
        if Some(member) != self.me {
            effects.extend(self.repeats().into_iter().map(|message| Effect::Send(member, message)));
            if self.phase != Phase::Ended {
                effects.push(Effect::Send(member, Outgoing::CertificateRequest { view: self.current }));
            }
        }
    }

    /// R10: what we know about a view. That safety is broken, if it is. The highest finalization if it is at or above,
    /// or ended the epoch; else the view's certificates, all of them since we do not know which one is missed; else our
    /// own votes in it and the way into our view.
    pub(super) fn serve(&self, view: View, from: MemberIndex, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Halted {
            return self.show_broken(from, effects);
        }
        let mut send = |message: Outgoing| effects.push(Effect::Send(from, message));
        let finalization = self.finalization.as_ref().filter(|_| self.final_view >= view || self.has_ended());
        if let Some(finalization) = finalization {
            return send(Outgoing::Certificate((**finalization).clone()));
        }
        let state = self.views.get(&view);
        let held = state.map(|state| [state.notarization.as_ref(), state.nullification.as_ref()]);
        let held: Vec<Certificate> = held.into_iter().flatten().flatten().map(|held| (**held).clone()).collect();
        if held.is_empty() {
            let own = state.into_iter().flat_map(|state| self.own_messages(state));
            own.for_each(&mut send);
            if view < self.current
                && let Some(entry) = self.entry_certificate()
            {
                send(Outgoing::Certificate(entry.clone()));
            }
        }
        held.into_iter().map(Outgoing::Certificate).for_each(send);
    }

    /// Our statements of the current view, the best certificate for entering it, recent Finalize votes, and the highest
    /// finalization. After the end of the epoch that alone: it is all that others need to end it too.
    fn repeats(&self) -> Vec<Outgoing> {
        if self.has_ended() {
            return self.finalization.as_deref().cloned().map(Outgoing::Certificate).into_iter().collect();
        }
        let entry = self.entry_certificate();
        let highest = self.finalization.as_deref().filter(|highest| Some(*highest) != entry);
        let certificates = [highest, entry].into_iter().flatten().cloned().map(Outgoing::Certificate);
        let oldest = View::new(self.current.get().saturating_sub(FINALIZE_VIEWS)).max(self.final_view);
        let recent = self.views.range(oldest..self.current).filter(|(view, _)| **view > self.final_view);
        let finalizes = recent.filter_map(|(_, state)| state.signed(StatementKind::Finalize));
        let finalizes = finalizes.filter_map(|signed| self.message(signed));
        let current = self.views.get(&self.current).into_iter().flat_map(|state| self.own_messages(state));
        certificates.chain(finalizes).chain(current).collect()
    }

    fn own_messages<'a>(&'a self, state: &'a ViewState) -> impl Iterator<Item = Outgoing> + 'a {
        let kinds = [StatementKind::Notarize, StatementKind::Finalize, StatementKind::Nullify];
        kinds.into_iter().filter_map(|kind| state.signed(kind)).filter_map(|signed| self.message(signed))
    }

    /// The best certificate for entering the current view.
    fn entry_certificate(&self) -> Option<&Certificate> {
        let before = self.current.previous()?;
        if self.final_view >= before {
            return self.finalization.as_deref();
        }
        let state = self.views.get(&before)?;
        state.nullification.as_deref().or(state.notarization.as_deref())
    }

    /// Asks for what stands in the way of certifying, finalizing, voting and proposing; each thing once per view and
    /// retry.
    pub(super) fn seek(&mut self, effects: &mut Vec<Effect>) {
        self.seek_final(effects);
        let open = self.views.range(self.final_view.max(self.above_head())..);
        let open = open.filter(|(view, state)| **view > self.final_view && state.certified.is_none());
        let open: Vec<(View, BlockDigest)> =
            open.filter_map(|(view, state)| Some((*view, state.notarized()?))).collect();
        for (view, block) in open {
            match self.chain.header(block).filter(|_| self.chain.is_stored(block)) {
                None => self.fetch(block, view, effects),
                // Its parent's own notarization, or body, is what is missing.
                Some(header) => {
                    let parent = header.parent;
                    match self.chain.header(parent).map(|parent| parent.view) {
                        None => self.fetch(parent, view, effects),
                        Some(parent_view) => self.request(parent_view, effects),
                    }
                }
            }
        }
        let view = self.current;
        let Some(state) = self.views.get(&view) else { return };
        if Some(state.leader) == self.me {
            // Before the block is due, so that the answers are here when it is.
            for missing in self.best_parent().err().unwrap_or_default() {
                self.request(missing, effects);
            }
        } else if !self.is_behind()
            && let Some(header) = state.proposal.and_then(|block| self.chain.header(block))
            && let Descent::Missing(wants) = self.descent(view, header)
        {
            for want in wants {
                self.want(want, view, effects);
            }
        }
    }

    /// Fetches the blocks of a near finalization, and asks to catch up with a far one.
    fn seek_final(&mut self, effects: &mut Vec<Effect>) {
        let Some(block) = self.finalization.as_ref().and_then(|held| held.statement.block()) else { return };
        if !self.is_behind() {
            return;
        }
        let far = self.final_view.get().saturating_sub(self.chain.head_view().get()) > NEAR_VIEWS;
        if far {
            return self.say_behind(effects);
        }
        if let Ancestry::Missing(missing) = self.chain.ancestry(block) {
            self.fetch(missing, self.final_view, effects);
        }
    }

    fn say_behind(&mut self, effects: &mut Vec<Effect>) {
        if let Some(certificate) = self.finalization.as_ref().filter(|_| self.asked.behind != Some(self.final_view)) {
            self.asked.behind = Some(self.final_view);
            effects.push(Effect::Behind { certificate: (**certificate).clone() });
        }
    }

    fn want(&mut self, want: Want, view: View, effects: &mut Vec<Effect>) {
        match want {
            Want::Block(block) => self.fetch(block, view, effects),
            Want::Certificate(wanted) => self.request(wanted, effects),
        }
    }

    /// Asks a member that has spoken for `view` for a block: the leader first, others at later retries.
    fn fetch(&mut self, block: BlockDigest, view: View, effects: &mut Vec<Effect>) {
        if self.asked.blocks.len() < FETCHES_MAX && self.asked.blocks.insert(block) {
            effects.push(Effect::Fetch { block, view, from: self.hint(view) });
        }
    }

    fn request(&mut self, wanted: View, effects: &mut Vec<Effect>) {
        if wanted > self.final_view && self.asked.views.len() < REQUESTS_MAX && self.asked.views.insert(wanted) {
            effects.push(Effect::Broadcast(Outgoing::CertificateRequest { view: wanted }));
        }
    }

    /// Who should have what a view needs: a signer of its certificate, a different one at each retry, else its leader.
    fn hint(&self, view: View) -> Option<MemberIndex> {
        let state = self.views.get(&view)?;
        let certificate = state.finalization.as_ref().or(state.notarization.as_ref());
        let signers = certificate.map_or(SignerSet::EMPTY, |certificate| certificate.signers);
        let others: Vec<MemberIndex> = signers.iter().filter(|signer| Some(*signer) != self.me).collect();
        let turn = usize::try_from(self.stall).ok().and_then(|stall| stall.checked_rem(others.len()));
        let signer = turn.and_then(|turn| others.get(turn)).copied();
        signer.or(Some(state.leader)).filter(|member| Some(*member) != self.me)
    }
}
