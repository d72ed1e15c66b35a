// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "./BatchInbox.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {ChainSpec, Vote} from "./Types.sol";
import {Bls12381} from "./libraries/Bls12381.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Slasher
/// @notice Turns two statements that one member must not both sign into a penalty.
/// @dev No vote, no veto, no administrator: a pair of signatures is the whole case. Nothing is concluded from absence.
/// The bond token is never called from here.
contract Slasher {
    /// @notice Two different Notarize of one view: S1.
    uint8 public constant DOUBLE_NOTARIZE = 1;
    /// @notice Two different Finalize of one view: S2.
    uint8 public constant DOUBLE_FINALIZE = 2;
    /// @notice Nullify and Finalize of one view: S3.
    uint8 public constant NULLIFY_AND_FINALIZE = 3;

    /// @notice The registry that holds keys and bonds.
    SequencerRegistry public immutable REGISTRY;
    /// @notice The inbox that tells when an epoch closed.
    BatchInbox public immutable INBOX;

    uint64 private immutable L2_CHAIN_ID;
    uint64 private immutable EVIDENCE_BLOCKS;

    mapping(address owner => mapping(uint64 epoch => bool)) private _offended;

    /// @notice Evidence was accepted. `offence` is 1 to 3 for S1 to S3; `amount`, in base units of the bond token, is 0
    /// when this admission of `owner` had paid the base penalty before.
    event Slashed(address indexed owner, uint64 indexed epoch, uint8 offence, uint256 amount, address reporter);

    error Slasher__NotTheRegistrysSlasher(address slasher, address self);
    error Slasher__WrongInbox(address expected, address got);
    error Slasher__NotPunishable(Vote first, Vote second);
    error Slasher__SameStatement(bytes32 digest);
    error Slasher__NotAMember(address owner, uint64 epoch);
    error Slasher__AlreadySlashed(address owner, uint64 epoch);
    error Slasher__WindowClosed(uint256 lastBlock, uint256 currentBlock);
    error Slasher__InvalidSignature();

    /// @param registry A registry that was deployed with this contract's address as its slasher.
    /// @param inbox That registry's inbox; it may be deployed after this contract.
    constructor(SequencerRegistry registry, BatchInbox inbox) {
        if (registry.SLASHER() != address(this)) {
            revert Slasher__NotTheRegistrysSlasher(registry.SLASHER(), address(this));
        }
        if (registry.INBOX() != address(inbox)) revert Slasher__WrongInbox(registry.INBOX(), address(inbox));
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        INBOX = inbox;
        L2_CHAIN_ID = spec.l2ChainId;
        EVIDENCE_BLOCKS = spec.evidenceBlocks;
    }

    /// @notice Penalizes `owner` for two statements of one view of `epoch`. Anyone may call, until the evidence window
    /// of the epoch closes: `evidenceBlocks` L1 blocks after the inbox says that the epoch closed. For a skipped epoch it
    /// says so once somebody has named that epoch (`BatchInbox.closeSkipped`).
    /// @dev Accepted once for each (owner, epoch); the base penalty is taken once for each admission. The order of the
    /// pair does not matter. One pairing checks both signatures: e(a + b, g2) = e(H(first) + H(second), key). That is
    /// aggregate verification under one key, which is sound because the two messages differ.
    /// @param signatureSum 128 bytes, EIP-2537 G1: the sum of the two signatures.
    function submit(address owner, uint64 epoch, Vote calldata first, Vote calldata second, bytes calldata signatureSum)
        external
    {
        uint8 offence = _offence(first, second);
        if (offence == 0) revert Slasher__NotPunishable(first, second);
        bytes32 firstDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, first);
        bytes32 secondDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, second);
        if (firstDigest == secondDigest) revert Slasher__SameStatement(firstDigest);
        if (_offended[owner][epoch]) revert Slasher__AlreadySlashed(owner, epoch);
        (bytes memory key, uint64 weight,) = REGISTRY.memberAt(owner, epoch);
        if (weight == 0) revert Slasher__NotAMember(owner, epoch);
        _requireOpen(epoch);

        bytes memory hashSum = Bls12381.addG1(
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(firstDigest)),
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(secondDigest))
        );
        if (!Bls12381.pairingHolds(signatureSum, hashSum, key)) revert Slasher__InvalidSignature();

        _offended[owner][epoch] = true;
        uint256 amount = REGISTRY.penalize(owner, epoch);
        emit Slashed(owner, epoch, offence, amount, msg.sender);
    }

    /// @notice Whether the base penalty was taken for this admission of `owner`.
    function isPenalized(address owner, uint64 admission) external view returns (bool) {
        return REGISTRY.isPenalized(owner, admission);
    }

    /// @notice Whether evidence against `owner` in `epoch` was accepted.
    function hasOffended(address owner, uint64 epoch) external view returns (bool) {
        return _offended[owner][epoch];
    }

    /// @dev The offence that two different statements of these kinds are; 0 when one member may sign both. Notarize and
    /// then Nullify is an honest vote for a block that came too late.
    function _offence(Vote calldata first, Vote calldata second) private pure returns (uint8) {
        if (first.viewNumber != second.viewNumber) return 0;
        if (first.kind == Statements.NOTARIZE && second.kind == Statements.NOTARIZE) return DOUBLE_NOTARIZE;
        if (first.kind == Statements.FINALIZE && second.kind == Statements.FINALIZE) return DOUBLE_FINALIZE;
        if (first.kind == Statements.NULLIFY && second.kind == Statements.FINALIZE) return NULLIFY_AND_FINALIZE;
        if (first.kind == Statements.FINALIZE && second.kind == Statements.NULLIFY) return NULLIFY_AND_FINALIZE;
        return 0;
    }

    function _requireOpen(uint64 epoch) private view {
        uint256 closedAt = INBOX.closedAt(epoch);
        if (closedAt != 0 && block.number > closedAt + EVIDENCE_BLOCKS) {
            revert Slasher__WindowClosed(closedAt + EVIDENCE_BLOCKS, block.number);
        }
    }
}
