//! Requests on the wire: one stream each, one frame there and one back, both bounded.
//!
//! Messages stay encoded here, because this code runs in the task of the whole connection, where recovering the senders of
//! a long range would hold up consensus streams. Who asks or answers decodes in its own task.

use std::io;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};

use super::frame::{FrameError, prefixed, read_frame};

/// Reads and writes encoded requests and answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameCodec {
    /// Most bytes of a request.
    pub(super) request_max: usize,
    /// Most bytes of an answer.
    pub(super) answer_max: usize,
}

impl request_response::Codec for FrameCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, self.request_max).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        read(io, self.answer_max).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &request).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &response).await
    }
}

/// Reads one frame. `InvalidData` is the peer's fault, any other error is not.
async fn read<T: AsyncRead + Unpin>(io: &mut T, max: usize) -> io::Result<Vec<u8>> {
    read_frame(io, max).await.map_err(|error| match error {
        FrameError::Stream(error) => error,
        FrameError::Oversized { .. } | FrameError::Empty => io::Error::new(io::ErrorKind::InvalidData, error),
    })
}

/// Writes one frame. The sender has checked the bound that the receiver will.
async fn write<T: AsyncWrite + Unpin>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let frame = prefixed(bytes, usize::MAX).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    io.write_all(&frame).await?;
    io.close().await
}
