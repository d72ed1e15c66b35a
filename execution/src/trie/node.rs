//! Trie nodes while they are worked on.

use alloy_primitives::{B256, Bytes};
use alloy_rlp::{Decodable, Encodable};
use alloy_trie::{
    Nibbles, TrieMask,
    nodes::{BranchNode, ExtensionNode, LeafNode, RlpNode, TrieNode},
};

/// What a node says of a child: its hash or its RLP as stored, or the child itself, in memory.
#[derive(Clone, Debug)]
pub(super) enum Link {
    Stored(RlpNode),
    Held(Box<Node>),
}

impl Link {
    pub(super) fn stored(root: B256) -> Self {
        Self::Stored(RlpNode::word_rlp(&root))
    }
}

impl From<Node> for Link {
    fn from(node: Node) -> Self {
        Self::Held(Box::new(node))
    }
}

/// A node. Keys all have 64 nibbles, so a branch has no value of its own.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf { key: Nibbles, value: Vec<u8> },
    Extension { key: Nibbles, child: Link },
    Branch(Box<[Option<Link>; 16]>),
}

impl Node {
    /// Decodes what a store or a parent holds.
    pub(super) fn decode(mut rlp: &[u8]) -> Result<Self, alloy_rlp::Error> {
        Ok(match TrieNode::decode(&mut rlp)? {
            TrieNode::EmptyRoot => return Err(alloy_rlp::Error::Custom("an empty node")),
            TrieNode::Leaf(LeafNode { key, value }) => Self::Leaf { key, value },
            TrieNode::Extension(ExtensionNode { key, child }) => Self::Extension { key, child: Link::Stored(child) },
            TrieNode::Branch(BranchNode { stack, state_mask }) => {
                let mut children: Box<[Option<Link>; 16]> = Box::default();
                let mut links = stack.into_iter();
                for (at, child) in (0..).zip(children.iter_mut()) {
                    if state_mask.is_bit_set(at) {
                        *child = links.next().map(Link::Stored);
                    }
                }
                Self::Branch(children)
            }
        })
    }

    /// Returns its RLP. Held children are encoded first, and `keep` is given each one that is long enough to be stored, with
    /// its path.
    pub(super) fn encode(&self, path: &Nibbles, keep: &mut impl FnMut(Nibbles, Bytes)) -> Vec<u8> {
        match self {
            Self::Leaf { key, value } => alloy_rlp::encode(LeafNode::new(*key, value.clone())),
            Self::Extension { key, child } => {
                alloy_rlp::encode(ExtensionNode::new(*key, child.encode(&path.join(key), keep)))
            }
            Self::Branch(children) => {
                let (mut stack, mut mask) = (Vec::with_capacity(16), TrieMask::default());
                for (at, child) in (0..).zip(children.iter()) {
                    if let Some(child) = child {
                        stack.push(child.encode(&child_path(path, at), keep));
                        mask.set_bit(at);
                    }
                }
                let node = BranchNode::new(stack, mask);
                let mut rlp = Vec::with_capacity(node.length());
                node.encode(&mut rlp);
                rlp
            }
        }
    }
}

impl Link {
    fn encode(&self, path: &Nibbles, keep: &mut impl FnMut(Nibbles, Bytes)) -> RlpNode {
        match self {
            Self::Stored(link) => link.clone(),
            Self::Held(node) => {
                let rlp = node.encode(path, keep);
                let link = RlpNode::from_rlp(&rlp);
                if link.is_hash() {
                    keep(*path, rlp.into());
                }
                link
            }
        }
    }
}

/// Returns the path of a branch's child.
pub(super) fn child_path(path: &Nibbles, at: u8) -> Nibbles {
    let mut path = *path;
    path.push(at);
    path
}
