// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Deploy} from "../../script/Deploy.s.sol";
import {ChainSpec} from "../../src/Types.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract DeployTest is Deploy, Assertions {
    address private constant DEPLOYER = address(0xde9107);

    function test_It_DeploysWhatTheDescriptionSaysEachWhereTheRegistryNamesIt() external {
        (ChainSpec memory spec, uint256 reward) = describe(vm.readFile("deployments/devnet.json"));
        assertEq(spec.l2ChainId, 2028, "the first number");
        assertEq(spec.liveEpochs, 2 ** 32, "one beyond 32 bits");
        assertTrue(spec.allowSmall, "the one that is true or false");
        assertEq(spec.minBond, 1e12, "the last number");
        assertTrue(spec.genesisHash != bytes32(0), "a chain with an executor has a genesis");
        vm.startPrank(DEPLOYER);
        Deployment memory deployed = _deploy(DEPLOYER, spec, reward);
        vm.stopPrank();
        assertEq(vm.getNonce(DEPLOYER), 5, "token and four contracts");
        assertEq(deployed.bondToken, vm.computeCreateAddress(DEPLOYER, 0), "token");
        assertEq(deployed.registry.SLASHER(), address(deployed.slasher), "slasher");
        assertEq(deployed.registry.INBOX(), address(deployed.inbox), "inbox");
        assertEq(deployed.registry.LIVENESS(), address(deployed.liveness), "liveness");
        assertEq(keccak256(abi.encode(deployed.registry.params())), keccak256(abi.encode(spec)), "chain spec");
        assertEq(deployed.liveness.REWARD_PER_EPOCH(), reward, "reward");
    }

    function test_RevertWhen_AFieldIsMissing() external {
        _expect(abi.encodeWithSelector(Deploy__MissingField.selector, "deltaMs"), "\"deltaMs\": 100,", "");
        _expect(
            abi.encodeWithSelector(Deploy__MissingField.selector, "rewardPerEpoch"),
            "\"rewardPerEpoch\": 1000000000000,",
            ""
        );
        vm.expectRevert(abi.encodeWithSelector(Deploy__MissingField.selector, "spec"));
        this.describe("{\"rewardPerEpoch\": 1}");
    }

    function test_RevertWhen_AFieldIsUnknown() external {
        _expect(
            abi.encodeWithSelector(Deploy__UnknownField.selector, "deltaMS"),
            "\"deltaMs\": 100",
            "\"deltaMs\": 100, \"deltaMS\": 1"
        );
        _expect(
            abi.encodeWithSelector(Deploy__UnknownField.selector, "owner"), "\"spec\": {", "\"owner\": 1, \"spec\": {"
        );
    }

    function test_RevertWhen_ANumberDoesNotFitItsType() external {
        _expect(
            abi.encodeWithSelector(Deploy__OutOfBounds.selector, "l2ChainId", type(uint64).max, 2 ** 64),
            "\"l2ChainId\": 2028",
            "\"l2ChainId\": 18446744073709551616"
        );
        _expect(
            abi.encodeWithSelector(Deploy__OutOfBounds.selector, "baseSlashBps", type(uint16).max, 65_536),
            "\"baseSlashBps\": 500",
            "\"baseSlashBps\": 65536"
        );
    }

    function test_RevertWhen_ANumberIsOutOfTheRegistrysBounds() external {
        (ChainSpec memory spec, uint256 reward) = describe(_with("\"reporterBps\": 1000", "\"reporterBps\": 5000"));
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidSpec.selector, "reporterBps", 5000, 0, 4999)
        );
        this.deploy(spec, reward);
    }

    function test_When_TheChainHasAGenesis() external view {
        (ChainSpec memory spec,) = describe(_with("\"genesisHash\": \"0x14", "\"genesisHash\": \"0x7f"));
        assertEq(uint256(spec.genesisHash) >> 248, 0x7f, "genesis hash");
    }

    function test_When_ANumberIsWrittenAsText() external view {
        (ChainSpec memory spec,) =
            describe(_with("\"weightUnit\": 1000000000000", "\"weightUnit\": \"100000000000000000000\""));
        assertEq(spec.weightUnit, 1e20, "weight unit");
    }

    function deploy(ChainSpec memory spec, uint256 reward) external {
        _deploy(DEPLOYER, spec, reward);
    }

    /// @dev The description of the devnet with one text for another.
    function _with(string memory from, string memory to) private view returns (string memory) {
        return vm.replace(vm.readFile("deployments/devnet.json"), from, to);
    }

    function _expect(bytes memory reason, string memory from, string memory to) private {
        string memory json = _with(from, to);
        vm.expectRevert(reason);
        this.describe(json);
    }
}
