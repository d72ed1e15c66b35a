//! Four nodes under load: how much becomes final, how fast, and what it costs.

use std::{ops::Range, sync::Arc, time::Duration};

use anyhow::Context as _;

use super::{
    finality::Flight,
    process,
    samples::Samples,
    say,
    transfers::{Lane, sign},
    users::{self, Pace, send_one},
};
use crate::{devnet::Devnet, rpc::Rpc};

/// Connections to each node.
const CONNECTIONS_PER_NODE: usize = 2;

/// Transfers that may be on their way at saturation: four full blocks of the devnet, less than half of one pool.
const UNFINAL_MAX: usize = 4_000;

/// The part of the saturated phase that counts, after its start.
const SATURATED: Range<Duration> = Duration::from_secs(5)..Duration::from_secs(20);

/// The part of the paced phase that counts, after its start.
const PACED: Range<Duration> = Duration::from_secs(3)..Duration::from_secs(13);

/// Share of the saturated rate at which the paced phase sends.
const PACED_SHARE: f64 = 0.7;

/// More than any network of four nodes on one machine takes each second: what is signed for the saturated phase.
const RATE_MAX: f64 = 6_000.0;

/// Transfers that are sent one by one.
const SINGLE: usize = 100;

/// What a network under load does.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Final transactions per second, at saturation.
    pub rate: f64,
    /// From sending to final, at saturation.
    pub saturated: Samples,
    /// CPU time of all nodes for 1,000 final transactions, at saturation.
    pub cpu_per_thousand: Duration,
    /// Cores in use at saturation, by the nodes, by the users, and by L1 and the rest of the devnet.
    pub cores_used: [f64; 3],
    /// Transfers sent per second in the paced phase.
    pub paced_rate: f64,
    /// From sending to final, in the paced phase.
    pub paced: Samples,
    /// From sending to final, one transfer at a time.
    pub single: Samples,
    /// The most memory that any node had resident, in MiB.
    pub resident_max_mib: u64,
}

/// The users of one network.
pub struct Users {
    connections: Vec<Rpc>,
    lanes_made: usize,
}

impl Users {
    /// Makes a client for every connection.
    #[must_use]
    pub fn new(devnet: &Devnet) -> Self {
        let nodes = devnet.info.nodes.len();
        let connections = (0..nodes * CONNECTIONS_PER_NODE).map(|lane| devnet.rpc(lane % nodes)).collect();
        Self { connections, lanes_made: 0 }
    }

    /// Makes accounts that never sent before: a phase that ends before all is sent leaves gaps behind.
    fn new_lanes(&mut self) -> Vec<Lane> {
        let first = self.lanes_made;
        self.lanes_made += self.connections.len();
        (first..self.lanes_made).map(Lane::new).collect()
    }

    /// Sends transfers until the end of `window` while a client of node 0 watches for them, then waits until all are final.
    /// Returns also what `look` says at the start and at the end of `window`.
    async fn run<T>(
        &mut self,
        devnet: &Devnet,
        pace: Pace,
        window: &Range<Duration>,
        look: impl Fn() -> anyhow::Result<T>,
    ) -> anyhow::Result<(Arc<Flight>, T, T)> {
        let rate = match pace {
            Pace::Unfinal(_) => RATE_MAX,
            Pace::PerSecond(rate) => rate,
        };
        let mut lanes = self.new_lanes();
        let per_lane = (rate * window.end.as_secs_f64() / lanes.len() as f64).ceil() as usize;
        say(format_args!("signing {} transfers", per_lane * lanes.len()));
        let signed = tokio::task::block_in_place(|| sign(&mut lanes, devnet.info.chain_id, per_lane, 0));
        say(format_args!("sending for {} s", window.end.as_secs()));
        let from = devnet.rpc(0).height().await? + 1;
        let rpc = devnet.rpc(0);
        let flight = Arc::new(Flight::new(&signed.hashes));
        let sending = users::send(&self.connections, signed.lanes, &flight, pace, window.end);
        let looking = async {
            tokio::time::sleep(window.start.saturating_sub(flight.elapsed())).await;
            let before = look()?;
            tokio::time::sleep(window.end.saturating_sub(flight.elapsed())).await;
            anyhow::Ok((before, look()?))
        };
        let all = async {
            let (_, (before, after)) = tokio::try_join!(sending, looking)?;
            flight.drained().await?;
            anyhow::Ok((before, after))
        };
        let (before, after) = tokio::select! {
            done = all => done?,
            lost = flight.watch(&rpc, from) => match lost? {},
        };
        Ok((flight, before, after))
    }

    /// Sends one transfer, waits until it is final, and so on.
    async fn run_single(&mut self, devnet: &Devnet) -> anyhow::Result<Samples> {
        say(format_args!("sending {SINGLE} transfers one by one"));
        let mut lanes = self.new_lanes();
        let per_lane = SINGLE.div_ceil(lanes.len());
        let mut times = Vec::new();
        for _ in 0..per_lane {
            let signed = sign(&mut lanes, devnet.info.chain_id, 1, 0);
            let rpc = devnet.rpc(0);
            let flight = Flight::new(&signed.hashes);
            let from = rpc.height().await? + 1;
            let one_by_one = async {
                for (connection, body) in self.connections.iter().zip(signed.lanes.into_iter().flatten()) {
                    flight.on_sending(body.transfers.clone());
                    send_one(connection, body).await?;
                    flight.drained().await?;
                }
                anyhow::Ok(())
            };
            tokio::select! {
                done = one_by_one => done?,
                lost = flight.watch(&rpc, from) => match lost? {},
            }
            times.extend(flight.times_of_sent_within(&(Duration::ZERO..Duration::MAX)).into_durations());
        }
        Ok(times.into_iter().collect())
    }

    /// Measures the network.
    ///
    /// # Errors
    /// When a node refuses, loses or does not finalize what was sent.
    pub async fn measure(&mut self, devnet: &Devnet) -> anyhow::Result<Figures> {
        let nodes = devnet.node_pids()?;
        let others: Vec<u32> = devnet.info.l1.pid.into_iter().chain(devnet.pid()).collect();
        let me = [std::process::id()];
        let look = || Ok([process::cpu_time_of(&nodes)?, process::cpu_time_of(&me)?, process::cpu_time_of(&others)?]);

        let single = self.run_single(devnet).await.context("idle network")?;
        let (flight, before, after) =
            self.run(devnet, Pace::Unfinal(UNFINAL_MAX), &SATURATED, look).await.context("saturated network")?;
        let window = (SATURATED.end - SATURATED.start).as_secs_f64();
        let count = flight.final_within(&SATURATED);
        let rate = count as f64 / window;
        let used = [0, 1, 2].map(|who| after[who].saturating_sub(before[who]));
        let paced_rate = rate * PACED_SHARE;
        let (paced, _, _) =
            self.run(devnet, Pace::PerSecond(paced_rate), &PACED, || Ok(())).await.context("paced network")?;
        let resident = nodes.iter().map(|pid| process::resident_max_mib(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Figures {
            rate,
            saturated: flight.times_of_sent_within(&SATURATED),
            cpu_per_thousand: used[0].mul_f64(1_000.0 / count.max(1) as f64),
            cores_used: used.map(|used| used.as_secs_f64() / window),
            paced_rate,
            paced: paced.times_of_sent_within(&PACED),
            single,
            resident_max_mib: resident.into_iter().max().unwrap_or_default(),
        })
    }

    /// Sends `count` transfers with `data_bytes` of calldata to node 0, without waiting for anything.
    ///
    /// # Errors
    /// When it refuses one.
    pub(super) async fn fill(&mut self, devnet: &Devnet, count: usize, data_bytes: usize) -> anyhow::Result<()> {
        let mut lanes = self.new_lanes();
        let per_lane = count.div_ceil(lanes.len());
        let signed = tokio::task::block_in_place(|| sign(&mut lanes, devnet.info.chain_id, per_lane, data_bytes));
        let connection = devnet.rpc(0);
        for body in signed.lanes.into_iter().flatten() {
            send_one(&connection, body).await?;
        }
        Ok(())
    }
}
