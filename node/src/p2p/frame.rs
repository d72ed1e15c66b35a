//! Frames: a big-endian `u32` length, then that many bytes. On a consensus stream each holds one message; a request and its
//! answer are one frame each, so that a cut answer is told from a wrong one.

use std::{io, sync::Arc};

use baton_proto::{limits::FRAME_BYTES_MAX, wire::ConsensusMessage};
use futures::{AsyncRead, AsyncReadExt as _};

/// Bytes of the length in front of a frame.
const PREFIX_BYTES: usize = 4;

/// Memory for a frame starts with this much and doubles as bytes arrive: a promised length alone costs us little.
const FIRST_READ_BYTES: usize = 16 * 1024;

/// One message with its length in front, encoded once and shared by all receivers.
pub(super) type Frame = Arc<[u8]>;

/// Why a frame was not read or made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("frame of {got} bytes, limit {max}")]
    Oversized { got: usize, max: usize },
    #[error("empty frame")]
    Empty,
    #[error("stream ended: {0}")]
    Stream(#[from] io::Error),
}

impl FrameError {
    /// Returns whether only a faulty peer sends this.
    pub(super) fn is_peer_fault(&self) -> bool {
        match self {
            Self::Oversized { .. } | Self::Empty => true,
            Self::Stream(_) => false,
        }
    }
}

/// Encodes `message` as a frame.
///
/// # Errors
/// [`FrameError::Oversized`]: receivers would refuse it.
pub(super) fn frame(message: &ConsensusMessage) -> Result<Frame, FrameError> {
    prefixed(&message.encode(), FRAME_BYTES_MAX).map(Arc::from)
}

/// Puts the length in front of `bytes`, which are `max` at most.
///
/// # Errors
/// [`FrameError::Oversized`].
pub(super) fn prefixed(bytes: &[u8], max: usize) -> Result<Vec<u8>, FrameError> {
    match u32::try_from(bytes.len()) {
        Ok(length) if bytes.len() <= max => Ok([&length.to_be_bytes(), bytes].concat()),
        Ok(_) | Err(_) => Err(FrameError::Oversized { got: bytes.len(), max }),
    }
}

/// Reads one frame and returns what it holds: 1 to `max` bytes.
///
/// # Errors
/// [`FrameError`]; the stream is then of no more use.
pub(super) async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R, max: usize) -> Result<Vec<u8>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    reader.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > max {
        return Err(FrameError::Oversized { got: length, max });
    }
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let have = bytes.len();
        bytes.resize(length.min(have + have.max(FIRST_READ_BYTES)), 0);
        reader.read_exact(&mut bytes[have..]).await?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    async fn read(bytes: &[u8]) -> Result<Vec<u8>, FrameError> {
        read_frame(&mut Cursor::new(bytes), FRAME_BYTES_MAX).await
    }

    #[tokio::test]
    async fn frames_of_all_sizes_come_back_up_to_the_limit() {
        for length in [1, 2, FIRST_READ_BYTES, FIRST_READ_BYTES + 1, 3 * FIRST_READ_BYTES, FRAME_BYTES_MAX] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert!(read(&prefixed(&bytes, FRAME_BYTES_MAX).unwrap()).await.unwrap() == bytes, "{length} bytes");
        }
    }

    #[tokio::test]
    async fn one_byte_over_the_limit_is_refused_on_both_sides() {
        let made = prefixed(&vec![0; FRAME_BYTES_MAX + 1], FRAME_BYTES_MAX);
        assert!(matches!(made, Err(FrameError::Oversized { got, .. }) if got == FRAME_BYTES_MAX + 1));
        let prefix = u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes();
        let error = read(&prefix).await.unwrap_err();
        assert!(error.is_peer_fault() && matches!(error, FrameError::Oversized { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_empty_frame_is_a_fault_and_a_cut_one_is_not() {
        assert!(read(&[0; 4]).await.unwrap_err().is_peer_fault());
        assert!(!read(&[0, 0, 0, 9, 1, 2]).await.unwrap_err().is_peer_fault());
        assert!(!read(&[]).await.unwrap_err().is_peer_fault());
    }
}
