//! Users that send what was signed before, over several connections.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;

use super::{
    finality::Flight,
    transfers::{BODY_TRANSFERS, Body},
};
use crate::rpc::Rpc;

/// Pause before looking again whether there is room for more.
const ROOM_LOOK_EVERY: Duration = Duration::from_millis(2);

/// How fast users send.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As fast as the network finalizes: at most so many are not final.
    Unfinal(usize),
    /// So many each second, all connections together, whatever the network does.
    PerSecond(f64),
}

/// Sends one body.
///
/// # Errors
/// When the node does not answer or refuses one of its transfers: a refusal would make every figure a lie, so it ends the
/// run.
pub async fn send_one(rpc: &Rpc, body: Body) -> anyhow::Result<()> {
    let answer = rpc.post(body.bytes).await?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.find("\"error\"") {
        None => Ok(()),
        Some(at) => bail!("{} refused a transfer: {:.200}", rpc.url(), &answer[at..]),
    }
}

/// Sends the bodies of each lane over its own connection, in order, until `until` after the flight's start.
///
/// # Errors
/// When a node refuses a transfer, or when all was sent before the time was over: then nothing was measured.
pub async fn send(
    connections: &[Rpc],
    lanes: Vec<Vec<Body>>,
    flight: &Arc<Flight>,
    pace: Pace,
    until: Duration,
) -> anyhow::Result<()> {
    let lane_count = connections.len();
    try_join_all(connections.iter().zip(lanes).enumerate().map(|(lane, (connection, bodies))| async move {
        for (number, body) in bodies.into_iter().enumerate() {
            match pace {
                Pace::Unfinal(most) => {
                    while flight.unfinal() + BODY_TRANSFERS > most && flight.elapsed() < until {
                        tokio::time::sleep(ROOM_LOOK_EVERY).await;
                    }
                }
                Pace::PerSecond(rate) => {
                    // Connections take turns, so that the network sees an even stream.
                    let turn = number * lane_count + lane;
                    let due = Duration::from_secs_f64((turn * BODY_TRANSFERS) as f64 / rate);
                    tokio::time::sleep(due.saturating_sub(flight.elapsed())).await;
                }
            }
            if flight.elapsed() >= until {
                return Ok(());
            }
            flight.on_sending(body.transfers.clone());
            send_one(connection, body).await.with_context(|| format!("connection {lane}"))?;
        }
        match pace {
            Pace::Unfinal(_) => bail!("all transfers were sent before the time was over: sign more"),
            Pace::PerSecond(_) => Ok(()),
        }
    }))
    .await
    .map(drop)
}
