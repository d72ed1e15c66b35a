// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Certificates} from "../../src/Certificates.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

/// What only the registry may do; that it does the rest right is for the tests of the registry's functions.
contract WritersTest is BatonTest {
    Certificates private certificates;

    function setUp() public override {
        super.setUp();
        certificates = registry.CERTIFICATES();
    }

    function test_RevertWhen_AStrangerStoresAKey() external {
        bytes memory key = Bls.publicKey(7);
        bytes memory possession = possessionOf(address(this), 7);
        _expectRefusal();
        certificates.storeKey(address(this), key, possession);
    }

    function test_RevertWhen_AStrangerStoresACommittee() external {
        _expectRostersOnly();
        certificates.store(2, new address[](1), new uint64[](1), 1);
    }

    function test_RevertWhen_AStrangerStoresKeysTogether() external {
        _expectRostersOnly();
        certificates.storeKeys(new address[](1));
    }

    function test_RevertWhen_AStrangerActivates() external {
        _expectRefusal();
        certificates.activate(1);
    }

    function testFuzz_It_CountsEpochsAsTheRegistryDoes(uint32 beyond) external {
        vm.expectRevert(RegistryErrors.SequencerRegistry__NotActivated.selector);
        certificates.epochOf(block.number);
        startDevnet();
        uint256 genesis = registry.genesisL1Block();
        assertEq(certificates.epochOf(genesis + beyond), registry.epochOf(genesis + beyond), "epoch");
        vm.expectRevert(
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__BeforeGenesis.selector, genesis, genesis - 1)
        );
        certificates.epochOf(genesis - 1);
    }

    function _expectRostersOnly() private {
        vm.expectRevert(
            abi.encodeWithSelector(
                Certificates.Certificates__OnlyRosters.selector, address(registry.ROSTERS()), address(this)
            )
        );
    }

    function _expectRefusal() private {
        vm.expectRevert(
            abi.encodeWithSelector(Certificates.Certificates__OnlyRegistry.selector, address(registry), address(this))
        );
    }
}
