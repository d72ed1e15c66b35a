// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title Probe
/// @notice What a client can trip over, one function each.
contract Probe {
    uint256 public value;
    mapping(address account => uint256 count) public calls;

    event Set(address indexed by, uint256 indexed value, string note);

    error Refused(uint256 code, address by);

    receive() external payable {}

    function set(uint256 newValue, string calldata note) external {
        value = newValue;
        calls[msg.sender] += 1;
        emit Set(msg.sender, newValue, note);
    }

    function failWith(string calldata reason) external pure {
        revert(reason);
    }

    function failCustom(uint256 code) external view {
        revert Refused(code, msg.sender);
    }

    function failEmpty() external pure {
        revert();
    }

    function panic(uint256 by) external pure returns (uint256) {
        return 1 / by;
    }

    function spin() external pure {
        while (true) {}
    }

    function environment() external view returns (uint256 chainId, uint256 gasLimit, address by, uint256 balance) {
        return (block.chainid, block.gaslimit, msg.sender, address(this).balance);
    }
}
