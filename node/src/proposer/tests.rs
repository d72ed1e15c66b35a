//! Room for forced entries, and what they do to nonces.

use alloy_consensus::TxEip1559;
use alloy_primitives::{B256, Bytes};
use baton_mempool::{AccountFacts, PoolConfig};
use baton_proto::L1BlockNumber;

use super::*;
use crate::driver::testing::{L2, signed, spec};

/// Everybody's next nonce is 0.
struct Fresh;

impl Accounts for Fresh {
    fn account(&self, _: Address) -> Option<AccountFacts> {
        Some(AccountFacts::default())
    }
}

/// Always of the same account.
fn transfer(nonce: u64, gas_limit: u64) -> Transaction {
    signed(TxEip1559 {
        chain_id: L2.get(),
        nonce,
        gas_limit,
        max_fee_per_gas: 1_000_000_000,
        max_priority_fee_per_gas: 1,
        to: alloy_primitives::TxKind::Call(Address::repeat_byte(9)),
        ..Default::default()
    })
}

fn entry(data: Bytes) -> ForcedEntry {
    ForcedEntry::new(L1BlockNumber::new(1), Address::ZERO, 0, data)
}

fn built(spec: &ChainSpec, forced: Vec<ForcedEntry>, pooled: &[Transaction]) -> (BlockHeader, Block) {
    let origin = L1Origin { number: L1BlockNumber::new(1), hash: B256::ZERO };
    let parent =
        BlockHeader { forced_position: 7, forced_hash: B256::repeat_byte(7), ..BlockHeader::genesis(L2, origin, 1) };
    let mut pool = Pool::new(PoolConfig::of(spec));
    for transaction in pooled {
        pool.add(transaction.clone(), 1, &Fresh).unwrap();
    }
    let proposal = Proposal {
        spec,
        epoch: parent.epoch,
        view: View::new(1),
        parent: &parent,
        ahead: &Ahead::default(),
        recently_final: &|_| false,
        origin,
        base_fee: 0,
        forced,
        now: TimestampMs::new(9_000),
        proposer: MemberIndex::new(0),
        fee_recipient: Address::ZERO,
    };
    let block = build(&proposal, &Mutex::new(pool), &Fresh);
    (parent, block)
}

#[test]
fn forced_entries_stand_first_and_use_up_the_nonces_of_who_sent_them() {
    let spec = spec();
    let pooled = [transfer(0, 21_000), transfer(1, 21_000)];
    // The pool's transaction with nonce 0 would be skipped behind the forced one.
    let forced = vec![entry(Bytes::from_static(b"none")), entry(transfer(0, 22_000).raw().clone())];
    let (parent, block) = built(&spec, forced.clone(), &pooled);
    assert_eq!(block.forced.entries, forced);
    assert_eq!(block.transactions, pooled[1..]);
    assert_eq!(block.header.forced_position, 9);
    assert_eq!(Some(block.header.forced_hash), Forced::new(parent.forced_hash, forced).hash_after(7));
    assert!(PayloadCommitment::of(&block.forced, &block.transactions).matches(&block.header));

    let (parent, block) = built(&spec, vec![], &pooled);
    assert_eq!(block.transactions, pooled);
    assert_eq!((block.header.forced_position, block.header.forced_hash), (7, parent.forced_hash));
}

#[test]
fn transactions_have_the_room_that_forced_entries_leave() {
    let mut spec = ChainSpec { block_gas_limit: 64_000_000 + 21_000, ..spec() };
    let pooled = [transfer(0, 21_000), transfer(1, 21_000)];
    let forced = vec![entry(Bytes::from_static(b"none")); 16];
    let (_, block) = built(&spec, forced.clone(), &pooled);
    assert_eq!((block.transactions.len(), block.header.declared_gas), (1, 64_021_000));

    // A chain's own bound on bytes is one on what a leader chooses.
    spec.block_bytes_max = pooled[0].raw().len() as u64;
    spec.block_gas_limit = 120_000_000;
    let (_, block) = built(&spec, forced, &pooled);
    assert_eq!((block.transactions.len(), u64::from(block.header.payload_bytes)), (1, 16 * 4 + spec.block_bytes_max));
}
