// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title RegistryEvents
/// @notice What `SequencerRegistry` tells the world. Amounts are base units of the bond token.
interface RegistryEvents {
    /// @notice The chain's first epoch began at this L1 block.
    event Activated(uint64 genesisL1Block, uint256 members);
    /// @notice A sequencer was bonded and is a member from `effectiveEpoch` on. `keyHash` is keccak256 of the 256 bytes.
    event Registered(
        address indexed owner,
        address feeRecipient,
        uint256 bond,
        uint64 admission,
        uint64 effectiveEpoch,
        bytes32 keyHash
    );
    /// @notice `amount` was taken from the bond; `reward` of it waits to be claimed by a reporter, the rest to be burned.
    event Penalized(address indexed owner, uint64 indexed admission, uint64 epoch, uint256 amount, uint256 reward);
    /// @notice The sequencer is no member from `effectiveEpoch` on; its bond stays locked until it may withdraw.
    event Ejected(address indexed owner, uint64 effectiveEpoch);
    /// @notice The sequencer leaves as it asked: it is no member from `effectiveEpoch` on.
    event Exited(address indexed owner, uint64 effectiveEpoch);
    /// @notice The sequencer asked to leave, and stays a member until another registers.
    event ExitDelayed(address indexed owner, uint64 position);
    /// @notice The bond was paid out; `lost` of it went to what waits to be burned.
    event Withdrawn(address indexed owner, uint64 indexed admission, uint256 amount, uint256 lost);
    /// @notice The bond grew by `amount` to `bond`, which counts from `effectiveEpoch` on.
    event BondAdded(address indexed owner, uint256 amount, uint256 bond, uint64 effectiveEpoch);
    /// @notice `amount` was taken off the bond, which is `bond` from `untilEpoch` on. It unbonds: it is paid later.
    event BondReduced(address indexed owner, uint256 amount, uint256 bond, uint64 untilEpoch);
    /// @notice A part of a bond that had unbonded was paid to its owner.
    event UnbondedWithdrawn(address indexed owner, uint256 amount);
    /// @notice There is evidence against the owner: `amount` that was unbonding is bond again, before any penalty.
    event UnbondingEnded(address indexed owner, uint256 amount);
    /// @notice From `effectiveEpoch` on the sequencer signs with another key; keys of earlier epochs stay punishable.
    event KeyRotated(address indexed owner, uint64 effectiveEpoch, bytes32 keyHash);
    /// @notice What a sequencer says about itself. Nothing on L1 depends on it.
    /// @param reward Where it wants rewards.
    /// @param poster The L1 account that posts its batches.
    /// @param reporter The L1 account that submits its evidence.
    /// @param peer Its peer record, as nodes write it.
    /// @param metadata Anything for people, UTF-8.
    event Announced(
        address indexed owner, address reward, address poster, address reporter, bytes peer, string metadata
    );
    /// @notice The sequencer is the last member, so it is ejected when another registers.
    event EjectionDelayed(address indexed owner);
    /// @notice The sequencer was long away and is no member from `effectiveEpoch` on.
    event Jailed(address indexed owner, uint64 effectiveEpoch);
    /// @notice The sequencer is a member again from `effectiveEpoch` on.
    event Unjailed(address indexed owner, uint64 effectiveEpoch);
    /// @notice `amount` was sent to `BURN_ADDRESS`.
    event Burned(uint256 amount);
    /// @notice A reporter was paid.
    event Claimed(address indexed reporter, uint256 amount);
}
