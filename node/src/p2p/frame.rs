//! Frames of a consensus stream: a big-endian `u32` length, then that many bytes of one protobuf message.

use std::{io, sync::Arc};

use baton_proto::{limits::FRAME_BYTES_MAX, wire::ConsensusMessage};
use futures::{AsyncRead, AsyncReadExt as _};

/// Bytes of the length in front of a frame.
const PREFIX_BYTES: usize = 4;

/// Memory for a frame starts with this much and doubles as bytes arrive: a promised length alone costs a peer's victim little.
const FIRST_READ_BYTES: usize = 16 * 1024;

/// One message with its length in front, encoded once and shared by all receivers.
pub(super) type Frame = Arc<[u8]>;

/// Why a frame was not read or made.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("frame of {got} bytes, limit {FRAME_BYTES_MAX}")]
    Oversized { got: usize },
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

/// Encodes `message` with its length in front.
///
/// # Errors
/// [`FrameError::Oversized`]: receivers would refuse it.
pub(super) fn frame(message: &ConsensusMessage) -> Result<Frame, FrameError> {
    frame_bytes(&message.encode())
}

/// Puts the length in front of `bytes`.
///
/// # Errors
/// As [`frame`].
pub(super) fn frame_bytes(bytes: &[u8]) -> Result<Frame, FrameError> {
    let oversized = FrameError::Oversized { got: bytes.len() };
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(oversized);
    }
    let Ok(length) = u32::try_from(bytes.len()) else { return Err(oversized) };
    Ok([&length.to_be_bytes(), bytes].concat().into())
}

/// Reads one frame and returns its message, still encoded: 1 to `FRAME_BYTES_MAX` bytes.
///
/// # Errors
/// [`FrameError`]; the stream is then of no more use.
pub(super) async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Vec<u8>, FrameError> {
    let mut prefix = [0; PREFIX_BYTES];
    reader.read_exact(&mut prefix).await?;
    let length = u32::from_be_bytes(prefix) as usize;
    if length == 0 {
        return Err(FrameError::Empty);
    }
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::Oversized { got: length });
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
        read_frame(&mut Cursor::new(bytes)).await
    }

    #[tokio::test]
    async fn frames_of_all_sizes_come_back_up_to_the_limit() {
        for length in [1, 2, FIRST_READ_BYTES, FIRST_READ_BYTES + 1, 3 * FIRST_READ_BYTES, FRAME_BYTES_MAX] {
            let bytes: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert!(read(&frame_bytes(&bytes).unwrap()).await.unwrap() == bytes, "{length} bytes");
        }
    }

    #[tokio::test]
    async fn one_byte_over_the_limit_is_refused_on_both_sides() {
        let made = frame_bytes(&vec![0; FRAME_BYTES_MAX + 1]);
        assert!(matches!(made, Err(FrameError::Oversized { got }) if got == FRAME_BYTES_MAX + 1));
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
