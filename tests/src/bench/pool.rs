//! What a full pool costs in memory.

use anyhow::Context as _;
use serde_json::json;

use super::{network::Users, process, say};
use crate::devnet::{Devnet, until};

/// Transactions that the pool is filled with.
pub const TRANSACTIONS: u64 = 10_000;

/// Calldata of each: with it they fill the pool's 20 MB too, so that no pool of so many is heavier.
const DATA_BYTES: usize = 1_850;

/// Bound on the memory of a node with a full pool, in MiB.
pub const RESIDENT_MAX_MIB: u64 = 500;

/// Nodes that are watched: one that takes the transactions in and passes them on, and one that gets them from it.
const WATCHED: [usize; 2] = [0, 1];

/// Nodes that are stopped, by their number: of stakes 32, 28, 22 and 18, too much for the others to be a quorum.
const STOPPED: [usize; 2] = [2, 3];

/// Returns the most memory, in MiB, that node 0 or 1 ever had resident once [`TRANSACTIONS`] are in the pools of both. They
/// cannot be emptied meanwhile, because the other nodes stand still.
///
/// # Errors
/// When the pool does not take them.
pub async fn resident_with_full_pool(devnet: &Devnet, users: &mut Users) -> anyhow::Result<u64> {
    say(format_args!("filling a pool with {TRANSACTIONS} transactions while there is no quorum"));
    let pids = devnet.node_pids()?;
    for node in STOPPED {
        devnet.signal(pids[node], "STOP").await?;
    }
    let filled = fill(devnet, users, WATCHED.map(|node| pids[node])).await;
    for node in STOPPED {
        devnet.signal(pids[node], "CONT").await?;
    }
    filled
}

async fn fill(devnet: &Devnet, users: &mut Users, watched: [u32; 2]) -> anyhow::Result<u64> {
    users.fill(devnet, usize::try_from(TRANSACTIONS)?, DATA_BYTES).await?;
    // Once the second node has them all, the first has passed on what it had to: nothing is on its way any more.
    for node in WATCHED {
        let rpc = devnet.rpc(node);
        let pooled = || async {
            let status = rpc.call("baton_status", json!([])).await?;
            let pooled = status["poolTransactions"].as_u64().context("no poolTransactions in baton_status")?;
            Ok((pooled >= TRANSACTIONS).then_some(()))
        };
        until("a full pool", pooled).await?;
    }
    watched.into_iter().try_fold(0, |most, pid| Ok(most.max(process::resident_max_mib(pid)?)))
}
