//! The plan alone, answer by answer, with a clock of the test's own.

use std::time::Duration;

use baton_proto::{Block, Height};
use tokio::time::Instant;

use super::{Chain, EPOCHS, L2_CHAIN, child, genesis, peer, transaction, verifier};
use crate::{
    p2p::Reach,
    sync::{
        HELD_BYTES_MAX, ProvenRange,
        plan::{Answer, Ask, Plan, REFUSALS_MAX, REQUESTS_AT_ONCE},
        prove_range,
        range::ANSWER_MEMORY_MAX,
    },
};

/// [`REFUSALS_MAX`] as a count of questions.
pub(super) const REFUSALS: usize = REFUSALS_MAX as usize;

fn plan(target: u64) -> Plan {
    let mut plan = Plan::new((Height::ZERO, genesis().digest()));
    plan.raise_target(Height::new(target));
    plan
}

/// The first `members` peers, and as many `others` after them.
fn reach(members: u8, others: u8) -> Reach {
    let peers = |range: std::ops::Range<u8>| range.map(peer).collect();
    Reach { members: peers(0..members), others: peers(members..members + others), ..Reach::default() }
}

fn proven(chain: &Chain, ask: &Ask) -> Answer {
    let range = chain.range(ask.from.get(), ask.blocks_max).unwrap();
    Answer::Proven(Box::new(prove_range(range, ask.from, ask.blocks_max, &verifier(), EPOCHS).unwrap()))
}

#[test]
fn the_lowest_span_is_asked_for_a_second_time_when_it_is_slow() {
    let (chain, start) = (Chain::new(2_000), Instant::now());
    let members = reach(2, 0);
    let mut plan = plan(2_000);
    let slow = plan.next_ask(&members, start).unwrap();
    assert_eq!((slow.from, slow.blocks_max), (Height::new(1), 256));
    let second = plan.next_ask(&members, start).unwrap();
    assert_eq!((second.peer, second.from), (peer(1), Height::new(257)));
    plan.on_answer(&second, proven(&chain, &second), start);
    assert!(plan.take_next().is_none(), "nothing follows the head yet");

    let later = start + Duration::from_secs(2);
    let hedge = plan.next_ask(&members, later).unwrap();
    assert_eq!((hedge.peer, hedge.from), (peer(1), Height::new(1)), "the other member, the same span");
    plan.on_answer(&hedge, proven(&chain, &hedge), later);
    assert_eq!(plan.take_next().unwrap().last().0, Height::new(256));
    assert_eq!(plan.take_next().unwrap().last().0, Height::new(512));
    // The answer that was beaten changes nothing any more.
    plan.on_answer(&slow, proven(&chain, &slow), later);
    assert_eq!(plan.head().0, Height::new(512));
    assert!(!plan.has_next());
}

#[test]
fn what_nobody_has_is_asked_for_again_and_after_a_while_of_others() {
    let mut now = Instant::now();
    let mut plan = plan(100);
    let mut asked = 0;
    while !plan.is_deserted(&reach(1, 0)) {
        match plan.next_ask(&reach(1, 0), now) {
            Some(ask) => {
                plan.on_answer(&ask, Answer::Nothing, now);
                asked += 1;
            }
            None => now += Duration::from_millis(50),
        }
    }
    assert_eq!(asked, REFUSALS);
    assert_eq!(plan.next_ask(&reach(1, 0), now + Duration::from_secs(60)), None);
}

#[test]
fn nothing_is_asked_for_above_the_target_but_the_next_blocks() {
    let (chain, now) = (Chain::new(600), Instant::now());
    let members = reach(2, 0);
    let mut plan = plan(300);
    let first = plan.next_ask(&members, now).unwrap();
    let second = plan.next_ask(&members, now).unwrap();
    assert_eq!((second.from, second.blocks_max), (Height::new(257), 44));
    assert_eq!(plan.next_ask(&members, now), None);
    for ask in [first, second] {
        plan.on_answer(&ask, proven(&chain, &ask), now);
    }
    while plan.take_next().is_some() {}
    assert_eq!(plan.head().0, Height::new(300));
    // Beyond it only what follows the head is asked for, of one member, as nobody has shown that there is anything.
    let blind = plan.next_ask(&members, now).unwrap();
    assert_eq!((blind.from, blind.blocks_max), (Height::new(301), 256));
    assert_eq!(plan.next_ask(&members, now), None);
}

/// A range whose blocks are as heavy as one answer allows, without a signature for each.
fn heavy(template: &ProvenRange, ask: &Ask, heavy: &[Block]) -> Answer {
    let last = Height::new(ask.from.get() + ask.blocks_max as u64 - 1);
    Answer::Proven(Box::new(template.clone().with_blocks(heavy.to_vec(), last)))
}

#[test]
fn held_and_open_bytes_stay_within_their_bound_in_any_order_of_answers() {
    let chain = Chain::new(1);
    let first = Ask { peer: peer(0), from: Height::new(1), blocks_max: 1 };
    let Answer::Proven(template) = proven(&chain, &first) else { unreachable!() };
    // 24 transactions of 100 KB: 4.8 MB decoded, and more for some.
    let big = transaction(L2_CHAIN, 0, 100_000);
    let block = child(&genesis(), vec![big; 24]);
    for seed in 0..50_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        let members = reach(3, 0);
        let mut now = Instant::now();
        let mut plan = plan(256 * 300);
        let mut open: Vec<Ask> = Vec::new();
        let (mut fullest, mut taken) = (0, 0);
        for _ in 0..4_000 {
            while let Some(ask) = plan.next_ask(&members, now) {
                open.push(ask);
            }
            assert!(plan.open() <= REQUESTS_AT_ONCE, "seed {seed}");
            let bytes = plan.held() + plan.open() * ANSWER_MEMORY_MAX;
            assert!(bytes <= HELD_BYTES_MAX, "seed {seed}: {bytes} bytes");
            fullest = fullest.max(plan.held());
            match next(4) {
                // The lowest span is left for last most of the time, so that much is held.
                0..=2 if !open.is_empty() => {
                    let lowest = plan.head().0.next().unwrap();
                    let at = open.iter().position(|ask| ask.from != lowest || next(40) == 0);
                    let Some(at) = at else {
                        now += Duration::from_millis(100);
                        continue;
                    };
                    let ask = open.remove(at);
                    let answer = if next(8) == 0 {
                        Answer::Nothing
                    } else {
                        heavy(&template, &ask, &vec![block.clone(); 1 + next(4) as usize])
                    };
                    plan.on_answer(&ask, answer, now);
                }
                _ => now += Duration::from_millis(next(300)),
            }
            if next(3) == 0 && plan.take_next().is_some() {
                taken += 1;
            }
        }
        assert!(taken > 0, "seed {seed}: stuck");
        assert!(fullest > HELD_BYTES_MAX / 4, "seed {seed}: only {fullest} bytes were ever held");
    }
}

#[test]
fn strangers_are_asked_where_nobody_else_can_serve_and_not_where_all_are_busy() {
    let (chain, now) = (Chain::new(600), Instant::now());
    let near = Reach { configured: vec![peer(9)], ..reach(1, 1) };
    let mut plan = plan(2_000);
    // Two questions are enough for one member, and who says no is asked again in a moment.
    let first = plan.next_ask(&near, now).unwrap();
    let second = plan.next_ask(&near, now).unwrap();
    assert_eq!([first.peer, second.peer], [peer(0); 2]);
    assert_eq!(plan.next_ask(&near, now), None, "the only member is busy");
    plan.on_answer(&second, Answer::Nothing, now);
    assert_eq!(plan.next_ask(&near, now), None, "the only member rests");
    let later = now + Duration::from_secs(1);
    let again = plan.next_ask(&near, later).unwrap();
    assert_eq!((again.peer, again.from), (peer(0), Height::new(257)));
    // Slow for the lowest span, it leaves that to another as well: to whom the operator knows.
    let slow = now + Duration::from_secs(2);
    let hedge = plan.next_ask(&near, slow).unwrap();
    assert_eq!((hedge.peer, hedge.from), (peer(9), Height::new(1)));
    plan.on_answer(&hedge, proven(&chain, &hedge), slow);
    // It is late, and has a question open still: others need not wait for it.
    let known = plan.next_ask(&near, slow).unwrap();
    assert_eq!(known.peer, peer(9));
    plan.on_answer(&known, Answer::Nothing, slow);
    plan.on_answer(&first, Answer::Late, slow);
    plan.on_answer(&again, Answer::Lie, slow);
    let slow = slow + Duration::from_secs(1);
    let known = [(); 2].map(|()| plan.next_ask(&near, slow).unwrap());
    assert_eq!(known.map(|ask| ask.peer), [peer(9); 2]);
    assert_eq!(plan.next_ask(&near, slow), None, "nobody else is asked while one is left whom we know");
    plan.on_answer(&known[0], Answer::Lie, slow);
    let other = plan.next_ask(&near, slow).unwrap();
    assert_eq!((other.peer, other.from), (peer(1), Height::new(257)));
    plan.on_answer(&other, proven(&chain, &other), slow);
    assert!(plan.held() > 0, "what anybody proves is kept");
}

#[test]
fn nobody_is_given_up_while_one_is_left() {
    let mut plan = plan(600);
    // Nobody is given up while nobody is there, nor while one is left.
    assert!(!plan.is_deserted(&reach(0, 0)));
    plan.drop_peer(peer(0));
    assert!(plan.is_deserted(&reach(1, 0)) && !plan.is_deserted(&reach(1, 1)));
    plan.drop_peer(peer(1));
    assert!(plan.is_deserted(&reach(1, 1)));
}
