// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Statements} from "../../src/libraries/Statements.sol";
import {BatonTest} from "./BatonTest.sol";
import {vm} from "./Vm.sol";

/// @notice Vectors that were signed for the very chain that `BatonTest` deploys, whose registry's address follows from its
/// deployer: with them the contracts themselves are asked, not only their libraries.
abstract contract VectorTest is BatonTest {
    string internal json;

    function readVectors(string memory path) internal {
        json = vm.readFile(path);
        assertEq(vm.parseJsonUint(json, ".domain.l1ChainId"), block.chainid, "l1 chain id");
        assertEq(vm.parseJsonUint(json, ".domain.l2ChainId"), L2_CHAIN_ID, "l2 chain id");
        assertEq(vm.parseJsonAddress(json, ".domain.deployer"), DEPLOYER, "deployer");
        assertEq(vm.parseJsonAddress(json, ".domain.registry"), address(registry), "registry");
    }

    /// Registers the members of the file with ten units each, with their own keys and proofs.
    function registerMembers() internal {
        for (uint256 i = 0; i < 4; ++i) {
            string memory entry = string.concat(".members[", vm.toString(i), "]");
            address owner = vm.parseJsonAddress(json, string.concat(entry, ".owner"));
            bytes memory key = vm.parseJsonBytes(json, string.concat(entry, ".key"));
            bytes memory possession = vm.parseJsonBytes(json, string.concat(entry, ".possession"));
            assertEq(
                Statements.possessionMessage(address(registry), owner, key),
                vm.parseJsonBytes32(json, string.concat(entry, ".message")),
                "possession message"
            );
            fund(owner, 10 * UNIT);
            vm.prank(owner);
            registry.register(owner, 10 * UNIT, key, possession);
        }
    }
}
