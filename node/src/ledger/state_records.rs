//! How accounts, heads and what blocks changed are written.

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, KECCAK256_EMPTY, U256};
use baton_execution::{
    state::{Account, Change, Head, Undo},
    trie::NodeKey,
};
use baton_proto::{BlockDigest, Height};

use super::encoding::{Reader, push_bytes, push_count, push_number};

/// Version of what follows it in an undo record.
const VERSION: u8 = 1;

/// An account that does not exist; only in undo records.
const ABSENT: u8 = 0;
/// One without code, and so without storage.
const PLAIN: u8 = 1;
/// One with the hash of its code and the root of its storage.
const WITH_CODE: u8 = 2;

pub(super) fn account_to_bytes(account: &Account) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(84);
    push_account(&mut bytes, Some(account));
    bytes
}

pub(super) fn account_from_bytes(bytes: &[u8]) -> Option<Account> {
    let mut reader = Reader::new(bytes);
    let account = account(&mut reader)??;
    reader.end(account)
}

fn push_account(bytes: &mut Vec<u8>, account: Option<&Account>) {
    let Some(Account { nonce, balance, code_hash, storage_root }) = account else { return bytes.push(ABSENT) };
    let is_plain = (*code_hash, *storage_root) == (KECCAK256_EMPTY, Account::default().storage_root);
    bytes.push(if is_plain { PLAIN } else { WITH_CODE });
    bytes.extend(nonce.to_be_bytes());
    push_number(bytes, *balance);
    if !is_plain {
        bytes.extend(code_hash);
        bytes.extend(storage_root);
    }
}

/// Reads an account, or that there is none.
fn account(reader: &mut Reader<'_>) -> Option<Option<Account>> {
    let tag = reader.byte()?;
    if tag == ABSENT {
        return Some(None);
    }
    let mut account = Account { nonce: reader.u64()?, balance: reader.number()?, ..Account::default() };
    match tag {
        PLAIN => {}
        WITH_CODE => (account.code_hash, account.storage_root) = (reader.word()?, reader.word()?),
        _ => return None,
    }
    Some(Some(account))
}

pub(super) fn head_to_bytes(head: &Head) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(88);
    push_head(&mut bytes, head);
    bytes
}

pub(super) fn head_from_bytes(bytes: &[u8]) -> Option<Head> {
    let mut reader = Reader::new(bytes);
    let head = head(&mut reader)?;
    reader.end(head)
}

fn push_head(bytes: &mut Vec<u8>, head: &Head) {
    let Head { height, digest, base_fee, gas_used, state_root } = head;
    bytes.extend(height.get().to_be_bytes());
    bytes.extend(digest.get());
    bytes.extend(base_fee.to_be_bytes());
    bytes.extend(gas_used.to_be_bytes());
    bytes.extend(state_root);
}

fn head(reader: &mut Reader<'_>) -> Option<Head> {
    Some(Head {
        height: Height::new(reader.u64()?),
        digest: BlockDigest::new(reader.word()?),
        base_fee: reader.u64()?,
        gas_used: reader.u64()?,
        state_root: reader.word()?,
    })
}

pub(super) fn slot_to_bytes(value: U256) -> Vec<u8> {
    value.to_be_bytes_trimmed_vec()
}

pub(super) fn slot_from_bytes(bytes: &[u8]) -> Option<U256> {
    // A slot that is zero is not stored.
    let is_value = (1..=32).contains(&bytes.len()) && bytes.first() != Some(&0);
    is_value.then(|| U256::from_be_slice(bytes))
}

/// Writes what was there before a block that is not the first.
pub(super) fn undo_to_bytes(undo: &Undo) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for head in [undo.head.before, undo.head.after] {
        bytes.push(u8::from(head.is_some()));
        head.iter().for_each(|head| push_head(&mut bytes, head));
    }
    push_count(&mut bytes, undo.accounts.len());
    for (address, account) in &undo.accounts {
        bytes.extend(address);
        push_account(&mut bytes, account.as_ref());
    }
    push_count(&mut bytes, undo.storage.len());
    for ((address, slot), value) in &undo.storage {
        bytes.extend(address);
        push_number(&mut bytes, *slot);
        push_number(&mut bytes, *value);
    }
    push_count(&mut bytes, undo.nodes.len());
    for (key, node) in &undo.nodes {
        push_bytes(&mut bytes, &key.to_bytes());
        // No node is empty.
        push_bytes(&mut bytes, node.as_ref().map_or(&[], |node| node));
    }
    bytes
}

pub(super) fn undo_from_bytes(bytes: &[u8]) -> Option<Undo> {
    let mut reader = Reader::new(bytes);
    if reader.byte()? != VERSION {
        return None;
    }
    let mut heads = [None; 2];
    for slot in &mut heads {
        *slot = match reader.byte()? {
            0 => None,
            1 => Some(head(&mut reader)?),
            _ => return None,
        };
    }
    let mut accounts: BTreeMap<Address, Option<Account>> = BTreeMap::new();
    for _ in 0..reader.u32()? {
        accounts.insert(reader.address()?, account(&mut reader)?);
    }
    let mut storage = BTreeMap::new();
    for _ in 0..reader.u32()? {
        storage.insert((reader.address()?, reader.number()?), reader.number()?);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let key = NodeKey::from_bytes(reader.bytes()?)?;
        let node = Some(reader.bytes()?).filter(|node| !node.is_empty());
        nodes.insert(key, node.map(Bytes::copy_from_slice));
    }
    let [before, after] = heads;
    reader.end(Undo { head: Change { before, after }, accounts, storage, nodes })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{B256, b256, keccak256};
    use proptest::prelude::*;

    use super::*;

    fn word() -> impl Strategy<Value = B256> {
        any::<[u8; 32]>().prop_map(B256::from)
    }

    fn accounts() -> impl Strategy<Value = Account> {
        let code = prop::option::of((word(), word()));
        (any::<u64>(), word(), 0..256_usize, code).prop_map(|(nonce, balance, shift, code)| {
            let account = Account { nonce, balance: U256::from_be_bytes(balance.0) >> shift, ..Account::default() };
            match code {
                Some((code_hash, storage_root)) => Account { code_hash, storage_root, ..account },
                None => account,
            }
        })
    }

    fn heads() -> impl Strategy<Value = Head> {
        (any::<[u64; 3]>(), word(), word()).prop_map(|([height, base_fee, gas_used], digest, state_root)| Head {
            height: Height::new(height),
            digest: BlockDigest::new(digest),
            base_fee,
            gas_used,
            state_root,
        })
    }

    fn undos() -> impl Strategy<Value = Undo> {
        let address = || any::<[u8; 20]>().prop_map(Address::from);
        let number = || (word(), 0..256_usize).prop_map(|(word, shift)| U256::from_be_bytes(word.0) >> shift);
        let keys = (prop::option::of(word()), prop::collection::vec(0..16_u8, 0..65));
        let keys = keys.prop_map(|(account, nibbles)| {
            let mut bytes = vec![u8::from(account.is_some())];
            bytes.extend(account.iter().flat_map(|account| account.0));
            bytes.extend(nibbles);
            NodeKey::from_bytes(&bytes).unwrap()
        });
        let node = prop::option::of(prop::collection::vec(any::<u8>(), 1..80).prop_map(Bytes::from));
        (
            (prop::option::of(heads()), prop::option::of(heads())),
            prop::collection::btree_map(address(), prop::option::of(accounts()), 0..4),
            prop::collection::btree_map((address(), number()), number(), 0..4),
            prop::collection::btree_map(keys, node, 0..4),
        )
            .prop_map(|((before, after), accounts, storage, nodes)| Undo {
                head: Change { before, after },
                accounts,
                storage,
                nodes,
            })
    }

    proptest! {
        #[test]
        fn accounts_heads_and_slots_come_back_as_they_were(account in accounts(), head in heads(), slot in word()) {
            prop_assert_eq!(account_from_bytes(&account_to_bytes(&account)), Some(account));
            prop_assert_eq!(head_from_bytes(&head_to_bytes(&head)), Some(head));
            let slot = U256::from_be_bytes(slot.0);
            prop_assert_eq!(slot_from_bytes(&slot_to_bytes(slot)), (!slot.is_zero()).then_some(slot));
        }

        #[test]
        fn what_blocks_changed_comes_back_as_it_was(undo in undos(), cut in any::<prop::sample::Index>()) {
            let bytes = undo_to_bytes(&undo);
            prop_assert_eq!(undo_from_bytes(&bytes), Some(undo));
            prop_assert_eq!(undo_from_bytes(&bytes[..cut.index(bytes.len())]), None, "cut short");
            prop_assert_eq!(undo_from_bytes(&[&bytes[..], &[0]].concat()), None, "too long");
        }

        #[test]
        fn no_bytes_make_a_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = account_from_bytes(&bytes);
            let _ = head_from_bytes(&bytes);
            let _ = slot_from_bytes(&bytes);
            bytes.insert(0, VERSION);
            let _ = undo_from_bytes(&bytes);
        }
    }

    #[test]
    fn records_are_written_as_they_always_were() {
        let plain = Account { nonce: 7, balance: U256::from(0x1234), ..Account::default() };
        let contract = Account { code_hash: B256::repeat_byte(1), storage_root: B256::repeat_byte(2), ..plain };
        assert_eq!(account_to_bytes(&plain), [&[1, 0, 0, 0, 0, 0, 0, 0, 7, 2, 0x12, 0x34][..]].concat());
        let head = Head {
            height: Height::new(3),
            digest: BlockDigest::new(B256::repeat_byte(4)),
            base_fee: 5,
            gas_used: 6,
            state_root: B256::repeat_byte(7),
        };
        let undo = Undo {
            head: Change { before: None, after: Some(head) },
            accounts: [(Address::repeat_byte(8), None), (Address::repeat_byte(9), Some(contract))].into(),
            storage: [((Address::repeat_byte(9), U256::from(1)), U256::MAX)].into(),
            nodes: [(NodeKey::from_bytes(&[0, 1, 2]).unwrap(), Some(Bytes::from_static(b"node")))].into(),
        };
        let written = b256!("0x8c0d9cb2e19204ea4da56778ed289cd1cb6b873342a165d4bdfdb52e32982a86");
        assert_eq!(keccak256(undo_to_bytes(&undo)), written);
    }
}
