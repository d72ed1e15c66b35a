//! Questions between two nodes: final blocks with their proof, blocks and parts of blocks, and transactions for a pool.

use alloy_primitives::Bytes;
use prost::Message;

use super::{FinalHeader, KnownTransactions, WireError, block, check_length, count, decode_canonical, fields, pb};
use crate::{
    Block, BlockDigest, BlockHeader, Certificate, Epoch, Height, Statement,
    limits::{
        BLOCK_TRANSACTIONS_MAX, FORCED_PER_BLOCK_MAX, FORWARD_BYTES_MAX, FORWARD_TRANSACTIONS_MAX,
        RANGE_ANSWER_BYTES_MAX, RANGE_BLOCKS_MAX, RANGE_BYTES_TARGET, RANGE_TAIL_MAX, RANGE_TRANSACTIONS_TARGET,
        SYNC_REQUEST_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTIONS_ASKED_MAX,
    },
};

/// A question to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncRequest {
    /// How far is your final chain?
    Head,
    /// Final blocks from a height on.
    Range {
        /// The first height wanted.
        from: Height,
        /// Most blocks wanted, from 1 to [`RANGE_BLOCKS_MAX`].
        blocks_max: u32,
    },
    /// One block, final or not.
    Block(BlockDigest),
    /// Some transactions of one block, final or not.
    Transactions {
        /// The block.
        block: BlockDigest,
        /// Their places in it, strictly ascending and below [`BLOCK_TRANSACTIONS_MAX`]; 1 to [`TRANSACTIONS_ASKED_MAX`].
        indices: Vec<u32>,
    },
    /// "Take these transactions into your pool": raw EIP-2718 encodings, 1 to [`FORWARD_TRANSACTIONS_MAX`], neither
    /// decoded nor checked, [`FORWARD_BYTES_MAX`] bytes at most in all.
    Take(Vec<Bytes>),
    /// Where did this epoch end? Whoever is still in it learns so that the others have gone on. Who knows no end of it answers
    /// with its head, which says how much that is worth.
    EpochEnd(Epoch),
}

/// The answer to a [`SyncRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncResponse {
    /// Where the answering node's final chain ends.
    Head {
        /// Height of its last final block.
        height: Height,
        /// Digest of that block.
        digest: BlockDigest,
    },
    /// Final blocks with their proof.
    Range(FinalRange),
    /// The block, if the answering node has it.
    Block(Option<Block>),
    /// The first of the transactions asked for, in their order, at least one: raw EIP-2718 encodings, neither decoded
    /// nor checked, because whoever asked knows their hashes.
    Transactions(Vec<Bytes>),
    /// How many of the given transactions were taken in for judging.
    Taken(u32),
    /// The last block of the epoch asked for, a handover block. Whether the epoch is the one asked for, and whether the
    /// finalization is one, the caller checks.
    EpochEnd(FinalHeader),
    /// The answering node does not have what was asked for, or is busy.
    Unavailable,
}

/// Final blocks and what proves that they are final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinalRange {
    /// 1 to [`RANGE_BLOCKS_MAX`] blocks, ascending and consecutive.
    pub blocks: Vec<Block>,
    /// Headers above the last block up to the finalized one, at most [`RANGE_TAIL_MAX`]; none if that is the last block.
    pub tail: Vec<BlockHeader>,
    /// Finalization of the last header of `tail`, or of the last block.
    pub finalization: Certificate,
}

impl FinalRange {
    /// Returns whether a range that holds `blocks` already may take one more; whoever answers stops when it may not.
    #[must_use]
    pub fn has_room(blocks: &[Block]) -> bool {
        let bytes: usize = blocks.iter().map(|block| block.header.payload_bytes as usize).sum();
        let transactions: usize = blocks.iter().map(|block| block.transactions.len()).sum();
        blocks.len() < RANGE_BLOCKS_MAX && bytes < RANGE_BYTES_TARGET && transactions < RANGE_TRANSACTIONS_TARGET
    }
}

impl SyncRequest {
    /// Returns the one encoding that [`Self::decode`] accepts.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use pb::sync_request::Request;
        let request = match self {
            Self::Head => Request::Head(pb::HeadRequest {}),
            Self::Range { from, blocks_max } => {
                Request::Range(pb::RangeRequest { from: from.get(), blocks_max: *blocks_max })
            }
            Self::Block(digest) => Request::Block(fields::to_bytes(digest.get().as_slice())),
            Self::Transactions { block, indices } => Request::Transactions(pb::TransactionsRequest {
                block: fields::to_bytes(block.get().as_slice()),
                indices: indices.clone(),
            }),
            Self::Take(transactions) => Request::Take(list(transactions)),
            Self::EpochEnd(epoch) => Request::EpochEnd(epoch.get()),
        };
        pb::SyncRequest { request: Some(request) }.encode_to_vec()
    }

    /// Decodes a question.
    ///
    /// # Errors
    /// [`WireError`], always the sender's fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        use pb::sync_request::Request;
        check_length("sync_request", bytes, SYNC_REQUEST_BYTES_MAX)?;
        // `SyncRequest.take` is field 5. Indices are packed, so that memory for them follows the message's own length.
        count::at_most("take.transactions", bytes, &[5, 1], FORWARD_TRANSACTIONS_MAX)?;
        let message: pb::SyncRequest = decode_canonical("sync_request", bytes, SYNC_REQUEST_BYTES_MAX)?;
        Ok(match fields::required("sync_request.request", message.request)? {
            Request::Head(pb::HeadRequest {}) => Self::Head,
            Request::Range(pb::RangeRequest { from, blocks_max }) => {
                if blocks_max == 0 || blocks_max as usize > RANGE_BLOCKS_MAX {
                    return Err(WireError::OutOfRange {
                        what: "range_request.blocks_max",
                        got: u64::from(blocks_max),
                        min: 1,
                        max: RANGE_BLOCKS_MAX as u64,
                    });
                }
                Self::Range { from: Height::new(from), blocks_max }
            }
            Request::Block(digest) => Self::Block(BlockDigest::new(fields::hash("sync_request.block", &digest)?)),
            Request::Transactions(request) => {
                let block = BlockDigest::new(fields::hash("transactions_request.block", &request.block)?);
                check_indices(&request.indices)?;
                Self::Transactions { block, indices: request.indices }
            }
            Request::Take(transactions) => {
                let got = transactions.transactions.iter().map(prost::bytes::Bytes::len).sum();
                if got > FORWARD_BYTES_MAX {
                    return Err(WireError::Oversize { what: "take.transactions", got, max: FORWARD_BYTES_MAX });
                }
                Self::Take(raw("take.transactions", transactions)?)
            }
            Request::EpochEnd(epoch) => Self::EpochEnd(Epoch::new(epoch)),
        })
    }
}

impl SyncResponse {
    /// Returns the one encoding that [`Self::decode`] accepts; at most [`RANGE_ANSWER_BYTES_MAX`] bytes if a range keeps
    /// to its bounds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use pb::sync_response::Response;
        let response = match self {
            Self::Head { height, digest } => {
                Response::Head(pb::Head { height: height.get(), digest: fields::to_bytes(digest.get().as_slice()) })
            }
            Self::Range(range) => Response::Range(range.into()),
            Self::Block(block) => Response::Block(pb::BlockAnswer { block: block.as_ref().map(Into::into) }),
            Self::Transactions(transactions) => Response::Transactions(list(transactions)),
            Self::Taken(count) => Response::Taken(*count),
            Self::EpochEnd(last) => Response::EpochEnd(last.into()),
            Self::Unavailable => Response::Unavailable(pb::Unavailable {}),
        };
        pb::SyncResponse { response: Some(response) }.encode_to_vec()
    }

    /// Decodes an answer. Whether it answers the question that was asked, and whether the finalization is one, the caller
    /// checks.
    ///
    /// # Errors
    /// [`WireError`], always the sender's fault.
    pub fn decode(bytes: &[u8], known: KnownTransactions<'_>) -> Result<Self, WireError> {
        use pb::sync_response::Response;
        const WHAT: &str = "sync_response";
        check_length(WHAT, bytes, RANGE_ANSWER_BYTES_MAX)?;
        count_parts(bytes)?;
        let message: pb::SyncResponse = decode_canonical(WHAT, bytes, RANGE_ANSWER_BYTES_MAX)?;
        Ok(match fields::required("sync_response.response", message.response)? {
            Response::Head(head) => Self::Head {
                height: Height::new(head.height),
                digest: BlockDigest::new(fields::hash("head.digest", &head.digest)?),
            },
            Response::Range(range) => Self::Range(final_range(range, known)?),
            Response::Block(answer) => Self::Block(answer.block.map(|answer| block::block(answer, known)).transpose()?),
            Response::Transactions(transactions) => {
                Self::Transactions(raw("sync_response.transactions", transactions)?)
            }
            Response::Taken(count) if count as usize <= FORWARD_TRANSACTIONS_MAX => Self::Taken(count),
            Response::Taken(count) => {
                return Err(WireError::OutOfRange {
                    what: "sync_response.taken",
                    got: u64::from(count),
                    min: 0,
                    max: FORWARD_TRANSACTIONS_MAX as u64,
                });
            }
            Response::EpochEnd(last) => Self::EpochEnd(last.try_into()?),
            Response::Unavailable(pb::Unavailable {}) => Self::Unavailable,
        })
    }
}

fn list(transactions: &[Bytes]) -> pb::TransactionList {
    pb::TransactionList { transactions: transactions.iter().map(|raw| raw.0.clone()).collect() }
}

/// Takes transactions whose number was bounded already out of their message; each is within its own bound.
fn raw(what: &'static str, list: pb::TransactionList) -> Result<Vec<Bytes>, WireError> {
    if list.transactions.is_empty() {
        return Err(WireError::Empty { what });
    }
    list.transactions.iter().try_for_each(|raw| check_length(what, raw, TRANSACTION_BYTES_MAX))?;
    Ok(list.transactions.into_iter().map(Bytes).collect())
}

/// Checks the places of transactions in a block: some, not too many, ascending, and none that no block has.
fn check_indices(indices: &[u32]) -> Result<(), WireError> {
    let what = "transactions_request.indices";
    if indices.len() > TRANSACTIONS_ASKED_MAX {
        return Err(WireError::TooMany { what, got: indices.len(), max: TRANSACTIONS_ASKED_MAX });
    }
    let Some(last) = indices.last() else { return Err(WireError::Empty { what }) };
    if let Some(pair) = indices.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(WireError::NotAscending { what, after: pair[0], got: pair[1] });
    }
    let max = BLOCK_TRANSACTIONS_MAX as u64 - 1;
    if u64::from(*last) > max {
        return Err(WireError::OutOfRange { what, got: u64::from(*last), min: 0, max });
    }
    Ok(())
}

/// Counts what an answer repeats: `SyncResponse.range` is field 2, `.block` field 3, `.transactions` field 5.
fn count_parts(bytes: &[u8]) -> Result<(), WireError> {
    count::at_most("final_range.blocks", bytes, &[2, 1], RANGE_BLOCKS_MAX)?;
    count::at_most("final_range.tail", bytes, &[2, 2], RANGE_TAIL_MAX)?;
    count::at_most("block.transactions", bytes, &[3, 1, 2], BLOCK_TRANSACTIONS_MAX)?;
    count::at_most("block.forced", bytes, &[3, 1, 3, 2], FORCED_PER_BLOCK_MAX)?;
    count::at_most("final_range.blocks.forced", bytes, &[2, 1, 3, 2], RANGE_BLOCKS_MAX * FORCED_PER_BLOCK_MAX)?;
    count::at_most("sync_response.transactions", bytes, &[5, 1], TRANSACTIONS_ASKED_MAX)?;
    // Whoever answers stops at the first block that reaches the target.
    let transactions_max = RANGE_TRANSACTIONS_TARGET + BLOCK_TRANSACTIONS_MAX;
    count::at_most("final_range.blocks.transactions", bytes, &[2, 1, 2], transactions_max)
}

impl From<&FinalRange> for pb::FinalRange {
    fn from(range: &FinalRange) -> Self {
        Self {
            blocks: range.blocks.iter().map(Into::into).collect(),
            tail: range.tail.iter().map(Into::into).collect(),
            finalization: Some((&range.finalization).into()),
        }
    }
}

fn final_range(range: pb::FinalRange, known: KnownTransactions<'_>) -> Result<FinalRange, WireError> {
    // Linkage is checked before senders are recovered, so a range that is no chain costs little.
    let finalization: Certificate = fields::required("final_range.finalization", range.finalization)?.try_into()?;
    let tail: Vec<BlockHeader> = range.tail.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    let headers: Vec<BlockHeader> = range
        .blocks
        .iter()
        .map(|block| fields::required("block.header", block.header.clone())?.try_into())
        .collect::<Result<_, _>>()?;
    if headers.is_empty() {
        return Err(WireError::Empty { what: "final_range.blocks" });
    }
    check_linkage(headers.iter().chain(&tail), &finalization)?;
    let blocks = range.blocks.into_iter().map(|answer| block::block(answer, known)).collect::<Result<_, _>>()?;
    Ok(FinalRange { blocks, tail, finalization })
}

/// Checks that each header builds on the one before, and that the finalization is of the last.
fn check_linkage<'a>(
    headers: impl Iterator<Item = &'a BlockHeader>,
    finalization: &Certificate,
) -> Result<(), WireError> {
    let mut previous: Option<(Height, BlockDigest)> = None;
    for header in headers {
        if let Some((after, digest)) = previous {
            if after.next() != Some(header.height) {
                return Err(WireError::NotConsecutive { after, got: header.height });
            }
            if header.parent != digest {
                return Err(WireError::WrongBlock { what: "header.parent", got: header.parent, expected: digest });
            }
        }
        previous = Some((header.height, header.digest()));
    }
    let what = "final_range.finalization";
    let Statement::Finalize { block: got, .. } = finalization.statement else {
        return Err(WireError::WrongStatement { what, got: finalization.statement.kind(), expected: "Finalize" });
    };
    match previous {
        Some((_, expected)) if got != expected => Err(WireError::WrongBlock { what, got, expected }),
        _ => Ok(()),
    }
}
