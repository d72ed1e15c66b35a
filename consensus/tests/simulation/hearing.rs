//! After a start nothing new is signed before a quorum was heard out: what the machine wants signed waits until one is
//! connected and had time to say what it holds, and what is over by then is never said (`node/src/driver/hearing.rs`).
//! An epoch that may be over, or in which nothing became final under the node's eyes, does not speak for the next one.

use std::collections::{BTreeSet, VecDeque};

use baton_proto::{Statement, View};

use crate::{clock::Event, cluster::Cluster, network::Packet};

/// How long a process listens once a quorum is connected (`LISTEN_FOR`).
const LISTEN_MS: u64 = 500;

/// How long a quorum may be connected without a settled moment (`UNSETTLED_MAX`).
const UNSETTLED_MS_MAX: u64 = 30_000;

/// Pause between two looks at who is connected (`LOOK_EVERY`).
const LOOK_EVERY_MS: u64 = 20;

/// What waits, and since when a quorum is connected, and nothing of what it said is still to be looked into.
#[derive(Default)]
pub(crate) struct Hearing {
    connected: Option<u64>,
    settled: Option<u64>,
    waiting: Vec<Statement>,
}

/// What a look at who is there shows (`Look` in `node/src/driver/hearing.rs`).
#[derive(PartialEq, Eq)]
enum Look {
    NotYet,
    Ask,
    Out,
}

impl Hearing {
    /// Keeps what the machine, now in view `current`, wants signed.
    pub(crate) fn wait(&mut self, statement: Statement, current: View) {
        self.waiting.push(statement);
        self.forget_below(current.previous().unwrap_or_default());
    }

    fn forget_below(&mut self, view: View) {
        self.waiting.retain(|statement| statement.view() >= Some(view));
    }

    fn look(&mut self, is_connected: bool, has_arrived: bool, is_settled: bool, now_ms: u64) -> Look {
        if !is_connected {
            (self.connected, self.settled) = (None, None);
            return Look::NotYet;
        }
        let connected = *self.connected.get_or_insert(now_ms);
        if !has_arrived || (!is_settled && now_ms < connected + UNSETTLED_MS_MAX) {
            self.settled = None;
            return Look::NotYet;
        }
        match self.settled {
            None => {
                self.settled = Some(now_ms);
                Look::Ask
            }
            Some(since) if now_ms < since + LISTEN_MS => Look::NotYet,
            Some(_) => Look::Out,
        }
    }
}

impl Cluster {
    /// Begins to hear a quorum out. Whoever has no key need not, and a steady world is not about starts.
    pub(crate) fn begin_to_hear(&mut self, at: usize) {
        if self.plan.is_follower(at) || self.plan.steady {
            return;
        }
        if let Some(process) = &mut self.nodes[at].process {
            process.hearing = Some(Hearing::default());
            process.listens_first = true;
            let life = process.life;
            self.clock.after(0, Event::Hear { at, life });
        }
    }

    /// Looks at whether a quorum was heard out, and signs what waited for that (`Driver::hear`).
    pub(crate) fn hear_out(&mut self, at: usize) {
        let (now, is_connected) = (self.clock.now_ms(), self.is_quorum_connected(at));
        let (has_arrived, is_settled) = (self.has_caught_up(at) && self.has_all(at), self.is_here(at));
        let Some(process) = &mut self.nodes[at].process else { return };
        let (life, current) = (process.life, process.machine.view());
        let Some(mut hearing) = process.hearing.take() else { return };
        let look = hearing.look(is_connected, has_arrived, is_settled, now);
        if look != Look::Out {
            process.hearing = Some(hearing);
            let question = Packet::Request((process.epoch, current));
            self.clock.after(LOOK_EVERY_MS, Event::Hear { at, life });
            if look == Look::Ask {
                let others = (0..self.nodes.len()).filter(|to| *to != at).collect();
                self.say(at, others, question);
                self.after_input(at);
            }
            return;
        }
        hearing.forget_below(current);
        for statement in hearing.waiting {
            let mut answers = VecDeque::new();
            self.sign(at, statement, &mut answers);
            for answer in answers {
                let _ = self.offer(at, answer);
            }
        }
        self.after_input(at);
    }

    /// Whether a quorum was heard, and the node has come as far as it had (`Driver::has_caught_up`).
    pub(crate) fn has_caught_up(&mut self, at: usize) -> bool {
        let now = self.clock.now_ms();
        let process = self.nodes[at].process.as_mut();
        process.is_some_and(|process| process.heard.has_caught_up(process.machine.view(), now))
    }

    /// Whether members with a quorum of the weight are there, the node itself among them (`Driver::is_quorum_connected`).
    pub(crate) fn is_quorum_connected(&self, at: usize) -> bool {
        let Some(epoch) = self.nodes[at].process.as_ref().map(|process| process.epoch) else { return false };
        let others = (0..self.nodes.len()).filter(|peer| *peer != at && self.nodes[*peer].process.is_some());
        let reached = others.filter(|peer| self.network.is_reachable(at, *peer)).chain([at]);
        let seats: BTreeSet<_> = reached.filter_map(|node| self.seat(node, epoch)).collect();
        self.world_of(epoch).committee.is_quorum(seats.into_iter().collect())
    }
}
