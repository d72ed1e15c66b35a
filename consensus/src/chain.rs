//! The tree of blocks above the final head: headers, ancestry, finalization; and what is final in the views just below.

use std::collections::BTreeMap;

use baton_proto::{BlockDigest, BlockHeader, View};

/// Headers above the final head, and which of their bodies are durably stored.
///
/// Bounded by what may enter it: two proposals a view in a bounded window of views, and blocks that a certificate or a
/// descendant names. Of the final chain it remembers digests, for as many views as it is told to.
#[derive(Debug)]
pub(crate) struct Chain {
    root: BlockDigest,
    head: BlockHeader,
    head_digest: BlockDigest,
    blocks: BTreeMap<BlockDigest, Entry>,
    /// The final blocks of the views from `trunk_from` to the head's, all of them, by view.
    trunk: BTreeMap<View, BlockDigest>,
    trunk_from: View,
}

#[derive(Debug)]
struct Entry {
    header: BlockHeader,
    stored: bool,
}

/// How a block hangs together with the final head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ancestry {
    /// The headers above the final head, ascending, the block itself last; all stored. Empty for the final head itself.
    Known(Vec<BlockHeader>),
    /// This ancestor (or the block itself) is not known, or its body is not stored.
    Missing(BlockDigest),
    /// The block does not descend from the final head.
    Conflict,
}

impl Chain {
    pub(crate) fn new(root: &BlockHeader, head: BlockHeader) -> Self {
        let head_digest = head.digest();
        let (blocks, trunk) = (BTreeMap::new(), BTreeMap::new());
        let mut chain = Self { root: root.digest(), head, head_digest, blocks, trunk, trunk_from: View::ZERO };
        chain.plant();
        chain
    }

    /// Returns the final head.
    pub(crate) const fn head(&self) -> &BlockHeader {
        &self.head
    }

    pub(crate) const fn head_digest(&self) -> BlockDigest {
        self.head_digest
    }

    /// Returns the view of the final head in this epoch; the epoch's root has view 0, whatever its header says.
    pub(crate) fn head_view(&self) -> View {
        if self.head_digest == self.root { View::ZERO } else { self.head.view }
    }

    /// Returns a header at or above the final head.
    pub(crate) fn header(&self, block: BlockDigest) -> Option<&BlockHeader> {
        if block == self.head_digest {
            return Some(&self.head);
        }
        self.blocks.get(&block).map(|entry| &entry.header)
    }

    /// Returns whether a block's body is durably stored; the final head's is.
    pub(crate) fn is_stored(&self, block: BlockDigest) -> bool {
        block == self.head_digest || self.blocks.get(&block).is_some_and(|entry| entry.stored)
    }

    /// Returns how many headers above the final head are known.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Returns whether some known block names `block` as its parent.
    pub(crate) fn is_parent(&self, block: BlockDigest) -> bool {
        self.blocks.values().any(|entry| entry.header.parent == block)
    }

    /// Remembers a header above the final head; one at or below it is of no use any more.
    pub(crate) fn insert(&mut self, block: BlockDigest, header: BlockHeader, stored: bool) {
        if header.height > self.head.height {
            let entry = self.blocks.entry(block).or_insert(Entry { header, stored });
            entry.stored |= stored;
        }
    }

    pub(crate) fn mark_stored(&mut self, block: BlockDigest) {
        if let Some(entry) = self.blocks.get_mut(&block) {
            entry.stored = true;
        }
    }

    /// Follows parents from `block` down to the final head.
    pub(crate) fn ancestry(&self, block: BlockDigest) -> Ancestry {
        let mut path = Vec::new();
        let mut at = block;
        // Heights fall strictly on the way, so this ends; a header that breaks the rule cannot descend from the head.
        while at != self.head_digest {
            let Some(entry) = self.blocks.get(&at) else { return Ancestry::Missing(at) };
            if !entry.stored {
                return Ancestry::Missing(at);
            }
            let above = path.last().map(|header: &BlockHeader| header.height);
            if above.is_some_and(|above| entry.header.height.next() != Some(above)) {
                return Ancestry::Conflict;
            }
            path.push(entry.header.clone());
            if entry.header.height.previous() == Some(self.head.height) && entry.header.parent != self.head_digest {
                return Ancestry::Conflict;
            }
            at = entry.header.parent;
        }
        if path.last().is_some_and(|first| first.height.previous() != Some(self.head.height)) {
            return Ancestry::Conflict;
        }
        path.reverse();
        Ancestry::Known(path)
    }

    /// Makes blocks final, ascending from the child of the head, and forgets everything at or below the height of the last.
    pub(crate) fn advance(&mut self, chain: &[BlockHeader]) {
        self.trunk.extend(chain.iter().map(|header| (header.view, header.digest())));
        if let Some(head) = chain.last() {
            self.set_head(head.clone());
        }
    }

    /// Moves the final head up to a block to which others know the way.
    pub(crate) fn jump(&mut self, head: BlockHeader) {
        self.set_head(head);
        self.plant();
    }

    /// Returns whether another block than this one, or none, is final in a view. False too where that is not known any more.
    pub(crate) fn is_off_trunk(&self, view: View, block: BlockDigest) -> bool {
        (self.trunk_from..=self.head_view()).contains(&view) && self.trunk.get(&view) != Some(&block)
    }

    fn set_head(&mut self, head: BlockHeader) {
        self.head_digest = head.digest();
        let height = head.height;
        self.head = head;
        self.blocks.retain(|_, entry| entry.header.height > height);
    }

    /// Only the head is known of the final chain.
    fn plant(&mut self) {
        self.trunk_from = self.head_view();
        self.trunk = BTreeMap::from([(self.trunk_from, self.head_digest)]);
    }

    /// Forgets the blocks of views before `oldest`.
    pub(crate) fn forget_before(&mut self, oldest: View) {
        self.blocks.retain(|_, entry| entry.header.view >= oldest);
        self.trunk = self.trunk.split_off(&oldest);
        self.trunk_from = self.trunk_from.max(oldest);
    }
}
