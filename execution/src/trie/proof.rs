//! Proofs of accounts and storage slots against a state root (EIP-1186).

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use super::{
    node::{Link, Node, child_path},
    tree::{decode, read},
};
use crate::{
    StateError,
    state::{Account, EvmState},
};

/// What `eth_getProof` answers: an account, or that there is none, with the trie nodes that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account's address.
    pub address: Address,
    /// The account; an empty one if there is none.
    pub account: Account,
    /// RLP of the nodes from the state root towards the account; none in an empty state.
    pub nodes: Vec<Bytes>,
    /// The slots that were asked for, in that order.
    pub storage: Vec<StorageProof>,
}

/// A storage slot with the trie nodes that show its value, or that it was never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageProof {
    /// The slot.
    pub slot: U256,
    /// Its value; zero if it is not there.
    pub value: U256,
    /// RLP of the nodes from the account's storage root towards the slot; none where there is no storage.
    pub nodes: Vec<Bytes>,
}

/// Proves an account and some of its storage slots against the state root of [`EvmState::head`].
///
/// # Errors
/// [`StateError`] when the state cannot be read or does not fit its own hashes, or there is no genesis yet.
pub fn prove(state: &dyn EvmState, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
    let head = state.head()?.ok_or_else(|| StateError("there is no genesis yet".to_owned()))?;
    let hash = keccak256(address);
    let (_, nodes) = walk(state, None, head.state_root, hash)?;
    let account = state.account(address)?.unwrap_or_default();
    let storage = slots.iter().map(|slot| {
        let key = keccak256(slot.to_be_bytes::<32>());
        let (value, nodes) = walk(state, Some(hash), account.storage_root, key)?;
        let value = match value {
            Some(rlp) => U256::decode(&mut rlp.as_slice())
                .map_err(|error| StateError(format!("slot {slot} of {address}: {error}")))?,
            None => U256::ZERO,
        };
        Ok(StorageProof { slot: *slot, value, nodes })
    });
    let storage = storage.collect::<Result<_, StateError>>()?;
    Ok(AccountProof { address, account, nodes, storage })
}

/// Goes from the root towards `key`. Returns its value, if it is there, and the nodes on the way that are not part of others.
fn walk(
    state: &dyn EvmState,
    account: Option<B256>,
    root: B256,
    key: B256,
) -> Result<(Option<Vec<u8>>, Vec<Bytes>), StateError> {
    let mut nodes = Vec::new();
    if root == EMPTY_ROOT_HASH {
        return Ok((None, nodes));
    }
    let (mut path, mut rest) = (Nibbles::new(), Nibbles::unpack(key));
    let mut link = Link::stored(root);
    loop {
        let node = match link {
            Link::Held(node) => *node,
            Link::Stored(link) => match link.as_hash() {
                Some(hash) => {
                    let rlp = read(state, account, &path, hash)?;
                    let node = decode(&rlp, account, &path)?;
                    nodes.push(rlp);
                    node
                }
                None => decode(&link, account, &path)?,
            },
        };
        match node {
            Node::Leaf { key, value } => return Ok(((key == rest).then_some(value), nodes)),
            Node::Extension { key, child } if rest.starts_with(&key) => {
                path = path.join(&key);
                rest = rest.slice(key.len()..);
                link = child;
            }
            Node::Extension { .. } => return Ok((None, nodes)),
            Node::Branch(mut children) => {
                let at = rest.get_unchecked(0);
                match children[usize::from(at)].take() {
                    Some(child) => link = child,
                    None => return Ok((None, nodes)),
                }
                path = child_path(&path, at);
                rest = rest.slice(1..);
            }
        }
    }
}
