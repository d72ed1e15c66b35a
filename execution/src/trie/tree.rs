//! One trie, read as far as its changes need it.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, keccak256};
use alloy_trie::{EMPTY_ROOT_HASH, Nibbles};

use super::{
    NodeChanges, NodeKey,
    node::{Link, Node, child_path},
};
use crate::{
    StateError,
    state::{Change, EvmState},
};

/// A trie with keys of 32 bytes, whose nodes are read from a state when a change first comes by them, and encoded and hashed
/// once, when all changes are made.
///
/// After an error it is of no more use.
pub(super) struct Tree<'a> {
    state: &'a dyn EvmState,
    account: Option<B256>,
    root: Option<Link>,
    /// What was read: the nodes that may have to go.
    read: BTreeMap<Nibbles, Bytes>,
}

impl<'a> Tree<'a> {
    /// Opens the trie over the accounts, or over the storage of the account with this hashed address.
    pub(super) fn open(state: &'a dyn EvmState, account: Option<B256>, root: B256) -> Self {
        let root = (root != EMPTY_ROOT_HASH).then(|| Link::stored(root));
        Self { state, account, root, read: BTreeMap::new() }
    }

    /// Sets the value of `key`.
    pub(super) fn insert(&mut self, key: B256, value: Vec<u8>) -> Result<(), StateError> {
        let root = self.root.take();
        self.root = Some(self.insert_at(root, Nibbles::new(), Nibbles::unpack(key), value)?);
        Ok(())
    }

    /// Removes `key`, if it is there.
    pub(super) fn remove(&mut self, key: B256) -> Result<(), StateError> {
        if let Some(root) = self.root.take() {
            self.root = self.remove_at(root, Nibbles::new(), Nibbles::unpack(key))?;
        }
        Ok(())
    }

    /// Returns the root, and adds the nodes that changed to `changes`.
    pub(super) fn finish(self, changes: &mut NodeChanges) -> B256 {
        let mut written: BTreeMap<Nibbles, Bytes> = BTreeMap::new();
        let root = match &self.root {
            None => EMPTY_ROOT_HASH,
            Some(Link::Stored(link)) => link.as_hash().unwrap_or(EMPTY_ROOT_HASH),
            Some(Link::Held(node)) => {
                let rlp = node.encode(&Nibbles::new(), &mut |path, rlp| {
                    written.insert(path, rlp);
                });
                // The root is stored however short it is: nothing else holds it.
                let root = keccak256(&rlp);
                written.insert(Nibbles::new(), rlp.into());
                root
            }
        };
        let key = |path| NodeKey { account: self.account, path };
        for (path, before) in self.read {
            let after = written.remove(&path);
            if after.as_ref() != Some(&before) {
                changes.insert(key(path), Change { before: Some(before), after });
            }
        }
        for (path, after) in written {
            changes.insert(key(path), Change { before: None, after: Some(after) });
        }
        root
    }

    /// Returns the node that `link` at `path` stands for.
    fn resolve(&mut self, link: Link, path: &Nibbles) -> Result<Node, StateError> {
        let link = match link {
            Link::Held(node) => return Ok(*node),
            Link::Stored(link) => link,
        };
        let Some(hash) = link.as_hash() else { return decode(&link, self.account, path) };
        let rlp = read(self.state, self.account, path, hash)?;
        let node = decode(&rlp, self.account, path)?;
        self.read.insert(*path, rlp);
        Ok(node)
    }

    /// Returns what stands at `path` once the key that goes on with `rest` from there has `value`.
    fn insert_at(
        &mut self,
        link: Option<Link>,
        path: Nibbles,
        rest: Nibbles,
        value: Vec<u8>,
    ) -> Result<Link, StateError> {
        let Some(link) = link else { return Ok(Node::Leaf { key: rest, value }.into()) };
        match self.resolve(link, &path)? {
            Node::Leaf { key, .. } if key == rest => Ok(Node::Leaf { key, value }.into()),
            Node::Leaf { key, value: other } => {
                let common = key.common_prefix_length(&rest);
                let leaf = |of: &Nibbles, value| Node::Leaf { key: of.slice(common + 1..), value }.into();
                Ok(fork(&key, common, leaf(&key, other), &rest, leaf(&rest, value)))
            }
            Node::Extension { key, child } => {
                let common = key.common_prefix_length(&rest);
                if common == key.len() {
                    let child = self.insert_at(Some(child), path.join(&key), rest.slice(common..), value)?;
                    return Ok(Node::Extension { key, child }.into());
                }
                let left = match common + 1 == key.len() {
                    true => child,
                    false => Node::Extension { key: key.slice(common + 1..), child }.into(),
                };
                let leaf = Node::Leaf { key: rest.slice(common + 1..), value }.into();
                Ok(fork(&key, common, left, &rest, leaf))
            }
            Node::Branch(mut children) => {
                let at = rest.get_unchecked(0);
                let child = &mut children[usize::from(at)];
                *child = Some(self.insert_at(child.take(), child_path(&path, at), rest.slice(1..), value)?);
                Ok(Node::Branch(children).into())
            }
        }
    }

    /// Returns what stands at `path` once the key that goes on with `rest` from there is gone.
    fn remove_at(&mut self, link: Link, path: Nibbles, rest: Nibbles) -> Result<Option<Link>, StateError> {
        match self.resolve(link, &path)? {
            Node::Leaf { key, .. } if key == rest => Ok(None),
            leaf @ Node::Leaf { .. } => Ok(Some(leaf.into())),
            Node::Extension { key, child } if rest.starts_with(&key) => {
                let below = path.join(&key);
                match self.remove_at(child, below, rest.slice(key.len()..))? {
                    Some(child) => self.lengthen(key, child, &below).map(Some),
                    None => Ok(None),
                }
            }
            extension @ Node::Extension { .. } => Ok(Some(extension.into())),
            Node::Branch(mut children) => {
                let at = rest.get_unchecked(0);
                let child = &mut children[usize::from(at)];
                if let Some(link) = child.take() {
                    *child = self.remove_at(link, child_path(&path, at), rest.slice(1..))?;
                }
                let mut left = (0..).zip(children.iter_mut()).filter(|(_, child)| child.is_some());
                match (left.next(), left.next()) {
                    (Some((at, only)), None) => {
                        let Some(only) = only.take() else { return Ok(None) };
                        self.lengthen(Nibbles::from_nibbles([at]), only, &child_path(&path, at)).map(Some)
                    }
                    (None, _) => Ok(None),
                    _ => Ok(Some(Node::Branch(children).into())),
                }
            }
        }
    }

    /// Puts `key` before what stands at `path`: leaves and extensions take it in, a branch gets an extension.
    fn lengthen(&mut self, key: Nibbles, link: Link, path: &Nibbles) -> Result<Link, StateError> {
        Ok(match self.resolve(link, path)? {
            Node::Leaf { key: rest, value } => Node::Leaf { key: key.join(&rest), value },
            Node::Extension { key: rest, child } => Node::Extension { key: key.join(&rest), child },
            branch @ Node::Branch(_) => Node::Extension { key, child: branch.into() },
        }
        .into())
    }
}

/// Returns a branch where two paths part after `common` nibbles, below an extension if they have any in common.
fn fork(one: &Nibbles, common: usize, left: Link, other: &Nibbles, right: Link) -> Link {
    let mut children: Box<[Option<Link>; 16]> = Box::default();
    children[usize::from(one.get_unchecked(common))] = Some(left);
    children[usize::from(other.get_unchecked(common))] = Some(right);
    match common {
        0 => Node::Branch(children).into(),
        _ => Node::Extension { key: one.slice(..common), child: Node::Branch(children).into() }.into(),
    }
}

/// Reads the node at `path` and compares it with its hash.
pub(super) fn read(
    state: &dyn EvmState,
    account: Option<B256>,
    path: &Nibbles,
    hash: B256,
) -> Result<Bytes, StateError> {
    let key = NodeKey { account, path: *path };
    let rlp = state.node(&key)?.ok_or_else(|| damaged(account, path, "is missing"))?;
    match keccak256(&rlp) == hash {
        true => Ok(rlp),
        false => Err(damaged(account, path, "is not the one that its parent names")),
    }
}

/// Decodes the node at `path`.
pub(super) fn decode(rlp: &[u8], account: Option<B256>, path: &Nibbles) -> Result<Node, StateError> {
    Node::decode(rlp).map_err(|error| damaged(account, path, &error.to_string()))
}

fn damaged(account: Option<B256>, path: &Nibbles, what: &str) -> StateError {
    let of = account.map_or_else(|| "the accounts".to_owned(), |account| format!("the storage of account {account}"));
    StateError(format!("trie node {path:?} of {of} {what}"))
}
