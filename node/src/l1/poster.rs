//! Posts certified batches to the inbox from this node's posting account.

use std::{sync::Arc, time::Duration};

use alloy_primitives::{Address, B256, Bytes};
use alloy_sol_types::SolCall;
use baton_proto::{BatchHeader, BatchIndex, Certificate, DataKind, Epoch};
use tokio::{
    sync::watch,
    task::{JoinHandle, spawn_blocking},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    account::AccountContext,
    bindings::{BindingError, RevertReason, post_call},
    client::L1Client,
    facts::ChainFacts,
    kzg::{KzgError, Sidecar},
    materialize,
    sender::{Call, SendError, Sender, Standing},
    watcher::L1View,
};

/// A batch with a quorum's certificate: all that `BatchInbox.post` needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedBatch {
    /// The header.
    pub header: BatchHeader,
    /// A quorum's `Attest` for it.
    pub certificate: Certificate,
    /// The data whose hash the header names.
    pub data: Bytes,
}

/// What the posting account is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PosterStatus {
    /// The account.
    pub account: Address,
    /// The batch that is on its way.
    pub posting: Option<BatchIndex>,
    /// Why nothing gets through; empty when all is well.
    pub trouble: String,
}

/// A running poster.
#[derive(Debug)]
pub struct Poster {
    /// What it is doing.
    pub status: watch::Receiver<PosterStatus>,
    /// Ends when the token is cancelled, or with an error when the ledger fails.
    pub task: JoinHandle<Result<(), SendError>>,
}

impl Poster {
    /// Starts posting what `orders` names, until it names something else or nothing.
    ///
    /// # Errors
    /// [`SendError`] when the intents of an earlier process cannot be read.
    pub fn spawn(
        account: AccountContext,
        orders: watch::Receiver<Option<Arc<CertifiedBatch>>>,
    ) -> Result<Self, SendError> {
        let sender = account.open("post")?;
        let (status, receiver) = watch::channel(PosterStatus { account: sender.account(), ..Default::default() });
        let AccountContext { client, facts, config, l1, cancel, .. } = account;
        let work = Work { client, facts, sender, status, refused: None, sidecar: None, step: None };
        Ok(Self { status: receiver, task: tokio::spawn(work.run(config.poll, orders, l1, cancel)) })
    }
}

struct Work {
    client: L1Client,
    facts: Arc<ChainFacts>,
    sender: Sender,
    status: watch::Sender<PosterStatus>,
    /// The last refusal that was logged, so that it is logged once.
    refused: Option<(BatchIndex, RevertReason)>,
    /// The blobs that were made last, by the data hash that they belong to.
    sidecar: Option<(B256, Arc<Sidecar>)>,
    /// What stores the committee of an epoch, until it is mined: to find it takes L1 some work.
    step: Option<(Epoch, Call)>,
}

impl Work {
    async fn run(
        mut self,
        poll: Duration,
        mut orders: watch::Receiver<Option<Arc<CertifiedBatch>>>,
        mut l1: watch::Receiver<L1View>,
        cancel: CancellationToken,
    ) -> Result<(), SendError> {
        loop {
            let order = orders.borrow_and_update().clone();
            let healthy = l1.borrow_and_update().healthy;
            if healthy {
                let round = tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    round = self.round(order.as_deref()) => round,
                };
                self.report(order.as_deref(), round)?;
            }
            let busy = order.is_some() || self.sender.unfinal() > 0;
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                changed = orders.changed() => if changed.is_err() { return Ok(()) },
                changed = l1.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(poll), if busy && healthy => {}
            }
        }
    }

    async fn round(&mut self, order: Option<&CertifiedBatch>) -> Result<Standing, RoundError> {
        let Some(order) = order else {
            self.step = None;
            return Ok(self.sender.drive(None).await?);
        };
        let call = self.next_call(order).await?;
        let driven = self.sender.drive(Some(&call)).await;
        if !matches!(driven, Ok(Standing::Pending { .. })) {
            self.step = None;
        }
        Ok(driven?)
    }

    /// The certificate's committee must stand on L1 before the inbox can check it.
    async fn next_call(&mut self, order: &CertifiedBatch) -> Result<Call, RoundError> {
        let epoch = order.certificate.statement.epoch();
        if let Some((of, step)) = &self.step
            && *of == epoch
        {
            return Ok(step.clone());
        }
        let (registry, account) = (self.facts.domain.registry, self.sender.account());
        let step = materialize::next_step(&self.client, account, registry, epoch).await.map_err(SendError::from)?;
        if let Some(step) = step {
            self.step = Some((epoch, step.clone()));
            return Ok(step);
        }
        let (data, blobs) = match order.header.data_kind {
            DataKind::Calldata => (order.data.clone(), None),
            DataKind::Blobs => (Bytes::new(), Some(self.sidecar(order).await?)),
        };
        let call = post_call(&order.header, &order.certificate, data)?;
        Ok(Call { to: self.facts.inbox, data: call.abi_encode().into(), blobs })
    }

    /// The blobs of `order` with their proofs, which take a second of one core: they are made once.
    async fn sidecar(&mut self, order: &CertifiedBatch) -> Result<Arc<Sidecar>, RoundError> {
        let hash = order.header.data_hash;
        if let Some((known, sidecar)) = &self.sidecar
            && *known == hash
        {
            return Ok(Arc::clone(sidecar));
        }
        let data = order.data.clone();
        let made = spawn_blocking(move || Sidecar::of(&data)).await;
        let sidecar = Arc::new(made.map_err(|error| RoundError::Blobs(error.to_string()))??);
        self.sidecar = Some((hash, Arc::clone(&sidecar)));
        Ok(sidecar)
    }

    fn report(&mut self, order: Option<&CertifiedBatch>, round: Result<Standing, RoundError>) -> Result<(), SendError> {
        let mut trouble = String::new();
        match round {
            Ok(Standing::Mined { block, hash, .. }) => {
                debug!(index = ?order.map(|order| order.header.index.get()), l1_block = %block, %hash, "call mined");
            }
            Ok(Standing::Idle | Standing::Pending { .. }) => {}
            Err(RoundError::Send(SendError::Refused(reason))) => self.refused(order, &reason, &mut trouble),
            Err(RoundError::Send(error)) if error.is_fatal() => return Err(error),
            Err(RoundError::Send(error)) => trouble = error.to_string(),
            // The certificate was verified when it was made, so its signature is a point.
            Err(RoundError::Binding(error)) => {
                error!(%error, "a certified batch cannot be posted");
                trouble = error.to_string();
            }
            // Its data hash was checked when it was attested, so its data has blobs.
            Err(RoundError::Blobs(error)) => {
                error!(%error, "the blobs of a certified batch cannot be made");
                trouble = error;
            }
        }
        self.status.send_if_modified(|status| {
            let posting = order.map(|order| order.header.index);
            if !trouble.is_empty() && trouble != status.trouble {
                warn!(trouble, "posting waits");
            }
            let modified = status.posting != posting || status.trouble != trouble;
            status.posting = posting;
            status.trouble = trouble;
            modified
        });
        Ok(())
    }

    fn refused(&mut self, order: Option<&CertifiedBatch>, reason: &RevertReason, trouble: &mut String) {
        let Some(order) = order else { return };
        let refusal = (order.header.index, reason.clone());
        if self.refused.as_ref() != Some(&refusal) {
            if reason.is_not_next() {
                info!(index = %order.header.index, %reason, "the inbox has another batch at this index");
            } else {
                error!(index = %order.header.index, %reason, "the inbox refuses a certified batch");
            }
            self.refused = Some(refusal);
        }
        if !reason.is_not_next() {
            *trouble = format!("the inbox refuses batch {}: {reason}", order.header.index);
        }
    }
}

enum RoundError {
    Send(SendError),
    Binding(BindingError),
    Blobs(String),
}

impl From<KzgError> for RoundError {
    fn from(error: KzgError) -> Self {
        Self::Blobs(error.to_string())
    }
}

impl From<SendError> for RoundError {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<BindingError> for RoundError {
    fn from(error: BindingError) -> Self {
        Self::Binding(error)
    }
}
