//! Paths to a payload root: each proves one item at one place, and nothing else.

use alloy_primitives::{B256, keccak256};
use baton_proto::merkle::{path, root, root_by_path};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::strategies::{block, config};

fn leaves(count: u32) -> Vec<B256> {
    (0..count).map(|n| keccak256(n.to_be_bytes())).collect()
}

fn flipped(hash: B256, bit: usize) -> B256 {
    let mut bytes = hash.0;
    bytes[bit / 8] ^= 1 << (bit % 8);
    B256::new(bytes)
}

/// Every tree of up to 40 leaves, every leaf in it at every place.
#[test]
fn a_path_proves_its_leaf_at_its_place_alone() {
    for count in 1..=40_u32 {
        let leaves = leaves(count);
        let root = root(&leaves);
        for (place, leaf) in (0..).zip(&leaves) {
            let path = path(&leaves, place as usize).unwrap();
            assert!(path.len() <= 6, "{} hashes for {count} leaves", path.len());
            let proven: Vec<u32> =
                (0..count + 2).filter(|at| root_by_path(*leaf, *at, count, &path) == Some(root)).collect();
            assert_eq!(proven, [place], "of {count}");
            let others = leaves.iter().filter(|other| *other != leaf);
            assert!(others.into_iter().all(|other| root_by_path(*other, place, count, &path) != Some(root)));
        }
        assert_eq!(path(&leaves, count as usize), None);
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn any_bit_flipped_fails(leaves in vec(any::<[u8; 32]>().prop_map(B256::new), 1..300), place: Index, bit: Index) {
        let index = place.index(leaves.len());
        let (at, count) = (u32::try_from(index).unwrap(), u32::try_from(leaves.len()).unwrap());
        let (root, path) = (root(&leaves), path(&leaves, index).unwrap());
        prop_assert_eq!(root_by_path(leaves[index], at, count, &path), Some(root));
        let bit = bit.index(256 * (path.len() + 1));
        let (mut leaf, mut wrong) = (leaves[index], path.clone());
        match (bit / 256).checked_sub(1) {
            None => leaf = flipped(leaf, bit % 256),
            Some(step) => wrong[step] = flipped(wrong[step], bit % 256),
        }
        prop_assert_ne!(root_by_path(leaf, at, count, &wrong), Some(root));
        let longer = [path.as_slice(), &[B256::ZERO]].concat();
        prop_assert_eq!(root_by_path(leaves[index], at, count, &longer), None);
        if let Some((_, shorter)) = path.split_last() {
            prop_assert_eq!(root_by_path(leaves[index], at, count, shorter), None);
        }
    }

    /// Forced entries and transactions alike, under the header that commits to them.
    #[test]
    fn a_header_holds_each_item_of_its_block(block in block(), place: Index, byte: Index) {
        let count = block.header.transaction_count;
        prop_assert!(block.item(count).is_none() && block.path(count).is_none());
        for index in 0..count {
            let (item, path) = (block.item(index).unwrap(), block.path(index).unwrap());
            prop_assert!(block.header.holds(index, item, &path));
        }
        if count > 0 {
            let index = u32::try_from(place.index(count as usize)).unwrap();
            let (mut item, path) = (block.item(index).unwrap().to_vec(), block.path(index).unwrap());
            let byte = byte.index(item.len());
            item[byte] ^= 1;
            prop_assert!(!block.header.holds(index, &item, &path));
        }
    }
}
