//! Who is asked for final blocks.

use baton_proto::{
    MemberIndex,
    wire::{SyncRequest, SyncResponse},
};

use crate::p2p::{Fault, Network, RequestError};

/// Servers of final blocks: the network, or scripted ones under test.
pub trait RangeSource: Clone + Send + Sync + 'static {
    /// Asks a member and returns its answer, decoded and of the kind asked for; whether it is true, the caller checks.
    fn request(
        &self,
        member: MemberIndex,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send;

    /// Returns the members that can be asked now.
    fn connected(&self) -> Vec<MemberIndex>;

    /// Charges an answer that no honest member gives. A fault that [`Self::request`] returns is charged already.
    fn charge(&self, member: MemberIndex);
}

impl RangeSource for Network {
    fn request(
        &self,
        member: MemberIndex,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send {
        Self::request(self, member, request)
    }

    fn connected(&self) -> Vec<MemberIndex> {
        self.connected_members()
    }

    fn charge(&self, member: MemberIndex) {
        self.charge_member(member, Fault::InvalidAnswer);
    }
}
