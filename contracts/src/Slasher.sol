// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "./BatchInbox.sol";
import {Certificates} from "./Certificates.sol";
import {Rosters} from "./Rosters.sol";
import {SequencerRegistry} from "./SequencerRegistry.sol";
import {Attestation, ChainSpec, Vote, VoteCertificate} from "./Types.sol";
import {Bls12381} from "./libraries/Bls12381.sol";
import {Statements} from "./libraries/Statements.sol";

/// @title Slasher
/// @notice Turns statements that no honest member signs both into a penalty.
/// @dev No vote, no veto, no administrator: signatures are the whole case. Nothing is concluded from absence. The bond
/// token is never called from here.
///
/// A lone offender loses the base penalty. Who offends while others do loses more, up to everything, when it withdraws:
/// by then all evidence is in. Members who certified two sides of one view lose everything at once.
///
/// When all evidence is in. Windows are counted from the close of an epoch, which comes late when batches do. So a bond
/// without an offence is released by the close of the last epoch that it served, and one with an offence not before
/// evidence for the last epoch that is correlated with it has come to its end too, however late that epoch closed.
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

    /// @notice L1 blocks added to every release's wait, so that what it rests on is final: two epochs of Ethereum.
    uint256 public constant FINALITY_BLOCKS = 64;
    /// @notice Steps of a settlement that `release` makes itself. Each costs at most 25,000 gas, and 1.5 million more once
    /// for each offence of the owner; a longer settlement is brought forward by `settle` before.
    uint256 public constant RELEASE_STEPS = 256;

    uint256 private constant BPS = 10_000;
    /// Offences of one epoch: one for each member.
    uint256 private constant OFFENCES_MAX = 128;

    /// @notice The registry that holds keys and bonds.
    SequencerRegistry public immutable REGISTRY;
    /// @notice The inbox that tells when an epoch closed.
    BatchInbox public immutable INBOX;

    Certificates private immutable CERTIFICATES;
    Rosters private immutable ROSTERS;
    uint64 private immutable FIRST_EPOCH;
    uint64 private immutable L2_CHAIN_ID;
    uint64 private immutable EVIDENCE_BLOCKS;
    uint64 private immutable CORRELATION_EPOCHS;
    uint256 private immutable BASE_SLASH_BPS;
    /// L1 blocks between the close of the last epoch that a sequencer served and the release of its bond.
    uint256 private immutable RELEASE_BLOCKS;

    /// One slot, so that recording an offence writes one. Those of an admission are a list through `previous`.
    struct Offence {
        /// Zero behind the last of an epoch.
        address owner;
        /// The offender's in that epoch, before clipping: never 0.
        uint56 weight;
        /// The epoch of the offence that was charged to the same admission before; 0 at the list's end.
        uint40 previous;
    }

    /// Each owner's once, from position 0 on. An epoch has 128 members at most, so looking through costs less than looking
    /// up would: a second slot for each.
    mapping(uint64 epoch => mapping(uint256 position => Offence)) private _offences;
    mapping(bytes32 commitment => uint256 blockNumber) private _committedAt;

    /// How far the search for an offender's correlated loss has come. It walks the offender's own offences, for each of
    /// them the epochs around it, and for each of those the list of its offenders.
    struct Settlement {
        /// The own offence that is looked at; 0 once all have been.
        uint48 offence;
        /// The epoch of its surroundings that is looked at; 0 before the first step of all.
        uint48 epoch;
        /// The place among that epoch's offences that is next.
        uint48 position;
        /// The own offence before this one, once this one was passed.
        uint48 previous;
        /// Weight of the others found around this offence so far.
        uint128 weight;
        /// The largest loss by an own offence so far, in base units.
        uint128 loss;
    }

    mapping(address owner => Settlement) private _settlements;
    /// The weight with which another counts around an offence of the owner: its highest that was found so far.
    mapping(address owner => mapping(uint64 offence => mapping(address other => uint256))) private _counted;

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
    error Slasher__NotTheirEpoch(uint64 first, uint64 second, uint64 got);
    error Slasher__OnlyRegistry(address registry, address caller);
    error Slasher__EpochIsOpen(uint64 epoch);
    error Slasher__BondLocked(uint256 firstBlock, uint256 currentBlock);
    error Slasher__SettlementUnfinished(address owner);
    error Slasher__WindowClosed(uint256 lastBlock, uint256 currentBlock);
    error Slasher__InvalidSignature();
    error Slasher__NobodyInPart(uint256 both, uint256 part);

    /// @param registry A registry that was deployed with this contract's address as its slasher.
    /// @param inbox That registry's inbox; it may be deployed after this contract.
    constructor(SequencerRegistry registry, BatchInbox inbox) {
        if (registry.SLASHER() != address(this)) {
            revert Slasher__NotTheRegistrysSlasher(registry.SLASHER(), address(this));
        }
        if (registry.INBOX() != address(inbox)) revert Slasher__WrongInbox(registry.INBOX(), address(inbox));
        ChainSpec memory spec = registry.params();
        REGISTRY = registry;
        CERTIFICATES = registry.CERTIFICATES();
        ROSTERS = registry.ROSTERS();
        INBOX = inbox;
        FIRST_EPOCH = registry.FIRST_EPOCH();
        L2_CHAIN_ID = spec.l2ChainId;
        EVIDENCE_BLOCKS = spec.evidenceBlocks;
        CORRELATION_EPOCHS = spec.correlationEpochs;
        BASE_SLASH_BPS = spec.baseSlashBps;
        RELEASE_BLOCKS = spec.evidenceBlocks + uint256(spec.correlationEpochs) * spec.epochBlocks + FINALITY_BLOCKS;
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
    /// of the epoch closes: `evidenceBlocks` L1 blocks after the inbox says that the epoch closed. For a skipped epoch
    /// somebody has to name that epoch first (`BatchInbox.closeSkipped`).
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
    /// `submit`; `epoch` is the committee epoch of one of the two, in which the key was the owner's.
    /// @dev Any other epoch of the key would do to prove the offence, and would let whoever has one pair record it in as many
    /// epochs as it likes, near the offences of others.
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
        if (epoch != first.committeeEpoch && epoch != second.committeeEpoch) {
            revert Slasher__NotTheirEpoch(first.committeeEpoch, second.committeeEpoch, epoch);
        }
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
        _punishBoth(epoch, first, second, type(uint256).max);
    }

    /// @notice As `submitCertificates`, for those members alone whose bits are in `part`: all of a large committee with long
    /// histories could cost more than L1 lets a transaction. Parts may come in any order and from anyone, each with a
    /// commitment of its own; who is in two of them loses nothing twice, and nobody's part holds up another's.
    function submitCertificatesOf(
        uint64 epoch,
        VoteCertificate calldata first,
        VoteCertificate calldata second,
        uint256 part
    ) external {
        uint256 both = first.bitmap & second.bitmap;
        if (both & part == 0) revert Slasher__NobodyInPart(both, part);
        _punishBoth(epoch, first, second, part);
    }

    // --------------------------------------------------------------------------------------------------- release

    /// @notice What `owner` loses at withdrawal besides the penalties that were taken: for the worst of its offences,
    /// three times its bond times the share of the committee's weight that others held who offended within
    /// `correlationEpochs` of it; never more than is left. So a third of the weight that offends together loses all.
    /// Only the registry calls, to pay the bond; reverts while the bond is locked: see `releaseBlock`.
    /// @dev Each other offender counts once, with its highest weight in that time, before clipping: one that is clipped
    /// holds as good as a third, and costs all either way.
    /// @param untilEpoch The first epoch outside, as `lastOffence` and `bond` of `SequencerRegistry.departure`.
    function release(address owner, uint64 untilEpoch, uint64 lastOffence, uint256 bond)
        external
        returns (uint256 loss)
    {
        if (msg.sender != address(REGISTRY)) {
            revert Slasher__OnlyRegistry(address(REGISTRY), msg.sender);
        }
        _requireReleased(untilEpoch, lastOffence);
        if (lastOffence == 0) return 0;
        Settlement memory settlement = _settle(owner, lastOffence, bond, RELEASE_STEPS);
        if (settlement.offence != 0) revert Slasher__SettlementUnfinished(owner);
        delete _settlements[owner];
        return settlement.loss;
    }

    /// @notice Brings the settlement of an offender forward whose bond is released, by at most `steps` of 25,000 gas each,
    /// for those whose correlated loss `release` cannot find in one transaction. Anyone may call, as often as it takes.
    /// @return done Whether `release` will find it.
    function settle(address owner, uint256 steps) external returns (bool done) {
        (uint256 bond, uint64 untilEpoch, uint64 lastOffence) = REGISTRY.departure(owner);
        _requireReleased(untilEpoch, lastOffence);
        if (lastOffence == 0) return true;
        Settlement memory settlement = _settle(owner, lastOffence, bond, steps);
        _settlements[owner] = settlement;
        return settlement.offence == 0;
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @notice First L1 block at which the bond of `owner`, who has left, is released. When nothing that it signed can be
    /// punished any more: when evidence blocks, correlation epochs and `FINALITY_BLOCKS` have passed since its last epoch
    /// closed. For an offender, evidence blocks and `FINALITY_BLOCKS` must also have passed since the last epoch closed
    /// with which an offence of its can be correlated: `correlationEpochs` later. Reverts while such an epoch is open;
    /// where it was skipped, `BatchInbox.closeSkipped` has to name it first.
    function releaseBlock(address owner) external view returns (uint256) {
        (, uint64 untilEpoch, uint64 lastOffence) = REGISTRY.departure(owner);
        return _releaseBlock(untilEpoch, lastOffence);
    }

    /// @notice First L1 block at which a part of a bond is released whose first epoch without it is `untilEpoch`, of an owner
    /// without an offence. Reverts as `releaseBlock`.
    function releaseBlockAfter(uint64 untilEpoch) external view returns (uint256) {
        return _releaseBlock(untilEpoch, 0);
    }

    /// @notice Whether the base penalty was taken for this admission of `owner`.
    function isPenalized(address owner, uint64 admission) external view returns (bool) {
        return REGISTRY.isPenalized(owner, admission);
    }

    /// @notice Whether evidence against `owner` in `epoch` was accepted.
    function hasOffended(address owner, uint64 epoch) external view returns (bool found) {
        if (owner != address(0)) (, found) = _placeOf(owner, epoch, OFFENCES_MAX);
    }

    /// @notice L1 block of a commitment; 0 when there is none.
    function committedAt(bytes32 commitment) external view returns (uint256) {
        return _committedAt[commitment];
    }

    // ------------------------------------------------------------------------------------------------ internals

    function _punishPair(
        address owner,
        uint64 epoch,
        uint8 offence,
        bytes32 firstDigest,
        bytes32 secondDigest,
        bytes calldata signatureSum
    ) private {
        if (firstDigest == secondDigest) revert Slasher__SameStatement(firstDigest);
        (uint256 position, bool isKnown) = _placeOf(owner, epoch, OFFENCES_MAX);
        if (isKnown) revert Slasher__AlreadySlashed(owner, epoch);
        _requireProof(owner, epoch, firstDigest, secondDigest, signatureSum);
        emit Slashed(owner, epoch, offence, _charge(owner, epoch, false, _reporter(), position), msg.sender);
    }

    /// @dev Of the members in both certificates, those in `part`.
    function _punishBoth(uint64 epoch, VoteCertificate calldata first, VoteCertificate calldata second, uint256 part)
        private
    {
        if (_offence(first.vote, second.vote) == 0) revert Slasher__NotPunishable(first.vote, second.vote);
        bytes32 firstDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, first.vote);
        bytes32 secondDigest = Statements.voteDigest(address(REGISTRY), L2_CHAIN_ID, epoch, second.vote);
        if (firstDigest == secondDigest) revert Slasher__SameStatement(firstDigest);
        _requireOpen(epoch);
        CERTIFICATES.verifyQuorum(epoch, firstDigest, first.bitmap, first.signature);
        CERTIFICATES.verifyQuorum(epoch, secondDigest, second.bitmap, second.signature);

        address reporter = _reporter();
        uint256 both = first.bitmap & second.bitmap & part;
        address[] memory owners = ROSTERS.owners(epoch);
        // Owners differ from each other, so who has an offence recorded had it before this call.
        (uint256 known,) = _placeOf(address(0), epoch, OFFENCES_MAX);
        uint256 next = known;
        for (uint256 i = 0; i < owners.length; ++i) {
            if (both & (1 << i) == 0) continue;
            (, bool isKnown) = _placeOf(owners[i], epoch, known);
            uint256 amount = _charge(owners[i], epoch, true, reporter, isKnown ? OFFENCES_MAX : next++);
            emit Slashed(owners[i], epoch, CONFLICTING_CERTIFICATES, amount, msg.sender);
        }
    }

    /// @dev One pairing checks both signatures: e(a + b, g2) = e(H(first) + H(second), key). That is aggregate
    /// verification under one key, which is sound because the two messages differ.
    function _requireProof(
        address owner,
        uint64 epoch,
        bytes32 firstDigest,
        bytes32 secondDigest,
        bytes calldata signatureSum
    ) private view {
        (bytes memory key, uint64 weight,) = REGISTRY.memberAt(owner, epoch);
        if (weight == 0) revert Slasher__NotAMember(owner, epoch);
        _requireOpen(epoch);

        bytes memory hashSum = Bls12381.addG1(
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(firstDigest)),
            Bls12381.hashToG1(Bls12381.SIGNATURE_DST, bytes.concat(secondDigest))
        );
        if (!Bls12381.pairingHolds(signatureSum, hashSum, key)) revert Slasher__InvalidSignature();
    }

    /// @param position Where the offence is recorded; `OFFENCES_MAX`: it was before.
    function _charge(address owner, uint64 epoch, bool everything, address reporter, uint256 position)
        private
        returns (uint256 amount)
    {
        uint64 previous;
        uint64 weight;
        (amount, previous, weight) = REGISTRY.penalize(owner, epoch, everything, reporter);
        // Weights are below 2^56 and epochs below 2^40, by the registry.
        if (position != OFFENCES_MAX) _offences[epoch][position] = Offence(owner, uint56(weight), uint40(previous));
    }

    /// @dev Looks for `owner` among the first `end` offences of `epoch`; where it is not, `position` is behind the last.
    function _placeOf(address owner, uint64 epoch, uint256 end) private view returns (uint256 position, bool found) {
        mapping(uint256 => Offence) storage offences = _offences[epoch];
        for (; position != end; ++position) {
            address other = offences[position].owner;
            if (other == owner) return (position, true);
            if (other == address(0)) return (position, false);
        }
    }

    /// @dev The caller, if it committed to this very call in an earlier block.
    function _reporter() private view returns (address) {
        uint256 since = _committedAt[keccak256(abi.encode(msg.sender, keccak256(msg.data)))];
        return since != 0 && since < block.number ? msg.sender : address(0);
    }

    function _requireReleased(uint64 untilEpoch, uint64 lastOffence) private view {
        uint256 firstBlock = _releaseBlock(untilEpoch, lastOffence);
        if (block.number < firstBlock) revert Slasher__BondLocked(firstBlock, block.number);
    }

    function _releaseBlock(uint64 untilEpoch, uint64 lastOffence) private view returns (uint256 firstBlock) {
        // Who left before the first committee was fixed has never been a member.
        if (untilEpoch <= FIRST_EPOCH) return 0;
        uint64 lastEpoch = untilEpoch - 1;
        firstBlock = _closeOf(lastEpoch) + RELEASE_BLOCKS + 1;
        if (lastOffence != 0) {
            uint256 evidenceEnds = _closeOf(lastEpoch + CORRELATION_EPOCHS) + EVIDENCE_BLOCKS + FINALITY_BLOCKS + 1;
            if (firstBlock < evidenceEnds) firstBlock = evidenceEnds;
        }
        // An abandoned chain's epochs are closed before they run.
        uint256 outside = REGISTRY.epochStart(untilEpoch);
        if (firstBlock < outside) firstBlock = outside;
    }

    function _closeOf(uint64 epoch) private view returns (uint256 closedAt) {
        closedAt = INBOX.windowStart(epoch);
        if (closedAt == 0) revert Slasher__EpochIsOpen(epoch);
    }

    /// @dev Goes on where the last call ended. A step is one offence, one epoch, or one of the owner's own offences.
    /// @param rest The bond that is left, in base units.
    function _settle(address owner, uint64 lastOffence, uint256 rest, uint256 steps)
        private
        returns (Settlement memory at_)
    {
        if (rest == 0) return at_;
        at_ = _settlements[owner];
        if (at_.epoch == 0) _lookAround(at_, lastOffence);
        for (; at_.offence != 0 && steps != 0; --steps) {
            Offence memory found = _offences[at_.epoch][at_.position];
            if (found.owner != address(0)) {
                ++at_.position;
                if (found.owner != owner) at_.weight += _count(owner, at_.offence, found.owner, found.weight);
                else if (at_.epoch == at_.offence) at_.previous = found.previous;
            } else if (at_.epoch < at_.offence + CORRELATION_EPOCHS) {
                (at_.epoch, at_.position) = (at_.epoch + 1, 0);
            } else {
                // Of the bond before the base penalty, which was not all of it as something is left.
                uint256 bond = rest * BPS / (BPS - BASE_SLASH_BPS);
                uint256 loss = 3 * bond * at_.weight / ROSTERS.totalWeight(at_.offence);
                // At most what is left of a bond, which fits into 128 bits.
                if (loss > at_.loss) at_.loss = uint128(loss < rest ? loss : rest);
                _lookAround(at_, at_.loss == rest ? 0 : at_.previous);
            }
        }
    }

    function _lookAround(Settlement memory at_, uint64 offence) private view {
        // Epochs are below 2^40, by the registry, and those below 2 have no offenders.
        at_.offence = uint48(offence);
        at_.epoch = offence > CORRELATION_EPOCHS ? uint48(offence - CORRELATION_EPOCHS) : 1;
        (at_.position, at_.previous, at_.weight) = (0, 0, 0);
    }

    /// @dev By how much another's offence raises the weight around an offence of the owner.
    function _count(address owner, uint64 offence, address other, uint256 weight) private returns (uint128) {
        uint256 counted = _counted[owner][offence][other];
        if (weight <= counted) return 0;
        _counted[owner][offence][other] = weight;
        // Weights are below 2^56.
        return uint128(weight - counted);
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
        uint256 closedAt = INBOX.windowStart(epoch);
        if (closedAt != 0 && block.number > closedAt + EVIDENCE_BLOCKS) {
            revert Slasher__WindowClosed(closedAt + EVIDENCE_BLOCKS, block.number);
        }
    }
}
