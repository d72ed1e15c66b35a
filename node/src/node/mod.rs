//! The node as a whole: start what it is made of, watch over it, stop it in order.
//!
//! A node runs as one: when any part ends on its own, the process ends with that part's error instead of living on half.
//! Stopping goes from the outside in: no new requests, then the driver finishes its turn, then the tasks towards L1, then
//! the network.

mod bygone;
mod consensus;
mod early;
mod forward;
mod genesis;
mod halted;
mod late;
mod open;
mod opener;
mod parts;
mod routing;
mod status;

use std::{convert::Infallible, sync::Arc, time::Duration};

use baton_execution::ChainExecutor;
use baton_proto::{Evidence, MemberIndex};
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub use self::genesis::StartError;
pub use self::open::{OpenError, Opened};
use self::{
    bygone::{BYGONE_MAX, BygoneEvidence},
    consensus::{Consensus, Stages},
    forward::Forwarder,
    late::{ChargeMember, Late, UNHEARD_MAX},
    open::{hold_keys, open},
    parts::{Part, first_reason, part},
    routing::{ENDS_AT_ONCE, Routing},
    status::StatusSources,
};
use crate::{
    admission::{Admission, AdmissionContext, Arrivals, Journal, PoolAndSenders},
    batcher::{Batcher, BatcherConfig, BatcherContext},
    config::Config,
    driver::{Checked, DriverError, DriverStatus, MissedLines, NotarizedBlocks},
    l1::{AccountConfig, AccountContext, Watcher, spawn_liveness_watcher, spawn_reporter},
    p2p::{Fault, GOSSIP_AGAIN_AFTER, KnownLookup, Network, Outbound},
    rpc::{Announcements, RpcContext, serve as serve_rpc},
    telemetry::{Metrics, NodeStatus, NotReady, health, run_status_line},
};

/// Batch messages that may wait for the batcher: a proposal and everybody's attestation, several times over.
const BATCH_QUEUE_MAX: usize = 512;

/// Evidence about batches that may wait for the driver.
const ACCUSATIONS_MAX: usize = 16;

/// How long an L1 transaction may wait before its fees are raised: three slots.
const REPLACE_AFTER: Duration = Duration::from_secs(36);

/// Most wei per gas that this node ever offers on L1: 500 gwei.
const FEE_CEILING_WEI: u128 = 500_000_000_000;

/// Most wei per gas of a tip that this node offers because its L1 endpoints suggest it: 20 gwei. All of a tip is paid, where of
/// the rest only the base fee is.
const TIP_CEILING_WEI: u128 = 20_000_000_000;

/// How long the driver may take to say why it ends, once a part has ended.
const LAST_WORD_WITHIN: Duration = Duration::from_secs(1);

/// How long stopping may take in all. SIGTERM promises 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// What is decided per run, never by a file.
#[derive(Clone, Debug, Default)]
pub struct NodeOptions {
    /// Sign at once although the sign record is missing or may lack statements. Whoever says so vouches that this key signs
    /// nowhere else and has signed nothing in this epoch that is not recorded.
    pub accept_missing_sign_record: bool,
    /// Start with an empty sign record where none is found, and sign nothing in the running epoch.
    pub listen_for_sign_record: bool,
    /// End when standard input closes, so that a supervisor that dies takes its nodes along.
    pub stop_with_stdin: bool,
}

/// Why the node does not start or did not go on.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum NodeError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("{what} cannot start: {why}")]
    Part { what: &'static str, why: String },
    #[error("{what} ended: {why}")]
    Ended { what: &'static str, why: String },
}

impl NodeError {
    /// Returns the process's exit code: 2 for what the operator must correct, 3 where going on could make this node sign
    /// against itself, else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => error.exit_code(),
            Self::Driver(error) if error.is_refusal() => 3,
            Self::Driver(_) | Self::Part { .. } | Self::Ended { .. } => 1,
        }
    }

    fn part(what: &'static str) -> impl FnOnce(String) -> Self {
        move |why| Self::Part { what, why }
    }
}

/// Puts something between the node and its network. The node itself never does; a test may, to misbehave.
pub type WrapOutbound = Box<dyn FnOnce(Arc<dyn Outbound>, &Opened) -> Arc<dyn Outbound> + Send>;

/// Runs a node until SIGTERM, SIGINT or an error.
///
/// # Errors
/// [`NodeError`], with the exit code that it stands for.
pub async fn run(config: Config, options: NodeOptions) -> Result<(), NodeError> {
    run_with(config, options, Box::new(|outbound, _| outbound)).await
}

/// Runs a node whose consensus messages go through `wrap`.
///
/// # Errors
/// See [`run`].
pub async fn run_with(config: Config, options: NodeOptions, wrap: WrapOutbound) -> Result<(), NodeError> {
    let stop = CancellationToken::new();
    tokio::spawn(signals(stop.clone(), options.stop_with_stdin));
    let held = hold_keys(&config, &options)?;
    // Then health: opening can wait for L1, and then an operator wants to read that, not to find nobody at home.
    let health = Health::start(&config).await?;
    let (opened, journal) = tokio::select! {
        () = stop.cancelled() => return Ok(()),
        opened = open(&config, held) => opened?,
    };
    start(config, opened, journal, health, wrap, stop).await
}

/// How this node's accounts on L1 pay.
fn account_config(config: &Config) -> AccountConfig {
    let poll = Duration::from_millis(config.l1.poll_interval_ms);
    AccountConfig {
        replace_after: REPLACE_AFTER,
        fee_ceiling_wei: FEE_CEILING_WEI,
        tip_ceiling_wei: TIP_CEILING_WEI,
        poll,
    }
}

/// The health endpoints, and the status that they answer from.
struct Health {
    status: watch::Sender<NodeStatus>,
    seen: watch::Receiver<NodeStatus>,
    metrics: Metrics,
    part: Part,
    /// Ends the endpoints, and with them everything that does not face the world.
    stop: CancellationToken,
}

impl Health {
    async fn start(config: &Config) -> Result<Self, NodeError> {
        let listener = tokio::net::TcpListener::bind(config.health.listen)
            .await
            .map_err(|error| NodeError::part("the health endpoint")(format!("{}: {error}", config.health.listen)))?;
        let mut starting = NodeStatus::starting(config.l2_chain_id.unwrap_or_default());
        starting.not_ready.push(NotReady::l1_stale(None, "what L1 says of the chain is not known yet"));
        let (status, seen) = watch::channel(starting);
        let stop = CancellationToken::new();
        let metrics = Metrics::default();
        metrics.show_status(seen.clone());
        let serving = health::serve(listener, seen.clone(), metrics.clone(), stop.clone());
        let part = part("the health endpoint", serving);
        Ok(Self { status, seen, metrics, part, stop })
    }
}

/// Starts all parts, waits for the first reason to stop, and stops them in order.
async fn start(
    config: Config,
    opened: Opened,
    journal: Journal,
    health: Health,
    wrap: WrapOutbound,
    stop: CancellationToken,
) -> Result<(), NodeError> {
    let Opened { facts, epochs, opener, ledger, pool, senders, l1_client, network_config, recovered, .. } = &opened;
    let (facts, ledger) = (Arc::clone(facts), Arc::clone(ledger));
    let epoch = epochs.running();
    let me = epoch.me();
    let poll = Duration::from_millis(config.l1.poll_interval_ms);
    // What talks to the world stops first, what it rests on last.
    let (outer, inner) = (stop.clone(), health.stop.clone());
    // Cancelled by the driver when safety is seen broken: attesting and posting end, everything else goes on.
    let halt = inner.child_token();

    let known: KnownLookup = Arc::new(PoolAndSenders { pool: Arc::clone(pool), senders: Arc::clone(senders) });
    let (network, events) = Network::start(network_config.clone(), Arc::clone(&known))
        .await
        .map_err(|error| NodeError::part("the network")(error.to_string()))?;
    let outbound = wrap(Arc::new(network.clone()), &opened);
    let metrics = health.metrics;
    metrics.show_network(network.clone(), epochs.clone());
    metrics.show_pool(Arc::clone(pool));
    if let Some(key) = &opened.poster_key {
        metrics.show_posting(Arc::clone(&ledger), key.address());
    }

    let watcher = Watcher::spawn(l1_client.clone(), Arc::clone(&facts), Arc::clone(&ledger), poll, inner.clone());
    let (heads, heads_seen) = watch::channel(opened.head);
    let notarized = Arc::new(NotarizedBlocks::default());
    let (progress, progress_seen) = watch::channel(DriverStatus::default());
    let evidence_found = Arc::new(Notify::new());
    let (batch_messages, batch_inbox) = mpsc::channel(BATCH_QUEUE_MAX);

    let work = Arc::new(Notify::new());
    let forwarder = Forwarder::new();
    let arrivals = Arc::new(Arrivals::default());
    let (admission, admitting) = Admission::new(
        AdmissionContext {
            pool: Arc::clone(pool),
            ledger: Arc::clone(&ledger),
            senders: Arc::clone(senders),
            work: Arc::clone(&work),
            announce: Box::new({
                let (network, forwarder) = (network.clone(), forwarder.clone());
                move |transactions| {
                    forwarder.forward(&transactions);
                    network.gossip(transactions);
                }
            }),
            announce_again_after: GOSSIP_AGAIN_AFTER,
            arrivals: Arc::clone(&arrivals),
        },
        journal,
        inner.clone(),
    );
    let (leave, unheard) = mpsc::channel(UNHEARD_MAX);
    let consensus = Consensus {
        facts: Arc::clone(&facts),
        epochs: epochs.clone(),
        opener: opener.clone(),
        ledger: Arc::clone(&ledger),
        executor: Arc::<ChainExecutor>::clone(&opened.execution),
        pool: Arc::clone(pool),
        known,
        work,
        outbound: Arc::clone(&outbound),
        network: network.clone(),
        l1: watcher.view.clone(),
        origins: watcher.origins.clone(),
        evidence_found: Arc::clone(&evidence_found),
        halt: halt.clone(),
        notarized: Arc::clone(&notarized),
        heads,
        progress,
        metrics: metrics.consensus.clone(),
        missed_lines: MissedLines::default(),
        unheard: leave,
    };
    let (ready, stages) = consensus.prepare(recovered.clone(), true, None)?;
    let (stages, stages_seen) = watch::channel(stages);

    let (charged, routed_outbound) = (network.clone(), Arc::clone(&outbound));
    let (accuse, accused) = mpsc::channel(ACCUSATIONS_MAX);
    let batcher = Batcher::spawn(BatcherContext {
        client: l1_client.clone(),
        facts: Arc::clone(&facts),
        epochs: epochs.clone(),
        keys: opener.keys.clone(),
        ledger: Arc::clone(&ledger),
        outbound,
        heads: heads_seen.clone(),
        l1: watcher.view.clone(),
        messages: batch_inbox,
        charge: Arc::new(move |epoch, member, reason| {
            warn!(%epoch, %member, reason, "refused a batch message");
            charged.at(epoch).charge_member(member, Fault::InvalidMessage);
        }),
        evidence: accuse,
        poster: opened.poster_key.clone().map(|key| (key, account_config(&config))),
        config: BatcherConfig { data: config.l1.batch_data, ..BatcherConfig::default() },
        cancel: halt.clone(),
    })
    .map_err(|error| NodeError::part("the batcher")(error.to_string()))?;
    let mut parts: Vec<Part> = batcher
        .tasks
        .into_iter()
        .map(|task| part("the batcher", until_told(flatten(task), halt.clone(), inner.clone())))
        .collect();
    parts.push(part("evidence of batches", hand_over(accused, stages_seen.clone(), inner.clone())));
    parts.push(health.part);
    parts.push(part("admission", admitting));
    let forwarding = forwarder.run(network.clone(), epochs.clone(), progress_seen.clone(), inner.clone());
    parts.push(part("forwarding", forwarding));
    // Without such an account evidence stays stored: others submit it, and so can this node once it has one.
    if let Some(key) = opened.evidence_key.clone() {
        let account = AccountContext {
            client: l1_client.clone(),
            facts: Arc::clone(&facts),
            ledger: Arc::clone(&ledger),
            key,
            config: account_config(&config),
            l1: watcher.view.clone(),
            cancel: inner.clone(),
        };
        let reporter = spawn_reporter(account, epochs.clone(), evidence_found, halt.clone())
            .map_err(|error| NodeError::part("the evidence reporter")(error.to_string()))?;
        parts.push(part("the evidence reporter", flatten(reporter)));
    }

    let (bygone, bygone_inbox) = mpsc::channel(BYGONE_MAX);
    let judge = BygoneEvidence::new(
        l1_client.clone(),
        Arc::clone(&facts),
        Arc::clone(&ledger),
        watcher.view.clone(),
        stages_seen.clone(),
    );
    parts.push(part("the judge of old evidence", judge.run(bygone_inbox, inner.clone())));
    let charge: ChargeMember = Arc::new({
        let network = network.clone();
        move |epoch, member, fault| network.at(epoch).charge_member(member, fault)
    });
    let late = Late::new(Arc::clone(&ledger), epochs.clone(), stages_seen.clone(), charge, bygone.clone());
    let routing = Routing {
        ledger: Arc::clone(&ledger),
        epochs: facts.epochs(),
        book: epochs.clone(),
        gossiped: Box::new({
            let admission = Arc::clone(&admission);
            move |transactions| admission.gossiped(transactions)
        }),
        stages: stages_seen,
        batches: batch_messages,
        outbound: routed_outbound,
        ends: Arc::new(Semaphore::new(ENDS_AT_ONCE)),
        bygone,
        late,
        unheard,
    };
    parts.push(part("message routing", routing.run(events)));

    let (status, status_seen) = (health.status, health.seen);
    let sources = StatusSources {
        facts: Arc::clone(&facts),
        epochs: epochs.clone(),
        network: network.clone(),
        pool: Arc::clone(pool),
        driver: progress_seen,
        l1: watcher.view.clone(),
        l1_stale_after: Duration::from_millis(config.l1.stale_after_ms),
        batches: batcher.status.clone(),
    };
    parts.push(part("the status", sources.run(status, inner.clone())));
    tokio::spawn(run_status_line(status_seen.clone(), inner.clone()));

    let (liveness, watching) = spawn_liveness_watcher(
        l1_client.clone(),
        Arc::clone(&facts),
        Arc::clone(&ledger),
        epochs.clone(),
        watcher.view.clone(),
        poll,
        inner.clone(),
    );
    parts.push(part("the watch over rewards and jail", flatten(watching)));
    metrics.show_liveness(liveness.clone());

    let rpc = serve_rpc(
        &config.rpc,
        RpcContext {
            facts: Arc::clone(&facts),
            execution: Arc::clone(&opened.execution),
            epochs: epochs.clone(),
            ledger: Arc::clone(&ledger),
            pool: Arc::clone(pool),
            submit: admission,
            status: status_seen,
            liveness,
            metrics: metrics.rpc,
            announcements: Announcements { heads: heads_seen, notarized, recorded: batcher.recorded.clone(), arrivals },
        },
    )
    .await
    .map_err(|error| NodeError::part("the JSON-RPC server")(error.to_string()))?;
    info!(rpc = %rpc.address(), health = %config.health.listen, peer_id = %network.peer_id(),
        member = me.map(MemberIndex::get), height = %opened.head, "node started");

    let driver_stop = CancellationToken::new();
    let mut driver = tokio::spawn(consensus.run(ready, stages, driver_stop.clone()));
    let result = first_reason(outer.cancelled(), &mut driver, &mut parts, LAST_WORD_WITHIN).await;
    if let Err(error) = &result {
        error!(%error, "stopping");
    }

    let in_order = async {
        rpc.stop().await;
        driver_stop.cancel();
        if !driver.is_finished() {
            let _ = driver.await;
        }
        inner.cancel();
        network.shutdown().await;
        for Part { what, task } in parts {
            if !task.is_finished() && task.await.is_err() {
                error!(what, "ended with a panic");
            }
        }
    };
    // What is durable is durable already; whoever asked us to stop waits no longer than it was promised.
    if tokio::time::timeout(STOP_WITHIN, in_order).await.is_err() {
        error!("not everything stopped in time");
    }
    info!("node stopped");
    result
}

/// Hands what the batcher found to the driver of whatever epoch runs, which has it stored, gossiped and submitted.
async fn hand_over(
    mut accused: mpsc::Receiver<Evidence>,
    mut stages: watch::Receiver<Stages>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let handing = async {
        while let Some(evidence) = accused.recv().await {
            // Between two epochs nobody listens.
            loop {
                let checked = stages.borrow_and_update().checked.clone();
                if checked.send(Checked::Evidence(evidence.clone())).await.is_ok() {
                    break;
                }
                if stages.changed().await.is_err() {
                    return;
                }
            }
        }
    };
    stop.run_until_cancelled(handing).await;
    stop.cancelled().await;
    Ok(())
}

/// Lets a part that a halt has ended rest until the node stops.
async fn until_told<E>(
    task: impl Future<Output = Result<(), E>>,
    halt: CancellationToken,
    stop: CancellationToken,
) -> Result<(), E> {
    let result = task.await;
    if result.is_ok() && halt.is_cancelled() {
        stop.cancelled().await;
    }
    result
}

/// Joins a task's own error with that of joining it.
async fn flatten<E: std::fmt::Display>(task: JoinHandle<Result<(), E>>) -> Result<(), String> {
    match task.await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.to_string()),
    }
}

/// Cancels `stop` on SIGTERM or SIGINT.
pub(crate) async fn stop_on_signals(stop: CancellationToken) {
    signals(stop, false).await;
}

/// Cancels `stop` on SIGTERM or SIGINT, and when standard input closes if that was asked for.
async fn signals(stop: CancellationToken, stop_with_stdin: bool) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        error!("signals cannot be watched; the node will not stop in order");
        return;
    };
    let stdin_closed = async {
        if !stop_with_stdin {
            return std::future::pending().await;
        }
        // A thread of its own: a blocked read of standard input must not hold up the runtime's end.
        let (closed, seen) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            let _ = closed.send(());
        });
        let _ = seen.await;
    };
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: stopping"),
        _ = interrupt.recv() => info!("SIGINT: stopping"),
        () = stdin_closed => info!("standard input closed: stopping"),
    }
    stop.cancel();
}
