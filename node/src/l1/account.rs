//! What a task that owns an L1 account needs of the node.

use std::{sync::Arc, time::Duration};

use alloy::signers::local::PrivateKeySigner;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    client::L1Client,
    facts::ChainFacts,
    sender::{SendError, Sender, SenderConfig},
    watcher::L1View,
};
use crate::ledger::Ledger;

/// How an account pays and how often it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountConfig {
    /// How long a transaction may wait before it is replaced by one with higher fees.
    pub replace_after: Duration,
    /// Most wei per gas that is ever offered.
    pub fee_ceiling_wei: u128,
    /// Most wei per gas of a tip that is offered because L1 suggests it; a replacement's may be higher.
    pub tip_ceiling_wei: u128,
    /// How often transactions on their way are looked at, besides at each new L1 block.
    pub poll: Duration,
}

impl Default for AccountConfig {
    /// Four L1 slots until a replacement, at most 500 gwei, of which 20 are a tip.
    fn default() -> Self {
        Self {
            replace_after: Duration::from_secs(48),
            fee_ceiling_wei: 500_000_000_000,
            tip_ceiling_wei: 20_000_000_000,
            poll: Duration::from_millis(500),
        }
    }
}

/// An account with what its task works on. No other task, and no other process, may use the same account.
pub struct AccountContext {
    /// L1.
    pub client: L1Client,
    /// The chain.
    pub facts: Arc<ChainFacts>,
    /// Where intents are kept.
    pub ledger: Arc<dyn Ledger>,
    /// The account.
    pub key: PrivateKeySigner,
    /// How it pays.
    pub config: AccountConfig,
    /// What this node sees of L1.
    pub l1: watch::Receiver<L1View>,
    /// Ends the task.
    pub cancel: CancellationToken,
}

impl AccountContext {
    /// Takes the account over with the intents that an earlier process left.
    pub(super) fn open(&self, purpose: &'static str) -> Result<Sender, SendError> {
        let config = SenderConfig {
            purpose,
            replace_after: self.config.replace_after,
            fee_ceiling_wei: self.config.fee_ceiling_wei,
            tip_ceiling_wei: self.config.tip_ceiling_wei,
        };
        Sender::open(self.client.clone(), Arc::clone(&self.ledger), self.key.clone(), config)
    }
}
