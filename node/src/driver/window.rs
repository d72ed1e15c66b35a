//! Which views are worth a signature check.

use std::sync::atomic::{AtomicU64, Ordering};

use baton_consensus::{AHEAD_VIEWS, RETENTION_VIEWS};
use baton_proto::View;

/// Views that the checks let through beyond the machine's own window: the driver may still have to take what moves it.
const SLACK_VIEWS: u64 = 64;

/// Views ahead of the current one whose compact proposals are made whole: those that the machine takes, and two that it
/// may be about to enter. One block for each is all that ever waits for transactions.
const REBUILT_AHEAD_VIEWS: u64 = AHEAD_VIEWS + 2;

/// The views that the machine takes votes for, as the driver last told the checks.
///
/// Anybody can claim any view, and computing its leader takes time in proportion to it; so nothing is asked about a view
/// outside this window.
#[derive(Debug, Default)]
pub struct ViewWindow {
    final_view: AtomicU64,
    current: AtomicU64,
}

impl ViewWindow {
    /// Moves the window.
    pub(super) fn set(&self, final_view: View, current: View) {
        self.final_view.store(final_view.get(), Ordering::Relaxed);
        self.current.store(current.get(), Ordering::Relaxed);
    }

    /// Returns the view of the highest finalization that the machine knows.
    pub(super) fn final_view(&self) -> View {
        View::new(self.final_view.load(Ordering::Relaxed))
    }

    /// Returns the view that the machine is in.
    pub(super) fn current(&self) -> View {
        View::new(self.current.load(Ordering::Relaxed))
    }

    /// Returns whether a proposal for `view` is worth asking peers for its transactions: the machine can still vote for
    /// it, and can soon, even if it has yet to take what moves it. A block of a view that is over comes whole if it is
    /// wanted at all.
    pub(super) fn rebuilds(&self, view: View) -> bool {
        let current = self.current().get();
        (current..=current.saturating_add(REBUILT_AHEAD_VIEWS)).contains(&view.get())
    }

    /// Returns whether `view` is over.
    #[must_use]
    pub fn is_over(&self, view: View) -> bool {
        view < self.current()
    }

    /// Returns whether the driver has said yet which views matter.
    pub(super) fn is_set(&self) -> bool {
        self.current() > View::ZERO
    }

    /// Returns whether `view` lies so far back that the machine may have forgotten what was said in it.
    pub(super) fn is_old(&self, view: View) -> bool {
        view.get().saturating_add(RETENTION_VIEWS) <= self.current().get()
    }

    /// Returns the views that are not old, as far as anything said in them can be of use.
    pub(super) fn recent(&self) -> impl Iterator<Item = View> {
        let current = self.current().get();
        let first = current.saturating_add(1).saturating_sub(RETENTION_VIEWS);
        (first..=current.saturating_add(AHEAD_VIEWS).saturating_add(SLACK_VIEWS)).map(View::new)
    }

    /// Returns whether a vote or a proposal for `view` can be of use.
    #[must_use]
    pub fn contains(&self, view: View) -> bool {
        let first = self.final_view().get().saturating_sub(RETENTION_VIEWS);
        view.get() >= first && !self.is_far_ahead(view)
    }

    /// Returns whether `view` is so far ahead that no quorum can have seen anything of it.
    #[must_use]
    pub fn is_far_ahead(&self, view: View) -> bool {
        let newest = self.final_view().max(self.current());
        view.get() > newest.get().saturating_add(AHEAD_VIEWS).saturating_add(SLACK_VIEWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_views_are_worth_asking_for_transactions() {
        let window = ViewWindow::default();
        window.set(View::new(1_000), View::new(1_002));
        let worth: Vec<u64> = (900..1_100).filter(|view| window.rebuilds(View::new(*view))).collect();
        assert_eq!(worth, [1_002, 1_003, 1_004, 1_005, 1_006]);
    }

    #[test]
    fn a_view_is_old_or_recent_or_nobody_was_in_it() {
        let window = ViewWindow::default();
        assert!(!window.is_set() && !window.is_old(View::ZERO));
        window.set(View::new(1_000), View::new(1_002));
        assert!(window.is_set());
        let recent: Vec<View> = window.recent().collect();
        for view in (800..1_200).map(View::new) {
            let is_recent = !window.is_old(view) && !window.is_far_ahead(view) && view <= View::new(1_068);
            assert_eq!(recent.contains(&view), is_recent, "{view}");
        }
    }

    #[test]
    fn a_view_that_only_one_peer_claims_is_outside() {
        let window = ViewWindow::default();
        assert!(window.contains(View::new(1)));
        assert!(!window.contains(View::new(u64::MAX)));
        window.set(View::new(1_000), View::new(1_002));
        assert!(window.contains(View::new(1_000 - RETENTION_VIEWS)) && window.contains(View::new(1_004)));
        assert!(!window.contains(View::new(999 - RETENTION_VIEWS)) && !window.contains(View::new(1_100)));
        assert!(window.is_far_ahead(View::new(1_100)) && !window.is_far_ahead(View::new(1_004)));
        assert!(!window.is_far_ahead(View::new(1)), "what is over is not ahead");
    }
}
