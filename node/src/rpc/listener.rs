//! Connections: how many, how long, and how they end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{HOST, HeaderName, ORIGIN},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jsonrpsee::server::{BatchRequestConfig, BoundedSubscriptions, ConnectionId, HttpBody, MethodSink, Methods, http};
use soketto::handshake::http::is_upgrade_request;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    RpcContext,
    calls::{Calls, Subscriber},
    gate::{Bounds, Gate, Overloaded, Unanswered},
    host::{AllowedHosts, AllowedOrigins},
    limits::Limits,
    methods,
    socket::{self, NOTIFICATIONS_MAX},
    unread::{Room, Unread, UnreadBody},
};
use crate::{config::RpcConfig, telemetry::metrics::RpcMetrics};

/// Longest that stopping waits for calls under way.
const STOP_MAX: Duration = Duration::from_secs(3);

/// Pause after the listener failed, which is mostly a lack of open files: connections must end before it can go on.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct RpcServer {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl RpcServer {
    /// Returns the address it listens on, with the port that the system chose if none was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections and waits a few seconds for calls under way.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            warn!(%error, "rpc server failed");
        }
    }
}

impl Drop for RpcServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Serves JSON-RPC over HTTP/1.1 and WebSocket on the configured address.
///
/// # Errors
/// When the address cannot be listened on; the message names it.
pub async fn serve(config: &RpcConfig, context: RpcContext) -> io::Result<RpcServer> {
    serve_within(config, Limits::default(), context).await
}

/// As [`serve`], within these limits.
pub(super) async fn serve_within(config: &RpcConfig, limits: Limits, context: RpcContext) -> io::Result<RpcServer> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let metrics = context.metrics.clone();
    let server = Arc::new(Server {
        room: Room::new(&limits, config.answer_bytes_max as usize, metrics.unread_bytes.clone()),
        metrics,
        methods: methods::table(context, &limits, &stop).map_err(io::Error::other)?.into(),
        bounds: Arc::new(Bounds {
            batch_items_max: config.batch_items_max as usize,
            answer_bytes_max: config.answer_bytes_max as usize,
            batch_time_max: limits.batch_time_max,
        }),
        hosts: AllowedHosts::new(&config.allowed_hosts),
        origins: AllowedOrigins::new(&config.allowed_origins),
        body_bytes_max: config.body_bytes_max,
        answer_bytes_max: config.answer_bytes_max,
        subscriptions_max: config.subscriptions_max,
        subscriptions: Arc::new(Semaphore::new(limits.subscriptions_max)),
        limits: Arc::new(limits),
        stop: stop.clone(),
        connections: TaskTracker::new(),
        connection_ids: AtomicU32::new(0),
    });
    let task = tokio::spawn(run(listener, config.connections_max, server));
    Ok(RpcServer { address, stop, task })
}

/// What all connections share.
struct Server {
    metrics: RpcMetrics,
    methods: Methods,
    bounds: Arc<Bounds>,
    hosts: AllowedHosts,
    origins: AllowedOrigins,
    body_bytes_max: u32,
    answer_bytes_max: u32,
    subscriptions_max: u32,
    /// Those of all connections.
    subscriptions: Arc<Semaphore>,
    room: Room,
    limits: Arc<Limits>,
    stop: CancellationToken,
    connections: TaskTracker,
    connection_ids: AtomicU32,
}

/// What a connection holds until its last task ends.
struct Connection {
    id: ConnectionId,
    /// Cancelled once something was asked.
    asked: CancellationToken,
    /// Cancelled when the client does not read what it asked for.
    unread: CancellationToken,
    metrics: RpcMetrics,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

async fn run(listener: TcpListener, connections_max: u32, server: Arc<Server>) {
    let room = Arc::new(Semaphore::new(connections_max as usize));
    while let Some((socket, permit)) = accept(&listener, &room, &server).await {
        server.connections.spawn(Arc::clone(&server).converse(socket, permit));
    }
    server.connections.close();
    if tokio::time::timeout(STOP_MAX, server.connections.wait()).await.is_err() {
        warn!(open = server.connections.len(), "rpc connections did not end in time and are cut off");
    }
}

impl Server {
    /// Serves one connection until it ends or becomes a WebSocket.
    async fn converse(self: Arc<Self>, socket: TcpStream, permit: OwnedSemaphorePermit) {
        let id = ConnectionId(self.connection_ids.fetch_add(1, Ordering::Relaxed) as usize);
        let (asked, unread) = (CancellationToken::new(), CancellationToken::new());
        self.metrics.connections.inc();
        let connection = Arc::new(Connection {
            id,
            asked: asked.clone(),
            unread: unread.clone(),
            metrics: self.metrics.clone(),
            _permit: permit,
        });
        let (stop, limits) = (self.stop.clone(), Arc::clone(&self.limits));
        let service = service_fn(move |request: Request<Incoming>| {
            connection.asked.cancel();
            let (server, connection) = (Arc::clone(&self), Arc::clone(&connection));
            async move { Ok::<_, Infallible>(server.answer(request, connection).await) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(limits.idle_max);
        let conversation = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
        tokio::pin!(conversation);
        let mute = async {
            if tokio::time::timeout(limits.first_request_max, asked.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            ended = conversation.as_mut() => ended,
            () = mute => return debug!("rpc connection closed: nothing was asked in time"),
            () = unread.cancelled() => return debug!("rpc connection closed: the client does not read its answer"),
            () = stop.cancelled() => {
                conversation.as_mut().graceful_shutdown();
                conversation.await
            }
        };
        if let Err(error) = ended {
            debug!(%error, "rpc connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Response<HttpBody> {
        if !self.hosts.allow(text(&request, &HOST)) {
            return plain(StatusCode::FORBIDDEN, "invalid host specified\n");
        }
        if is_upgrade_request(&request) {
            return self.upgrade(request, connection);
        }
        let gate = self.gate(connection.id, None);
        let call = http::call_with_service(request, BatchRequestConfig::Unlimited, self.body_bytes_max, gate);
        let Ok(mut answer) = tokio::time::timeout(self.limits.request_max, call).await else {
            return plain(StatusCode::REQUEST_TIMEOUT, "request timed out\n");
        };
        if answer.extensions().get::<Unanswered>().is_some() {
            return plain(StatusCode::OK, "");
        }
        if answer.extensions().get::<Overloaded>().is_some() {
            *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        }
        match answer.extensions_mut().remove::<Unread>() {
            Some(unread) if unread.takes_room() => self.until_read(answer, unread, &connection),
            Some(_) | None => answer,
        }
    }

    /// Lets `answer` hold its room until the client has read it, and ends the connection if it never does.
    fn until_read(&self, answer: Response<HttpBody>, unread: Unread, connection: &Connection) -> Response<HttpBody> {
        let (read, cut, longest) = (CancellationToken::new(), connection.unread.clone(), self.limits.read_max);
        let reading = read.clone();
        tokio::spawn(async move {
            if tokio::time::timeout(longest, reading.cancelled()).await.is_err() {
                cut.cancel();
            }
        });
        answer.map(|body| HttpBody::new(UnreadBody::new(body, unread, read)))
    }

    /// Turns the connection into a WebSocket, which goes on holding its place.
    fn upgrade(&self, request: Request<Incoming>, connection: Arc<Connection>) -> Response<HttpBody> {
        if !self.origins.allow(text(&request, &ORIGIN)) {
            return plain(StatusCode::FORBIDDEN, "origin not allowed\n");
        }
        let (answer, handshaken) = match socket::accept(request) {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "websocket refused");
                return plain(StatusCode::BAD_REQUEST, "not a proper WebSocket upgrade\n");
            }
        };
        let (sender, notifications) = mpsc::channel(NOTIFICATIONS_MAX);
        let subscriber = Subscriber {
            sink: MethodSink::new_with_limit(sender, self.answer_bytes_max),
            slots: BoundedSubscriptions::new(self.subscriptions_max),
            slots_of_all: Arc::clone(&self.subscriptions),
            slots_of_all_max: self.limits.subscriptions_max,
        };
        let service = socket::Service {
            gate: self.gate(connection.id, Some(subscriber)),
            body_bytes_max: self.body_bytes_max,
            limits: Arc::clone(&self.limits),
        };
        let (stop, websockets) = (self.stop.clone(), self.metrics.websockets.clone());
        self.connections.spawn(async move {
            websockets.inc();
            socket::serve(handshaken, service, notifications, stop).await;
            websockets.dec();
            drop(connection);
        });
        answer
    }

    fn gate(&self, connection: ConnectionId, subscriber: Option<Subscriber>) -> Gate<Calls> {
        let calls = Calls {
            methods: self.methods.clone(),
            connection,
            answer_bytes_max: self.bounds.answer_bytes_max,
            metrics: self.metrics.clone(),
            subscriber,
        };
        Gate::new(calls, Arc::clone(&self.bounds), self.room.of_another())
    }
}

fn text<'a>(request: &'a Request<Incoming>, name: &HeaderName) -> Option<&'a str> {
    // A header that is no text matches nothing that is allowed.
    request.headers().get(name).map(|value| value.to_str().unwrap_or_default())
}

/// Returns the next connection for which there is room, or `None` once `stop` is due. The others are closed at once: a
/// client that is refused tries elsewhere, one that waits in a queue does not.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    server: &Server,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let accepted = tokio::select! {
            () = server.stop.cancelled() => return None,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => match Arc::clone(room).try_acquire_owned() {
                Ok(permit) => {
                    if let Err(error) = socket.set_nodelay(true) {
                        debug!(%peer, %error, "rpc connection lost");
                        continue;
                    }
                    return Some((socket, permit));
                }
                Err(_) => {
                    server.metrics.connections_refused.inc();
                    debug!(%peer, "rpc connection refused: too many are open");
                }
            },
            Err(error) => {
                warn!(%error, "rpc connections cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<HttpBody> {
    let mut answer = Response::new(HttpBody::from(text));
    *answer.status_mut() = status;
    answer
}
