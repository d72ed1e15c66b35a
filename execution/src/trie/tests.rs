//! Tries against the ones that `alloy-trie` builds from nothing.

use alloy_trie::{
    HashBuilder,
    proof::verify_proof,
    root::{state_root_unhashed, storage_root_unhashed},
};
use baton_proto::{BlockDigest, Height};
use proptest::prelude::*;

use super::*;
use crate::state::{ChangeSet, EvmStore, Head, MemoryState, Overlay};

/// What a state holds, in the plainest form.
type Plain = BTreeMap<Address, (u64, BTreeMap<U256, U256>)>;

/// One block: the balance of an account, or none to remove it, and slots of it.
type Edits = Vec<(u8, Option<u64>, Vec<(u8, u8)>)>;

fn address(of: u8) -> Address {
    Address::repeat_byte(of)
}

/// Applies `edits` to `plain`, and to `state` by the tries.
fn apply(edits: &Edits, plain: &mut Plain, state: &mut MemoryState) -> ChangeSet {
    let before = state.head().unwrap();
    let mut accounts: BTreeMap<Address, Change<Option<Account>>> = BTreeMap::new();
    let mut storage: BTreeMap<(Address, U256), Change<U256>> = BTreeMap::new();
    let old = plain.clone();
    for (of, balance, slots) in edits {
        let address = address(*of);
        match balance {
            None => drop(plain.remove(&address)),
            Some(balance) => {
                let (held, storage) = plain.entry(address).or_default();
                *held = *balance;
                for (slot, value) in slots {
                    storage.insert(U256::from(*slot), U256::from(*value));
                }
                storage.retain(|_, value| !value.is_zero());
            }
        }
    }
    for (of, ..) in edits {
        let address = address(*of);
        let none = BTreeMap::new();
        let (was, is) = (old.get(&address), plain.get(&address));
        let (slots_before, slots_after) = (was.map_or(&none, |was| &was.1), is.map_or(&none, |is| &is.1));
        for slot in slots_before.keys().chain(slots_after.keys()) {
            let value = |slots: &BTreeMap<U256, U256>| slots.get(slot).copied().unwrap_or_default();
            let change = Change { before: value(slots_before), after: value(slots_after) };
            if change.before != change.after {
                storage.insert((address, *slot), change);
            }
        }
        let before = state.account(address).unwrap();
        let after = is.map(|(balance, _)| Account {
            balance: U256::from(*balance),
            storage_root: before.map_or(EMPTY_ROOT_HASH, |account| account.storage_root),
            ..Account::default()
        });
        if before != after {
            accounts.insert(address, Change { before, after });
        }
    }
    let root = before.map_or(EMPTY_ROOT_HASH, |head| head.state_root);
    let (state_root, nodes) = update(state, root, &mut accounts, &storage).unwrap();
    let height = before.map_or(Height::ZERO, |head| head.height.next().unwrap());
    let digest = BlockDigest::new(B256::with_last_byte(height.get() as u8));
    let after = Head { height, digest, base_fee: 1, gas_used: 0, state_root };
    let head = Change { before, after: Some(after) };
    let changes = ChangeSet { head, accounts, storage, code: BTreeMap::new(), nodes };
    state.apply(&changes).unwrap();
    changes
}

fn root_of(plain: &Plain) -> B256 {
    state_root_unhashed(plain.iter().map(|(address, (balance, slots))| {
        let slots = slots.iter().map(|(slot, value)| (B256::from(*slot), *value));
        let account =
            Account { balance: U256::from(*balance), storage_root: storage_root_unhashed(slots), ..Account::default() };
        (*address, TrieAccount::from(account))
    }))
}

/// Checks an account's and a slot's proof with somebody else's verifier.
fn check_proof(state: &MemoryState, plain: &Plain, of: u8, slot: u8) {
    let (address, slot) = (address(of), U256::from(slot));
    let root = state.head().unwrap().unwrap().state_root;
    let proof = prove(state, address, &[slot]).unwrap();
    let account = plain.get(&address).map(|_| alloy_rlp::encode(TrieAccount::from(proof.account)));
    verify_proof(root, Nibbles::unpack(keccak256(address)), account, &proof.nodes).unwrap();

    let value = plain.get(&address).and_then(|(_, slots)| slots.get(&slot)).copied();
    let [entry] = &proof.storage[..] else { panic!("one slot was asked for") };
    assert_eq!((entry.slot, entry.value), (slot, value.unwrap_or_default()));
    let key = Nibbles::unpack(keccak256(slot.to_be_bytes::<32>()));
    verify_proof(proof.account.storage_root, key, value.map(alloy_rlp::encode), &entry.nodes).unwrap();
}

fn edits() -> impl Strategy<Value = Edits> {
    let slots = prop::collection::vec((0..40_u8, 0..3_u8), 0..12);
    let balance = prop::option::weighted(0.8, 1..u64::MAX);
    prop::collection::vec((0..24_u8, balance, slots), 0..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After every block the roots are those of a trie built from nothing, every node is there once, and proofs hold; and all
    /// of it can be taken back, block by block, to the byte.
    #[test]
    fn roots_are_those_of_tries_built_from_nothing(blocks in prop::collection::vec(edits(), 1..8), at: (u8, u8)) {
        let (mut plain, mut state) = (Plain::new(), MemoryState::default());
        let mut history = Vec::new();
        for block in &blocks {
            let before = state.clone();
            let changes = apply(block, &mut plain, &mut state);
            prop_assert_eq!(state.head().unwrap().unwrap().state_root, root_of(&plain));
            for change in changes.nodes.values() {
                prop_assert_ne!(&change.before, &change.after);
            }
            check_proof(&state, &plain, at.0 % 24, at.1 % 40);
            history.push((before, changes));
        }

        let base = state.clone();
        let mut older = Overlay::new(&base);
        for (before, changes) in history.into_iter().rev() {
            older.take_back(changes.undo()).unwrap();
            prop_assert!(older.take_back(changes.undo()).is_err(), "taken back already");
            state.apply(&changes.reversed()).unwrap();
            prop_assert_eq!(&state, &before);
            prop_assert_eq!(older.head().unwrap(), before.head().unwrap());
            for of in (0..24).map(address) {
                let slot = U256::from(at.1 % 40);
                prop_assert_eq!(older.account(of).unwrap(), before.account(of).unwrap());
                prop_assert_eq!(older.storage(of, slot).unwrap(), before.storage(of, slot).unwrap());
            }
        }
    }

    /// Keys that part in their last nibbles make nodes that are shorter than a hash and live inside their parents.
    #[test]
    fn short_nodes_live_inside_their_parents(
        rounds in prop::collection::vec(prop::collection::vec((0..4_u8, any::<u8>(), prop::option::of(1..80_u8)), 1..12), 1..6),
    ) {
        let (mut plain, mut state) = (BTreeMap::new(), MemoryState::default());
        let mut root = EMPTY_ROOT_HASH;
        for round in rounds {
            let mut tree = Tree::open(&state, None, root);
            for (high, low, value) in round {
                let mut key = B256::ZERO;
                (key[0], key[31]) = (high << 4, low & 0x33);
                match value {
                    Some(value) => {
                        let value = vec![value; usize::from(value)];
                        plain.insert(key, value.clone());
                        tree.insert(key, value).unwrap();
                    }
                    None => {
                        plain.remove(&key);
                        tree.remove(key).unwrap();
                    }
                }
            }
            let mut nodes = NodeChanges::new();
            root = tree.finish(&mut nodes);
            let mut builder = HashBuilder::default();
            for (key, value) in &plain {
                builder.add_leaf(Nibbles::unpack(key), value);
            }
            prop_assert_eq!(root, builder.root());
            for (key, change) in &nodes {
                let bytes = change.after.as_ref().map_or(32, |node| node.len());
                prop_assert!(bytes >= 32 || key.path.is_empty());
            }
            state.apply(&ChangeSet { nodes, ..ChangeSet::default() }).unwrap();
        }
        if plain.is_empty() {
            prop_assert_eq!(state.nodes(), 0, "nothing is left of an empty trie");
        }
    }
}

/// Four accounts, of which one has two slots, after one block.
fn four() -> (Plain, MemoryState) {
    let (mut plain, mut state) = (Plain::new(), MemoryState::default());
    let edits = (1..=4).map(|of| (of, Some(u64::from(of)), if of == 2 { vec![(7, 1), (8, 2)] } else { Vec::new() }));
    apply(&edits.collect(), &mut plain, &mut state);
    (plain, state)
}

#[test]
fn a_block_writes_the_paths_that_it_changes() {
    let (mut plain, mut state) = (Plain::new(), MemoryState::default());
    let all: Edits = (0..=255).map(|of| (of, Some(1), Vec::new())).collect();
    apply(&all, &mut plain, &mut state);
    let nodes = state.nodes();
    let changes = apply(&vec![(9, Some(2), Vec::new())], &mut plain, &mut state);
    assert!(nodes > 256 && changes.nodes.len() <= 5, "{} of {nodes} nodes", changes.nodes.len());
}

#[test]
fn a_damaged_node_is_an_error_and_no_root() {
    let (_, state) = four();
    let root = state.head().unwrap().unwrap().state_root;
    let key = NodeKey { account: None, path: Nibbles::new() };
    let other = Bytes::from_static(&[0xc0]);
    for (node, what) in [(Some(other), "is not the one that its parent names"), (None, "is missing")] {
        let mut damaged = state.clone();
        let nodes = BTreeMap::from([(key.clone(), Change { before: None, after: node })]);
        let head = damaged.head().unwrap();
        damaged
            .apply(&ChangeSet { head: Change { before: head, after: head }, nodes, ..ChangeSet::default() })
            .unwrap();
        let change = Change { before: None, after: Some(Account { nonce: 1, ..Account::default() }) };
        let mut accounts = BTreeMap::from([(address(9), change)]);
        let error = update(&damaged, root, &mut accounts, &BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        assert!(prove(&damaged, address(1), &[]).unwrap_err().to_string().contains(what));
    }
}

#[test]
fn an_account_never_goes_without_its_storage() {
    let (_, state) = four();
    let root = state.head().unwrap().unwrap().state_root;
    let before = state.account(address(2)).unwrap();
    let gone = || BTreeMap::from([(address(2), Change { before, after: None })]);
    let slot = |slot: u64, before: u64| {
        ((address(2), U256::from(slot)), Change { before: U256::from(before), after: U256::ZERO })
    };
    assert!(update(&state, root, &mut gone(), &BTreeMap::new()).is_err());
    assert!(update(&state, root, &mut gone(), &BTreeMap::from([slot(7, 1)])).is_err());
    update(&state, root, &mut gone(), &BTreeMap::from([slot(7, 1), slot(8, 2)])).unwrap();
}

#[test]
fn keys_of_nodes_are_bytes_that_keep_tries_apart() {
    let path = Nibbles::from_nibbles([1, 15]);
    let of_account = NodeKey { account: Some(B256::repeat_byte(7)), path };
    assert_eq!(NodeKey { account: None, path }.to_bytes(), [0, 1, 15]);
    assert_eq!(of_account.to_bytes(), [&[1][..], &[7; 32], &[1, 15]].concat());
    assert_ne!(NodeKey { account: None, path: Nibbles::from_nibbles([1]) }.to_bytes(), of_account.to_bytes());
}
