//! One run of catching up: ranges from several peers at once, in order into the ledger.
//!
//! Ranges prove themselves, so anybody on our chain may serve them; members of the epoch are asked as long as one of them can
//! serve, then those whom the operator configured, then anybody: once none of them is there any more, whoever came after them
//! still has their blocks.
//!
//! A run starts from the ledger's head and ends when it has handed on the block that the newest finalization names.
//! Nothing of it is durable but what the ledger took: after a crash, or when the run is dropped, the next one goes on
//! from there, and only ranges that were held ahead of their turn are fetched again.

use std::{sync::Arc, time::Duration};

use baton_consensus::Verifier;
use baton_proto::{
    BlockDigest, Epochs, Height,
    wire::{SyncRequest, SyncResponse},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tracing::{debug, warn};

use super::{
    ProvenRange, RangeSource,
    plan::{Answer, Ask, Plan},
    prove_range,
};
use crate::p2p::{PeerId, Reach, RequestError};

/// How often pauses and slow answers are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How often the height of a newer target is asked for while there is an older one to reach.
const TARGET_EVERY: Duration = Duration::from_secs(1);

/// How long nobody may serve anything before the run ends; the next certificate above our head starts another.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15);

/// One run of catching up from a final head.
pub struct CatchUp<S> {
    /// Where to ask.
    pub source: S,
    /// Checks certificates.
    pub verifier: Arc<Verifier>,
    /// Which L1 blocks make up which epoch.
    pub epochs: Epochs,
    /// Height and digest of our final head.
    pub head: (Height, BlockDigest),
    /// The newest block that a verified finalization names, where the run ends.
    pub target: watch::Receiver<BlockDigest>,
    /// Told the highest height that is proven to be final.
    pub target_height: watch::Sender<Height>,
}

/// What a task of the run brings.
enum Fetched {
    Range(Ask, Answer),
    Target(PeerId, BlockDigest, Located),
}

/// What a peer said about a block's height.
enum Located {
    /// The header with that digest has it.
    At(Height),
    Nothing,
    /// No honest peer says such a thing.
    Lie,
}

struct Run<S> {
    source: S,
    verifier: Arc<Verifier>,
    epochs: Epochs,
    target: watch::Receiver<BlockDigest>,
    /// The newest target as of this turn of the loop.
    looked_at: BlockDigest,
    target_height: watch::Sender<Height>,
    plan: Plan,
    /// Who could be asked in this turn of the loop.
    reach: Reach,
    tasks: JoinSet<Fetched>,
    /// Whether the height of a target is being asked for.
    locating: bool,
    /// The newest target with a known height, and since when that is known.
    located: Option<(BlockDigest, Instant)>,
    served_at: Instant,
}

impl<S: RangeSource> CatchUp<S> {
    /// Fetches ranges and sends them on in the order of their heights, each from where the one before ended, until the newest
    /// target is reached or nobody serves any more. Then the channel closes.
    ///
    /// Returns the newest target that it has looked at: whoever names one, and then finds that the run has ended at another,
    /// knows that it came too late for this run.
    ///
    /// Memory is bounded by [`HELD_BYTES_MAX`](super::HELD_BYTES_MAX) and what waits in `ranges`: the channel's bound is what
    /// holds the fetching back to the speed of the ledger.
    pub async fn run(self, ranges: mpsc::Sender<Box<ProvenRange>>) -> BlockDigest {
        let looked_at = *self.target.borrow();
        let mut run = Run {
            plan: Plan::new(self.head),
            source: self.source,
            verifier: self.verifier,
            epochs: self.epochs,
            looked_at,
            target: self.target,
            target_height: self.target_height,
            reach: Reach::default(),
            tasks: JoinSet::new(),
            locating: false,
            located: None,
            served_at: Instant::now(),
        };
        run.run(ranges).await;
        run.looked_at
    }
}

impl<S: RangeSource> Run<S> {
    async fn run(&mut self, ranges: mpsc::Sender<Box<ProvenRange>>) {
        loop {
            let now = Instant::now();
            self.looked_at = *self.target.borrow_and_update();
            self.ask(now);
            if self.is_over(now) {
                return;
            }
            let has_next = self.plan.has_next();
            tokio::select! {
                place = ranges.reserve(), if has_next => {
                    let (Ok(place), Some(range)) = (place, self.plan.take_next()) else { return };
                    self.served_at = Instant::now();
                    place.send(range);
                }
                Some(fetched) = self.tasks.join_next() => match fetched {
                    Ok(fetched) => self.on_fetched(fetched, Instant::now()),
                    Err(failure) => {
                        warn!(%failure, "a question to a peer ended badly; catching up starts anew");
                        return;
                    }
                },
                changed = self.target.changed() => if changed.is_err() { return },
                () = ranges.closed() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Asks whatever can be asked now.
    fn ask(&mut self, now: Instant) {
        self.reach = self.source.reach();
        self.locate(now);
        while let Some(ask) = self.plan.next_ask(&self.reach, now) {
            let (source, verifier, epochs) = (self.source.clone(), Arc::clone(&self.verifier), self.epochs);
            self.tasks.spawn(async move { Fetched::Range(ask, fetch(&source, ask, verifier, epochs).await) });
        }
    }

    /// Asks for the block that the newest finalization names: its header tells how far there is to go, and nobody can lie
    /// about a digest.
    fn locate(&mut self, now: Instant) {
        let wanted = self.looked_at;
        let is_due = self.located.is_none_or(|(block, at)| {
            block != wanted && (at + TARGET_EVERY <= now || self.plan.head().0 >= self.plan.target())
        });
        if self.locating || !is_due {
            return;
        }
        let Some(peer) = self.plan.anybody(&self.reach, now) else { return };
        let source = self.source.clone();
        self.locating = true;
        self.tasks.spawn(async move { Fetched::Target(peer, wanted, locate(&source, peer, wanted).await) });
    }

    fn on_fetched(&mut self, fetched: Fetched, now: Instant) {
        match fetched {
            Fetched::Range(ask, answer) => {
                if matches!(answer, Answer::Lie) {
                    warn!(peer = %ask.peer, from = %ask.from, "a peer that serves no proof is asked no more");
                }
                if matches!(answer, Answer::Proven(_)) {
                    self.served_at = now;
                }
                self.plan.on_answer(&ask, answer, now);
            }
            Fetched::Target(peer, wanted, located) => {
                self.locating = false;
                match located {
                    Located::At(height) => {
                        self.located = Some((wanted, now));
                        self.plan.raise_target(height);
                    }
                    Located::Nothing => self.plan.pause_peer(peer, now),
                    Located::Lie => self.plan.drop_peer(peer),
                }
            }
        }
        let target = self.plan.target();
        self.target_height.send_if_modified(|known| std::mem::replace(known, target) != target);
    }

    fn is_over(&self, now: Instant) -> bool {
        if self.plan.has_next() {
            return false;
        }
        let head = self.plan.head().0;
        let knows_newest = self.located.is_some_and(|(block, _)| block == self.looked_at);
        if knows_newest && head >= self.plan.target() {
            debug!(%head, "caught up with the newest finalization");
            return true;
        }
        if self.plan.is_deserted(&self.reach) {
            warn!(%head, "every peer that was asked for final blocks lied, was too slow, or had none");
            return true;
        }
        let is_idle = self.plan.open() == 0 && self.served_at + GIVE_UP_AFTER <= now;
        if is_idle {
            warn!(%head, "no peer serves the blocks that a certificate says are final");
        }
        is_idle
    }
}

/// Asks for a block, for its height.
async fn locate<S: RangeSource>(source: &S, peer: PeerId, wanted: BlockDigest) -> Located {
    match source.request(peer, SyncRequest::Block(wanted)).await {
        Ok(SyncResponse::Block(Some(block))) if block.header.digest() == wanted => Located::At(block.header.height),
        Ok(SyncResponse::Block(Some(_))) => {
            warn!(%peer, %wanted, "a peer served another block than the one asked for");
            source.charge(peer);
            Located::Lie
        }
        Ok(_) => Located::Nothing,
        Err(error) => {
            debug!(%peer, %error, "a block request failed");
            if error.is_peer_fault() { Located::Lie } else { Located::Nothing }
        }
    }
}

/// Asks one question and proves the answer, off the driver's loop.
async fn fetch<S: RangeSource>(source: &S, ask: Ask, verifier: Arc<Verifier>, epochs: Epochs) -> Answer {
    let Ask { peer, from, blocks_max } = ask;
    let range = match source.request(peer, SyncRequest::Range { from, blocks_max }).await {
        Ok(SyncResponse::Range(range)) => range,
        Ok(_) => return Answer::Nothing,
        Err(error) => {
            debug!(%peer, %from, %error, "a range request failed");
            return match error {
                error if error.is_peer_fault() => Answer::Lie,
                RequestError::Timeout => Answer::Late,
                _ => Answer::Nothing,
            };
        }
    };
    // One certificate proves up to 256 blocks, so checking several together would save nothing.
    let proven = tokio::task::spawn_blocking(move || prove_range(range, from, blocks_max, &verifier, epochs)).await;
    match proven {
        Ok(Ok(range)) => Answer::Proven(Box::new(range)),
        Ok(Err(error)) if error.is_peer_fault() => {
            warn!(%peer, %from, %error, "a peer served a range that proves nothing");
            source.charge(peer);
            Answer::Lie
        }
        Ok(Err(error)) => {
            debug!(%peer, %from, %error, "a range cannot be judged here");
            Answer::Nothing
        }
        Err(failure) => {
            warn!(%failure, "checking a range ended badly");
            Answer::Nothing
        }
    }
}
