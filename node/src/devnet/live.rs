//! Watching a devnet: a table that is redrawn in place, or plain lines.

use std::{
    io::Write as _,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    child::ChildProcess,
    info::DevnetInfo,
    table::{self, Row, RowStatus},
};
use crate::telemetry::NodeStatus;

/// How often the table is redrawn.
const REDRAW_EVERY: Duration = Duration::from_millis(500);

/// How often a line is logged where there is no table.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How long a node may take to answer before the table calls it silent.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

/// Blocks that are looked at for each redraw at the most; what is older is not counted.
const COUNTED_AT_ONCE: u64 = 64;

/// Watches the nodes of one devnet.
pub(super) struct Live<'a> {
    info: &'a DevnetInfo,
    client: reqwest::Client,
    started: Instant,
    /// Blocks that each member proposed, by its index, and the height up to which they are counted.
    proposed: Vec<u64>,
    counted: u64,
    gone: Vec<bool>,
}

impl<'a> Live<'a> {
    pub(super) fn new(info: &'a DevnetInfo) -> Self {
        let client = reqwest::Client::builder().timeout(ANSWER_WITHIN).build().expect("no option can fail");
        Self {
            info,
            client,
            started: Instant::now(),
            proposed: vec![0; info.nodes.len()],
            counted: 0,
            gone: vec![false; info.nodes.len()],
        }
    }

    /// Redraws the table until told to stop.
    pub(super) async fn run_table(
        mut self,
        nodes: &mut [ChildProcess],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut drawn = 0;
        loop {
            self.note_ends(nodes);
            let (rows, l1) = self.look().await;
            let lines = table::render(&rows, l1, self.started.elapsed());
            let mut out = std::io::stdout().lock();
            if drawn > 0 {
                write!(out, "\x1b[{drawn}A")?;
            }
            for line in &lines {
                writeln!(out, "\x1b[2K{line}")?;
            }
            out.flush()?;
            drawn = lines.len();
            drop(out);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(REDRAW_EVERY) => {}
            }
        }
    }

    /// Logs a line per node now and then until told to stop.
    pub(super) async fn run_headless(
        mut self,
        nodes: &mut [ChildProcess],
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(LINE_EVERY) => {}
            }
            self.note_ends(nodes);
            for row in self.look().await.0 {
                match row.status {
                    Some(status) => info!(
                        node = row.name,
                        height = status.height,
                        view = status.view,
                        pool = status.pool,
                        peers = status.peers,
                        posted = status.posted,
                        time_to_final_ms = status.time_to_final_ms,
                        "status"
                    ),
                    None => info!(node = row.name, "not answering"),
                }
            }
        }
    }

    /// Says once of each node that it ended. The others go on: that is the point.
    fn note_ends(&mut self, nodes: &mut [ChildProcess]) {
        for (node, gone) in nodes.iter_mut().zip(&mut self.gone) {
            if let (false, Some(status)) = (*gone, node.exited()) {
                warn!(process = node.name(), %status, log = %node.log().display(), "ended");
                *gone = true;
            }
        }
    }

    async fn look(&mut self) -> (Vec<Row>, Option<u64>) {
        let statuses = self.info.nodes.iter().map(|node| self.call(&node.rpc, "baton_status", json!([])));
        let statuses: Vec<Option<NodeStatus>> = futures::future::join_all(statuses)
            .await
            .into_iter()
            .map(|answer| serde_json::from_value(answer?).ok())
            .collect();
        let l1 = self.call(&self.info.l1.rpc, "eth_blockNumber", json!([])).await.and_then(|value| quantity(&value));
        self.count_proposals(&statuses).await;
        let counted: u64 = self.proposed.iter().sum();
        let bonds: Vec<u128> = self.info.nodes.iter().map(|node| node.bond.parse().unwrap_or(0)).collect();
        let bonded: u128 = bonds.iter().sum::<u128>().max(1);
        let rows = statuses
            .into_iter()
            .enumerate()
            .map(|(index, status)| Row {
                name: format!("node {index}"),
                share_bps: u64::try_from(bonds[index] * 10_000 / bonded).unwrap_or(0),
                status: status.map(|status| self.row(status, counted)),
            })
            .collect();
        (rows, l1)
    }

    fn row(&self, status: NodeStatus, counted: u64) -> RowStatus {
        let proposed = status.me.and_then(|me| self.proposed.get(me.as_usize()).copied());
        RowStatus {
            height: status.final_height.get(),
            view: status.view.get(),
            led_bps: proposed.filter(|_| counted > 0).map(|proposed| proposed * 10_000 / counted),
            leads: status.leader.is_some() && status.leader == status.me,
            time_to_final_ms: status.time_to_final_ms,
            pool: status.pool_transactions,
            peers: status.peers,
            posted: status.posted_height.get(),
            not_ready: status.not_ready.iter().map(ToString::to_string).collect(),
        }
    }

    /// Counts who proposed the blocks that became final since the last look.
    async fn count_proposals(&mut self, statuses: &[Option<NodeStatus>]) {
        let highest = statuses
            .iter()
            .zip(&self.info.nodes)
            .filter_map(|(status, node)| Some((status.as_ref()?.final_height.get(), &node.rpc)))
            .max();
        let Some((head, rpc)) = highest else { return };
        self.counted = self.counted.max(head.saturating_sub(COUNTED_AT_ONCE));
        let heights = self.counted + 1..=head;
        let blocks =
            heights.map(|height| self.call(rpc, "eth_getBlockByNumber", json!([format!("{height:#x}"), false])));
        for block in futures::future::join_all(blocks).await.into_iter().flatten() {
            let proposer = block["baton"]["proposer"].as_u64().and_then(|index| usize::try_from(index).ok());
            if let Some(count) = proposer.and_then(|index| self.proposed.get_mut(index)) {
                *count += 1;
            }
        }
        self.counted = head;
    }

    async fn call(&self, url: &str, method: &str, params: Value) -> Option<Value> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer: Value = self.client.post(url).json(&body).send().await.ok()?.json().await.ok()?;
        answer.get("result").filter(|result| !result.is_null()).cloned()
    }
}

fn quantity(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.trim_start_matches("0x"), 16).ok()
}
