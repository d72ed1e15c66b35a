//! Blocks, certificates and results.

use alloy_primitives::Bloom;
use baton_execution::SkipReason;
use baton_proto::Height;

use super::*;

on_every_ledger!(
    genesis_is_the_first_head_and_cannot_be_replaced,
    a_stored_block_is_found_by_digest_and_is_not_final,
    a_final_block_is_found_by_height_with_its_header,
    a_step_writes_head_results_index_and_nonces,
    a_repeated_step_changes_nothing,
    a_step_that_overlaps_the_head_goes_on_behind_it,
    a_gap_is_refused,
    a_step_that_does_not_hang_together_is_refused,
    another_block_at_a_final_height_is_broken_safety,
    a_block_that_does_not_build_on_the_head_is_broken_safety,
    bodies_that_lost_are_dropped,
    bodies_of_views_that_are_over_are_dropped_at_any_height,
    the_executed_inclusion_counts,
    the_first_skipped_inclusion_is_found_until_one_executes,
    certificates_of_a_view_come_best_first,
    contradicting_certificates_are_both_kept,
    recovery_starts_at_the_view_of_the_head,
    recovery_gives_the_headers_above_the_head,
    a_finalization_is_found_from_any_height_below,
    a_finalization_of_a_descendant_counts_once_its_block_is_final,
    a_finalization_that_is_stored_before_its_step_is_found,
);

fn genesis_is_the_first_head_and_cannot_be_replaced(fixture: &mut dyn Fixture) {
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&genesis()));
    fixture.ledger().init_genesis(&genesis().header).unwrap();
    fixture.reopen();
    let other = BlockHeader { timestamp_ms: TimestampMs::new(1), ..genesis().header };
    let error = fixture.ledger().init_genesis(&other).unwrap_err();
    assert!(matches!(error, LedgerError::OtherGenesis { stored, got }
        if stored == genesis().header.digest() && got == other.digest()));
    assert_eq!(fixture.ledger().block(Height::ZERO).unwrap(), Some(genesis()));
    assert_eq!(fixture.ledger().results(Height::ZERO).unwrap().unwrap().outcomes, []);
}

fn a_stored_block_is_found_by_digest_and_is_not_final(fixture: &mut dyn Fixture) {
    let block = child(&genesis(), 1, vec![transaction(1, 0)]);
    fixture.ledger().store_block(&block).unwrap();
    fixture.ledger().store_block(&block).unwrap();
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.block_by_digest(block.header.digest()).unwrap(), Some(block.clone()));
    assert_eq!(ledger.block(block.header.height).unwrap(), None);
    assert_eq!(ledger.header(block.header.height).unwrap(), None);
    assert_eq!(ledger.transaction(block.transactions[0].hash()).unwrap(), None);
    assert_eq!(ledger.head().unwrap(), head_of(&genesis()));
}

fn a_final_block_is_found_by_height_with_its_header(fixture: &mut dyn Fixture) {
    let block = child(&genesis(), 1, vec![transaction(1, 0), transaction(2, 0)]);
    make_final(fixture.ledger(), std::slice::from_ref(&block));
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.header(block.header.height).unwrap(), Some(block.header.clone()));
    assert_eq!(ledger.block(block.header.height).unwrap(), Some(block.clone()));
    assert_eq!(ledger.block_by_digest(block.header.digest()).unwrap(), Some(block));
    assert_eq!(ledger.block(Height::new(2)).unwrap(), None);
}

fn a_step_writes_head_results_index_and_nonces(fixture: &mut dyn Fixture) {
    let (a, b, late) = (transaction(1, 0), transaction(1, 1), transaction(2, 5));
    let first = child(&genesis(), 1, vec![a.clone()]);
    let second = child(&first, 2, vec![late.clone(), b.clone()]);
    make_final(fixture.ledger(), &[first, second.clone()]);
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.head().unwrap(), head_of(&second));
    let skipped = Outcome::Skipped(SkipReason::NonceTooHigh { got: 5, expected: 0 });
    let results = ledger.results(Height::new(2)).unwrap().unwrap();
    let expected = BlockResults {
        state_root: B256::ZERO,
        receipts_root: B256::ZERO,
        base_fee: 0,
        gas_used: 0,
        logs_bloom: Bloom::ZERO,
        outcomes: vec![skipped.clone(), Outcome::Executed],
    };
    assert_eq!(results, expected);
    assert_eq!(ledger.receipts(Height::new(2)).unwrap(), Some(Vec::new()));
    assert_eq!(ledger.receipts(Height::new(3)).unwrap(), None);
    let at = |block, index, outcome| Some(TransactionRecord { block: Height::new(block), index, outcome });
    assert_eq!(ledger.transaction(a.hash()).unwrap(), at(1, 0, Outcome::Executed));
    assert_eq!(ledger.transaction(b.hash()).unwrap(), at(2, 1, Outcome::Executed));
    assert_eq!(ledger.transaction(late.hash()).unwrap(), at(2, 0, skipped));
    assert_eq!(ledger.nonce(a.sender()).unwrap(), 2);
    assert_eq!(ledger.nonce(late.sender()).unwrap(), 0);
    assert_eq!(ledger.state().unwrap().account(a.sender()).unwrap().unwrap().nonce, 2);
}

fn a_repeated_step_changes_nothing(fixture: &mut dyn Fixture) {
    let tx = transaction(1, 0);
    let first = child(&genesis(), 1, vec![tx.clone()]);
    let blocks = [first.clone(), child(&first, 2, Vec::new())];
    let step = step(fixture.ledger(), &blocks, &blocks[1]);
    fixture.ledger().finalize(&step).unwrap();
    fixture.reopen();
    fixture.ledger().finalize(&step).unwrap();
    // Executed again the block's transactions would be replays; such results are passed over.
    make_final(fixture.ledger(), &blocks);
    assert_eq!(fixture.ledger().nonce(tx.sender()).unwrap(), 1);
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&blocks[1]));
    assert_eq!(fixture.ledger().results(Height::new(1)).unwrap().unwrap().outcomes, [Outcome::Executed]);
    assert_eq!(fixture.ledger().transaction(tx.hash()).unwrap().unwrap().outcome, Outcome::Executed);
}

fn a_step_that_overlaps_the_head_goes_on_behind_it(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 5);
    make_final(fixture.ledger(), &blocks[..3]);
    make_final(fixture.ledger(), &blocks[1..]);
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&blocks[4]));
    let stored: Vec<_> = (1..=5).map(|h| fixture.ledger().block(Height::new(h)).unwrap().unwrap()).collect();
    assert_eq!(digests(&stored), digests(&blocks));
}

fn a_gap_is_refused(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 3);
    let ledger = fixture.ledger();
    let error = ledger.finalize(&step(ledger, &blocks[1..], &blocks[2])).unwrap_err();
    assert!(
        matches!(error, LedgerError::Gap { head, got } if head == Height::ZERO && got == Height::new(2)),
        "{error}"
    );
    assert!(!error.is_safety_broken());
    assert_eq!(ledger.head().unwrap(), head_of(&genesis()));
    assert_eq!(ledger.block_by_digest(blocks[2].header.digest()).unwrap(), None);
    let holed = [blocks[0].clone(), blocks[2].clone()];
    let error = ledger.finalize(&step(ledger, &holed, &blocks[2])).unwrap_err();
    assert!(
        matches!(error, LedgerError::Gap { head, got } if head == Height::new(1) && got == Height::new(3)),
        "{error}"
    );
}

fn a_step_that_does_not_hang_together_is_refused(fixture: &mut dyn Fixture) {
    let ledger = fixture.ledger();
    let (a, b) = (chain_on(&genesis(), 1, 2), chain_on(&genesis(), 10, 2));
    let mixed = [a[0].clone(), b[1].clone()];
    let error = ledger.finalize(&step(ledger, &mixed, &mixed[1])).unwrap_err();
    assert!(matches!(error, LedgerError::Unlinked { height, .. } if height == Height::new(2)), "{error}");

    let whole = step(ledger, &a, &a[1]);
    let error = ledger.finalize(&FinalStep { certificate: notarization(&a[1]), ..whole.clone() }).unwrap_err();
    assert!(matches!(error, LedgerError::NotAFinalization), "{error}");
    let error = ledger.finalize(&FinalStep { results: whole.results[..1].to_vec(), ..whole.clone() }).unwrap_err();
    assert!(matches!(error, LedgerError::ResultCount { blocks: 2, results: 1 }), "{error}");
    let mut more = whole.clone();
    more.results[1].outcomes.push(Outcome::Executed);
    let error = ledger.finalize(&more).unwrap_err();
    assert!(matches!(error, LedgerError::OutcomeCount { transactions: 0, outcomes: 1, .. }), "{error}");
    let mut swapped = whole.clone();
    swapped.results.swap(0, 1);
    let error = ledger.finalize(&swapped).unwrap_err();
    assert!(matches!(error, LedgerError::OtherState { height } if height == Height::new(1)), "{error}");
    assert_eq!(ledger.head().unwrap(), head_of(&genesis()));
    ledger.finalize(&whole).unwrap();
}

fn another_block_at_a_final_height_is_broken_safety(fixture: &mut dyn Fixture) {
    let (ours, theirs) = (chain_on(&genesis(), 1, 3), chain_on(&genesis(), 10, 4));
    make_final(fixture.ledger(), &ours);
    fixture.reopen();
    let ledger = fixture.ledger();
    let error = ledger.finalize(&step(ledger, &theirs, &theirs[3])).unwrap_err();
    assert!(error.is_safety_broken());
    assert!(matches!(error, LedgerError::SafetyBroken { height, stored, got }
        if height == Height::new(1) && stored == ours[0].header.digest() && got == theirs[0].header.digest()));
    assert_eq!(ledger.head().unwrap(), head_of(&ours[2]));
    assert_eq!(ledger.block(Height::new(1)).unwrap().unwrap(), ours[0]);
}

fn a_block_that_does_not_build_on_the_head_is_broken_safety(fixture: &mut dyn Fixture) {
    let (ours, theirs) = (chain_on(&genesis(), 1, 2), chain_on(&genesis(), 10, 3));
    make_final(fixture.ledger(), &ours);
    let ledger = fixture.ledger();
    let error = ledger.finalize(&step(ledger, &theirs[2..], &theirs[2])).unwrap_err();
    assert!(matches!(error, LedgerError::SafetyBroken { height, stored, got }
        if height == Height::new(2) && stored == ours[1].header.digest() && got == theirs[1].header.digest()));
}

fn bodies_that_lost_are_dropped(fixture: &mut dyn Fixture) {
    let winners = chain_on(&genesis(), 1, 2);
    let loser = child(&genesis(), 7, Vec::new());
    let ahead = child(&winners[1], 9, Vec::new());
    fixture.ledger().persist(&[winners[0].clone(), loser.clone(), ahead.clone()], &[]).unwrap();
    make_final(fixture.ledger(), &winners);
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.block_by_digest(loser.header.digest()).unwrap(), None);
    assert_eq!(ledger.block_by_digest(ahead.header.digest()).unwrap(), Some(ahead.clone()));
    assert_eq!(ledger.block(Height::new(1)).unwrap().as_ref(), Some(&winners[0]));
    // One that comes late is gone some steps later.
    ledger.store_block(&loser).unwrap();
    make_final(ledger, std::slice::from_ref(&ahead));
    for block in chain_on(&ahead, 10, 64) {
        make_final(ledger, &[block]);
    }
    assert_eq!(ledger.block_by_digest(loser.header.digest()).unwrap(), None);
}

fn bodies_of_views_that_are_over_are_dropped_at_any_height(fixture: &mut dyn Fixture) {
    let made_up = |epoch, view, height| {
        let mut block = child(&genesis(), view, Vec::new());
        (block.header.epoch, block.header.height) = (epoch, Height::new(height));
        block
    };
    let epoch = genesis().header.epoch;
    let over = [made_up(epoch, 2, 3), made_up(epoch, 3, u64::MAX), made_up(epoch, 1, 500)];
    let ahead = [made_up(epoch, 4, 1_000), made_up(epoch.next().unwrap(), 1, 4)];
    let final_blocks = chain_on(&genesis(), 2, 3);
    fixture.ledger().persist(&over, &[]).unwrap();
    fixture.ledger().persist(&ahead, &[]).unwrap();
    make_final(fixture.ledger(), &final_blocks[..2]);
    fixture.reopen();
    let stored = |ledger: &dyn Ledger, block: &Block| ledger.block_by_digest(block.header.digest()).unwrap().is_some();
    assert!(!over.iter().any(|block| stored(fixture.ledger(), block)));
    assert!(ahead.iter().all(|block| stored(fixture.ledger(), block)));
    assert_eq!(fixture.ledger().unfinal_headers().unwrap().len(), 2);
    // Its view comes, and is another block's.
    make_final(fixture.ledger(), &final_blocks[2..]);
    assert!(!stored(fixture.ledger(), &ahead[0]) && stored(fixture.ledger(), &ahead[1]));
    assert_eq!(fixture.ledger().head().unwrap(), head_of(&final_blocks[2]));
}

fn the_executed_inclusion_counts(fixture: &mut dyn Fixture) {
    let tx = transaction(1, 0);
    let first = child(&genesis(), 1, vec![tx.clone()]);
    let second = child(&first, 2, vec![tx.clone()]);
    make_final(fixture.ledger(), &[first, second]);
    fixture.reopen();
    let ledger = fixture.ledger();
    let executed = TransactionRecord { block: Height::new(1), index: 0, outcome: Outcome::Executed };
    assert_eq!(ledger.transaction(tx.hash()).unwrap(), Some(executed));
    assert_eq!(
        ledger.results(Height::new(2)).unwrap().unwrap().outcomes,
        [Outcome::Skipped(SkipReason::NonceTooLow { got: 0, expected: 1 })]
    );
}

fn the_first_skipped_inclusion_is_found_until_one_executes(fixture: &mut dyn Fixture) {
    let (zero, one) = (transaction(1, 0), transaction(1, 1));
    let outcome = Outcome::Skipped(SkipReason::NonceTooHigh { got: 1, expected: 0 });
    let skipped = |block| TransactionRecord { block: Height::new(block), index: 0, outcome: outcome.clone() };
    let first = child(&genesis(), 1, vec![one.clone()]);
    let second = child(&first, 2, vec![one.clone()]);
    make_final(fixture.ledger(), std::slice::from_ref(&first));
    make_final(fixture.ledger(), std::slice::from_ref(&second));
    assert_eq!(fixture.ledger().transaction(one.hash()).unwrap(), Some(skipped(1)));
    fixture.reopen();
    let third = child(&second, 3, vec![zero, one.clone()]);
    make_final(fixture.ledger(), &[third]);
    let executed = TransactionRecord { block: Height::new(3), index: 1, outcome: Outcome::Executed };
    assert_eq!(fixture.ledger().transaction(one.hash()).unwrap(), Some(executed));
}

fn certificates_of_a_view_come_best_first(fixture: &mut dyn Fixture) {
    let block = child(&genesis(), 4, Vec::new());
    let all = [finalization(&block), notarization(&block), nullification(4)];
    for certificate in [&all[2], &all[0], &all[1]] {
        fixture.ledger().store_certificate(certificate).unwrap();
    }
    fixture.ledger().store_certificate(&nullification(5)).unwrap();
    fixture.reopen();
    let ledger = fixture.ledger();
    assert_eq!(ledger.certificates_of(EPOCH, View::new(4)).unwrap(), all);
    assert_eq!(ledger.certificate(EPOCH, View::new(4)).unwrap().as_ref(), Some(&all[0]));
    assert_eq!(ledger.certificate(EPOCH, View::new(5)).unwrap(), Some(nullification(5)));
    assert_eq!(ledger.certificate(EPOCH, View::new(3)).unwrap(), None);
    assert_eq!(ledger.certificate(Epoch::new(3), View::new(4)).unwrap(), None);
}

fn contradicting_certificates_are_both_kept(fixture: &mut dyn Fixture) {
    let (a, b) = (child(&genesis(), 4, Vec::new()), child(&genesis(), 4, vec![transaction(1, 0)]));
    fixture.ledger().persist(&[], &[notarization(&a), notarization(&b)]).unwrap();
    fixture.reopen();
    let stored = fixture.ledger().certificates_of(EPOCH, View::new(4)).unwrap();
    assert!(stored.contains(&notarization(&a)) && stored.contains(&notarization(&b)));
}

fn recovery_starts_at_the_view_of_the_head(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 3);
    for block in &blocks {
        fixture.ledger().store_certificate(&notarization(block)).unwrap();
    }
    make_final(fixture.ledger(), &blocks[..2]);
    fixture.ledger().persist(&[], &[nullification(4), nullification(1)]).unwrap();
    fixture.reopen();
    let ledger = fixture.ledger();
    let expected = [finalization(&blocks[1]), notarization(&blocks[1]), notarization(&blocks[2]), nullification(4)];
    assert_eq!(ledger.certificates(EPOCH).unwrap(), expected);
    assert_eq!(ledger.certificates(Epoch::new(3)).unwrap(), []);
}

fn recovery_gives_the_headers_above_the_head(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 4);
    let other = child(&blocks[1], 30, Vec::new());
    fixture.ledger().persist(&[blocks[3].clone(), other.clone(), blocks[2].clone(), blocks[0].clone()], &[]).unwrap();
    make_final(fixture.ledger(), &blocks[..2]);
    fixture.reopen();
    let headers = fixture.ledger().unfinal_headers().unwrap();
    assert_eq!(headers.iter().map(|header| header.height.get()).collect::<Vec<_>>(), [3, 3, 4]);
    for block in [&blocks[2], &blocks[3], &other] {
        assert!(headers.contains(&block.header));
    }
}

fn a_finalization_is_found_from_any_height_below(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 6);
    make_final(fixture.ledger(), &blocks[..2]);
    make_final(fixture.ledger(), &blocks[2..5]);
    fixture.reopen();
    let ledger = fixture.ledger();
    let from = |height| ledger.finalization_from(Height::new(height)).unwrap();
    assert_eq!(from(0), Some((Height::new(2), finalization(&blocks[1]))));
    assert_eq!(from(2), Some((Height::new(2), finalization(&blocks[1]))));
    assert_eq!(from(3), Some((Height::new(5), finalization(&blocks[4]))));
    assert_eq!(from(6), None);
    // A finalization that arrives after its block became final through a descendant is indexed too.
    ledger.store_certificate(&finalization(&blocks[3])).unwrap();
    assert_eq!(from(3), Some((Height::new(4), finalization(&blocks[3]))));
}

fn a_finalization_of_a_descendant_counts_once_its_block_is_final(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 4);
    let ledger = fixture.ledger();
    ledger.finalize(&step(ledger, &blocks[..2], &blocks[3])).unwrap();
    assert_eq!(ledger.finalization_from(Height::new(1)).unwrap(), None);
    fixture.reopen();
    make_final(fixture.ledger(), &blocks[2..3]);
    // The certificate of this step is stored already, and still is the one of its block.
    make_final(fixture.ledger(), &blocks[3..]);
    assert_eq!(
        fixture.ledger().finalization_from(Height::new(4)).unwrap(),
        Some((Height::new(4), finalization(&blocks[3])))
    );
}

fn a_finalization_that_is_stored_before_its_step_is_found(fixture: &mut dyn Fixture) {
    let blocks = chain_on(&genesis(), 1, 3);
    fixture.ledger().persist(&blocks, &[finalization(&blocks[1])]).unwrap();
    fixture.reopen();
    // Final through a descendant, and with a finalization of its own.
    make_final(fixture.ledger(), &blocks);
    let ledger = fixture.ledger();
    let from = |height| ledger.finalization_from(Height::new(height)).unwrap();
    assert_eq!(from(1), Some((Height::new(2), finalization(&blocks[1]))));
    assert_eq!(from(3), Some((Height::new(3), finalization(&blocks[2]))));
}
