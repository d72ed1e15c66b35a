// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {ChainSpec} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract RegistryConstructorTest is BatonTest {
    uint64 private constant LARGEST_IN_CALLDATA = 117_864;
    uint64 private constant LARGEST_IN_A_BLOB = 121_923;
    uint64 private constant LARGEST_IN_BLOBS = 751_881;

    function test_RevertWhen_AFieldOfTheSpecIsOutOfItsBounds() external {
        ChainSpec memory spec;
        (spec = _sound()).l2ChainId = 0;
        _assertRefused(spec, "l2ChainId", 0, 1, type(uint64).max);
        (spec = _sound()).epochBlocks = 0;
        _assertRefused(spec, "epochBlocks", 0, 1, 2 ** 48);
        (spec = _sound()).epochBlocks = 2 ** 48 + 1;
        _assertRefused(spec, "epochBlocks", 2 ** 48 + 1, 1, 2 ** 48);
        (spec = _sound()).abandonBlocks = 0;
        _assertRefused(spec, "abandonBlocks", 0, 1, 2 ** 48);
        (spec = _sound()).abandonBlocks = 2 ** 48 + 1;
        _assertRefused(spec, "abandonBlocks", 2 ** 48 + 1, 1, 2 ** 48);
        (spec = _sound()).maxOriginAge = 0;
        _assertRefused(spec, "maxOriginAge", 0, 1, 2 ** 48);
        (spec = _sound()).maxOriginAge = type(uint64).max;
        _assertRefused(spec, "maxOriginAge", type(uint64).max, 1, 2 ** 48);
        (spec = _sound()).liveEpochs = 0;
        _assertRefused(spec, "liveEpochs", 0, 1, 2 ** 48);
        (spec = _sound()).liveEpochs = 2 ** 48 + 1;
        _assertRefused(spec, "liveEpochs", 2 ** 48 + 1, 1, 2 ** 48);
        (spec = _sound()).correlationEpochs = 1025;
        _assertRefused(spec, "correlationEpochs", 1025, 0, 1024);
        (spec = _sound()).evidenceBlocks = 0;
        _assertRefused(spec, "evidenceBlocks", 0, 1, 2 ** 48);
        (spec = _sound()).evidenceBlocks = type(uint64).max;
        _assertRefused(spec, "evidenceBlocks", type(uint64).max, 1, 2 ** 48);
        (spec = _sound()).jailEpochs = 2 ** 48 + 1;
        _assertRefused(spec, "jailEpochs", 2 ** 48 + 1, 0, 2 ** 48);
        (spec = _sound()).batchBytesMax = 0;
        _assertRefused(spec, "batchBytesMax", 0, 1, 122_880);
        (spec = _sound()).batchBytesMax = 122_881;
        _assertRefused(spec, "batchBytesMax", 122_881, 1, 122_880);
        (spec = _sound()).batchBlobsMax = 7;
        _assertRefused(spec, "batchBlobsMax", 7, 0, 6);
        (spec = _sound()).baseSlashBps = 0;
        _assertRefused(spec, "baseSlashBps", 0, 1, 10_000);
        (spec = _sound()).baseSlashBps = 10_001;
        _assertRefused(spec, "baseSlashBps", 10_001, 1, 10_000);
        (spec = _sound()).reporterBps = 5000;
        _assertRefused(spec, "reporterBps", 5000, 0, 4999);
        (spec = _sound()).jailMissBps = 10_001;
        _assertRefused(spec, "jailMissBps", 10_001, 0, 10_000);
        (spec = _sound()).minCommittee = 0;
        _assertRefused(spec, "minCommittee", 0, 1, 127);
        (spec = _sound()).minCommittee = 128;
        _assertRefused(spec, "minCommittee", 128, 1, 127);
        (spec = _sound()).allowSmall = false;
        spec.minCommittee = 3;
        _assertRefused(spec, "minCommittee", 3, 4, 127);
        (spec = _sound()).orderingRule = 2;
        _assertRefused(spec, "orderingRule", 2, 0, 1);
        (spec = _sound()).executor = 2;
        _assertRefused(spec, "executor", 2, 0, 1);
        (spec = _sound()).weightUnit = 0;
        _assertRefused(spec, "weightUnit", 0, 1, type(uint128).max);
        (spec = _sound()).weightCap = 0;
        _assertRefused(spec, "weightCap", 0, 1, 2 ** 56 - 1);
        (spec = _sound()).weightCap = 2 ** 56;
        _assertRefused(spec, "weightCap", 2 ** 56, 1, 2 ** 56 - 1);
        (spec = _sound()).minBond = UNIT - 1;
        _assertRefused(spec, "minBond", UNIT - 1, UNIT, type(uint128).max);
        (spec = _sound()).minBond = 2 ** 128;
        _assertRefused(spec, "minBond", 2 ** 128, UNIT, type(uint128).max);
    }

    /// The same edges as `a_block_of_the_largest_size_fits_a_batch` of the Rust crate `baton-proto`. That asks whether what a
    /// block needs fits; this solves the same for the block, and `testFuzz_It_TakesABlockExactlyIfItFitsABatch` compares both.
    function test_RevertWhen_ABlockOfTheLargestSizeMightFitNoBatch() external {
        // Blobs of a batch, bytes of its calldata, and the largest blocks that either carries.
        uint64[3][8] memory edges = [
            [uint64(0), 122_880, LARGEST_IN_CALLDATA],
            [uint64(1), 1, LARGEST_IN_A_BLOB],
            [uint64(1), 122_880, LARGEST_IN_A_BLOB],
            [uint64(6), 122_880, LARGEST_IN_BLOBS],
            [uint64(0), 4096, 0],
            [uint64(0), 4223, 127],
            [uint64(0), 4224, 127],
            [uint64(0), 4225, 128]
        ];
        for (uint256 i = 0; i < edges.length; ++i) {
            uint64 largest = edges[i][2];
            new SequencerRegistry(_sized(edges[i][0], edges[i][1], largest), address(1), address(2), address(3));
            _assertTooLarge(edges[i][0], edges[i][1], largest + 1, largest);
            _assertTooLarge(edges[i][0], edges[i][1], type(uint64).max, largest);
        }
        _assertTooLarge(6, 122_880, 2 << 20, LARGEST_IN_BLOBS);
        // Calldata alone that holds not even a block without transactions.
        _assertRefused(_sized(0, 4095, 0), "batchBytesMax", 4095, 4096, 122_880);
    }

    /// The rule as `ChainSpec::check` of `baton-proto` has it, with a block next to the edge.
    /// forge-config: default.fuzz.runs = 512
    function testFuzz_It_TakesABlockExactlyIfItFitsABatch(uint256 blobs, uint256 bytesMax, uint256 distance) external {
        blobs %= 7;
        bytesMax = 4096 + bytesMax % (122_880 - 4096 + 1);
        uint256 room = blobs == 0 ? bytesMax : blobs * 126_976 - 5;
        if (room < bytesMax) room = bytesMax;
        // The edge is less than two bytes from here.
        uint256 blockBytesMax = (room - 4096) * 128 / 129 + distance % 5;
        blockBytesMax = blockBytesMax < 2 ? 0 : blockBytesMax - 2;
        bool fits = blockBytesMax + blockBytesMax / 128 + 4096 <= room;
        ChainSpec memory spec = _sized(uint64(blobs), uint64(bytesMax), uint64(blockBytesMax));
        try new SequencerRegistry(spec, address(1), address(2), address(3)) {
            assertTrue(fits, "was taken");
        } catch {
            assertTrue(!fits, "was refused");
        }
    }

    function test_RevertWhen_TheBondTokenIsNoContract() external {
        ChainSpec memory spec = _sound();
        spec.bondToken = address(0x70ce2);
        _assertRefused(spec, "bondToken", 0, 1, type(uint256).max);
        spec.bondToken = address(0);
        _assertRefused(spec, "bondToken", 0, 1, type(uint256).max);
    }

    function test_RevertWhen_ThereIsAGenesisHash() external {
        ChainSpec memory spec = _sound();
        spec.genesisHash = bytes32(uint256(1));
        _assertRefused(spec, "genesisHash", 1, 0, 0);
        spec.genesisHash = bytes32(type(uint256).max);
        _assertRefused(spec, "genesisHash", type(uint256).max, 0, 0);
    }

    function test_RevertWhen_TheGenesisHashIsZero() external {
        ChainSpec memory spec = _sound();
        spec.executor = 1;
        _assertRefused(spec, "genesisHash", 0, 1, type(uint256).max);
    }

    function test_RevertWhen_TheSlasherOrTheInboxIsZero() external {
        ChainSpec memory spec = _sound();
        vm.expectRevert(RegistryErrors.SequencerRegistry__ZeroAddress.selector);
        new SequencerRegistry(spec, address(0), address(2), address(3));
        vm.expectRevert(RegistryErrors.SequencerRegistry__ZeroAddress.selector);
        new SequencerRegistry(spec, address(1), address(0), address(3));
        vm.expectRevert(RegistryErrors.SequencerRegistry__ZeroAddress.selector);
        new SequencerRegistry(spec, address(1), address(2), address(0));
    }

    function test_When_AllIsSound() external {
        ChainSpec memory spec = _sound();
        SequencerRegistry deployed = new SequencerRegistry(spec, address(1), address(2), address(3));
        assertEq(abi.encode(deployed.params()), abi.encode(spec), "params");
        assertEq(deployed.SLASHER(), address(1), "slasher");
        assertEq(deployed.INBOX(), address(2), "inbox");
        assertEq(deployed.genesisL1Block(), 0, "genesis");
        assertEq(deployed.memberCount(), 0, "members");
        (spec.minCommittee, spec.allowSmall) = (4, false);
        new SequencerRegistry(spec, address(1), address(2), address(3));
        spec.minCommittee = 127;
        new SequencerRegistry(spec, address(1), address(2), address(3));
        for (uint256 i = 0; i < 256; i += 255) {
            (spec.executor, spec.genesisHash) = (1, bytes32(1 << i));
            deployed = new SequencerRegistry(spec, address(1), address(2), address(3));
            assertEq(deployed.params().genesisHash, spec.genesisHash, "genesis hash");
        }
    }

    function _sound() private view returns (ChainSpec memory spec) {
        spec = defaultSpec();
        spec.bondToken = address(token);
    }

    function _sized(uint64 blobs, uint64 bytesMax, uint64 blockBytesMax) private view returns (ChainSpec memory spec) {
        spec = _sound();
        (spec.batchBlobsMax, spec.batchBytesMax, spec.blockBytesMax) = (blobs, bytesMax, blockBytesMax);
    }

    function _assertTooLarge(uint64 blobs, uint64 bytesMax, uint64 blockBytesMax, uint256 largest) private {
        _assertRefused(_sized(blobs, bytesMax, blockBytesMax), "blockBytesMax", blockBytesMax, 0, largest);
    }

    function _assertRefused(ChainSpec memory spec, string memory field, uint256 got, uint256 least, uint256 most)
        private
    {
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidSpec.selector, field, got, least, most)
        );
        new SequencerRegistry(spec, address(1), address(2), address(3));
    }
}
