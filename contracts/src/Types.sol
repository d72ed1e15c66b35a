// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @notice The rules of one Baton chain, fixed when its registry is deployed. Every node reads them from
/// `SequencerRegistry.params()` at start, so that nothing that nodes must agree on sits in an operator's file.
/// @dev "L1 blocks" counts blocks of the chain that holds the registry; the suffix `Ms` is milliseconds, `Bps` is
/// hundredths of a percent, `Bytes…` is bytes.
struct ChainSpec {
    /// Chain id that L2 transactions and every signed statement carry.
    uint64 l2ChainId;
    /// Length of an epoch, in L1 blocks.
    uint64 epochBlocks;
    /// L1 blocks for which a leader must have seen an origin final before it names it.
    uint64 originSettle;
    /// Least time between two blocks of a busy chain.
    uint64 minBlockMs;
    /// Time between two blocks of an idle chain.
    uint64 idleBlockMs;
    /// Assumed bound on message delay; all consensus timers are multiples of it.
    uint64 deltaMs;
    /// Views without a sign of life after which a leader is skipped at once.
    uint64 inactiveViews;
    /// How far a block's timestamp may run ahead of a voter's clock.
    uint64 clockDriftMs;
    /// Largest payload of a block.
    uint64 blockBytesMax;
    /// Largest sum of declared gas in a block.
    uint64 blockGasLimit;
    /// Heights that execution may lag behind finality before a voter abstains.
    uint64 execLagMax;
    /// L1 blocks after which a forced entry must be in a posted batch.
    uint64 forcedLag;
    /// L1 blocks without an accepted batch after which the chain may be declared dead.
    uint64 abandonBlocks;
    /// L1 blocks after which a batch's last origin is too old to earn a reward.
    uint64 maxOriginAge;
    /// Epochs for which an epoch's own committee is the one that certifies its batches.
    uint64 liveEpochs;
    /// Largest data of a batch that travels as calldata.
    uint64 batchBytesMax;
    /// Most blobs of a batch that travels as blobs.
    uint64 batchBlobsMax;
    /// L1 blocks after which a batch is closed however small it is.
    uint64 batchAgeBlocks;
    /// L1 blocks that each further rank waits before it posts in another's stead.
    uint64 postBackoff;
    /// Epochs to either side within which offences of several members count as one coalition's.
    uint64 correlationEpochs;
    /// L1 blocks after an epoch's close for which evidence about it is accepted.
    uint64 evidenceBlocks;
    /// Epochs that a jailed member stays out.
    uint64 jailEpochs;
    /// Fewest led views of an epoch from which absence is judged.
    uint64 jailMinViews;
    /// Share of the bond lost at once for a punishable pair.
    uint16 baseSlashBps;
    /// Share of the base penalty that a reporter earns.
    uint16 reporterBps;
    /// Share of missed views above which a member is jailed.
    uint16 jailMissBps;
    /// Members below which nobody may leave by choice.
    uint8 minCommittee;
    /// Whether the chain may be activated with fewer than four members.
    bool allowSmall;
    /// 0: the leader orders as it saw (`first_seen`); 1: by priority fee.
    uint8 orderingRule;
    /// 0: no execution, state roots are zero; 1: the embedded EVM.
    uint8 executor;
    /// Base units of the bond token per unit of weight.
    uint128 weightUnit;
    /// Most weight of one member, before clipping.
    uint64 weightCap;
    /// Least bond at registration, in base units of the bond token.
    uint256 minBond;
    /// The ERC-20 that is bonded.
    address bondToken;
    /// Hash of the genesis of the chain's state, which nodes are given as a file; zero exactly without an executor.
    bytes32 genesisHash;
}

/// @notice A part of a bond that its owner takes back while it stays.
struct Unbonding {
    /// In base units of the bond token.
    uint128 amount;
    /// First epoch in which it does not count.
    uint64 untilEpoch;
}

/// @notice Where a sequencer is on its way.
enum Stage {
    /// Never registered, or its bond is paid out: it may register.
    None,
    /// A member, or one from a coming epoch on.
    Seated,
    /// As `Seated`, and leaves when another registers.
    Leaving,
    /// Outside from the epoch of its latest checkpoint on; its bond is locked until it may withdraw.
    Left,
    /// As `Seated`, but no member from an epoch on because it was long away, until it asks to be one again.
    Jailed
}

/// @notice One seat of a committee. The members of an epoch stand in ascending order of `owner`.
struct Member {
    address owner;
    address feeRecipient;
    /// Weight after clipping, at least 1.
    uint64 weight;
    /// 256 bytes: G2 point as EIP-2537 writes it (x.c0, x.c1, y.c0, y.c1, each left-padded to 64 bytes).
    bytes blsKey;
}

/// @notice What consensus agrees on. Digest: keccak256 of its ABI encoding, sixteen words.
struct BlockHeader {
    uint64 l2ChainId;
    uint64 epoch;
    /// View in which the block was first proposed.
    uint64 viewNumber;
    uint64 height;
    bytes32 parent;
    uint64 timestampMs;
    uint64 originNumber;
    bytes32 originHash;
    uint64 forcedPosition;
    bytes32 forcedHash;
    bytes32 payloadRoot;
    uint32 transactionCount;
    uint32 payloadBytes;
    uint64 declaredGas;
    /// The proposer's index in its committee.
    uint8 proposer;
    address feeRecipient;
}

/// @notice Consecutive final blocks of one epoch, as posted. Batch hash: keccak256 of its ABI encoding, fourteen words.
struct BatchHeader {
    /// Counts batches from 0.
    uint64 index;
    /// Hash of the batch before; zero for the first.
    bytes32 prevBatchHash;
    uint64 epoch;
    /// Inclusive range of heights; the first batch starts at height 1.
    uint64 firstHeight;
    uint64 lastHeight;
    /// Digest of the header at `lastHeight`, and the L1 origin that it names.
    bytes32 lastDigest;
    uint64 lastOriginNumber;
    bytes32 lastOriginHash;
    /// Zero exactly while the chain has no executor.
    bytes32 stateRoot;
    /// Entries of the forced queue consumed up to and including this batch, and the queue's rolling hash there.
    uint64 forcedPosition;
    bytes32 forcedHash;
    /// 0: blobs; 1: calldata.
    uint8 dataKind;
    bytes32 dataHash;
    /// Root of the epoch's cumulative (led, missed) table.
    bytes32 dutiesRoot;
}

/// @notice One statement signed by a quorum.
struct Certificate {
    /// Epoch whose committee signed.
    uint64 committeeEpoch;
    /// Bit i stands for member i of that committee.
    uint256 bitmap;
    /// 128 bytes: the sum of the signatures, a G1 point as EIP-2537 writes it.
    bytes signature;
}

/// @notice A consensus statement as it appears in evidence.
struct Vote {
    /// 0: Notarize, 1: Finalize, 2: Nullify.
    uint8 kind;
    uint64 viewNumber;
    /// Digest of the block that is voted for; zero for Nullify, which names none.
    bytes32 blockDigest;
}

/// @notice A consensus statement that a quorum signed, as it appears in evidence.
struct VoteCertificate {
    Vote vote;
    /// Bit i stands for member i of the epoch's committee.
    uint256 bitmap;
    /// 128 bytes: the sum of the signatures, a G1 point as EIP-2537 writes it.
    bytes signature;
}

/// @notice A statement about a batch as it appears in evidence.
struct Attestation {
    uint64 committeeEpoch;
    uint64 batchIndex;
    bytes32 prevBatchHash;
    bytes32 headerHash;
    uint64 lastHeight;
    bytes32 lastDigest;
    bytes32 stateRoot;
}
