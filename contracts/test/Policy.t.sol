// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Certificates} from "../src/Certificates.sol";
import {Slasher} from "../src/Slasher.sol";
import {Attestation, ChainSpec, Stage, Vote, VoteCertificate} from "../src/Types.sol";
import {DevToken} from "../src/devnet/DevToken.sol";
import {Bls12381} from "../src/libraries/Bls12381.sol";
import {Statements} from "../src/libraries/Statements.sol";
import {RegistryErrors} from "../src/registry/RegistryErrors.sol";
import {BatonTest} from "./support/BatonTest.sol";
import {Bls} from "./support/Bls.sol";
import {ClosingToken} from "./support/Tokens.sol";
import {VaultTest} from "./support/VaultTest.sol";
import {vm} from "./support/Vm.sol";

/// What POLICY.md promises, entry point by entry point. Nothing in these contracts can pause deposits; a token that lets nobody
/// pull stands for the most that such a pause could do.
contract PolicyTest is VaultTest {
    address private constant REPORTER = address(0xa11);

    function setUp() public override {
        BatonTest.setUp();
        ClosingToken closing = new ClosingToken();
        ChainSpec memory spec = defaultSpec();
        spec.bondToken = address(closing);
        deploy(spec);
        token = DevToken(address(closing));
        startDevnet();
        createVault();
        deposit(ALICE, 60 * UNIT);
        deposit(BOB, 40 * UNIT);
        join();
        fundPool(10_000);
        closing.close();
    }

    // ---------------------------------------------------------------------------------- what no pause can reach

    function test_RevertWhen_SomebodyWouldComeIn() external {
        address owner = ownerOf(4);
        bytes memory key = Bls.publicKey(secretOf(owner));
        bytes memory possession = possessionOf(owner, secretOf(owner));
        fund(owner, 10 * UNIT);
        vm.expectRevert(ClosingToken.ClosingToken__Closed.selector);
        vm.prank(owner);
        registry.register(owner, UNIT, key, possession);
        vm.expectRevert(ClosingToken.ClosingToken__Closed.selector);
        vm.prank(ownerOf(0));
        registry.addBond(1);
        vm.expectRevert(ClosingToken.ClosingToken__Closed.selector);
        liveness.fund(1);
        vm.expectRevert(ClosingToken.ClosingToken__Closed.selector);
        vault.deposit(1, ALICE);
        vm.expectRevert(ClosingToken.ClosingToken__Closed.selector);
        vault.mint(1000, ALICE);
    }

    function test_When_AMemberTakesBackAPartOfItsBond() external {
        address owner = ownerOf(0);
        vm.prank(owner);
        registry.reduceBond(2 * UNIT);
        passWindows();
        vm.prank(owner);
        registry.withdrawUnbonded();
        assertEq(token.balanceOf(owner), 2 * UNIT, "paid");
    }

    function test_When_AMemberLeaves() external {
        exit(ownerOf(1));
        rollToRelease(ownerOf(1));
        withdraw(ownerOf(1));
        assertEq(token.balanceOf(ownerOf(1)), 28 * UNIT, "paid");
    }

    function test_When_AMemberWaitsToLeave() external {
        // Of five, one must stay: four go at once, and the last waits, since nobody can come.
        vm.prank(OPERATOR);
        vault.exit();
        for (uint256 i = 0; i < 3; ++i) {
            exit(ownerOf(i));
        }
        exit(ownerOf(3));
        registry.serveExits(9);
        assertStage(ownerOf(3), Stage.Leaving);
        vm.roll(block.number + 2049);
        inbox.abandon();
        exit(ownerOf(3));
        vm.roll(slasher.releaseBlock(ownerOf(3)));
        withdraw(ownerOf(3));
        assertEq(token.balanceOf(ownerOf(3)), 18 * UNIT, "paid");
    }

    function test_When_AJailedMemberLeaves() external {
        _jail(ownerOf(2));
        exit(ownerOf(2));
        rollToRelease(ownerOf(2));
        withdraw(ownerOf(2));
        assertEq(token.balanceOf(ownerOf(2)), 22 * UNIT, "paid");
    }

    function test_When_AJailedMemberComesBack() external {
        _jail(ownerOf(2));
        rollToEpoch(6);
        unjail(ownerOf(2));
        rollToEpoch(8);
        assertEq(weightOf(ownerOf(2), 8), 22, "weight");
    }

    function test_When_AMemberChangesItsKey() external {
        rotate(ownerOf(0), 0xabcd);
        rollToEpoch(4);
        (bytes memory key,,) = registry.keyOf(ownerOf(0), 4);
        assertEq(key, Bls.publicKey(0xabcd), "key");
    }

    function test_When_TwoStatementsOfOneKeyCome() external {
        address owner = ownerOf(0);
        uint256 penalty = 32 * UNIT / 20;
        bytes memory call = _submission(owner);
        slasher.commit(keccak256(abi.encode(REPORTER, keccak256(call))));
        vm.roll(block.number + 1);
        vm.prank(REPORTER);
        (bool ok,) = address(slasher).call(call);
        assertTrue(ok, "submitted");
        vm.prank(REPORTER);
        registry.claim();
        assertEq(token.balanceOf(REPORTER), penalty / 10, "the reporter");
        registry.burn();
        assertEq(token.balanceOf(registry.BURN_ADDRESS()), penalty * 9 / 10, "burned");
        rollToRelease(owner);
        slasher.settle(owner, 1000);
        withdraw(owner);
        assertEq(token.balanceOf(owner), 32 * UNIT - penalty, "the offender");
    }

    function test_When_TwoAttestationsOfOneKeyCome() external {
        Attestation memory a = Attestation(2, 5, "before", "header a", 90, "block a", 0);
        Attestation memory b = Attestation(2, 5, "before", "header b", 90, "block b", 0);
        uint256 secret = secretOf(ownerOf(0));
        bytes memory sum = Bls12381.addG1(
            Bls.sign(secret, Statements.attestDigest(address(registry), L2_CHAIN_ID, a)),
            Bls.sign(secret, Statements.attestDigest(address(registry), L2_CHAIN_ID, b))
        );
        slasher.submitAttestations(ownerOf(0), 2, a, b, sum);
        assertEq(registry.bondOf(ownerOf(0)), 32 * UNIT * 95 / 100, "bond");
    }

    function test_When_TwoCertificatesOfOneViewCome() external {
        VoteCertificate[2] memory pair;
        for (uint256 i = 0; i < 2; ++i) {
            Vote memory vote = finalize(1, keccak256(abi.encode(i)));
            pair[i] = VoteCertificate(vote, 15, aggregate(2, 15, digestOf(2, vote)));
        }
        slasher.submitCertificates(2, pair[0], pair[1]);
        assertEq(registry.burnable(), 100 * UNIT, "all of the four");
        assertEq(registry.bondOf(address(vault)), 100 * UNIT, "and nothing of the fifth");
    }

    function test_When_UsersAndPostersGoOn() external {
        uint256 fee = inbox.forcedFee();
        vm.deal(address(this), 10 * fee);
        inbox.enqueue{value: fee}(0, "entry");
        inbox.fund{value: fee}();
        vm.roll(block.number + 2);
        registry.materialize(2);
        postTaking(2, 1);
        rollToEpoch(5);
        post(5);
        inbox.closeSkipped(3, 2);
        assertEq(inbox.nextIndex(), 2, "batches");
    }

    function test_When_DutiesAreSettled() external {
        runAll(2);
        runAll(3);
        runAll(4);
        settle(2);
        vm.prank(ownerOf(0));
        liveness.setRecipient(BOB);
        liveness.claim(ownerOf(0));
        assertEq(token.balanceOf(BOB), 250, "paid");
        vm.roll(block.number + 513);
        liveness.passOver();
        assertEq(liveness.lastSettled(), 3, "passed over");
    }

    function test_When_ADelegatorLeaves() external {
        request(ALICE, 60_000 * UNIT);
        passWindows();
        vault.advance(9);
        vault.claim(ALICE);
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "paid");
        vm.prank(BOB);
        vault.transfer(ALICE, 1000 * UNIT);
        vault.harvest();
    }

    function test_When_TheOperatorOfAVaultLeaves() external {
        vm.prank(OPERATOR);
        vault.exit();
        request(ALICE, 60_000 * UNIT);
        passWindows();
        vault.advance(9);
        vault.claim(ALICE);
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "paid");
    }

    function test_When_AVaultCannotPayWhoLeaves() external {
        request(ALICE, 60_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        vm.roll(block.number + 512);
        vm.prank(REPORTER);
        vault.makeLeave();
        assertStage(address(vault), Stage.Left);
    }

    function test_When_TheChainIsDead() external {
        vm.roll(block.number + 2049);
        inbox.abandon();
        vm.prank(OPERATOR);
        vault.exit();
        for (uint256 i = 0; i < 4; ++i) {
            exit(ownerOf(i));
        }
        vm.roll(slasher.releaseBlock(ownerOf(0)));
        for (uint256 i = 0; i < 4; ++i) {
            withdraw(ownerOf(i));
        }
        request(ALICE, 60_000 * UNIT);
        request(BOB, 40_000 * UNIT);
        vault.advance(9);
        vault.claim(ALICE);
        vault.claim(BOB);
        assertEq(token.balanceOf(address(registry)), 0, "nobody's bond is left");
        assertEq(token.balanceOf(ALICE), 60 * UNIT, "delegators too");
    }

    // ------------------------------------------------------------------------------ what nobody has a say in

    function test_RevertWhen_AnybodyActsAsOneOfTheContracts() external {
        Certificates certificates = registry.CERTIFICATES();
        _assertOnly(
            address(registry),
            abi.encodeCall(registry.penalize, (ownerOf(0), 2, true, ALICE)),
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__OnlySlasher.selector, slasher, ALICE)
        );
        _assertOnly(
            address(registry),
            abi.encodeCall(registry.jail, (ownerOf(0), 2)),
            abi.encodeWithSelector(RegistryErrors.SequencerRegistry__OnlyLiveness.selector, liveness, ALICE)
        );
        _assertOnly(
            address(slasher),
            abi.encodeCall(slasher.release, (ownerOf(0), 4, 2, 1)),
            abi.encodeWithSelector(Slasher.Slasher__OnlyRegistry.selector, registry, ALICE)
        );
        _assertOnly(
            address(certificates),
            abi.encodeCall(certificates.activate, (1)),
            abi.encodeWithSelector(Certificates.Certificates__OnlyRegistry.selector, registry, ALICE)
        );
        _assertOnly(
            address(certificates),
            abi.encodeCall(certificates.storeKey, (ALICE, "", "")),
            abi.encodeWithSelector(Certificates.Certificates__OnlyRegistry.selector, registry, ALICE)
        );
        _assertOnly(
            address(certificates),
            abi.encodeCall(certificates.store, (3, new address[](0), new uint64[](0), 0)),
            abi.encodeWithSelector(Certificates.Certificates__OnlyRosters.selector, registry.ROSTERS(), ALICE)
        );
    }

    function testFuzz_It_PunishesWhoeverBringsTheEvidenceAndPaysNobodyForIt(address caller) external {
        bytes memory call = _submission(ownerOf(0));
        uint256 balance = token.balanceOf(address(registry));
        vm.prank(caller);
        (bool ok,) = address(slasher).call(call);
        assertTrue(ok, "taken from anybody");
        assertEq(registry.bondOf(ownerOf(0)), 32 * UNIT * 95 / 100, "bond");
        assertEq(registry.burnable(), 32 * UNIT / 20, "all of the penalty is to be burned");
        assertEq(registry.claimable(caller), 0, "nothing for the caller");
        assertEq(token.balanceOf(address(registry)), balance, "no payment");
    }

    /// Whatever the offender does before the evidence comes, it costs what the whole bond says.
    function testFuzz_It_TakesTheSamePenaltyWhateverWasDoneInBetween(uint8 moves) external {
        address owner = ownerOf(0);
        bytes memory call = _submission(owner);
        post(2);
        if (moves & 1 != 0) {
            vm.prank(owner);
            registry.reduceBond(20 * UNIT);
        }
        if (moves & 2 != 0) rotate(owner, 0xabcd);
        if (moves & 4 != 0) _jail(owner);
        if (moves & 8 != 0) exit(owner);
        if (moves & 16 != 0) rollToEpoch(7);
        if (moves & 32 != 0) post(registry.epochOf(block.number));
        if (moves & 64 != 0) vm.roll(block.number + 512);
        (bool ok,) = address(slasher).call(call);
        assertTrue(ok, "taken");
        assertEq(registry.burnable(), 32 * UNIT / 20, "penalty");
        assertEq(registry.bondOf(owner), 32 * UNIT * 95 / 100, "all else is bond");
    }

    function test_It_HasNoCodeThatRunsAnothersOrEndsItself() external view {
        address[8] memory accounts = [
            address(registry),
            address(registry.CERTIFICATES()),
            address(registry.ROSTERS()),
            address(slasher),
            address(inbox),
            address(liveness),
            address(factory),
            address(vault)
        ];
        for (uint256 i = 0; i < accounts.length; ++i) {
            (uint256 scanned, bool found) = _exchanges(accounts[i].code);
            assertTrue(!found, "CALLCODE, DELEGATECALL or SELFDESTRUCT");
            // What follows is data: the constants of a library, the vaults that the factory makes.
            assertAtMost(500, scanned, "instructions");
        }
        (, bool known) = _exchanges(hex"60f4f4fe");
        assertTrue(known, "one that does is found");
        (, known) = _exchanges(hex"61f4f4fef4");
        assertTrue(!known, "what is pushed and what follows the code is no instruction");
    }

    // -------------------------------------------------------------------------------------------------- helpers

    function _jail(address owner) private {
        vm.prank(address(liveness));
        assertTrue(registry.jail(owner, 2), "jailed");
    }

    /// Two Notarize of `owner` in view 1 of epoch 2.
    function _submission(address owner) private view returns (bytes memory) {
        Vote memory first = notarize(1, keccak256("a"));
        Vote memory second = notarize(1, keccak256("b"));
        return abi.encodeCall(slasher.submit, (owner, 2, first, second, evidence(owner, 2, first, second)));
    }

    function _assertOnly(address target, bytes memory call, bytes memory refusal) private {
        vm.prank(ALICE);
        (bool ok, bytes memory reason) = target.call(call);
        assertTrue(!ok, "refused");
        assertEq(reason, refusal, "reason");
    }

    /// Whether code has an instruction that runs another's code in its own place or ends it, and how much of it was looked
    /// at: up to the INVALID with which the compiler ends what can run.
    function _exchanges(bytes memory code) private pure returns (uint256 scanned, bool found) {
        for (; scanned < code.length; ++scanned) {
            uint8 opcode = uint8(code[scanned]);
            if (opcode == 0xfe) break;
            if (opcode == 0xf2 || opcode == 0xf4 || opcode == 0xff) return (scanned, true);
            if (opcode >= 0x60 && opcode <= 0x7f) scanned += opcode - 0x5f;
        }
    }
}
