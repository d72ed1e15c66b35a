//! What we say to one peer on its consensus stream: a bounded queue, and a task that keeps the stream open and empties it.

use std::{io, sync::Arc, time::Duration};

use baton_proto::limits::FRAME_BYTES_MAX;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _};
use libp2p::{PeerId, Stream, StreamProtocol};
use libp2p_stream::{Control, OpenStreamError};
use tokio::time::{Instant, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{backoff::Backoff, frame::Frame, queue::DropQueue, shared::Shared};

/// Most frames that wait for one peer; when more come, the stalest go. A view has a handful per member.
const QUEUE_FRAMES_MAX: usize = 2_048;

/// Most bytes that wait for one peer: four of the largest proposals.
const QUEUE_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// A frame that waited longer is not sent: its view is long over, and what still matters is sent again by its maker.
const FRAME_AGE_MAX: Duration = Duration::from_secs(10);

/// Longest wait for a stream to open on a live connection.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A stream that lasted this long was a good one, and its end starts the back-off over; one that the peer closes at once,
/// because it does not know us, does not.
const GOOD_STREAM: Duration = Duration::from_secs(5);

/// The way to one peer.
pub(super) struct Lane {
    peer: PeerId,
    queue: DropQueue<Queued>,
    closed: CancellationToken,
}

/// Opens and closes lanes: a connected member or observer has one, nobody else.
pub(super) struct Lanes {
    pub(super) shared: Arc<Shared>,
    pub(super) streams: Control,
    pub(super) protocol: StreamProtocol,
    /// Ends every lane.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Lanes {
    /// Opens the lane to `peer`, if it has none.
    pub(super) fn open(&self, peer: PeerId) {
        let mut lanes = self.shared.lanes();
        if lanes.contains_key(&peer) {
            return;
        }
        let queue = DropQueue::new(QUEUE_FRAMES_MAX, QUEUE_BYTES_MAX);
        let lane = Arc::new(Lane { peer, queue, closed: self.stop.child_token() });
        lanes.insert(peer, lane.clone());
        let running = lane.clone().run(self.streams.clone(), self.protocol.clone(), self.shared.clone());
        self.tasks.spawn(async move {
            lane.closed.run_until_cancelled(running).await;
        });
    }

    /// Closes the lane to `peer`; what waits there is dropped.
    pub(super) fn close(&self, peer: &PeerId) {
        if let Some(lane) = self.shared.lanes().remove(peer) {
            lane.closed.cancel();
        }
    }
}

struct Queued {
    frame: Frame,
    since: Instant,
}

impl Lane {
    /// Queues `frame`; never waits.
    pub(super) fn push(&self, frame: Frame, shared: &Shared) {
        let weight = frame.len();
        let dropped = self.queue.push(Queued { frame, since: Instant::now() }, weight);
        shared.stats.frames_dropped.add(dropped);
    }

    /// Keeps a stream open and sends what is queued; ends only by being dropped.
    async fn run(self: Arc<Self>, mut control: Control, protocol: StreamProtocol, shared: Arc<Shared>) {
        let peer = self.peer;
        let mut backoff = Backoff::new();
        loop {
            match timeout(OPEN_TIMEOUT, control.open_stream(peer, protocol.clone())).await {
                Ok(Ok(stream)) => {
                    shared.stats.streams_opened.add(1);
                    debug!(%peer, "consensus stream opened");
                    let opened = Instant::now();
                    let reason = self.drive(stream, &shared).await;
                    debug!(%peer, %reason, "consensus stream closed");
                    if opened.elapsed() > GOOD_STREAM {
                        backoff.reset();
                    }
                }
                Ok(Err(OpenStreamError::UnsupportedProtocol(_))) => {
                    warn!(%peer, ours = %protocol, "peer does not take consensus streams of this chain and version");
                }
                Ok(Err(error)) => debug!(%peer, %error, "consensus stream not opened"),
                Err(_) => debug!(%peer, "consensus stream not opened in time"),
            }
            tokio::time::sleep(backoff.wait()).await;
        }
    }

    /// Sends until the stream breaks, and returns why it did.
    async fn drive(&self, stream: Stream, shared: &Shared) -> io::Error {
        let (mut reader, mut writer) = stream.split();
        let mut byte = [0];
        // The peer never writes on this stream, so that the first thing read is its end, even while we have nothing to say.
        let mut ended = reader
            .read(&mut byte)
            .map(|read| match read {
                Ok(0) => io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the peer"),
                Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "the peer wrote on our stream"),
                Err(error) => error,
            })
            .fuse();
        loop {
            let queued = tokio::select! {
                queued = self.queue.pop() => queued,
                reason = &mut ended => return reason,
            };
            if queued.since.elapsed() > FRAME_AGE_MAX {
                shared.stats.frames_dropped.add(1);
                continue;
            }
            let written = tokio::select! {
                written = write(&mut writer, &queued.frame) => written,
                reason = &mut ended => Err(reason),
            };
            if let Err(reason) = written {
                // It may have arrived in part, which the peer cannot use; on the next stream it goes first.
                let weight = queued.frame.len();
                if !self.queue.put_back(queued, weight) {
                    shared.stats.frames_dropped.add(1);
                }
                return reason;
            }
            shared.stats.frames_sent.add(1);
        }
    }
}

async fn write<W: futures::AsyncWrite + Unpin>(writer: &mut W, frame: &Frame) -> io::Result<()> {
    writer.write_all(frame).await?;
    writer.flush().await
}
