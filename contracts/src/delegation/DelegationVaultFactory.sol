// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SequencerRegistry} from "../SequencerRegistry.sol";
import {DelegationVault} from "./DelegationVault.sol";

/// @title DelegationVaultFactory
/// @notice Makes delegation vaults of one registry, each for one sequencer, and knows which it made: whoever is asked to
/// delegate can see that the code is this one.
contract DelegationVaultFactory {
    /// @notice The registry of every vault from here.
    SequencerRegistry public immutable REGISTRY;

    /// @notice Whether a vault was made here.
    mapping(address vault => bool) public isVault;

    /// @notice `operator` has a vault.
    event VaultCreated(address indexed vault, address indexed operator, uint256 commissionBps);

    /// @param registry Of the chain that the vaults' sequencers run.
    constructor(SequencerRegistry registry) {
        REGISTRY = registry;
    }

    /// @notice Makes a vault that the caller operates. Anyone may call.
    /// @param commissionBps The caller's part of rewards at first, at most `Commission.COMMISSION_BPS_MAX`.
    function createVault(uint256 commissionBps, string calldata name, string calldata symbol)
        external
        returns (DelegationVault vault)
    {
        vault = new DelegationVault(REGISTRY, msg.sender, commissionBps, name, symbol);
        isVault[address(vault)] = true;
        emit VaultCreated(address(vault), msg.sender, commissionBps);
    }
}
