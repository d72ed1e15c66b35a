//! Consensus alone: four `baton` processes on loopback, empty blocks, nothing to wait for.
//!
//! The chain spec sets `minBlockMs` and `idleBlockMs` to 0, so that a leader proposes as soon as it enters its view, and
//! `batchAgeBlocks` so high that nothing is posted. All else is as it always is: libp2p, BLS, the sign record and the ledger
//! synced to the disk before anything is sent. Times come from the nodes' own log lines, all by the same clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    ops::Range,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use super::{process, samples::Samples, say};
use crate::devnet::Devnet;

/// Chain parameters of the run.
const SPEC: [&str; 10] = [
    // What consensus itself costs.
    "--spec",
    "executor=0",
    "--spec",
    "minBlockMs=0",
    "--spec",
    "idleBlockMs=0",
    "--spec",
    "batchAgeBlocks=100000",
    // Views count from one in every epoch.
    "--spec",
    "epochBlocks=512",
];

/// One line for each block built and for each block final, and nothing else.
const LOG: [(&str, &str); 2] = [
    ("BATON_LOG_LEVEL", "warn,baton_node::driver::effects=debug,baton_node::driver::commit=info"),
    ("BATON_LOG_FORMAT", "json"),
];

/// How long the network runs before anything counts.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long it is measured.
const WINDOW: Duration = Duration::from_secs(20);

/// A day; log lines are told apart by their time of day alone.
const DAY: Duration = Duration::from_secs(86_400);

/// What consensus does when it is alone.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Members.
    pub members: usize,
    /// Final blocks per second.
    pub blocks_per_second: f64,
    /// From a block's being built to its being final on the disk of a member, over all members.
    pub to_final: Samples,
    /// The same at the member that built it.
    pub to_final_at_leader: Samples,
    /// From one final block to the next, at one member.
    pub between: Samples,
    /// CPU time of a node for one block.
    pub cpu_per_block: Duration,
    /// Share of views in the window that ended without a block of their own.
    pub views_lost: f64,
}

/// Runs and measures it.
///
/// # Errors
/// When the network does not come up, or its log does not say what is looked for.
pub async fn measure() -> anyhow::Result<Figures> {
    say("starting four nodes without pacing");
    let devnet = Devnet::start_with(&SPEC, &LOG).await?;
    let measured = run(&devnet).await;
    devnet.stop().await?;
    measured
}

async fn run(devnet: &Devnet) -> anyhow::Result<Figures> {
    let nodes = devnet.node_pids()?;
    let rpc = devnet.rpc(0);
    tokio::time::sleep(WARM_UP).await;
    say(format_args!("measuring for {} s", WINDOW.as_secs()));
    let (first, before) = (rpc.height().await?, process::cpu_time_of(&nodes)?);
    let start = tokio::time::Instant::now();
    tokio::time::sleep(WINDOW).await;
    let (last, after) = (rpc.height().await?, process::cpu_time_of(&nodes)?);
    let took = start.elapsed();
    ensure!(last > first, "no block became final");

    let logs = devnet.info.nodes.iter().map(|node| read(&node.log)).collect::<anyhow::Result<Vec<_>>>()?;
    let blocks = last - first;
    let heights = first + 1..last + 1;
    let (to_final, to_final_at_leader) = to_final(&logs, &heights);
    ensure!(!to_final_at_leader.is_empty(), "the logs do not say when blocks were built");
    let finals: BTreeMap<u64, &Line> = logs[0]
        .iter()
        .filter(|line| line.is_final && heights.contains(&line.height))
        .map(|line| (line.height, line))
        .collect();
    let views =
        finals.last_key_value().zip(finals.first_key_value()).map(|((_, last), (_, first))| last.view - first.view);
    let views = views.unwrap_or_default() + 1;
    let times: Vec<Duration> = finals.values().map(|line| line.time).collect();
    Ok(Figures {
        members: nodes.len(),
        blocks_per_second: blocks as f64 / took.as_secs_f64(),
        to_final,
        to_final_at_leader,
        between: times.windows(2).map(|pair| since(pair[0], pair[1])).collect(),
        cpu_per_block: after.saturating_sub(before).div_f64(blocks as f64 * nodes.len() as f64),
        views_lost: 1.0 - finals.len() as f64 / views as f64,
    })
}

/// A block built or final.
#[derive(Debug)]
struct Line {
    time: Duration,
    height: u64,
    view: u64,
    is_final: bool,
}

fn read(log: &Path) -> anyhow::Result<Vec<Line>> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    Ok(text.lines().filter_map(line).collect())
}

fn line(text: &str) -> Option<Line> {
    #[derive(Deserialize)]
    struct Event<'a> {
        timestamp: &'a str,
        #[serde(borrow)]
        fields: Fields<'a>,
    }
    #[derive(Deserialize)]
    struct Fields<'a> {
        message: &'a str,
        height: Option<&'a str>,
        view: Option<&'a str>,
    }
    let Event { timestamp, fields } = serde_json::from_str(text).ok()?;
    let is_final = match fields.message {
        "block built" => false,
        "block final" => true,
        _ => return None,
    };
    Some(Line {
        time: time_of_day(timestamp)?,
        height: fields.height?.parse().ok()?,
        view: fields.view?.parse().ok()?,
        is_final,
    })
}

/// Reads the time of day from RFC 3339 in UTC, as the log writes it.
fn time_of_day(timestamp: &str) -> Option<Duration> {
    let time = timestamp.split_once('T')?.1.strip_suffix('Z')?;
    let mut parts = time.splitn(3, ':');
    let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let seconds: f64 = parts.next()?.parse().ok()?;
    Some(Duration::from_secs(hours * 3_600 + minutes * 60) + Duration::try_from_secs_f64(seconds).ok()?)
}

/// Midnight may lie between the two.
fn since(earlier: Duration, later: Duration) -> Duration {
    if later < earlier { later + DAY - earlier } else { later - earlier }
}

/// Returns the times from built to final of the blocks at `heights`: at every member, and at the one that built it.
fn to_final(logs: &[Vec<Line>], heights: &Range<u64>) -> (Samples, Samples) {
    let counts = |line: &&Line| heights.contains(&line.height);
    let mut built = BTreeMap::new();
    for (node, log) in logs.iter().enumerate() {
        for line in log.iter().filter(counts).filter(|line| !line.is_final) {
            built.insert((line.height, line.view), (node, line.time));
        }
    }
    let (mut everywhere, mut at_leader, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (node, log) in logs.iter().enumerate() {
        for line in log.iter().filter(counts).filter(|line| line.is_final) {
            if let Some((leader, time)) = built.get(&(line.height, line.view))
                && seen.insert((node, line.height))
            {
                let took = since(*time, line.time);
                everywhere.push(took);
                if *leader == node {
                    at_leader.push(took);
                }
            }
        }
    }
    (everywhere.into_iter().collect(), at_leader.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_become_times() {
        let built = r#"{"timestamp":"2026-01-02T23:59:59.999500Z","level":"DEBUG","fields":{"message":"block built","height":"7","view":"9","transactions":0},"target":"t"}"#;
        let finals = [("00:00:00.004500", 0), ("00:00:00.009500", 1)].map(|(time, node)| {
            let text = format!(
                r#"{{"timestamp":"2026-01-03T{time}Z","fields":{{"message":"block final","height":"7","view":"9","proposer":"0"}}}}"#
            );
            (node, line(&text).unwrap())
        });
        let mut logs = vec![vec![line(built).unwrap()], Vec::new()];
        for (node, line) in finals {
            logs[node].push(line);
        }
        assert!(line(r#"{"timestamp":"2026-01-03T00:00:00Z","fields":{"message":"a proposal waits"}}"#).is_none());
        assert!(line("not JSON").is_none());
        let (everywhere, at_leader) = to_final(&logs, &(7..8));
        assert_eq!(everywhere.into_durations(), [5, 10].map(Duration::from_millis));
        assert_eq!(at_leader.into_durations(), [Duration::from_millis(5)]);
        assert!(to_final(&logs, &(8..9)).0.is_empty());
    }
}
