//! The outermost layer: version byte and zstd frame.

use std::io::Read;

use super::{BatchDataError, VERSION};
use crate::limits::BATCH_DECODED_BYTES_MAX;

const LEVEL: i32 = 3;

/// Log2 of the largest window that a frame may ask for: no body is larger than that, and the decoder allocates it.
const WINDOW_LOG_MAX: u32 = 23;

const _: () = assert!(1 << WINDOW_LOG_MAX == BATCH_DECODED_BYTES_MAX);

pub(super) fn compress(body: &[u8]) -> Result<Vec<u8>, BatchDataError> {
    let mut data = vec![VERSION];
    let frame = zstd::bulk::compress(body, LEVEL).map_err(|error| BatchDataError::Compression(error.to_string()))?;
    data.extend_from_slice(&frame);
    Ok(data)
}

pub(super) fn decompress(data: &[u8]) -> Result<Vec<u8>, BatchDataError> {
    let failed = |error: std::io::Error| BatchDataError::Decompression(error.to_string());
    let (&version, frame) = data.split_first().ok_or(BatchDataError::NoVersion)?;
    if version != VERSION {
        return Err(BatchDataError::UnknownVersion { got: version, expected: VERSION });
    }
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(failed)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(failed)?;
    // One byte more than allowed tells "exactly at the bound" from "over it"; the vector grows as bytes come.
    let mut body = Vec::new();
    decoder.by_ref().take(BATCH_DECODED_BYTES_MAX as u64 + 1).read_to_end(&mut body).map_err(failed)?;
    if body.len() > BATCH_DECODED_BYTES_MAX {
        return Err(BatchDataError::DecodedTooLarge { max: BATCH_DECODED_BYTES_MAX });
    }
    let rest = decoder.finish();
    if !rest.is_empty() {
        return Err(BatchDataError::TrailingBytes { got: rest.len() });
    }
    Ok(body)
}
