//! A record that may lack what its key said. Its node signs nothing before the epoch after the one in which it heard a quorum
//! out, and only an epoch that surely runs is one to hear out: a block became final there under its eyes, nobody speaks of a
//! later epoch, and nothing is missing (`node/src/driver/key_watch.rs`, `Life` in `epoch_end.rs`).

use baton_proto::{BlockHeader, View};

use crate::{
    clock::Event,
    cluster::Cluster,
    disk::{Record, RecordWrite},
    plan::Flaw,
};

/// Pause between two looks (`LOOK_AT_RECORD_EVERY`).
const LOOK_EVERY_MS: u64 = 300;

/// Views above the current one at the start of listening that the key's former life may have spoken in (`FORMER_LIFE_VIEWS`).
const FORMER_LIFE_VIEWS: u64 = 2;

/// What a process knows of its epoch, and how far its listening has come.
#[derive(Default)]
pub(crate) struct Listening {
    has_lived: bool,
    may_be_over: bool,
    was_settled: bool,
    started_at: Option<View>,
}

impl Listening {
    /// Blocks became final under our eyes; others of this epoch can follow an ordinary one.
    pub(crate) fn on_final(&mut self, is_last: bool) {
        self.has_lived |= !is_last;
    }

    pub(crate) const fn has_lived(&self) -> bool {
        self.has_lived
    }

    pub(crate) fn on_later_epoch(&mut self) {
        self.may_be_over = true;
    }

    /// Who was asked knows no end of this epoch.
    pub(crate) fn on_denied(&mut self) {
        self.may_be_over = false;
    }

    /// Whether something that the key said in `view` comes from a life before this one.
    pub(crate) fn may_be_of_a_former_life(&self, view: View) -> bool {
        self.started_at.is_none_or(|start| view.get() <= start.get() + FORMER_LIFE_VIEWS)
    }
}

impl Cluster {
    /// A node loses its disk. Its operator starts it again with a record that listens.
    pub(crate) fn lose(&mut self, at: usize) {
        self.kill(at);
        self.nodes[at].ledger.wipe();
        self.nodes[at].record.restore(Record::listening());
        self.watch.forgives(at);
        self.counts.lost_disks += 1;
        self.come_back(at, 0);
    }

    /// Begins to look where nothing is signed, at once.
    pub(crate) fn begin_to_look(&mut self, at: usize) {
        let node = &self.nodes[at];
        if let Some(process) = node.process.as_ref().filter(|process| node.record.live().listens_in(process.epoch)) {
            let life = process.life;
            self.clock.after(0, Event::Look { at, life });
        }
    }

    /// Starts to listen if all is settled at this look as it was at the last one (`KeyWatch::look`).
    pub(crate) fn look(&mut self, at: usize) {
        let has_heard = self.plan.flaw == Some(Flaw::ListensToSilence) || self.has_caught_up(at);
        let is_settled = has_heard && self.is_settled(at);
        let Some(process) = &mut self.nodes[at].process else { return };
        let (life, epoch, view) = (process.life, process.epoch, process.machine.view());
        if process.machine.has_ended() {
            return;
        }
        let was_settled = std::mem::replace(&mut process.key_watch.was_settled, is_settled);
        if is_settled && was_settled {
            process.key_watch.started_at = view.previous();
            self.counts.settled += 1;
            self.write_record(at, RecordWrite::Settle(epoch));
            self.nodes[at].record.sync();
        } else {
            self.clock.after(LOOK_EVERY_MS, Event::Look { at, life });
        }
    }

    /// Whether nothing speaks for the epoch being over.
    pub(crate) fn is_here(&self, at: usize) -> bool {
        self.nodes[at].process.as_ref().is_some_and(|process| !process.key_watch.may_be_over && !process.is_asking)
    }

    /// Whether no final block that this node knows of is still to come.
    pub(crate) fn has_all(&self, at: usize) -> bool {
        let process = self.nodes[at].process.as_ref();
        process.is_some_and(|process| process.catching_up.is_none() && !process.machine.is_behind())
    }

    fn is_settled(&self, at: usize) -> bool {
        let Some(process) = &self.nodes[at].process else { return false };
        let watch = &process.key_watch;
        let runs = self.plan.flaw == Some(Flaw::ListensToSilence) || watch.has_lived;
        let is_quiet = process.catching_up.is_none() && !process.is_asking;
        runs && is_quiet && !watch.may_be_over && self.is_quorum_connected(at)
    }

    /// Whether a block is the last one of its epoch.
    pub(crate) fn is_last(&self, header: &BlockHeader) -> bool {
        self.world.config.epochs.ends_with(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        common::EPOCH,
        network::Kind,
        plan::Plan,
        scenario::{self, Scenario},
    };

    /// The leader of the current view loses its disk just after it has proposed, and with one more of four down nothing goes on
    /// without it. It comes back in the first epoch, hears nothing for a while, and walks to the one that runs.
    fn lose_a_leader(flaw: Option<Flaw>) -> Result<Cluster, String> {
        // Long enough for all the epochs of the story.
        let plan = Plan { weights: vec![1; 4], epoch_ms: 4_000, faults_ms: 200_000, flaw, ..Plan::calm() };
        let mut cluster = Cluster::new(Scenario::quiet(5, plan));
        let place = |cluster: &Cluster| {
            let process = cluster.nodes[0].process.as_ref().unwrap();
            (process.epoch, process.machine.view())
        };
        let leads = |cluster: &Cluster| {
            let (epoch, view) = place(cluster);
            epoch.get() > EPOCH.get() + 1
                && cluster.seat(0, epoch) == Some(cluster.world_of(epoch).leader(view.get()))
                && cluster.watch.words(0, (epoch, view)) > 0
        };
        let lived = scenario::catch(|| {
            cluster.run_until(leads);
            let turn = place(&cluster);
            cluster.l1_end_ms = cluster.clock.now_ms();
            cluster.network.swallowed = Kind::ALL.to_vec();
            cluster.kill(3);
            let wait = |cluster: &mut Cluster, ms| {
                let until = cluster.clock.now_ms() + ms;
                cluster.run_until(|cluster| cluster.clock.now_ms() >= until);
            };
            wait(&mut cluster, 200);
            let before = cluster.watch.words(0, turn);
            cluster.lose(0);
            wait(&mut cluster, 1_200);
            cluster.mend();
            wait(&mut cluster, 30_000);
            assert_eq!(place(&cluster), turn, "without it nothing goes on");
            assert_eq!(cluster.watch.words(0, turn), before, "it says nothing in the epoch that runs");

            // With the fourth member the others go on, and it hears them out; L1 goes on, and it speaks in the next epoch.
            cluster.start(3);
            wait(&mut cluster, 60_000);
            let (epoch, _) = place(&cluster);
            assert!(epoch == turn.0 && cluster.nodes[0].record.live().len() == 0, "it signs nothing in that epoch");
            assert!(!cluster.nodes[0].record.live().listens_in(epoch.next().unwrap()), "the epoch has been heard out");
            cluster.l1_end_ms = u64::MAX;
            wait(&mut cluster, 10_000);
            assert!(place(&cluster).0 > epoch && cluster.nodes[0].record.live().len() > 0, "it speaks again");
        });
        lived.map(|()| cluster)
    }

    #[test]
    fn who_lost_its_record_is_silent_until_an_epoch_that_surely_runs_is_over() {
        let lived = lose_a_leader(None);
        assert_eq!(lived.map(|_| ()), Ok(()));
    }

    #[test]
    fn silence_that_is_taken_for_the_running_epoch_is_found() {
        let complaint = lose_a_leader(Some(Flaw::ListensToSilence)).map(|_| ()).unwrap_err();
        // Its record counts as complete in the epoch that runs, and is not.
        assert!(complaint.contains("holds the signature of node 0, but its record does not"), "{complaint}");
    }
}
