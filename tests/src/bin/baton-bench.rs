//! `make bench`: measures the node on the machine at hand and prints one table.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use baton_tests::{
    bench::{
        engine, gas,
        machine::{self, BlsCosts, Machine},
        network::{self, Users},
        pool,
        samples::millis,
        say, simulated,
        table::{self, Row},
    },
    devnet::{Devnet, ORDERING_ONLY},
};
use clap::{Parser, ValueEnum};

/// Least share of what the cores could recover in senders that must become final.
const RATIO_MIN: f64 = 0.25;

#[derive(Parser)]
#[command(name = "baton-bench", about = "Measures Baton on this machine; `make bench` builds and runs it")]
struct Cli {
    /// Measure only these parts. Repeatable. Default: all.
    #[arg(long = "only", value_enum)]
    only: Vec<Part>,
    /// Write the results between the markers of this Markdown file; all parts must be measured.
    #[arg(long, value_name = "FILE", conflicts_with = "only")]
    write: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Network,
    Engine,
    Simulated,
    Gas,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = runtime.context("no async runtime").and_then(|runtime| runtime.block_on(measure(&cli)));
    match done {
        Ok(rows) if rows.iter().all(|row| row.keeps != Some(false)) => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("bench: a bound is not kept");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(cli: &Cli) -> anyhow::Result<Vec<Row>> {
    let start = Instant::now();
    let wanted = |part| cli.only.is_empty() || cli.only.contains(&part);
    say("the machine");
    let folder = tempfile::Builder::new().prefix("baton-bench-").tempdir()?;
    let machine = Machine::look(folder.path())?;
    let mut rows = Vec::new();
    if wanted(Part::Network) {
        rows.extend(network_rows(&machine).await?);
    }
    if wanted(Part::Engine) {
        rows.extend(engine_rows(&machine).await?);
    }
    if wanted(Part::Simulated) {
        rows.extend(simulated::measure().await?);
    }
    if wanted(Part::Gas) {
        rows.extend(gas_rows().await?);
    }
    let heading = format!(
        "`make bench` on {}: {}, {} cores; one synced write of 512 bytes {} ms (median); load at the start {}.",
        machine.date,
        machine.model,
        machine.cores,
        millis(machine.sync),
        machine.load,
    );
    println!("\n{heading}\n\n{}", table::text(&rows));
    if let Some(path) = &cli.write {
        table::write_into(path, &table::markdown(&heading, &rows))?;
        say(format_args!("written into {}", shown(path)));
    }
    say(format_args!("done in {} s", start.elapsed().as_secs()));
    Ok(rows)
}

fn shown(path: &Path) -> impl std::fmt::Display {
    path.display()
}

async fn network_rows(machine: &Machine) -> anyhow::Result<Vec<Row>> {
    say("recovering senders on all cores");
    let recovery_before = machine::recovery_cost();
    say("starting four nodes");
    let devnet = Devnet::start(&ORDERING_ONLY).await?;
    let nodes = devnet.info.nodes.len();
    let measured = async {
        let mut users = Users::new(&devnet);
        let figures = users.measure(&devnet).await?;
        let full_pool = pool::resident_with_full_pool(&devnet, &mut users).await?;
        anyhow::Ok((figures, full_pool))
    };
    let measured = measured.await;
    devnet.stop().await?;
    let (figures, full_pool) = measured?;
    // The machine may have become slower or faster meanwhile: the stricter of both.
    let recovery = recovery_before.min(machine::recovery_cost());
    let network::Figures { rate, saturated, cpu_per_thousand, cores_used, paced_rate, paced, single, .. } = figures;
    let bound = machine.cores as f64 / (nodes as f64 * recovery.as_secs_f64());
    let ratio = rate / bound;
    let [by_nodes, by_users, by_l1] = cores_used;
    Ok(vec![
        Row::new(
            "final transactions per second, 4 nodes",
            format!("{rate:.0}"),
            format!(
                "{:.0} % of {bound:.0}, all that {} cores could recover in {nodes} nodes",
                ratio * 100.0,
                machine.cores
            ),
        ),
        Row::new("that share", format!("{ratio:.2}"), format!("at least {RATIO_MIN}")).bound(ratio >= RATIO_MIN),
        Row::new(
            "recovering one sender, all cores at it",
            format!("{} µs", recovery.as_micros()),
            "decoding and hashing included",
        ),
        Row::new(
            "CPU for 1,000 transactions, 4 nodes",
            format!("{:.2} s", cpu_per_thousand.as_secs_f64()),
            format!("of it recovery {:.2} s", recovery.as_secs_f64() * 1_000.0 * nodes as f64),
        ),
        Row::new(
            "cores in use by nodes / users / L1",
            format!("{by_nodes:.2} / {by_users:.2} / {by_l1:.2}"),
            format!("of {}", machine.cores),
        ),
        Row::new(
            "time to final at that rate, p50 / p90 / p99",
            format!("{} ms", saturated.spread_ms()),
            "4,000 on their way",
        ),
        Row::new(
            format!("time to final at {paced_rate:.0}/s, p50 / p90 / p99"),
            format!("{} ms", paced.spread_ms()),
            "70 % of that rate",
        ),
        Row::new(
            "time to final, one by one, p50 / p90 / p99",
            format!("{} ms", single.spread_ms()),
            format!("{} transactions; a block every 100 ms at most", single.len()),
        ),
        Row::new("most memory resident, any node", format!("{} MiB", figures.resident_max_mib), "under load"),
        Row::new(
            "memory with 10,000 pooled transactions (19 MB)",
            format!("{full_pool} MiB"),
            format!("at most {} MiB", pool::RESIDENT_MAX_MIB),
        )
        .bound(full_pool <= pool::RESIDENT_MAX_MIB),
    ])
}

async fn engine_rows(machine: &Machine) -> anyhow::Result<Vec<Row>> {
    let BlsCosts { sign, verify, certificate } = machine::bls_costs();
    let figures = engine::measure().await?;
    let floor = machine.sync * 2 + sign + certificate * 2;
    let p50 = figures.to_final.percentile(50);
    let times = |duration: Duration| duration.as_secs_f64() / floor.as_secs_f64();
    Ok(vec![
        Row::new(
            "consensus alone, blocks per second",
            format!("{:.0}", figures.blocks_per_second),
            "as we measured on two cores: commonware simplex (BLS) 96 to 110, Malachite (ed25519) 65",
        ),
        Row::new(
            "proposal to final at a member, p50 / p90 / p99",
            format!("{} ms", figures.to_final.spread_ms()),
            "commonware simplex 12.5 to 14.1 (p50)",
        ),
        Row::new(
            "proposal to final at its leader, p50 / p90 / p99",
            format!("{} ms", figures.to_final_at_leader.spread_ms()),
            format!("{} blocks", figures.to_final_at_leader.len()),
        ),
        Row::new("from block to block, p50 / p90 / p99", format!("{} ms", figures.between.spread_ms()), ""),
        Row::new(
            "CPU for a block, each member",
            format!("{} ms", millis(figures.cpu_per_block)),
            "commonware simplex 3.6",
        ),
        Row::new("views without a final block", format!("{:.1} %", figures.views_lost * 100.0), ""),
        Row::new(
            "BLS: sign / check a vote / check a certificate of 4",
            format!("{} / {} / {} ms", millis(sign), millis(verify), millis(certificate)),
            "one core",
        ),
        Row::new(
            "p50 over 2 syncs + 1 signature + 2 certificate checks",
            format!("{:.1}", times(p50)),
            format!("of {} ms", millis(floor)),
        ),
    ])
}

async fn gas_rows() -> anyhow::Result<Vec<Row>> {
    let costs = gas::measure().await?;
    gas::BOUNDS
        .iter()
        .map(|(name, most)| {
            let cost = *costs.get(*name).with_context(|| format!("the snapshot has no {name}"))?;
            let bound = format!("at most {most}");
            Ok(Row::new(format!("gas: {name}"), cost.to_string(), bound).bound(cost <= *most))
        })
        .collect()
}
