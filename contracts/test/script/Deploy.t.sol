// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Deploy} from "../../script/Deploy.s.sol";
import {ChainSpec} from "../../src/Types.sol";
import {Assertions} from "../support/Assertions.sol";
import {vm} from "../support/Vm.sol";

contract DeployTest is Deploy, Assertions {
    address private constant DEPLOYER = address(0xde9107);

    function test_It_DeploysWhatTheDescriptionSaysEachWhereTheRegistryNamesIt() external {
        (ChainSpec memory spec, uint256 reward) = describe(vm.readFile("deployments/devnet.json"));
        assertEq(spec.l2ChainId, 4242, "the first number");
        assertEq(spec.liveEpochs, 2 ** 32, "one beyond 32 bits");
        assertTrue(spec.allowSmall, "the one that is true or false");
        assertEq(spec.minBond, 1e12, "the last number");
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
        vm.expectRevert();
        this.describe("{\"rewardPerEpoch\": 1, \"spec\": {\"l2ChainId\": 1}}");
    }

    function test_RevertWhen_ANumberDoesNotFit() external {
        vm.expectRevert(bytes("l2ChainId"));
        this.describe("{\"rewardPerEpoch\": 1, \"spec\": {\"l2ChainId\": 18446744073709551616}}");
    }
}
