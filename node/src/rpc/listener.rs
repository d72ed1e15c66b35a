//! Connections: how many, how long, and how they end.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::HOST,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use jsonrpsee::{
    RpcModule,
    core::middleware::RpcServiceBuilder,
    server::{BatchRequestConfig, HttpBody, Server, ServerConfig, stop_channel},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{debug, warn};

use super::{
    RpcContext,
    gate::{Bounds, Gate, Unanswered},
    host::AllowedHosts,
    methods,
};
use crate::config::RpcConfig;

/// Longest that a connection may be idle or take to send a request's head: longer than client libraries keep a
/// connection that they do not use, so that they close first and never send into a closing one.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// Longest from a request's head to its answer, so that a client that sends its body byte by byte cannot stay for ever.
const REQUEST_MAX: Duration = Duration::from_secs(60);

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

/// Serves JSON-RPC over HTTP/1.1 on the configured address.
///
/// # Errors
/// When the address cannot be listened on; the message names it.
pub async fn serve(config: &RpcConfig, context: RpcContext) -> io::Result<RpcServer> {
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", config.listen)))?;
    let address = listener.local_addr()?;
    let stop = CancellationToken::new();
    let methods = methods::table(context).map_err(io::Error::other)?;
    let task = tokio::spawn(run(listener, config.clone(), methods, stop.clone()));
    Ok(RpcServer { address, stop, task })
}

async fn run(listener: TcpListener, config: RpcConfig, methods: RpcModule<()>, stop: CancellationToken) {
    let bounds = Arc::new(Bounds {
        methods: methods.method_names().collect(),
        batch_items_max: config.batch_items_max as usize,
        answer_bytes_max: config.answer_bytes_max as usize,
    });
    let server_config = ServerConfig::builder()
        .http_only()
        .max_request_body_size(config.body_bytes_max)
        .max_response_body_size(config.answer_bytes_max)
        .max_connections(config.connections_max)
        // The gate bounds batches, with the error that clients know.
        .set_batch_request_config(BatchRequestConfig::Unlimited)
        .build();
    let layers = RpcServiceBuilder::new().layer_fn(move |inner| Gate::new(inner, Arc::clone(&bounds)));
    let services = Server::builder().set_config(server_config).set_rpc_middleware(layers).to_service_builder();
    // The services ask for this handle, but only subscriptions ever use it; connections stop by `stop`.
    let (services_stop, _services_handle) = stop_channel();
    let hosts = Arc::new(AllowedHosts::new(&config.allowed_hosts));
    let room = Arc::new(Semaphore::new(config.connections_max as usize));
    let connections = TaskTracker::new();

    while let Some((socket, permit)) = accept(&listener, &room, &stop).await {
        let rpc = TowerToHyperService::new(services.clone().build(methods.clone(), services_stop.clone()));
        let hosts = Arc::clone(&hosts);
        let service = service_fn(move |request: Request<Incoming>| {
            let allowed = hosts.allow(request.headers().get(HOST).and_then(|host| host.to_str().ok()));
            let rpc = rpc.clone();
            async move {
                if !allowed {
                    return Ok::<_, Infallible>(plain(StatusCode::FORBIDDEN, "invalid host specified\n"));
                }
                Ok(match tokio::time::timeout(REQUEST_MAX, rpc.call(request)).await {
                    Ok(Ok(answer)) if answer.extensions().get::<Unanswered>().is_some() => plain(StatusCode::OK, ""),
                    Ok(Ok(answer)) => answer,
                    Ok(Err(error)) => {
                        debug!(%error, "rpc request failed");
                        plain(StatusCode::BAD_REQUEST, "request failed\n")
                    }
                    Err(_) => plain(StatusCode::REQUEST_TIMEOUT, "request timed out\n"),
                })
            }
        });
        let stop = stop.clone();
        connections.spawn(async move {
            let _permit = permit;
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(IDLE_MAX);
            let connection = server.serve_connection(TokioIo::new(socket), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, "rpc connection ended");
            }
        });
    }

    connections.close();
    if tokio::time::timeout(STOP_MAX, connections.wait()).await.is_err() {
        warn!(open = connections.len(), "rpc connections did not end in time and are cut off");
    }
}

/// Returns the next connection for which there is room, or `None` once `stop` is due. The others are closed at once: a
/// client that is refused tries elsewhere, one that waits in a queue does not.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return None,
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
                Err(_) => debug!(%peer, "rpc connection refused: too many are open"),
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
