//! `baton_duties`: who led and who missed its turn, what that earned, and who is jailed for it.

use std::collections::BTreeMap;

use alloy_primitives::{Address, U256};
use baton_consensus::{Committee, DutyTable};
use baton_proto::{Epoch, Height, MemberIndex};
use serde::{Deserialize, Serialize};

use super::{RpcContext, RpcError, arguments::Arguments};
use crate::duties::count;

/// What `baton_duties` returns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DutiesView {
    /// The running epoch.
    pub epoch: Epoch,
    /// The final height up to which its turns are counted.
    pub height: Height,
    /// Its members by index. Empty while this node lacks headers of the epoch.
    pub members: Vec<MemberDuties>,
    /// The epoch whose duties were applied last on L1, or that was passed over; `null` if none was, or while L1 was not read.
    pub last_settled: Option<Epoch>,
    /// Its members by index, with the turns that were settled; `null` unless this node remembers that epoch and has all of it.
    pub settled: Option<Vec<MemberDuties>>,
    /// What is left on L1 for rewards, in base units of the bond token.
    pub reward_pool: Option<U256>,
    /// Every sequencer that this node remembers: members of recent epochs, and its own. Empty while L1 was not read.
    pub sequencers: BTreeMap<Address, SequencerView>,
}

/// A member's turns in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDuties {
    /// Its index.
    pub index: MemberIndex,
    /// Who bonded.
    pub owner: Address,
    /// Views that it led.
    pub led: u64,
    /// Views that were skipped in its turn.
    pub missed: u64,
}

/// A sequencer on L1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SequencerView {
    /// Rewards that wait to be claimed, in base units of the bond token.
    pub pending_rewards: U256,
    /// Whether it is jailed, and for how long.
    pub jailed: Option<JailView>,
}

/// A term in jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JailView {
    /// The first epoch of which it is no member.
    pub since: Epoch,
    /// The first epoch that it can be in again.
    pub until: Epoch,
}

/// `baton_duties`.
pub(super) fn duties(context: &RpcContext, _: &Arguments) -> Result<DutiesView, RpcError> {
    let epoch = context.epochs.running();
    let height = context.ledger.head()?.height;
    // The head can be of the epoch before for a moment, and of the next.
    let table = count(&*context.ledger, &epoch, height)?;
    let liveness = context.liveness.borrow().clone();
    Ok(DutiesView {
        epoch: epoch.epoch,
        height,
        members: table.map(|table| turns(&epoch.committee, &table)).unwrap_or_default(),
        last_settled: liveness.as_ref().and_then(|view| view.last_settled),
        settled: liveness
            .as_ref()
            .and_then(|view| view.settled.as_ref())
            .map(|settled| turns(&settled.committee, &settled.table)),
        reward_pool: liveness.as_ref().map(|view| view.pool),
        sequencers: liveness.map_or_else(BTreeMap::new, |view| {
            let sequencers = view.sequencers.into_iter().map(|standing| {
                let jailed = standing.jailed.map(|(since, until)| JailView { since, until });
                (standing.owner, SequencerView { pending_rewards: standing.pending, jailed })
            });
            sequencers.collect()
        }),
    })
}

/// The rows of a table, with whose they are.
fn turns(committee: &Committee, table: &DutyTable) -> Vec<MemberDuties> {
    let members = committee.indices().zip(committee.members()).zip(table.rows());
    members
        .map(|((index, member), row)| MemberDuties { index, owner: member.owner, led: row.led, missed: row.missed })
        .collect()
}
