//! Memory for answers that their clients have yet to read.
//!
//! A client that asks and does not read makes its answers wait here. Their bytes are bounded per connection and over all
//! connections; an answer for which there is no room is not kept, and its caller is told to come again. Room comes back
//! when the answer is on the socket, or its connection is gone.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use jsonrpsee::{core::BoxError, server::HttpBody};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{RpcError, limits::Limits};

/// An answer up to this size takes no room: all but those that list many transactions. While others fill the room, a node
/// still answers wallets; 500 connections with 16 such answers each are 128 MiB.
const SMALL_BYTES: usize = 16 * 1024;

/// The room that one connection can take from.
#[derive(Clone, Debug)]
pub(super) struct Room {
    all: Arc<Semaphore>,
    own: Arc<Semaphore>,
    own_bytes: usize,
    held: Gauge,
}

/// What an answer has taken; gives it back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Taken(Option<Permits>);

#[derive(Debug)]
struct Permits {
    all: OwnedSemaphorePermit,
    own: OwnedSemaphorePermit,
    held: Gauge,
}

impl Drop for Permits {
    fn drop(&mut self) {
        self.held.dec_by(gauge(self.all.num_permits()));
    }
}

impl Room {
    /// Returns the room for answers of at most `answer_bytes_max`; `held` shows how much of it is taken.
    pub(super) fn new(limits: &Limits, answer_bytes_max: usize, held: Gauge) -> Self {
        let own_bytes = limits.unread_of_one_max.saturating_mul(answer_bytes_max);
        let all = Arc::new(Semaphore::new(limits.unread_max.saturating_mul(answer_bytes_max)));
        Self { all, own: Arc::new(Semaphore::new(own_bytes)), own_bytes, held }
    }

    /// Returns the room as another connection sees it.
    pub(super) fn of_another(&self) -> Self {
        Self { own: Arc::new(Semaphore::new(self.own_bytes)), ..self.clone() }
    }

    /// Lets `taken` grow until it has room for `bytes`.
    ///
    /// # Errors
    /// [`RpcError::TooMuchUnread`]; `taken` is as before.
    pub(super) fn grow(&self, taken: &mut Taken, bytes: usize) -> Result<(), RpcError> {
        let has = taken.0.as_ref().map_or(0, |taken| taken.all.num_permits());
        if bytes <= SMALL_BYTES || bytes <= has {
            return Ok(());
        }
        let missing = u32::try_from(bytes - has).map_err(|_| RpcError::TooMuchUnread)?;
        let take = |from: &Arc<Semaphore>| {
            Arc::clone(from).try_acquire_many_owned(missing).map_err(|_| RpcError::TooMuchUnread)
        };
        let (own, all) = (take(&self.own)?, take(&self.all)?);
        self.held.inc_by(i64::from(missing));
        match &mut taken.0 {
            Some(taken) => {
                taken.own.merge(own);
                taken.all.merge(all);
            }
            None => taken.0 = Some(Permits { all, own, held: self.held.clone() }),
        }
        Ok(())
    }
}

/// The room of an answer that its client has yet to read.
#[derive(Clone, Debug)]
pub(super) struct Unread(Arc<Taken>);

impl Unread {
    pub(super) fn new(taken: Taken) -> Self {
        Self(Arc::new(taken))
    }

    /// Returns whether it is large enough to take room.
    pub(super) fn takes_room(&self) -> bool {
        self.0.0.is_some()
    }
}

/// The body of an answer over HTTP. It holds the answer's room until its bytes are on the socket; `read` is cancelled then.
pub(super) struct UnreadBody {
    body: HttpBody,
    rest: Option<Rest>,
}

/// What ends with the bytes of a body.
struct Rest {
    _unread: Unread,
    _read: DropGuard,
}

/// Bytes that hold the room that they take.
struct Counted {
    bytes: Bytes,
    _rest: Option<Rest>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl UnreadBody {
    pub(super) fn new(body: HttpBody, unread: Unread, read: CancellationToken) -> Self {
        Self { body, rest: Some(Rest { _unread: unread, _read: read.drop_guard() }) }
    }
}

impl Body for UnreadBody {
    type Data = Bytes;
    type Error = BoxError;

    /// An answer is made as a whole: the first frame is all of it.
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let rest = self.rest.take();
        Poll::Ready(
            frame.map(|frame| {
                frame.map(|frame| frame.map_data(|bytes| Bytes::from_owner(Counted { bytes, _rest: rest })))
            }),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn gauge(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_for_one_and_for_all_and_comes_back() {
        let limits = Limits { unread_max: 3, unread_of_one_max: 2, ..Limits::default() };
        let held = Gauge::default();
        let (answer, is_full) = (100_000, |result| matches!(result, Err(RpcError::TooMuchUnread)));
        let one = Room::new(&limits, answer, held.clone());
        let other = one.of_another();
        let (mut first, mut second) = (Taken::default(), Taken::default());
        one.grow(&mut first, answer).unwrap();
        one.grow(&mut first, 2 * answer).unwrap();
        assert!(is_full(one.grow(&mut Taken::default(), SMALL_BYTES + 1)), "its own share is taken");
        one.grow(&mut Taken::default(), SMALL_BYTES).unwrap();
        other.grow(&mut second, answer).unwrap();
        assert!(is_full(other.grow(&mut second, answer + 1)), "all is taken");
        assert_eq!(held.get(), 300_000);
        drop(first);
        other.grow(&mut second, 2 * answer).unwrap();
        assert_eq!(held.get(), 200_000);
        drop(second);
        one.grow(&mut Taken::default(), 2 * answer).unwrap();
        assert_eq!(held.get(), 0);
    }
}
