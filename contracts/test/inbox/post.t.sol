// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../../src/BatchInbox.sol";
import {BatchHeader, Certificate, ChainSpec} from "../../src/Types.sol";
import {Statements} from "../../src/libraries/Statements.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

/// Has no code yet when it calls.
contract PosterAtBirth {
    bytes public reason;

    constructor(address target, bytes memory input) {
        bool ok;
        (ok, reason) = target.call(input);
        require(!ok);
    }
}

contract PostTest is BatonTest {
    bytes private constant DATA = "what the batch carries";

    function test_RevertGiven_TheChainIsNotActive() external {
        BatchHeader memory header = nextHeader(2, DATA);
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        sendPost(header, Certificate(2, 15, new bytes(128)), DATA);
    }

    /// Its transaction shows nothing of the batch to who rebuilds the chain.
    function test_RevertWhen_AContractPosts() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        bytes memory call = abi.encodeCall(inbox.post, (header, certificate, DATA));
        _assertRefusedAs(address(this), POSTER, call, _notPlain(address(this)));
        PosterAtBirth born = new PosterAtBirth(address(inbox), call);
        assertEq(keccak256(born.reason()), keccak256(_notPlain(address(born))), "in its constructor");
        vm.blobhashes(blobsOf(1));
        header = nextHeader(2, blobsOf(1));
        call = abi.encodeCall(inbox.post, (header, certify(2, 15, header), ""));
        _assertRefusedAs(address(this), POSTER, call, _notPlain(address(this)));
        _assertAcceptedFrom(POSTER, call);
    }

    /// An account that EIP-7702 gave code sends to itself and calls from there: sender and origin are the same.
    function test_RevertWhen_TheSenderHasCodeByDelegation() external {
        BatchHeader memory header = _started();
        bytes memory call = abi.encodeCall(inbox.post, (header, certify(2, 15, header), DATA));
        vm.etch(POSTER, abi.encodePacked(hex"ef0100", address(this)));
        _assertRefusedAs(POSTER, POSTER, call, _notPlain(POSTER));
        vm.etch(POSTER, "");
        _assertAcceptedFrom(POSTER, call);
    }

    /// All of these Solidity takes. The first is as long as the call, and alloy finds no signature in it.
    function test_RevertWhen_TheCalldataIsLaidOutInAnotherWay() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        bytes memory call = abi.encodeCall(inbox.post, (header, certificate, DATA));
        bytes memory head = bytes.concat(inbox.post.selector, abi.encode(header));
        bytes memory named = abi.encode(uint256(2), uint256(15), uint256(0x60));
        bytes memory signature = bytes.concat(abi.encode(uint256(128)), certificate.signature);
        bytes memory data = bytes.concat(abi.encode(DATA.length), bytes32(DATA));
        assertEq(
            keccak256(bytes.concat(head, abi.encode(0x200, 0x300), named, signature, data)),
            keccak256(call),
            "the parts"
        );

        bytes memory before = abi.encode(uint256(2), uint256(15), type(uint256).max - 159);
        _assertOdd(bytes.concat(head, abi.encode(0x2a0, 0x300), signature, before, data), "signature first");
        _assertOdd(bytes.concat(head, abi.encode(0x240, 0x200), data, named, signature), "data first");
        _assertOdd(bytes.concat(head, abi.encode(0x200, 0x320), named, signature, bytes32(0), data), "a word between");
        _assertOdd(bytes.concat(head, abi.encode(0x220, 0x320), bytes32(0), named, signature, data), "a word before");
        bytes memory after_ = abi.encode(uint256(2), uint256(15), uint256(0xa0));
        _assertOdd(bytes.concat(head, abi.encode(0x200, 0x260), after_, data, signature), "data within");
        bytes memory longer = bytes.concat(abi.encode(uint256(129)), certificate.signature);
        _assertOdd(bytes.concat(head, abi.encode(0x200, 0x300), named, longer, data), "signature over the data");
        _assertAcceptedFrom(POSTER, call);

        // The state root is a word of zeros: data without bytes, if one points there.
        vm.blobhashes(blobsOf(1));
        header = nextHeader(2, blobsOf(1));
        certificate = certify(2, 15, header);
        head = bytes.concat(inbox.post.selector, abi.encode(header));
        signature = bytes.concat(abi.encode(uint256(128)), certificate.signature);
        _assertOdd(bytes.concat(head, abi.encode(0x200, 0x100), named, signature), "data in the header");
        _assertAcceptedFrom(POSTER, abi.encodeCall(inbox.post, (header, certificate, "")));
    }

    /// Or anybody could copy a certificate from the pool of transactions and have L1 keep, and pay for, bytes of its own.
    function test_RevertWhen_TheCalldataDoesNotEndWithTheDataInWholeWords() external {
        BatchHeader memory header = _started();
        bytes memory call = abi.encodeCall(inbox.post, (header, certify(2, 15, header), DATA));
        _assertOdd(bytes.concat(call, hex"00"), "a byte more");
        _assertOdd(bytes.concat(call, bytes32(0)), "a word more");
        bytes memory cut = new bytes(call.length - 1);
        for (uint256 i = 0; i < cut.length; ++i) {
            cut[i] = call[i];
        }
        _assertOdd(cut, "a byte less");
        call[call.length - 1] = 0x01;
        _assertOdd(call, "something in the last word behind the data");
        call[call.length - 1] = 0x00;
        _assertAcceptedFrom(POSTER, call);
        // Of whole words already.
        bytes memory whole = new bytes(64);
        header = nextHeader(2, whole);
        call = abi.encodeCall(inbox.post, (header, certify(2, 15, header), whole));
        _assertOdd(bytes.concat(call, bytes32(0)), "a word after whole words");
        _assertAcceptedFrom(POSTER, call);
    }

    function test_RevertWhen_TheIndexIsNotTheNext() external {
        BatchHeader memory header = _started();
        header.index = 1;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__NotNextBatch.selector, 0, 1));
        post(2);
        header = nextHeader(2, DATA);
        header.index = 0;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__NotNextBatch.selector, 1, 0));
    }

    function test_RevertWhen_ThePreviousHashIsAnother() external {
        BatchHeader memory header = _started();
        header.prevBatchHash = keccak256("other");
        _assertRefused(
            header,
            abi.encodeWithSelector(BatchInbox.BatchInbox__WrongPreviousHash.selector, bytes32(0), keccak256("other"))
        );
        post(2);
        (,,,, bytes32 last) = inbox.tip();
        header = nextHeader(2, DATA);
        header.prevBatchHash = 0;
        _assertRefused(
            header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongPreviousHash.selector, last, bytes32(0))
        );
    }

    function test_RevertWhen_TheFirstHeightLeavesAGapOrOverlaps() external {
        BatchHeader memory header = _started();
        header.firstHeight = 0;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongFirstHeight.selector, 1, 0));
        post(2);
        header = nextHeader(2, DATA);
        header.firstHeight = 10;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongFirstHeight.selector, 11, 10));
        header.firstHeight = 12;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongFirstHeight.selector, 11, 12));
    }

    function test_RevertWhen_TheLastHeightIsBelowTheFirst() external {
        BatchHeader memory header = _started();
        header.lastHeight = 0;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongLastHeight.selector, 1, 0));
        header.lastHeight = 1;
        _accept(header);
    }

    function test_RevertWhen_TheEpochIsOver() external {
        BatchHeader memory header = _started();
        header.epoch = 1;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__EpochNotRunning.selector, 2, 2, 1));
        rollToEpoch(4);
        post(4);
        header = nextHeader(3, DATA);
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__EpochNotRunning.selector, 4, 4, 3));
    }

    function test_RevertWhen_TheEpochHasNotBegun() external {
        _started();
        BatchHeader memory header = nextHeader(3, DATA);
        vm.roll(registry.epochStart(3) - 1);
        registry.materialize(3);
        bytes memory refusal = abi.encodeWithSelector(BatchInbox.BatchInbox__EpochNotRunning.selector, 2, 2, 3);
        Certificate memory certificate = certify(3, 15, header);
        vm.expectRevert(refusal);
        sendPost(header, certificate, DATA);
        vm.roll(registry.epochStart(3));
        sendPost(header, certificate, DATA);
    }

    function test_RevertWhen_TheCommitteeIsNotTheOneOfTheEpoch() external {
        BatchHeader memory header = _started();
        rollToEpoch(6);
        registry.materialize(3);
        Certificate memory certificate = certify(3, 15, header);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__WrongCommitteeEpoch.selector, 2, 2, 3));
        sendPost(header, certificate, DATA);
        certificate.committeeEpoch = 1;
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__WrongCommitteeEpoch.selector, 2, 2, 1));
        sendPost(header, certificate, DATA);
        // Four epochs later, the last live one, its own committee still certifies.
        _accept(header);
    }

    function test_RevertWhen_TheCommitteeIsItsOwn() external {
        BatchHeader memory header = _started();
        rollToEpoch(7);
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__WrongCommitteeEpoch.selector, 3, 7, 2));
        sendPost(header, certificate, DATA);
    }

    function test_RevertWhen_TheCommitteeIsOfAComingEpoch() external {
        BatchHeader memory header = _started();
        rollToEpoch(7);
        registry.materialize(8);
        Certificate memory certificate = certify(8, 15, header);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__WrongCommitteeEpoch.selector, 3, 7, 8));
        sendPost(header, certificate, DATA);
    }

    function test_When_TheCommitteeIsOfARecentEpoch() external {
        uint64[2] memory recent = [uint64(3), 7];
        BatchHeader memory header = _started();
        rollToEpoch(7);
        for (uint256 i = 0; i < 2; ++i) {
            registry.materialize(recent[i]);
            sendPost(header, certify(recent[i], 15, header), DATA);
            header = nextHeader(2, DATA);
        }
        assertEq(inbox.nextIndex(), 2, "both were accepted");
    }

    function test_RevertWhen_TheDataKindIsUnknown() external {
        BatchHeader memory header = _started();
        header.dataKind = 2;
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__UnknownDataKind.selector, 2));
    }

    function test_RevertWhen_ThereIsCalldataBesidesTheBlobs() external {
        BatchHeader memory header = _startedWithBlobs(1);
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__DataBesidesBlobs.selector, 1));
        sendPost(header, certificate, "x");
    }

    function test_RevertWhen_TheTransactionCarriesNoBlob() external {
        BatchHeader memory header = _startedWithBlobs(1);
        vm.blobhashes(new bytes32[](0));
        _assertRefusedWithout(header, abi.encodeWithSelector(BatchInbox.BatchInbox__NoBlobs.selector));
    }

    function test_RevertWhen_TheTransactionCarriesMoreBlobsThanABatchMay() external {
        BatchHeader memory header = _startedWithBlobs(7);
        _assertRefusedWithout(header, abi.encodeWithSelector(BatchInbox.BatchInbox__TooManyBlobs.selector, 6));
    }

    function test_RevertWhen_ABlobIsAnotherOrMissingOrOneTooManyOrInAnotherPlace() external {
        BatchHeader memory header = _startedWithBlobs(3);
        for (uint256 fault = 0; fault < 4; ++fault) {
            bytes32[] memory blobs = blobsOf(fault == 1 ? 2 : fault == 2 ? 4 : 3);
            if (fault == 0) blobs[1] ^= bytes32(uint256(1));
            if (fault == 3) (blobs[0], blobs[1]) = (blobs[1], blobs[0]);
            vm.blobhashes(blobs);
            bytes32 got = keccak256(abi.encodePacked(blobs));
            _assertRefusedWithout(
                header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongDataHash.selector, header.dataHash, got)
            );
        }
        vm.blobhashes(blobsOf(3));
        sendPost(header, certify(2, 15, header), "");
    }

    function test_When_TheBlobsAreThoseThatTheHeaderCommitsTo() external {
        _started();
        uint256[3] memory counts = [uint256(1), 2, 6];
        for (uint256 i = 0; i < 3; ++i) {
            BatchHeader memory header = nextHeader(2, blobsOf(counts[i]));
            Certificate memory certificate = certify(2, 15, header);
            vm.blobhashes(blobsOf(counts[i]));
            vm.expectEmit(address(inbox));
            emit BatchInbox.BatchPosted(
                uint64(i), keccak256(abi.encode(header)), 2, header.firstHeight, header.lastHeight, 0, header.dataHash
            );
            sendPost(header, certificate, "");
        }
        assertEq(inbox.nextIndex(), 3, "all were accepted");
    }

    function test_RevertGiven_BatchesOfTheChainCarryNoBlobs() external {
        ChainSpec memory spec = defaultSpec();
        (spec.batchBlobsMax, spec.batchBytesMax, spec.blockBytesMax) = (0, 122_880, 114_688);
        deploy(spec);
        BatchHeader memory header = _startedWithBlobs(1);
        _assertRefusedWithout(header, abi.encodeWithSelector(BatchInbox.BatchInbox__TooManyBlobs.selector, 0));
    }

    function test_RevertWhen_ThereAreBlobsBesidesTheCalldata() external {
        BatchHeader memory header = _started();
        vm.blobhashes(blobsOf(1));
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__BlobsBesidesData.selector));
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_AcceptsTheBlobsOfTheHeaderAndNoOthers(bytes32[8] memory seeds, uint8 count, uint8 carried)
        external
    {
        _started();
        bytes32[] memory blobs = _versioned(seeds, 1 + count % 6);
        bytes32[] memory got = _versioned(seeds, carried % 8);
        BatchHeader memory header = nextHeader(2, blobs);
        Certificate memory certificate = certify(2, 15, header);
        vm.blobhashes(got);
        vm.prank(POSTER, POSTER);
        try inbox.post(header, certificate, "") {
            assertTrue(got.length == blobs.length, "accepted only with its own");
        } catch {
            assertTrue(got.length != blobs.length, "refused only with others");
        }
    }

    function test_RevertWhen_TheDataIsTooLong() external {
        _started();
        bytes memory longest = new bytes(1024);
        bytes memory tooLong = new bytes(1025);
        BatchHeader memory header = nextHeader(2, tooLong);
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__DataTooLong.selector, 1024, 1025));
        sendPost(header, certificate, tooLong);
        header = nextHeader(2, longest);
        sendPost(header, certify(2, 15, header), longest);
    }

    function test_RevertWhen_TheDataIsNotWhatTheHeaderCommitsTo() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(
            abi.encodeWithSelector(BatchInbox.BatchInbox__WrongDataHash.selector, keccak256(DATA), keccak256("other"))
        );
        sendPost(header, certificate, "other");
    }

    function test_RevertWhen_TheLastOriginIsNotInThePast() external {
        BatchHeader memory header = _started();
        header.lastOriginNumber = uint64(block.number);
        _assertRefused(
            header, abi.encodeWithSelector(BatchInbox.BatchInbox__OriginNotPast.selector, block.number, block.number)
        );
    }

    function test_RevertWhen_ThereIsAStateRootWithoutAnExecutor() external {
        BatchHeader memory header = _started();
        header.stateRoot = keccak256("root");
        _assertRefused(
            header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongStateRoot.selector, false, keccak256("root"))
        );
    }

    function test_RevertWhen_TheStateRootIsZero() external {
        _deployExecuting();
        BatchHeader memory header = _started();
        _assertRefused(header, abi.encodeWithSelector(BatchInbox.BatchInbox__WrongStateRoot.selector, true, bytes32(0)));
    }

    function test_When_TheStateRootIsGiven() external {
        _deployExecuting();
        BatchHeader memory header = _started();
        header.stateRoot = keccak256("root");
        _accept(header);
    }

    function test_RevertWhen_TheCommitteeIsNotStored() external {
        _started();
        rollToEpoch(3);
        BatchHeader memory header = nextHeader(3, DATA);
        Certificate memory certificate = certify(3, 15, header);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotMaterialized.selector, 3));
        sendPost(header, certificate, DATA);
        registry.materialize(3);
        sendPost(header, certificate, DATA);
    }

    function test_RevertWhen_TheSignersAreTooLight() external {
        for (uint256 i = 0; i < 4; ++i) {
            register(i, 10 * UNIT);
        }
        start();
        BatchHeader memory header = nextHeader(2, DATA);
        Certificate memory certificate = certify(2, 3, header);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InsufficientWeight.selector, 20, 40));
        sendPost(header, certificate, DATA);
    }

    function test_RevertWhen_ABitIsBeyondTheCommittee() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        certificate.bitmap = 31;
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__SignerOutOfRange.selector, 31, 4));
        sendPost(header, certificate, DATA);
    }

    /// Fields that the inbox can check itself are in its own errors; the rest rests on the signature alone.
    function test_RevertWhen_TheCertificateIsForAnotherHeader() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        for (uint256 field = 0; field < 5; ++field) {
            BatchHeader memory other = nextHeader(2, DATA);
            if (field == 0) other.lastHeight += 1;
            if (field == 1) other.lastDigest = keccak256("other");
            if (field == 2) other.lastOriginNumber -= 1;
            if (field == 3) other.lastOriginHash = keccak256("other");
            if (field == 4) other.dutiesRoot = keccak256("other");
            _assertInvalid(other, certificate);
        }
        sendPost(header, certificate, DATA);
    }

    /// The batch hash is made of the calldata as it came, so what does not fit its type must never get that far.
    function test_RevertWhen_ANumberHasBitsBeyondItsType() external {
        BatchHeader memory header = _started();
        for (uint256 i = 0; i < 7; ++i) {
            uint256 field = 32 * uint256([0, 2, 3, 4, 6, 9, 11][i]);
            bytes memory encoded = abi.encode(header);
            encoded[field] = 0x01;
            bytes32 digest = Statements.attestDigest(address(registry), L2_CHAIN_ID, 2, header, keccak256(encoded));
            bytes memory call = abi.encodeCall(inbox.post, (header, Certificate(2, 15, aggregate(2, 15, digest)), DATA));
            call[4 + field] = 0x01;
            vm.prank(POSTER, POSTER);
            (bool ok,) = address(inbox).call(call);
            assertTrue(!ok, vm.toString(field / 32));
        }
        _accept(header);
    }

    function test_RevertWhen_TheCertificateWasMadeForAnotherChain() external {
        BatchHeader memory header = _started();
        // Another L1: after a fork the same contracts stand on both sides.
        Certificate memory certificate = certify(2, 15, header);
        vm.chainId(1);
        _assertInvalid(header, certificate);
        vm.chainId(31_337);
        // Another L2 on this L1.
        bytes32 headerHash = Statements.batchHash(header);
        bytes32 digest = Statements.attestDigest(address(registry), L2_CHAIN_ID + 1, 2, header, headerHash);
        _assertInvalid(header, Certificate(2, 15, aggregate(2, 15, digest)));
    }

    function test_RevertWhen_TheCertificateWasMadeForAnotherRegistry() external {
        BatchHeader memory header = _started();
        bytes32 digest = Statements.attestDigest(address(0x99), L2_CHAIN_ID, 2, header, Statements.batchHash(header));
        _assertInvalid(header, Certificate(2, 15, aggregate(2, 15, digest)));
    }

    function test_RevertWhen_MembersSignedSomethingElseThatHasTheSameFields() external {
        BatchHeader memory header = _started();
        bytes32 headerHash = Statements.batchHash(header);
        // The bare hash, and a vote for a block that has the batch's hash as its digest.
        _assertInvalid(header, Certificate(2, 15, aggregate(2, 15, headerHash)));
        _assertInvalid(header, Certificate(2, 15, aggregate(2, 15, digestOf(2, finalize(0, headerHash)))));
        // The attestation that names another committee epoch.
        bytes32 digest = Statements.attestDigest(address(registry), L2_CHAIN_ID, 3, header, headerHash);
        _assertInvalid(header, Certificate(2, 15, aggregate(2, 15, digest)));
    }

    function test_RevertWhen_TheBatchIsPostedTwice() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 15, header);
        sendPost(header, certificate, DATA);
        vm.expectRevert(abi.encodeWithSelector(BatchInbox.BatchInbox__NotNextBatch.selector, 1, 0));
        sendPost(header, certificate, DATA);
    }

    function test_When_AllIsInOrder() external {
        BatchHeader memory header = _started();
        Certificate memory certificate = certify(2, 14, header);
        bytes32 batchHash = keccak256(abi.encode(header));
        vm.recordLogs();
        vm.prank(address(0xa11), address(0xa11));
        inbox.post(header, certificate, DATA);
        assertEq(vm.getRecordedLogs().length, 1, "one event");
        (uint64 nextIndex, uint64 lastHeight, uint64 epoch, uint64 acceptedAtBlock, bytes32 lastBatchHash) = inbox.tip();
        assertEq(nextIndex, 1, "next index");
        assertEq(inbox.nextIndex(), 1, "next index");
        assertEq(lastHeight, 10, "last height");
        assertEq(epoch, 2, "epoch");
        assertEq(acceptedAtBlock, block.number, "block");
        assertEq(lastBatchHash, batchHash, "hash");

        header = nextHeader(2, DATA);
        certificate = certify(2, 15, header);
        vm.expectEmit(address(inbox));
        emit BatchInbox.BatchPosted(1, keccak256(abi.encode(header)), 2, 11, 20, 1, keccak256(DATA));
        sendPost(header, certificate, DATA);
    }

    function test_When_TheLastOriginIsTooOld() external {
        BatchHeader memory header = _started();
        header.lastOriginNumber = uint64(block.number - 64);
        Certificate memory certificate = certify(2, 15, header);
        vm.recordLogs();
        sendPost(header, certificate, DATA);
        assertEq(vm.getRecordedLogs().length, 1, "the oldest that is not too old");

        header = nextHeader(2, DATA);
        header.lastOriginNumber = uint64(block.number - 65);
        certificate = certify(2, 15, header);
        vm.expectEmit(address(inbox));
        emit BatchInbox.OriginTooOld(1, uint64(block.number - 65), uint64(block.number - 64));
        sendPost(header, certificate, DATA);
    }

    function test_When_TheNextBatchFollows() external {
        _started();
        post(2);
        post(2);
        rollToEpoch(3);
        post(2);
        post(3);
        assertEq(inbox.nextIndex(), 4, "batches");
        (, uint64 lastHeight, uint64 epoch,,) = inbox.tip();
        assertEq(lastHeight, 40, "last height");
        assertEq(epoch, 3, "epoch");
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_It_AcceptsAChainOfBatchesOverAnyEpochsInOrder(uint8[6] memory steps) external {
        _started();
        uint64 epoch = 2;
        for (uint64 i = 0; i < 6; ++i) {
            epoch += steps[i] % 3;
            if (registry.epochOf(block.number) < epoch) rollToEpoch(epoch);
            post(epoch);
            assertEq(inbox.nextIndex(), i + 1, "accepted");
        }
    }

    function test_RevertGiven_TheChainIsAbandoned() external {
        BatchHeader memory header = _started();
        _accept(header);
        vm.roll(block.number + 2049);
        inbox.abandon();
        header = nextHeader(2, DATA);
        _assertRefused(
            header, abi.encodeWithSelector(BatchInbox.BatchInbox__ChainIsAbandoned.selector, uint64(block.number))
        );
    }

    function _started() private returns (BatchHeader memory) {
        startDevnet();
        return nextHeader(2, DATA);
    }

    function _startedWithBlobs(uint256 count) private returns (BatchHeader memory) {
        startDevnet();
        vm.blobhashes(blobsOf(count));
        return nextHeader(2, blobsOf(count));
    }

    function _versioned(bytes32[8] memory seeds, uint256 count) private pure returns (bytes32[] memory blobs) {
        blobs = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            blobs[i] = bytes32(uint256(1) << 248 | uint256(seeds[i]) >> 8);
        }
    }

    function _deployExecuting() private {
        ChainSpec memory spec = defaultSpec();
        (spec.executor, spec.genesisHash) = (1, bytes32(uint256(1)));
        deploy(spec);
    }

    function _notPlain(address caller) private pure returns (bytes memory) {
        return abi.encodeWithSelector(BatchInbox.BatchInbox__NotAPlainAccount.selector, caller);
    }

    function _assertOdd(bytes memory call, string memory what) private {
        vm.prank(POSTER, POSTER);
        (bool ok, bytes memory reason) = address(inbox).call(call);
        assertTrue(!ok, what);
        assertEq(keccak256(reason), keccak256(abi.encodePacked(BatchInbox.BatchInbox__OddCalldata.selector)), what);
    }

    function _assertRefusedAs(address sender, address origin, bytes memory call, bytes memory reason) private {
        vm.prank(sender, origin);
        (bool ok, bytes memory got) = address(inbox).call(call);
        assertTrue(!ok, "refused");
        assertEq(keccak256(got), keccak256(reason), "reason");
    }

    function _assertAcceptedFrom(address sender, bytes memory call) private {
        uint64 next = inbox.nextIndex();
        vm.prank(sender, sender);
        (bool ok,) = address(inbox).call(call);
        assertTrue(ok, "accepted");
        assertEq(inbox.nextIndex(), next + 1, "the next batch");
    }

    function _accept(BatchHeader memory header) private {
        sendPost(header, certify(header.epoch, 15, header), DATA);
    }

    /// With a certificate that is right for this very header, so that the header's fault is all there is.
    function _assertRefused(BatchHeader memory header, bytes memory reason) private {
        Certificate memory certificate =
            Certificate(header.epoch, 15, aggregate(2, 15, attestation(header.epoch, header)));
        vm.expectRevert(reason);
        sendPost(header, certificate, DATA);
    }

    /// The same for a post without data.
    function _assertRefusedWithout(BatchHeader memory header, bytes memory reason) private {
        Certificate memory certificate = certify(2, 15, header);
        vm.expectRevert(reason);
        sendPost(header, certificate, "");
    }

    function _assertInvalid(BatchHeader memory header, Certificate memory certificate) private {
        vm.expectRevert(RegistryErrors.SequencerRegistry__InvalidSignature.selector);
        sendPost(header, certificate, DATA);
    }
}
