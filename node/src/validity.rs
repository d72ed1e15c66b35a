//! What a voter demands of a proposed block before it signs for it (protocol section 4).
//!
//! The machine has checked leader and ancestry already; this is the rest: header arithmetic, sizes, gas, the L1 origin,
//! the forced entries, and the rules on transactions, from which those entries are exempt. A pure function of the
//! block, its parent and what the node knows; "not yet seen" and "too far ahead of my clock" mean *wait*, never
//! *invalid*, so that nodes with different views of L1 or of time do not vote against each other.

use std::collections::HashSet;

use alloy_primitives::TxHash;
pub use baton_consensus::{OriginSeen, Wait};
use baton_mempool::order;
use baton_proto::{
    Block, BlockHeader, ChainSpec, Epoch, Forced, ForcedEntry, L1BlockNumber, TimestampMs,
    limits::{BLOCK_BYTES_MAX, BLOCK_TRANSACTIONS_MAX, TRANSACTION_GAS_MAX},
};

/// How many final blocks back a transaction may not be repeated. Older repeats have a used nonce and are skipped.
pub const DUP_WINDOW: usize = 64;

/// What the block is judged against.
pub struct Context<'a> {
    /// The chain's parameters.
    pub spec: &'a ChainSpec,
    /// The block it builds on.
    pub parent: &'a BlockHeader,
    /// The epoch that votes on it.
    pub epoch: Epoch,
    /// The local clock.
    pub now: TimestampMs,
    /// What this node has seen of the header's L1 origin.
    pub origin: OriginSeen,
    /// The forced entries that are due in the block, if this node has read the queue up to the header's L1 origin.
    pub forced_due: Option<&'a [ForcedEntry]>,
    /// Transactions of unfinalized ancestors.
    pub in_ancestors: &'a HashSet<TxHash>,
    /// Whether a transaction is in one of the last [`DUP_WINDOW`] final blocks.
    pub recently_final: &'a dyn Fn(&TxHash) -> bool,
}

/// What to do with a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Vote.
    Valid,
    /// Look again when L1 or the clock has moved.
    Wait(Wait),
    /// Never vote for it.
    Invalid(Invalid),
}

/// The rule that a block breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum Invalid {
    #[error("{field} is {got}, expected {expected}")]
    Field { field: &'static str, got: String, expected: String },
    #[error("timestamp {got} is not after the parent's {parent}")]
    Timestamp { got: TimestampMs, parent: TimestampMs },
    #[error("L1 origin {got} is older than the parent's {parent}")]
    OriginGoesBack { got: L1BlockNumber, parent: L1BlockNumber },
    #[error("L1 origin {0} has another hash than in the parent")]
    OriginHash(L1BlockNumber),
    #[error("{got} forced entries are taken, from position {from} on {due} are due")]
    ForcedCount { got: usize, from: u64, due: usize },
    #[error("the forced entry at position {position} is not the one on L1")]
    ForcedEntry { position: u64 },
    #[error("{what} {got} exceeds {limit}")]
    TooMuch { what: &'static str, got: u64, limit: u64 },
    #[error("transaction {hash} is for chain {got}, this is {expected}")]
    ForeignTransaction { hash: TxHash, got: u64, expected: u64 },
    #[error("transaction {0} stands twice in the block")]
    Repeated(TxHash),
    #[error("transaction {0} is in an ancestor already")]
    InAncestor(TxHash),
    #[error("transaction {0} became final in one of the last {DUP_WINDOW} blocks")]
    RecentlyFinal(TxHash),
    #[error("the nonces of one sender are not consecutive and ascending")]
    Nonces,
    #[error("the transactions do not stand in the chain's order")]
    Order,
}

/// Judges `block` in `context`.
///
/// Conversion from bytes has already checked that the transactions decode, are signed and are the ones the header
/// commits to.
#[must_use]
pub fn judge(block: &Block, context: &Context<'_>) -> Judgement {
    match check(block, context) {
        Err(invalid) => Judgement::Invalid(invalid),
        Ok(()) => {
            let latest = TimestampMs::new(context.now.get().saturating_add(context.spec.clock_drift_ms));
            let wait = Wait::of(&block.header, context.parent, context.origin, latest);
            // Whoever has not read the queue so far has not seen that L1 block either: an origin that the parent has too is
            // no reason to take its leader's word for what is due.
            let unread = context.forced_due.is_none().then_some(Wait::Origin(block.header.origin.number));
            wait.or(unread).map_or(Judgement::Valid, Judgement::Wait)
        }
    }
}

fn check(block: &Block, context: &Context<'_>) -> Result<(), Invalid> {
    check_header(&block.header, context)?;
    if let Some(due) = context.forced_due {
        check_forced(block, context.parent, due)?;
    }
    check_size(block, context.spec)?;
    check_transactions(block, context)
}

fn check_header(header: &BlockHeader, context: &Context<'_>) -> Result<(), Invalid> {
    let parent = context.parent;
    let equal = |field: &'static str, got: String, expected: String| {
        if got == expected { Ok(()) } else { Err(Invalid::Field { field, got, expected }) }
    };
    equal("L2 chain id", header.l2_chain_id.to_string(), context.spec.l2_chain_id.to_string())?;
    equal("epoch", header.epoch.to_string(), context.epoch.to_string())?;
    equal("parent", header.parent.to_string(), parent.digest().to_string())?;
    equal("height", header.height.to_string(), parent.height.next().unwrap_or(parent.height).to_string())?;
    if header.timestamp_ms <= parent.timestamp_ms {
        return Err(Invalid::Timestamp { got: header.timestamp_ms, parent: parent.timestamp_ms });
    }
    let (origin, before) = (header.origin, parent.origin);
    if origin.number < before.number {
        return Err(Invalid::OriginGoesBack { got: origin.number, parent: before.number });
    }
    if origin.number == before.number && origin.hash != before.hash {
        return Err(Invalid::OriginHash(origin.number));
    }
    Ok(())
}

/// A block takes exactly what is due (protocol section 9): its leader can neither leave an entry out nor put one in.
fn check_forced(block: &Block, parent: &BlockHeader, due: &[ForcedEntry]) -> Result<(), Invalid> {
    let (header, taken) = (&block.header, &block.forced.entries);
    let from = parent.forced_position;
    if taken.len() != due.len() {
        return Err(Invalid::ForcedCount { got: taken.len(), from, due: due.len() });
    }
    if let Some((position, _)) = (from..).zip(taken.iter().zip(due)).find(|(_, (taken, due))| taken != due) {
        return Err(Invalid::ForcedEntry { position });
    }
    let position = from.saturating_add(due.len() as u64);
    let expected = Forced::new(parent.forced_hash, due.to_vec());
    let hash = expected.hash_after(from).unwrap_or(parent.forced_hash);
    for (field, got, expected) in [
        ("forced position", header.forced_position.to_string(), position.to_string()),
        ("forced hash", header.forced_hash.to_string(), hash.to_string()),
        ("forced hash before", block.forced.before.to_string(), expected.before.to_string()),
    ] {
        if got != expected {
            return Err(Invalid::Field { field, got, expected });
        }
    }
    Ok(())
}

fn check_size(block: &Block, spec: &ChainSpec) -> Result<(), Invalid> {
    let at_most =
        |what, got: u64, limit: u64| if got <= limit { Ok(()) } else { Err(Invalid::TooMuch { what, got, limit }) };
    let header = &block.header;
    at_most("transaction count", u64::from(header.transaction_count), BLOCK_TRANSACTIONS_MAX as u64)?;
    // The chain's own bound is one on what a leader chooses; what is due always fits beside that.
    let bytes_max = spec.block_bytes_max.saturating_add(block.forced.bytes() as u64).min(BLOCK_BYTES_MAX as u64);
    at_most("payload bytes", u64::from(header.payload_bytes), bytes_max)?;
    at_most("declared gas", header.declared_gas, spec.block_gas_limit)?;
    for transaction in &block.transactions {
        at_most("gas of one transaction", transaction.gas_limit(), TRANSACTION_GAS_MAX)?;
    }
    Ok(())
}

fn check_transactions(block: &Block, context: &Context<'_>) -> Result<(), Invalid> {
    let mut seen = HashSet::with_capacity(block.transactions.len());
    for transaction in &block.transactions {
        let hash = *transaction.hash();
        let expected = context.spec.l2_chain_id.get();
        if transaction.chain_id() != expected {
            return Err(Invalid::ForeignTransaction { hash, got: transaction.chain_id(), expected });
        }
        if !seen.insert(hash) {
            return Err(Invalid::Repeated(hash));
        }
        if context.in_ancestors.contains(&hash) {
            return Err(Invalid::InAncestor(hash));
        }
        if (context.recently_final)(&hash) {
            return Err(Invalid::RecentlyFinal(hash));
        }
    }
    if !order::consecutive_nonces(&block.transactions) {
        return Err(Invalid::Nonces);
    }
    if !order::obeys(context.spec.ordering_rule, &block.transactions) {
        return Err(Invalid::Order);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
