//! Batches, intents, evidence and what was read from L1.

use alloy_primitives::{Bytes, TxHash};
use baton_proto::{
    Attestation, BatchHash, BatchHeader, BatchIndex, BlsPublicKey, DataKind, Evidence, ForcedEntry, Height,
    MemberIndex, SignedStatement,
};

use super::*;

on_every_ledger!(
    a_batch_keeps_its_data_while_its_record_moves_on,
    another_batch_takes_the_place_and_drops_the_data,
    the_last_batch_is_the_highest,
    what_a_key_attested_of_a_batch_is_kept_in_order_and_within_its_bound,
    attestations_are_forgotten_with_their_batches_and_nothing_else_is,
    intents_are_kept_by_account_and_nonce_until_removed,
    evidence_is_kept_once_per_member_view_and_offence,
    l1_facts_are_opaque_and_replaced_whole,
    forced_entries_come_with_how_far_they_were_read,
);

fn forced_entries_come_with_how_far_they_were_read(fixture: &mut dyn Fixture) {
    assert_eq!((fixture.ledger().forced_cursor().unwrap(), fixture.ledger().forced_entry(0).unwrap()), (None, None));
    let entry = |n: u8| {
        ForcedEntry::new(
            L1BlockNumber::new(100 + u64::from(n)),
            Address::repeat_byte(n),
            n,
            vec![n; usize::from(n)].into(),
        )
    };
    let cursor =
        |length: u64| ForcedCursor { read_to: L1BlockNumber::new(200 + length), length, hash: B256::with_last_byte(7) };
    fixture.ledger().put_forced(&[entry(1), entry(2)], &cursor(2)).unwrap();
    fixture.ledger().put_forced(&[entry(3)], &cursor(3)).unwrap();
    fixture.ledger().put_forced(&[], &ForcedCursor { read_to: L1BlockNumber::new(300), ..cursor(3) }).unwrap();
    // Beside facts, whatever their names are.
    fixture.ledger().put_l1_fact("", b"nothing").unwrap();
    fixture.reopen();
    let stored = fixture.ledger().forced_cursor().unwrap().unwrap();
    assert_eq!(stored, ForcedCursor { read_to: L1BlockNumber::new(300), ..cursor(3) });
    let entries: Vec<_> = (0..4).map(|position| fixture.ledger().forced_entry(position).unwrap()).collect();
    assert_eq!(entries, [Some(entry(1)), Some(entry(2)), Some(entry(3)), None]);
}

fn batch(index: u64, data: &[u8]) -> BatchRecord {
    let origin = L1Origin { number: L1BlockNumber::new(100), hash: B256::repeat_byte(1) };
    let header = BatchHeader {
        index: BatchIndex::new(index),
        prev_batch_hash: BatchHash::new(B256::repeat_byte(2)),
        epoch: EPOCH,
        first_height: Height::new(1),
        last_height: Height::new(9),
        last_digest: BlockDigest::new(B256::repeat_byte(3)),
        last_origin: origin,
        state_root: B256::ZERO,
        forced_position: 0,
        forced_hash: B256::ZERO,
        data_kind: DataKind::Calldata,
        data_hash: alloy_primitives::keccak256(data),
        duties_root: B256::repeat_byte(4),
    };
    BatchRecord { header, data: Bytes::copy_from_slice(data), certificate: None, l1: BatchOnL1::Unposted }
}

fn a_batch_keeps_its_data_while_its_record_moves_on(fixture: &mut dyn Fixture) {
    let mut record = batch(0, b"columns");
    fixture.ledger().put_batch(&record).unwrap();
    assert_eq!(fixture.ledger().batch(BatchIndex::ZERO).unwrap().as_ref(), Some(&record));
    record.certificate = Some(nullification(1));
    let (tx, block) = (TxHash::repeat_byte(5), L1BlockNumber::new(120));
    for l1 in [BatchOnL1::Posted { tx, block }, BatchOnL1::Settled { tx, block }] {
        record.l1 = l1;
        fixture.ledger().put_batch(&record).unwrap();
        fixture.reopen();
        assert_eq!(fixture.ledger().batch(BatchIndex::ZERO).unwrap().as_ref(), Some(&record));
    }
    fixture.ledger().put_batch(&BatchRecord { data: Bytes::new(), ..record.clone() }).unwrap();
    assert_eq!(fixture.ledger().batch(BatchIndex::ZERO).unwrap(), Some(record));
}

fn another_batch_takes_the_place_and_drops_the_data(fixture: &mut dyn Fixture) {
    fixture.ledger().put_batch(&batch(3, b"mine")).unwrap();
    let theirs = BatchRecord { data: Bytes::new(), ..batch(3, b"theirs") };
    fixture.ledger().put_batch(&theirs).unwrap();
    assert_eq!(fixture.ledger().batch(BatchIndex::new(3)).unwrap(), Some(theirs));
    fixture.ledger().put_batch(&batch(3, b"theirs")).unwrap();
    fixture.reopen();
    assert_eq!(fixture.ledger().batch(BatchIndex::new(3)).unwrap(), Some(batch(3, b"theirs")));
}

fn attested(index: u64, committee: u64, block: u16) -> SignedStatement {
    let statement = Statement::Attest(Attestation {
        committee_epoch: Epoch::new(committee),
        batch_index: BatchIndex::new(index),
        prev_batch_hash: BatchHash::ZERO,
        header_hash: BatchHash::ZERO,
        last_height: Height::new(9),
        last_digest: BlockDigest::new(B256::left_padding_from(&block.to_be_bytes())),
        state_root: B256::ZERO,
    });
    SignedStatement { statement, signer: MemberIndex::new(3), signature: BlsSignature::new([1; 48]) }
}

fn what_a_key_attested_of_a_batch_is_kept_in_order_and_within_its_bound(fixture: &mut dyn Fixture) {
    let (mine, others) = (BlsPublicKey::new([1; BlsPublicKey::LENGTH]), BlsPublicKey::new([2; BlsPublicKey::LENGTH]));
    let said: Vec<SignedStatement> = (0..).map(|n| attested(5, u64::from(n % 2), n)).take(ATTESTED_MAX + 1).collect();
    // Again says nothing new.
    for signed in said[..1].iter().chain(&said) {
        fixture.ledger().keep_attestation(&mine, signed).unwrap();
    }
    // On another batch before it there is room again.
    let Statement::Attest(mut elsewhere) = said[0].statement else { panic!() };
    elsewhere.prev_batch_hash = BatchHash::new(B256::repeat_byte(7));
    let elsewhere = SignedStatement { statement: Statement::Attest(elsewhere), ..said[0].clone() };
    fixture.ledger().keep_attestation(&mine, &elsewhere).unwrap();
    fixture.ledger().keep_attestation(&others, &said[0]).unwrap();
    // For another committee it says the same.
    fixture.ledger().keep_attestation(&others, &attested(5, 7, 0)).unwrap();
    fixture.ledger().keep_attestation(&mine, &attested(6, 2, 1)).unwrap();
    let vote = Statement::Nullify { epoch: EPOCH, view: View::new(1) };
    fixture.ledger().keep_attestation(&mine, &SignedStatement { statement: vote, ..said[0].clone() }).unwrap();
    fixture.reopen();
    let kept = |index, key| fixture.ledger().attestations(BatchIndex::new(index), key).unwrap();
    assert_eq!(kept(5, &mine), [&said[..ATTESTED_MAX], &[elsewhere]].concat());
    assert_eq!((kept(5, &others), kept(6, &mine)), (vec![said[0].clone()], vec![attested(6, 2, 1)]));
    assert!(kept(0, &mine).is_empty() && kept(6, &others).is_empty());
}

fn attestations_are_forgotten_with_their_batches_and_nothing_else_is(fixture: &mut dyn Fixture) {
    let key = BlsPublicKey::new([1; BlsPublicKey::LENGTH]);
    for index in 3..6 {
        fixture.ledger().keep_attestation(&key, &attested(index, 2, 1)).unwrap();
        fixture.ledger().put_batch(&batch(index, b"data")).unwrap();
    }
    fixture.ledger().forget_attestations(BatchIndex::new(5)).unwrap();
    fixture.reopen();
    let kept = |index| fixture.ledger().attestations(BatchIndex::new(index), &key).unwrap().len();
    assert_eq!([kept(3), kept(4), kept(5)], [0, 0, 1]);
    for index in 3..6 {
        assert_eq!(fixture.ledger().batch(BatchIndex::new(index)).unwrap(), Some(batch(index, b"data")));
    }
}

fn the_last_batch_is_the_highest(fixture: &mut dyn Fixture) {
    assert_eq!(fixture.ledger().last_batch().unwrap(), None);
    for index in [256, 2, 255] {
        fixture.ledger().put_batch(&batch(index, b"data")).unwrap();
    }
    fixture.reopen();
    assert_eq!(fixture.ledger().last_batch().unwrap(), Some(batch(256, b"data")));
    assert_eq!(fixture.ledger().batch(BatchIndex::new(3)).unwrap(), None);
}

fn intents_are_kept_by_account_and_nonce_until_removed(fixture: &mut dyn Fixture) {
    let intent = |account: u8, nonce| PostIntent {
        account: Address::repeat_byte(account),
        nonce,
        payload_digest: B256::repeat_byte(6),
        raw: Bytes::from_static(&[2, 0xf8]),
        hashes: vec![TxHash::repeat_byte(7)],
        max_fee_wei: u128::MAX,
        priority_fee_wei: 1_000_000_000,
        state: IntentState::Fresh,
    };
    for (account, nonce) in [(0xff, 0), (1, 256), (1, 7)] {
        fixture.ledger().put_intent(&intent(account, nonce)).unwrap();
    }
    let sent = PostIntent {
        hashes: vec![TxHash::repeat_byte(7), TxHash::repeat_byte(8)],
        state: IntentState::Sent,
        ..intent(1, 7)
    };
    fixture.ledger().put_intent(&sent).unwrap();
    fixture.reopen();
    assert_eq!(fixture.ledger().intents().unwrap(), [sent, intent(1, 256), intent(0xff, 0)]);
    fixture.ledger().remove_intent(Address::repeat_byte(1), 7).unwrap();
    fixture.ledger().remove_intent(Address::repeat_byte(1), 8).unwrap();
    fixture.reopen();
    assert_eq!(fixture.ledger().intents().unwrap(), [intent(1, 256), intent(0xff, 0)]);
}

fn evidence_is_kept_once_per_member_view_and_offence(fixture: &mut dyn Fixture) {
    let signed = |signer, statement| SignedStatement {
        statement,
        signer: MemberIndex::new(signer),
        signature: BlsSignature::new([1; 48]),
    };
    let notarize = |view, block| Statement::Notarize {
        epoch: EPOCH,
        view: View::new(view),
        block: BlockDigest::new(B256::repeat_byte(block)),
    };
    let pair = |signer, view, second| EvidenceRecord {
        evidence: Evidence::new(signed(signer, notarize(view, 1)), signed(signer, notarize(view, second))).unwrap(),
        l1: EvidenceOnL1::Open,
    };
    for record in [pair(3, 9, 2), pair(1, 9, 2), pair(3, 8, 2)] {
        fixture.ledger().put_evidence(&record).unwrap();
    }
    let charged = EvidenceRecord { l1: EvidenceOnL1::Charged { block: L1BlockNumber::new(5) }, ..pair(1, 9, 3) };
    fixture.ledger().put_evidence(&charged).unwrap();
    fixture.reopen();
    assert_eq!(fixture.ledger().evidence().unwrap(), [pair(3, 8, 2), charged, pair(3, 9, 2)]);
}

fn l1_facts_are_opaque_and_replaced_whole(fixture: &mut dyn Fixture) {
    assert_eq!(fixture.ledger().l1_fact("chain").unwrap(), None);
    fixture.ledger().put_l1_fact("chain", b"{\"epoch\":2}").unwrap();
    fixture.ledger().put_l1_fact("chain", &[0xff, 0]).unwrap();
    fixture.ledger().put_l1_fact("chains", b"").unwrap();
    fixture.reopen();
    assert_eq!(fixture.ledger().l1_fact("chain").unwrap(), Some(vec![0xff, 0]));
    assert_eq!(fixture.ledger().l1_fact("chains").unwrap(), Some(Vec::new()));
}
