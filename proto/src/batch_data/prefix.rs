//! As many blocks as fit.

use super::{BatchDataError, Columns, encode_unbounded};
use crate::{
    Block, Epoch,
    limits::{BATCH_BLOB_DATA_BYTES_MAX, BATCH_BLOCKS_MAX, BATCH_DECODED_BYTES_MAX},
};

/// A prefix that fills this share of the space is good enough: 15/16.
const FULL_NUMERATOR: usize = 15;
const FULL_DENOMINATOR: usize = 16;

/// By how much a body is taken to shrink before anything is known: transfers, most of whose bytes are signatures.
const FIRST_GUESS: usize = 2;

/// Tries that guess by the compression seen so far; halving or doubling takes over after them.
const GUESSES_MAX: usize = 6;

/// Returns the data of a batch of the first blocks of `blocks`, in at most `bytes_max` bytes (never more than
/// [`BATCH_BLOB_DATA_BYTES_MAX`]), and how many blocks it holds: at least one, all if they fit, and otherwise as many as fill
/// most of the space. A batch has one epoch, so blocks of a later one are left out.
///
/// Costs a few encodings of what fits, however many blocks wait behind it.
///
/// # Errors
/// [`BatchDataError::BlockTooLarge`] if not even the first block fits; other errors as of [`super::encode`].
pub fn encode_prefix(blocks: &[Block], bytes_max: usize) -> Result<(Vec<u8>, usize), BatchDataError> {
    let bytes_max = bytes_max.min(BATCH_BLOB_DATA_BYTES_MAX);
    let first = blocks.first().ok_or(BatchDataError::NoBlocks)?;
    let mut bodies = Bodies::of(blocks, first.header.epoch);
    let too_large = |got| BatchDataError::BlockTooLarge { height: first.header.height, got, max: bytes_max };
    let mut next = bodies.within(bytes_max.saturating_mul(FIRST_GUESS))?.max(1);
    if bodies.length_of(next).is_none() {
        return Err(too_large(BATCH_DECODED_BYTES_MAX));
    }

    // `fits` blocks fit, `above` do not.
    let (mut fits, mut above) = (0, usize::MAX);
    let mut best = None;
    let mut smallest_miss = usize::MAX;
    let mut guesses = 0;
    while let Some(length) = bodies.length_of(next).filter(|_| next < above) {
        let data = encode_unbounded(blocks.get(..next).unwrap_or(blocks))?;
        // How long a body may be to fit, as compression went this time.
        let target = length.saturating_mul(bytes_max) / data.len().max(1);
        if data.len() <= bytes_max {
            let full = data.len() >= bytes_max / FULL_DENOMINATOR * FULL_NUMERATOR;
            best = Some((data, next));
            fits = next;
            if full {
                break;
            }
        } else {
            smallest_miss = data.len();
            above = next;
        }
        guesses += 1;
        let guess = match guesses {
            ..=GUESSES_MAX => bodies.within(target)?,
            _ if above == usize::MAX => bodies.within(length.saturating_mul(2))?,
            _ => fits.midpoint(above),
        };
        // One more than fits may not be there: then all of them do.
        bodies.within(length.saturating_add(1))?;
        next = guess.clamp(fits + 1, (above - 1).max(fits + 1));
    }
    best.ok_or_else(|| too_large(smallest_miss))
}

/// The length of a batch's body after each of its first blocks, found out as far as anybody asks.
struct Bodies<'a> {
    blocks: std::slice::Iter<'a, Block>,
    epoch: Epoch,
    columns: Columns,
    lengths: Vec<usize>,
    is_complete: bool,
}

impl<'a> Bodies<'a> {
    fn of(blocks: &'a [Block], epoch: Epoch) -> Self {
        let blocks = blocks.get(..BATCH_BLOCKS_MAX).unwrap_or(blocks).iter();
        Self { blocks, epoch, columns: Columns::default(), lengths: Vec::new(), is_complete: false }
    }

    /// Returns how many blocks make a body of at most `target` bytes. One block more is looked at, if there is one.
    fn within(&mut self, target: usize) -> Result<usize, BatchDataError> {
        while !self.is_complete && self.lengths.last().is_none_or(|length| *length <= target) {
            let block = self.blocks.next().filter(|block| block.header.epoch == self.epoch);
            if let Some(block) = block {
                self.columns.push(block)?;
            }
            self.is_complete = block.is_none() || self.columns.len() > BATCH_DECODED_BYTES_MAX;
            if !self.is_complete {
                self.lengths.push(self.columns.len());
            }
        }
        Ok(self.lengths.partition_point(|length| *length <= target))
    }

    /// Returns the length of a body of the first `count` blocks, if there may be so many.
    fn length_of(&self, count: usize) -> Option<usize> {
        self.lengths.get(count.checked_sub(1)?).copied()
    }
}
