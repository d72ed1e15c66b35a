//! Requests for blocks on the wire: one stream each, request to its end, answer to its end, both bounded.
//!
//! Messages stay encoded here, because this code runs in the task of the whole connection, where recovering the senders of
//! a long range would hold up consensus streams. Who asks or answers decodes in its own task.

use std::io;

use baton_proto::limits::{RANGE_ANSWER_BYTES_MAX, SYNC_REQUEST_BYTES_MAX};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use libp2p::{StreamProtocol, request_response};

/// Reads and writes encoded requests and answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SyncCodec;

impl request_response::Codec for SyncCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        read_bounded(io, SYNC_REQUEST_BYTES_MAX).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>> {
        read_bounded(io, RANGE_ANSWER_BYTES_MAX).await
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        request: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&request).await?;
        io.close().await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        response: Vec<u8>,
    ) -> io::Result<()> {
        io.write_all(&response).await?;
        io.close().await
    }
}

/// Reads to the end of the stream, or fails with `InvalidData` after one byte too many.
async fn read_bounded<T: AsyncRead + Unpin>(io: &mut T, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(bytes_max as u64 + 1).read_to_end(&mut bytes).await?;
    if bytes.len() > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures::io::Cursor;

    use super::*;

    #[tokio::test]
    async fn the_bound_itself_passes_and_one_more_byte_does_not() {
        for length in [0, 1, SYNC_REQUEST_BYTES_MAX] {
            let bytes = vec![7; length];
            assert_eq!(read_bounded(&mut Cursor::new(&bytes), SYNC_REQUEST_BYTES_MAX).await.unwrap(), bytes);
        }
        let over = vec![7; SYNC_REQUEST_BYTES_MAX + 1];
        let error = read_bounded(&mut Cursor::new(&over), SYNC_REQUEST_BYTES_MAX).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
