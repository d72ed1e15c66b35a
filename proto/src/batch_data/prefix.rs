//! As many blocks as fit.

use super::{BatchDataError, Columns, encode_unbounded};
use crate::{
    Block,
    limits::{BATCH_BLOCKS_MAX, BATCH_DATA_BYTES_MAX, BATCH_DECODED_BYTES_MAX},
};

/// A prefix that fills this share of the space is good enough: 15/16.
const FULL_NUMERATOR: usize = 15;
const FULL_DENOMINATOR: usize = 16;

/// Tries that guess by the compression seen so far; halving takes over after them.
const GUESSES_MAX: usize = 6;

/// Returns the data of a batch of the first blocks of `blocks`, in at most `bytes_max` bytes (never more than
/// [`BATCH_DATA_BYTES_MAX`]), and how many blocks it holds: at least one, all if they fit, and otherwise as many as fill
/// most of the space. A batch has one epoch, so blocks of a later one are left out.
///
/// # Errors
/// [`BatchDataError::BlockTooLarge`] if not even the first block fits; other errors as of [`super::encode`].
pub fn encode_prefix(blocks: &[Block], bytes_max: usize) -> Result<(Vec<u8>, usize), BatchDataError> {
    let bytes_max = bytes_max.min(BATCH_DATA_BYTES_MAX);
    let first = blocks.first().ok_or(BatchDataError::NoBlocks)?;
    let lengths = body_lengths(blocks, first)?;
    if lengths.is_empty() {
        return Err(BatchDataError::BlockTooLarge {
            height: first.header.height,
            got: BATCH_DECODED_BYTES_MAX,
            max: bytes_max,
        });
    }

    // `fits` blocks fit, `above` do not or are not there.
    let (mut fits, mut above) = (0, lengths.len() + 1);
    let mut best = None;
    let mut smallest_miss = usize::MAX;
    let mut next = lengths.len();
    let mut guesses = 0;
    while fits + 1 < above {
        let data = encode_unbounded(&blocks[..next])?;
        // How long a body may be to fit, as compression went this time.
        let target = lengths[next - 1].saturating_mul(bytes_max) / data.len().max(1);
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
        next = if guesses <= GUESSES_MAX {
            lengths.partition_point(|length| *length <= target)
        } else {
            fits.midpoint(above)
        }
        .clamp(fits + 1, (above - 1).max(fits + 1));
    }
    best.ok_or(BatchDataError::BlockTooLarge { height: first.header.height, got: smallest_miss, max: bytes_max })
}

/// Returns the body's length after each block, for as many blocks as one batch may hold before compression.
fn body_lengths(blocks: &[Block], first: &Block) -> Result<Vec<usize>, BatchDataError> {
    let mut columns = Columns::default();
    let mut lengths = Vec::new();
    for block in blocks.iter().take(BATCH_BLOCKS_MAX) {
        if block.header.epoch != first.header.epoch {
            break;
        }
        columns.push(block)?;
        if columns.len() > BATCH_DECODED_BYTES_MAX {
            break;
        }
        lengths.push(columns.len());
    }
    Ok(lengths)
}
