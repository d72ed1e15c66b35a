// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {Vote} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

/// Reads what honest members signed in simulated trouble (`consensus/tests/simulation/transcripts.rs`); a missing file fails
/// in `setUp`. Whoever has all of it has no case.
contract HonestTranscriptsTest is BatonTest {
    string private json;
    address private honest;

    function setUp() public override {
        super.setUp();
        startDevnet();
        json = vm.readFile("test/vectors/transcripts.json");
        honest = ownerOf(0);
    }

    function test_It_RefusesEveryPairOfStatementsOfOneHonestMember() external {
        bytes memory signature = Bls.G1;
        uint256 oneView = 0;
        uint256 pairs = 0;
        for (uint256 run = 0; vm.keyExistsJson(json, _run(run)); ++run) {
            for (uint256 member = 0; vm.keyExistsJson(json, _member(run, member)); ++member) {
                (Vote[] memory votes, uint256[] memory epochs) = _transcript(_member(run, member));
                for (uint256 i = 0; i < votes.length; ++i) {
                    for (uint256 j = 0; j <= i; ++j) {
                        if (epochs[i] != epochs[j]) continue;
                        ++pairs;
                        if (i != j && votes[i].viewNumber == votes[j].viewNumber) ++oneView;
                        _assertNoCase(uint64(epochs[i]), votes[i], votes[j], signature);
                        _assertNoCase(uint64(epochs[i]), votes[j], votes[i], signature);
                    }
                }
            }
        }
        assertTrue(oneView >= 50 && pairs >= 1000, "pairs");
    }

    /// Signed by the member's own key, since the numbers alone would be a case.
    function test_It_RefusesWhatLooksLikeAPairButIsOfTwoEpochs() external {
        rollToEpoch(3);
        uint256 secret = secretOf(honest);
        uint256 count = 0;
        for (uint256 block_ = 1; block_ <= 2; ++block_) {
            Vote memory first = notarize(7, keccak256(abi.encode("first", block_)));
            Vote memory second = notarize(7, keccak256(abi.encode("second", block_)));
            bytes memory sum =
                Bls12381.addG1(Bls.sign(secret, digestOf(2, first)), Bls.sign(secret, digestOf(3, second)));
            for (uint64 epoch = 2; epoch <= 3; ++epoch) {
                vm.expectRevert(Slasher.Slasher__InvalidSignature.selector);
                slasher.submit(honest, epoch, first, second, sum);
                ++count;
            }
        }
        assertEq(count, 4, "attempts");
        assertEq(registry.bondOf(honest), 32 * UNIT, "bond");
    }

    function _assertNoCase(uint64 epoch, Vote memory first, Vote memory second, bytes memory signature) private {
        (bool accepted, bytes memory why) =
            address(slasher).call(abi.encodeCall(Slasher.submit, (honest, epoch, first, second, signature)));
        bytes4 reason = bytes4(why);
        bool refused =
            reason == Slasher.Slasher__NotPunishable.selector || reason == Slasher.Slasher__SameStatement.selector;
        assertTrue(!accepted && refused, "an honest transcript is a case");
    }

    function _transcript(string memory entry) private view returns (Vote[] memory votes, uint256[] memory epochs) {
        uint256[] memory kinds = vm.parseJsonUintArray(json, string.concat(entry, ".kinds"));
        uint256[] memory views = vm.parseJsonUintArray(json, string.concat(entry, ".views"));
        bytes32[] memory blocks = vm.parseJsonBytes32Array(json, string.concat(entry, ".blocks"));
        epochs = vm.parseJsonUintArray(json, string.concat(entry, ".epochs"));
        votes = new Vote[](kinds.length);
        for (uint256 i = 0; i < votes.length; ++i) {
            votes[i] = Vote(uint8(kinds[i]), uint64(views[i]), blocks[i]);
        }
    }

    function _run(uint256 run) private pure returns (string memory) {
        return string.concat(".runs[", vm.toString(run), "]");
    }

    function _member(uint256 run, uint256 member) private pure returns (string memory) {
        return string.concat(_run(run), ".members[", vm.toString(member), "]");
    }
}
