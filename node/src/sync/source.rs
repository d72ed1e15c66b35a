//! Who is asked for final blocks.

use baton_proto::wire::{SyncRequest, SyncResponse};

use crate::p2p::{Fault, Network, PeerId, Reach, RequestError};

/// Servers of final blocks: the network, or scripted ones under test.
pub trait RangeSource: Clone + Send + Sync + 'static {
    /// Asks a peer and returns its answer, decoded and of the kind asked for; whether it is true, the caller checks.
    fn request(
        &self,
        peer: PeerId,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send;

    /// Returns who can be asked now.
    fn reach(&self) -> Reach;

    /// Charges an answer that no honest peer gives. A fault that [`Self::request`] returns is charged already.
    fn charge(&self, peer: PeerId);
}

impl RangeSource for Network {
    fn request(
        &self,
        peer: PeerId,
        request: SyncRequest,
    ) -> impl Future<Output = Result<SyncResponse, RequestError>> + Send {
        self.request_of(peer, request)
    }

    fn reach(&self) -> Reach {
        Self::reach(self)
    }

    fn charge(&self, peer: PeerId) {
        Self::charge(self, peer, Fault::InvalidAnswer);
    }
}
