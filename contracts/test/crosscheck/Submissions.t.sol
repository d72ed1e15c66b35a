// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader} from "../../src/Types.sol";
import {VectorTest} from "../support/VectorTest.sol";
import {vm} from "../support/Vm.sol";

/// What the node's own code made for L1: every kind of evidence as calldata with the commitment that goes before it, and
/// blobs. The contracts take it as it is.
contract SubmissionsTest is VectorTest {
    function setUp() public override {
        super.setUp();
        readVectors("test/vectors/submissions.json");
    }

    function test_It_PunishesByEverySubmissionOfTheNodeAndPaysWhoCommittedToIt() external {
        registerMembers();
        start();
        address reporter = vm.parseJsonAddress(json, ".reporter");
        uint256 offences = 0;
        for (uint256 i = 0; vm.keyExistsJson(json, _entry(i)); ++i) {
            string memory entry = _entry(i);
            uint256 offence = vm.parseJsonUint(json, string.concat(entry, ".offence"));
            address[] memory offenders = vm.parseJsonAddressArray(json, string.concat(entry, ".offenders"));
            offences |= 1 << offence;
            uint256 before = vm.snapshotState();
            vm.prank(reporter);
            slasher.commit(vm.parseJsonBytes32(json, string.concat(entry, ".commitment")));
            vm.roll(block.number + 1);
            bytes memory call = vm.parseJsonBytes(json, string.concat(entry, ".calldata"));
            vm.prank(reporter);
            (bool ok,) = address(slasher).call(call);
            assertTrue(ok, entry);
            for (uint256 j = 0; j < offenders.length; ++j) {
                assertTrue(slasher.hasOffended(offenders[j], 2), "recorded");
                assertEq(registry.bondOf(offenders[j]), offence == 4 ? 0 : 10 * UNIT * 95 / 100, "bond");
            }
            // A tenth of each base penalty, for a commitment to this very call alone.
            assertEq(registry.claimable(reporter), offenders.length * 10 * UNIT / 200, "reward");
            assertTrue(vm.revertToState(before), "the next one meets the same chain");
        }
        assertEq(offences, 62, "S1 to S5");
    }

    function test_It_TakesTheBlobsThatTheNodeMakes() external {
        startDevnet();
        uint256 count = 0;
        for (; vm.keyExistsJson(json, string.concat(".blobs[", vm.toString(count), "]")); ++count) {
            string memory entry = string.concat(".blobs[", vm.toString(count), "]");
            bytes32[] memory hashes = vm.parseJsonBytes32Array(json, string.concat(entry, ".versionedHashes"));
            bytes32 dataHash = vm.parseJsonBytes32(json, string.concat(entry, ".dataHash"));
            BatchHeader memory header = nextHeader(2, hashes);
            assertEq(header.dataHash, dataHash, "data hash");
            vm.blobhashes(hashes);
            postBatch(header, "");
        }
        assertTrue(count >= 2, "one blob, and several");
        assertEq(inbox.nextIndex(), count, "batches");
    }

    function _entry(uint256 i) private pure returns (string memory) {
        return string.concat(".submissions[", vm.toString(i), "]");
    }
}
