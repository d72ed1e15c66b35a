//! Follows L1's newest and finalized blocks and tells everyone what it sees, also that it sees nothing.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use baton_proto::{L1BlockNumber, L1Origin};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    client::{L1Block, L1Client},
    error::L1Error,
    facts::ChainFacts,
    forced,
    origins::{Noted, Origins},
};
use crate::ledger::Ledger;

/// Key under which the ledger keeps the newest final origins.
const ORIGINS_KEY: &str = "finalized_origins";

/// Most blocks fetched in one round; what is older is fetched when a header names it.
const FETCH_MAX: u64 = 64;

/// The newest L1 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L1Head {
    /// Its number.
    pub number: L1BlockNumber,
    /// When this node first saw it.
    pub seen_at: Instant,
}

/// What this node sees of L1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L1View {
    /// The newest block that most endpoints have reached; `None` until L1 first answers.
    pub head: Option<L1Head>,
    /// The newest final block and its timestamp in seconds. After a restart it is the stored one, with timestamp 0,
    /// until L1 answers.
    pub finalized: Option<(L1Origin, u64)>,
    /// The newest block that a leader may name: final for `originSettle` blocks. One of a later epoch ends the running one.
    pub settled_origin: Option<L1Origin>,
    /// Whether the last round of questions was answered. A node that does not see L1 neither attests nor posts.
    pub healthy: bool,
    /// Why not, in words; empty when healthy.
    pub why: String,
    /// Since when it has not been healthy.
    pub unhealthy_since: Option<Instant>,
}

/// A running watcher.
#[derive(Debug)]
pub struct Watcher {
    /// What it sees.
    pub view: watch::Receiver<L1View>,
    /// What it has seen final.
    pub origins: Origins,
    /// Ends when the token is cancelled.
    pub task: JoinHandle<()>,
}

impl Watcher {
    /// Starts watching, asking every `poll`.
    #[must_use]
    pub fn spawn(
        client: L1Client,
        facts: Arc<ChainFacts>,
        ledger: Arc<dyn Ledger>,
        poll: Duration,
        cancel: CancellationToken,
    ) -> Self {
        let origins = Origins::new(facts.genesis.origin);
        // What is called final has its forced entries stored: a folder without them is from before there were any.
        match (ledger.l1_fact(ORIGINS_KEY), ledger.forced_cursor()) {
            (Ok(Some(bytes)), Ok(Some(_))) => origins.restore(&bytes),
            (Ok(_), Ok(_)) => {}
            (Err(error), _) | (_, Err(error)) => {
                warn!(%error, "stored L1 origins cannot be read; they are fetched again");
            }
        }
        let mut view = L1View {
            head: None,
            finalized: origins.at(origins.newest()).map(|origin| (origin, 0)),
            settled_origin: None,
            healthy: false,
            why: "L1 has not answered yet".into(),
            unhealthy_since: Some(Instant::now()),
        };
        view.settled_origin = settled_origin(&facts, &origins);
        let (publish, receiver) = watch::channel(view);
        let rounds = Rounds { client, facts, ledger, origins: origins.clone(), publish, contradiction: None };
        let task = tokio::spawn(rounds.run(poll, cancel));
        Self { view: receiver, origins, task }
    }
}

/// The newest origin that a leader may name, as far as `origins` knows its hash.
fn settled_origin(facts: &ChainFacts, origins: &Origins) -> Option<L1Origin> {
    let settled = origins.newest().get().saturating_sub(facts.spec.origin_settle_blocks);
    let number = L1BlockNumber::new(settled).max(facts.genesis.origin.number);
    origins.at(number)
}

struct Rounds {
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    origins: Origins,
    publish: watch::Sender<L1View>,
    contradiction: Option<String>,
}

impl Rounds {
    async fn run(mut self, poll: Duration, cancel: CancellationToken) {
        loop {
            let result = tokio::select! {
                () = cancel.cancelled() => return,
                result = self.round() => result,
            };
            self.announce(result);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(poll) => {}
                () = self.origins.wait_wanted() => {
                    // Somebody waits for an origin: fetch it now, yet never ask an endpoint that is down in a tight loop.
                    let healthy = self.publish.borrow().healthy;
                    if !healthy {
                        tokio::select! {
                            () = cancel.cancelled() => return,
                            () = tokio::time::sleep(poll) => {}
                        }
                    }
                }
            }
        }
    }

    async fn round(&mut self) -> Result<(L1BlockNumber, L1Block), L1Error> {
        let (head, finalized) = tokio::try_join!(self.client.agreed_head(), self.client.agreed_final())?;
        let before = self.origins.newest();
        // First, so that whoever knows that a block is final knows which entries are due there.
        forced::read_up_to(&self.client, &self.facts, self.ledger.as_ref(), finalized.origin.number).await?;
        self.note(finalized.origin);
        let newest = finalized.origin.number.get();
        // The blocks since the last round, so that voters know the origins that leaders will name.
        let from = before.get().saturating_add(1).max(newest.saturating_sub(FETCH_MAX));
        let settled = newest.saturating_sub(self.facts.spec.origin_settle_blocks);
        let fetch = (from..newest)
            .chain([settled])
            .map(L1BlockNumber::new)
            .filter(|number| *number > self.facts.genesis.origin.number)
            .chain(self.origins.take_wanted());
        for number in fetch.collect::<std::collections::BTreeSet<_>>() {
            if number > finalized.origin.number || self.origins.at(number).is_some() {
                continue;
            }
            // A block below a final one is final.
            let block = self.client.agreed_block(number).await?;
            self.note(block.origin);
        }
        if finalized.origin.number > before
            && let Err(error) = self.ledger.put_l1_fact(ORIGINS_KEY, &self.origins.to_json())
        {
            warn!(%error, "final L1 origins are not stored; after a restart they are fetched again");
        }
        Ok((head, finalized))
    }

    fn note(&mut self, origin: L1Origin) {
        if let Noted::Contradicts { have } = self.origins.note(origin) {
            let text = format!(
                "L1 called block {} final with hash {have} and now with {}: its finality is broken",
                origin.number, origin.hash
            );
            if self.contradiction.is_none() {
                error!(number = %origin.number, %have, got = %origin.hash, "L1 contradicts its own finality");
            }
            // This does not heal: the operator decides which L1 to believe, and restarts the node.
            self.contradiction.get_or_insert(text);
        }
    }

    fn announce(&self, result: Result<(L1BlockNumber, L1Block), L1Error>) {
        let now = Instant::now();
        let settled = settled_origin(&self.facts, &self.origins);
        self.publish.send_if_modified(|view| {
            let old = view.clone();
            let trouble = match result {
                Ok((head, finalized)) => {
                    if view.head.is_none_or(|seen| seen.number != head) {
                        debug!(%head, finalized = %finalized.origin.number, "L1 moved");
                        view.head = Some(L1Head { number: head, seen_at: now });
                    }
                    // Finality never goes back, whatever a lagging endpoint says.
                    if view
                        .finalized
                        .is_none_or(|(seen, timestamp_s)| seen.number < finalized.origin.number || timestamp_s == 0)
                    {
                        view.finalized = Some((finalized.origin, finalized.timestamp_s));
                    }
                    self.contradiction.clone()
                }
                Err(error) => Some(error.to_string()),
            };
            if settled.is_some() {
                view.settled_origin = settled;
            }
            view.healthy = trouble.is_none();
            view.why = trouble.unwrap_or_default();
            view.unhealthy_since = if view.healthy { None } else { view.unhealthy_since.or(Some(now)) };
            if view.healthy && !old.healthy {
                let down_ms = old.unhealthy_since.map(|since| now.duration_since(since).as_millis());
                info!(head = ?view.head.map(|head| head.number.get()), down_ms, "L1 answers");
            } else if !view.healthy && old.healthy {
                warn!(why = %view.why, "L1 cannot be read: ordering goes on, attesting and posting wait");
            }
            *view != old
        });
    }
}
