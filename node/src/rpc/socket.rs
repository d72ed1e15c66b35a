//! One WebSocket: messages in, answers and notifications out.
//!
//! ```text
//!            a permit each              as an HTTP body is
//!  reader ─────────────────▶ message ───────────────────▶ answers ───────┐
//!                                                                        ├──▶ writer ──▶ socket
//!                   subscriptions ─────────────────────▶ notifications ──┘
//! ```
//! A message's permit comes back when its answer is on the socket, and without a permit nothing is read: a client that asks
//! and does not read waits for itself. Notifications share one short queue; a subscription that finds it full waits, and
//! reads on from the ledger when there is room. A client that takes nothing for [`Limits::write_max`] is cut off, and so is
//! one that neither says anything nor answers pings for [`Limits::silence_max`].

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::io::{BufReader, BufWriter};
use hyper::{
    Request, Response,
    body::Incoming as Body,
    header::{CONTENT_TYPE, HeaderMap},
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use jsonrpsee::{
    core::{JsonRawValue, http_helpers},
    server::{BatchRequestConfig, HttpBody, http},
    types::{ErrorObjectOwned, Id, Response as Answered, ResponsePayload},
};
use soketto::{Data, Incoming, base, connection::Error, data::ByteSlice125, handshake::http::Server as Handshake};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_util::{
    compat::{Compat, TokioAsyncReadCompatExt as _},
    sync::CancellationToken,
};
use tracing::debug;

use super::{
    RpcError,
    calls::Calls,
    gate::{Gate, Unanswered},
    limits::Limits,
    unread::Unread,
};

/// Messages of one connection between being read and being answered.
pub(super) const CALLS_MAX: usize = 16;

/// Notifications of one connection that may wait for the socket, of all its subscriptions together.
pub(super) const NOTIFICATIONS_MAX: usize = 64;

/// Longest that saying goodbye may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

type Stream = BufReader<BufWriter<Compat<TokioIo<Upgraded>>>>;
type Sender = soketto::Sender<Stream>;
type Receiver = soketto::Receiver<Stream>;

/// A request that asks for a WebSocket, and the answer that grants it.
pub(super) struct Handshaken {
    handshake: Handshake,
    upgrade: OnUpgrade,
}

/// Accepts an upgrade, if the request is a proper one.
pub(super) fn accept(request: Request<Body>) -> Result<(Response<HttpBody>, Handshaken), String> {
    let mut handshake = Handshake::new();
    let response = handshake.receive_request(&request).map_err(|error| error.to_string())?;
    let upgrade = hyper::upgrade::on(request);
    Ok((response.map(|()| HttpBody::empty()), Handshaken { handshake, upgrade }))
}

/// What a WebSocket serves, and its bounds.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) gate: Gate<Calls>,
    pub(super) body_bytes_max: u32,
    pub(super) limits: Arc<Limits>,
}

/// An answer on its way to the socket.
struct Answer {
    json: String,
    /// Whether the connection ends with it.
    last: bool,
    held: Held,
}

/// What counts against the client until its answer is written.
struct Held {
    _call: OwnedSemaphorePermit,
    _bytes: Option<Unread>,
}

/// Serves a WebSocket until either side closes it. `notifications` brings what subscriptions have to say.
pub(super) async fn serve(
    Handshaken { handshake, upgrade }: Handshaken,
    service: Service,
    notifications: mpsc::Receiver<Box<JsonRawValue>>,
    stop: CancellationToken,
) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => return debug!(%error, "a websocket did not come about"),
    };
    let stream = BufReader::new(BufWriter::new(TokioIo::new(upgraded).compat()));
    let mut builder = handshake.into_builder(stream);
    builder.set_max_message_size(service.body_bytes_max as usize);
    builder.set_max_frame_size(service.body_bytes_max as usize);
    let (sender, receiver) = builder.finish();

    let heard = Heard { since: Instant::now(), last_ms: AtomicU64::new(0) };
    let (answers, answered) = mpsc::channel(CALLS_MAX);
    let limits = Arc::clone(&service.limits);
    tokio::select! {
        () = read(receiver, service, answers, &heard) => {}
        () = write(sender, answered, notifications, &heard, &limits, stop) => {}
    }
}

/// When the client was last heard of.
struct Heard {
    since: Instant,
    last_ms: AtomicU64,
}

impl Heard {
    fn now(&self) {
        self.last_ms.store(self.elapsed_ms(), Ordering::Relaxed);
    }

    fn silent_for(&self) -> Duration {
        Duration::from_millis(self.elapsed_ms().saturating_sub(self.last_ms.load(Ordering::Relaxed)))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reads messages and sets each going, until the client closes or breaks the protocol.
async fn read(mut receiver: Receiver, service: Service, answers: mpsc::Sender<Answer>, heard: &Heard) {
    let permits = Arc::new(Semaphore::new(CALLS_MAX));
    // Whoever is gone needs no answers.
    let ended = CancellationToken::new();
    let _ended = ended.clone().drop_guard();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let mut message = Vec::new();
        match receiver.receive(&mut message).await {
            Ok(Incoming::Data(Data::Text(_) | Data::Binary(_))) => heard.now(),
            Ok(Incoming::Pong(_)) => {
                heard.now();
                continue;
            }
            Ok(Incoming::Closed(_)) | Err(Error::Closed) => return,
            Err(Error::MessageTooLarge { .. } | Error::Codec(base::Error::PayloadTooLarge { .. })) => {
                // The rest of the message is not worth reading, so nothing can follow it.
                let json = unasked(RpcError::RequestTooLarge(service.body_bytes_max));
                let held = Held { _call: permit, _bytes: None };
                let _ = answers.send(Answer { json, last: true, held }).await;
                return std::future::pending().await;
            }
            Err(error) => return debug!(%error, "websocket ended"),
        }
        let (service, answers) = (service.clone(), answers.clone());
        let ended = ended.clone();
        tokio::spawn(async move {
            let answering = async {
                if let Some((json, bytes)) = service.answer(message).await {
                    let held = Held { _call: permit, _bytes: bytes };
                    let _ = answers.send(Answer { json, last: false, held }).await;
                }
            };
            ended.run_until_cancelled(answering).await;
        });
    }
}

impl Service {
    /// Answers one message as if it had come as the body of an HTTP request; `None` if it asks for no answer.
    async fn answer(self, message: Vec<u8>) -> Option<(String, Option<Unread>)> {
        let mut request = Request::new(HttpBody::from(message));
        *request.method_mut() = hyper::Method::POST;
        request.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/json"));
        let call = http::call_with_service(request, BatchRequestConfig::Unlimited, self.body_bytes_max, self.gate);
        let Ok(answer) = timeout(self.limits.request_max, call).await else {
            return Some((unasked(RpcError::TimedOut), None));
        };
        if answer.extensions().get::<Unanswered>().is_some() {
            return None;
        }
        let unread = answer.extensions().get::<Unread>().cloned();
        // Whatever its length is, it was bounded when it was made.
        let body = http_helpers::read_body(&HeaderMap::new(), answer.into_body(), u32::MAX).await;
        Some((String::from_utf8(body.ok()?.0).ok()?, unread))
    }
}

/// Writes answers, notifications and pings, until the client stops reading or answering.
async fn write(
    mut sender: Sender,
    mut answers: mpsc::Receiver<Answer>,
    mut notifications: mpsc::Receiver<Box<JsonRawValue>>,
    heard: &Heard,
    limits: &Limits,
    stop: CancellationToken,
) {
    let write_max = limits.write_max;
    let mut pings = interval(limits.ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pings.reset();
    loop {
        let mut held = None;
        let (written, last) = tokio::select! {
            () = stop.cancelled() => break,
            Some(answer) = answers.recv() => {
                held = Some(answer.held);
                (timeout(write_max, write_text(&mut sender, answer.json)).await, answer.last)
            }
            Some(notification) = notifications.recv() => {
                let json = String::from(Box::<str>::from(notification));
                (timeout(write_max, write_text(&mut sender, json)).await, false)
            }
            _ = pings.tick() => {
                if heard.silent_for() > limits.silence_max {
                    return debug!("websocket closed: the client answers no pings");
                }
                (timeout(write_max, write_ping(&mut sender)).await, false)
            }
        };
        drop(held);
        match written {
            Ok(Ok(())) if last => break,
            Ok(Ok(())) => {}
            Ok(Err(error)) => return debug!(%error, "websocket ended"),
            Err(_) => return debug!("websocket closed: the client reads nothing"),
        }
    }
    let _ = timeout(CLOSE_MAX, sender.close()).await;
}

async fn write_text(sender: &mut Sender, json: String) -> Result<(), Error> {
    sender.send_text_owned(json).await?;
    sender.flush().await
}

async fn write_ping(sender: &mut Sender) -> Result<(), Error> {
    let nothing: &[u8] = &[];
    sender.send_ping(ByteSlice125::try_from(nothing).expect("0 bytes are fewer than 125")).await?;
    sender.flush().await
}

/// An error that belongs to no request that could be read.
fn unasked(error: RpcError) -> String {
    let payload = ResponsePayload::<()>::error(ErrorObjectOwned::from(error));
    serde_json::to_string(&Answered::new(payload, Id::Null)).expect("an error object is plain JSON")
}
