// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchHeader, Stage} from "../../src/Types.sol";
import {BatonTest} from "./BatonTest.sol";
import {vm} from "./Vm.sol";

/// @notice Epochs with duties: what tests of rewards and jail begin with.
abstract contract LivenessTest is BatonTest {
    /// The last batch of each epoch that `run` posted, and its tables.
    mapping(uint64 epoch => BatchHeader) internal lastBatches;
    mapping(uint64 epoch => uint64[]) internal led;
    mapping(uint64 epoch => uint64[]) internal missed;

    /// Posts one batch of `epoch` with these duties, by index in the epoch's committee, once L1 is there.
    function run(uint64 epoch, uint64[] memory led_, uint64[] memory missed_) internal {
        if (registry.epochOf(block.number) < epoch) rollToEpoch(epoch);
        bytes memory data = abi.encode("data", block.number);
        BatchHeader memory header = nextHeader(epoch, data);
        header.dutiesRoot = keccak256(abi.encode(epoch, led_, missed_));
        postBatch(header, data);
        remember(header, led_, missed_);
    }

    function remember(BatchHeader memory header, uint64[] memory led_, uint64[] memory missed_) internal {
        lastBatches[header.epoch] = header;
        led[header.epoch] = led_;
        missed[header.epoch] = missed_;
    }

    /// As `run`, where everybody led ten views and who is in `away` missed ten instead. Ten of ten are no outage among
    /// thirty-one and more.
    function runWithout(uint64 epoch, address[] memory away) internal {
        if (registry.epochOf(block.number) < epoch) rollToEpoch(epoch);
        address[] memory owners = registry.owners(epoch);
        (uint64[] memory led_, uint64[] memory missed_) = (_filled(owners.length, 10), _filled(owners.length, 0));
        for (uint256 i = 0; i < owners.length; ++i) {
            for (uint256 j = 0; j < away.length; ++j) {
                if (owners[i] == away[j]) (led_[i], missed_[i]) = (0, 10);
            }
        }
        run(epoch, led_, missed_);
    }

    function runWithout(uint64 epoch, address away) internal {
        runWithout(epoch, _list(away));
    }

    /// All are there.
    function runAll(uint64 epoch) internal {
        runWithout(epoch, new address[](0));
    }

    function settle(uint64 epoch) internal {
        liveness.settleEpoch(lastBatches[epoch], led[epoch], missed[epoch]);
    }

    function fundPool(uint256 amount) internal {
        token.mint(address(this), amount);
        token.approve(address(liveness), amount);
        liveness.fund(amount);
    }

    function isJailed(address owner) internal view returns (bool) {
        return stageOf(owner) == Stage.Jailed;
    }

    /// Members of the latest state that are jailed, of owners 0 to `owners`.
    function jailedOf(uint256 owners) internal view returns (uint256 count) {
        for (uint256 i = 0; i < owners; ++i) {
            if (isJailed(ownerOf(i))) ++count;
        }
    }

    function unjail(address owner) internal {
        vm.prank(owner);
        registry.unjail();
    }

    /// Whether `owner` is a member of `epoch`.
    function isMember(address owner, uint64 epoch) internal view returns (bool) {
        return weightOf(owner, epoch) != 0;
    }

    function _filled(uint256 length, uint64 value) internal pure returns (uint64[] memory filled) {
        filled = new uint64[](length);
        for (uint256 i = 0; i < length; ++i) {
            filled[i] = value;
        }
    }

    function _list(address one) internal pure returns (address[] memory list) {
        list = new address[](1);
        list[0] = one;
    }

    function _list(address one, address two) internal pure returns (address[] memory list) {
        list = new address[](2);
        (list[0], list[1]) = (one, two);
    }
}
