//! Proposals that can neither be voted for nor refused yet.

use std::collections::BTreeMap;

use baton_proto::{BlockDigest, BlockHeader};

/// A proposal, the block it builds on, and the unfinalized ones up to that.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    /// The proposed block.
    pub(crate) header: BlockHeader,
    /// Its parent.
    pub(crate) parent: BlockHeader,
    /// Unfinalized ancestors, ascending.
    pub(crate) ancestors: Vec<BlockHeader>,
}

/// Proposals that may wait at a time: the machine follows few views at once.
const WAITING_MAX: usize = 16;

/// Proposals that wait for L1 or for the clock.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    proposals: BTreeMap<BlockDigest, Proposed>,
}

impl Waiting {
    /// Keeps a proposal; the one of the oldest view makes room.
    pub(crate) fn insert(&mut self, proposed: Proposed) {
        self.proposals.insert(proposed.header.digest(), proposed);
        if self.proposals.len() > WAITING_MAX {
            let oldest =
                self.proposals.iter().min_by_key(|(_, waiting)| waiting.header.view).map(|(digest, _)| *digest);
            oldest.and_then(|digest| self.proposals.remove(&digest));
        }
    }

    /// Takes all of them out, to be judged again.
    pub(crate) fn take(&mut self) -> Vec<Proposed> {
        std::mem::take(&mut self.proposals).into_values().collect()
    }

    /// Returns whether none waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.proposals.is_empty()
    }
}
