//! The structs of `contracts/src/Types.sol` whose encodings are hashed here too.
//!
//! `view` is a keyword of Solidity, hence `viewNumber`.

alloy_sol_types::sol! {
    struct BlockHeader {
        uint64 l2ChainId;
        uint64 epoch;
        uint64 viewNumber;
        uint64 height;
        bytes32 parent;
        uint64 timestampMs;
        uint64 originNumber;
        bytes32 originHash;
        uint64 forcedPosition;
        bytes32 forcedHash;
        bytes32 payloadRoot;
        uint32 transactionCount;
        uint32 payloadBytes;
        uint64 declaredGas;
        uint8 proposer;
        address feeRecipient;
    }

    struct BatchHeader {
        uint64 index;
        bytes32 prevBatchHash;
        uint64 epoch;
        uint64 firstHeight;
        uint64 lastHeight;
        bytes32 lastDigest;
        uint64 lastOriginNumber;
        bytes32 lastOriginHash;
        bytes32 stateRoot;
        uint64 forcedPosition;
        bytes32 forcedHash;
        uint8 dataKind;
        bytes32 dataHash;
        bytes32 dutiesRoot;
    }
}
