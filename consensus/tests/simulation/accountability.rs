//! More than a third of the weight lies, and less than two thirds: agreement can break, and then what honest nodes hold
//! names at least a third of the weight (protocol section 5, S1 to S4 of section 7).

use std::collections::BTreeSet;

use baton_consensus::Verified;
use baton_proto::{Certificate, StatementKind};

use crate::{cluster::Cluster, epochs::sequencer, report};

impl Cluster {
    /// Runs until two honest nodes finalize conflicting blocks, or the time is over. Panics if what honest nodes then have on
    /// their disks names too few, or anyone honest.
    pub(crate) fn live_lawlessly(&mut self) {
        self.begin();
        let end = self.plan.faults_ms;
        self.run_until(|cluster| cluster.watch.is_broken() || cluster.clock.now_ms() >= end);
        if !self.watch.is_broken() {
            return;
        }
        let guilty = self.guilty();
        // In every epoch liars have the same weight, and all together too.
        let total = self.world.committee.total_weight().get();
        let weight: u64 = guilty.iter().map(|member| self.plan.weights[*member]).sum();
        assert!(3 * weight >= total, "agreement is broken, and only {guilty:?}, {weight} of {total}, can be named");
        self.counts.broken = 1;
    }

    /// Members named by pairs of certificates that honest nodes hold (S4), or reported by their machines (S1 to S3).
    fn guilty(&mut self) -> BTreeSet<usize> {
        let mut held: Vec<Verified<Certificate>> = Vec::new();
        for at in 0..self.nodes.len() {
            if self.plan.craft(at).is_none() {
                let node = &self.nodes[at];
                held.extend(node.ledger.platter().certificates().chain(&node.contradictions).cloned());
            }
        }
        let mut guilty = self.watch.convicted_members();
        for (index, first) in held.iter().enumerate() {
            for second in &held[..index] {
                if !contradict(first, second) {
                    continue;
                }
                self.counts.pairs[pair_kind(first, second)] += 1;
                for member in first.signers.iter().filter(|member| second.signers.contains(*member)) {
                    let (a, b) = (report::statement(&first.statement), report::statement(&second.statement));
                    let member = sequencer(self.world_of(first.statement.epoch()), member);
                    let honest = !self.plan.liars.contains_key(&member);
                    assert!(!honest, "honest sequencer {member} is in both of {a} and {b}");
                    guilty.insert(member);
                }
            }
        }
        guilty
    }
}

/// Whether two certificates are an S4 pair.
fn contradict(first: &Certificate, second: &Certificate) -> bool {
    use StatementKind::{Finalize, Notarize, Nullify};
    let (a, b) = (&first.statement, &second.statement);
    (a.epoch(), a.view()) == (b.epoch(), b.view())
        && match (a.kind(), b.kind()) {
            (Notarize, Notarize) | (Finalize, Finalize) => a.block() != b.block(),
            (Finalize, Nullify) | (Nullify, Finalize) => true,
            _ => false,
        }
}

/// 0: two notarizations, 1: two finalizations, 2: a finalization and a nullification.
fn pair_kind(first: &Certificate, second: &Certificate) -> usize {
    match (first.statement.kind(), second.statement.kind()) {
        (StatementKind::Notarize, _) => 0,
        (StatementKind::Finalize, StatementKind::Finalize) => 1,
        _ => 2,
    }
}
