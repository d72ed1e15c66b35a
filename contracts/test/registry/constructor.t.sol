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
        _assertRefused(spec, "l2ChainId");
        (spec = _sound()).epochBlocks = 0;
        _assertRefused(spec, "epochBlocks");
        (spec = _sound()).epochBlocks = 2 ** 48 + 1;
        _assertRefused(spec, "epochBlocks");
        (spec = _sound()).abandonBlocks = 0;
        _assertRefused(spec, "abandonBlocks");
        (spec = _sound()).maxOriginAge = 0;
        _assertRefused(spec, "maxOriginAge");
        (spec = _sound()).maxOriginAge = type(uint64).max;
        _assertRefused(spec, "maxOriginAge");
        (spec = _sound()).liveEpochs = 0;
        _assertRefused(spec, "liveEpochs");
        (spec = _sound()).correlationEpochs = 1025;
        _assertRefused(spec, "correlationEpochs");
        (spec = _sound()).evidenceBlocks = 0;
        _assertRefused(spec, "evidenceBlocks");
        (spec = _sound()).evidenceBlocks = type(uint64).max;
        _assertRefused(spec, "evidenceBlocks");
        (spec = _sound()).jailEpochs = 2 ** 48 + 1;
        _assertRefused(spec, "jailEpochs");
        (spec = _sound()).batchBytesMax = 0;
        _assertRefused(spec, "batchBytesMax");
        (spec = _sound()).baseSlashBps = 0;
        _assertRefused(spec, "baseSlashBps");
        (spec = _sound()).baseSlashBps = 10_001;
        _assertRefused(spec, "baseSlashBps");
        (spec = _sound()).reporterBps = 5000;
        _assertRefused(spec, "reporterBps");
        (spec = _sound()).jailMissBps = 10_001;
        _assertRefused(spec, "jailMissBps");
        (spec = _sound()).minCommittee = 0;
        _assertRefused(spec, "minCommittee");
        (spec = _sound()).minCommittee = 128;
        _assertRefused(spec, "minCommittee");
        (spec = _sound()).allowSmall = false;
        spec.minCommittee = 3;
        _assertRefused(spec, "minCommittee");
        (spec = _sound()).orderingRule = 2;
        _assertRefused(spec, "orderingRule");
        (spec = _sound()).executor = 2;
        _assertRefused(spec, "executor");
        (spec = _sound()).weightUnit = 0;
        _assertRefused(spec, "weightUnit");
        (spec = _sound()).weightCap = 0;
        _assertRefused(spec, "weightCap");
        (spec = _sound()).weightCap = 2 ** 56;
        _assertRefused(spec, "weightCap");
        (spec = _sound()).minBond = UNIT - 1;
        _assertRefused(spec, "minBond");
        (spec = _sound()).minBond = 2 ** 128;
        _assertRefused(spec, "minBond");
    }

    function test_RevertWhen_TheBondTokenIsNoContract() external {
        ChainSpec memory spec = _sound();
        spec.bondToken = address(0x70ce2);
        _assertRefused(spec, "bondToken");
        spec.bondToken = address(0);
        _assertRefused(spec, "bondToken");
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

    function _assertRefused(ChainSpec memory spec, string memory field) private {
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidSpec.selector, field));
        new SequencerRegistry(spec, address(1), address(2), address(3));
    }
}
