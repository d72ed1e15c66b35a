//! Gas of the transactions on L1, as the contracts' own tests count it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, ensure};
use tokio::process::Command;

use super::say;

/// What each kind of transaction may cost, by its name in the snapshot.
pub const BOUNDS: [(&str, u64); 3] = [("post, 4 members", 190_000), ("slash", 250_000), ("register", 450_000)];

/// Runs the gas tests against their snapshot and returns it.
///
/// # Errors
/// When a cost is not what the snapshot says, or forge cannot run.
pub async fn measure() -> anyhow::Result<BTreeMap<String, u64>> {
    say("gas tests of the contracts");
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts");
    let ran = Command::new("npm").args(["run", "--silent", "gas:check"]).current_dir(&contracts).output().await;
    let ran = ran.context("cannot run npm")?;
    ensure!(
        ran.status.success(),
        "the gas tests fail:\n{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    read(&std::fs::read(contracts.join("snapshots/gas.json"))?)
}

fn read(json: &[u8]) -> anyhow::Result<BTreeMap<String, u64>> {
    let texts: BTreeMap<String, String> = serde_json::from_slice(json)?;
    texts.into_iter().map(|(name, gas)| Ok((name, gas.parse()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_snapshot_keeps_the_bounds() {
        let snapshot = read(include_bytes!("../../../contracts/snapshots/gas.json")).unwrap();
        for (name, most) in BOUNDS {
            assert!(snapshot[name] <= most, "{name} costs {}", snapshot[name]);
        }
    }
}
