// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader, Certificate, Vote, VoteCertificate} from "../src/Types.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {Bls} from "./support/Bls.sol";
import {vm} from "./support/Vm.sol";

/// What a whole transaction costs: 21,000, its calldata, and its execution from cold storage. Everything is prepared in
/// `setUp`, which is another transaction, and kept as calldata, so that a test touches nothing before it measures.
///
/// Each cost is held twice: by a bound in its test, and to the unit by `snapshots/gas.json`, so that a commit which changes
/// a cost shows by how much. `npm run gas` writes that file anew.
contract GasTest is BatonTest {
    uint256 private constant INTRINSIC = 21_000;

    address private newcomer = address(0x123456);
    address private poster = address(0xa11);
    bytes private nextPost;
    bytes private firstPostOfEpoch;
    bytes private largePost;
    bytes private slash;
    bytes private secondSlash;
    bytes private registration;
    bytes private materialization;
    bytes private largeCertificates;
    bytes private largestCertificates;

    address private oldRegistry;
    address private largeInbox;
    address private largeSlasher;
    address private largestSlasher;
    address private plainInbox;
    address private plainRegistry;
    address private plainSlasher;

    function setUp() public override {
        super.setUp();
        // A chain that three leave, two of them as offenders, long enough ago.
        startDevnet();
        register(4, 30 * UNIT);
        slashDoubleNotarize(ownerOf(0), 2);
        slashDoubleNotarize(ownerOf(1), 2);
        exit(ownerOf(2));
        rollToEpoch(4);
        post(3);
        post(4);
        rollToEpoch(12);
        post(11);
        post(12);
        vm.roll(block.number + 10_000);
        oldRegistry = address(registry);

        uint256 begin = block.number;
        deploy(defaultSpec());
        for (uint256 i = 0; i < 64; ++i) {
            register(i, (1 + i) * UNIT);
        }
        start();
        post(2);
        largePost = _post(2, 2 ** 64 - 1);
        largeCertificates = _certificates(2 ** 64 - 1);
        largeInbox = address(inbox);
        largeSlasher = address(slasher);

        vm.roll(begin);
        deploy(defaultSpec());
        for (uint256 i = 0; i < 128; ++i) {
            register(i, (1 + i) * UNIT);
        }
        start();
        largestCertificates = _certificates(2 ** 128 - 1);
        largestSlasher = address(slasher);

        vm.roll(begin);
        deploy(defaultSpec());
        startDevnet();
        post(2);
        nextPost = _post(2, 15);
        slash = _slash(ownerOf(0));
        fund(newcomer, 10 * UNIT);
        // Others have locked bonds before, as they have on a chain that runs.
        bytes memory key = Bls.publicKey(77);
        registration = abi.encodeCall(registry.register, (newcomer, 10 * UNIT, key, possessionOf(newcomer, 77)));
        plainInbox = address(inbox);
        plainRegistry = address(registry);
        plainSlasher = address(slasher);

        // A second chain, two epochs on, with one offender slashed and one member replaced.
        vm.roll(begin);
        deploy(defaultSpec());
        startDevnet();
        post(2);
        slashDoubleNotarize(ownerOf(3), 2);
        register(9, 18 * UNIT);
        secondSlash = _slash(ownerOf(1));
        // All three chains are in epoch 3 now: they began in the same block.
        rollToEpoch(3);
        registry.materialize(3);
        firstPostOfEpoch = _post(3, 15);
        materialization = abi.encodeCall(registry.materialize, (4));
    }

    function test_It_PostsTheNextBatchOfFourMembersWithin230000() external {
        _assertWithin("post, 4 members", poster, plainInbox, nextPost, 230_000);
    }

    function test_It_PostsTheFirstBatchOfAnEpochWithin230000() external {
        _assertWithin("post, 4 members, first of an epoch", poster, address(inbox), firstPostOfEpoch, 230_000);
    }

    function test_It_PostsFor64MembersWithin300000() external {
        _assertWithin("post, 64 members", poster, largeInbox, largePost, 300_000);
    }

    function test_It_SlashesWithin300000() external {
        _assertWithin("slash, first on the chain", poster, plainSlasher, slash, 300_000);
    }

    function test_It_SlashesTheSecondOffenderWithin300000() external {
        _assertWithin("slash", poster, address(slasher), secondSlash, 300_000);
    }

    function test_It_SlashesWhoeverCertifiedTwoSidesOf64MembersWithin12000000() external {
        _assertWithin("slash two certificates, 64 members", poster, largeSlasher, largeCertificates, 12_000_000);
    }

    /// The cap of EIP-7825 for a transaction.
    function test_It_SlashesWhoeverCertifiedTwoSidesOf128MembersWithin16777216() external {
        _assertWithin("slash two certificates, 128 members", poster, largestSlasher, largestCertificates, 16_777_216);
    }

    function test_It_ExitsWithin120000() external {
        _assertWithin("exit", ownerOf(2), address(registry), abi.encodeCall(registry.exit, ()), 120_000);
    }

    function test_It_WithdrawsWithin120000() external {
        _assertWithin("withdraw", ownerOf(2), oldRegistry, abi.encodeCall(registry.withdraw, ()), 120_000);
    }

    /// It looks at eight epochs to either side of the offence, and at five seats.
    function test_It_WithdrawsWhatAnOffenderHasLeftWithin250000() external {
        _assertWithin("withdraw, an offender", ownerOf(0), oldRegistry, abi.encodeCall(registry.withdraw, ()), 250_000);
    }

    function test_It_RegistersWithin450000() external {
        _assertWithin("register", newcomer, plainRegistry, registration, 450_000);
    }

    function test_It_MaterializesFourNewKeysWithin600000() external {
        _assertWithin("materialize, 4 members, one new", poster, address(registry), materialization, 600_000);
    }

    function _assertWithin(string memory what, address sender, address target, bytes memory input, uint256 bound)
        private
    {
        uint256 intrinsic = INTRINSIC;
        for (uint256 i = 0; i < input.length; ++i) {
            intrinsic += input[i] == 0 ? 4 : 16;
        }
        vm.prank(sender);
        uint256 gasBefore = gasleft();
        (bool ok, bytes memory reason) = target.call(input);
        uint256 spent = gasBefore - gasleft();
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(reason, 0x20), mload(reason))
            }
        }
        // The transaction's target is warm from the start.
        uint256 total = intrinsic + spent - 2500;
        vm.snapshotValue("gas", what, total);
        assertAtMost(total, bound, what);
    }

    function _post(uint64 epoch, uint256 bitmap) private view returns (bytes memory) {
        bytes memory data = "x";
        BatchHeader memory header = nextHeader(epoch, data);
        Certificate memory certificate = certify(epoch, bitmap, header);
        return abi.encodeCall(inbox.post, (header, certificate, data));
    }

    function _certificates(uint256 bitmap) private view returns (bytes memory) {
        VoteCertificate[2] memory pair;
        for (uint256 i = 0; i < 2; ++i) {
            Vote memory vote = finalize(1, keccak256(abi.encode(i)));
            pair[i] = VoteCertificate(vote, bitmap, aggregate(2, bitmap, digestOf(2, vote)));
        }
        return abi.encodeCall(slasher.submitCertificates, (2, pair[0], pair[1]));
    }

    function _slash(address owner) private view returns (bytes memory) {
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        return abi.encodeCall(slasher.submit, (owner, 2, first, second, evidence(owner, 2, first, second)));
    }
}
