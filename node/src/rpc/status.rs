//! Methods of our own: `baton_status` and `baton_committee`.

use alloy_primitives::Address;
use baton_proto::{BlsPublicKey, Epoch, MemberIndex, View, Weight};
use serde::{Deserialize, Serialize};

use super::{RpcContext, RpcError, arguments::Arguments};
use crate::telemetry::NodeStatus;

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
    let total = context.committee.total_weight();
    let members = context.committee.indices().zip(context.committee.members()).map(|(index, member)| MemberView {
        index,
        owner: member.owner,
        fee_recipient: member.fee_recipient,
        weight: member.weight,
        share: member.weight.get() as f64 / total.get() as f64,
        bls_key: member.key,
    });
    let status = context.status.borrow();
    Ok(CommitteeView {
        epoch: context.committee.epoch(),
        members: members.collect(),
        total_weight: total,
        view: status.view,
        leader: status.leader,
    })
}
