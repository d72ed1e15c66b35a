//! What became of the items of a block.

use serde::{Deserialize, Serialize};

use crate::SkipReason;

/// What became of one item of a final block's payload: of a transaction, or of a forced entry.
///
/// A skipped one is charged nothing and changes nothing; its signature stays good, so it can still execute in a later
/// block, once, when its nonce is next. A forced entry has had its place in the queue all the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "status")]
pub enum Outcome {
    /// It took its turn; where there are receipts, its own says whether it succeeded.
    Executed,
    /// It was not valid at its turn.
    Skipped(SkipReason),
}
