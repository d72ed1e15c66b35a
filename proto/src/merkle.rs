//! The root that commits a header to its payload, and the paths that lead to it.

use alloy_primitives::{B256, keccak256};

/// Returns the binary Merkle root over `leaves`, in order.
///
/// Nodes are `keccak256(left ‖ right)`; a node without a sibling moves up unchanged. No leaves give the zero hash, one
/// leaf is its own root. The header's transaction count fixes the shape, so no two payloads share root and count.
/// Source: protocol section 4.
#[must_use]
pub fn root(leaves: &[B256]) -> B256 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or_default()
}

/// Returns what proves the leaf at `index` under [`root`]: from the leaves up, the sibling of each node on its way that has one.
/// `None` if there is no such leaf.
#[must_use]
pub fn path(leaves: &[B256], index: usize) -> Option<Vec<B256>> {
    leaves.get(index)?;
    let (mut level, mut index, mut path) = (leaves.to_vec(), index, Vec::new());
    while level.len() > 1 {
        path.extend(level.get(index ^ 1));
        level = above(&level);
        index /= 2;
    }
    Some(path)
}

/// Returns the root over `count` leaves of which `leaf` is the one at `index`, by its [`path`]. `None` if there is no such place,
/// or its path has another length.
///
/// Place and count fix on which side each sibling stands, and no two places have the same sides: a path proves one leaf at one
/// place, as long as the count is that of the header.
#[must_use]
pub fn root_by_path(leaf: B256, index: u32, count: u32, path: &[B256]) -> Option<B256> {
    if index >= count {
        return None;
    }
    let (mut node, mut index, mut width, mut siblings) = (leaf, index, count, path.iter());
    while width > 1 {
        if index ^ 1 < width {
            let sibling = *siblings.next()?;
            node = if index.is_multiple_of(2) { join(node, sibling) } else { join(sibling, node) };
        }
        index /= 2;
        width = width.div_ceil(2);
    }
    siblings.next().is_none().then_some(node)
}

/// Returns the nodes above these, half as many.
fn above(level: &[B256]) -> Vec<B256> {
    let parent = |pair: &[B256]| match pair {
        [left, right] => join(*left, *right),
        [alone] => *alone,
        _ => unreachable!("chunks of two hold one or two"),
    };
    level.chunks(2).map(parent).collect()
}

fn join(left: B256, right: B256) -> B256 {
    keccak256([left.as_slice(), right.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    #[test]
    fn no_leaves_give_zero_and_one_leaf_is_the_root() {
        assert_eq!(root(&[]), B256::ZERO);
        assert_eq!(root(&[leaf(7)]), leaf(7));
    }

    #[test]
    fn an_odd_node_moves_up_unchanged() {
        assert_eq!(root(&[leaf(1), leaf(2), leaf(3)]), join(join(leaf(1), leaf(2)), leaf(3)));
    }

    #[test]
    fn a_path_leaves_out_the_levels_at_which_a_node_stands_alone() {
        let leaves = [leaf(1), leaf(2), leaf(3)];
        assert_eq!(path(&leaves, 0), Some(vec![leaf(2), leaf(3)]));
        assert_eq!(path(&leaves, 2), Some(vec![join(leaf(1), leaf(2))]));
        assert_eq!(path(&leaves, 3), None);
        assert_eq!((path(&leaves[..1], 0), path(&[], 0)), (Some(vec![]), None));
        assert_eq!(root_by_path(leaf(7), 0, 1, &[]), Some(leaf(7)));
        assert_eq!(root_by_path(leaf(7), 0, 0, &[]), None);
    }

    #[test]
    fn order_matters() {
        assert_ne!(root(&[leaf(1), leaf(2)]), root(&[leaf(2), leaf(1)]));
    }
}
