//! What peers did wrong, and how much of it is borne before they are refused for a while.

use std::{
    collections::HashMap,
    fmt,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// A peer with this many points is over its budget.
const BUDGET_POINTS: u32 = 100;

/// One point is forgiven in this time.
const FORGIVEN_EVERY: Duration = Duration::from_secs(1);

/// Most peers with an account; the one with the fewest points makes room for a new one.
const ACCOUNTS_MAX: usize = 1_024;

/// What a peer did wrong. Only what no honest peer does: late, early and repeated messages are not faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Bytes on a consensus stream that are no message.
    UndecodableFrame,
    /// A frame above `FRAME_BYTES_MAX`, or an empty one.
    OversizedFrame,
    /// A statement or certificate whose signature does not verify, sent as the signer's own or as a certificate.
    InvalidSignature,
    /// A well-formed message that breaks a rule no honest member breaks.
    InvalidMessage,
    /// Gossiped or handed over: something other than transactions that the chain allows.
    InvalidTransactions,
    /// A claim to be a member whose proof does not hold.
    InvalidProof,
    /// A request that cannot be decoded.
    InvalidRequest,
    /// Questions far above the budget, by one that was told so.
    Flood,
    /// An answer that is too large, undecodable, of the wrong kind, or proven wrong.
    InvalidAnswer,
}

impl Fault {
    /// Returns the points it costs, of the hundred that a peer may have at any time.
    #[must_use]
    pub const fn points(self) -> u32 {
        match self {
            Self::InvalidProof => 60,
            Self::UndecodableFrame | Self::OversizedFrame => 30,
            Self::InvalidSignature | Self::InvalidMessage | Self::InvalidAnswer => 20,
            Self::InvalidTransactions | Self::InvalidRequest => 10,
            Self::Flood => 5,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UndecodableFrame => "undecodable frame",
            Self::OversizedFrame => "oversized or empty frame",
            Self::InvalidSignature => "invalid signature",
            Self::InvalidMessage => "invalid message",
            Self::InvalidTransactions => "invalid transactions",
            Self::InvalidProof => "invalid proof",
            Self::InvalidRequest => "invalid request",
            Self::Flood => "far more questions than the budget",
            Self::InvalidAnswer => "invalid answer",
        })
    }
}

/// What follows from a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Tolerated,
    OverBudget,
}

/// The accounts of all peers that were ever charged and not yet forgiven.
#[derive(Debug, Default)]
pub(super) struct Charges {
    accounts: HashMap<PeerId, Account>,
}

#[derive(Debug)]
struct Account {
    points: u32,
    since: Instant,
}

impl Charges {
    /// Charges `fault` to `peer`. A peer over its budget starts over with an empty account after its refusal.
    pub(super) fn charge(&mut self, peer: PeerId, fault: Fault, now: Instant) -> Verdict {
        self.make_room(&peer, now);
        let account = self.accounts.entry(peer).or_insert(Account { points: 0, since: now });
        account.forgive(now);
        account.points += fault.points();
        if account.points < BUDGET_POINTS {
            return Verdict::Tolerated;
        }
        self.accounts.remove(&peer);
        Verdict::OverBudget
    }

    fn make_room(&mut self, peer: &PeerId, now: Instant) {
        if self.accounts.len() < ACCOUNTS_MAX || self.accounts.contains_key(peer) {
            return;
        }
        self.accounts.retain(|_, account| {
            account.forgive(now);
            account.points > 0
        });
        if self.accounts.len() >= ACCOUNTS_MAX
            && let Some(least) = self.accounts.iter().min_by_key(|(_, account)| account.points).map(|(peer, _)| *peer)
        {
            self.accounts.remove(&least);
        }
    }
}

impl Account {
    fn forgive(&mut self, now: Instant) {
        let periods = now.saturating_duration_since(self.since).as_secs() / FORGIVEN_EVERY.as_secs();
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.points = self.points.saturating_sub(periods);
        self.since = if self.points == 0 { now } else { self.since + FORGIVEN_EVERY * periods };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_over_budget_and_then_forgotten() {
        let (mut charges, peer, now) = (Charges::default(), PeerId::random(), Instant::now());
        let verdicts: Vec<Verdict> = (0..5).map(|_| charges.charge(peer, Fault::UndecodableFrame, now)).collect();
        assert_eq!(verdicts[..3], [Verdict::Tolerated; 3]);
        assert_eq!(verdicts[3], Verdict::OverBudget);
        assert_eq!(verdicts[4], Verdict::Tolerated);
    }

    #[test]
    fn slow_faults_are_forgiven() {
        let (mut charges, peer, mut now) = (Charges::default(), PeerId::random(), Instant::now());
        for _ in 0..100 {
            assert_eq!(charges.charge(peer, Fault::InvalidTransactions, now), Verdict::Tolerated);
            now += FORGIVEN_EVERY * Fault::InvalidTransactions.points();
        }
    }

    #[test]
    fn part_of_a_period_is_not_lost() {
        let start = Instant::now();
        let mut account = Account { points: 10, since: start };
        account.forgive(start + FORGIVEN_EVERY * 3 / 2);
        assert_eq!(account.points, 9);
        account.forgive(start + FORGIVEN_EVERY * 3);
        assert_eq!(account.points, 7);
    }

    #[test]
    fn accounts_are_bounded_and_the_worst_are_kept() {
        let (mut charges, worst, now) = (Charges::default(), PeerId::random(), Instant::now());
        for _ in 0..3 {
            charges.charge(worst, Fault::UndecodableFrame, now);
        }
        for _ in 0..2 * ACCOUNTS_MAX {
            charges.charge(PeerId::random(), Fault::InvalidTransactions, now);
        }
        assert_eq!(charges.accounts.len(), ACCOUNTS_MAX);
        assert_eq!(charges.charge(worst, Fault::UndecodableFrame, now), Verdict::OverBudget);
    }
}
