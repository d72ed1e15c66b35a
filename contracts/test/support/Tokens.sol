// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice Takes one base unit of every transfer.
contract FeeToken is ERC20 {
    constructor() ERC20("Fee", "FEE") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from != address(0) && to != address(0)) super._update(to, address(0xfee), 1);
    }
}

/// @notice Answers false instead of reverting, and moves nothing.
contract FalseToken is ERC20 {
    constructor() ERC20("False", "FALSE") {}

    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @notice Calls back once in the middle of a transfer, as tokens with hooks do.
contract HookToken is ERC20 {
    address public target;
    bytes public callback;

    constructor() ERC20("Hook", "HOOK") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function arm(address target_, bytes calldata callback_) external {
        target = target_;
        callback = callback_;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (from != address(0) && target != address(0)) {
            (bool ok, bytes memory reason) = target.call(callback);
            if (!ok) {
                assembly ("memory-safe") {
                    revert(add(reason, 0x20), mload(reason))
                }
            }
        }
        super._update(from, to, value);
    }
}

/// @notice Its issuer can stop it, and refuse single accounts, as those of stablecoins can.
contract IssuedToken is ERC20 {
    bool public paused;
    mapping(address account => bool) public refused;

    error IssuedToken__Paused();
    error IssuedToken__Refused();

    constructor() ERC20("Issued", "ISS") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function pause(bool paused_) external {
        paused = paused_;
    }

    function refuse(address account, bool refused_) external {
        refused[account] = refused_;
    }

    function _update(address from, address to, uint256 value) internal override {
        if (paused) revert IssuedToken__Paused();
        if (refused[from] || refused[to]) revert IssuedToken__Refused();
        super._update(from, to, value);
    }
}

/// @notice Behaves, until its issuer thinks of something: a fee on every transfer, or taking back what it gave.
contract TurningToken is ERC20 {
    uint256 public fee;

    constructor() ERC20("Turning", "TRN") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function setFee(uint256 fee_) external {
        fee = fee_;
    }

    function takeBack(address account, uint256 amount) external {
        _burn(account, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (fee != 0 && from != address(0) && to != address(0)) super._update(to, address(0xfee), fee);
    }
}

/// @notice Refuses to move nothing.
contract NeverNothingToken is ERC20 {
    error NeverNothingToken__Nothing();

    constructor() ERC20("Never nothing", "NVN") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (value == 0) revert NeverNothingToken__Nothing();
        super._update(from, to, value);
    }
}

/// @notice Once closed, lets nobody pull anything: what a pause of all deposits comes to. Everything else goes on.
contract ClosingToken is ERC20 {
    bool public closed;

    error ClosingToken__Closed();

    constructor() ERC20("Closing", "CLO") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function close() external {
        closed = true;
    }

    function transferFrom(address from, address to, uint256 value) public override returns (bool) {
        if (closed) revert ClosingToken__Closed();
        return super.transferFrom(from, to, value);
    }
}
