// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {Liveness} from "../../src/Liveness.sol";
import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {Slasher} from "../../src/Slasher.sol";
import {BatchHeader, Certificate, ChainSpec, Member, Stage, Vote} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {Assertions} from "./Assertions.sol";
import {Bls} from "./Bls.sol";
import {vm} from "./Vm.sol";

/// @notice A deployed Baton and the actors around it. Every owner's secret follows from its address, so a test names
/// owners only.
abstract contract BatonTest is Assertions {
    address internal constant DEPLOYER = address(0xba70);
    /// Who posts: an account without code.
    address internal constant POSTER = address(0x9057);
    uint64 internal constant L2_CHAIN_ID = 4242;
    uint64 internal constant EPOCH_BLOCKS = 16;
    uint256 internal constant UNIT = 1e12;
    uint256 internal constant REWARD_PER_EPOCH = 1000;

    DevToken internal token;
    SequencerRegistry internal registry;
    Slasher internal slasher;
    BatchInbox internal inbox;
    Liveness internal liveness;

    /// Secrets of the registered keys.
    mapping(bytes32 keyHash => uint256) private _secrets;

    function setUp() public virtual {
        vm.chainId(31_337);
        vm.roll(100);
        deploy(defaultSpec());
    }

    // ---------------------------------------------------------------------------------------------- deployment

    function defaultSpec() internal pure returns (ChainSpec memory spec) {
        spec.l2ChainId = L2_CHAIN_ID;
        spec.epochBlocks = EPOCH_BLOCKS;
        spec.originSettle = 1;
        spec.minBlockMs = 100;
        spec.idleBlockMs = 1000;
        spec.deltaMs = 100;
        spec.inactiveViews = 20;
        spec.clockDriftMs = 500;
        spec.blockBytesMax = 512 << 10;
        spec.blockGasLimit = 120_000_000;
        spec.execLagMax = 32;
        spec.forcedLag = 8;
        spec.abandonBlocks = 2048;
        spec.maxOriginAge = 64;
        spec.liveEpochs = 4;
        spec.batchBytesMax = 1024;
        spec.batchBlobsMax = 6;
        spec.batchAgeBlocks = 5;
        spec.postBackoff = 2;
        spec.correlationEpochs = 8;
        spec.evidenceBlocks = 512;
        spec.jailEpochs = 2;
        spec.jailMinViews = 2;
        spec.baseSlashBps = 500;
        spec.reporterBps = 1000;
        spec.jailMissBps = 5000;
        spec.minCommittee = 1;
        spec.allowSmall = true;
        spec.orderingRule = 1;
        spec.executor = 0;
        spec.weightUnit = uint128(UNIT);
        spec.weightCap = 2 ** 40;
        spec.minBond = UNIT;
    }

    /// Short windows, so that a run of calls gets past them: 16 + 8 + 64 blocks.
    function deployShort(uint8 minCommittee) internal {
        vm.chainId(31_337);
        vm.roll(100);
        ChainSpec memory spec = defaultSpec();
        spec.epochBlocks = 8;
        spec.evidenceBlocks = 16;
        spec.correlationEpochs = 1;
        spec.minCommittee = minCommittee;
        deploy(spec);
    }

    function deploy(ChainSpec memory spec) internal {
        if (spec.bondToken == address(0)) {
            token = new DevToken();
            spec.bondToken = address(token);
        }
        uint256 nonce = vm.getNonce(DEPLOYER);
        address slasherAt = vm.computeCreateAddress(DEPLOYER, nonce + 1);
        address inboxAt = vm.computeCreateAddress(DEPLOYER, nonce + 2);
        address livenessAt = vm.computeCreateAddress(DEPLOYER, nonce + 3);
        vm.startPrank(DEPLOYER);
        registry = new SequencerRegistry(spec, slasherAt, inboxAt, livenessAt);
        slasher = new Slasher(registry, BatchInbox(inboxAt));
        inbox = new BatchInbox(registry);
        liveness = new Liveness(registry, inbox, REWARD_PER_EPOCH);
        vm.stopPrank();
    }

    // --------------------------------------------------------------------------------------------------- actors

    /// The i-th owner that a test speaks of. Their addresses are not in the order of i.
    function ownerOf(uint256 i) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("owner", i)))));
    }

    function recipientOf(address owner) internal pure returns (address) {
        return address(uint160(uint256(keccak256(abi.encode("recipient", owner)))));
    }

    function secretOf(address owner) internal pure returns (uint256) {
        return uint256(keccak256(abi.encode("secret", owner))) % Bls.R;
    }

    function possessionOf(address owner, uint256 secret) internal view returns (bytes memory) {
        bytes memory key = Bls.publicKey(secret);
        return Bls.sign(secret, Bls12381.POSSESSION_DST, Statements.possessionMessage(address(registry), owner, key));
    }

    function fund(address owner, uint256 amount) internal {
        token.mint(owner, amount);
        vm.prank(owner);
        token.approve(address(registry), amount);
    }

    function register(uint256 i, uint256 bond) internal returns (address owner) {
        owner = ownerOf(i);
        registerWith(owner, bond, secretOf(owner));
    }

    function registerWith(address owner, uint256 bond, uint256 secret) internal {
        fund(owner, bond);
        _register(owner, bond, secret);
    }

    /// With what `fund` gave, so that a test can expect an event of the registration itself.
    function registerFunded(address owner, uint256 bond) internal {
        _register(owner, bond, secretOf(owner));
    }

    function _register(address owner, uint256 bond, uint256 secret) private {
        bytes memory key = Bls.publicKey(secret);
        _secrets[keccak256(key)] = secret;
        bytes memory possession = possessionOf(owner, secret);
        vm.prank(owner);
        registry.register(recipientOf(owner), bond, key, possession);
    }

    /// Gives `owner` the key of `secret`.
    function rotate(address owner, uint256 secret) internal {
        bytes memory key = Bls.publicKey(secret);
        bytes memory possession = possessionOf(owner, secret);
        _secrets[keccak256(key)] = secret;
        vm.prank(owner);
        registry.rotateKey(key, possession);
    }

    /// The secret with which `owner` signs when its key is `key`.
    function secretOf(address owner, bytes memory key) internal view returns (uint256 secret) {
        secret = _secrets[keccak256(key)];
        if (secret == 0) secret = secretOf(owner);
    }

    function exit(address owner) internal {
        vm.prank(owner);
        registry.exit();
    }

    function withdraw(address owner) internal {
        vm.prank(owner);
        registry.withdraw();
    }

    /// Closes what holds the bond of `owner`, who has left, and moves to the first block at which it is released.
    function rollToRelease(address owner) internal {
        (, uint64 untilEpoch, uint64 lastOffence) = registry.departure(owner);
        uint64 last = lastOffence == 0 ? untilEpoch - 1 : untilEpoch - 1 + registry.params().correlationEpochs;
        (,, uint64 tipEpoch,,) = inbox.tip();
        if (tipEpoch <= last) {
            if (registry.epochOf(block.number) <= last) rollToEpoch(last + 1);
            post(registry.epochOf(block.number));
        }
        closeIfSkipped(untilEpoch - 1);
        closeIfSkipped(last);
        vm.roll(slasher.releaseBlock(owner));
    }

    function closeIfSkipped(uint64 epoch) internal {
        (,, uint64 tipEpoch,,) = inbox.tip();
        if (inbox.closedAt(epoch) == 0 && epoch < tipEpoch) inbox.closeSkipped(epoch, inbox.closedBefore(epoch));
    }

    function stageOf(address owner) internal view returns (Stage stage) {
        (,, stage,,,) = registry.sequencer(owner);
    }

    function assertStage(address owner, Stage expected) internal view {
        assertEq(uint256(stageOf(owner)), uint256(expected), "stage");
    }

    /// Four members with the devnet's stakes, activated, at the first block of epoch 2, whose committee is stored.
    function startDevnet() internal {
        register(0, 32 * UNIT);
        register(1, 28 * UNIT);
        register(2, 22 * UNIT);
        register(3, 18 * UNIT);
        start();
    }

    /// Activates what is registered and moves to the first block of epoch 2.
    function start() internal {
        registry.activate();
        rollToEpoch(2);
        registry.materialize(2);
    }

    function rollToEpoch(uint64 epoch) internal {
        vm.roll(registry.epochStart(epoch));
    }

    function weightOf(address owner, uint64 epoch) internal view returns (uint64 weight) {
        (, weight,) = registry.memberAt(owner, epoch);
    }

    // ----------------------------------------------------------------------------------------------- statements

    function notarize(uint64 viewNumber, bytes32 digest) internal pure returns (Vote memory) {
        return Vote(Statements.NOTARIZE, viewNumber, digest);
    }

    function finalize(uint64 viewNumber, bytes32 digest) internal pure returns (Vote memory) {
        return Vote(Statements.FINALIZE, viewNumber, digest);
    }

    function nullify(uint64 viewNumber) internal pure returns (Vote memory) {
        return Vote(Statements.NULLIFY, viewNumber, 0);
    }

    function digestOf(uint64 epoch, Vote memory vote) internal view returns (bytes32) {
        return Statements.voteDigest(address(registry), L2_CHAIN_ID, epoch, vote);
    }

    function signVote(address owner, uint64 epoch, Vote memory vote) internal view returns (bytes memory) {
        return Bls.sign(_secretIn(owner, epoch), digestOf(epoch, vote));
    }

    /// The secret that `owner` has in `epoch`; in one without its seat, its first.
    function _secretIn(address owner, uint64 epoch) private view returns (uint256) {
        try registry.memberAt(owner, epoch) returns (bytes memory key, uint64, uint64) {
            return secretOf(owner, key);
        } catch {
            return secretOf(owner);
        }
    }

    function evidence(address owner, uint64 epoch, Vote memory first, Vote memory second)
        internal
        view
        returns (bytes memory)
    {
        return Bls12381.addG1(signVote(owner, epoch, first), signVote(owner, epoch, second));
    }

    /// The sum of the signatures of those members of `epoch` that `bitmap` names.
    function aggregate(uint64 epoch, uint256 bitmap, bytes32 digest) internal view returns (bytes memory) {
        Member[] memory members = registry.committee(epoch);
        uint256 secretSum = 0;
        for (uint256 i = 0; i < members.length; ++i) {
            if (bitmap & (1 << i) == 0) continue;
            secretSum = addmod(secretSum, secretOf(members[i].owner, members[i].blsKey), Bls.R);
        }
        return Bls.sign(secretSum, digest);
    }

    function attestation(uint64 committeeEpoch, BatchHeader memory header) internal view returns (bytes32) {
        return
            Statements.attestDigest(
                address(registry), L2_CHAIN_ID, committeeEpoch, header, Statements.batchHash(header)
            );
    }

    function certify(uint64 committeeEpoch, uint256 bitmap, BatchHeader memory header)
        internal
        view
        returns (Certificate memory)
    {
        return
            Certificate(committeeEpoch, bitmap, aggregate(committeeEpoch, bitmap, attestation(committeeEpoch, header)));
    }

    /// A header that the inbox would take next, for `epoch` and `data`, ten blocks long.
    function nextHeader(uint64 epoch, bytes memory data) internal view returns (BatchHeader memory header) {
        (uint64 index, uint64 lastHeight,,, bytes32 lastBatchHash) = inbox.tip();
        header.index = index;
        header.prevBatchHash = lastBatchHash;
        header.epoch = epoch;
        header.firstHeight = lastHeight + 1;
        header.lastHeight = lastHeight + 10;
        header.lastDigest = keccak256(abi.encode("block", header.lastHeight));
        header.lastOriginNumber = uint64(block.number - 1);
        header.lastOriginHash = keccak256(abi.encode("origin", header.lastOriginNumber));
        (, header.forcedPosition) = inbox.forcedQueue();
        (header.forcedHash,) = inbox.forcedAt(header.forcedPosition);
        header.dataKind = inbox.CALLDATA();
        header.dataHash = keccak256(data);
        header.dutiesRoot = keccak256(abi.encode("duties", index));
    }

    /// The same for a batch that `blobs` carry.
    function nextHeader(uint64 epoch, bytes32[] memory blobs) internal view returns (BatchHeader memory header) {
        header = nextHeader(epoch, "");
        header.dataKind = inbox.BLOBS();
        header.dataHash = keccak256(abi.encodePacked(blobs));
    }

    /// Versioned hashes of as many different blobs.
    function blobsOf(uint256 count) internal pure returns (bytes32[] memory blobs) {
        blobs = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            blobs[i] = bytes32(uint256(1) << 248 | uint256(keccak256(abi.encode("blob", i))) >> 8);
        }
    }

    /// Posts as a transaction does.
    function sendPost(BatchHeader memory header, Certificate memory certificate, bytes memory data) internal {
        vm.prank(POSTER, POSTER);
        inbox.post(header, certificate, data);
    }

    /// Posts the next batch of `epoch` with everybody's signature.
    function post(uint64 epoch) internal {
        bytes memory data = abi.encode("data", block.number);
        postBatch(nextHeader(epoch, data), data);
    }

    /// The same with this header.
    function postBatch(BatchHeader memory header, bytes memory data) internal {
        registry.materialize(header.epoch);
        uint256 everybody = (1 << registry.committee(header.epoch).length) - 1;
        sendPost(header, certify(header.epoch, everybody, header), data);
    }

    /// Posts the next batch of `epoch`, in which `count` entries of the forced queue are taken.
    function postTaking(uint64 epoch, uint64 count) internal {
        bytes memory data = abi.encode("data", block.number);
        BatchHeader memory header = nextHeader(epoch, data);
        header.forcedPosition += count;
        (header.forcedHash,) = inbox.forcedAt(header.forcedPosition);
        registry.materialize(epoch);
        uint256 everybody = (1 << registry.committee(epoch).length) - 1;
        sendPost(header, certify(epoch, everybody, header), data);
    }

    /// Submits a double Notarize of `owner` in view 1 of `epoch`.
    function slashDoubleNotarize(address owner, uint64 epoch) internal {
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        slasher.submit(owner, epoch, first, second, evidence(owner, epoch, first, second));
    }
}
