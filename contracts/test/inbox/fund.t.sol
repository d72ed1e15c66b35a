// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {PostingRefund} from "../../src/PostingRefund.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {vm} from "../support/Vm.sol";

contract FundTest is BatonTest {
    function test_When_EtherIsSentAlong() external {
        for (uint160 i = 1; i < 3; ++i) {
            address somebody = address(0xf00 + i);
            vm.deal(somebody, 5 ether);
            vm.expectEmit(address(inbox));
            emit PostingRefund.PoolFunded(somebody, 2 ether);
            vm.prank(somebody);
            inbox.fund{value: 2 ether}();
            assertEq(address(inbox).balance, i * 2 ether, "pool");
            assertEq(somebody.balance, 3 ether, "who funds");
        }
    }

    /// Whoever sends ether by mistake keeps it.
    function test_RevertWhen_EtherIsSentWithoutTheCall() external {
        vm.deal(address(this), 1 ether);
        (bool sent,) = address(inbox).call{value: 1 ether}("");
        assertTrue(!sent, "refused");
        assertEq(address(inbox).balance, 0, "pool");
    }
}
