// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {ChainSpec} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract RegistryConstructorTest is BatonTest {
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
        _assertRefused(spec, "batchBytesMax", 0, 1, type(uint64).max);
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

    function test_RevertWhen_TheBondTokenIsNoContract() external {
        ChainSpec memory spec = _sound();
        spec.bondToken = address(0x70ce2);
        _assertRefused(spec, "bondToken", 0, 1, type(uint256).max);
        spec.bondToken = address(0);
        _assertRefused(spec, "bondToken", 0, 1, type(uint256).max);
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
    }

    function _sound() private view returns (ChainSpec memory spec) {
        spec = defaultSpec();
        spec.bondToken = address(token);
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
