//! Links that lose, delay, reorder and repeat messages, one way or both ways.

use std::{collections::VecDeque, rc::Rc};

use baton_proto::{BlockHeader, Certificate, Epoch, Evidence, SignedStatement, StatementKind};

use crate::{epochs::Turn, random::Random};

/// Messages that the network remembers and may deliver again at any later time.
const HISTORY_MAX: usize = 512;

/// A message as it comes over the network: nothing in it is checked.
#[derive(Clone, Debug)]
pub(crate) enum Packet {
    Proposal { header: BlockHeader, notarize: SignedStatement },
    Vote { vote: SignedStatement, leader: Option<SignedStatement> },
    Certificate(Certificate),
    Request(Turn),
    Evidence(Evidence),
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Proposal,
    Vote(StatementKind),
    Certificate(StatementKind),
    Request,
    Evidence,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Proposal,
        Self::Vote(StatementKind::Notarize),
        Self::Vote(StatementKind::Finalize),
        Self::Vote(StatementKind::Nullify),
        Self::Certificate(StatementKind::Notarize),
        Self::Certificate(StatementKind::Finalize),
        Self::Certificate(StatementKind::Nullify),
        Self::Request,
        Self::Evidence,
    ];
}

impl Packet {
    pub(crate) fn epoch(&self) -> Epoch {
        match self {
            Self::Proposal { notarize: signed, .. } | Self::Vote { vote: signed, .. } => signed.statement.epoch(),
            Self::Certificate(certificate) => certificate.statement.epoch(),
            Self::Request((epoch, _)) => *epoch,
            Self::Evidence(evidence) => evidence.epoch(),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Proposal { .. } => Kind::Proposal,
            Self::Vote { vote, .. } => Kind::Vote(vote.statement.kind()),
            Self::Certificate(certificate) => Kind::Certificate(certificate.statement.kind()),
            Self::Request(_) => Kind::Request,
            Self::Evidence(_) => Kind::Evidence,
        }
    }
}

/// What lies between the nodes.
pub(crate) struct Network {
    /// `open[from][to]`.
    open: Vec<Vec<bool>>,
    pub(crate) delay_ms: u64,
    pub(crate) loss_percent: u64,
    pub(crate) twice_percent: u64,
    /// Kinds of messages that get lost, all of them.
    pub(crate) swallowed: Vec<Kind>,
    /// Nodes whose Finalize votes and finalizations reach only one another.
    pub(crate) whisperers: Vec<usize>,
    /// Every way takes exactly `delay_ms`.
    steady: bool,
    history: VecDeque<(usize, usize, Rc<Packet>)>,
}

impl Network {
    pub(crate) fn new(nodes: usize, delay_ms: u64, twice_percent: u64, steady: bool) -> Self {
        let open = vec![vec![true; nodes]; nodes];
        let (swallowed, whisperers, history) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { open, delay_ms, loss_percent: 0, twice_percent, swallowed, whisperers, steady, history }
    }

    /// Returns after how long each copy of a message arrives; none if it is lost.
    pub(crate) fn carry(&mut self, from: usize, to: usize, packet: &Rc<Packet>, random: &mut Random) -> Vec<u64> {
        let is_final =
            matches!(packet.kind(), Kind::Vote(StatementKind::Finalize) | Kind::Certificate(StatementKind::Finalize));
        let whispers = is_final && self.whisperers.contains(&from) && !self.whisperers.contains(&to);
        let lost = !self.open[from][to] || self.swallowed.contains(&packet.kind()) || whispers;
        if lost || random.chance(self.loss_percent) {
            return Vec::new();
        }
        self.history.push_back((from, to, Rc::clone(packet)));
        if self.history.len() > HISTORY_MAX {
            self.history.pop_front();
        }
        let delay = self.delay(random);
        if random.chance(self.twice_percent) { vec![delay, 3 * delay] } else { vec![delay] }
    }

    /// Returns the time of one way.
    pub(crate) fn delay(&self, random: &mut Random) -> u64 {
        if self.steady { self.delay_ms } else { 1 + random.below(self.delay_ms) }
    }

    /// Returns a message from the past, with where it came from and where it went.
    pub(crate) fn old_message(&self, random: &mut Random) -> Option<(usize, usize, Rc<Packet>)> {
        let at = (!self.history.is_empty()).then(|| random.index(self.history.len()))?;
        self.history.get(at).cloned()
    }

    /// Returns whether a question can get there and its answer back.
    pub(crate) fn is_reachable(&self, a: usize, b: usize) -> bool {
        self.open[a][b] && self.open[b][a]
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.open[from][to] = from == to;
    }

    /// Leaves only links within one side.
    pub(crate) fn split(&mut self, side: &[u64]) {
        for (from, links) in self.open.iter_mut().enumerate() {
            for (to, open) in links.iter_mut().enumerate() {
                *open = side[from] == side[to];
            }
        }
    }

    /// Opens every link to everything and returns the pairs that come together again.
    pub(crate) fn mend(&mut self) -> Vec<(usize, usize)> {
        self.swallowed.clear();
        self.whisperers.clear();
        let nodes = self.open.len();
        let pairs = (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b)));
        let apart = pairs.filter(|(a, b)| !self.is_reachable(*a, *b)).collect();
        self.open.iter_mut().for_each(|links| links.fill(true));
        apart
    }
}
