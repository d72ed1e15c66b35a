// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {Stage} from "../Types.sol";
import {ContentStore} from "../libraries/ContentStore.sol";
import {RegistryState} from "./RegistryState.sol";

/// @title Standing
/// @notice With which key and weight a sequencer is a member of an epoch: checkpoints, each from one epoch on. Of none is
/// ever changed what it says about an epoch whose committee is fixed.
abstract contract Standing is RegistryState {
    using SafeCast for uint256;

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
        latest.rotatedAtBlock = block.number.toUint40();
        latest.keyId = _storeKey(blsKey, possession, _feeRecipients[latest.keyId]);
        latest.effectiveEpoch = _changeEpochOf(latest);
        _writeCheckpoint(msg.sender, latest);
        emit KeyRotated(msg.sender, latest.effectiveEpoch, keccak256(blsKey));
    }

    /// @notice L1 block at which epoch 0 begins; 0 before activation.
    function genesisL1Block() external view returns (uint64) {
        return _genesisL1Block;
    }

    /// @notice The epoch that L1 block `l1Block` belongs to.
    function epochOf(uint256 l1Block) public view returns (uint64) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0) revert SequencerRegistry__NotActivated();
        if (l1Block < genesis) revert SequencerRegistry__BeforeGenesis(genesis, l1Block);
        return _epochSince(genesis, l1Block);
    }

    /// @notice The first L1 block of `epoch`.
    function epochStart(uint64 epoch) external view returns (uint256) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0) revert SequencerRegistry__NotActivated();
        return genesis + uint256(epoch) * EPOCH_BLOCKS;
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

    function _storeKey(bytes calldata blsKey, bytes calldata possession, address feeRecipient)
        internal
        returns (uint32 keyId)
    {
        keyId = ++_keyCount;
        _keys[keyId] = CERTIFICATES.storeKey(msg.sender, blsKey, possession);
        _feeRecipients[keyId] = feeRecipient;
    }

    /// @dev The weight, before clipping, that `bond` gives to `owner`.
    function _weightOf(address owner, uint256 bond) internal view returns (uint56) {
        if (_sequencers[owner].stage == Stage.Jailed) return 0;
        uint256 weight = bond / WEIGHT_UNIT;
        // At most 2^56 - 1, by the constructor.
        return uint56(weight < WEIGHT_CAP ? weight : WEIGHT_CAP);
    }

    /// @dev The first epoch whose committee is not yet fixed: what is changed now counts from there on.
    function _changeEpoch() internal view returns (uint64) {
        uint256 genesis = _genesisL1Block;
        if (genesis == 0 || block.number < genesis) return FIRST_EPOCH;
        return _epochSince(genesis, block.number) + 2;
    }

    function _epochSince(uint256 genesis, uint256 l1Block) private view returns (uint64) {
        return ((l1Block - genesis) / EPOCH_BLOCKS).toUint64();
    }

    /// @dev The same for who has `latest`, which may begin later.
    function _changeEpochOf(Checkpoint memory latest) internal view returns (uint48 epoch) {
        // Epochs are below 2^40: each has an L1 block at least.
        epoch = uint48(_changeEpoch());
        if (epoch < latest.effectiveEpoch) return latest.effectiveEpoch;
    }

    /// @dev Of several changes in one epoch the last counts, and it is the only one that is kept: no number of changes makes
    /// an owner's checkpoints more than the epochs in which it made some.
    function _writeCheckpoint(address owner, Checkpoint memory checkpoint) internal {
        uint256 position = _sequencers[owner].checkpoints;
        if (position != 0 && _checkpoints[owner][position - 1].effectiveEpoch == checkpoint.effectiveEpoch) {
            --position;
        } else {
            // An epoch has an L1 block at least, and 2^32 of them are 1,600 years.
            _sequencers[owner].checkpoints = uint32(position + 1);
        }
        _checkpoints[owner][position] = checkpoint;
    }

    /// @dev Gives `owner`, whose latest checkpoint is `latest`, the weight of `bond` as soon as may be; `latest` becomes what
    /// it is then.
    function _changeWeight(address owner, Checkpoint memory latest, uint256 bond) internal {
        uint56 weight = _weightOf(owner, bond);
        if (weight == latest.weight) return;
        (latest.weight, latest.effectiveEpoch) = (weight, _changeEpochOf(latest));
        _writeCheckpoint(owner, latest);
    }

    /// @dev Of an owner that registered at least once. Of one that has left, that it is no member from some epoch on.
    function _latestCheckpoint(address owner) internal view returns (Checkpoint memory latest) {
        latest = _checkpoints[owner][_sequencers[owner].checkpoints - 1];
        if (latest.untilEpoch != 0) return Checkpoint(latest.untilEpoch, 0, 0, latest.admission, 0, 0);
    }

    /// @dev The checkpoint of `owner` in force at `epoch`, all zero if none is.
    function _standingAt(address owner, uint64 epoch) internal view returns (Checkpoint memory) {
        _requireFixed(epoch);
        return _checkpointAt(owner, epoch);
    }

    function _checkpointAt(address owner, uint64 epoch) internal view returns (Checkpoint memory standing) {
        uint256 low = 0;
        uint256 high = _sequencers[owner].checkpoints;
        while (low < high) {
            uint256 middle = (low + high) / 2;
            if (_checkpoints[owner][middle].effectiveEpoch <= epoch) low = middle + 1;
            else high = middle;
        }
        if (low == 0) return standing;
        standing = _checkpoints[owner][low - 1];
        if (standing.untilEpoch != 0 && standing.untilEpoch <= epoch) delete standing;
    }

    function _requireFixed(uint64 epoch) internal view {
        if (epoch < FIRST_EPOCH) revert SequencerRegistry__NoCommitteeBefore(FIRST_EPOCH, epoch);
        uint64 latestFixed = _changeEpoch() - 1;
        if (epoch <= latestFixed) return;
        // Before the activation this is below the first.
        if (_genesisL1Block == 0) revert SequencerRegistry__NotActivated();
        revert SequencerRegistry__CommitteeNotFixed(latestFixed, epoch);
    }

    function _requireSeated(address owner) internal view returns (Stage stage) {
        stage = _sequencers[owner].stage;
        if (stage == Stage.None || stage == Stage.Left) revert SequencerRegistry__NotSeated(owner);
    }

    /// @dev Returns the latest checkpoint of a seated sequencer against which there is no evidence.
    function _requireInGoodStanding(address owner) internal view returns (Checkpoint memory) {
        _requireSeated(owner);
        if (_sequencers[owner].lastOffence != 0) revert SequencerRegistry__HasOffended(owner);
        return _latestCheckpoint(owner);
    }
}
