// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {GasMeter} from "./support/GasMeter.sol";
import {LivenessTest} from "./support/LivenessTest.sol";
import {vm} from "./support/Vm.sol";

/// What settling an epoch costs, as `GasTest` measures: everything is prepared in `setUp`. The cap of a transaction is 16.7
/// million.
contract LivenessGasTest is LivenessTest, GasMeter {
    address private constant SETTLER = address(0xa11);

    mapping(uint256 members => address) private contracts;
    mapping(uint256 members => bytes) private settlements;
    address private jailer;
    bytes private jailing;

    function setUp() public override {
        super.setUp();
        vm.deal(SETTLER, 1 ether);
        uint256 begin = block.number;
        for (uint256 i = 0; i < 3; ++i) {
            uint256 members = [uint256(4), 64, 128][i];
            vm.roll(begin);
            _found(members, new address[](0));
            (contracts[members], settlements[members]) = (address(liveness), _settlement(2));
        }
        vm.roll(begin);
        address[] memory away = new address[](12);
        for (uint256 i = 0; i < 12; ++i) {
            away[i] = ownerOf(i);
        }
        _found(128, away);
        settle(2);
        (jailer, jailing) = (address(liveness), _settlement(3));
    }

    function test_It_SettlesTheFirstRewardsOf4And64And128MembersWithin8000000() external {
        for (uint256 i = 0; i < 3; ++i) {
            uint256 members = [uint256(4), 64, 128][i];
            string memory what = string.concat("settle, ", vm.toString(members), " members, first rewards");
            assertWithin(what, SETTLER, contracts[members], settlements[members], 8_000_000);
        }
    }

    function test_It_Settles128MembersOfWhomATenthIsJailedWithin8000000() external {
        assertWithin("settle, 128 members, 12 jailed", SETTLER, jailer, jailing, 8_000_000);
        assertEq(jailedOf(12), 12, "jailed");
    }

    /// Epochs 2 and 3 can be settled, without those who are away.
    function _found(uint256 members, address[] memory away) private {
        deploy(defaultSpec());
        for (uint256 i = 0; i < members; ++i) {
            register(i, UNIT);
        }
        start();
        fundPool(1_000_000);
        for (uint64 epoch = 2; epoch < 5; ++epoch) {
            runWithout(epoch, away);
        }
    }

    function _settlement(uint64 epoch) private view returns (bytes memory) {
        return abi.encodeCall(liveness.settleEpoch, (lastBatches[epoch], led[epoch], missed[epoch]));
    }
}
