//! Hearing a quorum out before anything is signed, after a start.
//!
//! If folders were restored from an old copy, what this node would say next may contradict what it said before the copy was
//! put back. So what the machine wants signed waits until a quorum is connected and had time to say what it holds, however
//! long that takes: it could cost the bond, and with fewer links than a quorum a node is of little use to the chain. Members
//! send what they hold as soon as they are connected. It shows that the record is stale
//! ([`DriverError::StaleSignRecord`]), or it moves the machine on, and what we would have said of views that are over is never
//! said. What the record holds already is said at once: it cannot contradict anything. A quorum had its time to say it once
//! this node is in the view that the furthest of them had named ([`HeardOut`](baton_consensus::HeardOut)), and some time after.
//!
//! A quorum says something of the epoch that it is in. Its members may be connected long after it ended, so nothing counts as
//! heard while there is reason to think that the epoch is over or more of it is still to come, and an epoch in which nothing
//! became final under our eyes does not speak for the next one. Who connects or asks is shown the certificates, and what it
//! said itself ([`testimony`]): votes of ours that no certificate holds, and that only others remember. So this node asks once
//! more where it has come to, and listens to the answers.
//!
//! Not found are votes that only members remember which are not connected, or that a power cut took from those that
//! are; what takes a quorum longer than [`LISTEN_FOR`] to say; and what comes after [`UNSETTLED_MAX`], where somebody
//! keeps naming epochs that nobody can show. A restored copy is a fault of its own: together with those who
//! lie, it must stay below a third.
//!
//! [`DriverError::StaleSignRecord`]: super::DriverError::StaleSignRecord
//! [`testimony`]: super::testimony

use baton_proto::{Statement, View};
use tokio::time::{Duration, Instant};

/// How long to listen once a quorum is connected: some round trips, and the checks of what comes.
const LISTEN_FOR: Duration = Duration::from_millis(500);

/// How long a quorum may be connected without a settled moment: anybody can speak of later epochs, again and again.
const UNSETTLED_MAX: Duration = Duration::from_secs(30);

/// Pause between two looks at who is connected.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long no quorum may be connected before the operator hears of it.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// What a node that has just started would say, and since when it could be told better.
#[derive(Debug)]
pub(super) struct Hearing {
    began: Instant,
    connected: Option<Instant>,
    settled: Option<Instant>,
    /// At most the three statements of each of the last two views.
    waiting: Vec<Statement>,
    was_said: bool,
}

/// What a look at who is connected showed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Go on listening.
    NotYet,
    /// Go on listening, and ask what there is from here on: what was said before may have been too far ahead to be taken.
    Ask,
    /// Go on listening, and tell the operator why nothing is signed.
    Nobody,
    /// A quorum was heard out.
    Out,
}

impl Hearing {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, connected: None, settled: None, waiting: Vec::new(), was_said: false }
    }

    /// Keeps what the machine, now in view `current`, wants signed.
    pub(super) fn wait(&mut self, statement: Statement, current: View) {
        self.waiting.push(statement);
        self.forget_below(current.previous().unwrap_or_default());
    }

    /// Looks again at whether a quorum is connected, whether this node has come as far as it had (`has_arrived`), and
    /// whether all that it said is taken and speaks for this epoch (`is_settled`). Nothing makes up for not having arrived.
    pub(super) fn look(
        &mut self,
        is_quorum_connected: bool,
        has_arrived: bool,
        is_settled: bool,
        now: Instant,
    ) -> Look {
        if !is_quorum_connected {
            (self.connected, self.settled) = (None, None);
            let is_news = !self.was_said && now.duration_since(self.began) >= QUIET_FOR;
            self.was_said |= is_news;
            return if is_news { Look::Nobody } else { Look::NotYet };
        }
        let connected = *self.connected.get_or_insert(now);
        if !has_arrived || (!is_settled && now.duration_since(connected) < UNSETTLED_MAX) {
            self.settled = None;
            return Look::NotYet;
        }
        match self.settled {
            None => {
                self.settled = Some(now);
                Look::Ask
            }
            Some(since) if now.duration_since(since) < LISTEN_FOR => Look::NotYet,
            Some(_) => Look::Out,
        }
    }

    /// Returns what is to be signed now that the machine is in view `current`, in the order in which it was asked for.
    ///
    /// A Finalize is never among it: the notarization that it is for has moved the machine on to the next view. In this life it
    /// is not said any more, which costs nothing but time: a block built on that one makes both final, and after a restart that
    /// came before that the machine asks again.
    pub(super) fn into_waiting(mut self, current: View) -> Vec<Statement> {
        self.forget_below(current);
        self.waiting
    }

    fn forget_below(&mut self, view: View) {
        self.waiting.retain(|statement| statement.view().is_some_and(|said| said >= view));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use baton_proto::{BlockDigest, Epoch};

    fn nullify(view: u64) -> Statement {
        Statement::Nullify { epoch: Epoch::new(2), view: View::new(view) }
    }

    #[test]
    fn a_quorum_is_heard_out_when_it_was_connected_for_a_while_without_a_break() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        assert_eq!(hearing.look(false, true, true, start), Look::NotYet);
        assert_eq!(hearing.look(true, true, true, start + LOOK_EVERY), Look::Ask);
        assert_eq!(hearing.look(true, true, true, start + 2 * LOOK_EVERY), Look::NotYet);
        assert_eq!(hearing.look(false, true, true, start + LISTEN_FOR), Look::NotYet);
        let again = start + LISTEN_FOR + LOOK_EVERY;
        assert_eq!(hearing.look(true, true, true, again), Look::Ask);
        assert_eq!(
            hearing.look(true, true, true, again + LISTEN_FOR - LOOK_EVERY),
            Look::NotYet,
            "counted from the last break"
        );
        assert_eq!(hearing.look(true, true, true, again + LISTEN_FOR), Look::Out);
    }

    #[test]
    fn the_operator_hears_once_that_nobody_is_there_and_it_never_counts_as_heard() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        let looks = (0..1_000).map(|n| hearing.look(false, true, true, start + LISTEN_FOR * n)).collect::<Vec<_>>();
        assert_eq!(looks.iter().filter(|look| **look == Look::Nobody).count(), 1);
        assert!(!looks.contains(&Look::Out));
    }

    #[test]
    fn an_epoch_that_may_be_over_is_not_heard_out_unless_that_is_said_for_ever() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        let mut now = start;
        while now < start + UNSETTLED_MAX {
            assert_eq!(hearing.look(true, true, false, now), Look::NotYet);
            now += LISTEN_FOR / 2;
        }
        assert_eq!(hearing.look(true, true, false, now), Look::Ask);
        assert_eq!(hearing.look(true, true, false, now + LISTEN_FOR), Look::Out);
        let mut hearing = Hearing::new(start);
        for (is_settled, after, look) in [(true, 0, Look::Ask), (false, 1, Look::NotYet), (true, 2, Look::Ask)] {
            assert_eq!(hearing.look(true, true, is_settled, start + LISTEN_FOR * after / 2), look);
        }
        assert_eq!(
            hearing.look(true, true, true, start + LISTEN_FOR * 3 / 2),
            Look::NotYet,
            "counted from the last doubt"
        );
        assert_eq!(hearing.look(true, true, true, start + LISTEN_FOR * 2), Look::Out);
    }

    #[test]
    fn who_has_not_come_as_far_as_a_quorum_had_signs_nothing_however_long_that_takes() {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        for seconds in 0..300 {
            assert_eq!(hearing.look(true, false, true, start + Duration::from_secs(seconds)), Look::NotYet);
        }
        let there = start + Duration::from_secs(300);
        assert_eq!(hearing.look(true, true, true, there), Look::Ask);
        assert_eq!(hearing.look(true, true, true, there + LISTEN_FOR), Look::Out);
    }

    #[test]
    fn what_is_over_when_it_could_be_said_is_never_said() {
        let mut hearing = Hearing::new(Instant::now());
        for view in 1..=100 {
            hearing.wait(nullify(view), View::new(view));
            assert!(hearing.waiting.len() <= 2);
        }
        assert_eq!(hearing.into_waiting(View::new(100)), [nullify(100)]);
        let mut hearing = Hearing::new(Instant::now());
        hearing.wait(nullify(7), View::new(7));
        assert!(hearing.into_waiting(View::new(9)).is_empty(), "the others were further on");
        let mut hearing = Hearing::new(Instant::now());
        hearing.wait(
            Statement::Finalize { epoch: Epoch::new(2), view: View::new(7), block: BlockDigest::ZERO },
            View::new(7),
        );
        hearing.wait(nullify(8), View::new(8));
        assert_eq!(hearing.into_waiting(View::new(8)), [nullify(8)], "its notarization has moved the machine on");
    }
}
