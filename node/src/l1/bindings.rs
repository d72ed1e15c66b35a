//! The contracts as Rust sees them, generated from the committed artifacts, and conversions to Baton's own types.
//!
//! Nothing else in the node knows an ABI. Every conversion from L1 checks what the type cannot say.

use std::fmt;

use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{Revert, SolCall, SolError, SolInterface, SolValue};
use baton_consensus::{CommitteeMember, aggregate, to_eip2537};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, BlockDigest, BlsPublicKey, BlsSignature, Certificate, ChainSpec,
    Conflict, DataKind, Duties, Epoch, Evidence, ExecutorKind, Height, L1BlockNumber, L1Origin, L2ChainId,
    OrderingRule, SignedStatement, SpecError, Statement, Weight,
};

/// Types and calls generated from `contracts/artifacts/*.json`.
#[expect(missing_docs, reason = "an enum of a contract comes without its words")]
pub mod generated {
    use alloy_sol_types::sol;

    sol!(
        #[sol(all_derives)]
        SequencerRegistry,
        "../contracts/artifacts/SequencerRegistry.json"
    );
    sol!(
        #[sol(all_derives)]
        BatchInbox,
        "../contracts/artifacts/BatchInbox.json"
    );
    sol!(
        #[sol(all_derives)]
        Slasher,
        "../contracts/artifacts/Slasher.json"
    );
    sol!(
        #[sol(all_derives)]
        Liveness,
        "../contracts/artifacts/Liveness.json"
    );
    sol!(
        #[sol(all_derives)]
        DelegationVault,
        "../contracts/artifacts/DelegationVault.json"
    );
    sol!(
        #[sol(all_derives)]
        DelegationVaultFactory,
        "../contracts/artifacts/DelegationVaultFactory.json"
    );
    sol!(
        #[sol(all_derives)]
        DevToken,
        "../contracts/artifacts/DevToken.json"
    );
}

pub use generated::{
    BatchInbox, DelegationVault, DelegationVaultFactory, DevToken, Liveness, SequencerRegistry, Slasher,
};

/// Why a contract refused, decoded to its named error where it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevertReason {
    /// An error of the inbox.
    Inbox(BatchInbox::BatchInboxErrors),
    /// An error of the registry, whoever called it.
    Registry(Box<SequencerRegistry::SequencerRegistryErrors>),
    /// An error of the slasher.
    Slasher(Box<Slasher::SlasherErrors>),
    /// An error of the contract of rewards and jail.
    Liveness(Box<Liveness::LivenessErrors>),
    /// An error of the devnet's token.
    Token(DevToken::DevTokenErrors),
    /// An error of a delegation vault.
    Vault(Box<DelegationVault::DelegationVaultErrors>),
    /// `revert("…")` or `require(…, "…")`.
    Message(String),
    /// Bytes that none of the contracts could have returned.
    Unknown(Bytes),
}

impl RevertReason {
    /// Decodes what a call returned when it reverted.
    #[must_use]
    pub fn decode(data: &Bytes) -> Self {
        if let Ok(error) = BatchInbox::BatchInboxErrors::abi_decode(data) {
            return Self::Inbox(error);
        }
        // The inbox and the slasher pass on what the registry says, and both share the library's errors with it.
        if let Ok(error) = SequencerRegistry::SequencerRegistryErrors::abi_decode(data) {
            return Self::Registry(Box::new(error));
        }
        if let Ok(error) = Slasher::SlasherErrors::abi_decode(data) {
            return Self::Slasher(Box::new(error));
        }
        if let Ok(error) = Liveness::LivenessErrors::abi_decode(data) {
            return Self::Liveness(Box::new(error));
        }
        if let Ok(error) = DevToken::DevTokenErrors::abi_decode(data) {
            return Self::Token(error);
        }
        if let Ok(error) = DelegationVault::DelegationVaultErrors::abi_decode(data) {
            return Self::Vault(Box::new(error));
        }
        match Revert::abi_decode(data) {
            Ok(revert) => Self::Message(revert.reason),
            Err(_) => Self::Unknown(data.clone()),
        }
    }

    /// Returns whether the inbox does not know yet when an epoch closed, because it has no batch and nobody named it.
    #[must_use]
    pub const fn is_skipped_epoch(&self) -> bool {
        matches!(self, Self::Inbox(BatchInbox::BatchInboxErrors::BatchInbox__SkippedAndNotNamed(_)))
    }

    /// Returns whether the committee has to be stored before certificates of it can be checked.
    #[must_use]
    pub fn is_not_materialized(&self) -> bool {
        use SequencerRegistry::SequencerRegistryErrors as E;
        matches!(self, Self::Registry(error) if matches!(**error, E::SequencerRegistry__NotMaterialized(_)))
    }

    /// Returns whether the inbox says that the batch is not the one it waits for: somebody posted it, or another.
    #[must_use]
    pub const fn is_not_next(&self) -> bool {
        use BatchInbox::BatchInboxErrors as E;
        matches!(
            self,
            Self::Inbox(
                E::BatchInbox__NotNextBatch(_)
                    | E::BatchInbox__WrongPreviousHash(_)
                    | E::BatchInbox__WrongFirstHeight(_)
            )
        )
    }
}

impl fmt::Display for RevertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The generated variants wrap structs of the same name: the struct's own form carries name and values.
        let wrapped = match self {
            Self::Inbox(error) => format!("{error:?}"),
            Self::Registry(error) => format!("{error:?}"),
            Self::Slasher(error) => format!("{error:?}"),
            Self::Liveness(error) => format!("{error:?}"),
            Self::Token(error) => format!("{error:?}"),
            Self::Vault(error) => format!("{error:?}"),
            Self::Message(message) => return f.write_str(message),
            Self::Unknown(data) => return write!(f, "unknown revert {data}"),
        };
        match wrapped.split_once('(') {
            Some((_, inner)) => f.write_str(inner.strip_suffix(')').unwrap_or(inner)),
            None => f.write_str(&wrapped),
        }
    }
}

/// What L1 returned is not what the contract's rules allow: another contract stands at that address, or another version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum BindingError {
    #[error("{field} is {got}, which this version does not know")]
    UnknownCode { field: &'static str, got: u8 },
    #[error("a key of {expected} bytes was expected, got {got}")]
    KeyLength { expected: usize, got: usize },
    #[error("the signer bitmap {0} names members beyond 128")]
    Bitmap(U256),
    #[error("a signature is not a G1 point of 128 bytes: {0}")]
    Signature(String),
    #[error("the call is not a post")]
    NotAPost,
    #[error("the chain's parameters are refused: {0}")]
    Spec(#[from] SpecError),
}

/// Converts the chain spec from L1.
///
/// # Errors
/// [`BindingError::UnknownCode`] for an ordering rule or an executor that this version does not have, [`BindingError::Spec`]
/// where a final block might fit no batch, or executor and genesis do not go together.
pub fn spec_from_l1(spec: &SequencerRegistry::ChainSpec) -> Result<ChainSpec, BindingError> {
    let spec = ChainSpec {
        l2_chain_id: L2ChainId::new(spec.l2ChainId),
        epoch_blocks: spec.epochBlocks,
        origin_settle_blocks: spec.originSettle,
        min_block_ms: spec.minBlockMs,
        idle_block_ms: spec.idleBlockMs,
        delta_ms: spec.deltaMs,
        inactive_views: spec.inactiveViews,
        clock_drift_ms: spec.clockDriftMs,
        block_bytes_max: spec.blockBytesMax,
        block_gas_limit: spec.blockGasLimit,
        exec_lag_max: spec.execLagMax,
        forced_lag_blocks: spec.forcedLag,
        abandon_blocks: spec.abandonBlocks,
        max_origin_age_blocks: spec.maxOriginAge,
        live_epochs: spec.liveEpochs,
        batch_bytes_max: spec.batchBytesMax,
        batch_blobs_max: spec.batchBlobsMax,
        batch_age_blocks: spec.batchAgeBlocks,
        post_backoff_blocks: spec.postBackoff,
        correlation_epochs: spec.correlationEpochs,
        evidence_blocks: spec.evidenceBlocks,
        jail_epochs: spec.jailEpochs,
        jail_min_views: spec.jailMinViews,
        base_slash_bps: spec.baseSlashBps,
        reporter_bps: spec.reporterBps,
        jail_miss_bps: spec.jailMissBps,
        min_committee: spec.minCommittee,
        allow_small: spec.allowSmall,
        ordering_rule: match spec.orderingRule {
            0 => OrderingRule::FirstSeen,
            1 => OrderingRule::PriorityFee,
            got => return Err(BindingError::UnknownCode { field: "orderingRule", got }),
        },
        executor: match spec.executor {
            0 => ExecutorKind::None,
            1 => ExecutorKind::Embedded,
            got => return Err(BindingError::UnknownCode { field: "executor", got }),
        },
        weight_unit: spec.weightUnit,
        weight_cap: spec.weightCap,
        min_bond: spec.minBond,
        bond_token: spec.bondToken,
        genesis_hash: spec.genesisHash,
    };
    spec.check()?;
    Ok(spec)
}

/// Converts a chain spec for the registry's constructor.
#[must_use]
pub fn spec_to_l1(spec: &ChainSpec) -> SequencerRegistry::ChainSpec {
    SequencerRegistry::ChainSpec {
        l2ChainId: spec.l2_chain_id.get(),
        epochBlocks: spec.epoch_blocks,
        originSettle: spec.origin_settle_blocks,
        minBlockMs: spec.min_block_ms,
        idleBlockMs: spec.idle_block_ms,
        deltaMs: spec.delta_ms,
        inactiveViews: spec.inactive_views,
        clockDriftMs: spec.clock_drift_ms,
        blockBytesMax: spec.block_bytes_max,
        blockGasLimit: spec.block_gas_limit,
        execLagMax: spec.exec_lag_max,
        forcedLag: spec.forced_lag_blocks,
        abandonBlocks: spec.abandon_blocks,
        maxOriginAge: spec.max_origin_age_blocks,
        liveEpochs: spec.live_epochs,
        batchBytesMax: spec.batch_bytes_max,
        batchBlobsMax: spec.batch_blobs_max,
        batchAgeBlocks: spec.batch_age_blocks,
        postBackoff: spec.post_backoff_blocks,
        correlationEpochs: spec.correlation_epochs,
        evidenceBlocks: spec.evidence_blocks,
        jailEpochs: spec.jail_epochs,
        jailMinViews: spec.jail_min_views,
        baseSlashBps: spec.base_slash_bps,
        reporterBps: spec.reporter_bps,
        jailMissBps: spec.jail_miss_bps,
        minCommittee: spec.min_committee,
        allowSmall: spec.allow_small,
        orderingRule: match spec.ordering_rule {
            OrderingRule::FirstSeen => 0,
            OrderingRule::PriorityFee => 1,
        },
        executor: match spec.executor {
            ExecutorKind::None => 0,
            ExecutorKind::Embedded => 1,
        },
        weightUnit: spec.weight_unit,
        weightCap: spec.weight_cap,
        minBond: spec.min_bond,
        bondToken: spec.bond_token,
        genesisHash: spec.genesis_hash,
    }
}

/// Converts one seat of a committee. Whether the key is a point is for `Committee` and `Verifier` to say.
///
/// # Errors
/// [`BindingError::KeyLength`].
pub fn member_from_l1(member: &SequencerRegistry::Member) -> Result<CommitteeMember, BindingError> {
    let key = BlsPublicKey::from_slice(&member.blsKey)
        .ok_or(BindingError::KeyLength { expected: BlsPublicKey::LENGTH, got: member.blsKey.len() })?;
    Ok(CommitteeMember {
        owner: member.owner,
        fee_recipient: member.feeRecipient,
        weight: Weight::new(member.weight),
        key,
    })
}

/// Converts a batch header for the inbox.
#[must_use]
pub fn batch_header_to_l1(header: &BatchHeader) -> BatchInbox::BatchHeader {
    BatchInbox::BatchHeader {
        index: header.index.get(),
        prevBatchHash: header.prev_batch_hash.get(),
        epoch: header.epoch.get(),
        firstHeight: header.first_height.get(),
        lastHeight: header.last_height.get(),
        lastDigest: header.last_digest.get(),
        lastOriginNumber: header.last_origin.number.get(),
        lastOriginHash: header.last_origin.hash,
        stateRoot: header.state_root,
        forcedPosition: header.forced_position,
        forcedHash: header.forced_hash,
        dataKind: header.data_kind.code(),
        dataHash: header.data_hash,
        dutiesRoot: header.duties_root,
    }
}

/// Converts a batch header from the inbox.
///
/// # Errors
/// [`BindingError::UnknownCode`] for a data kind that this version does not have.
pub fn batch_header_from_l1(header: &BatchInbox::BatchHeader) -> Result<BatchHeader, BindingError> {
    Ok(BatchHeader {
        index: BatchIndex::new(header.index),
        prev_batch_hash: BatchHash::new(header.prevBatchHash),
        epoch: Epoch::new(header.epoch),
        first_height: Height::new(header.firstHeight),
        last_height: Height::new(header.lastHeight),
        last_digest: BlockDigest::new(header.lastDigest),
        last_origin: L1Origin { number: L1BlockNumber::new(header.lastOriginNumber), hash: header.lastOriginHash },
        state_root: header.stateRoot,
        forced_position: header.forcedPosition,
        forced_hash: header.forcedHash,
        data_kind: DataKind::from_code(header.dataKind)
            .ok_or(BindingError::UnknownCode { field: "dataKind", got: header.dataKind })?,
        data_hash: header.dataHash,
        duties_root: header.dutiesRoot,
    })
}

/// Converts a certificate over a batch for the inbox.
///
/// # Errors
/// [`BindingError::Signature`] when the sum is not a point.
pub fn certificate_to_l1(certificate: &Certificate) -> Result<BatchInbox::Certificate, BindingError> {
    let signature = to_eip2537(&certificate.signature).map_err(|error| BindingError::Signature(error.to_string()))?;
    Ok(BatchInbox::Certificate {
        committeeEpoch: certificate.statement.epoch().get(),
        bitmap: U256::from(certificate.signers.bits()),
        signature: Bytes::copy_from_slice(&signature),
    })
}

/// Half of the base field's modulus, rounded down, big-endian: a larger y is the larger of a point's two.
const HALF_MODULUS: [u8; 48] = [
    0x0d, 0x00, 0x88, 0xf5, 0x1c, 0xbf, 0xf3, 0x4d, 0x25, 0x8d, 0xd3, 0xdb, 0x21, 0xa5, 0xd6, 0x6b, 0xb2, 0x3b, 0xa5,
    0xc2, 0x79, 0xc2, 0x89, 0x5f, 0xb3, 0x98, 0x69, 0x50, 0x7b, 0x58, 0x7b, 0x12, 0x0f, 0x55, 0xff, 0xff, 0x58, 0xa9,
    0xff, 0xff, 0xdc, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xd5, 0x55,
];

/// Compresses a G1 point from its EIP-2537 form. Whether it is one is checked where it is verified.
///
/// # Errors
/// [`BindingError::Signature`] when there are not 128 bytes with zero padding.
pub fn signature_from_l1(bytes: &[u8]) -> Result<BlsSignature, BindingError> {
    let wrong = || BindingError::Signature(format!("{} bytes", bytes.len()));
    let point: &[u8; 128] = bytes.try_into().map_err(|_| wrong())?;
    let (pad_x, x, pad_y, y) = (&point[..16], &point[16..64], &point[64..80], &point[80..]);
    if pad_x.iter().chain(pad_y).any(|byte| *byte != 0) {
        return Err(BindingError::Signature("its padding is not zero".into()));
    }
    let mut compressed = [0; 48];
    compressed.copy_from_slice(x);
    compressed[0] |= if y > HALF_MODULUS.as_slice() { 0xa0 } else { 0x80 };
    Ok(BlsSignature::new(compressed))
}

/// Builds the call that posts a batch.
///
/// # Errors
/// As [`certificate_to_l1`].
pub fn post_call(
    header: &BatchHeader,
    certificate: &Certificate,
    data: Bytes,
) -> Result<BatchInbox::postCall, BindingError> {
    Ok(BatchInbox::postCall { header: batch_header_to_l1(header), certificate: certificate_to_l1(certificate)?, data })
}

/// Builds the call that settles the epoch whose last batch is `last`, with the table of duties that it commits to.
///
/// # Panics
/// Never: the contracts share the type of a header.
#[must_use]
pub fn settlement(last: &BatchHeader, duties: &[Duties]) -> Bytes {
    let header =
        Liveness::BatchHeader::abi_decode(&last.abi_encode()).expect("the contracts share the type of a header");
    let (led, missed) = duties.iter().map(|row| (row.led, row.missed)).unzip();
    Liveness::settleEpochCall { lastBatch: header, led, missed }.abi_encode().into()
}

/// Builds the call that tells the slasher of `evidence` against `owner`, whose signatures were verified. `None` if they add
/// up to nothing: two points that cancel out would verify for no pair of messages.
#[must_use]
pub fn submission(evidence: &Evidence, owner: Address) -> Option<Bytes> {
    let sum = aggregate(&[evidence.first().signature, evidence.second().signature]).ok()?;
    let sum = Bytes::copy_from_slice(&to_eip2537(&sum).ok()?);
    let epoch = evidence.epoch().get();
    let call = match (&evidence.first().statement, &evidence.second().statement) {
        (Statement::Attest(first), Statement::Attest(second)) => {
            let [first, second] = [first, second].map(attestation_to_l1);
            Slasher::submitAttestationsCall { owner, epoch, first, second, signatureSum: sum }.abi_encode()
        }
        _ => {
            let (first, second) = votes_of(evidence);
            Slasher::submitCall { owner, epoch, first, second, signatureSum: sum }.abi_encode()
        }
    };
    Some(call.into())
}

/// Builds the call that tells the slasher of two certificates that contradict each other.
///
/// # Errors
/// [`BindingError::Signature`] for a signature that is no point, which no verified certificate has.
pub fn conflict_submission(conflict: &Conflict) -> Result<Bytes, BindingError> {
    let certificate = |certificate: &Certificate| {
        let signature =
            to_eip2537(&certificate.signature).map_err(|error| BindingError::Signature(error.to_string()))?;
        Ok::<_, BindingError>(Slasher::VoteCertificate {
            vote: statement_to_l1(&certificate.statement),
            bitmap: U256::from(certificate.signers.bits()),
            signature: Bytes::copy_from_slice(&signature),
        })
    };
    let [first, second] = conflict.certificates();
    let (first, second) = (certificate(first)?, certificate(second)?);
    Ok(Slasher::submitCertificatesCall { epoch: conflict.epoch().get(), first, second }.abi_encode().into())
}

fn attestation_to_l1(attestation: &Attestation) -> Slasher::Attestation {
    Slasher::Attestation {
        committeeEpoch: attestation.committee_epoch.get(),
        batchIndex: attestation.batch_index.get(),
        prevBatchHash: attestation.prev_batch_hash.get(),
        headerHash: attestation.header_hash.get(),
        lastHeight: attestation.last_height.get(),
        lastDigest: attestation.last_digest.get(),
        stateRoot: attestation.state_root,
    }
}

/// Converts one half of evidence.
#[must_use]
pub fn vote_to_l1(signed: &SignedStatement) -> Slasher::Vote {
    statement_to_l1(&signed.statement)
}

fn statement_to_l1(statement: &Statement) -> Slasher::Vote {
    Slasher::Vote {
        kind: statement.kind().code(),
        viewNumber: statement.view().unwrap_or_default().get(),
        blockDigest: statement.block().unwrap_or_default().get(),
    }
}

/// Returns both halves of `evidence` as the slasher takes them.
#[must_use]
pub fn votes_of(evidence: &Evidence) -> (Slasher::Vote, Slasher::Vote) {
    (vote_to_l1(evidence.first()), vote_to_l1(evidence.second()))
}
