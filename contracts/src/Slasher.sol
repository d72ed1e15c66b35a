// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibSort} from "solady/utils/LibSort.sol";

import {BatchInbox} from "./BatchInbox.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {Attestation, ChainSpec, Member, Vote, VoteCertificate} from "./Types.sol";
import {Bls12381} from "./libraries/Bls12381.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Slasher
/// @notice Turns statements that no honest member signs both into a penalty.
/// @dev No vote, no veto, no administrator: signatures are the whole case. Nothing is concluded from absence. The bond
/// token is never called from here.
///
/// A lone offender loses the base penalty. Who offends while others do loses more, up to everything, when it withdraws:
/// by then all evidence is in. Members who certified two sides of one view lose everything at once.
contract Slasher {
    /// @notice Two different Notarize of one view: S1.
    uint8 public constant DOUBLE_NOTARIZE = 1;
    /// @notice Two different Finalize of one view: S2.
    uint8 public constant DOUBLE_FINALIZE = 2;
    /// @notice Nullify and Finalize of one view: S3.
    uint8 public constant NULLIFY_AND_FINALIZE = 3;
    /// @notice Part of two certificates of one view that contradict each other: S4.
    uint8 public constant CONFLICTING_CERTIFICATES = 4;
    /// @notice Two attestations that give one height two blocks or two states: S5.
    uint8 public constant CONFLICTING_ATTESTATIONS = 5;

    uint256 private constant BPS = 10_000;

    /// @notice The registry that holds keys and bonds.
    SequencerRegistry public immutable REGISTRY;
    /// @notice The inbox that tells when an epoch closed.
    BatchInbox public immutable INBOX;

    uint64 private immutable L2_CHAIN_ID;
    uint64 private immutable EVIDENCE_BLOCKS;
    uint64 private immutable CORRELATION_EPOCHS;
    uint256 private immutable BASE_SLASH_BPS;

    /// One slot. The offences of an epoch are a list through `next`, those of an admission one through `previous`.
    struct Offence {
        /// Who was recorded before in the same epoch; zero at the list's end.
        address next;
        /// The offender's in that epoch, before clipping: never 0.
        uint56 weight;
        /// The epoch of the offence that was charged to the same admission before; 0 at the list's end.
        uint40 previous;
    }

    mapping(address owner => mapping(uint64 epoch => Offence)) private _offences;
    mapping(uint64 epoch => address owner) private _latestOffender;
    mapping(bytes32 commitment => uint256 blockNumber) private _committedAt;

    /// @notice Evidence was accepted. `offence` is 1 to 5 for S1 to S5; `amount`, in base units of the bond token, is 0
    /// when this admission of `owner` had paid before.
    event Slashed(address indexed owner, uint64 indexed epoch, uint8 offence, uint256 amount, address reporter);
    /// @notice Somebody has evidence, or says so.
    event Committed(bytes32 indexed commitment, address indexed reporter);

    error Slasher__NotTheRegistrysSlasher(address slasher, address self);
    error Slasher__WrongInbox(address expected, address got);
    error Slasher__NotPunishable(Vote first, Vote second);
    error Slasher__NoConflict(Attestation first, Attestation second);
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
        CORRELATION_EPOCHS = spec.correlationEpochs;
        BASE_SLASH_BPS = spec.baseSlashBps;
    }

    // ------------------------------------------------------------------------------------------------- evidence

    /// @notice Announces evidence, so that nobody who sees the submission can take its reward: who submits in a later
    /// block what it committed to earns `reporterBps` of the base penalty, to `claim` from the registry. A submission
    /// without a commitment works as well and earns nothing.
    /// @param commitment keccak256(abi.encode(reporter, keccak256(the calldata of the submission))).
    function commit(bytes32 commitment) external {
        if (_committedAt[commitment] != 0) return;
        _committedAt[commitment] = block.number;
        emit Committed(commitment, msg.sender);
    }

    /// @notice Penalizes `owner` for two statements of one view of `epoch`. Anyone may call, until the evidence window
    /// of the epoch closes: `evidenceBlocks` L1 blocks after the inbox says that the epoch closed. For a skipped epoch it
    /// says so once somebody has named that epoch (`BatchInbox.closeSkipped`).
    /// @dev Accepted once for each (owner, epoch); the base penalty is taken once for each admission. The order of the
    /// pair does not matter.
    /// @param signatureSum 128 bytes, EIP-2537 G1: the sum of the two signatures.
    function submit(address owner, uint64 epoch, Vote calldata first, Vote calldata second, bytes calldata signatureSum)
        external
    {
        uint8 offence = _offence(first, second);
        if (offence == 0) revert Slasher__NotPunishable(first, second);
        bytes32 firstDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, first);
        bytes32 secondDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, second);
        _punishPair(owner, epoch, offence, firstDigest, secondDigest, signatureSum);
    }

    /// @notice Penalizes `owner` for two attestations on one batch that give one height two blocks or two states. As
    /// `submit`; `epoch` is any in which the key was the owner's, whatever committee the attestations name.
    function submitAttestations(
        address owner,
        uint64 epoch,
        Attestation calldata first,
        Attestation calldata second,
        bytes calldata signatureSum
    ) external {
        bool oneBatch = first.batchIndex == second.batchIndex && first.prevBatchHash == second.prevBatchHash;
        bool differ = first.lastDigest != second.lastDigest || first.stateRoot != second.stateRoot;
        if (!oneBatch || first.lastHeight != second.lastHeight || !differ) revert Slasher__NoConflict(first, second);
        bytes32 firstDigest = Statements.attestDigest(address(REGISTRY), L2_CHAIN_ID, first);
        bytes32 secondDigest = Statements.attestDigest(address(REGISTRY), L2_CHAIN_ID, second);
        _punishPair(owner, epoch, CONFLICTING_ATTESTATIONS, firstDigest, secondDigest, signatureSum);
    }

    /// @notice Takes the whole bond of everyone who signed both of two certificates of one view of `epoch` that
    /// contradict each other: more than a third of the weight. The epoch's committee must be materialized; the window is
    /// that of `submit`. Submitted again it finds nothing left.
    /// @dev Whoever is in both has signed two statements of which one member signs one. Which member a bit stands for
    /// follows from the committee, and the quorums are checked by the registry.
    function submitCertificates(uint64 epoch, VoteCertificate calldata first, VoteCertificate calldata second)
        external
    {
        if (_offence(first.vote, second.vote) == 0) revert Slasher__NotPunishable(first.vote, second.vote);
        bytes32 firstDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, first.vote);
        bytes32 secondDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, second.vote);
        if (firstDigest == secondDigest) revert Slasher__SameStatement(firstDigest);
        _requireOpen(epoch);
        REGISTRY.verifyQuorum(epoch, firstDigest, first.bitmap, first.signature);
        REGISTRY.verifyQuorum(epoch, secondDigest, second.bitmap, second.signature);

        address reporter = _reporter();
        uint256 both = first.bitmap & second.bitmap;
        Member[] memory members = REGISTRY.committee(epoch);
        for (uint256 i = 0; i < members.length; ++i) {
            if (both & (1 << i) == 0) continue;
            address owner = members[i].owner;
            (, uint64 weight,) = REGISTRY.memberAt(owner, epoch);
            uint256 amount = _charge(owner, epoch, weight, true, reporter);
            emit Slashed(owner, epoch, CONFLICTING_CERTIFICATES, amount, msg.sender);
        }
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @notice What `owner` loses at withdrawal besides the penalties that were taken: for the worst of its offences,
    /// three times its bond times the share of the committee's weight that others held who offended within
    /// `correlationEpochs` of it; never more than is left. So a third of the weight that offends together loses all.
    /// @dev Each other offender counts once, with its highest weight in that time, before clipping: one that is clipped
    /// holds as good as a third, and costs all either way. The registry asks when no evidence can come any more.
    /// @param lastOffence The epoch of the offence that was charged last; 0: none was.
    /// @param rest The bond that is left, in base units.
    function correlatedLoss(address owner, uint64 lastOffence, uint256 rest) external view returns (uint256 loss) {
        if (rest == 0) return 0;
        // Before the base penalty, which was not all of it as something is left.
        uint256 bond = rest * BPS / (BPS - BASE_SLASH_BPS);
        for (uint64 epoch = lastOffence; epoch != 0; epoch = _offences[owner][epoch].previous) {
            uint256 lost = 3 * bond * _othersAround(owner, epoch) / REGISTRY.totalWeight(epoch);
            if (lost >= rest) return rest;
            if (lost > loss) loss = lost;
        }
    }

    /// @notice Whether the base penalty was taken for this admission of `owner`.
    function isPenalized(address owner, uint64 admission) external view returns (bool) {
        return REGISTRY.isPenalized(owner, admission);
    }

    /// @notice Whether evidence against `owner` in `epoch` was accepted.
    function hasOffended(address owner, uint64 epoch) public view returns (bool) {
        return _offences[owner][epoch].weight != 0;
    }

    /// @notice L1 block of a commitment; 0 when there is none.
    function committedAt(bytes32 commitment) external view returns (uint256) {
        return _committedAt[commitment];
    }

    // ------------------------------------------------------------------------------------------------ internals

    /// @dev One pairing checks both signatures: e(a + b, g2) = e(H(first) + H(second), key). That is aggregate
    /// verification under one key, which is sound because the two messages differ.
    function _punishPair(
        address owner,
        uint64 epoch,
        uint8 offence,
        bytes32 firstDigest,
        bytes32 secondDigest,
        bytes calldata signatureSum
    ) private {
        if (firstDigest == secondDigest) revert Slasher__SameStatement(firstDigest);
        if (hasOffended(owner, epoch)) revert Slasher__AlreadySlashed(owner, epoch);
        (bytes memory key, uint64 weight,) = REGISTRY.memberAt(owner, epoch);
        if (weight == 0) revert Slasher__NotAMember(owner, epoch);
        _requireOpen(epoch);

        bytes memory hashSum = Bls12381.addG1(
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(firstDigest)),
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(secondDigest))
        );
        if (!Bls12381.pairingHolds(signatureSum, hashSum, key)) revert Slasher__InvalidSignature();
        emit Slashed(owner, epoch, offence, _charge(owner, epoch, weight, false, _reporter()), msg.sender);
    }

    function _charge(address owner, uint64 epoch, uint64 weight, bool everything, address reporter)
        private
        returns (uint256 amount)
    {
        uint64 previous;
        (amount, previous) = REGISTRY.penalize(owner, epoch, everything, reporter);
        if (hasOffended(owner, epoch)) return amount;
        // Weights are below 2^56 and epochs below 2^40, by the registry.
        _offences[owner][epoch] = Offence(_latestOffender[epoch], uint56(weight), uint40(previous));
        _latestOffender[epoch] = owner;
    }

    /// @dev The caller, if it committed to this very call in an earlier block.
    function _reporter() private view returns (address) {
        uint256 since = _committedAt[keccak256(abi.encode(msg.sender, keccak256(msg.data)))];
        return since != 0 && since < block.number ? msg.sender : address(0);
    }

    /// @dev The weight of all others with an offence within the correlation window around `epoch`.
    function _othersAround(address owner, uint64 epoch) private view returns (uint256 sum) {
        uint64 first = epoch > CORRELATION_EPOCHS ? epoch - CORRELATION_EPOCHS : 0;
        uint64 last = epoch + CORRELATION_EPOCHS;
        uint256 count = 0;
        for (uint64 at_ = first; at_ <= last; ++at_) {
            for (address other = _latestOffender[at_]; other != address(0); other = _offences[other][at_].next) {
                if (other != owner) ++count;
            }
        }
        uint256[] memory found = new uint256[](count);
        for (uint64 at_ = first; count != 0 && at_ <= last; ++at_) {
            for (address other = _latestOffender[at_]; other != address(0); other = _offences[other][at_].next) {
                // The owner leads, so that ordering brings its offences together, the heaviest last.
                if (other != owner) found[--count] = (uint256(uint160(other)) << 96) | _offences[other][at_].weight;
            }
        }
        LibSort.sort(found);
        for (uint256 i = 0; i < found.length; ++i) {
            // Truncation is meant: the lowest 96 bits are the weight.
            if (i + 1 == found.length || found[i] >> 96 != found[i + 1] >> 96) sum += uint96(found[i]);
        }
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
