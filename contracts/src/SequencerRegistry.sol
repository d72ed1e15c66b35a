// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {LibBit} from "solady/utils/LibBit.sol";
import {LibSort} from "solady/utils/LibSort.sol";

import {BatchInbox} from "./BatchInbox.sol";
import {Certificates} from "./Certificates.sol";
import {Schedules} from "./Schedules.sol";
import {Slasher} from "./Slasher.sol";
import {ChainSpec, Member, Stage} from "./Types.sol";
import {ContentStore} from "./libraries/ContentStore.sol";
import {LeaderSchedule} from "./libraries/LeaderSchedule.sol";
import {Weights} from "./libraries/Weights.sol";

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
/// with a new key. An exit that would leave fewer than `minCommittee` waits, bonded, until another registers.
///
/// Amounts are base units of the bond token. The contract's balance is at all times at least the sum of all bonds plus
/// what is waiting to be burned or claimed.
contract SequencerRegistry is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice The first epoch that has a committee, and in which the L2 chain starts.
    uint64 public constant FIRST_EPOCH = 2;
    /// @notice Most members of a committee: one 256-bit word holds a bitmap with room to spare.
    uint256 public constant MEMBERS_MAX = 128;
    /// @notice Members needed for activation, unless the chain spec allows a small committee.
    uint256 public constant ACTIVATION_MEMBERS = 4;
    /// @notice Newcomers of one epoch, from the activation on: a committee of four at most doubles from one epoch to the next,
    /// and 128 seats are not taken over in an hour.
    uint256 public constant ENTRIES_PER_EPOCH = 4;
    /// @notice Where burned bonds go: nobody has the key, and every ERC-20 can be sent there.
    address public constant BURN_ADDRESS = 0x000000000000000000000000000000000000dEaD;
    /// @notice Longest peer record and longest metadata of `announce`, in bytes each.
    uint256 public constant ANNOUNCED_BYTES_MAX = 1024;

    /// Places of the exit queue that one registration looks at.
    uint256 private constant EXITS_SERVED_MAX = 64;
    uint256 private constant BPS = 10_000;
    /// 128 weights of at most 2^56 - 1 add up to less than 2^63, which the leader schedule needs.
    uint256 private constant WEIGHT_CAP_MAX = 2 ** 56 - 1;
    /// What is allowed for numbers of blocks and epochs, so that sums of them never overflow 64 bits.
    uint256 private constant SPAN_MAX = 2 ** 48;
    /// A settlement looks at every epoch within this distance of an offence.
    uint256 private constant CORRELATION_EPOCHS_MAX = 1024;

    /// @notice The only contract that may penalize.
    address public immutable SLASHER;
    /// @notice The contract that takes this chain's batches.
    address public immutable INBOX;
    /// @notice Checks this chain's certificates, and keeps keys and committees for that. The registry's own: it is a
    /// contract by itself for want of room here.
    Certificates public immutable CERTIFICATES;

    IERC20 private immutable BOND_TOKEN;
    uint256 private immutable MIN_BOND;
    uint256 private immutable WEIGHT_UNIT;
    uint256 private immutable WEIGHT_CAP;
    uint256 private immutable EPOCH_BLOCKS;
    uint256 private immutable BASE_SLASH_BPS;
    uint256 private immutable REPORTER_BPS;
    uint256 private immutable MIN_COMMITTEE;
    uint256 private immutable ACTIVATION_NEEDS;
    uint256 private immutable EVIDENCE_BLOCKS;
    uint64 private immutable L2_CHAIN_ID;
    /// The chain spec, ABI-encoded, as code.
    address private immutable SPEC;
    /// Computes schedules: a contract of its own, for want of room here.
    Schedules private immutable SCHEDULES;

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

    /// A sequencer's standing from `effectiveEpoch` until its next checkpoint. Weight 0: not a member.
    struct Checkpoint {
        uint64 effectiveEpoch;
        uint64 weight;
        uint32 admission;
        uint32 keyId;
        /// L1 block of the last change of the key; 0 while it is that of the registration.
        uint64 rotatedAtBlock;
    }

    /// An exit that waits. It is the owner's of that admission only: who left in another way and came back queues again.
    struct ExitRequest {
        address owner;
        uint32 admission;
    }

    struct SeatTerm {
        uint64 effectiveEpoch;
        address owner;
    }

    /// Seats whose latest occupant is not ejected.
    uint128 private _occupied;
    /// What waits to be burned, in base units.
    uint128 private _burnable;

    uint64 private _genesisL1Block;
    uint32 private _keyCount;
    /// Seats that were ever occupied: always the lowest ones.
    uint8 private _seatsUsed;
    /// Whether the one member that is left stays only until another registers.
    bool private _ejectionWaits;
    /// Exits that wait are `_exits[_exitsServed]` and those up to `_exitsQueued`.
    uint32 private _exitsServed;
    uint32 private _exitsQueued;
    /// The latest epoch in which a newcomer begins, and how many do. Every epoch between the next that can be changed and
    /// this one was full when it was passed.
    uint48 private _entryEpoch;
    uint8 private _entries;

    mapping(address owner => Sequencer) private _sequencers;
    mapping(address owner => mapping(uint256 position => Checkpoint)) private _checkpoints;
    /// Of earlier admissions; the present one's offences are in `Sequencer`.
    mapping(address owner => mapping(uint64 admission => bool)) private _wasPenalized;
    mapping(uint256 seat => SeatTerm[]) private _terms;
    mapping(uint32 keyId => address pointer) private _keys;
    /// Kept with the key, which belongs to one admission: what an old committee pays to never changes.
    mapping(uint32 keyId => address) private _feeRecipients;
    mapping(uint32 position => ExitRequest) private _exits;
    mapping(address reporter => uint256) private _claimable;

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
    /// @notice The committee of `epoch` was stored for checking certificates.
    event CommitteeMaterialized(uint64 indexed epoch, uint256 members, uint64 totalWeight, address content);
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
    /// @notice `amount` was sent to `BURN_ADDRESS`.
    event Burned(uint256 amount);
    /// @notice A reporter was paid.
    event Claimed(address indexed reporter, uint256 amount);

    error SequencerRegistry__InvalidSpec(string field);
    error SequencerRegistry__ZeroAddress();
    error SequencerRegistry__AlreadyActivated(uint64 genesisL1Block);
    error SequencerRegistry__TooFewMembers(uint256 needed, uint256 members);
    error SequencerRegistry__NotActivated();
    error SequencerRegistry__BeforeGenesis(uint256 genesisL1Block, uint256 got);
    error SequencerRegistry__AlreadyRegistered(address owner);
    error SequencerRegistry__CommitteeFull(uint256 members);
    error SequencerRegistry__BondTooSmall(uint256 minBond, uint256 got);
    error SequencerRegistry__InvalidKeyLength(uint256 expected, uint256 got);
    error SequencerRegistry__ZeroKey();
    error SequencerRegistry__DuplicateKey(bytes32 keyHash);
    error SequencerRegistry__InvalidPossession(address owner);
    error SequencerRegistry__TransferMismatch(uint256 expected, uint256 received);
    error SequencerRegistry__NoCommitteeBefore(uint64 firstEpoch, uint64 got);
    error SequencerRegistry__CommitteeNotFixed(uint64 latestFixed, uint64 got);
    error SequencerRegistry__NotMaterialized(uint64 epoch);
    error SequencerRegistry__EmptyBitmap();
    error SequencerRegistry__SignerOutOfRange(uint256 bitmap, uint256 members);
    error SequencerRegistry__InsufficientWeight(uint256 signed, uint256 total);
    error SequencerRegistry__ZeroAggregateKey(uint256 bitmap);
    error SequencerRegistry__InvalidSignature();
    error SequencerRegistry__NotAMember(address owner, uint64 epoch);
    error SequencerRegistry__OnlySlasher(address slasher, address caller);
    error SequencerRegistry__NothingToBurn();
    error SequencerRegistry__NothingToClaim(address reporter);
    error SequencerRegistry__NotSeated(address owner);
    error SequencerRegistry__ExitWaits(address owner);
    error SequencerRegistry__HasOffended(address owner);
    error SequencerRegistry__NothingToWithdraw(address owner);
    error SequencerRegistry__KeyRotatedLately(uint256 firstBlock, uint256 currentBlock);
    error SequencerRegistry__NothingToAdd();
    error SequencerRegistry__NotRegistered(address owner);
    error SequencerRegistry__TooMuchAnnounced(uint256 bytesMax, uint256 got);

    /// @param spec The rules of the chain.
    /// @param slasher Address of the slasher, which is deployed after this contract: predicted from the deployer's
    /// nonce, and checked by the slasher's own constructor.
    /// @param inbox Address of the batch inbox, predicted and checked likewise.
    constructor(ChainSpec memory spec, address slasher, address inbox) {
        _checkSpec(spec);
        if (slasher == address(0) || inbox == address(0)) revert SequencerRegistry__ZeroAddress();
        SLASHER = slasher;
        INBOX = inbox;
        BOND_TOKEN = IERC20(spec.bondToken);
        MIN_BOND = spec.minBond;
        WEIGHT_UNIT = spec.weightUnit;
        WEIGHT_CAP = spec.weightCap;
        EPOCH_BLOCKS = spec.epochBlocks;
        BASE_SLASH_BPS = spec.baseSlashBps;
        REPORTER_BPS = spec.reporterBps;
        MIN_COMMITTEE = spec.minCommittee;
        ACTIVATION_NEEDS = spec.allowSmall ? spec.minCommittee : ACTIVATION_MEMBERS;
        EVIDENCE_BLOCKS = spec.evidenceBlocks;
        L2_CHAIN_ID = spec.l2ChainId;
        SPEC = ContentStore.put(abi.encode(spec));
        SCHEDULES = new Schedules();
        CERTIFICATES = new Certificates(spec.epochBlocks);
    }

    // ------------------------------------------------------------------------------------------------- actions

    /// @notice Starts epoch 0 at the next L1 block. Anyone may call, once, when enough sequencers have registered:
    /// four, or the chain spec's `minCommittee` where it allows a small committee.
    function activate() external {
        if (_genesisL1Block != 0) revert SequencerRegistry__AlreadyActivated(_genesisL1Block);
        uint256 members = memberCount();
        if (members < ACTIVATION_NEEDS) revert SequencerRegistry__TooFewMembers(ACTIVATION_NEEDS, members);
        uint64 genesis = (block.number + 1).toUint64();
        _genesisL1Block = genesis;
        CERTIFICATES.activate(genesis);
        emit Activated(genesis, members);
    }

    /// @notice Bonds the caller as a sequencer, a member of every committee from `entryEpoch` on: two epochs after the present
    /// one, or later where `ENTRIES_PER_EPOCH` others came before. The place is fixed by the call.
    /// @param feeRecipient Who is paid the fees of the blocks that this sequencer proposes.
    /// @param bond Amount to lock, in base units; the caller must have approved it.
    /// @param blsKey 256 bytes, EIP-2537 G2; never registered before by anyone.
    /// @param possession 128 bytes, EIP-2537 G1: the key's signature on `Statements.possessionMessage`.
    function register(address feeRecipient, uint256 bond, bytes calldata blsKey, bytes calldata possession)
        external
        nonReentrant
    {
        if (feeRecipient == address(0)) revert SequencerRegistry__ZeroAddress();
        if (bond < MIN_BOND) revert SequencerRegistry__BondTooSmall(MIN_BOND, bond);
        Sequencer storage sequencer_ = _sequencers[msg.sender];
        if (sequencer_.stage != Stage.None) revert SequencerRegistry__AlreadyRegistered(msg.sender);
        uint32 keyId = _storeKey(blsKey, possession, feeRecipient);

        uint64 effectiveEpoch = _enter();
        address ejected = _ejectionWaits ? _latestOccupant(LibBit.ffs(_occupied)) : address(0);
        if (sequencer_.lastOffence != 0) _wasPenalized[msg.sender][sequencer_.admission] = true;
        uint32 admission = sequencer_.admission + 1;
        sequencer_.bond = bond.toUint128();
        sequencer_.seat = _takeSeat(msg.sender, effectiveEpoch);
        sequencer_.admission = admission;
        sequencer_.stage = Stage.Seated;
        sequencer_.lastOffence = 0;
        _writeCheckpoint(msg.sender, Checkpoint(effectiveEpoch, _weightOf(bond), admission, keyId, 0));
        if (ejected != address(0)) {
            _leave(ejected, effectiveEpoch);
            emit Ejected(ejected, effectiveEpoch);
        }
        _serveExits();
        emit Registered(msg.sender, feeRecipient, bond, admission, effectiveEpoch, keccak256(blsKey));
        _pull(bond);
    }

    /// @notice Adds to the caller's bond; the weight, if it changes, counts from two epochs after the present one. A sequencer that has
    /// offended, or that has left, cannot add: a slashed bond never grows back.
    /// @param amount In base units; the caller must have approved it.
    function addBond(uint256 amount) external nonReentrant {
        if (amount == 0) revert SequencerRegistry__NothingToAdd();
        Checkpoint memory latest = _requireInGoodStanding(msg.sender);
        uint256 bond = _sequencers[msg.sender].bond + amount;
        _sequencers[msg.sender].bond = bond.toUint128();
        uint64 weight = _weightOf(bond);
        if (weight != latest.weight) {
            (latest.weight, latest.effectiveEpoch) = (weight, _changeEpochOf(latest));
            _writeCheckpoint(msg.sender, latest);
        }
        emit BondAdded(msg.sender, amount, bond, latest.effectiveEpoch);
        _pull(amount);
    }

    /// @notice Gives the caller another consensus key, from two epochs after the present one on. What the old one signs
    /// or signed stays punishable in the epochs in which it was the caller's. Once in `evidenceBlocks`: every change makes
    /// others pay for storing up to 64 keys anew.
    /// @param blsKey As for `register`: never registered before by anyone, the caller included.
    function rotateKey(bytes calldata blsKey, bytes calldata possession) external {
        Checkpoint memory latest = _requireInGoodStanding(msg.sender);
        uint256 firstBlock = latest.rotatedAtBlock + EVIDENCE_BLOCKS;
        if (latest.rotatedAtBlock != 0 && block.number < firstBlock) {
            revert SequencerRegistry__KeyRotatedLately(firstBlock, block.number);
        }
        latest.rotatedAtBlock = block.number.toUint64();
        latest.keyId = _storeKey(blsKey, possession, _feeRecipients[latest.keyId]);
        latest.effectiveEpoch = _changeEpochOf(latest);
        _writeCheckpoint(msg.sender, latest);
        emit KeyRotated(msg.sender, latest.effectiveEpoch, keccak256(blsKey));
    }

    /// @notice Asks to leave. The caller is no member from two epochs after the present one on, or, where fewer than
    /// `minCommittee` would be left then, once others have come: who asked first leaves first, with the next registration
    /// or call of this by any who wait. Nobody waits before the activation or after the abandonment of the chain; who
    /// waited then calls again.
    function exit() external {
        Stage stage = _requireSeated(msg.sender);
        bool free = _genesisL1Block == 0 || (_exitsServed == _exitsQueued && _staying(_changeEpoch()) > MIN_COMMITTEE);
        if (free || BatchInbox(INBOX).abandonedAt() != 0) {
            _exit(msg.sender);
            return;
        }
        if (stage != Stage.Leaving) {
            _sequencers[msg.sender].stage = Stage.Leaving;
            uint32 position = _exitsQueued++;
            _exits[position] = ExitRequest(msg.sender, _sequencers[msg.sender].admission);
            emit ExitDelayed(msg.sender, position);
        }
        bool served = _serveExits();
        if (stage == Stage.Leaving && !served) revert SequencerRegistry__ExitWaits(msg.sender);
    }

    /// @notice Pays the caller's bond, once it has left and nothing that it signed can be punished any more, less what the
    /// slasher says that it loses besides, if it offended: `Slasher.release`, which also says when that is.
    function withdraw() external nonReentrant {
        (uint256 bond, uint64 untilEpoch, uint64 lastOffence) = departure(msg.sender);
        uint256 lost = Slasher(SLASHER).release(msg.sender, untilEpoch, lastOffence, bond);
        // Never more than the bond, so below 2^128.
        _burnable += uint128(lost);
        Sequencer storage sequencer_ = _sequencers[msg.sender];
        sequencer_.bond = 0;
        sequencer_.stage = Stage.None;
        emit Withdrawn(msg.sender, sequencer_.admission, bond - lost, lost);
        BOND_TOKEN.safeTransfer(msg.sender, bond - lost);
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

    /// @notice Stores the committee of `epoch` so that certificates of it can be checked; does nothing when it is
    /// stored. Anyone may call once the committee is fixed, one epoch before it runs.
    /// @dev O(members). Keys are stored in chunks of 64, and a chunk, or the whole content, that an earlier epoch had
    /// is used again.
    function materialize(uint64 epoch) external {
        if (isMaterialized(epoch)) return;
        (uint256[] memory entries, uint64[] memory weights, uint64 total) = _roster(epoch);
        address[] memory keys = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            keys[i] = _keys[_entryKey(entries[i])];
        }
        emit CommitteeMaterialized(epoch, keys.length, total, CERTIFICATES.store(epoch, keys, weights, total));
    }

    /// @notice Takes a penalty for an offence of `owner` in `epoch` and ejects it. Only the slasher calls.
    /// @dev The base penalty is taken once for each admission, and nothing from one whose bond was paid out. The bond
    /// token is not called. The ejection takes effect two epochs from now, or, for the last member, when another that has
    /// registered begins.
    /// @param everything Whether all of the bond is taken, whatever was taken before.
    /// @param reporter Who earns its share of the base penalty; zero: nobody.
    /// @return amount Taken from the bond, in base units; the base penalty is rounded down.
    /// @return previous Epoch of the offence that was charged to this admission before; 0: none was.
    /// @return weight The owner's in that epoch, before clipping.
    function penalize(address owner, uint64 epoch, bool everything, address reporter)
        external
        returns (uint256 amount, uint64 previous, uint64 weight)
    {
        if (msg.sender != SLASHER) revert SequencerRegistry__OnlySlasher(SLASHER, msg.sender);
        Checkpoint memory standing = _standingAt(owner, epoch);
        weight = standing.weight;
        if (weight == 0) revert SequencerRegistry__NotAMember(owner, epoch);
        Sequencer storage sequencer_ = _sequencers[owner];
        Stage stage = sequencer_.stage;
        // The bond of an earlier admission was paid out long ago.
        if (standing.admission != sequencer_.admission || stage == Stage.None) return (0, 0, weight);
        previous = sequencer_.lastOffence;
        // Epochs stay below 2^40: each has at least one L1 block.
        sequencer_.lastOffence = uint48(epoch);
        if (previous != 0 && !everything) return (0, previous, weight);

        uint256 bond = sequencer_.bond;
        amount = bond * BASE_SLASH_BPS / BPS;
        uint256 reward = 0;
        if (reporter != address(0) && previous == 0) {
            reward = amount * REPORTER_BPS / BPS;
            _claimable[reporter] += reward;
        }
        if (everything) amount = bond;
        // Parts of a bond, which fits into 128 bits.
        sequencer_.bond = uint128(bond - amount);
        _burnable += uint128(amount - reward);
        emit Penalized(owner, standing.admission, epoch, amount, reward);

        if (previous != 0 || stage == Stage.Left) return (amount, previous, weight);
        if (memberCount() == 1) {
            _ejectionWaits = true;
            emit EjectionDelayed(owner);
        } else {
            // Where all others may begin later, an earlier ejection could leave an epoch without members.
            uint64 effectiveEpoch = _changeEpoch();
            if (_staying(effectiveEpoch) <= 1) effectiveEpoch = _entryEpoch;
            _leave(owner, effectiveEpoch);
            emit Ejected(owner, effectiveEpoch);
        }
    }

    /// @notice Sends everything that waits to be burned to `BURN_ADDRESS`. Anyone may call.
    function burn() external nonReentrant {
        uint256 amount = _burnable;
        if (amount == 0) revert SequencerRegistry__NothingToBurn();
        _burnable = 0;
        emit Burned(amount);
        BOND_TOKEN.safeTransfer(BURN_ADDRESS, amount);
    }

    /// @notice Pays the caller what it earned by reporting offences.
    function claim() external nonReentrant {
        uint256 amount = _claimable[msg.sender];
        if (amount == 0) revert SequencerRegistry__NothingToClaim(msg.sender);
        _claimable[msg.sender] = 0;
        emit Claimed(msg.sender, amount);
        BOND_TOKEN.safeTransfer(msg.sender, amount);
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @notice The rules of the chain.
    function params() external view returns (ChainSpec memory) {
        bytes memory encoded = ContentStore.get(SPEC);
        assembly ("memory-safe") {
            return(add(encoded, 0x20), mload(encoded))
        }
    }

    /// @notice L1 block at which epoch 0 begins; 0 before activation.
    function genesisL1Block() external view returns (uint64) {
        return _genesisL1Block;
    }

    /// @notice Sequencers that the latest state seats, members or about to be.
    function memberCount() public view returns (uint256) {
        return LibBit.popCount(_occupied);
    }

    /// @notice The epoch from which on a sequencer is a member that registers now.
    function entryEpoch() public view returns (uint64 epoch) {
        epoch = _changeEpoch();
        // Whoever founds the chain begins with it.
        if (_genesisL1Block == 0 || epoch > _entryEpoch) return epoch;
        return _entries < ENTRIES_PER_EPOCH ? _entryEpoch : _entryEpoch + 1;
    }

    /// @notice The epoch that L1 block `l1Block` belongs to.
    function epochOf(uint256 l1Block) public view returns (uint64) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0) revert SequencerRegistry__NotActivated();
        if (l1Block < genesis) revert SequencerRegistry__BeforeGenesis(genesis, l1Block);
        return ((l1Block - genesis) / EPOCH_BLOCKS).toUint64();
    }

    /// @notice The first L1 block of `epoch`.
    function epochStart(uint64 epoch) external view returns (uint256) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0) revert SequencerRegistry__NotActivated();
        return genesis + uint256(epoch) * EPOCH_BLOCKS;
    }

    /// @notice The members of `epoch` in ascending order of owner, with clipped weights. Works for every epoch from
    /// `FIRST_EPOCH` to the one after the present, materialized or not.
    function committee(uint64 epoch) external view returns (Member[] memory members) {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        members = new Member[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            uint32 keyId = _entryKey(entries[i]);
            members[i] =
                Member(_entryOwner(entries[i]), _feeRecipients[keyId], weights[i], ContentStore.get(_keys[keyId]));
        }
    }

    /// @notice The owners alone of `committee(epoch)`, in the same order.
    function owners(uint64 epoch) external view returns (address[] memory) {
        (uint256[] memory entries,,) = _roster(epoch);
        return _ownersOf(entries);
    }

    /// @notice Sum of the clipped weights of `epoch`; below 2^63.
    function totalWeight(uint64 epoch) external view returns (uint64 total) {
        total = CERTIFICATES.totalWeight(epoch);
        if (total == 0) (,, total) = _roster(epoch);
    }

    /// @notice Whether certificates of `epoch` can be checked.
    function isMaterialized(uint64 epoch) public view returns (bool) {
        return CERTIFICATES.isMaterialized(epoch);
    }

    /// @notice As `Certificates.verifyQuorum`, which contracts call at less cost.
    function verifyQuorum(uint64 epoch, bytes32 digest, uint256 bitmap, bytes calldata signature) external view {
        CERTIFICATES.verifyQuorum(epoch, digest, bitmap, signature);
    }

    /// @notice The key with which `owner` signs in `epoch`, its weight before clipping, and the number of the
    /// admission under which it is a member then. Reverts when it is no member.
    function keyOf(address owner, uint64 epoch)
        external
        view
        returns (bytes memory key, uint64 weight, uint64 admission)
    {
        (key, weight, admission) = memberAt(owner, epoch);
        if (weight == 0) revert SequencerRegistry__NotAMember(owner, epoch);
    }

    /// @notice As `keyOf`, with weight 0 and an empty key when `owner` is no member of `epoch`.
    function memberAt(address owner, uint64 epoch)
        public
        view
        returns (bytes memory key, uint64 weight, uint64 admission)
    {
        Checkpoint memory standing = _standingAt(owner, epoch);
        if (standing.weight == 0) return ("", 0, 0);
        return (ContentStore.get(_keys[standing.keyId]), standing.weight, standing.admission);
    }

    /// @notice Locked bond of `owner`, in base units.
    function bondOf(address owner) external view returns (uint256) {
        return _sequencers[owner].bond;
    }

    /// @notice What the release of a bond rests on; reverts unless `owner` has left and was not paid.
    /// @return bond Locked, in base units.
    /// @return untilEpoch First epoch outside.
    /// @return lastOffence Epoch of the offence that was charged to this admission last; 0: none was.
    function departure(address owner) public view returns (uint256 bond, uint64 untilEpoch, uint64 lastOffence) {
        Sequencer storage sequencer_ = _sequencers[owner];
        if (sequencer_.stage != Stage.Left) revert SequencerRegistry__NothingToWithdraw(owner);
        return (sequencer_.bond, _latestCheckpoint(owner).effectiveEpoch, sequencer_.lastOffence);
    }

    /// @notice What `claim` would pay to `reporter`, in base units.
    function claimable(address reporter) external view returns (uint256) {
        return _claimable[reporter];
    }

    /// @notice What `burn` would burn, in base units.
    function burnable() external view returns (uint256) {
        return _burnable;
    }

    /// @notice Whether the base penalty was taken for this admission of `owner`.
    function isPenalized(address owner, uint64 admission) external view returns (bool) {
        Sequencer storage sequencer_ = _sequencers[owner];
        return admission == sequencer_.admission ? sequencer_.lastOffence != 0 : _wasPenalized[owner][admission];
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

    /// @notice Leaders of the views [firstView, firstView + count) of `epoch`, as member indexes; views start at 1.
    /// @param randomness `prevrandao` of the L1 block at `epochStart(epoch - 1) + epochBlocks / 2`.
    function leaderSchedule(uint64 epoch, bytes32 randomness, uint64 firstView, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return SCHEDULES.turns(LeaderSchedule.LEADER_TAG, _scheduleInputs(epoch, randomness), firstView, count);
    }

    /// @notice Posters of the turns [firstTurn, firstTurn + count) of `epoch`, as member indexes; turns start at 1.
    /// @param randomness As for `leaderSchedule`.
    function postingSchedule(uint64 epoch, bytes32 randomness, uint64 firstTurn, uint64 count)
        external
        view
        returns (uint8[] memory)
    {
        return SCHEDULES.turns(LeaderSchedule.POST_TAG, _scheduleInputs(epoch, randomness), firstTurn, count);
    }

    // --------------------------------------------------------------------------------------- keys and standing

    function _storeKey(bytes calldata blsKey, bytes calldata possession, address feeRecipient)
        private
        returns (uint32 keyId)
    {
        keyId = ++_keyCount;
        _keys[keyId] = CERTIFICATES.storeKey(msg.sender, blsKey, possession);
        _feeRecipients[keyId] = feeRecipient;
    }

    function _weightOf(uint256 bond) private view returns (uint64) {
        uint256 weight = bond / WEIGHT_UNIT;
        // At most 2^56 - 1, by the constructor.
        return uint64(weight < WEIGHT_CAP ? weight : WEIGHT_CAP);
    }

    /// @dev The first epoch whose committee is not yet fixed: what is changed now counts from there on.
    function _changeEpoch() private view returns (uint64) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0 || block.number < genesis) return FIRST_EPOCH;
        return epochOf(block.number) + 2;
    }

    /// @dev The same for who has `latest`, which may begin later.
    function _changeEpochOf(Checkpoint memory latest) private view returns (uint64 epoch) {
        epoch = _changeEpoch();
        if (epoch < latest.effectiveEpoch) return latest.effectiveEpoch;
    }

    /// @dev Of several changes in one epoch the last counts, and it is the only one that is kept: no number of changes makes
    /// an owner's checkpoints more than the epochs in which it made some.
    function _writeCheckpoint(address owner, Checkpoint memory checkpoint) private {
        uint256 position = _sequencers[owner].checkpoints;
        if (position != 0 && _checkpoints[owner][position - 1].effectiveEpoch == checkpoint.effectiveEpoch) {
            --position;
        } else {
            // An epoch has an L1 block at least, and 2^32 of them are 1,600 years.
            _sequencers[owner].checkpoints = uint32(position + 1);
        }
        _checkpoints[owner][position] = checkpoint;
    }

    /// @dev Of an owner that registered at least once.
    function _latestCheckpoint(address owner) private view returns (Checkpoint memory) {
        return _checkpoints[owner][_sequencers[owner].checkpoints - 1];
    }

    /// @dev The checkpoint of `owner` in force at `epoch`, all zero if none is.
    function _standingAt(address owner, uint64 epoch) private view returns (Checkpoint memory) {
        _requireFixed(epoch);
        return _checkpointAt(owner, epoch);
    }

    function _checkpointAt(address owner, uint64 epoch) private view returns (Checkpoint memory standing) {
        uint256 low = 0;
        uint256 high = _sequencers[owner].checkpoints;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_checkpoints[owner][middle].effectiveEpoch <= epoch) low = middle + 1;
            else high = middle;
        }
        if (low != 0) standing = _checkpoints[owner][low - 1];
    }

    function _requireFixed(uint64 epoch) private view {
        if (epoch < FIRST_EPOCH) revert SequencerRegistry__NoCommitteeBefore(FIRST_EPOCH, epoch);
        if (_genesisL1Block == 0) revert SequencerRegistry__NotActivated();
        uint64 latestFixed = _changeEpoch() - 1;
        if (epoch > latestFixed) revert SequencerRegistry__CommitteeNotFixed(latestFixed, epoch);
    }

    // ------------------------------------------------------------------------------------------- ways in and out

    function _requireSeated(address owner) private view returns (Stage stage) {
        stage = _sequencers[owner].stage;
        if (stage != Stage.Seated && stage != Stage.Leaving) revert SequencerRegistry__NotSeated(owner);
    }

    /// @dev Returns the latest checkpoint of a seated sequencer against which there is no evidence.
    function _requireInGoodStanding(address owner) private view returns (Checkpoint memory) {
        _requireSeated(owner);
        if (_sequencers[owner].lastOffence != 0) revert SequencerRegistry__HasOffended(owner);
        return _latestCheckpoint(owner);
    }

    /// @dev Takes the newcomer's place in the order of entry.
    function _enter() private returns (uint64 epoch) {
        epoch = entryEpoch();
        if (_genesisL1Block == 0) return epoch;
        // Epochs are below 2^40, and entries at most four.
        _entries = epoch == _entryEpoch ? _entries + 1 : 1;
        _entryEpoch = uint48(epoch);
    }

    /// @dev Seated sequencers less those that may begin only after `epoch`: so many members of it can be counted on.
    /// @param epoch The next that can be changed.
    function _staying(uint64 epoch) private view returns (uint256 members) {
        members = memberCount();
        if (_entryEpoch <= epoch) return members;
        uint256 late = _entries + uint256(_entryEpoch - epoch - 1) * ENTRIES_PER_EPOCH;
        return members > late ? members - late : 0;
    }

    function _exit(address owner) private {
        uint64 effectiveEpoch = _changeEpochOf(_latestCheckpoint(owner));
        _leave(owner, effectiveEpoch);
        emit Exited(owner, effectiveEpoch);
    }

    /// @dev Lets those go that wait longest, as far as enough members stay. Who left in another way is passed over; at most
    /// so many in one call that nobody can make registering dear, and the rest in the next.
    /// @return served Whether the caller was among them.
    function _serveExits() private returns (bool served) {
        (uint32 next, uint32 queued) = (_exitsServed, _exitsQueued);
        if (next == queued) return false;
        uint64 epoch = _changeEpoch();
        for (uint256 i = 0; i < EXITS_SERVED_MAX && next != queued && _staying(epoch) > MIN_COMMITTEE; ++i) {
            ExitRequest memory request = _exits[next];
            delete _exits[next++];
            Sequencer storage sequencer_ = _sequencers[request.owner];
            if (sequencer_.stage == Stage.Leaving && sequencer_.admission == request.admission) {
                _exit(request.owner);
                if (request.owner == msg.sender) served = true;
            }
        }
        _exitsServed = next;
    }

    /// @dev Pulls exactly `amount` from the caller. Every number is written before, and a mismatch undoes it all.
    function _pull(uint256 amount) private {
        uint256 balance = BOND_TOKEN.balanceOf(address(this));
        BOND_TOKEN.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = BOND_TOKEN.balanceOf(address(this)) - balance;
        if (received != amount) revert SequencerRegistry__TransferMismatch(amount, received);
    }

    // --------------------------------------------------------------------------------------------------- seats

    /// @dev Seats the owner on the lowest free seat, or on the one that it had when nobody has taken that since: an owner
    /// must never be the occupant of two seats in one epoch.
    function _takeSeat(address owner, uint64 effectiveEpoch) private returns (uint8) {
        uint256 occupied = _occupied;
        uint256 seat = _sequencers[owner].seat;
        bool again = _sequencers[owner].admission != 0 && _latestOccupant(seat) == owner;
        if (!again) {
            seat = LibBit.ffs(~occupied);
            if (seat >= MEMBERS_MAX) revert SequencerRegistry__CommitteeFull(MEMBERS_MAX);
            _terms[seat].push(SeatTerm(effectiveEpoch, owner));
        }
        // Seats are below 128.
        _occupied = uint128(occupied | (1 << seat));
        if (seat >= _seatsUsed) _seatsUsed = uint8(seat + 1);
        return uint8(seat);
    }

    /// @dev The owner keeps its place in the seat's list, with weight 0, until somebody else takes the seat.
    function _leave(address owner, uint64 effectiveEpoch) private {
        Sequencer storage sequencer_ = _sequencers[owner];
        sequencer_.stage = Stage.Left;
        _occupied &= ~uint128(1 << sequencer_.seat);
        // While an ejection waits there is one member only, so it is this one.
        if (_ejectionWaits) _ejectionWaits = false;
        _writeCheckpoint(owner, Checkpoint(effectiveEpoch, 0, sequencer_.admission, 0, 0));
    }

    function _latestOccupant(uint256 seat) private view returns (address) {
        SeatTerm[] storage terms = _terms[seat];
        return terms[terms.length - 1].owner;
    }

    function _occupantAt(uint256 seat, uint64 epoch) private view returns (address) {
        SeatTerm[] storage terms = _terms[seat];
        uint256 low = 0;
        uint256 high = terms.length;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (terms[middle].effectiveEpoch <= epoch) low = middle + 1;
            else high = middle;
        }
        return low == 0 ? address(0) : terms[low - 1].owner;
    }

    // ---------------------------------------------------------------------------------------------- committees

    /// @dev The members of `epoch` as packed entries in ascending order of owner, and their clipped weights.
    function _roster(uint64 epoch)
        private
        view
        returns (uint256[] memory entries, uint64[] memory weights, uint64 total)
    {
        _requireFixed(epoch);
        uint256 seats = _seatsUsed;
        entries = new uint256[](seats);
        uint256 count = 0;
        for (uint256 seat = 0; seat < seats; ++seat) {
            address owner = _occupantAt(seat, epoch);
            Checkpoint memory standing = _checkpointAt(owner, epoch);
            if (standing.weight == 0) continue;
            // The owner leads, so that ordering entries orders owners. Weights are below 2^56, key ids below 2^32.
            entries[count++] = (uint256(uint160(owner)) << 96) | (uint256(standing.weight) << 32) | standing.keyId;
        }
        assembly ("memory-safe") {
            mstore(entries, count)
        }
        LibSort.sort(entries);
        weights = new uint64[](count);
        for (uint256 i = 0; i < count; ++i) {
            // Truncation is meant: 64 bits above the key id are the weight, as owners start at bit 96.
            weights[i] = uint64(entries[i] >> 32);
        }
        total = Weights.clip(weights);
    }

    function _ownersOf(uint256[] memory entries) private pure returns (address[] memory found) {
        found = new address[](entries.length);
        for (uint256 i = 0; i < entries.length; ++i) {
            found[i] = _entryOwner(entries[i]);
        }
    }

    function _entryOwner(uint256 entry) private pure returns (address) {
        return address(uint160(entry >> 96));
    }

    function _entryKey(uint256 entry) private pure returns (uint32) {
        // Truncation is meant: the lowest 32 bits are the key id.
        return uint32(entry);
    }

    function _scheduleInputs(uint64 epoch, bytes32 randomness)
        private
        view
        returns (LeaderSchedule.Inputs memory inputs)
    {
        (uint256[] memory entries, uint64[] memory weights,) = _roster(epoch);
        inputs = LeaderSchedule.Inputs(
            block.chainid, address(this), L2_CHAIN_ID, epoch, randomness, _ownersOf(entries), weights
        );
    }

    // ---------------------------------------------------------------------------------------------- chain spec

    /// @dev Refuses a spec under which the contracts would not keep their promises. What only nodes use is theirs to
    /// judge.
    function _checkSpec(ChainSpec memory spec) private view {
        _require(spec.l2ChainId != 0, "l2ChainId");
        _require(spec.epochBlocks != 0 && spec.epochBlocks <= SPAN_MAX, "epochBlocks");
        _require(spec.abandonBlocks != 0 && spec.abandonBlocks <= SPAN_MAX, "abandonBlocks");
        _require(spec.maxOriginAge != 0 && spec.maxOriginAge <= SPAN_MAX, "maxOriginAge");
        _require(spec.liveEpochs != 0 && spec.liveEpochs <= SPAN_MAX, "liveEpochs");
        _require(spec.correlationEpochs <= CORRELATION_EPOCHS_MAX, "correlationEpochs");
        _require(spec.evidenceBlocks != 0 && spec.evidenceBlocks <= SPAN_MAX, "evidenceBlocks");
        _require(spec.batchBytesMax != 0, "batchBytesMax");
        _require(spec.baseSlashBps != 0 && spec.baseSlashBps <= BPS, "baseSlashBps");
        // An offender that reports itself must lose, so less may be paid than is burned.
        _require(spec.reporterBps < BPS / 2, "reporterBps");
        _require(spec.jailMissBps <= BPS, "jailMissBps");
        // With as many as there are seats nobody could ever leave, since nobody could come.
        _require(spec.minCommittee != 0 && spec.minCommittee < MEMBERS_MAX, "minCommittee");
        _require(spec.allowSmall || spec.minCommittee >= ACTIVATION_MEMBERS, "minCommittee");
        _require(spec.orderingRule <= 1, "orderingRule");
        _require(spec.executor <= 1, "executor");
        _require(spec.weightUnit != 0, "weightUnit");
        _require(spec.weightCap != 0 && spec.weightCap <= WEIGHT_CAP_MAX, "weightCap");
        // Otherwise a member could have no weight at all.
        _require(spec.minBond >= spec.weightUnit && spec.minBond <= type(uint128).max, "minBond");
        _require(spec.bondToken.code.length != 0, "bondToken");
    }

    function _require(bool holds, string memory field) private pure {
        if (!holds) revert SequencerRegistry__InvalidSpec(field);
    }
}
