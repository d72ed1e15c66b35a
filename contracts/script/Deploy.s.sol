// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {BatchInbox} from "../src/BatchInbox.sol";
import {Liveness} from "../src/Liveness.sol";
import {SequencerRegistry} from "../src/SequencerRegistry.sol";
import {Slasher} from "../src/Slasher.sol";
import {ChainSpec} from "../src/Types.sol";
import {DevToken} from "../src/devnet/DevToken.sol";
import {vm} from "../test/support/Vm.sol";

/// @title Deploy
/// @notice Deploys the contracts of one chain as a description says, on any L1:
///
///     forge script script/Deploy.s.sol --sig 'run(string)' deployments/devnet.json --rpc-url $L1 --private-key $KEY --broadcast
///
/// @dev `baton devnet` takes the same descriptions, the same order and the same account for all. What nodes need besides the
/// registry's address they read from its contracts.
contract Deploy {
    /// Most fields of one object of a description.
    uint256 private constant FIELDS_MAX = 64;

    struct Deployment {
        address bondToken;
        SequencerRegistry registry;
        Slasher slasher;
        BatchInbox inbox;
        Liveness liveness;
    }

    /// The fields of one JSON object, each taken once by its name.
    struct Fields {
        string json;
        string prefix;
        string[] taken;
        uint256 count;
    }

    error Deploy__MissingField(string field);
    error Deploy__UnknownField(string field);
    error Deploy__OutOfBounds(string field, uint256 most, uint256 got);

    /// @param path Of a description, relative to `contracts/`.
    function run(string calldata path) external returns (Deployment memory deployed) {
        (ChainSpec memory spec, uint256 rewardPerEpoch) = describe(vm.readFile(path));
        vm.startBroadcast();
        (, address deployer,) = vm.readCallers();
        deployed = _deploy(deployer, spec, rewardPerEpoch);
        vm.stopBroadcast();
    }

    /// @notice The chain spec that a description gives, and what the pool of rewards pays for an epoch, in base units.
    /// Reverts where a field is missing, unknown or too large for its type; the registry refuses what is out of its bounds.
    function describe(string memory json) public view returns (ChainSpec memory spec, uint256 rewardPerEpoch) {
        Fields memory all = Fields(json, "$.", new string[](FIELDS_MAX), 0);
        rewardPerEpoch = _number(all, "rewardPerEpoch", 256);
        _take(all, "spec");
        _requireNoOther(all, "$");
        Fields memory fields = Fields(json, "$.spec.", new string[](FIELDS_MAX), 0);
        spec.l2ChainId = uint64(_number(fields, "l2ChainId", 64));
        spec.epochBlocks = uint64(_number(fields, "epochBlocks", 64));
        spec.originSettle = uint64(_number(fields, "originSettle", 64));
        spec.minBlockMs = uint64(_number(fields, "minBlockMs", 64));
        spec.idleBlockMs = uint64(_number(fields, "idleBlockMs", 64));
        spec.deltaMs = uint64(_number(fields, "deltaMs", 64));
        spec.inactiveViews = uint64(_number(fields, "inactiveViews", 64));
        spec.clockDriftMs = uint64(_number(fields, "clockDriftMs", 64));
        spec.blockBytesMax = uint64(_number(fields, "blockBytesMax", 64));
        spec.blockGasLimit = uint64(_number(fields, "blockGasLimit", 64));
        spec.execLagMax = uint64(_number(fields, "execLagMax", 64));
        spec.forcedLag = uint64(_number(fields, "forcedLag", 64));
        spec.abandonBlocks = uint64(_number(fields, "abandonBlocks", 64));
        spec.maxOriginAge = uint64(_number(fields, "maxOriginAge", 64));
        spec.liveEpochs = uint64(_number(fields, "liveEpochs", 64));
        spec.batchBytesMax = uint64(_number(fields, "batchBytesMax", 64));
        spec.batchBlobsMax = uint64(_number(fields, "batchBlobsMax", 64));
        spec.batchAgeBlocks = uint64(_number(fields, "batchAgeBlocks", 64));
        spec.postBackoff = uint64(_number(fields, "postBackoff", 64));
        spec.correlationEpochs = uint64(_number(fields, "correlationEpochs", 64));
        spec.evidenceBlocks = uint64(_number(fields, "evidenceBlocks", 64));
        spec.jailEpochs = uint64(_number(fields, "jailEpochs", 64));
        spec.jailMinViews = uint64(_number(fields, "jailMinViews", 64));
        spec.baseSlashBps = uint16(_number(fields, "baseSlashBps", 16));
        spec.reporterBps = uint16(_number(fields, "reporterBps", 16));
        spec.jailMissBps = uint16(_number(fields, "jailMissBps", 16));
        spec.minCommittee = uint8(_number(fields, "minCommittee", 8));
        spec.allowSmall = vm.parseJsonBool(json, _take(fields, "allowSmall"));
        spec.orderingRule = uint8(_number(fields, "orderingRule", 8));
        spec.executor = uint8(_number(fields, "executor", 8));
        spec.weightUnit = uint128(_number(fields, "weightUnit", 128));
        spec.weightCap = uint64(_number(fields, "weightCap", 64));
        spec.minBond = _number(fields, "minBond", 256);
        spec.bondToken = vm.parseJsonAddress(json, _take(fields, "bondToken"));
        spec.genesisHash = vm.parseJsonBytes32(json, _take(fields, "genesisHash"));
        _requireNoOther(fields, "$.spec");
    }

    /// @dev In the order of the deployer's nonces: the development token where the description names none, registry, slasher,
    /// inbox, liveness. The registry is told the three addresses in advance, and the three refuse a registry that names others.
    function _deploy(address deployer, ChainSpec memory spec, uint256 rewardPerEpoch)
        internal
        returns (Deployment memory deployed)
    {
        if (spec.bondToken == address(0)) spec.bondToken = address(new DevToken());
        deployed.bondToken = spec.bondToken;
        uint256 nonce = vm.getNonce(deployer);
        address inbox = vm.computeCreateAddress(deployer, nonce + 2);
        deployed.registry = new SequencerRegistry(
            spec, vm.computeCreateAddress(deployer, nonce + 1), inbox, vm.computeCreateAddress(deployer, nonce + 3)
        );
        deployed.slasher = new Slasher(deployed.registry, BatchInbox(inbox));
        deployed.inbox = new BatchInbox(deployed.registry);
        deployed.liveness = new Liveness(deployed.registry, deployed.inbox, rewardPerEpoch);
    }

    function _number(Fields memory fields, string memory name, uint256 bits) private view returns (uint256 number) {
        number = vm.parseJsonUint(fields.json, _take(fields, name));
        uint256 most = type(uint256).max >> (256 - bits);
        if (number > most) revert Deploy__OutOfBounds(name, most, number);
    }

    /// @dev Where the field is in the description.
    function _take(Fields memory fields, string memory name) private view returns (string memory path) {
        path = string.concat(fields.prefix, name);
        if (!vm.keyExistsJson(fields.json, path)) revert Deploy__MissingField(name);
        fields.taken[fields.count++] = name;
    }

    /// @dev Reverts where the object at `path` has a field that was not taken.
    function _requireNoOther(Fields memory fields, string memory path) private pure {
        string[] memory names = vm.parseJsonKeys(fields.json, path);
        for (uint256 i = 0; i < names.length; ++i) {
            bool known = false;
            for (uint256 j = 0; j < fields.count && !known; ++j) {
                known = keccak256(bytes(fields.taken[j])) == keccak256(bytes(names[i]));
            }
            if (!known) revert Deploy__UnknownField(names[i]);
        }
    }
}
