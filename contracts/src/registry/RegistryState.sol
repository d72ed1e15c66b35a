// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {Certificates} from "../Certificates.sol";
import {Rosters} from "../Rosters.sol";
import {ChainSpec, Stage, Unbonding} from "../Types.sol";
import {ContentStore} from "../libraries/ContentStore.sol";
import {RegistryErrors} from "./RegistryErrors.sol";
import {RegistryEvents} from "./RegistryEvents.sol";
import {SpecRules} from "./SpecRules.sol";

/// @title RegistryState
/// @notice What the registry holds: its rules, fixed when it is deployed, and its storage. All of it is here, so that one
/// sees what lies together; the contracts that inherit this have functions only.
abstract contract RegistryState is RegistryErrors, RegistryEvents {
    /// @notice The first epoch that has a committee, and in which the L2 chain starts.
    uint64 public constant FIRST_EPOCH = 2;
    /// @notice Most members of a committee: one 256-bit word holds a bitmap with room to spare.
    uint256 public constant MEMBERS_MAX = 128;
    /// @notice Newcomers of one epoch, from the activation on: a committee of four at most doubles from one epoch to the next,
    /// and 128 seats are not taken over in an hour.
    uint256 public constant ENTRIES_PER_EPOCH = 4;
    /// @notice Where burned bonds go: nobody has the key, and every ERC-20 can be sent there.
    address public constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;
    /// @notice Longest peer record and longest metadata of `announce`, in bytes each.
    uint256 public constant ANNOUNCED_BYTES_MAX = 1024;

    uint256 internal constant BPS = 10_000;

    /// @notice The only contract that may penalize.
    address public immutable SLASHER;
    /// @notice The contract that takes this chain's batches.
    address public immutable INBOX;
    /// @notice The only contract that may jail.
    address public immutable LIVENESS;
    /// @notice Checks this chain's certificates, and keeps keys and committees for that. The registry's own: it is a
    /// contract by itself for want of room here.
    Certificates public immutable CERTIFICATES;
    /// @notice Computes committees and schedules, likewise.
    Rosters public immutable ROSTERS;

    IERC20 internal immutable BOND_TOKEN;
    uint256 internal immutable MIN_BOND;
    uint256 internal immutable WEIGHT_UNIT;
    uint256 internal immutable WEIGHT_CAP;
    uint256 internal immutable EPOCH_BLOCKS;
    uint256 internal immutable BASE_SLASH_BPS;
    uint256 internal immutable REPORTER_BPS;
    uint256 internal immutable MIN_COMMITTEE;
    uint256 internal immutable EVIDENCE_BLOCKS;
    uint64 internal immutable JAIL_EPOCHS;
    /// The chain spec, ABI-encoded, as code.
    address internal immutable SPEC;

    /// One slot: what a penalty changes lies together.
    struct Sequencer {
        uint128 bond;
        /// Counts how often the owner was admitted to the committee, from 1.
        uint32 admission;
        uint32 checkpoints;
        uint8 seat;
        Stage stage;
        /// The epoch of the offence for which evidence against this admission was accepted last; 0: none was.
        uint48 lastOffence;
    }

    /// A sequencer's standing from `effectiveEpoch` until its next checkpoint. Weight 0: not a member. One slot.
    struct Checkpoint {
        uint48 effectiveEpoch;
        /// First epoch outside, of who has left: noted here rather than in a checkpoint of its own, because that one
        /// slot less is what keeps a penalty cheap. 0: none is fixed.
        uint48 untilEpoch;
        uint56 weight;
        uint32 admission;
        uint32 keyId;
        /// L1 block of the last change of the key; 0 while it is that of the registration.
        uint40 rotatedAtBlock;
    }

    /// An exit that waits. It is the owner's of that admission only: who left in another way and came back queues again.
    struct ExitRequest {
        address owner;
        uint32 admission;
    }

    /// What unbonds of one bond is `_unbondings[owner][first]` and those up to `end`.
    struct UnbondingQueue {
        /// Sum of the parts, in base units.
        uint128 total;
        uint32 first;
        uint32 end;
    }

    struct SeatTerm {
        uint64 effectiveEpoch;
        address owner;
    }

    /// Of an owner that was jailed in its present admission.
    struct JailTerm {
        /// First epoch of which it is no member; meaningful while it is jailed.
        uint64 since;
        /// The epoch from which on it was back the last time; what it missed before is forgotten. 0: it never was.
        uint64 back;
    }

    /// Seats whose latest occupant is not ejected.
    uint128 internal _occupied;
    /// What waits to be burned, in base units.
    uint128 internal _burnable;

    uint64 internal _genesisL1Block;
    uint32 internal _keyCount;
    /// Seats that were ever occupied: always the lowest ones.
    uint8 internal _seatsUsed;
    /// Whether the one member that is left stays only until another registers or comes back from jail.
    bool internal _ejectionWaits;
    /// Exits that wait are `_exits[_exitsServed]` and those up to `_exitsQueued`.
    uint32 internal _exitsServed;
    uint32 internal _exitsQueued;
    /// The latest epoch in which a newcomer begins, and how many do. Every epoch between the next that can be changed and
    /// this one was full when it was passed.
    uint48 internal _entryEpoch;
    uint8 internal _entries;
    /// Of the occupied seats, those whose occupants are jailed.
    uint8 internal _jailed;

    mapping(address owner => Sequencer) internal _sequencers;
    mapping(address owner => mapping(uint256 position => Checkpoint)) internal _checkpoints;
    /// Of earlier admissions; the present one's offences are in `Sequencer`.
    mapping(address owner => mapping(uint64 admission => bool)) internal _wasPenalized;
    mapping(uint256 seat => SeatTerm[]) internal _terms;
    mapping(uint32 keyId => address pointer) internal _keys;
    /// Kept with the key, which belongs to one admission: what an old committee pays to never changes.
    mapping(uint32 keyId => address) internal _feeRecipients;
    mapping(uint32 position => ExitRequest) internal _exits;
    mapping(address reporter => uint256) internal _claimable;
    mapping(address owner => UnbondingQueue) internal _unbondingQueues;
    mapping(address owner => mapping(uint32 position => Unbonding)) internal _unbondings;
    mapping(address owner => JailTerm) internal _jailTerms;

    /// @param spec The rules of the chain.
    /// @param slasher Address of the slasher, which is deployed after this contract: predicted from the deployer's
    /// nonce, and checked by the slasher's own constructor.
    /// @param inbox Address of the batch inbox, predicted and checked likewise.
    /// @param liveness Address of the contract of rewards and jail, predicted and checked likewise.
    constructor(ChainSpec memory spec, address slasher, address inbox, address liveness) {
        SpecRules.check(spec);
        if (slasher == address(0) || inbox == address(0) || liveness == address(0)) {
            revert SequencerRegistry__ZeroAddress();
        }
        SLASHER = slasher;
        INBOX = inbox;
        LIVENESS = liveness;
        BOND_TOKEN = IERC20(spec.bondToken);
        MIN_BOND = spec.minBond;
        WEIGHT_UNIT = spec.weightUnit;
        WEIGHT_CAP = spec.weightCap;
        EPOCH_BLOCKS = spec.epochBlocks;
        BASE_SLASH_BPS = spec.baseSlashBps;
        REPORTER_BPS = spec.reporterBps;
        MIN_COMMITTEE = spec.minCommittee;
        EVIDENCE_BLOCKS = spec.evidenceBlocks;
        JAIL_EPOCHS = spec.jailEpochs;
        SPEC = ContentStore.put(abi.encode(spec));
        ROSTERS = new Rosters(spec.l2ChainId);
        CERTIFICATES = new Certificates(spec.epochBlocks, address(ROSTERS));
    }
}
