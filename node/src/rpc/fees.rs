//! What gas costs, and what it has cost: `eth_gasPrice`, `eth_maxPriorityFeePerGas`, `eth_feeHistory`, `eth_blobBaseFee`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use alloy::{
    eips::{BlockId, BlockNumberOrTag},
    rpc::types::FeeHistory,
};
use alloy_primitives::U256;
use baton_execution::{TransactionReceipt, state::Head};
use baton_proto::Height;

use super::{
    RpcContext, RpcError,
    arguments::Arguments,
    at::{At, at, results},
    chain,
    threads::Deadline,
};

/// Wei per gas that are suggested as a tip while nobody has paid any.
const TIP_DEFAULT: u128 = 1_000_000;

/// Most wei per gas that are suggested as a tip; geth's.
const TIP_MAX: u128 = 500_000_000_000;

/// Wei per gas below which a tip says nothing of what others offer; geth's.
const TIP_TELLING: u128 = 2;

/// Blocks that a suggestion looks at, tips that it takes of each (the lowest), and which of all of them it suggests; geth's.
const TIP_BLOCKS: u64 = 20;
const TIPS_OF_BLOCK: usize = 3;
const TIP_PERCENTILE: usize = 60;

/// Most blocks of one `eth_feeHistory`; geth's.
const HISTORY_BLOCKS_MAX: u64 = 1_024;

/// Most percentiles of one `eth_feeHistory`; geth's.
const PERCENTILES_MAX: usize = 100;

/// Most different tips that are remembered, of all blocks together: 5 MiB.
const TIPS_REMEMBERED_MAX: usize = 200_000;

/// Wei per blob gas: the least there is, as there are no blobs. `BLOBBASEFEE` gives the same.
const BLOB_BASE_FEE: u128 = 1;

/// What was paid in recent blocks.
#[derive(Debug, Default)]
pub(super) struct Fees {
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    blocks: BTreeMap<Height, Arc<Tips>>,
    /// Different tips of all of them.
    tips: usize,
}

/// What the transactions of one block paid above its base fee: wei per gas, ascending, with the gas that paid it, and how many
/// transactions did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tips(Vec<Tip>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tip {
    wei: u128,
    gas: u64,
    transactions: usize,
}

impl Tips {
    fn of(receipts: &[TransactionReceipt], base_fee: u64) -> Self {
        let mut tips: BTreeMap<u128, Tip> = BTreeMap::new();
        for receipt in receipts {
            let wei = receipt.gas_price.saturating_sub(base_fee.into());
            let tip = tips.entry(wei).or_insert(Tip { wei, gas: 0, transactions: 0 });
            tip.gas = tip.gas.saturating_add(receipt.gas_used);
            tip.transactions = tip.transactions.saturating_add(1);
        }
        Self(tips.into_values().collect())
    }

    /// Returns, for each percentile, the tip that so much of the gas paid at most; zero in an empty block.
    fn at_percentiles(&self, percentiles: &[f64]) -> Vec<u128> {
        let total: u64 = self.0.iter().map(|tip| tip.gas).sum();
        let at = |percentile: &f64| {
            let threshold = total as f64 * percentile / 100.0;
            let mut gas = 0_u64;
            let reached = self.0.iter().find(|tip| {
                gas = gas.saturating_add(tip.gas);
                gas as f64 >= threshold
            });
            reached.or(self.0.last()).map_or(0, |tip| tip.wei)
        };
        percentiles.iter().map(at).collect()
    }

    /// The lowest that tell something, each as often as it was paid.
    fn lowest(&self, count: usize) -> impl Iterator<Item = u128> {
        let telling = self.0.iter().filter(|tip| tip.wei >= TIP_TELLING);
        telling.flat_map(|tip| std::iter::repeat_n(tip.wei, tip.transactions)).take(count)
    }
}

impl Fees {
    /// Returns the tips of the final block at `height`.
    fn tips(&self, context: &RpcContext, height: Height, base_fee: u64) -> Result<Arc<Tips>, RpcError> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tips) = recent().blocks.get(&height) {
            return Ok(Arc::clone(tips));
        }
        let receipts = context.ledger.receipts(height)?.ok_or(RpcError::HeaderNotFound)?;
        let tips = Arc::new(Tips::of(&receipts, base_fee));
        let mut recent = recent();
        if recent.blocks.insert(height, Arc::clone(&tips)).is_none() {
            recent.tips = recent.tips.saturating_add(tips.0.len().max(1));
        }
        while recent.tips > TIPS_REMEMBERED_MAX
            && let Some((_, oldest)) = recent.blocks.pop_first()
        {
            recent.tips = recent.tips.saturating_sub(oldest.0.len().max(1));
        }
        Ok(tips)
    }

    /// Returns the tip that a wallet should offer: what recent blocks took, and never less than the pool does.
    pub(super) fn suggested_tip(&self, context: &RpcContext) -> Result<u128, RpcError> {
        let head = context.ledger.head()?.height;
        let oldest = Height::new(head.get().saturating_sub(TIP_BLOCKS.saturating_sub(1)));
        let mut paid = Vec::new();
        for height in (oldest.get()..=head.get()).map(Height::new) {
            let results = results(context, height)?;
            if results.gas_used > 0 {
                paid.extend(self.tips(context, height, results.base_fee)?.lowest(TIPS_OF_BLOCK));
            }
        }
        paid.sort_unstable();
        let index = paid.len().saturating_sub(1).saturating_mul(TIP_PERCENTILE) / 100;
        let suggested = paid.get(index).copied().unwrap_or(TIP_DEFAULT);
        let least = context.pool().priority_fee_min();
        Ok(suggested.min(TIP_MAX).max(least))
    }
}

/// Returns the base fee of the block after the last final one.
pub(super) fn next_base_fee(context: &RpcContext) -> Result<u64, RpcError> {
    Ok(context.evm()?.next_base_fee(&last_head(context)?))
}

fn last_head(context: &RpcContext) -> Result<Head, RpcError> {
    let At { state, .. } = at(context, BlockId::latest())?;
    state.head()?.ok_or(RpcError::HeaderNotFound)
}

/// `eth_gasPrice`: what a transaction without tip and cap should offer.
pub(super) fn gas_price(fees: &Fees, context: &RpcContext, _: &Arguments, _: &Deadline) -> Result<U256, RpcError> {
    // A call at the last block is held to that block's base fee, a transaction to the next one's: it passes both.
    let head = last_head(context)?;
    let base_fee = head.base_fee.max(context.evm()?.next_base_fee(&head));
    Ok(U256::from(fees.suggested_tip(context)?).saturating_add(U256::from(base_fee)))
}

/// `eth_maxPriorityFeePerGas`.
pub(super) fn max_priority_fee(
    fees: &Fees,
    context: &RpcContext,
    _: &Arguments,
    _: &Deadline,
) -> Result<U256, RpcError> {
    context.evm()?;
    fees.suggested_tip(context).map(U256::from)
}

/// `eth_blobBaseFee`.
pub(super) fn blob_base_fee(context: &RpcContext, _: &Arguments) -> Result<U256, RpcError> {
    context.evm()?;
    Ok(U256::from(BLOB_BASE_FEE))
}

/// `eth_feeHistory`: arguments are how many blocks, the last of them, and percentiles of tips, if they are wanted.
pub(super) fn history(
    fees: &Fees,
    context: &RpcContext,
    arguments: &Arguments,
    deadline: &Deadline,
) -> Result<FeeHistory, RpcError> {
    let evm = context.evm()?;
    let count = arguments.optional_number(0)?.ok_or(RpcError::MissingArgument(0))?.min(HISTORY_BLOCKS_MAX);
    let newest = newest(context, arguments.number_or_tag(1)?)?;
    let percentiles = percentiles(arguments)?;
    if count == 0 {
        return Ok(FeeHistory::default());
    }
    let oldest = newest.get().saturating_sub(count.saturating_sub(1));
    let mut history = FeeHistory { oldest_block: oldest, ..FeeHistory::default() };
    let mut rewards = Vec::new();
    let mut next = None;
    let gas_limit = context.facts.spec.block_gas_limit;
    for height in (oldest..=newest.get()).map(Height::new) {
        deadline.check()?;
        let results = results(context, height)?;
        history.base_fee_per_gas.push(results.base_fee.into());
        history.gas_used_ratio.push(results.gas_used as f64 / gas_limit as f64);
        history.base_fee_per_blob_gas.push(BLOB_BASE_FEE);
        history.blob_gas_used_ratio.push(0.0);
        if let Some(percentiles) = &percentiles {
            let tips = match results.gas_used {
                0 => Arc::default(),
                _ => fees.tips(context, height, results.base_fee)?,
            };
            rewards.push(tips.at_percentiles(percentiles));
        }
        let digest = baton_proto::BlockDigest::ZERO;
        let (base_fee, gas_used, state_root) = (results.base_fee, results.gas_used, results.state_root);
        next = Some(evm.next_base_fee(&Head { height, digest, base_fee, gas_used, state_root }));
    }
    history.base_fee_per_gas.push(next.unwrap_or_default().into());
    history.base_fee_per_blob_gas.push(BLOB_BASE_FEE);
    history.reward = percentiles.map(|_| rewards);
    Ok(history)
}

/// Returns the block that a history ends with.
fn newest(context: &RpcContext, asked: BlockNumberOrTag) -> Result<Height, RpcError> {
    let head = context.ledger.head()?.height;
    match asked {
        BlockNumberOrTag::Number(asked) if asked > head.get() => {
            let why = format!("request beyond head block: requested {asked}, head {head}");
            Err(RpcError::Refused(why))
        }
        tag => Ok(chain::resolve(context, tag, head)),
    }
}

fn percentiles(arguments: &Arguments) -> Result<Option<Vec<f64>>, RpcError> {
    if arguments.is_left_out(2) {
        return Ok(None);
    }
    let percentiles: Vec<f64> = arguments.typed(2)?;
    let wrong = |why: String| Err(RpcError::InvalidArgument { index: 2, why });
    if percentiles.len() > PERCENTILES_MAX {
        return wrong(format!("invalid reward percentile: over the query limit {PERCENTILES_MAX}"));
    }
    if let Some(percentile) = percentiles.iter().find(|percentile| !(0.0..=100.0).contains(*percentile)) {
        return wrong(format!("invalid reward percentile: {percentile}"));
    }
    if let Some(pair) = percentiles.windows(2).find(|pair| pair[0] >= pair[1]) {
        return wrong(format!("invalid reward percentile: {} is not above {}", pair[1], pair[0]));
    }
    Ok(Some(percentiles))
}

#[cfg(test)]
mod tests {
    use alloy_consensus::{Receipt, ReceiptEnvelope};
    use alloy_primitives::{Address, TxHash};

    use super::*;

    fn receipt(gas_used: u64, gas_price: u128) -> TransactionReceipt {
        TransactionReceipt {
            hash: TxHash::ZERO,
            item: 0,
            from: Address::ZERO,
            to: None,
            contract: None,
            gas_used,
            gas_price,
            envelope: ReceiptEnvelope::Eip1559(Receipt::<alloy_primitives::Log>::default().into()),
        }
    }

    #[test]
    fn percentiles_are_of_the_gas_and_not_of_the_transactions() {
        // Tips 1, 5 and 20 above a base fee of 10, paid by 100, 800 and 100 gas.
        let receipts = [receipt(800, 15), receipt(100, 30), receipt(60, 11), receipt(40, 11)];
        let tips = Tips::of(&receipts, 10);
        assert_eq!(tips.at_percentiles(&[0.0, 10.0, 10.1, 50.0, 90.0, 90.1, 100.0]), [1, 1, 5, 5, 5, 20, 20]);
        assert_eq!(tips.lowest(3).collect::<Vec<_>>(), [5, 20], "a tip of a single wei tells nothing");
        assert_eq!(Tips::of(&receipts, 9).lowest(3).collect::<Vec<_>>(), [2, 2, 6]);
        assert_eq!(Tips::default().at_percentiles(&[0.0, 50.0]), [0, 0]);
        assert_eq!(Tips::of(&receipts, 100).at_percentiles(&[50.0]), [0], "never below nothing");
    }
}
