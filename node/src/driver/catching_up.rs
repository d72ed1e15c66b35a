//! Taking ranges of final blocks from peers into the ledger.

use std::sync::Arc;

use baton_consensus::Input;
use baton_proto::{Block, BlockDigest, Certificate, Height};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tracing::{error, info};

use super::{Driver, DriverError, commit::Came};
use crate::sync::{CatchUp, Pace, ProvenRange};

/// Ranges that may wait for the ledger while more are fetched.
const RANGES_MAX: usize = 1;

/// A run of catching up, as the driver sees it. Dropping it ends the run.
pub(super) struct CatchingUp {
    ranges: mpsc::Receiver<Box<ProvenRange>>,
    target: watch::Sender<BlockDigest>,
    target_height: watch::Receiver<Height>,
    pace: Pace,
    run: JoinHandle<BlockDigest>,
}

impl CatchingUp {
    /// Waits for the next range; `None` when the run is over.
    pub(super) async fn next(&mut self) -> Option<Box<ProvenRange>> {
        self.ranges.recv().await
    }

    /// A run that has learnt that `target_height` is final, and nothing more.
    #[cfg(test)]
    pub(super) fn aiming_at(target_height: Height) -> Self {
        Self {
            ranges: mpsc::channel(RANGES_MAX).1,
            target: watch::channel(BlockDigest::ZERO).0,
            target_height: watch::channel(target_height).1,
            pace: Pace::new(Height::ZERO, Instant::now()),
            run: tokio::spawn(async { BlockDigest::ZERO }),
        }
    }

    /// Returns the highest height that is proven to be final.
    pub(super) fn target_height(&self) -> Height {
        *self.target_height.borrow()
    }
}

impl Driver {
    /// Starts catching up, or lets the run that is on its way know of a newer target.
    pub(super) fn catch_up(&mut self, certificate: &Certificate) -> Result<(), DriverError> {
        let Some(target) = certificate.statement.block() else { return Ok(()) };
        match &self.catching_up {
            Some(running) => {
                running.target.send_replace(target);
                Ok(())
            }
            None => self.catch_up_with(target),
        }
    }

    fn catch_up_with(&mut self, target: BlockDigest) -> Result<(), DriverError> {
        let head = self.context.ledger.head()?;
        info!(from = %head.height, "behind the chain; catching up from peers");
        let (sender, ranges) = mpsc::channel(RANGES_MAX);
        let (target, target_seen) = watch::channel(target);
        let (height, target_height) = watch::channel(head.height);
        let run = CatchUp {
            source: self.context.network.clone(),
            verifier: Arc::clone(&self.context.epoch.verifier),
            epochs: self.context.facts.epochs(),
            head: (head.height, head.digest),
            target: target_seen,
            target_height: height,
        };
        let run = tokio::spawn(run.run(sender));
        let pace = Pace::new(head.height, Instant::now());
        self.catching_up = Some(CatchingUp { ranges, target, target_height, pace, run });
        Ok(())
    }

    /// Takes a range of final blocks into the ledger, in one step, and tells the machine.
    ///
    /// The range proves itself. If it does not build on our final head, two quorums contradict each other: the machine hears
    /// that safety is broken, and signs nothing more.
    pub(super) async fn on_range(&mut self, range: Option<Box<ProvenRange>>) -> Result<(), DriverError> {
        let Some(range) = range else {
            let Some(over) = self.catching_up.take() else { return Ok(()) };
            let total = over.pace.total(self.status.final_height, Instant::now());
            info!(height = %total.current, blocks_per_s = total.blocks_per_s as u64, "caught up");
            // A target that was named when the run had already decided to end. Whatever else ended it, a panic included, the
            // next certificate above our head starts another.
            let newest = *over.target.borrow();
            return match over.run.await {
                Ok(looked_at) if looked_at != newest => self.catch_up_with(newest),
                Ok(_) | Err(_) => Ok(()),
            };
        };
        let head = self.status.final_height;
        let blocks: Vec<Arc<Block>> =
            range.blocks.into_iter().filter(|block| block.header.height > head).map(Arc::new).collect();
        let Some(header) = blocks.last().map(|block| block.header.clone()) else { return Ok(()) };
        let ours = self.context.ledger.head()?;
        let elsewhere = blocks.first().map(|block| &block.header);
        if elsewhere.is_some_and(|first| ours.height.next() == Some(first.height) && first.parent != ours.digest) {
            error!(height = %ours.height, ours = %ours.digest, certificate = ?range.certificate.statement,
                "a range of final blocks does not build on our final head");
            let held = self.context.ledger.finalization_from(ours.height)?;
            let ours = held.and_then(|(_, ours)| self.context.epoch.verifier.verify_certificate(ours).ok());
            return self.input(Input::SafetyBroken(ours.into_iter().chain([range.certificate]).collect())).await;
        }
        self.key_watch.on_certificate(&range.certificate, self.machine.final_view())?;
        let broken = self.contradictions(&range.certificate)?;
        if !broken.is_empty() {
            return self.input(Input::SafetyBroken(broken)).await;
        }
        self.commit(blocks, Certificate::clone(&range.certificate), Came::InARange)?;
        if let Some(running) = &mut self.catching_up {
            let target = running.target_height().max(header.height);
            if let Some(line) = running.pace.line(header.height, target, Instant::now()) {
                info!("catching up: {line}");
            }
        }
        self.input(Input::Synced { header, certificate: range.certificate }).await
    }
}
