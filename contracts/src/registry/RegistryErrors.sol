// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

/// @title RegistryErrors
/// @notice Why `SequencerRegistry`, or its `Certificates`, refuses.
interface RegistryErrors {
    /// @dev A field of the chain spec is `got`, and must be from `least` to `most`. Of `bondToken` what counts is the length of
    /// its code.
    error SequencerRegistry__InvalidSpec(string field, uint256 got, uint256 least, uint256 most);
    error SequencerRegistry__ZeroAddress();
    error SequencerRegistry__AlreadyActivated(uint64 genesisL1Block);
    error SequencerRegistry__TooFewMembers(uint256 needed, uint256 members);
    error SequencerRegistry__NotActivated();
    error SequencerRegistry__ChainIsAbandoned(uint64 atBlock);
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
    error SequencerRegistry__OnlyLiveness(address liveness, address caller);
    error SequencerRegistry__NotJailed(address owner);
    error SequencerRegistry__JailedUntil(uint64 firstEpoch, uint64 earliestNow);
    error SequencerRegistry__NothingToBurn();
    error SequencerRegistry__NothingToClaim(address reporter);
    error SequencerRegistry__NotSeated(address owner);
    error SequencerRegistry__BeginsLater(uint64 firstEpoch, uint64 earliestNow);
    error SequencerRegistry__HasOffended(address owner);
    error SequencerRegistry__NothingToWithdraw(address owner);
    error SequencerRegistry__KeyRotatedLately(uint256 firstBlock, uint256 currentBlock);
    error SequencerRegistry__NothingToAdd();
    error SequencerRegistry__NothingToReduce();
    error SequencerRegistry__NothingUnbonding(address owner);
    error SequencerRegistry__NotRegistered(address owner);
    error SequencerRegistry__TooMuchAnnounced(uint256 bytesMax, uint256 got);
}
