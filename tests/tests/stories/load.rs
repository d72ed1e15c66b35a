//! Users that keep sending.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use alloy::{hex, signers::local::PrivateKeySigner};
use baton_tests::{devnet::Devnet, rpc::Rpc, transactions::transfer};
use serde_json::json;
use tokio::task::JoinHandle;

/// Pause between two transactions.
const PACE: Duration = Duration::from_millis(50);

/// Sends transfers from one account to some nodes in turn until stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    task: JoinHandle<anyhow::Result<u64>>,
}

impl Load {
    /// Starts sending to `nodes`.
    pub(crate) fn start(devnet: &Devnet, account: usize, nodes: &[usize]) -> anyhow::Result<Self> {
        let key: PrivateKeySigner = devnet.info.accounts[account].private_key.parse()?;
        let chain_id = devnet.info.chain_id;
        let nodes: Vec<Rpc> = nodes.iter().map(|index| devnet.rpc(*index)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut nonce = 0;
            while !stopped.load(Ordering::Relaxed) {
                let raw = hex::encode_prefixed(transfer(&key, chain_id, nonce, 1));
                let node = &nodes[usize::try_from(nonce)? % nodes.len()];
                // A refusal is answered by trying the next node with the next pace: a full pool empties, a gap closes.
                if let Ok(Ok(_)) = node.try_call("eth_sendRawTransaction", json!([raw])).await {
                    nonce += 1;
                }
                tokio::time::sleep(PACE).await;
            }
            Ok(nonce)
        });
        Ok(Self { stop, task })
    }

    /// Stops sending and returns how many were accepted.
    pub(crate) async fn stop(self) -> anyhow::Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await?
    }
}
