//! What a block may say of the forced queue.

use alloy_primitives::{Address, B256};
use baton_proto::{L1Origin, MemberIndex, PayloadCommitment, Transaction};

use super::*;
use crate::driver::testing::{L2, child, signed, spec, transaction, transfer};

fn entry(data: &[u8]) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::new(1), Address::ZERO, 0, data.to_vec().into())
}

fn parent() -> BlockHeader {
    let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
    let genesis = BlockHeader::genesis(L2, origin, 1);
    BlockHeader { forced_position: 7, forced_hash: B256::repeat_byte(7), ..genesis }
}

/// A block after [`parent`] that takes `entries` and commits to all it has.
fn taking(entries: Vec<ForcedEntry>, transactions: Vec<Transaction>) -> Block {
    let parent = parent();
    let forced = Forced::new(parent.forced_hash, entries);
    let commitment = PayloadCommitment::of(&forced, &transactions);
    let header = BlockHeader {
        forced_position: 7 + forced.len() as u64,
        forced_hash: forced.hash_after(7).unwrap_or(parent.forced_hash),
        payload_root: commitment.payload_root,
        transaction_count: commitment.transaction_count,
        payload_bytes: commitment.payload_bytes,
        declared_gas: commitment.declared_gas,
        proposer: MemberIndex::new(0),
        ..child(&parent, vec![]).header
    };
    Block { header, forced, transactions }
}

fn judged(block: &Block, due: Option<&[ForcedEntry]>) -> Judgement {
    let (spec, parent) = (spec(), parent());
    let context = Context {
        spec: &spec,
        parent: &parent,
        epoch: parent.epoch,
        now: block.header.timestamp_ms,
        origin: OriginSeen::NotYet,
        forced_due: due,
        in_ancestors: &HashSet::new(),
        recently_final: &|_| false,
    };
    judge(block, &context)
}

#[test]
fn a_block_takes_exactly_what_is_due() {
    let due = [entry(b"one"), entry(b"two")];
    assert_eq!(judged(&taking(due.to_vec(), vec![]), Some(&due)), Judgement::Valid);
    assert_eq!(judged(&taking(vec![], vec![]), Some(&[])), Judgement::Valid);

    let count = |got, due| Judgement::Invalid(Invalid::ForcedCount { got, from: 7, due });
    assert_eq!(judged(&taking(vec![], vec![]), Some(&due)), count(0, 2), "leaves both out");
    assert_eq!(judged(&taking(due[..1].to_vec(), vec![]), Some(&due)), count(1, 2), "leaves one out");
    assert_eq!(judged(&taking(due.to_vec(), vec![]), Some(&due[..1])), count(2, 1), "takes one too many");
    assert_eq!(judged(&taking(due.to_vec(), vec![]), Some(&[])), count(2, 0), "makes them up");
    let swapped = judged(&taking(vec![due[1].clone(), due[0].clone()], vec![]), Some(&due));
    assert_eq!(swapped, Judgement::Invalid(Invalid::ForcedEntry { position: 7 }));
    let other = judged(&taking(vec![due[0].clone(), entry(b"other")], vec![]), Some(&due));
    assert_eq!(other, Judgement::Invalid(Invalid::ForcedEntry { position: 8 }));

    type Change = fn(&mut Block);
    let changes: [(&str, Change); 3] = [
        ("forced position", |block| block.header.forced_position += 1),
        ("forced hash", |block| block.header.forced_hash = B256::ZERO),
        ("forced hash before", |block| block.forced.before = B256::ZERO),
    ];
    for (name, change) in changes {
        let mut block = taking(due.to_vec(), vec![]);
        change(&mut block);
        let judgement = judged(&block, Some(&due));
        assert!(
            matches!(judgement, Judgement::Invalid(Invalid::Field { field, .. }) if field == name),
            "{judgement:?}"
        );
    }
    let mut block = taking(vec![], vec![]);
    block.header.forced_hash = B256::ZERO;
    assert!(matches!(judged(&block, Some(&[])), Judgement::Invalid(Invalid::Field { field: "forced hash", .. })));
}

#[test]
fn what_is_due_is_waited_for_where_l1_was_not_read() {
    let block = taking(vec![entry(b"one")], vec![]);
    assert_eq!(judged(&block, None), Judgement::Wait(Wait::Origin(L1BlockNumber::new(1))));
    // A block that breaks another rule is invalid whatever the queue holds.
    let mut foreign = block;
    foreign.header.l2_chain_id = baton_proto::L2ChainId::new(1);
    assert!(matches!(judged(&foreign, None), Judgement::Invalid(Invalid::Field { field: "L2 chain id", .. })));
}

#[test]
fn forced_entries_are_exempt_from_the_rules_on_transactions() {
    let again = signed(alloy_consensus::TxEip1559 { chain_id: L2.get(), gas_limit: 21_000, ..Default::default() });
    let due = [
        entry(b"none"),
        entry(again.raw()),
        // Twice, of another chain, and with a nonce that is far ahead.
        entry(again.raw()),
        entry(transaction(1, 0, 0).raw()),
        entry(transfer(99, 0).raw()),
    ];
    // Nor does an entry keep a transaction out that somebody also sends as anybody does.
    assert_eq!(judged(&taking(due.to_vec(), vec![again]), Some(&due)), Judgement::Valid);
}
