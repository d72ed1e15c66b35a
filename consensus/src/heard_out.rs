//! How far a quorum has come, as its members say: what a node that starts has to catch up with before it was "heard out".
//!
//! Being connected to a quorum is not having heard it: certificates follow one after the other, and some of them may be asked
//! for again. But each member names views that it has come to, in its questions and in its votes. Where a node holds the
//! certificates that lead as far as anybody of a quorum had come, it knows of every certificate that its own former life
//! could have built on, but one:
//!
//! ```text
//!   its former life signed in view w      it held a certificate of w−1
//!   a quorum signed in w−1                one of them, honest and another, is heard now, and has come to w−1 or later
//!   we are in w−1 or later                we hold a certificate of w−2
//! ```
//! For the second line, those who lie and the node itself must be less than a third together: who has forgotten what it
//! signed is one more that cannot be counted on. A word can also be of an earlier view than its sender's, when it asks for
//! what it lacks; so all that comes until this node is there counts, not the first.
//!
//! Anybody can name any view, and the one honest member of the second line may be the lightest of all: nothing tells it from a
//! liar. So whatever is named is waited for, but no longer than [`CATCH_UP_MS_MAX`] where less than a third of the weight names
//! it. What a third names one honest member has come to, and can show.

use std::{collections::BTreeMap, sync::Arc};

use baton_proto::{MemberIndex, View};

use crate::Committee;

/// Longest time to wait for a view that less than a third of the weight named, in ms.
const CATCH_UP_MS_MAX: u64 = 30_000;

/// The views that members named since a start, in one epoch.
#[derive(Debug)]
pub struct HeardOut {
    committee: Arc<Committee>,
    me: Option<MemberIndex>,
    /// The highest of each member.
    named: BTreeMap<MemberIndex, View>,
    /// When a quorum was heard.
    quorum_ms: Option<u64>,
    /// Whether this node was where the furthest of them had come to.
    has_caught_up: bool,
}

impl HeardOut {
    /// Has heard nobody. `me` counts as heard.
    #[must_use]
    pub const fn new(committee: Arc<Committee>, me: Option<MemberIndex>) -> Self {
        Self { committee, me, named: BTreeMap::new(), quorum_ms: None, has_caught_up: false }
    }

    /// Member `from` has come to `view`, or says so.
    pub fn on_word(&mut self, from: MemberIndex, view: View) {
        if from.as_usize() < self.committee.len() {
            let named = self.named.entry(from).or_default();
            *named = view.max(*named);
        }
    }

    /// Returns whether a quorum was heard, and this node, now in view `current`, is or was as far as it had come.
    pub fn has_caught_up(&mut self, current: View, now_ms: u64) -> bool {
        if self.quorum_ms.is_none() && self.committee.is_quorum(self.named.keys().copied().chain(self.me).collect()) {
            self.quorum_ms = Some(now_ms);
        }
        let Some(since_ms) = self.quorum_ms else { return false };
        let furthest = self.named.values().copied().max().unwrap_or_default();
        let was_waited_for = now_ms.saturating_sub(since_ms) >= CATCH_UP_MS_MAX;
        self.has_caught_up |= current >= furthest || (was_waited_for && current >= self.named_by_a_third());
        self.has_caught_up
    }

    /// Returns the highest view that members with a third of the weight have come to, or say so; zero if there is none.
    fn named_by_a_third(&self) -> View {
        let total = u128::from(self.committee.total_weight().get());
        let is_of_a_third = |view: &View| {
            let there = self.named.iter().filter(|(_, named)| *named >= view).map(|(member, _)| *member);
            self.committee.weight_of(there.collect()).unwrap_or_default().saturating_mul(3) >= total
        };
        self.named.values().copied().filter(is_of_a_third).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    fn heard(words: &[(u8, u64)]) -> HeardOut {
        let mut heard = HeardOut::new(World::new(&[1; 4]).committee, Some(MemberIndex::new(0)));
        words.iter().for_each(|(from, view)| heard.on_word(MemberIndex::new(*from), View::new(*view)));
        heard
    }

    #[test]
    fn a_quorum_is_heard_when_we_are_where_the_furthest_of_it_was() {
        let mut few = heard(&[(1, 9), (1, 9), (0, 9), (7, 9)]);
        assert!(!few.has_caught_up(View::new(9), 0), "two of four, and one that is nobody");
        assert!(!few.has_caught_up(View::new(9), CATCH_UP_MS_MAX), "however long it takes");
        let mut heard = heard(&[(1, 4), (2, 9), (2, 5)]);
        assert!(!heard.has_caught_up(View::new(8), 0));
        heard.on_word(MemberIndex::new(3), View::new(12));
        assert!(!heard.has_caught_up(View::new(11), 1));
        assert!(heard.has_caught_up(View::new(12), 2));
        heard.on_word(MemberIndex::new(3), View::new(13));
        assert!(heard.has_caught_up(View::new(12), 3), "what is said later is the running chain's");
    }

    #[test]
    fn a_view_that_nobody_can_show_is_not_waited_for_for_ever() {
        let mut heard = heard(&[(1, 4), (2, u64::MAX)]);
        assert!(!heard.has_caught_up(View::new(4), 10));
        assert!(!heard.has_caught_up(View::new(4), 9 + CATCH_UP_MS_MAX));
        assert!(
            !heard.has_caught_up(View::new(3), 10 + CATCH_UP_MS_MAX),
            "one of the two is honest, and has come to view 4"
        );
        assert!(heard.has_caught_up(View::new(4), 10 + CATCH_UP_MS_MAX));
    }

    #[test]
    fn who_is_a_quorum_alone_has_heard_it() {
        let committee = World::new(&[3, 1]).committee;
        assert!(HeardOut::new(Arc::clone(&committee), Some(MemberIndex::new(0))).has_caught_up(View::ZERO, 0));
        assert!(!HeardOut::new(committee, Some(MemberIndex::new(1))).has_caught_up(View::ZERO, 0));
    }
}
