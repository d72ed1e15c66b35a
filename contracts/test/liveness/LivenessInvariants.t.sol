// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.37;

import {Liveness} from "../../src/Liveness.sol";
import {SequencerRegistry} from "../../src/SequencerRegistry.sol";
import {Stage} from "../../src/Types.sol";
import {DevToken} from "../../src/devnet/DevToken.sol";
import {Bls} from "../support/Bls.sol";
import {InvariantTest} from "../support/InvariantTest.sol";
import {LivenessTest} from "../support/LivenessTest.sol";
import {PenaltyModel} from "../support/PenaltyModel.sol";
import {vm} from "../support/Vm.sol";

/// Is there and away, comes back, offends, leaves and is paid, in any order, and keeps its own books. Nobody waits to leave
/// here, and nobody's ejection waits: `Invariants.t.sol` is about that.
contract LivenessHandler is LivenessTest, PenaltyModel {
    struct Person {
        uint64 admission;
        uint256 bond;
        bool penalized;
        /// The last settled epoch from which it was away, and the epoch from which on it was back from jail.
        uint64 absentIn;
        uint64 back;
        uint256 earned;
        uint256 claimed;
    }

    /// Epochs of which somebody was no member for being jailed.
    struct Jailing {
        address owner;
        uint64 from;
        uint64 to;
    }

    uint256 public constant PEOPLE = 9;
    uint8 private constant MINIMUM = 4;

    mapping(address owner => Person) private _people;
    Jailing[] private _jailings;
    uint64 private _lastSettled;
    /// The epoch of L1 in which somebody was jailed last, and the weight of all who were.
    uint64 private _jailingEpoch;
    uint256 private _jailedWeight;
    uint256 public pool;
    /// Base units that came to registry and liveness, and that went from there.
    uint256 public came;
    uint256 public went;
    /// Set when something happened that must not.
    string public fault;

    function setUp() public override {}

    function begin() external {
        deployShort(MINIMUM);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            _join(ownerOf(i), (i + 1) * 3 * UNIT);
        }
        start();
        _fund(4 * REWARD_PER_EPOCH);
    }

    /// An epoch in which some were away; few, so that the same are often away twice.
    function pass(uint256 seed) external {
        uint64 epoch = registry.epochOf(block.number);
        (,, uint64 tipEpoch,,) = inbox.tip();
        if (epoch <= tipEpoch) epoch = tipEpoch + 1 + uint64(seed % 5 / 4);
        if (registry.epochOf(block.number) < epoch) rollToEpoch(epoch);
        address[] memory owners = registry.owners(epoch);
        (uint64[] memory led_, uint64[] memory missed_) = (_filled(owners.length, 0), _filled(owners.length, 0));
        for (uint256 i = 0; i < owners.length; ++i) {
            uint64 views = uint64(seed >> (8 * i + 8)) % 8;
            bool away = owners[i] == ownerOf(seed % 2) || (seed & 6 == 6 && owners[i] == ownerOf(2 + seed % 3));
            // One in sixteen is a day on which many had no network.
            if (away || (seed & 240 == 240 && i % 2 == 0)) (led_[i], missed_[i]) = (views / 4, views);
            else (led_[i], missed_[i]) = (10 + views, views / 4);
        }
        run(epoch, led_, missed_);
        for (uint64 skipped = tipEpoch < 2 ? 2 : tipEpoch + 1; skipped < epoch; ++skipped) {
            closeIfSkipped(skipped);
        }
    }

    /// Settles the next epoch that can be.
    function judge() external {
        (uint64 epoch, uint64 closedAt) = liveness.next();
        if (closedAt == 0) return;
        address[] memory owners = registry.owners(epoch);
        bool[] memory jailed = _jailedNow();
        (uint256 allLed, uint256 allMissed) = (_sum(led[epoch]), _sum(missed[epoch]));
        uint256 reward = pool < REWARD_PER_EPOCH ? pool : REWARD_PER_EPOCH;
        uint256 members = registry.memberCount();
        for (uint256 i = 0; i < owners.length; ++i) {
            Person storage person = _people[owners[i]];
            uint256 share = allLed == 0 ? 0 : reward * led[epoch][i] / allLed;
            person.earned += share;
            pool -= share;
            uint256 views = led[epoch][i] + missed[epoch][i];
            if (4 * allMissed > allLed + allMissed || views < 2 || 2 * missed[epoch][i] <= views) continue;
            bool again = _lastSettled != 0 && person.absentIn == _lastSettled;
            if (again && members > MINIMUM && _jail(owners[i], epoch)) {
                jailed[_numberOf(owners[i])] = true;
                --members;
            }
            person.absentIn = epoch;
        }
        settle(epoch);
        _lastSettled = epoch;
        bool[] memory found = _jailedNow();
        for (uint256 i = 0; i < PEOPLE; ++i) {
            if (found[i] != jailed[i]) fault = found[i] ? "jailed one that may not be" : "let one go that was away";
        }
    }

    function giveUp() external {
        (uint64 epoch, uint64 closedAt) = liveness.next();
        bool due = closedAt != 0 && block.number > closedAt + 16;
        (bool ok,) = address(liveness).call(abi.encodeCall(liveness.passOver, ()));
        if (ok != due) fault = ok ? "passed over what can be settled" : "held up by an epoch";
        if (ok) _lastSettled = epoch;
    }

    function comeBack(uint256 who) external {
        address owner = ownerOf(who % PEOPLE);
        Jailing storage jailing = _jailings[_lastJailingOf(owner)];
        uint64 next = registry.epochOf(block.number) + 2;
        bool due = isJailed(owner) && next >= jailing.from + 2;
        vm.prank(owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.unjail, ()));
        if (ok != due) fault = ok ? "came back too early" : "could not come back";
        if (!ok) return;
        jailing.to = next;
        _people[owner].back = next;
    }

    function offend(uint256 who, uint64 back, bool told) external {
        address owner = ownerOf(who % PEOPLE);
        Person storage person = _people[owner];
        uint64 epoch = registry.epochOf(block.number) - back % 3;
        if (epoch < 2 || registry.memberCount() <= 2) return;
        (,, uint64 admission) = registry.memberAt(owner, epoch);
        if (admission == 0 || slasher.hasOffended(owner, epoch)) return;
        uint256 closedAt = inbox.closedAt(epoch);
        (,, uint64 tipEpoch,,) = inbox.tip();
        if (closedAt == 0 ? epoch < tipEpoch : block.number + 1 > closedAt + 16) return;
        if (admission != person.admission) fault = "took evidence against a bond that is paid";
        if (told) _tell(owner, epoch);
        uint256 claimable = registry.claimable(address(this));
        _leaveJail(owner);
        punish(owner, admission, epoch);
        uint256 penalty = person.penalized ? 0 : person.bond - afterBasePenalty(person.bond);
        person.bond -= penalty;
        person.penalized = true;
        if (registry.claimable(address(this)) - claimable != (told ? penalty / 10 : 0)) fault = "another reward";
    }

    function quit(uint256 who) external {
        address owner = ownerOf(who % PEOPLE);
        Stage stage = stageOf(owner);
        if (stage != Stage.Jailed && (stage != Stage.Seated || registry.memberCount() <= MINIMUM)) return;
        _leaveJail(owner);
        exit(owner);
    }

    function takeOut(uint256 who, uint8 steps) external {
        address owner = ownerOf(who % PEOPLE);
        Person storage person = _people[owner];
        // Whether it is due is a question for others; a part of the settlement before changes nothing.
        (bool ok,) = address(slasher).call(abi.encodeCall(slasher.settle, (owner, steps % 16)));
        uint256 held = token.balanceOf(owner);
        vm.prank(owner);
        (ok,) = address(registry).call(abi.encodeCall(registry.withdraw, ()));
        if (!ok) return;
        uint256 paid = token.balanceOf(owner) - held;
        if (paid != person.bond - correlatedLoss(owner, person.admission, person.bond)) fault = "paid another amount";
        person.bond = 0;
        went += paid;
    }

    function joinAgain(uint256 who, uint72 extra) external {
        address owner = ownerOf(who % PEOPLE);
        if (stageOf(owner) != Stage.None || registry.entryEpoch() != registry.epochOf(block.number) + 2) return;
        _join(owner, UNIT + extra % (20 * UNIT));
        _people[owner].penalized = false;
    }

    function add(uint256 who, uint256 amount) external {
        address owner = ownerOf(who % PEOPLE);
        amount = 1 + amount % (5 * UNIT);
        Stage stage = stageOf(owner);
        bool allowed = (stage == Stage.Seated || stage == Stage.Jailed) && !_people[owner].penalized;
        fund(owner, amount);
        vm.prank(owner);
        (bool ok,) = address(registry).call(abi.encodeCall(registry.addBond, (amount)));
        if (ok != allowed) fault = ok ? "a slashed bond grew" : "could not add";
        if (!ok) return;
        _people[owner].bond += amount;
        came += amount;
    }

    function takeReward(uint256 who) external {
        address owner = ownerOf(who % PEOPLE);
        Person storage person = _people[owner];
        uint256 due = person.earned - person.claimed;
        uint256 held = token.balanceOf(owner);
        (bool ok,) = address(liveness).call(abi.encodeCall(liveness.claim, (owner)));
        if (ok != (due != 0) || token.balanceOf(owner) - held != due) fault = "paid another reward";
        person.claimed += due;
        went += due;
    }

    function takeShare() external {
        uint256 due = registry.claimable(address(this));
        (bool ok,) = address(registry).call(abi.encodeCall(registry.claim, ()));
        if (ok != (due != 0)) fault = "claimed";
        went += due;
    }

    function burn() external {
        went += registry.burnable();
        if (registry.burnable() != 0) registry.burn();
    }

    function give(uint16 amount) external {
        if (amount != 0) _fund(amount);
    }

    function wait(uint8 blocks) external {
        vm.roll(block.number + blocks % 40);
    }

    function contracts() external view returns (DevToken, SequencerRegistry, Liveness) {
        return (token, registry, liveness);
    }

    function personAt(uint256 i) external view returns (address owner, Person memory person) {
        owner = ownerOf(i);
        person = _people[owner];
    }

    function jailings() external view returns (Jailing[] memory) {
        return _jailings;
    }

    /// Whether the rules let an owner be jailed that was away from `epoch` and the one before; notes it if so.
    function _jail(address owner, uint64 epoch) private returns (bool) {
        uint64 current = registry.epochOf(block.number);
        if (current != _jailingEpoch) (_jailingEpoch, _jailedWeight) = (current, 0);
        uint256 weight = weightOf(owner, epoch);
        if (_jailedWeight != 0 && 10 * (_jailedWeight + weight) > registry.totalWeight(epoch)) return false;
        (,, uint64 admission) = registry.memberAt(owner, _lastSettled);
        Person storage person = _people[owner];
        if (stageOf(owner) != Stage.Seated || admission != person.admission || _lastSettled < person.back) {
            return false;
        }
        _jailedWeight += weight;
        _jailings.push(Jailing(owner, current + 2, type(uint64).max));
        return true;
    }

    function _jailedNow() private view returns (bool[] memory jailed) {
        jailed = new bool[](PEOPLE);
        for (uint256 i = 0; i < PEOPLE; ++i) {
            jailed[i] = isJailed(ownerOf(i));
        }
    }

    function _numberOf(address owner) private pure returns (uint256 i) {
        while (ownerOf(i) != owner) ++i;
    }

    /// Who leaves from jail, or is ejected, is outside for that from then on.
    function _leaveJail(address owner) private {
        if (isJailed(owner)) _jailings[_lastJailingOf(owner)].to = registry.epochOf(block.number) + 2;
    }

    /// The first place where there is none.
    function _lastJailingOf(address owner) private returns (uint256 i) {
        if (_jailings.length == 0) _jailings.push(Jailing(address(0), 0, 0));
        i = _jailings.length - 1;
        while (i != 0 && _jailings[i].owner != owner) --i;
    }

    /// Commits to what `offend` sends, so that a part of the penalty is the teller's.
    function _tell(address owner, uint64 epoch) private {
        bytes memory sum = evidence(owner, epoch, notarize(1, keccak256("a")), notarize(1, keccak256("b")));
        bytes memory call = abi.encodeCall(
            slasher.submit, (owner, epoch, notarize(1, keccak256("a")), notarize(1, keccak256("b")), sum)
        );
        slasher.commit(keccak256(abi.encode(address(this), keccak256(call))));
        vm.roll(block.number + 1);
    }

    function _join(address owner, uint256 bond) private {
        uint64 admission = ++_people[owner].admission;
        _people[owner].bond = bond;
        registerWith(owner, bond, uint256(keccak256(abi.encode("secret", owner, admission))) % Bls.R);
        came += bond;
    }

    function _fund(uint256 amount) private {
        fundPool(amount);
        pool += amount;
        came += amount;
    }

    function _sum(uint64[] storage list) private view returns (uint256 sum) {
        for (uint256 i = 0; i < list.length; ++i) {
            sum += list[i];
        }
    }
}

contract LivenessInvariantsTest is InvariantTest {
    LivenessHandler private handler;

    function setUp() public override {
        handler = new LivenessHandler();
        handler.begin();
        (token, registry, liveness) = handler.contracts();
        _callOn(address(handler));
        // Mostly epochs that pass and are settled.
        for (uint256 i = 0; i < 4; ++i) {
            _call(LivenessHandler.pass.selector);
            _call(LivenessHandler.judge.selector);
        }
        _call(LivenessHandler.giveUp.selector);
        _call(LivenessHandler.comeBack.selector);
        _call(LivenessHandler.comeBack.selector);
        _call(LivenessHandler.offend.selector);
        _call(LivenessHandler.quit.selector);
        _call(LivenessHandler.takeOut.selector);
        _call(LivenessHandler.takeOut.selector);
        _call(LivenessHandler.joinAgain.selector);
        _call(LivenessHandler.add.selector);
        _call(LivenessHandler.takeReward.selector);
        _call(LivenessHandler.takeShare.selector);
        _call(LivenessHandler.burn.selector);
        _call(LivenessHandler.give.selector);
        _call(LivenessHandler.wait.selector);
    }

    function invariant_It_HoldsBondsPenaltiesPoolAndRewardsAndNothingElse() external view {
        uint256 locked = registry.burnable() + registry.claimable(address(handler));
        uint256 rewards = liveness.pool();
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            (address owner,) = handler.personAt(i);
            locked += registry.bondOf(owner);
            rewards += liveness.pending(owner);
        }
        assertEq(token.balanceOf(address(registry)), locked, "bonds, and what waits to be burned or claimed");
        assertEq(token.balanceOf(address(liveness)), rewards, "the pool, and what waits");
        assertEq(locked + rewards + handler.went(), handler.came(), "all that came");
    }

    function invariant_It_PaysEachWhatItLed() external view {
        assertEq(liveness.pool(), handler.pool(), "pool");
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            (address owner, LivenessHandler.Person memory person) = handler.personAt(i);
            assertEq(liveness.pending(owner), person.earned - person.claimed, "rewards");
        }
    }

    /// And pays a bond but for the base penalty, once in an admission, and the correlated loss.
    function invariant_It_JailsAndPunishesByTheRules() external view {
        assertEq(bytes(handler.fault()), "", handler.fault());
    }

    function invariant_It_NeverLetsASlashedBondGrow() external view {
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            (address owner, LivenessHandler.Person memory person) = handler.personAt(i);
            assertEq(registry.bondOf(owner), person.bond, "bond");
            assertTrue(registry.isPenalized(owner, person.admission) == person.penalized, "once in an admission");
        }
    }

    function invariant_It_GivesWhoIsJailedNoWeight() external view {
        for (uint256 i = 0; i < handler.PEOPLE(); ++i) {
            (address owner, LivenessHandler.Person memory person) = handler.personAt(i);
            (,, Stage stage,, uint64 weight,) = registry.sequencer(owner);
            assertEq(weight, stage == Stage.Seated ? person.bond / UNIT : 0, "by its latest state");
        }
        LivenessHandler.Jailing[] memory jailings = handler.jailings();
        uint64 latest = registry.epochOf(block.number) + 1;
        for (uint64 epoch = latest < 6 ? 2 : latest - 4; epoch <= latest; ++epoch) {
            for (uint256 i = 0; i < jailings.length; ++i) {
                if (epoch < jailings[i].from || epoch >= jailings[i].to) continue;
                assertEq(weightOf(jailings[i].owner, epoch), 0, "in jail");
            }
        }
    }
}
