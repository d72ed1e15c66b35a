//! States change by whole blocks, in order.

use baton_proto::Height;

use super::*;

fn block(height: u64, before: Option<Head>) -> ChangeSet {
    let digest = BlockDigest::new(B256::with_last_byte(height as u8));
    let after = Head { height: Height::new(height), digest, base_fee: 1, gas_used: 0, state_root: EMPTY_ROOT_HASH };
    ChangeSet { head: Change { before, after: Some(after) }, ..ChangeSet::default() }
}

/// A chain of `blocks` blocks after the genesis, and its last change set.
fn chain(blocks: u64) -> (MemoryState, ChangeSet) {
    let mut state = MemoryState::default();
    let mut last = ChangeSet::default();
    for height in 0..=blocks {
        last = block(height, state.head().unwrap());
        state.apply(&last).unwrap();
    }
    (state, last)
}

#[test]
fn a_block_is_applied_once_and_in_order() {
    let (mut state, last) = chain(2);
    let before = state.clone();
    assert!(state.apply(&last).is_err(), "applied already");
    assert!(state.apply(&block(1, None)).is_err(), "starts before the genesis");
    assert!(Overlay::new(&state).absorb(&last).is_err());
    assert_eq!(state, before);
    state.apply(&last.reversed()).unwrap();
    assert_eq!(state, chain(1).0);
}

#[test]
fn digests_are_kept_for_as_long_as_they_are_asked_for() {
    let (mut state, last) = chain(300);
    let known = |state: &dyn EvmState, height| state.block_digest(Height::new(height)).unwrap().is_some();
    assert!(known(&state, 300) && known(&state, 300 - BLOCK_HASHES));
    assert!(!known(&state, 299 - BLOCK_HASHES) && !known(&state, 301));
    state.apply(&last.reversed()).unwrap();
    assert!(!known(&state, 300) && known(&state, 299));

    let mut overlay = Overlay::new(&state);
    overlay.absorb(&block(300, state.head().unwrap())).unwrap();
    assert!(known(&overlay, 300) && known(&overlay, 299));
}

#[test]
fn an_overlay_hides_what_changes_and_shows_the_rest() {
    let (state, _) = chain(0);
    let (one, two) = (Address::repeat_byte(1), Address::repeat_byte(2));
    let account = |nonce| Some(Account { nonce, ..Account::default() });
    let mut store = state.clone();
    let mut changes = block(1, state.head().unwrap());
    changes.accounts.insert(one, Change { before: None, after: account(1) });
    changes.accounts.insert(two, Change { before: None, after: account(2) });
    changes.storage.insert((two, U256::from(5)), Change { before: U256::ZERO, after: U256::from(6) });
    changes.code.insert(KECCAK256_EMPTY, Bytes::from_static(b"code"));
    store.apply(&changes).unwrap();

    let mut more = block(2, store.head().unwrap());
    more.accounts.insert(two, Change { before: account(2), after: None });
    more.storage.insert((two, U256::from(5)), Change { before: U256::from(6), after: U256::ZERO });
    let base = store.clone();
    let mut overlay = Overlay::new(&base);
    overlay.absorb(&more).unwrap();
    store.apply(&more).unwrap();
    for state in [&overlay as &dyn EvmState, &store] {
        assert_eq!(state.head().unwrap().unwrap().height, Height::new(2));
        assert_eq!((state.account(one).unwrap(), state.account(two).unwrap()), (account(1), None));
        assert_eq!(state.storage(two, U256::from(5)).unwrap(), U256::ZERO);
        assert_eq!(state.code(KECCAK256_EMPTY).unwrap().unwrap(), Bytes::from_static(b"code"));
    }
}
