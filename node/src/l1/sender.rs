//! The one writer of an L1 account: it owns the account's nonces and remembers, on disk, what it meant each for.
//!
//! ```text
//!   drive(want) ──▶ simulate ──▶ sign ──▶ store intent (fresh, synced) ──▶ send to every endpoint ──▶ store (sent)
//!                      │ refused: nothing is sent                              │ time-out: +12 %, same nonce,
//!                      ▼                                                       ▼ up to the ceiling (blobs: +100 %)
//!                  the reason                              receipt ──▶ mined ──▶ final ──▶ intent removed
//!                                                            ▲           │
//!                                                            └── reorg: the same bytes again
//! ```
//! A crash between any two steps leaves an intent from which the next start finds the transaction by its nonce and
//! hashes. So no payload ever takes two nonces while one of them can still be mined: a payload gets a fresh nonce only
//! when no live intent carries it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::{
    consensus::{
        SignableTransaction, Transaction as _, TxEip1559, TxEip4844, TxEip4844Variant, TxEip4844WithSidecar, TxEnvelope,
    },
    eips::{
        eip2718::{Decodable2718, Encodable2718},
        eip7594::BlobTransactionSidecarVariant,
    },
    network::TxSignerSync,
    signers::local::PrivateKeySigner,
};
use alloy_primitives::{Address, B256, Bytes, TxHash, TxKind, U256, keccak256};
use baton_proto::L1BlockNumber;
use tracing::{debug, error, info, warn};

use super::{
    bindings::RevertReason,
    client::{At, Broadcast, L1Client},
    error::L1Error,
    fees::{AboveCeiling, Fees},
    kzg::Sidecar,
};
use crate::ledger::{IntentState, Ledger, LedgerError, PostIntent};

/// Most gas of one transaction on L1: the cap of EIP-7825.
const L1_GAS_MAX: u64 = 1 << 24;

/// Most intents that wait for finality; then nothing new is sent. A healthy L1 finalizes a transaction within some 90
/// blocks, and at most one batch is posted in each.
const INTENTS_MAX: usize = 256;

/// Most replacements of one nonce: 12 % thirty-two times is a factor of 37.
const HASHES_MAX: usize = 32;

/// How often a payload may fail after it was simulated with success, before it is given up.
const FAILURES_MAX: u32 = 3;

/// Rounds in which a used nonce may show no receipt of ours before we believe that somebody else used it: endpoints know
/// a block some time before its receipts.
const RECEIPT_PATIENCE: u32 = 5;

/// What an account is asked to call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The contract.
    pub to: Address,
    /// The ABI-encoded call.
    pub data: Bytes,
    /// The blobs that the transaction carries.
    pub blobs: Option<Arc<Sidecar>>,
}

impl Call {
    /// Returns a call in a transaction without blobs.
    #[must_use]
    pub const fn plain(to: Address, data: Bytes) -> Self {
        Self { to, data, blobs: None }
    }

    /// Returns what identifies the call: keccak256 of address, data and versioned hashes.
    #[must_use]
    pub fn digest(&self) -> B256 {
        let hashes = self.blobs.iter().flat_map(|blobs| &blobs.versioned_hashes).flatten();
        let bytes: Vec<u8> = self.to.iter().chain(self.data.iter()).chain(hashes).copied().collect();
        keccak256(bytes)
    }

    /// Returns the call that does nothing in place of this one, of an account that is to lose its nonce. L1's pools keep
    /// transactions with and without blobs apart and replace each only by its like, so it carries the same blobs.
    fn cancelled(&self, account: Address) -> Self {
        Self { to: account, data: Bytes::new(), blobs: self.blobs.clone() }
    }

    /// Whether L1's pools take one of the two in place of the other.
    const fn can_replace(&self, other: &Self) -> bool {
        self.blobs.is_some() == other.blobs.is_some()
    }
}

/// How a [`Sender`] behaves.
#[derive(Clone, Debug)]
pub struct SenderConfig {
    /// What the account is for; appears in logs.
    pub purpose: &'static str,
    /// How long a transaction may wait before it is replaced by one with higher fees.
    pub replace_after: Duration,
    /// Most wei per gas that is ever offered.
    pub fee_ceiling_wei: u128,
    /// Most wei per gas of a tip that is offered because L1 suggests it; a replacement's may be higher.
    pub tip_ceiling_wei: u128,
}

/// Why a call is not sent.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum SendError {
    #[error("L1 refuses the call: {0}")]
    Refused(RevertReason),
    #[error(transparent)]
    L1(L1Error),
    #[error(transparent)]
    AboveCeiling(#[from] AboveCeiling),
    #[error("the call failed {0} times on L1 although it had been simulated with success")]
    KeepsFailing(u32),
    #[error("{0} transactions wait for finality; nothing more is sent until L1 finalizes")]
    TooManyUnfinal(usize),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the transaction could not be signed: {0}")]
    Sign(String),
    #[error("a task of the account panicked: {0}")]
    Panicked(#[from] tokio::task::JoinError),
}

impl From<L1Error> for SendError {
    fn from(error: L1Error) -> Self {
        match error {
            L1Error::Reverted { reason, .. } => Self::Refused(*reason),
            other => Self::L1(other),
        }
    }
}

impl SendError {
    /// Returns whether driving the same call again can help without anybody's doing.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::L1(error) => error.is_retryable(),
            Self::AboveCeiling(_) | Self::TooManyUnfinal(_) => true,
            // The reason can pass, as "not the next batch" does; simulating again costs nothing.
            Self::Refused(_) => true,
            Self::KeepsFailing(_) | Self::Ledger(_) | Self::Sign(_) | Self::Panicked(_) => false,
        }
    }

    /// Returns whether it is this node that fails, rather than L1 or the call: then it has to stop.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::Ledger(_) | Self::Sign(_) | Self::Panicked(_) => true,
            Self::Refused(_)
            | Self::L1(_)
            | Self::AboveCeiling(_)
            | Self::KeepsFailing(_)
            | Self::TooManyUnfinal(_) => false,
        }
    }
}

/// Where the wanted call stands after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was wanted.
    Idle,
    /// It was sent and waits to be mined, or waits behind an older transaction of the account.
    Pending {
        /// Its nonce, or that of the transaction before it.
        nonce: u64,
    },
    /// It is in the chain, successfully; a reorg can still take it out.
    Mined {
        /// Its nonce.
        nonce: u64,
        /// The L1 block.
        block: L1BlockNumber,
        /// The transaction.
        hash: TxHash,
    },
}

struct Live {
    intent: PostIntent,
    call: Call,
    fees: Fees,
    gas_limit: u64,
    /// When this process last handed it to L1; `None` if not yet.
    sent_at: Option<Instant>,
    /// The block and transaction that hold it, and whether it succeeded.
    mined: Option<(L1BlockNumber, TxHash, bool)>,
    /// Rounds in which its nonce was used without a receipt of ours.
    unexplained: u32,
    /// Whether the operator was told that the ceiling holds it back.
    held: bool,
    /// Whether an endpoint asked for higher fees.
    underpriced: bool,
}

impl Live {
    const fn nonce(&self) -> u64 {
        self.intent.nonce
    }
}

/// The only writer of one L1 account.
pub struct Sender {
    client: L1Client,
    ledger: Arc<dyn Ledger>,
    key: PrivateKeySigner,
    config: SenderConfig,
    live: BTreeMap<u64, Live>,
    failures: BTreeMap<B256, u32>,
}

impl Sender {
    /// Takes over the account of `key` with the intents that an earlier process left. Nothing is asked of L1 yet.
    ///
    /// # Errors
    /// [`SendError::Ledger`] when the intents cannot be read; an intent whose bytes are damaged is one of these.
    pub fn open(
        client: L1Client,
        ledger: Arc<dyn Ledger>,
        key: PrivateKeySigner,
        config: SenderConfig,
    ) -> Result<Self, SendError> {
        let account = key.address();
        let mut live = BTreeMap::new();
        for intent in ledger.intents()? {
            if intent.account != account {
                continue;
            }
            let Some(entry) = live_from_stored(intent) else {
                return Err(SendError::Sign(format!("a stored intent of {account} does not decode")));
            };
            info!(purpose = config.purpose, nonce = entry.nonce(), state = ?entry.intent.state, "intent taken over");
            live.insert(entry.nonce(), entry);
        }
        Ok(Self { client, ledger, key, config, live, failures: BTreeMap::new() })
    }

    /// Returns the account.
    #[must_use]
    pub fn account(&self) -> Address {
        self.key.address()
    }

    /// Returns how many transactions are not final yet.
    #[must_use]
    pub fn unfinal(&self) -> usize {
        self.live.len()
    }

    /// Does one round: looks at L1, keeps what is on its way moving, and starts `want` if nothing is in its way.
    ///
    /// Called again and again with the same `want` until it is no longer wanted. With `None` only what was sent before
    /// is looked after; what L1 would refuse by now is then cancelled at its nonce.
    ///
    /// # Errors
    /// [`SendError`]; everything durable stays as it was.
    pub async fn drive(&mut self, want: Option<&Call>) -> Result<Standing, SendError> {
        let count = self.observe().await?;
        let wanted = want.map(|call| (call, call.digest()));
        if let Some((_, digest)) = wanted
            && let Some(standing) = self.mined_standing(digest)
        {
            return Ok(standing);
        }
        if let Some(nonce) = self.live.values().find(|live| live.mined.is_none()).map(Live::nonce) {
            self.tend(nonce, wanted).await?;
            return Ok(if want.is_some() { Standing::Pending { nonce } } else { Standing::Idle });
        }
        let Some((call, digest)) = wanted else { return Ok(Standing::Idle) };
        if let Some(failures) = self.failures.get(&digest).filter(|failures| **failures >= FAILURES_MAX) {
            return Err(SendError::KeepsFailing(*failures));
        }
        if self.live.len() >= INTENTS_MAX {
            return Err(SendError::TooManyUnfinal(self.live.len()));
        }
        // An unfinal intent above L1's count was taken out by a reorg and is tended above, so every live nonce is used.
        let nonce = self.live.keys().next_back().map_or(count, |last| count.max(last.saturating_add(1)));
        self.start(nonce, call).await?;
        self.send(nonce).await?;
        Ok(Standing::Pending { nonce })
    }

    fn mined_standing(&self, digest: B256) -> Option<Standing> {
        self.live.values().find_map(|live| match live.mined {
            Some((block, hash, true)) if live.intent.payload_digest == digest => {
                Some(Standing::Mined { nonce: live.nonce(), block, hash })
            }
            _ => None,
        })
    }

    /// Brings every live intent up to date with L1 and returns the account's next nonce there.
    async fn observe(&mut self) -> Result<u64, SendError> {
        let account = self.account();
        let count = self.client.transaction_count(account, At::Latest).await?;
        if self.live.is_empty() {
            return Ok(count);
        }
        let finalized = self.client.agreed_final().await?.origin.number;
        for nonce in self.live.keys().copied().collect::<Vec<_>>() {
            let Some(live) = self.live.get(&nonce) else { continue };
            let found = if nonce < count { self.find_receipt(&live.intent.hashes).await? } else { None };
            if let Some((_, hash, _)) = found
                && live.intent.hashes.last() != Some(&hash)
            {
                self.adopt_payload(nonce, hash).await?;
            }
            self.note(nonce, count, found, finalized)?;
        }
        Ok(count)
    }

    async fn find_receipt(&self, hashes: &[TxHash]) -> Result<Option<(L1BlockNumber, TxHash, bool)>, SendError> {
        // The newest first: it pays most, so it is the likeliest.
        for hash in hashes.iter().rev() {
            if let Some(receipt) = self.client.receipt(*hash).await?
                && let Some(block) = receipt.block_number
            {
                return Ok(Some((L1BlockNumber::new(block), *hash, receipt.status())));
            }
        }
        Ok(None)
    }

    /// An older transaction of a nonce was mined: the intent's payload is that one's, which a replacement can have
    /// changed.
    async fn adopt_payload(&mut self, nonce: u64, hash: TxHash) -> Result<(), SendError> {
        let Some(transaction) = self.client.transaction(hash).await? else { return Ok(()) };
        let Some(to) = transaction.to() else { return Ok(()) };
        let Some(live) = self.live.get_mut(&nonce) else { return Ok(()) };
        // Only calls of the same blobs, or of none, are ever made for one nonce.
        let call = Call { to, data: transaction.input().clone(), blobs: live.call.blobs.clone() };
        live.intent.payload_digest = call.digest();
        live.call = call;
        Ok(())
    }

    fn note(
        &mut self,
        nonce: u64,
        count: u64,
        found: Option<(L1BlockNumber, TxHash, bool)>,
        finalized: L1BlockNumber,
    ) -> Result<(), SendError> {
        let purpose = self.config.purpose;
        let Some(live) = self.live.get_mut(&nonce) else { return Ok(()) };
        match found {
            Some((block, hash, succeeded)) => {
                live.unexplained = 0;
                if live.mined != Some((block, hash, succeeded)) {
                    live.mined = Some((block, hash, succeeded));
                    info!(purpose, nonce, %hash, l1_block = %block, succeeded, "transaction mined");
                    if !succeeded {
                        let failures = self.failures.entry(live.intent.payload_digest).or_default();
                        *failures = failures.saturating_add(1);
                        error!(purpose, nonce, %hash, failures, "transaction failed on L1 after a successful simulation");
                    }
                }
                if block <= finalized {
                    self.ledger.remove_intent(live.intent.account, nonce)?;
                    debug!(purpose, nonce, %hash, "transaction final");
                    self.failures.remove(&live.intent.payload_digest).filter(|_| succeeded);
                    self.live.remove(&nonce);
                } else if live.intent.state != IntentState::Mined {
                    live.intent.state = IntentState::Mined;
                    self.ledger.put_intent(&live.intent)?;
                }
            }
            None if nonce >= count => {
                live.unexplained = 0;
                if live.mined.take().is_some() {
                    warn!(purpose, nonce, "an L1 reorg took the transaction out; it is sent again");
                    live.sent_at = None;
                    live.intent.state = IntentState::Sent;
                    self.ledger.put_intent(&live.intent)?;
                }
            }
            None => {
                live.unexplained = live.unexplained.saturating_add(1);
                if live.unexplained >= RECEIPT_PATIENCE {
                    error!(
                        purpose,
                        nonce,
                        account = %live.intent.account,
                        "another transaction used this nonce: somebody else holds this account's key"
                    );
                    self.ledger.remove_intent(live.intent.account, nonce)?;
                    self.live.remove(&nonce);
                }
            }
        }
        Ok(())
    }

    /// Keeps the lowest unmined transaction moving, or replaces it when L1 would refuse it by now.
    async fn tend(&mut self, nonce: u64, wanted: Option<(&Call, B256)>) -> Result<(), SendError> {
        let Some(live) = self.live.get(&nonce) else { return Ok(()) };
        if live.unexplained > 0 {
            // The nonce is used; which transaction did it shows with the receipt.
            return Ok(());
        }
        let is_wanted = wanted.is_some_and(|(_, digest)| digest == live.intent.payload_digest);
        let is_cancel = live.call.to == self.account();
        let overdue = live.sent_at.is_none_or(|sent| sent.elapsed() >= self.config.replace_after);
        if is_wanted && !overdue && !live.underpriced {
            return Ok(());
        }
        let call = live.call.clone();
        let refusal = if is_cancel { None } else { self.refusal(&call).await? };
        if let Some(reason) = refusal {
            if self.was_never_sent(nonce).await? {
                info!(purpose = self.config.purpose, nonce, %reason, "L1 refuses what was never sent; it is forgotten");
                self.ledger.remove_intent(self.account(), nonce)?;
                self.live.remove(&nonce);
                return Ok(());
            }
            let elsewhere = wanted.is_some_and(|(_, digest)| {
                self.live.values().any(|live| live.mined.is_none() && live.intent.payload_digest == digest)
            });
            let instead = match wanted {
                Some((other, _)) if !elsewhere && other.can_replace(&call) && self.refusal(other).await?.is_none() => {
                    other.clone()
                }
                _ => call.cancelled(self.account()),
            };
            info!(
                purpose = self.config.purpose,
                nonce,
                %reason,
                cancelled = instead.data.is_empty(),
                "L1 would refuse the transaction by now; its nonce is used for another"
            );
            return self.replace(nonce, &instead).await;
        }
        let Some(live) = self.live.get(&nonce) else { return Ok(()) };
        // L1's pools take nothing without blobs in its place, so it is not worth more than it was.
        let is_plain = |other: &Call| other.blobs.is_none();
        let is_passed_over = !is_cancel && !is_plain(&call) && wanted.is_some_and(|(other, _)| is_plain(other));
        match live.sent_at {
            None => self.send(nonce).await,
            Some(_) if is_passed_over && overdue => self.hold(nonce, "something else is wanted of this account").await,
            Some(_) if is_passed_over => Ok(()),
            Some(_) if overdue || live.underpriced => self.replace(nonce, &call).await,
            Some(_) => Ok(()),
        }
    }

    /// Whether a crash came between storing the intent and sending it, as far as L1 can tell. Should it have been sent
    /// after all, L1 refuses it as it does now.
    async fn was_never_sent(&self, nonce: u64) -> Result<bool, SendError> {
        let Some(live) = self.live.get(&nonce) else { return Ok(false) };
        if live.intent.state != IntentState::Fresh || live.sent_at.is_some() {
            return Ok(false);
        }
        for hash in &live.intent.hashes {
            if self.client.transaction(*hash).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn refusal(&self, call: &Call) -> Result<Option<RevertReason>, SendError> {
        match self.client.simulate(self.account(), call).await {
            Ok(()) => Ok(None),
            Err(L1Error::Reverted { reason, .. }) => Ok(Some(*reason)),
            Err(error) => Err(error.into()),
        }
    }

    async fn fresh_fees(&self, call: &Call) -> Result<Fees, SendError> {
        let base = self.client.existing_block(At::Latest).await?.base_fee_wei;
        let priority = self.client.priority_fee().await?.min(self.config.tip_ceiling_wei);
        let ceiling = self.config.fee_ceiling_wei;
        let fees = Fees::fresh(base, priority, ceiling)?;
        if call.blobs.is_none() {
            return Ok(fees);
        }
        let blob_base = self.client.blob_base_fee().await?;
        Ok(fees.with_blobs(blob_base, ceiling)?)
    }

    /// Makes the intent durable. Nothing is sent.
    async fn start(&mut self, nonce: u64, call: &Call) -> Result<(), SendError> {
        self.client.simulate(self.account(), call).await?;
        let estimate = self.client.estimate_gas(self.account(), call).await?;
        // A fifth more: state can change between now and inclusion.
        let gas_limit = estimate.saturating_add(estimate / 5).min(L1_GAS_MAX);
        let fees = self.fresh_fees(call).await?;
        let (raw, hash) = self.sign(nonce, call, gas_limit, fees)?;
        let intent = PostIntent {
            account: self.account(),
            nonce,
            payload_digest: call.digest(),
            raw,
            hashes: vec![hash],
            max_fee_wei: fees.max_fee_wei,
            priority_fee_wei: fees.priority_fee_wei,
            state: IntentState::Fresh,
        };
        self.ledger.put_intent(&intent)?;
        self.live.insert(nonce, live(intent, call.clone(), fees, gas_limit));
        Ok(())
    }

    /// Hands the newest bytes of a nonce to L1.
    async fn send(&mut self, nonce: u64) -> Result<(), SendError> {
        let purpose = self.config.purpose;
        let Some(live) = self.live.get_mut(&nonce) else { return Ok(()) };
        // Set before the answer: an endpoint whose answer is lost may still hold the transaction.
        live.sent_at = Some(Instant::now());
        let broadcast = self.client.broadcast(&live.intent.raw).await?;
        match broadcast {
            Broadcast::Accepted => {
                live.underpriced = false;
                debug!(purpose, nonce, hash = ?live.intent.hashes.last(), "transaction sent");
            }
            // The next round finds the receipt, or that somebody else used the nonce.
            Broadcast::NonceTooLow => debug!(purpose, nonce, "nonce is used already"),
            Broadcast::Underpriced => live.underpriced = true,
            Broadcast::Refused(reason) => {
                warn!(purpose, nonce, account = %live.intent.account, reason, "L1 does not take the transaction; trying again later");
            }
        }
        if live.intent.state == IntentState::Fresh {
            live.intent.state = IntentState::Sent;
            self.ledger.put_intent(&live.intent)?;
        }
        Ok(())
    }

    /// Signs another transaction for a nonce with higher fees, makes it durable and sends it. At the ceiling the old one
    /// is sent again and waits.
    async fn replace(&mut self, nonce: u64, call: &Call) -> Result<(), SendError> {
        let purpose = self.config.purpose;
        let ceiling = self.config.fee_ceiling_wei;
        let fresh = self.fresh_fees(call).await;
        let Some(live) = self.live.get(&nonce) else { return Ok(()) };
        let fees = match fresh {
            Ok(fresh) => live.fees.replacement(fresh, ceiling).map_err(SendError::from),
            Err(error) => Err(error),
        };
        let fees = match fees {
            Ok(fees) if live.intent.hashes.len() < HASHES_MAX => fees,
            Ok(_) => return self.hold(nonce, "replaced as often as is allowed").await,
            Err(SendError::AboveCeiling(above)) => return self.hold(nonce, &above.to_string()).await,
            Err(error) => return Err(error),
        };
        let gas_limit = if *call == live.call {
            live.gas_limit
        } else {
            let estimate = self.client.estimate_gas(self.account(), call).await?;
            estimate.saturating_add(estimate / 5).min(L1_GAS_MAX)
        };
        let (raw, hash) = self.sign(nonce, call, gas_limit, fees)?;
        let Some(live) = self.live.get_mut(&nonce) else { return Ok(()) };
        let mut intent = live.intent.clone();
        intent.payload_digest = call.digest();
        intent.raw = raw;
        intent.hashes.push(hash);
        intent.max_fee_wei = fees.max_fee_wei;
        intent.priority_fee_wei = fees.priority_fee_wei;
        self.ledger.put_intent(&intent)?;
        info!(purpose, nonce, %hash, max_fee_wei = fees.max_fee_wei, "transaction replaced with higher fees");
        live.intent = intent;
        live.call = call.clone();
        live.fees = fees;
        live.gas_limit = gas_limit;
        live.held = false;
        live.underpriced = false;
        self.send(nonce).await
    }

    async fn hold(&mut self, nonce: u64, why: &str) -> Result<(), SendError> {
        if let Some(live) = self.live.get_mut(&nonce) {
            live.underpriced = false;
            if !live.held {
                live.held = true;
                warn!(purpose = self.config.purpose, nonce, why, "the transaction waits at its present fees");
            }
        }
        // Pools forget; sending the same bytes again costs nothing.
        self.send(nonce).await
    }

    fn sign(&self, nonce: u64, call: &Call, gas_limit: u64, fees: Fees) -> Result<(Bytes, TxHash), SendError> {
        let failed = |error: alloy::signers::Error| SendError::Sign(error.to_string());
        let chain_id = self.client.chain_id().get();
        let envelope = match &call.blobs {
            None => {
                let mut transaction = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: fees.max_fee_wei,
                    max_priority_fee_per_gas: fees.priority_fee_wei,
                    to: TxKind::Call(call.to),
                    value: U256::ZERO,
                    access_list: Default::default(),
                    input: call.data.clone(),
                };
                let signature = self.key.sign_transaction_sync(&mut transaction).map_err(failed)?;
                TxEnvelope::from(transaction.into_signed(signature))
            }
            Some(blobs) => {
                let tx = TxEip4844 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: fees.max_fee_wei,
                    max_priority_fee_per_gas: fees.priority_fee_wei,
                    to: call.to,
                    value: U256::ZERO,
                    access_list: Default::default(),
                    blob_versioned_hashes: blobs.versioned_hashes.clone(),
                    max_fee_per_blob_gas: fees.blob_fee_wei,
                    input: call.data.clone(),
                };
                let sidecar = BlobTransactionSidecarVariant::Eip7594(blobs.carried.clone());
                let mut transaction = TxEip4844Variant::TxEip4844WithSidecar(TxEip4844WithSidecar { tx, sidecar });
                let signature = self.key.sign_transaction_sync(&mut transaction).map_err(failed)?;
                TxEnvelope::Eip4844(transaction.into_signed(signature))
            }
        };
        Ok((envelope.encoded_2718().into(), *envelope.tx_hash()))
    }

    /// Stops between two steps, as a crash would: for tests of what the next start makes of it.
    #[cfg(test)]
    pub(super) async fn start_and_crash(mut self, nonce: u64, call: &Call) -> Result<(), SendError> {
        self.start(nonce, call).await
    }
}

fn live(intent: PostIntent, call: Call, fees: Fees, gas_limit: u64) -> Live {
    Live { intent, call, fees, gas_limit, sent_at: None, mined: None, unexplained: 0, held: false, underpriced: false }
}

fn live_from_stored(intent: PostIntent) -> Option<Live> {
    let envelope = TxEnvelope::decode_2718(&mut intent.raw.as_ref()).ok()?;
    let blobs = match &envelope {
        TxEnvelope::Eip4844(signed) => {
            let TxEip4844Variant::TxEip4844WithSidecar(transaction) = signed.tx() else { return None };
            let hashes = transaction.tx.blob_versioned_hashes.clone();
            Some(Arc::new(Sidecar { versioned_hashes: hashes, carried: transaction.sidecar.as_eip7594()?.clone() }))
        }
        _ => None,
    };
    let call = Call { to: envelope.to()?, data: envelope.input().clone(), blobs };
    let fees = Fees {
        max_fee_wei: envelope.max_fee_per_gas(),
        priority_fee_wei: envelope.max_priority_fee_per_gas().unwrap_or_default(),
        blob_fee_wei: envelope.max_fee_per_blob_gas().unwrap_or_default(),
    };
    let gas_limit = envelope.gas_limit();
    Some(live(intent, call, fees, gas_limit))
}
