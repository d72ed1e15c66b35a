// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {LibBit} from "solady/utils/LibBit.sol";

import {SequencerRegistry} from "./SequencerRegistry.sol";
import {Bls12381} from "./libraries/Bls12381.sol";
import {ContentStore} from "./libraries/ContentStore.sol";
import {Statements} from "./libraries/Statements.sol";
import {RegistryErrors} from "./registry/RegistryErrors.sol";

/// @title Certificates
/// @notice Everything of the registry that reckons with BLS keys: proofs of possession, committees in the form that
/// certificates are checked against, and that check. A contract of its own for want of room in the registry, which deploys
/// it for itself and alone writes to it.
/// @dev Holds a second copy of the block at which epoch 0 begins, so that a batch is posted with calls to one contract.
/// What is refused is refused with the registry's errors: the rules are its rules.
contract Certificates {
    /// @notice Keys stored together; 64 keys of 256 bytes are 16 KiB, which one account's code holds.
    uint256 public constant CHUNK_KEYS = 64;

    uint256 private constant POINTER_BYTES = 20;
    uint256 private constant WEIGHT_BYTES = 8;

    /// @notice The registry that deployed this contract.
    SequencerRegistry public immutable REGISTRY;
    uint256 private immutable EPOCH_BLOCKS;
    address private immutable ROSTERS;

    /// A materialized committee. `content` holds the addresses of its key chunks, then its clipped weights, then the sum of
    /// all its keys.
    struct Materialized {
        address content;
        uint64 totalWeight;
        uint8 members;
    }

    uint64 private _genesisL1Block;
    mapping(uint64 epoch => Materialized) private _materialized;

    error Certificates__OnlyRegistry(address registry, address caller);
    error Certificates__OnlyRosters(address rosters, address caller);

    modifier onlyRegistry() {
        if (msg.sender != address(REGISTRY)) revert Certificates__OnlyRegistry(address(REGISTRY), msg.sender);
        _;
    }

    modifier onlyRosters() {
        if (msg.sender != ROSTERS) revert Certificates__OnlyRosters(ROSTERS, msg.sender);
        _;
    }

    /// @param epochBlocks Length of an epoch, in L1 blocks.
    /// @param rosters The registry's contract that says what a committee is.
    constructor(uint256 epochBlocks, address rosters) {
        ROSTERS = rosters;
        REGISTRY = SequencerRegistry(msg.sender);
        EPOCH_BLOCKS = epochBlocks;
    }

    // ------------------------------------------------------------------------------------- what the registry does

    /// @notice Fixes the L1 block at which epoch 0 begins.
    function activate(uint64 genesisL1Block) external onlyRegistry {
        _genesisL1Block = genesisL1Block;
    }

    /// @notice Stores a key that nobody has registered before, once its secret is known to be `owner`'s.
    /// @dev The pairing of the proof shows that the key is in the subgroup and that its secret is known, which is what
    /// makes summing keys safe: without it a member could register its key minus everybody else's.
    /// @param key 256 bytes, EIP-2537 G2.
    /// @param possession 128 bytes, EIP-2537 G1: the key's signature on `Statements.possessionMessage`.
    /// @return pointer Where the key lies, for `ContentStore.get`.
    function storeKey(address owner, bytes calldata key, bytes calldata possession)
        external
        onlyRegistry
        returns (address pointer)
    {
        if (key.length != Bls12381.G2_BYTES) {
            revert RegistryErrors.SequencerRegistry__InvalidKeyLength(Bls12381.G2_BYTES, key.length);
        }
        if (Bls12381.isInfinity(key)) revert RegistryErrors.SequencerRegistry__ZeroKey();
        (, bool known) = ContentStore.find(key);
        if (known) revert RegistryErrors.SequencerRegistry__DuplicateKey(keccak256(key));
        bytes32 message = Statements.possessionMessage(msg.sender, owner, key);
        if (!Bls12381.verify(Bls12381.POSSESSION_DST, message, possession, key)) {
            revert RegistryErrors.SequencerRegistry__InvalidPossession(owner);
        }
        return ContentStore.put(key);
    }

    /// @notice Stores at most `CHUNK_KEYS` keys together, where `store` finds them. Only the registry's `Rosters` calls.
    /// @param keys Where they lie, in the order of their members.
    function storeKeys(address[] calldata keys) external onlyRosters {
        ContentStore.put(_keyChunk(keys));
    }

    /// @notice Stores the committee of `epoch`. Only the registry's `Rosters` calls.
    /// @dev O(members). Keys are stored in chunks of 64, and a chunk, or the whole content, that an earlier epoch had is
    /// used again.
    /// @param keys Where the members' keys lie, in order.
    /// @param weights Their clipped weights.
    /// @param total Sum of those.
    /// @return content Where the stored committee lies.
    function store(uint64 epoch, address[] calldata keys, uint64[] calldata weights, uint64 total)
        external
        onlyRosters
        returns (address content)
    {
        uint256 members = keys.length;
        bytes memory packed;
        bytes memory sum = new bytes(2 * Bls12381.G2_BYTES);
        for (uint256 first = 0; first < members; first += CHUNK_KEYS) {
            uint256 end = members - first < CHUNK_KEYS ? members : first + CHUNK_KEYS;
            bytes memory chunk = _keyChunk(keys[first:end]);
            Bls12381.addSelected(sum, chunk, type(uint256).max);
            packed = abi.encodePacked(packed, ContentStore.put(chunk));
        }
        content = ContentStore.put(bytes.concat(packed, _packWeights(weights), Bls12381.finishSum(sum)));
        // At most 128 members.
        _materialized[epoch] = Materialized(content, total, uint8(members));
    }

    // --------------------------------------------------------------------------------------------------- views

    /// @notice The epoch that L1 block `l1Block` belongs to.
    function epochOf(uint256 l1Block) external view returns (uint64) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0) revert RegistryErrors.SequencerRegistry__NotActivated();
        if (l1Block < genesis) revert RegistryErrors.SequencerRegistry__BeforeGenesis(genesis, l1Block);
        // L1 blocks are below 2^64, by the activation's check of the present one; a later one is a caller's own mistake.
        return uint64((l1Block - genesis) / EPOCH_BLOCKS);
    }

    /// @notice Whether certificates of `epoch` can be checked.
    function isMaterialized(uint64 epoch) external view returns (bool) {
        return _materialized[epoch].members != 0;
    }

    /// @notice Sum of the clipped weights of `epoch`; below 2^63, and 0 while it is not materialized.
    function totalWeight(uint64 epoch) external view returns (uint64) {
        return _materialized[epoch].totalWeight;
    }

    /// @notice Returns if members of `epoch` with more than two thirds of its weight signed `digest`; reverts with the
    /// rule that is broken otherwise.
    /// @dev Where most signed, the keys of those who did not are taken from the sum of all: what it costs grows with the
    /// fewer of the two, and with nobody absent no key is read.
    /// @param epoch A materialized epoch.
    /// @param digest The 32-byte message.
    /// @param bitmap Bit i set: member i signed.
    /// @param signature 128 bytes, EIP-2537 G1: the sum of their signatures.
    function verifyQuorum(uint64 epoch, bytes32 digest, uint256 bitmap, bytes calldata signature) external view {
        Materialized memory stored = _materialized[epoch];
        uint256 members = stored.members;
        if (members == 0) revert RegistryErrors.SequencerRegistry__NotMaterialized(epoch);
        if (bitmap == 0) revert RegistryErrors.SequencerRegistry__EmptyBitmap();
        if (bitmap >> members != 0) revert RegistryErrors.SequencerRegistry__SignerOutOfRange(bitmap, members);

        bytes memory content = ContentStore.get(stored.content);
        uint256 offset = (members + CHUNK_KEYS - 1) / CHUNK_KEYS * POINTER_BYTES;
        uint256 counted = ((1 << members) - 1) ^ bitmap;
        bool absent = LibBit.popCount(counted) < LibBit.popCount(bitmap);
        if (!absent) counted = bitmap;
        uint256 signed = _sumOfWeights(content, offset, counted);
        if (absent) signed = stored.totalWeight - signed;
        if (3 * signed <= 2 * uint256(stored.totalWeight)) {
            revert RegistryErrors.SequencerRegistry__InsufficientWeight(signed, stored.totalWeight);
        }

        bytes memory key = new bytes(2 * Bls12381.G2_BYTES);
        for (uint256 at_ = 0; counted != 0; at_ += POINTER_BYTES) {
            // Truncation is meant: one chunk's keys at a time.
            uint64 selected = uint64(counted);
            counted >>= CHUNK_KEYS;
            if (selected == 0) continue;
            Bls12381.addSelected(key, ContentStore.get(address(bytes20(_wordAt(content, at_)))), selected);
        }
        if (absent) Bls12381.subtractFrom(content, offset + members * WEIGHT_BYTES, key);
        key = Bls12381.finishSum(key);
        if (Bls12381.isInfinity(key)) revert RegistryErrors.SequencerRegistry__ZeroAggregateKey(bitmap);
        if (!Bls12381.verify(Bls12381.SIGNATURE_DST, digest, signature, key)) {
            revert RegistryErrors.SequencerRegistry__InvalidSignature();
        }
    }

    // ------------------------------------------------------------------------------------------------ internals

    function _keyChunk(address[] calldata keys) private view returns (bytes memory chunk) {
        chunk = new bytes(keys.length * Bls12381.G2_BYTES);
        for (uint256 i = 0; i < keys.length; ++i) {
            bytes memory key = ContentStore.get(keys[i]);
            assembly ("memory-safe") {
                mcopy(add(add(chunk, 0x20), mul(i, 0x100)), add(key, 0x20), 0x100)
            }
        }
    }

    function _packWeights(uint64[] calldata weights) private pure returns (bytes memory packed) {
        packed = new bytes(weights.length * WEIGHT_BYTES);
        for (uint256 i = 0; i < weights.length; ++i) {
            uint256 weight = weights[i];
            for (uint256 j = 0; j < WEIGHT_BYTES; ++j) {
                // Truncation is meant: one byte at a time, the highest first.
                packed[i * WEIGHT_BYTES + j] = bytes1(uint8(weight >> (8 * (WEIGHT_BYTES - 1 - j))));
            }
        }
    }

    /// @dev The sum of those weights whose bit is set; the first lies at `offset`. At most 128 weights below 2^56.
    function _sumOfWeights(bytes memory content, uint256 offset, uint256 bitmap) private pure returns (uint256 sum) {
        assembly ("memory-safe") {
            let weight := add(add(content, 0x20), offset)
            for {} bitmap { bitmap := shr(1, bitmap) } {
                if and(bitmap, 1) { sum := add(sum, shr(192, mload(weight))) }
                weight := add(weight, WEIGHT_BYTES)
            }
        }
    }

    /// @dev 32 bytes of `content` from `offset` on; what lies past its end is not meaningful.
    function _wordAt(bytes memory content, uint256 offset) private pure returns (bytes32 word) {
        assembly ("memory-safe") {
            word := mload(add(add(content, 0x20), offset))
        }
    }
}
