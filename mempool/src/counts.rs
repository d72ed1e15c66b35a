//! What a pool counted since it was made.

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Transactions admitted, replacements among them.
    pub admitted: u64,
    /// Of those, replacements.
    pub replaced: u64,
    /// Transactions refused for what they are or for lack of room.
    pub rejected: u64,
    /// Transactions that came again while they waited: gossip brings everything more than once.
    pub already_known: u64,
    /// Transactions that made room for what was worth more.
    pub evicted: u64,
    /// Transactions that waited too long.
    pub expired: u64,
    /// Transactions that their account could not pay for any more.
    pub unfunded: u64,
}

impl PoolCounts {
    /// One more.
    pub(crate) fn add(count: &mut u64, n: usize) {
        *count = count.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
    }
}
