//! The root that commits a header to its payload.

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
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => keccak256([left.as_slice(), right.as_slice()].concat()),
                [alone] => *alone,
                _ => unreachable!("chunks of two hold one or two"),
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(n: u8) -> B256 {
        B256::repeat_byte(n)
    }

    fn node(left: B256, right: B256) -> B256 {
        keccak256([left.as_slice(), right.as_slice()].concat())
    }

    #[test]
    fn no_leaves_give_zero_and_one_leaf_is_the_root() {
        assert_eq!(root(&[]), B256::ZERO);
        assert_eq!(root(&[leaf(7)]), leaf(7));
    }

    #[test]
    fn an_odd_node_moves_up_unchanged() {
        assert_eq!(root(&[leaf(1), leaf(2), leaf(3)]), node(node(leaf(1), leaf(2)), leaf(3)));
    }

    #[test]
    fn order_matters() {
        assert_ne!(root(&[leaf(1), leaf(2)]), root(&[leaf(2), leaf(1)]));
    }
}
