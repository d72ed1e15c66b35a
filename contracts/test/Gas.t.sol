// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader, Certificate, Vote, VoteCertificate} from "../src/Types.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {Bls} from "./support/Bls.sol";
import {GasMeter} from "./support/GasMeter.sol";
import {vm} from "./support/Vm.sol";

/// What a whole transaction costs: 21,000, its calldata, and its execution from cold storage. Everything is prepared in
/// `setUp`, which is another transaction, and kept as calldata, so that a test touches nothing before it measures.
///
/// Each cost is held twice: by a bound in its test, and by `snapshots/gas.json`, which `npm test` fails to be above by more than
/// 3 %. `npm run gas` writes that file anew, so that a commit which changes a cost shows by how much.
contract GasTest is BatonTest, GasMeter {
    uint256 private constant HISTORY = 2 ** 17;
    /// Where the registry keeps `_sequencers` and `_checkpoints`.
    uint256 private constant SEQUENCERS_SLOT = 2;
    uint256 private constant CHECKPOINTS_SLOT = 3;

    address private newcomer = address(0x123456);
    address private poster = address(0xa11);
    bytes private nextPost;
    bytes private firstPostOfEpoch;
    bytes private slash;
    bytes private secondSlash;
    bytes private registration;
    bytes private materialization;
    bytes private postOfMost;

    address private oldRegistry;
    /// By the number of members: chains where everything is ready for the next batch, and such of which no committee is
    /// stored.
    mapping(uint256 members => address) private inboxes;
    mapping(uint256 members => address) private slashers;
    mapping(uint256 members => bytes) private posts;
    mapping(uint256 members => bytes) private certificates;
    mapping(uint256 members => address) private fresh;
    /// Chains of 128 members who have changed something 2^17 times each: one where nothing of the committee is stored, and one
    /// where its keys are.
    address private old;
    address private oldWithKeys;
    address private refundingInbox;
    bytes private refundedPost;
    bytes private refundedBlobs;
    address private plainInbox;
    address private plainRegistry;
    address private plainSlasher;

    function setUp() public override {
        super.setUp();
        vm.deal(poster, 1 ether);
        vm.deal(newcomer, 1 ether);
        for (uint256 i = 0; i < 3; ++i) {
            vm.deal(ownerOf(i), 1 ether);
        }
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
        for (uint256 i = 0; i < 4; ++i) {
            uint256 members = [uint256(4), 32, 64, 128][i];
            vm.roll(begin);
            _found(members);
            fresh[members] = address(registry);
            vm.roll(begin);
            _found(members);
            post(2);
            posts[members] = _post(2, _all(members));
            if (members == 64) postOfMost = _post(2, _all(43));
            certificates[members] = _certificates(_all(members));
            inboxes[members] = address(inbox);
            slashers[members] = address(slasher);
        }

        vm.roll(begin);
        _found(128);
        _age(128);
        old = address(registry);
        vm.roll(begin);
        _found(128);
        registry.materializeKeys(2, 0);
        registry.materializeKeys(2, 1);
        _age(128);
        oldWithKeys = address(registry);

        vm.roll(begin);
        deploy(defaultSpec());
        startDevnet();
        post(2);
        vm.deal(address(inbox), 1 ether);
        refundingInbox = address(inbox);
        refundedPost = _post(2, 15);
        BatchHeader memory header = nextHeader(2, blobsOf(6));
        refundedBlobs = abi.encodeCall(inbox.post, (header, certify(2, 15, header), ""));

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

    function test_It_PostsTheNextBatchOfFourMembersWithin190000() external {
        assertWithin("post, 4 members", poster, plainInbox, nextPost, 190_000);
    }

    function test_It_PostsAndRefundsWithin230000() external {
        assertWithin("post, 4 members, refunded", poster, refundingInbox, refundedPost, 230_000);
    }

    function test_It_PostsSixBlobsAndRefundsWithin230000() external {
        vm.blobhashes(blobsOf(6));
        assertWithin("post, 4 members, 6 blobs, refunded", poster, refundingInbox, refundedBlobs, 230_000);
    }

    function test_It_PostsTheFirstBatchOfAnEpochWithin230000() external {
        assertWithin("post, 4 members, first of an epoch", poster, address(inbox), firstPostOfEpoch, 230_000);
    }

    function test_It_PostsFor32MembersWithin215000() external {
        assertWithin("post, 32 members", poster, inboxes[32], posts[32], 215_000);
    }

    function test_It_PostsFor64MembersWithin240000() external {
        assertWithin("post, 64 members", poster, inboxes[64], posts[64], 240_000);
    }

    function test_It_PostsFor64MembersOfWhomAThirdIsAbsentWithin240000() external {
        assertWithin("post, 64 members, 21 absent", poster, inboxes[64], postOfMost, 240_000);
    }

    function test_It_PostsFor128MembersWithin240000() external {
        assertWithin("post, 128 members", poster, inboxes[128], posts[128], 240_000);
    }

    function test_It_SlashesWithin250000() external {
        assertWithin("slash", poster, plainSlasher, slash, 250_000);
    }

    function test_It_SlashesTheSecondOffenderOfAnEpochWithin250000() external {
        assertWithin("slash, second of an epoch", poster, address(slasher), secondSlash, 250_000);
    }

    /// The cap of EIP-7825 for a transaction.
    function test_It_SlashesWhoeverCertifiedTwoSidesOf4And32And64And128MembersWithin16777216() external {
        for (uint256 i = 0; i < 4; ++i) {
            uint256 members = [uint256(4), 32, 64, 128][i];
            string memory what = string.concat("slash two certificates, ", vm.toString(members), " members");
            assertWithin(what, poster, slashers[members], certificates[members], 16_777_216);
        }
    }

    /// The same cap: no committee can be too large to be stored.
    function test_It_Materializes4And32And64And128NewMembersWithin16777216() external {
        bytes memory call = abi.encodeCall(registry.materialize, (2));
        for (uint256 i = 0; i < 4; ++i) {
            uint256 members = [uint256(4), 32, 64, 128][i];
            string memory what = string.concat("materialize, ", vm.toString(members), " new members");
            assertWithin(what, poster, fresh[members], call, 16_777_216);
        }
    }

    /// In three transactions, where one would cost 17 million.
    function test_It_Materializes128MembersWithLongHistoriesByStepsWithin13000000() external {
        bytes memory keys = abi.encodeCall(registry.materializeKeys, (2, 1));
        assertWithin("materialize, 64 of 128 new keys, long histories", poster, old, keys, 13_000_000);
        bytes memory rest = abi.encodeCall(registry.materialize, (2));
        assertWithin("materialize, 128 members, long histories, keys stored", poster, oldWithKeys, rest, 13_000_000);
    }

    function test_It_ExitsWithin120000() external {
        assertWithin("exit", ownerOf(2), address(registry), abi.encodeCall(registry.exit, ()), 120_000);
    }

    function test_It_WithdrawsWithin120000() external {
        assertWithin("withdraw", ownerOf(2), oldRegistry, abi.encodeCall(registry.withdraw, ()), 120_000);
    }

    /// It looks at eight epochs to either side of the offence, and at five seats.
    function test_It_WithdrawsWhatAnOffenderHasLeftWithin250000() external {
        assertWithin("withdraw, an offender", ownerOf(0), oldRegistry, abi.encodeCall(registry.withdraw, ()), 250_000);
    }

    function test_It_RegistersWithin450000() external {
        assertWithin("register", newcomer, plainRegistry, registration, 450_000);
    }

    function test_It_MaterializesFourNewKeysWithin600000() external {
        assertWithin("materialize, 4 members, one new", poster, address(registry), materialization, 600_000);
    }

    /// A chain of `members` in its first epoch.
    function _found(uint256 members) private {
        deploy(defaultSpec());
        for (uint256 i = 0; i < members; ++i) {
            register(i, UNIT);
        }
        registry.activate();
        rollToEpoch(2);
    }

    /// Gives each of `members` 2^17 checkpoints, of which the last is the one that it has. Those before begin in epoch 0, so that a
    /// search goes all the way; that it finds the same committee shows that what is written here is what the registry reads.
    function _age(uint256 members) private {
        bytes32 committee = keccak256(abi.encode(registry.committee(2)));
        for (uint256 i = 0; i < members; ++i) {
            address owner = ownerOf(i);
            bytes32 slot = keccak256(abi.encode(owner, SEQUENCERS_SLOT));
            uint256 word = uint256(vm.load(address(registry), slot));
            assertEq(word >> 160 & type(uint32).max, 1, "one checkpoint");
            vm.store(address(registry), slot, bytes32(word + (HISTORY - 1 << 160)));
            bytes32 checkpoints = keccak256(abi.encode(owner, CHECKPOINTS_SLOT));
            bytes32 first = keccak256(abi.encode(0, checkpoints));
            bytes32 last = keccak256(abi.encode(HISTORY - 1, checkpoints));
            vm.store(address(registry), last, vm.load(address(registry), first));
            vm.store(address(registry), first, 0);
        }
        assertEq(keccak256(abi.encode(registry.committee(2))), committee, "the same committee");
    }

    function _all(uint256 members) private pure returns (uint256) {
        return (1 << members) - 1;
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
