//! Asking peers for what is missing, one range after the other, until nobody has more.

use std::{sync::Arc, time::Duration};

use baton_consensus::Verifier;
use baton_proto::{
    BlockDigest, Height, MemberIndex,
    limits::RANGE_BLOCKS_MAX,
    wire::{SyncRequest, SyncResponse},
};
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::{VerifiedRange, verify_range};
use crate::p2p::{Fault, Network};

/// How long to wait before all peers are asked again when none could serve although a certificate says there is more.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Rounds without an answer after which the task gives up; the next certificate above our head starts another.
const IDLE_ROUNDS_MAX: u32 = 20;

/// What the catch-up task tells the driver.
#[derive(Debug)]
pub enum Progress {
    /// These blocks are next and final.
    Range(Box<VerifiedRange>),
    /// No peer has more, or none answered.
    Done,
}

/// One run of catching up from a final head.
pub struct CatchUp {
    /// Where to ask.
    pub network: Network,
    /// Who else is in the committee.
    pub members: Vec<MemberIndex>,
    /// Checks certificates.
    pub verifier: Arc<Verifier>,
    /// Height and digest of our final head.
    pub head: (Height, BlockDigest),
    /// The block that a certificate we hold says is final; reaching it ends the run.
    pub target: BlockDigest,
}

impl CatchUp {
    /// Fetches ranges until the target is reached or nobody serves any more, and sends them in order. The channel's
    /// bound is what holds the fetching back to the speed of the ledger.
    pub async fn run(mut self, progress: mpsc::Sender<Progress>) {
        let mut idle_rounds = 0;
        let mut asked = 0_usize;
        while idle_rounds < IDLE_ROUNDS_MAX {
            let mut served = false;
            for _ in 0..self.members.len() {
                let Some(member) = self.members.get(asked % self.members.len().max(1)).copied() else { break };
                match self.fetch_from(member).await {
                    Some(range) => {
                        let reached = range.certified.digest() == self.target
                            || range.blocks.iter().any(|block| block.header.digest() == self.target);
                        if progress.send(Progress::Range(Box::new(range))).await.is_err() {
                            return;
                        }
                        if reached {
                            let _ = progress.send(Progress::Done).await;
                            return;
                        }
                        // The next range comes from another, so that one slow member cannot hold us back.
                        asked = asked.wrapping_add(1);
                        served = true;
                        break;
                    }
                    None => asked = asked.wrapping_add(1),
                }
            }
            if served {
                idle_rounds = 0;
            } else {
                idle_rounds += 1;
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
        warn!(head = %self.head.0, "no peer serves the blocks that a certificate says are final");
        let _ = progress.send(Progress::Done).await;
    }

    async fn fetch_from(&mut self, member: MemberIndex) -> Option<VerifiedRange> {
        let from = self.head.0.next()?;
        let request = SyncRequest::Range { from, blocks_max: u32::try_from(RANGE_BLOCKS_MAX).unwrap_or(u32::MAX) };
        let range = match self.network.request(member, request).await {
            Ok(SyncResponse::Range(range)) => range,
            Ok(_) => return None,
            Err(error) => {
                debug!(%member, %error, "range request failed");
                return None;
            }
        };
        let (head, verifier) = (self.head, Arc::clone(&self.verifier));
        let checked = tokio::task::spawn_blocking(move || verify_range(range, head, &verifier)).await.ok()?;
        match checked {
            Ok(range) => {
                let last = range.blocks.last()?;
                self.head = (last.header.height, last.header.digest());
                info!(from = %from, to = %self.head.0, %member, "caught up a range");
                Some(range)
            }
            Err(error) => {
                warn!(%member, %error, "a peer served a range that proves nothing");
                self.network.charge_member(member, Fault::InvalidAnswer);
                None
            }
        }
    }
}
