//! The chain as it stands: ids, heights and blocks.

use alloy::eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, U64};
use baton_proto::{Block, BlockDigest, Forced, Height};
use serde::Serialize;

use super::{RpcContext, RpcError, arguments::Arguments, at, render};

/// `web3_clientVersion`: name, version, platform.
pub(super) fn client_version(_: &RpcContext, _: &Arguments) -> Result<String, RpcError> {
    Ok(format!("Baton/v{}/{}-{}/rust", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH))
}

/// `net_version`: the chain id in decimal.
pub(super) fn net_version(context: &RpcContext, _: &Arguments) -> Result<String, RpcError> {
    Ok(context.facts.spec.l2_chain_id.to_string())
}

/// `net_listening`: a node that answers listens for peers too, or it would have ended.
pub(super) fn net_listening(_: &RpcContext, _: &Arguments) -> Result<bool, RpcError> {
    Ok(true)
}

/// `net_peerCount`.
pub(super) fn net_peer_count(context: &RpcContext, _: &Arguments) -> Result<U64, RpcError> {
    Ok(U64::from(context.status.borrow().peers))
}

/// `eth_accounts`: a node holds no users' keys.
pub(super) fn accounts(_: &RpcContext, _: &Arguments) -> Result<[Address; 0], RpcError> {
    Ok([])
}

/// `eth_syncing`: `false`, or how far catching up has come.
pub(super) fn syncing(context: &RpcContext, _: &Arguments) -> Result<Syncing, RpcError> {
    Ok(match context.status.borrow().syncing {
        None => Syncing::No(false),
        Some(progress) => Syncing::Yes {
            current_block: U64::from(progress.current.get()),
            highest_block: U64::from(progress.target.get()),
        },
    })
}

/// What `eth_syncing` returns.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Syncing {
    No(bool),
    #[serde(rename_all = "camelCase")]
    Yes {
        current_block: U64,
        highest_block: U64,
    },
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
    let asked = BlockId::Number(arguments.number_or_tag(0)?);
    let full = arguments.flag(1)?;
    match found(height_of(context, asked))? {
        Some(height) => rendered(context, height, full),
        None => Ok(None),
    }
}

/// `eth_getBlockByHash`: `null` for a block that is not final, however often it was voted for.
pub(super) fn block_by_hash(context: &RpcContext, arguments: &Arguments) -> Result<Option<render::RpcBlock>, RpcError> {
    let asked = BlockId::from(arguments.hash(0)?);
    let full = arguments.flag(1)?;
    match found(height_of(context, asked))? {
        Some(height) => rendered(context, height, full),
        None => Ok(None),
    }
}

fn rendered(context: &RpcContext, height: Height, full: bool) -> Result<Option<render::RpcBlock>, RpcError> {
    let Some(block) = final_block(context, height)? else { return Ok(None) };
    let results = at::results(context, height)?;
    Ok(Some(render::block(&block, &context.chain(), full, &results)))
}

/// Returns the final height that a block id means now.
///
/// # Errors
/// [`RpcError::HeaderNotFound`] if no final block is meant.
pub(super) fn height_of(context: &RpcContext, asked: BlockId) -> Result<Height, RpcError> {
    let head = context.ledger.head()?.height;
    let height = match asked {
        BlockId::Number(tag) => resolve(context, tag, head),
        BlockId::Hash(hash) => final_height_of(context, BlockDigest::new(hash.block_hash))?,
    };
    if height > head { Err(RpcError::HeaderNotFound) } else { Ok(height) }
}

/// Turns a block that is not found into none, for methods that answer `null` then.
pub(super) fn found<T>(result: Result<T, RpcError>) -> Result<Option<T>, RpcError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(RpcError::HeaderNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the transactions of a final block as clients see them in it.
pub(super) fn shown_transactions(
    context: &RpcContext,
    height: Height,
) -> Result<Option<Vec<render::RpcTransaction>>, RpcError> {
    let Some(block) = final_block(context, height)? else { return Ok(None) };
    Ok(Some(render::transactions(&block, &context.chain(), &at::results(context, height)?)))
}

/// Returns the height that a tag means now. L1 may know a batch whose blocks this node still lacks: then it is the head.
pub(super) fn resolve(context: &RpcContext, tag: BlockNumberOrTag, head: Height) -> Height {
    match tag {
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => head,
        BlockNumberOrTag::Safe => context.status.borrow().posted_height.min(head),
        BlockNumberOrTag::Finalized => context.status.borrow().settled_height.min(head),
        BlockNumberOrTag::Earliest => Height::ZERO,
        BlockNumberOrTag::Number(number) => Height::new(number),
    }
}

/// Returns the block at a final height; the genesis block is a header alone.
pub(super) fn final_block(context: &RpcContext, height: Height) -> Result<Option<Block>, RpcError> {
    if let Some(block) = context.ledger.block(height)? {
        return Ok(Some(block));
    }
    let header = context.ledger.header(height)?.filter(|header| header.transaction_count == 0);
    Ok(header.map(|header| Block { header, forced: Forced::default(), transactions: Vec::new() }))
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
