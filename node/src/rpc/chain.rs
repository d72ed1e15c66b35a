//! The chain as it stands: ids, heights, blocks and nonces.

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{U64, U256};
use baton_mempool::Nonces;
use baton_proto::{Block, BlockDigest, ExecutorKind, Height};

use super::{RpcContext, RpcError, arguments::Arguments, render};

/// `web3_clientVersion`: name, version, platform.
pub(super) fn client_version(_: &RpcContext, _: &Arguments) -> Result<String, RpcError> {
    Ok(format!("Baton/v{}/{}-{}/rust", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH))
}

/// `net_version`: the chain id in decimal.
pub(super) fn net_version(context: &RpcContext, _: &Arguments) -> Result<String, RpcError> {
    Ok(context.facts.spec.l2_chain_id.to_string())
}

/// `eth_chainId`.
pub(super) fn chain_id(context: &RpcContext, _: &Arguments) -> Result<U64, RpcError> {
    Ok(U64::from(context.facts.spec.l2_chain_id.get()))
}

/// `eth_blockNumber`: the last final height.
pub(super) fn block_number(context: &RpcContext, _: &Arguments) -> Result<U64, RpcError> {
    Ok(U64::from(context.ledger.head()?.height.get()))
}

/// `eth_getBlockByNumber`: `null` above the head.
pub(super) fn block_by_number(
    context: &RpcContext,
    arguments: &Arguments,
) -> Result<Option<render::RpcBlock>, RpcError> {
    let asked = arguments.number_or_tag(0)?;
    let full = arguments.flag(1)?;
    let head = context.ledger.head()?.height;
    let height = resolve(context, asked, head);
    if height > head {
        return Ok(None);
    }
    let Some(block) = final_block(context, height)? else { return Ok(None) };
    // The genesis block has no results because it has no transactions.
    let outcomes = if full {
        context.ledger.results(height)?.map(|results| results.outcomes).unwrap_or_default()
    } else {
        Vec::new()
    };
    Ok(Some(render::block(&block, &context.facts.spec, full, &outcomes)))
}

/// `eth_getTransactionCount`: the account's next nonce.
///
/// Only the newest state is kept, so other blocks are answered where the answer is certain: genesis, where nobody has
/// sent anything, and the head by whatever name. Anything else is an error that says so, never a number that is wrong.
pub(super) fn transaction_count(context: &RpcContext, arguments: &Arguments) -> Result<U256, RpcError> {
    let account = arguments.address(0)?;
    let asked = arguments.block(1)?;
    // Read first: if the chain goes on meanwhile, the nonce is newer than this head, and `latest` may be.
    let head = context.ledger.head()?.height;
    let nonce = context.ledger.nonce(account)?;
    let asked = match asked {
        BlockId::Number(BlockNumberOrTag::Pending) => {
            return Ok(U256::from(context.pool().pending_nonce(account, &FinalNonce(nonce))));
        }
        BlockId::Number(BlockNumberOrTag::Latest) => return Ok(U256::from(nonce)),
        BlockId::Number(tag) => resolve(context, tag, head),
        BlockId::Hash(hash) => final_height_of(context, BlockDigest::new(hash.block_hash))?,
    };
    if asked > head {
        return Err(RpcError::HeaderNotFound);
    }
    match asked {
        Height::ZERO if context.facts.spec.executor == ExecutorKind::None => Ok(U256::ZERO),
        // Still the head, so the nonce read above is of this very block.
        _ if asked == head && context.ledger.head()?.height == head => Ok(U256::from(nonce)),
        _ => Err(RpcError::StateNotKept { asked, kept: context.ledger.head()?.height }),
    }
}

/// One account's nonce that was read already.
struct FinalNonce(u64);

impl Nonces for FinalNonce {
    fn nonce(&self, _: alloy_primitives::Address) -> u64 {
        self.0
    }
}

/// Returns the height that a tag means now. L1 may know a batch whose blocks this node still lacks: then it is the head.
fn resolve(context: &RpcContext, tag: BlockNumberOrTag, head: Height) -> Height {
    match tag {
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => head,
        BlockNumberOrTag::Safe => context.status.borrow().posted_height.min(head),
        BlockNumberOrTag::Finalized => context.status.borrow().settled_height.min(head),
        BlockNumberOrTag::Earliest => Height::ZERO,
        BlockNumberOrTag::Number(number) => Height::new(number),
    }
}

/// Returns the block at a final height; the genesis block is a header alone.
fn final_block(context: &RpcContext, height: Height) -> Result<Option<Block>, RpcError> {
    if let Some(block) = context.ledger.block(height)? {
        return Ok(Some(block));
    }
    let header = context.ledger.header(height)?.filter(|header| header.transaction_count == 0);
    Ok(header.map(|header| Block { header, transactions: Vec::new() }))
}

fn final_height_of(context: &RpcContext, digest: BlockDigest) -> Result<Height, RpcError> {
    let height = match context.ledger.block_by_digest(digest)? {
        Some(block) => block.header.height,
        None => Height::ZERO,
    };
    // The ledger also knows blocks that are not final, and the genesis block only as a header.
    match context.ledger.header(height)? {
        Some(header) if header.digest() == digest => Ok(height),
        _ => Err(RpcError::HeaderNotFound),
    }
}
