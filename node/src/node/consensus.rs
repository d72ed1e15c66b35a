//! One epoch after another: what decides blocks is made anew for each, everything else of the node lives on.
//!
//! ```text
//!           ┌─────────────────────────── one epoch ───────────────────────────┐
//!  routing ─┼▶ intake, announcements ──▶ driver with the epoch's machine        │
//!           └──────────────────────────────┬──────────────────────────────────┘
//!              epoch over: its last block  │ is final
//!                                          ▼
//!       committee and randomness of the next one, from L1 ──▶ network, book of epochs ──▶ the same again
//! ```
//! What members say of the next epoch while this one is ending waits ([`Early`](super::early::Early)).

use std::sync::{Arc, Mutex};

use baton_consensus::{Config, HeardOut, Machine, Recovered};
use baton_execution::Executor;
use baton_mempool::Pool;
use baton_proto::{Epoch, Height, MemberIndex, View, wire::ConsensusMessage};
use tokio::{
    runtime::Handle,
    sync::{Notify, mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{LAST_WORD_WITHIN, late::Unheard, open::recovered, opener::Opener};
use crate::{
    driver::{
        ANNOUNCED_QUEUE_MAX, CHECKED_QUEUE_MAX, Certified, Checked, Driver, DriverContext, DriverEnd, DriverError,
        DriverStatus, GossipChecks, Heard, INTAKE_QUEUE_MAX, Intake, IntakeContext, MissedLines, NotarizedBlocks,
        Rebuilder, Testimony, ViewWindow, marked,
    },
    epoch::{EpochBook, EpochContext},
    l1::{ChainFacts, L1View, Origins},
    ledger::Ledger,
    p2p::{KnownLookup, Network, Outbound},
    telemetry::metrics::ConsensusMetrics,
};

/// Where messages of the running epoch go. Clones are the same places.
#[derive(Clone)]
pub(super) struct Stages {
    /// The epoch, whose members are meant.
    pub(super) epoch: Epoch,
    /// The checks of members' messages.
    pub(super) consensus: mpsc::Sender<(MemberIndex, ConsensusMessage)>,
    /// The driver itself.
    pub(super) checked: mpsc::Sender<Checked>,
    /// The checks of announcements.
    pub(super) announced: mpsc::Sender<Heard>,
}

/// What the epochs have in common.
pub(super) struct Consensus {
    pub(super) facts: Arc<ChainFacts>,
    pub(super) epochs: EpochBook,
    pub(super) opener: Opener,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) pool: Arc<Mutex<Pool>>,
    pub(super) known: KnownLookup,
    pub(super) work: Arc<Notify>,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) network: Network,
    pub(super) l1: watch::Receiver<L1View>,
    pub(super) origins: Origins,
    pub(super) evidence_found: Arc<Notify>,
    pub(super) halt: CancellationToken,
    pub(super) notarized: Arc<NotarizedBlocks>,
    pub(super) heads: watch::Sender<Height>,
    pub(super) progress: watch::Sender<DriverStatus>,
    pub(super) metrics: ConsensusMetrics,
    pub(super) missed_lines: MissedLines,
    /// Takes what nobody heard of an epoch while it ended.
    pub(super) unheard: mpsc::Sender<Unheard>,
}

/// An epoch that is ready to run: the stages that check for it run already.
pub(super) struct Ready {
    driver: Driver,
    checked: mpsc::Receiver<Checked>,
    /// Ends when one of the stages does.
    stage_ended: oneshot::Receiver<&'static str>,
}

impl Consensus {
    /// Makes the running epoch's stages and driver. With `listens_first`, which a start needs, a quorum is heard out first.
    /// `delta_ms` is Δ as it was observed in the epoch before.
    ///
    /// # Errors
    /// [`DriverError`] when the ledger cannot be read or a thread not be started.
    pub(super) fn prepare(
        &self,
        recovered: Recovered,
        listens_first: bool,
        delta_ms: Option<u64>,
    ) -> Result<(Ready, Stages), DriverError> {
        let epoch = self.epochs.running();
        let network = self.network.at(epoch.epoch);
        let (consensus, messages) = mpsc::channel(INTAKE_QUEUE_MAX);
        let (checked, checked_in) = mpsc::channel(CHECKED_QUEUE_MAX);
        let (announced, announced_in) = mpsc::channel(ANNOUNCED_QUEUE_MAX);
        let window = Arc::new(ViewWindow::default());
        let certified = Arc::new(Certified::new(epoch.me()));
        let testimony = Arc::new(Testimony::default());
        // Of older epochs nobody here could check a signature.
        self.ledger.forget_votes((Epoch::ZERO, View::ZERO), (self.epochs.oldest(), View::ZERO))?;
        let rebuilder = Rebuilder::new(
            network.clone(),
            self.known.clone(),
            Arc::clone(&window),
            epoch.others().collect(),
            checked.clone(),
        );
        let context = self.driver_context(
            Arc::clone(&epoch),
            rebuilder.clone(),
            Arc::clone(&window),
            Arc::clone(&certified),
            Arc::clone(&testimony),
            listens_first,
        );
        let intake = Intake::new(IntakeContext {
            epoch: Arc::clone(&epoch),
            epochs: self.facts.epochs(),
            inactive_views: self.facts.spec.inactive_views,
            window: Arc::clone(&window),
            certified: Arc::clone(&certified),
            heard: Arc::clone(&context.heard),
            ledger: Arc::clone(&self.ledger),
            testimony,
            network: network.clone(),
            rebuilder,
        })
        .counting(self.metrics.clone());
        let has_followers = move || network.peer_count() > network.connected_members().len();
        let ledger = Arc::clone(&self.ledger);
        let gossip_checks =
            GossipChecks::new(Arc::clone(&epoch), self.epochs.clone(), ledger, window, certified, has_followers);
        let (unheard, number) = (self.unheard.clone(), epoch.epoch);
        let leave = move |messages: Vec<_>| {
            // When the node ends, nobody is left to hear it.
            if !messages.is_empty() && unheard.blocking_send((number, messages)).is_err() {
                debug!(epoch = %number, "the last messages of an epoch were not heard");
            }
        };
        let stage_ended = run_stages(vec![
            ("intake", {
                let checked = checked.clone();
                let leave = leave.clone();
                Box::new(move || leave(intake.run(messages, &checked)))
            }),
            ("announced", {
                let checked = checked.clone();
                Box::new(move || leave(gossip_checks.run(announced_in, &checked)))
            }),
        ])?;
        let mut machine = Machine::new(
            Config::new(&self.facts.spec, self.facts.genesis_l1),
            Arc::clone(&epoch.committee),
            epoch.leaders.clone(),
            epoch.me(),
            &epoch.root,
            recovered,
        );
        if let Some(observed_ms) = delta_ms {
            machine.resume_delta(observed_ms);
        }
        let driver = Driver::new(context, machine)?;
        Ok((
            Ready { driver, checked: checked_in, stage_ended },
            Stages { epoch: number, consensus, checked, announced },
        ))
    }

    /// Runs an epoch to its end, and meanwhile reads who decides in the one after it.
    async fn run_one(&self, ready: Ready, stop: CancellationToken) -> Result<DriverEnd, DriverError> {
        let running = ready.run(stop);
        tokio::pin!(running);
        tokio::select! {
            biased;
            ended = &mut running => return ended,
            ahead = self.opener.read_ahead(self.epochs.running().epoch, self.l1.clone()) => match ahead {
                Ok(Some(next)) => self.epochs.announce(&next),
                Ok(None) => {}
                // It is asked again at the change; without an answer then, the node says why the epoch cannot start.
                Err(error) => warn!(%error, "the next epoch's committee is not known"),
            },
        }
        running.await
    }

    fn driver_context(
        &self,
        epoch: Arc<EpochContext>,
        rebuilder: Rebuilder,
        window: Arc<ViewWindow>,
        certified: Arc<Certified>,
        testimony: Arc<Testimony>,
        listens_first: bool,
    ) -> DriverContext {
        DriverContext {
            facts: Arc::clone(&self.facts),
            ledger: Arc::clone(&self.ledger),
            executor: Arc::clone(&self.executor),
            pool: Arc::clone(&self.pool),
            work: Arc::clone(&self.work),
            outbound: Arc::clone(&self.outbound),
            network: self.network.at(epoch.epoch),
            heard: Arc::new(Mutex::new(HeardOut::new(Arc::clone(&epoch.committee), epoch.me()))),
            epoch,
            book: self.epochs.clone(),
            keys: self.opener.keys.clone(),
            rebuilder,
            l1: self.l1.clone(),
            origins: self.origins.clone(),
            evidence_found: Arc::clone(&self.evidence_found),
            window,
            certified,
            testimony,
            halt: self.halt.clone(),
            notarized: Arc::clone(&self.notarized),
            heads: self.heads.clone(),
            progress: self.progress.clone(),
            metrics: self.metrics.clone(),
            missed_lines: self.missed_lines.clone(),
            listens_first,
        }
    }

    /// Runs epochs from the one that is `ready` on until `stop` or until going on would not be safe.
    ///
    /// # Errors
    /// [`DriverError`] says why the node must end.
    pub(super) async fn run(
        self,
        mut ready: Ready,
        stages: watch::Sender<Stages>,
        stop: CancellationToken,
    ) -> Result<(), DriverError> {
        loop {
            let (last, next, unheard, delta_ms) = match self.run_one(ready, stop.clone()).await? {
                DriverEnd::Stopped => return Ok(()),
                DriverEnd::Epoch { last, next, unheard, delta_ms } => (last, next, unheard, delta_ms),
            };
            // Found in the epoch's last moment: the next driver halts, and until then nothing is attested or posted either.
            if marked(self.ledger.as_ref())?.is_some() {
                self.halt.cancel();
            }
            let opened = self.opener.epoch(next, *last);
            let Some(opened) = stop.run_until_cancelled(opened).await else { return Ok(()) };
            let fails = |error: String| DriverError::NextEpoch { epoch: next, why: error };
            let epoch = Arc::new(opened.map_err(|error| fails(error.to_string()))?);
            let state = recovered(self.ledger.as_ref(), &epoch, unheard).map_err(|error| fails(error.to_string()))?;
            info!(%next, root = %epoch.root.height, members = epoch.committee.len(), member = epoch.me().map(MemberIndex::get),
                "epoch starts");
            self.epochs.add(epoch);
            let (again, newer) = self.prepare(state, unheard, Some(delta_ms))?;
            stages.send_replace(newer);
            ready = again;
        }
    }
}

impl Ready {
    async fn run(self, stop: CancellationToken) -> Result<DriverEnd, DriverError> {
        let Self { driver, checked, stage_ended } = self;
        // On a thread of its own: it waits for the disk all the time, and as a task each time would move all others elsewhere.
        let runtime = Handle::current();
        let driver = tokio::task::spawn_blocking(move || runtime.block_on(driver.run(checked, stop)));
        last_word(driver, stage_ended).await
    }
}

/// Returns what the driver says at its end, or that a stage has left it.
async fn last_word(
    mut driver: JoinHandle<Result<DriverEnd, DriverError>>,
    stage_ended: oneshot::Receiver<&'static str>,
) -> Result<DriverEnd, DriverError> {
    tokio::select! {
        // A stage ends with the driver, whose word counts.
        biased;
        ended = &mut driver => ended.map_err(|_| DriverError::StageEnded("the driver"))?,
        // The driver lets go of what feeds it a moment before its word arrives: at an epoch's end that is no failure.
        Ok(stage) = stage_ended => match timeout(LAST_WORD_WITHIN, driver).await {
            Ok(ended) => ended.map_err(|_| DriverError::StageEnded("the driver"))?,
            Err(_) => {
                error!(stage, "a stage ended before the driver");
                Err(DriverError::StageEnded(stage))
            }
        },
    }
}

/// A stage's name and its work.
type Stage = (&'static str, Box<dyn FnOnce() + Send>);

/// Runs each stage on a thread of its own; the receiver hears of the first that ends.
fn run_stages(stages: Vec<Stage>) -> Result<oneshot::Receiver<&'static str>, DriverError> {
    let (ended, first) = oneshot::channel();
    let ended = Arc::new(Mutex::new(Some(ended)));
    for (name, work) in stages {
        let ended = Arc::clone(&ended);
        let run = move || {
            // Also when it panics.
            let _tell = Tell { name, ended };
            work();
        };
        std::thread::Builder::new().name(name.into()).spawn(run).map_err(|_| DriverError::StageEnded(name))?;
    }
    Ok(first)
}

/// Says that a stage has ended when it is dropped.
struct Tell {
    name: &'static str,
    ended: Arc<Mutex<Option<oneshot::Sender<&'static str>>>>,
}

impl Drop for Tell {
    fn drop(&mut self) {
        let ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(ended) = ended {
            let _ = ended.send(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use baton_proto::BlockHeader;

    use super::*;
    use crate::driver::testing::block_of;

    /// Far less than the driver is waited for.
    const A_MOMENT: Duration = LAST_WORD_WITHIN.checked_div(20).expect("not zero");

    fn end() -> DriverEnd {
        let last: BlockHeader = block_of(1, 1, vec![]).header;
        DriverEnd::Epoch { last: Box::new(last), next: Epoch::new(3), unheard: false, delta_ms: 100 }
    }

    #[tokio::test]
    async fn the_driver_has_the_last_word_though_its_stages_end_first() {
        let (tell, stage_ended) = oneshot::channel();
        let driver = tokio::spawn(async {
            tokio::time::sleep(A_MOMENT).await;
            Ok(end())
        });
        tell.send("intake").unwrap();
        assert_eq!(last_word(driver, stage_ended).await.unwrap(), end());
    }

    #[tokio::test]
    async fn a_stage_that_leaves_the_driver_ends_the_epoch_with_an_error() {
        let (tell, stage_ended) = oneshot::channel();
        tell.send("intake").unwrap();
        let ended = last_word(tokio::spawn(std::future::pending()), stage_ended).await;
        assert!(matches!(ended, Err(DriverError::StageEnded("intake"))), "{ended:?}");
        // A driver that panics has none.
        let (_tell, stage_ended) = oneshot::channel();
        let ended = last_word(tokio::spawn(async { panic!("a bug") }), stage_ended).await;
        assert!(matches!(ended, Err(DriverError::StageEnded("the driver"))), "{ended:?}");
        // The stages may all be gone without a word: their end is told by who is first.
        let (tell, stage_ended) = oneshot::channel();
        drop(tell);
        let driver = tokio::spawn(async {
            tokio::time::sleep(A_MOMENT).await;
            Ok(DriverEnd::Stopped)
        });
        assert_eq!(last_word(driver, stage_ended).await.unwrap(), DriverEnd::Stopped);
    }
}
