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
/// @dev `baton devnet` takes the same description, the same order and the same account for all. What nodes need besides the
/// registry's address they read from its contracts.
contract Deploy {
    struct Deployment {
        address bondToken;
        SequencerRegistry registry;
        Slasher slasher;
        BatchInbox inbox;
        Liveness liveness;
    }

    /// @param path Of a description, relative to `contracts/`.
    function run(string calldata path) external returns (Deployment memory deployed) {
        (ChainSpec memory spec, uint256 rewardPerEpoch) = describe(vm.readFile(path));
        vm.startBroadcast();
        (, address deployer,) = vm.readCallers();
        deployed = _deploy(deployer, spec, rewardPerEpoch);
        vm.stopBroadcast();
    }

    /// @notice The chain spec that a description gives, and what the pool of rewards pays for an epoch, in base units.
    /// Reverts where a field is missing.
    function describe(string memory json) public pure returns (ChainSpec memory spec, uint256 rewardPerEpoch) {
        rewardPerEpoch = vm.parseJsonUint(json, ".rewardPerEpoch");
        spec.l2ChainId = uint64(_number(json, "l2ChainId", 64));
        spec.epochBlocks = uint64(_number(json, "epochBlocks", 64));
        spec.originSettle = uint64(_number(json, "originSettle", 64));
        spec.minBlockMs = uint64(_number(json, "minBlockMs", 64));
        spec.idleBlockMs = uint64(_number(json, "idleBlockMs", 64));
        spec.deltaMs = uint64(_number(json, "deltaMs", 64));
        spec.inactiveViews = uint64(_number(json, "inactiveViews", 64));
        spec.clockDriftMs = uint64(_number(json, "clockDriftMs", 64));
        spec.blockBytesMax = uint64(_number(json, "blockBytesMax", 64));
        spec.blockGasLimit = uint64(_number(json, "blockGasLimit", 64));
        spec.execLagMax = uint64(_number(json, "execLagMax", 64));
        spec.forcedLag = uint64(_number(json, "forcedLag", 64));
        spec.abandonBlocks = uint64(_number(json, "abandonBlocks", 64));
        spec.maxOriginAge = uint64(_number(json, "maxOriginAge", 64));
        spec.liveEpochs = uint64(_number(json, "liveEpochs", 64));
        spec.batchBytesMax = uint64(_number(json, "batchBytesMax", 64));
        spec.batchBlobsMax = uint64(_number(json, "batchBlobsMax", 64));
        spec.batchAgeBlocks = uint64(_number(json, "batchAgeBlocks", 64));
        spec.postBackoff = uint64(_number(json, "postBackoff", 64));
        spec.correlationEpochs = uint64(_number(json, "correlationEpochs", 64));
        spec.evidenceBlocks = uint64(_number(json, "evidenceBlocks", 64));
        spec.jailEpochs = uint64(_number(json, "jailEpochs", 64));
        spec.jailMinViews = uint64(_number(json, "jailMinViews", 64));
        spec.baseSlashBps = uint16(_number(json, "baseSlashBps", 16));
        spec.reporterBps = uint16(_number(json, "reporterBps", 16));
        spec.jailMissBps = uint16(_number(json, "jailMissBps", 16));
        spec.minCommittee = uint8(_number(json, "minCommittee", 8));
        spec.allowSmall = vm.parseJsonBool(json, ".spec.allowSmall");
        spec.orderingRule = uint8(_number(json, "orderingRule", 8));
        spec.executor = uint8(_number(json, "executor", 8));
        spec.weightUnit = uint128(_number(json, "weightUnit", 128));
        spec.weightCap = uint64(_number(json, "weightCap", 64));
        spec.minBond = _number(json, "minBond", 256);
        spec.bondToken = vm.parseJsonAddress(json, ".spec.bondToken");
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

    function _number(string memory json, string memory field, uint256 bits) private pure returns (uint256 number) {
        number = vm.parseJsonUint(json, string.concat(".spec.", field));
        require(bits == 256 || number >> bits == 0, field);
    }
}
