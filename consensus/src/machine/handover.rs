//! The handover block, last of its epoch: proposed again until it is final, and then the end of this machine's work.
//!
//! A *vertex* is a view and a block proposed in it. For every other block there is one, in the view that its header names,
//! and the block's parent gives the vertex it stands on. The handover block h can stand at several: notarized in view u and
//! not final, it is proposed again, the same header, by the leader of a later view v; that vertex (v, h) stands on (u, h).
//! Nothing else may stand on a vertex of h, so whatever is final in the epoch after h was notarized and not nullified is h.
//!
//! ```text
//!   view     u-1          u            u+1           u+2
//!         (u-1, b) ◀── (u, h) ◀──── nullified ──── (u+2, h)  final: the epoch ends, h is the next one's root
//!                      leader of u                  leader of u+2 signs; h still names view u and its proposer
//! ```

use super::{
    rules::{Descent, Want},
    *,
};

impl<S: Scheme> Machine<S> {
    /// Returns whether a block is the last of this epoch: its L1 origin lies in a later one.
    ///
    /// The epoch's root is a handover block of an earlier epoch, but its origin lies in this one.
    pub(super) fn is_handover(&self, header: &BlockHeader) -> bool {
        self.config.epochs.of(header.origin.number) > self.epoch
    }

    /// Returns whether a block can be proposed, or have certificates, in `view`: its own, and later ones for the handover
    /// block alone.
    pub(super) fn can_stand(&self, header: &BlockHeader, view: View) -> bool {
        header.view == view || (header.view > View::ZERO && header.view < view && self.is_handover(header))
    }

    /// Judges a handover block proposed again in `view` (R3): it is notarized in an earlier view, and every view between is
    /// nullified. A quorum has judged its body and its ancestors, so nothing else is asked.
    pub(super) fn descent_again(&self, view: View, header: &BlockHeader) -> Descent {
        if !self.can_stand(header, view) {
            return Descent::Illegal;
        }
        // A finalization at or above the block's own view is of the block itself, and then the epoch is over once we have
        // caught up; or the block is on another branch.
        if header.view <= self.final_view {
            return if self.is_behind() { Descent::Missing(Vec::new()) } else { Descent::Illegal };
        }
        let block = header.digest();
        let mut wants = Vec::new();
        for below in (header.view.get()..view.get()).rev().map(View::new) {
            let state = self.views.get(&below);
            if state.and_then(ViewState::notarized) == Some(block) {
                // If it is not certified yet, its body or its ancestors are sought for its own sake.
                let certified = state.is_some_and(|state| state.certified == Some(block));
                return if certified && wants.is_empty() { Descent::Proven } else { Descent::Missing(wants) };
            }
            // Where it was proposed first it has been notarized; anywhere between it may have been.
            if below == header.view || state.is_none_or(|state| state.nullification.is_none()) {
                wants.push(Want::Certificate(below));
            }
            if wants.len() >= healing::REQUESTS_MAX {
                break;
            }
        }
        Descent::Missing(wants)
    }

    /// R2 on a handover block: the only proposal is that block, and it is built already.
    pub(super) fn propose_again(&mut self, header: &BlockHeader, effects: &mut Vec<Effect>) {
        let (epoch, view, block) = (self.epoch, self.current, header.digest());
        if self.descent(view, header) != Descent::Proven {
            return;
        }
        let state = self.state(view);
        state.proposal = Some(block);
        state.validation = Validation::Done(Verdict::Valid);
        self.sign(Statement::Notarize { epoch, view, block }, effects);
    }

    /// A handover block that waits to be final is work for every leader: the epoch is due to end.
    pub(super) fn hasten(&mut self, effects: &mut Vec<Effect>) {
        let mut below = self.views.range(self.above_head()..self.current).rev();
        let highest = below.find_map(|(_, state)| state.certified);
        let waits = highest.and_then(|block| self.chain.header(block)).is_some_and(|header| self.is_handover(header));
        if waits && !self.entry.work {
            self.on_work(effects);
        }
    }

    /// The epoch ends as soon as the final head is its handover block. Whatever a quorum finalizes above it is that block
    /// once more, or safety is broken (`is_elsewhere`).
    pub(super) fn end(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Halted || !self.is_handover(self.chain.head()) {
            return;
        }
        if self.phase == Phase::Running {
            self.phase = Phase::Ended;
            // A block that is still being built comes too late.
            self.entry = Entry::default();
            let last = self.chain.head().clone();
            let next_epoch = self.config.epochs.of(last.origin.number);
            effects.push(Effect::EpochEnded { last, next_epoch });
        }
    }
}

#[cfg(test)]
mod tests {
    use baton_proto::Height;

    use super::*;
    use crate::testing::{Insecure, World, finalize, notarize, nullify};

    fn started(world: &World, head: &BlockHeader) -> (Machine<Insecure>, Vec<Effect>) {
        let (committee, schedule) = (Arc::clone(&world.committee), world.schedule.clone());
        let (me, recovered) = (Some(world.leader(1)), Recovered::fresh(head.clone()));
        let mut machine = Machine::with_scheme(world.config, committee, schedule, me, &world.genesis, recovered);
        let mut effects = Vec::new();
        machine.handle(Input::Started, &mut effects).unwrap();
        (machine, effects)
    }

    #[test]
    fn the_next_epoch_goes_on_from_view_1_on_the_handover_block() {
        let mut world = World::new(&[1, 1, 1, 1]);
        // The root as the epoch before left it: late in that epoch, with an origin in this one.
        let (epoch, view, height) = (Epoch::new(1), View::new(77), Height::new(9));
        world.genesis = BlockHeader { epoch, view, height, ..world.genesis };
        let root = world.genesis.clone();
        let (mut machine, effects) = started(&world, &root);
        let (view, leader) = (View::new(1), world.leader(1));
        assert_eq!(effects.first(), Some(&Effect::Entered { view, leader }));
        assert!(!machine.has_ended());
        let mut effects = Vec::new();
        machine.handle(Input::TimerFired(Timer::Idle(view)), &mut effects).unwrap();
        let build = Effect::Build { view, parent: root.clone(), ancestors: Vec::new() };
        assert!(effects.contains(&build), "{effects:?}");
        // It also ends: three epochs on, so two are skipped.
        let last = world.block_of(Epoch::new(5), 1, &root, 0);
        let certificate = world.certify(&[0, 1, 2, 3], finalize(1, last.digest()));
        machine.handle(Input::Certificate(certificate.clone()), &mut effects).unwrap();
        effects.clear();
        machine.handle(Input::Fetched { header: last.clone() }, &mut effects).unwrap();
        let ended = Effect::EpochEnded { last: last.clone(), next_epoch: Epoch::new(5) };
        let finalized = Effect::Finalized { certificate: certificate.into_inner(), chain: vec![last] };
        assert_eq!(effects, [finalized, ended]);
    }

    #[test]
    fn an_epoch_ends_with_the_first_l1_block_of_the_next_and_not_before() {
        let world = World::new(&[1, 1, 1, 1]);
        let (machine, _) = started(&world, &world.genesis);
        let next = world.block_of(Epoch::new(3), 1, &world.genesis, 0);
        let mut before = next.clone();
        before.origin.number = before.origin.number.previous().unwrap();
        assert!(machine.is_handover(&next) && !machine.is_handover(&before) && !machine.is_handover(&world.genesis));
    }

    #[test]
    fn the_gate_refuses_what_the_rules_would_not_ask_for() {
        let world = World::new(&[1, 1, 1, 1]);
        let (mut machine, _) = started(&world, &world.genesis);
        let mut effects = Vec::new();
        let mut tell = |machine: &mut Machine<Insecure>, input| machine.handle(input, &mut effects).unwrap();
        let block = world.block(1, &world.genesis, 0);
        tell(&mut machine, Input::Certificate(world.certify(&[0, 1, 2, 3], notarize(1, block.digest()))));
        tell(&mut machine, Input::Fetched { header: block.clone() });
        assert_eq!(machine.view(), View::new(2));
        assert!(!machine.sign(notarize(2, block.digest()), &mut Vec::new()), "an ordinary block once more");

        let last = world.block_of(Epoch::new(3), 2, &block, 0);
        tell(&mut machine, Input::Certificate(world.certify(&[0, 1, 2, 3], finalize(2, last.digest()))));
        tell(&mut machine, Input::Fetched { header: last });
        assert!(machine.has_ended());
        assert!(!machine.sign(nullify(3), &mut Vec::new()), "after the end");
    }
}
