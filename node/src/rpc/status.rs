//! Methods of our own: `baton_status`, `baton_committee` and `baton_leaderSchedule`.

use alloy_primitives::Address;
use baton_proto::{BlsPublicKey, Epoch, MemberIndex, View, Weight};
use serde::{Deserialize, Serialize};

use super::{RpcContext, RpcError, arguments::Arguments};
use crate::telemetry::NodeStatus;

/// Turns that `baton_leaderSchedule` returns unless asked for another number.
const TURNS_DEFAULT: u64 = 10;

/// Most turns of one answer.
const TURNS_MAX: u64 = 1_000;

/// How far ahead of the current view a turn can be asked for. Views beyond cost time in proportion, and who asks for
/// them only wants that.
const AHEAD_MAX: u64 = 100_000;

/// What `baton_committee` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitteeView {
    /// The running epoch.
    pub epoch: Epoch,
    /// Its members by index, which is address order.
    pub members: Vec<MemberView>,
    /// Sum of the members' weights.
    pub total_weight: Weight,
    /// The view this node is in.
    pub view: View,
    /// Who leads it.
    pub leader: Option<MemberIndex>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberView {
    /// Its index in certificates and headers.
    pub index: MemberIndex,
    /// Who bonded.
    pub owner: Address,
    /// Who gets the fees of its blocks.
    pub fee_recipient: Address,
    /// Its weight.
    pub weight: Weight,
    /// Its weight over the total, for reading; nothing is decided by it.
    pub share: f64,
    /// Its consensus key, as the registry stores it.
    pub bls_key: BlsPublicKey,
}

/// `baton_status`.
pub(super) fn status(context: &RpcContext, _: &Arguments) -> Result<NodeStatus, RpcError> {
    Ok(context.status.borrow().clone())
}

/// `baton_committee`.
pub(super) fn committee(context: &RpcContext, _: &Arguments) -> Result<CommitteeView, RpcError> {
    let committee = &context.epochs.running().committee;
    let total = committee.total_weight();
    let members = committee.indices().zip(committee.members()).map(|(index, member)| MemberView {
        index,
        owner: member.owner,
        fee_recipient: member.fee_recipient,
        weight: member.weight,
        share: member.weight.get() as f64 / total.get() as f64,
        bls_key: member.key,
    });
    let status = context.status.borrow();
    Ok(CommitteeView {
        epoch: committee.epoch(),
        members: members.collect(),
        total_weight: total,
        view: status.view,
        leader: status.leader,
    })
}

/// One turn of the leader schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TurnView {
    /// The view.
    pub view: View,
    /// Who leads it.
    pub leader: MemberIndex,
    /// Who bonded for that member.
    pub owner: Address,
}

/// `baton_leaderSchedule`: who leads the next views, or those from a given one on. Arguments: how many, from which view.
pub(super) fn leader_schedule(context: &RpcContext, arguments: &Arguments) -> Result<Vec<TurnView>, RpcError> {
    let count = arguments.optional_number(0)?.unwrap_or(TURNS_DEFAULT);
    if count > TURNS_MAX {
        return Err(RpcError::InvalidArgument { index: 0, why: format!("{count} views asked, at most {TURNS_MAX}") });
    }
    let current = context.status.borrow().view.get().max(1);
    let from = arguments.optional_number(1)?.unwrap_or(current);
    let last = current.saturating_add(AHEAD_MAX);
    if from == 0 || from > last {
        return Err(RpcError::InvalidArgument { index: 1, why: format!("view {from} is not between 1 and {last}") });
    }
    let epoch = context.epochs.running();
    let turns = (from..from.saturating_add(count)).map(View::new).filter_map(|view| {
        let leader = epoch.asked.leader(view);
        epoch.committee.member(leader).map(|member| TurnView { view, leader, owner: member.owner })
    });
    Ok(turns.collect())
}
