//! What the ways to L1 cost now, where that decides which one a batch takes.

use std::time::{Duration, Instant};

use baton_proto::DataKind;
use tracing::{debug, warn};

use super::Work;
use crate::l1::{At, ChainFacts, DataChoice, DataPrices};

/// How long L1 may say nothing of its prices, while a batch waits to be closed, before the operator is told: five L1 blocks.
const PRICES_PATIENCE: Duration = Duration::from_secs(60);

/// What decides on the way to L1.
#[derive(Clone, Copy)]
pub(super) enum Prices {
    Now(DataPrices),
    /// The operator, or the chain, has decided.
    Fixed(DataKind),
}

/// What L1 does not say, and what of that the operator was told.
#[derive(Default)]
pub(super) struct Unpriced {
    /// When the batch that waits for prices first was without them.
    since: Option<Instant>,
    was_told: bool,
    /// Whether L1 keeps to itself what blobs cost, which the operator was told.
    blobs: bool,
}

impl Unpriced {
    /// Returns whether the operator has to be told, at `now`, that a batch waits for prices.
    fn is_news(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let is_news = !self.was_told && now.saturating_duration_since(since) >= PRICES_PATIENCE;
        self.was_told |= is_news;
        is_news
    }

    /// Nothing waits any more.
    pub(super) fn is_over(&mut self) {
        (self.since, self.was_told) = (None, false);
    }
}

impl Work {
    /// Asks what the ways to L1 cost now, where that decides. `None` if L1 cannot be asked.
    ///
    /// Some L1s have no blobs, and some providers do not say what they cost, each in words of its own. Whoever refuses to say does
    /// so for good, and a batch that waited for it would wait for ever: it travels as calldata.
    pub(super) async fn prices(&mut self, facts: &ChainFacts) -> Option<Prices> {
        match self.context.config.data {
            _ if facts.spec.batch_blobs_max == 0 => return Some(Prices::Fixed(DataKind::Calldata)),
            DataChoice::Blobs => return Some(Prices::Fixed(DataKind::Blobs)),
            DataChoice::Calldata => return Some(Prices::Fixed(DataKind::Calldata)),
            DataChoice::Auto => {}
        }
        let client = &self.context.client;
        let both = async { tokio::join!(client.existing_block(At::Latest), client.blob_base_fee()) };
        let (block, blobs) = self.context.cancel.run_until_cancelled(both).await?;
        let blob_base_fee_wei = match blobs {
            Ok(wei) => Ok(Some(wei)),
            Err(error) if error.is_refusal() => {
                if !std::mem::replace(&mut self.unpriced.blobs, true) {
                    warn!(%error, "L1 does not say what blobs cost: batches travel as calldata");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        };
        match block.and_then(|block| Ok((block.base_fee_wei, blob_base_fee_wei?))) {
            Ok((base_fee_wei, blob_base_fee_wei)) => {
                self.unpriced.is_over();
                self.unpriced.blobs &= blob_base_fee_wei.is_none();
                Some(Prices::Now(DataPrices { base_fee_wei, blob_base_fee_wei }))
            }
            Err(error) if self.unpriced.is_news(Instant::now()) => {
                warn!(%error, waited = ?PRICES_PATIENCE, "a batch waits to be closed: L1 cannot be asked what it costs");
                None
            }
            Err(error) => {
                debug!(%error, "L1 cannot be asked what it costs; the batch waits");
                None
            }
        }
    }

    /// Whether L1 keeps to itself what blobs cost.
    pub(super) const fn blobs_have_no_price(&self) -> bool {
        self.unpriced.blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_batch_waits_long_is_told_once_each_time() {
        let (start, mut unpriced) = (Instant::now(), Unpriced::default());
        let is_told_after = |unpriced: &mut Unpriced, waited| unpriced.is_news(start + waited);
        let (soon, long) = (PRICES_PATIENCE / 2, PRICES_PATIENCE);
        assert!(!is_told_after(&mut unpriced, Duration::ZERO) && !is_told_after(&mut unpriced, soon));
        assert!(is_told_after(&mut unpriced, long) && !is_told_after(&mut unpriced, 2 * long));
        unpriced.is_over();
        assert!(!is_told_after(&mut unpriced, 3 * long) && is_told_after(&mut unpriced, 4 * long));
    }
}
