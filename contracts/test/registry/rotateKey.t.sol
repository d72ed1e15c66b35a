// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Slasher} from "../../src/Slasher.sol";
import {ChainSpec, Member, Vote} from "../../src/Types.sol";
import {Bls12381} from "../../src/libraries/Bls12381.sol";
import {RegistryErrors} from "../../src/registry/RegistryErrors.sol";
import {RegistryEvents} from "../../src/registry/RegistryEvents.sol";
import {BatonTest} from "../support/BatonTest.sol";
import {Bls} from "../support/Bls.sol";
import {vm} from "../support/Vm.sol";

contract RotateKeyTest is BatonTest {
    uint256 private constant NEW_SECRET = 0x2e4;

    address private owner;

    function setUp() public override {
        super.setUp();
        startDevnet();
        owner = ownerOf(1);
    }

    function test_RevertGiven_TheCallerHasNoSeat() external {
        exit(owner);
        _assertRefused(
            owner, NEW_SECRET, abi.encodeWithSelector(RegistryErrors.SequencerRegistry__NotSeated.selector, owner)
        );
    }

    function test_RevertGiven_ThereIsEvidenceAgainstTheCaller() external {
        ChainSpec memory spec = defaultSpec();
        spec.allowSmall = true;
        deploy(spec);
        register(1, UNIT);
        start();
        slashDoubleNotarize(owner, 2);
        _assertRefused(
            owner, NEW_SECRET, abi.encodeWithSelector(RegistryErrors.SequencerRegistry__HasOffended.selector, owner)
        );
    }

    function test_RevertWhen_TheKeyWasRegisteredBefore() external {
        uint256[2] memory known = [secretOf(owner), secretOf(ownerOf(0))];
        for (uint256 i = 0; i < 2; ++i) {
            _assertRefused(
                owner,
                known[i],
                abi.encodeWithSelector(
                    RegistryErrors.SequencerRegistry__DuplicateKey.selector, keccak256(Bls.publicKey(known[i]))
                )
            );
        }
    }

    function test_RevertWhen_TheProofIsNotOfTheCallerForTheKey() external {
        bytes memory key = Bls.publicKey(NEW_SECRET);
        bytes memory stolen = possessionOf(ownerOf(0), NEW_SECRET);
        vm.expectRevert(abi.encodeWithSelector(RegistryErrors.SequencerRegistry__InvalidPossession.selector, owner));
        vm.prank(owner);
        registry.rotateKey(key, stolen);
    }

    function test_When_AllIsInOrder() external {
        rollToEpoch(5);
        bytes memory key = Bls.publicKey(NEW_SECRET);
        bytes memory possession = possessionOf(owner, NEW_SECRET);
        vm.expectEmit(address(registry));
        emit RegistryEvents.KeyRotated(owner, 7, keccak256(key));
        vm.prank(owner);
        registry.rotateKey(key, possession);
        rollToEpoch(7);
        for (uint64 epoch = 2; epoch < 9; ++epoch) {
            (bytes memory found, uint64 weight, uint64 admission) = registry.keyOf(owner, epoch);
            assertEq(found, epoch < 7 ? Bls.publicKey(secretOf(owner)) : key, "key");
            assertEq(weight, 28, "weight");
            assertEq(admission, 1, "admission");
            assertEq(_seatOf(epoch).feeRecipient, recipientOf(owner), "fee recipient");
        }
        assertEq(registry.bondOf(owner), 28 * UNIT, "bond");
    }

    function test_RevertGiven_TheKeyWasChangedLately() external {
        rotate(owner, NEW_SECRET);
        uint256 firstBlock = block.number + 512;
        fund(owner, UNIT);
        vm.prank(owner);
        registry.addBond(UNIT);
        for (uint256 i = 0; i < 2; ++i) {
            vm.roll(i == 0 ? block.number : firstBlock - 1);
            _assertRefused(
                owner,
                0x2e5,
                abi.encodeWithSelector(
                    RegistryErrors.SequencerRegistry__KeyRotatedLately.selector, firstBlock, block.number
                )
            );
        }
        vm.roll(firstBlock);
        rotate(owner, 0x2e5);
    }

    function test_When_TheOldKeySignsTwiceInAnEpochOfItsOwn() external {
        rotate(owner, NEW_SECRET);
        rollToEpoch(30);
        _submit(3, secretOf(owner));
        assertEq(registry.bondOf(owner), 28 * UNIT * 95 / 100, "bond");
    }

    function test_RevertWhen_TheNewKeySignsTwiceBeforeItsFirstEpoch() external {
        rotate(owner, NEW_SECRET);
        rollToEpoch(4);
        _assertInvalid(3, NEW_SECRET);
    }

    function test_When_TheNewKeySignsTwiceInItsFirstEpoch() external {
        rotate(owner, NEW_SECRET);
        rollToEpoch(4);
        _assertInvalid(4, secretOf(owner));
        _submit(4, NEW_SECRET);
        assertEq(registry.bondOf(owner), 28 * UNIT * 95 / 100, "bond");
    }

    function test_When_BondIsAddedInTheSameEpoch() external {
        fund(owner, 2 * UNIT);
        vm.startPrank(owner);
        registry.addBond(UNIT);
        vm.stopPrank();
        rotate(owner, NEW_SECRET);
        vm.startPrank(owner);
        registry.addBond(UNIT);
        vm.stopPrank();
        rollToEpoch(4);
        (bytes memory key, uint64 weight,) = registry.keyOf(owner, 4);
        assertEq(key, Bls.publicKey(NEW_SECRET), "key");
        assertEq(weight, 30, "weight");
    }

    function test_It_LetsTheCommitteeCertifyWithTheKeysOfItsEpoch() external {
        rotate(owner, NEW_SECRET);
        post(2);
        rollToEpoch(4);
        post(3);
        post(4);
        assertEq(inbox.nextIndex(), 3, "batches");
    }

    function _votes() private pure returns (Vote memory, Vote memory) {
        return (notarize(1, keccak256("a")), notarize(1, keccak256("b")));
    }

    function _sum(uint64 epoch, uint256 secret) private view returns (bytes memory) {
        (Vote memory first, Vote memory second) = _votes();
        return Bls12381.addG1(Bls.sign(secret, digestOf(epoch, first)), Bls.sign(secret, digestOf(epoch, second)));
    }

    function _submit(uint64 epoch, uint256 secret) private {
        (Vote memory first, Vote memory second) = _votes();
        slasher.submit(owner, epoch, first, second, _sum(epoch, secret));
    }

    function _assertInvalid(uint64 epoch, uint256 secret) private {
        (Vote memory first, Vote memory second) = _votes();
        bytes memory sum = _sum(epoch, secret);
        vm.expectRevert(Slasher.Slasher__InvalidSignature.selector);
        slasher.submit(owner, epoch, first, second, sum);
    }

    function _assertRefused(address caller, uint256 secret, bytes memory reason) private {
        bytes memory key = Bls.publicKey(secret);
        bytes memory possession = possessionOf(caller, secret);
        vm.expectRevert(reason);
        vm.prank(caller);
        registry.rotateKey(key, possession);
    }

    function _seatOf(uint64 epoch) private view returns (Member memory seat) {
        Member[] memory members = registry.committee(epoch);
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i].owner == owner) seat = members[i];
        }
    }
}
