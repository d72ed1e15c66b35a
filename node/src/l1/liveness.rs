//! Follows rewards and jail on L1, for whoever asks, and tells the operator when this node's own sequencer is jailed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use alloy_primitives::{Address, U256};
use baton_consensus::{Committee, DutyTable};
use baton_proto::Epoch;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    bindings::Liveness,
    client::{At, L1Client},
    error::L1Error,
    facts::ChainFacts,
    watcher::L1View,
};
use crate::{
    duties::count_batched,
    epoch::EpochBook,
    ledger::{Ledger, LedgerError},
};

/// Where the ledger keeps the owner of this node's bond: in jail it has no seat to read it from.
const OWNER_KEY: &str = "own_owner";

/// What one sequencer earned and whether it is jailed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequencerStanding {
    /// Who bonded.
    pub owner: Address,
    /// Rewards that wait to be claimed, in base units of the bond token.
    pub pending: U256,
    /// The first epoch of which it is no member for being jailed, and the first that it can be in again.
    pub jailed: Option<(Epoch, Epoch)>,
}

/// The duties of one epoch that L1 has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledDuties {
    /// Who sat in it.
    pub committee: Arc<Committee>,
    /// Their turns: the table that the epoch's last batch commits to.
    pub table: DutyTable,
}

/// `Liveness` at the newest L1 block; an L1 reorg can take it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivenessView {
    /// The epoch that was settled last, or passed over.
    pub last_settled: Option<Epoch>,
    /// What was settled, if this node remembers that epoch and has all of it.
    pub settled: Option<Arc<SettledDuties>>,
    /// What is left for rewards, in base units of the bond token.
    pub pool: U256,
    /// The owner of this node's bond, once it had a seat.
    pub own: Option<Address>,
    /// Who sits or sat in the epochs that this node remembers, and this node's own sequencer, by owner.
    pub sequencers: Vec<SequencerStanding>,
}

impl LivenessView {
    /// Returns how this node's own sequencer stands, if it has one.
    #[must_use]
    pub fn own_standing(&self) -> Option<&SequencerStanding> {
        let own = self.own?;
        self.sequencers.iter().find(|standing| standing.owner == own)
    }
}

/// Follows the contract: reads it whenever L1 moves. `None` until it was read once.
pub fn spawn_liveness_watcher(
    client: L1Client,
    facts: Arc<ChainFacts>,
    ledger: Arc<dyn Ledger>,
    book: EpochBook,
    mut l1: watch::Receiver<L1View>,
    retry: Duration,
    cancel: CancellationToken,
) -> (watch::Receiver<Option<LivenessView>>, JoinHandle<Result<(), LedgerError>>) {
    let (publish, receiver) = watch::channel::<Option<LivenessView>>(None);
    let task = tokio::spawn(async move {
        let mut own = Own::open(&*ledger)?;
        loop {
            let healthy = l1.borrow_and_update().healthy;
            let mut failed = false;
            if healthy {
                own.look(&*ledger, &book)?;
                let read = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    read = read(&client, &facts, &book, own.owner) => read,
                };
                match read {
                    Ok(mut view) => {
                        view.settled = settled(&*ledger, &book, &view, publish.borrow().as_ref())?;
                        own.tell(&view);
                        publish.send_if_modified(|current| {
                            let modified = current.as_ref() != Some(&view);
                            *current = Some(view);
                            modified
                        });
                    }
                    Err(error) => {
                        debug!(%error, "rewards and jail cannot be read now");
                        failed = true;
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                changed = l1.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(retry), if failed => {}
            }
        }
    });
    (receiver, task)
}

async fn read(
    client: &L1Client,
    facts: &ChainFacts,
    book: &EpochBook,
    own: Option<Address>,
) -> Result<LivenessView, L1Error> {
    // At most the members of the epochs that are remembered, 128 each.
    let owners: BTreeSet<Address> = {
        let epochs = book.changes();
        let epochs = epochs.borrow();
        let members = epochs.iter().flat_map(|epoch| epoch.committee.members().iter().map(|member| member.owner));
        members.chain(own).collect()
    };
    let owners: Vec<Address> = owners.into_iter().collect();
    let liveness = facts.liveness;
    let last = client.call(liveness, &Liveness::lastSettledCall {}, At::Latest).await?;
    let pool = client.call(liveness, &Liveness::poolCall {}, At::Latest).await?;
    let question = Liveness::standingsCall { owners: owners.clone() };
    let standings = client.call(liveness, &question, At::Latest).await?;
    let sequencers = owners.into_iter().zip(standings).map(|(owner, standing)| SequencerStanding {
        owner,
        pending: standing.pending,
        jailed: (standing.jailedSince != 0)
            .then(|| (Epoch::new(standing.jailedSince), Epoch::new(standing.jailedUntil))),
    });
    Ok(LivenessView {
        last_settled: (last != 0).then(|| Epoch::new(last)),
        settled: None,
        pool,
        own,
        sequencers: sequencers.collect(),
    })
}

/// Returns the duties of the epoch that `view` says was settled last: those of `before` if that says the same.
fn settled(
    ledger: &dyn Ledger,
    book: &EpochBook,
    view: &LivenessView,
    before: Option<&LivenessView>,
) -> Result<Option<Arc<SettledDuties>>, LedgerError> {
    let Some(last) = view.last_settled else { return Ok(None) };
    if let Some(known) = before.and_then(|view| view.settled.as_ref()).filter(|known| known.committee.epoch() == last) {
        return Ok(Some(Arc::clone(known)));
    }
    let Some(epoch) = book.of(last) else { return Ok(None) };
    let counted = count_batched(ledger, &epoch)?;
    let counted = counted.filter(|(batch, table)| batch.duties_root == table.root());
    Ok(counted.map(|(_, table)| Arc::new(SettledDuties { committee: Arc::clone(&epoch.committee), table })))
}

/// This node's own sequencer.
struct Own {
    owner: Option<Address>,
    /// What the operator was told last.
    settled: Option<Epoch>,
    jailed: Option<(Epoch, Epoch)>,
}

impl Own {
    fn open(ledger: &dyn Ledger) -> Result<Self, LedgerError> {
        let stored = ledger.l1_fact(OWNER_KEY)?.and_then(|bytes| Address::try_from(bytes.as_slice()).ok());
        Ok(Self { owner: stored, settled: None, jailed: None })
    }

    /// Takes the owner from this node's seat, while it has one.
    fn look(&mut self, ledger: &dyn Ledger, book: &EpochBook) -> Result<(), LedgerError> {
        let epoch = book.running();
        let owner = epoch.me().and_then(|me| epoch.committee.member(me)).map(|member| member.owner);
        if owner.is_none() || owner == self.owner {
            return Ok(());
        }
        self.owner = owner;
        owner.map_or(Ok(()), |owner| ledger.put_l1_fact(OWNER_KEY, owner.as_slice()))
    }

    fn tell(&mut self, view: &LivenessView) {
        if let (Some(epoch), true) = (view.last_settled, view.last_settled != self.settled) {
            info!(%epoch, "L1 has settled the duties up to this epoch");
            self.settled = view.last_settled;
        }
        let (Some(owner), Some(standing)) = (self.owner, view.own_standing()) else { return };
        let now = standing.jailed;
        if now == self.jailed {
            return;
        }
        match now {
            Some((since, until)) => warn!(
                %owner,
                %since,
                %until,
                "this sequencer is jailed for views that it missed: it has no weight and no rewards from epoch `since` on. \
                 The node follows the chain; `baton send unjail`, by the owner, brings it back, from epoch `until` on at the \
                 earliest"
            ),
            None => {
                info!(%owner, "this sequencer is out of jail: it is a member again two epochs after that was asked")
            }
        }
        self.jailed = now;
    }
}
