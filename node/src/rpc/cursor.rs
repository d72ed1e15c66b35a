//! Where a subscriber of the chain's events stands, as text that survives it, this process and this node.
//!
//! A cursor is made of facts that every node of the chain agrees on: the last final height that was told, how many batches
//! were told as posted and as settled, and marks of that block and of the last posted batch, by which another chain and a
//! batch that L1 has taken back since are noticed.

use std::{fmt, str::FromStr};

use alloy_primitives::{B256, TxHash, hex};
use baton_proto::{BatchHash, BlockDigest, Height, L1BlockNumber};

/// Most final blocks that are told again to one subscriber: a day at ten blocks a second.
pub(super) const REPLAY_BLOCKS_MAX: u64 = 864_000;

/// First part of every cursor: its version.
const VERSION: &str = "b1";

/// Why a subscription cannot go on from a cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum CursorError {
    #[error("cursor is malformed: expected what an event of this stream carried, such as b1-120-5f3c9a01-7-0b5de2c4-5")]
    Malformed,
    #[error("cursor is ahead of this node: it is at block {at}, the last final block here is {head}")]
    Ahead { at: Height, head: Height },
    #[error(
        "cursor is too old: it is {behind} blocks behind the last final block, and at most {REPLAY_BLOCKS_MAX} are told \
         again; read them with eth_getBlockByNumber"
    )]
    TooOld { behind: u64 },
    #[error("cursor is of another chain: block {at} is {here} here")]
    OtherChain { at: Height, here: BlockDigest },
}

/// First bytes of a hash: enough to notice a difference, not to prove equality.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mark([u8; 4]);

impl Mark {
    pub(super) fn of_block(digest: BlockDigest) -> Self {
        Self::of(&digest.get())
    }

    /// The mark of a batch at its place on L1.
    pub(super) fn of_posted(batch: BatchHash, transaction: TxHash, block: L1BlockNumber) -> Self {
        let place = [batch.get().as_slice(), transaction.as_slice(), &block.get().to_be_bytes()].concat();
        Self::of(&alloy_primitives::keccak256(place))
    }

    fn of(hash: &B256) -> Self {
        let [a, b, c, d, ..] = hash.0;
        Self([a, b, c, d])
    }
}

/// What a subscriber has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The last block told as final.
    pub(super) height: Height,
    /// Its mark.
    pub(super) block: Mark,
    /// Batches told as posted: the index of the next one.
    pub(super) posted: u64,
    /// The mark of the last of them; zero before the first.
    pub(super) batch: Mark,
    /// Batches told as settled: the index of the next one. Never above `posted`.
    pub(super) settled: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { height, block, posted, batch, settled } = self;
        write!(f, "{VERSION}-{height}-{}-{posted}-{}-{settled}", hex::encode(block.0), hex::encode(batch.0))
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let mut parts = text.split('-');
        let mut next = || parts.next().ok_or(CursorError::Malformed);
        if next()? != VERSION {
            return Err(CursorError::Malformed);
        }
        let cursor = Self {
            height: Height::new(number(next()?)?),
            block: mark(next()?)?,
            posted: number(next()?)?,
            batch: mark(next()?)?,
            settled: number(next()?)?,
        };
        if parts.next().is_some() || cursor.settled > cursor.posted {
            return Err(CursorError::Malformed);
        }
        Ok(cursor)
    }
}

fn number(text: &str) -> Result<u64, CursorError> {
    // `parse` alone would also take a sign.
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(CursorError::Malformed)
}

fn mark(text: &str) -> Result<Mark, CursorError> {
    let mut bytes = [0; 4];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| CursorError::Malformed)?;
    Ok(Mark(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_come_back_as_they_were(height: u64, block: [u8; 4], posted: u64, batch: [u8; 4], settled: u64) {
            let (posted, settled) = (posted.max(settled), posted.min(settled));
            let (block, batch) = (Mark(block), Mark(batch));
            let cursor = Cursor { height: Height::new(height), block, posted, batch, settled };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "(b1-)?[-0-9a-f+]{0,60}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert!(cursor.settled <= cursor.posted);
            }
        }
    }

    #[test]
    fn what_no_event_carried_is_malformed() {
        for text in [
            "",
            "b1",
            "b2-1-00000000-0-00000000-0",
            "b1-1-00000000-0-00000000",
            "b1-1-00000000-0-00000000-0-0",
            "b1-+1-00000000-0-00000000-0",
            "b1-1-0000000-0-00000000-0",
            "b1-1-zzzzzzzz-0-00000000-0",
            "b1-99999999999999999999-00000000-0-00000000-0",
            "b1-1-00000000-1-00000000-2",
        ] {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError::Malformed), "{text}");
        }
        let example = "b1-120-5f3c9a01-7-0b5de2c4-5";
        assert_eq!(example.parse::<Cursor>().unwrap().to_string(), example);
        assert!(CursorError::Malformed.to_string().contains(example));
    }
}
