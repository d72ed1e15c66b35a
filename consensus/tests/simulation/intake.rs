//! From the network to the machine: what the checks before it let through (`node/src/driver/intake.rs`, `window.rs`).

use baton_consensus::{AHEAD_VIEWS, Input, RETENTION_VIEWS, Verified};
use baton_proto::{Certificate, View};

use crate::{
    cluster::Cluster,
    network::Packet,
    node::{Process, member},
    plan::Flaw,
};

/// How long a member must wait before its question about a view is answered again (`ASK_PAUSE`).
const ASK_PAUSE_MS: u64 = 200;

/// Views that the checks let through beyond the machine's own window (`SLACK_VIEWS`).
const SLACK_VIEWS: u64 = 64;

impl Cluster {
    /// Hands a message to the machine if it can be of use.
    pub(crate) fn take(&mut self, at: usize, from: usize, packet: &Packet) {
        self.learn(at, packet);
        let now = self.clock.now_ms();
        let Some(process) = &mut self.nodes[at].process else { return };
        let (input, body) = match packet {
            Packet::Proposal { header, notarize } => {
                if !is_in_window(process, header.view) {
                    return;
                }
                let block = header.digest();
                let fresh = process.bodies.insert(block, header.clone()).is_none();
                let input = Input::Proposal { header: header.clone(), notarize: notarize.clone() };
                (input, fresh.then_some(block))
            }
            Packet::Vote { vote, leader } => {
                if !vote.statement.view().is_some_and(|view| is_in_window(process, view)) {
                    return;
                }
                (Input::Vote { vote: vote.clone(), leader: leader.clone() }, None)
            }
            Packet::Certificate(certificate) => {
                let statement = &certificate.statement;
                let key = (statement.view().unwrap(), statement.kind(), statement.block());
                if !process.checked.insert(key) && self.plan.remembers_certificates {
                    return;
                }
                self.check_record(at, certificate);
                (Input::Certificate(certificate.clone()), None)
            }
            Packet::Request(view) => {
                let before = process.asked.insert((from, *view), now);
                if !is_in_window(process, *view) || before.is_some_and(|before| now < before + ASK_PAUSE_MS) {
                    return;
                }
                (Input::CertificateWanted { view: *view, from: member(from) }, None)
            }
        };
        if let Err(rejected) = self.offer(at, input) {
            let blamed = rejected.is_peer_fault() && !self.plan.liars.contains_key(&from);
            assert!(!blamed, "node {at} blames the honest node {from}: {rejected}");
            if let (Some(block), Some(process)) = (body, &mut self.nodes[at].process) {
                process.bodies.remove(&block);
            }
        }
    }

    /// A certificate with our bit holds what our record holds, or the node would have to stop
    /// (`DriverError::StaleSignRecord`). A node that forgets its record is left to the other checks.
    pub(crate) fn check_record(&self, at: usize, certificate: &Verified<Certificate>) {
        let Some(process) = &self.nodes[at].process else { return };
        let above = certificate.statement.view() > Some(process.machine.final_view());
        let excused = self.plan.liars.contains_key(&at) || self.plan.flaw == Some(Flaw::ForgetsRecord);
        if above && certificate.signers.contains(member(at)) && !excused {
            let held = self.nodes[at].record.live().holds(&certificate.statement);
            assert!(held, "a certificate holds the signature of node {at}, but its record does not");
        }
    }
}

fn is_in_window(process: &Process, view: View) -> bool {
    let (final_view, current) = (process.machine.final_view().get(), process.machine.view().get());
    let last = final_view.max(current) + AHEAD_VIEWS + SLACK_VIEWS;
    (final_view.saturating_sub(RETENTION_VIEWS)..=last).contains(&view.get())
}
