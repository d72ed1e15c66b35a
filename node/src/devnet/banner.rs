//! The first thing a devnet prints.

use std::{fmt::Write as _, time::Duration};

use super::info::DevnetInfo;

/// Returns the banner: where everything is, and what is for development only. `live` says whether a table follows.
pub(super) fn text(info: &DevnetInfo, took: Duration, live: bool) -> String {
    let mut text = format!("\nbaton {}: a devnet of {} nodes\n", env!("CARGO_PKG_VERSION"), info.nodes.len());
    let mut section = |title: &str, lines: Vec<String>| {
        let _ = write!(text, "\n{title}\n{}\n{}\n", "=".repeat(title.len()), lines.join("\n"));
    };
    section(
        "Listening",
        info.nodes
            .iter()
            .enumerate()
            .map(|(i, node)| format!("node {i}   {}   health {}", node.rpc, node.health))
            .collect(),
    );
    section("Network", vec![format!("chain id  {}", info.chain_id)]);
    let l1 = &info.l1;
    section(
        "L1",
        vec![
            format!("endpoint  {}  (chain id {})", l1.rpc, l1.chain_id),
            format!("registry  {}", l1.registry),
            format!("inbox     {}", l1.inbox),
            format!("slasher   {}", l1.slasher),
            format!("liveness  {}", l1.liveness),
            format!("token     {}", l1.token),
        ],
    );
    section(
        "Accounts (public knowledge: never use them for anything of value)",
        info.accounts.iter().map(|account| format!("{}  {}", account.address, account.private_key)).collect(),
    );
    let logs: Vec<String> = info.nodes.iter().map(|node| node.log.display().to_string()).collect();
    section("Logs", logs);
    let end = if live { "Ctrl-C stops everything." } else { "SIGTERM or Ctrl-C stops everything." };
    let _ = write!(text, "\nready after {:.1} s. {end}\n", took.as_secs_f64());
    text
}
