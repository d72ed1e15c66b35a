// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader, Certificate, Vote} from "../src/Types.sol";
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

    address private largeInbox;
    address private plainInbox;
    address private plainRegistry;
    address private plainSlasher;

    function setUp() public override {
        super.setUp();
        uint256 begin = block.number;
        for (uint256 i = 0; i < 64; ++i) {
            register(i, (1 + i) * UNIT);
        }
        start();
        post(2);
        largePost = _post(2, 2 ** 64 - 1);
        largeInbox = address(inbox);

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

    function _slash(address owner) private view returns (bytes memory) {
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        return abi.encodeCall(slasher.submit, (owner, 2, first, second, evidence(owner, 2, first, second)));
    }
}
