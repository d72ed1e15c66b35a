//! Blocks of the model: a view, a parent, and whether the epoch ends with it.

use std::collections::HashMap;

/// A block's number in [`Blocks`].
pub(crate) type BlockId = u16;

/// The epoch's root. Nobody votes for it, so among statements the number stands for "none".
pub(crate) const ROOT: BlockId = 0;

/// What tells one block from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Block {
    /// View of its first proposal; 0 for the root.
    pub(crate) view: u8,
    pub(crate) parent: BlockId,
    /// Tells apart what differs only in its body: 0 or 1.
    pub(crate) twin: u8,
    /// A handover block: its L1 origin lies in a later epoch, so it is the last of its own.
    pub(crate) last: bool,
}

/// Every block that was spoken of so far.
pub(crate) struct Blocks {
    list: Vec<Block>,
    numbers: HashMap<Block, BlockId>,
}

impl Blocks {
    pub(crate) fn new() -> Self {
        let root = Block { view: 0, parent: ROOT, twin: 0, last: false };
        Self { list: vec![root], numbers: HashMap::from([(root, ROOT)]) }
    }

    pub(crate) fn number(&mut self, block: Block) -> BlockId {
        if let Some(number) = self.numbers.get(&block) {
            return *number;
        }
        let number = BlockId::try_from(self.list.len()).expect("the scope is too large for its numbers");
        self.list.push(block);
        self.numbers.insert(block, number);
        number
    }

    pub(crate) fn get(&self, number: BlockId) -> Block {
        self.list[usize::from(number)]
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the block's ancestors, its parent first, the root not among them.
    pub(crate) fn ancestors(&self, number: BlockId) -> impl Iterator<Item = BlockId> {
        std::iter::successors(Some(self.get(number).parent), |at| Some(self.get(*at).parent))
            .take_while(|at| *at != ROOT)
    }

    /// Returns whether two blocks cannot both be final, whatever else is.
    pub(crate) fn conflict(&self, a: BlockId, b: BlockId) -> bool {
        a != b && !self.ancestors(a).any(|at| at == b) && !self.ancestors(b).any(|at| at == a)
    }

    /// Returns the handover block above which this one stands, if it does: the epoch would go on after its end.
    pub(crate) fn past_the_end(&self, number: BlockId) -> Option<BlockId> {
        self.ancestors(number).find(|at| self.get(*at).last)
    }

    /// Names a block by its view and twin, as in `2b on 1a`; the one that ends the epoch has an exclamation mark.
    pub(crate) fn name(&self, number: BlockId) -> String {
        let short = |number: BlockId| {
            let block = self.get(number);
            let twin = if block.twin == 0 { 'a' } else { 'b' };
            if number == ROOT {
                "root".to_owned()
            } else {
                format!("{}{twin}{}", block.view, if block.last { "!" } else { "" })
            }
        };
        format!("{} on {}", short(number), short(self.get(number).parent))
    }
}
