// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {ChainSpec, Stage} from "./Types.sol";
import {ContentStore} from "./libraries/ContentStore.sol";
import {Bonds} from "./registry/Bonds.sol";
import {Committees} from "./registry/Committees.sol";
import {Jails} from "./registry/Jails.sol";
import {Penalties} from "./registry/Penalties.sol";
import {RegistryState} from "./registry/RegistryState.sol";

/// @title SequencerRegistry
/// @notice Bonds, keys and committees of one Baton chain.
/// @dev No administrator and no upgrade: the chain spec, the slasher and the inbox are fixed at deployment.
///
/// How a committee is found. A change made in epoch k writes one checkpoint of one sequencer, effective from epoch
/// k + 2. `committee(e)` is every seat's occupant with its checkpoint at e; all of them were written before epoch
/// e - 1 began, so from then on the answer never changes. `materialize(e)` stores that answer in a form that is cheap
/// to check certificates against; it is a cache that anyone may fill and nobody can fill wrongly.
///
/// Seats. There are 128, and each keeps the list of who occupied it from which epoch on. That bounds every committee
/// lookup, for past epochs too, however many sequencers have come and gone.
///
/// A sequencer's way. `register` seats it, `exit` or a penalty takes the seat away two epochs later, and `withdraw` pays
/// the bond when no evidence about its last epoch can come any more. Then it may register again, which is a new admission
/// with a new key. An exit that would leave fewer than `minCommittee` waits, bonded, until another registers. Who was long
/// away is jailed: it keeps seat and bond, and is no member until it asks to be.
///
/// Amounts are base units of the bond token. The contract's balance is at all times at least the sum of all bonds plus
/// what is waiting to be burned or claimed.
contract SequencerRegistry is Bonds, Penalties, Jails, Committees {
    using SafeCast for uint256;

    /// @dev As `RegistryState`.
    constructor(ChainSpec memory spec, address slasher, address inbox, address liveness)
        RegistryState(spec, slasher, inbox, liveness)
    {}

    /// @notice Starts epoch 0 at the next L1 block. Anyone may call, once, when `minCommittee` sequencers have registered,
    /// which is at least four unless the chain spec allows a small committee.
    function activate() external {
        if (_genesisL1Block != 0) revert SequencerRegistry__AlreadyActivated(_genesisL1Block);
        uint256 members = memberCount();
        if (members < MIN_COMMITTEE) revert SequencerRegistry__TooFewMembers(MIN_COMMITTEE, members);
        uint64 genesis = (block.number + 1).toUint64();
        _genesisL1Block = genesis;
        CERTIFICATES.activate(genesis);
        emit Activated(genesis, members);
    }

    /// @notice Publishes who acts for the caller and where its node is. Only an event: nobody is asked to believe it.
    function announce(address reward, address poster, address reporter, bytes calldata peer, string calldata metadata)
        external
    {
        if (_sequencers[msg.sender].stage == Stage.None) revert SequencerRegistry__NotRegistered(msg.sender);
        uint256 longest = peer.length > bytes(metadata).length ? peer.length : bytes(metadata).length;
        if (longest > ANNOUNCED_BYTES_MAX) revert SequencerRegistry__TooMuchAnnounced(ANNOUNCED_BYTES_MAX, longest);
        emit Announced(msg.sender, reward, poster, reporter, peer, metadata);
    }

    /// @notice The rules of the chain.
    function params() external view returns (ChainSpec memory) {
        bytes memory encoded = ContentStore.get(SPEC);
        assembly ("memory-safe") {
            return(add(encoded, 0x20), mload(encoded))
        }
    }

    /// @notice A sequencer's latest state; all zero for an owner that never registered.
    /// @return bond Locked, in base units.
    /// @return admission Counts admissions from 1.
    /// @return stage Where it is on its way from seat to withdrawal.
    /// @return feeRecipient Who is paid the fees of its blocks; zero once it has left.
    /// @return weight Weight before clipping that its latest checkpoint gives.
    /// @return effectiveEpoch Epoch from which on that checkpoint holds.
    function sequencer(address owner)
        external
        view
        returns (
            uint256 bond,
            uint64 admission,
            Stage stage,
            address feeRecipient,
            uint64 weight,
            uint64 effectiveEpoch
        )
    {
        Sequencer storage sequencer_ = _sequencers[owner];
        if (sequencer_.admission == 0) return (0, 0, Stage.None, address(0), 0, 0);
        Checkpoint memory latest = _latestCheckpoint(owner);
        return (
            sequencer_.bond,
            sequencer_.admission,
            sequencer_.stage,
            _feeRecipients[latest.keyId],
            latest.weight,
            latest.effectiveEpoch
        );
    }
}
