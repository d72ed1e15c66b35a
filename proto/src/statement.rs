//! Statements: everything that is signed with a BLS consensus key, under one digest rule that Solidity rebuilds.

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_sol_types::SolValue;
use serde::{Deserialize, Serialize};

use crate::{
    BatchHash, BatchHeader, BatchIndex, BlockDigest, BlsPublicKey, BlsSignature, Epoch, Height, L1ChainId, L2ChainId,
    MemberIndex, View,
};

const DOMAIN_TYPE: &str = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";
const NOTARIZE_TYPE: &str = "Notarize(uint64 l2ChainId,uint64 epoch,uint64 view,bytes32 blockDigest)";
const FINALIZE_TYPE: &str = "Finalize(uint64 l2ChainId,uint64 epoch,uint64 view,bytes32 blockDigest)";
const NULLIFY_TYPE: &str = "Nullify(uint64 l2ChainId,uint64 epoch,uint64 view)";
const ATTEST_TYPE: &str = "Attest(uint64 l2ChainId,uint64 committeeEpoch,uint64 batchIndex,bytes32 prevBatchHash,bytes32 \
                           headerHash,uint64 lastHeight,bytes32 lastDigest,bytes32 stateRoot)";

/// What makes a signature worth nothing on any other chain or contract: the EIP-712 domain and the L2 chain id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Domain {
    /// Chain id of the L1 that holds the registry.
    pub l1_chain_id: L1ChainId,
    /// Address of `SequencerRegistry`.
    pub registry: Address,
    /// The rollup's chain id.
    pub l2_chain_id: L2ChainId,
}

impl Domain {
    /// Returns the EIP-712 domain separator: name "Baton", version "1", the L1 chain id and the registry.
    #[must_use]
    pub fn separator(&self) -> B256 {
        let fields = (
            keccak256(DOMAIN_TYPE),
            keccak256("Baton"),
            keccak256("1"),
            U256::from(self.l1_chain_id.get()),
            self.registry,
        );
        keccak256(fields.abi_encode_params())
    }

    /// Returns the message whose signature proves possession of `key` to the registry on behalf of `owner`.
    ///
    /// `keccak256(abi.encode(l1ChainId, registry, owner, keccak256(key)))` over the key's 256-byte EIP-2537 form; signed
    /// under its own ciphersuite, so that no statement is ever a proof of possession.
    #[must_use]
    pub fn possession_message(&self, owner: Address, key: &BlsPublicKey) -> B256 {
        let fields = (U256::from(self.l1_chain_id.get()), self.registry, owner, keccak256(key.as_bytes()));
        keccak256(fields.abi_encode_params())
    }

    pub(crate) fn typed(&self, struct_hash: B256) -> B256 {
        keccak256([&[0x19, 0x01], self.separator().as_slice(), struct_hash.as_slice()].concat())
    }
}

/// What a member attests about a batch (protocol section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attestation {
    /// The committee that attests; the batch's own epoch unless that lies too far back.
    pub committee_epoch: Epoch,
    /// See [`BatchHeader::index`].
    pub batch_index: BatchIndex,
    /// See [`BatchHeader::prev_batch_hash`].
    pub prev_batch_hash: BatchHash,
    /// [`BatchHeader::hash`].
    pub header_hash: BatchHash,
    /// See [`BatchHeader::last_height`].
    pub last_height: Height,
    /// See [`BatchHeader::last_digest`].
    pub last_digest: BlockDigest,
    /// See [`BatchHeader::state_root`].
    pub state_root: B256,
}

impl Attestation {
    /// Returns what a member of `committee_epoch` attests for `header`.
    #[must_use]
    pub fn of(committee_epoch: Epoch, header: &BatchHeader) -> Self {
        Self {
            committee_epoch,
            batch_index: header.index,
            prev_batch_hash: header.prev_batch_hash,
            header_hash: header.hash(),
            last_height: header.last_height,
            last_digest: header.last_digest,
            state_root: header.state_root,
        }
    }

    /// Returns whether no honest member attests both (S5): of one batch after one other they give the same last height two
    /// blocks or two states. Committees and encodings may differ.
    #[must_use]
    pub fn conflicts_with(&self, other: &Self) -> bool {
        let is_one_batch = self.batch_index == other.batch_index && self.prev_batch_hash == other.prev_batch_hash;
        let differ = self.last_digest != other.last_digest || self.state_root != other.state_root;
        is_one_batch && self.last_height == other.last_height && differ
    }
}

/// A statement that a member signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Statement {
    /// "This is the first valid block I saw in this view." The leader's own is its proposal signature.
    #[serde(rename_all = "camelCase")]
    Notarize {
        /// The running epoch.
        epoch: Epoch,
        /// The view.
        view: View,
        /// The block.
        block: BlockDigest,
    },
    /// "I hold this view's notarization and never gave the view up."
    #[serde(rename_all = "camelCase")]
    Finalize {
        /// The running epoch.
        epoch: Epoch,
        /// The view.
        view: View,
        /// The block.
        block: BlockDigest,
    },
    /// "I give this view up."
    #[serde(rename_all = "camelCase")]
    Nullify {
        /// The running epoch.
        epoch: Epoch,
        /// The view.
        view: View,
    },
    /// "This batch is what the final chain says."
    Attest(Attestation),
}

/// Which of the four a statement is, in the order L1 numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StatementKind {
    /// [`Statement::Notarize`]
    Notarize,
    /// [`Statement::Finalize`]
    Finalize,
    /// [`Statement::Nullify`]
    Nullify,
    /// [`Statement::Attest`]
    Attest,
}

impl StatementKind {
    /// Returns the number that L1 and the wire use.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Notarize => 0,
            Self::Finalize => 1,
            Self::Nullify => 2,
            Self::Attest => 3,
        }
    }
}

impl Statement {
    /// Returns the EIP-712 digest that is signed and that Solidity rebuilds from the fields.
    #[must_use]
    pub fn digest(&self, domain: &Domain) -> B256 {
        let l2 = domain.l2_chain_id.get();
        let vote = |type_string: &str, epoch: Epoch, view: View, block: BlockDigest| {
            keccak256((keccak256(type_string), l2, epoch.get(), view.get(), block.get()).abi_encode_params())
        };
        domain.typed(match *self {
            Self::Notarize { epoch, view, block } => vote(NOTARIZE_TYPE, epoch, view, block),
            Self::Finalize { epoch, view, block } => vote(FINALIZE_TYPE, epoch, view, block),
            Self::Nullify { epoch, view } => {
                keccak256((keccak256(NULLIFY_TYPE), l2, epoch.get(), view.get()).abi_encode_params())
            }
            Self::Attest(a) => keccak256(
                (
                    keccak256(ATTEST_TYPE),
                    l2,
                    a.committee_epoch.get(),
                    a.batch_index.get(),
                    a.prev_batch_hash.get(),
                    a.header_hash.get(),
                    a.last_height.get(),
                    a.last_digest.get(),
                    a.state_root,
                )
                    .abi_encode_params(),
            ),
        })
    }

    /// Returns which kind of statement it is.
    #[must_use]
    pub const fn kind(&self) -> StatementKind {
        match self {
            Self::Notarize { .. } => StatementKind::Notarize,
            Self::Finalize { .. } => StatementKind::Finalize,
            Self::Nullify { .. } => StatementKind::Nullify,
            Self::Attest(_) => StatementKind::Attest,
        }
    }

    /// Returns the epoch whose committee the signer is a member of.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        match self {
            Self::Notarize { epoch, .. } | Self::Finalize { epoch, .. } | Self::Nullify { epoch, .. } => *epoch,
            Self::Attest(attestation) => attestation.committee_epoch,
        }
    }

    /// Returns the view of a vote; an attestation has none.
    #[must_use]
    pub const fn view(&self) -> Option<View> {
        match self {
            Self::Notarize { view, .. } | Self::Finalize { view, .. } | Self::Nullify { view, .. } => Some(*view),
            Self::Attest(_) => None,
        }
    }

    /// Returns the block that a vote names, if it names one.
    #[must_use]
    pub const fn block(&self) -> Option<BlockDigest> {
        match self {
            Self::Notarize { block, .. } | Self::Finalize { block, .. } => Some(*block),
            Self::Nullify { .. } | Self::Attest(_) => None,
        }
    }
}

/// A statement with one member's signature, not yet checked: `consensus::bls` turns it into a verified one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedStatement {
    /// What is said.
    pub statement: Statement,
    /// Who claims to say it, by index in the committee of [`Statement::epoch`].
    pub signer: MemberIndex,
    /// Signature over [`Statement::digest`].
    pub signature: BlsSignature,
}
