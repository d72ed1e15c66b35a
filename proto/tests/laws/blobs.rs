//! Data in blobs: one form only, and nothing else is read.

use alloy_primitives::{B256, keccak256};
use baton_proto::{
    blobs::{
        BLOB_BYTES, BlobsError, CARRIED_BYTES, HEAD_BYTES, VERSION, count_for, data_bytes_max, data_hash, pack, unpack,
    },
    limits::{BATCH_BLOB_DATA_BYTES_MAX, BATCH_BLOBS_MAX},
};
use proptest::prelude::*;

/// Bytes that do not repeat and are rarely zero.
fn data(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 1).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_packed_comes_out_again(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), blobs in 0_usize..3) {
        let mut bytes = bytes;
        bytes.resize(bytes.len() + blobs * CARRIED_BYTES, 0);
        let packed = pack(&bytes).unwrap();
        prop_assert_eq!(packed.len(), count_for(bytes.len()));
        // Every element is a number below the group order, whose first byte is 0x73.
        prop_assert!(packed.iter().all(|blob| blob.len() == BLOB_BYTES && blob.chunks(32).all(|element| element[0] == 0)));
        prop_assert_eq!(unpack(&packed).unwrap(), bytes);
    }

    /// Whatever byte is changed: the blobs hold other data then, or none.
    #[test]
    fn no_two_lists_of_blobs_hold_the_same_data(length in 0_usize..3_000, at in 0_usize..BLOB_BYTES, bit in 0_u8..8) {
        let bytes = data(length);
        let mut packed = pack(&bytes).unwrap();
        packed[0][at] ^= 1 << bit;
        if let Ok(other) = unpack(&packed) {
            prop_assert_ne!(&other, &bytes);
            prop_assert_eq!(pack(&other).unwrap(), packed);
        }
    }

    #[test]
    fn bytes_that_nobody_packed_are_refused_or_canonical(seed in any::<u64>(), blobs in 0_usize..8, length in 0_usize..40) {
        let blobs: Vec<Vec<u8>> = (0..blobs).map(|_| vec![(seed % 3) as u8; BLOB_BYTES - length % 2]).collect();
        if let Ok(bytes) = unpack(&blobs) {
            prop_assert_eq!(pack(&bytes).unwrap(), blobs);
        }
    }
}

#[test]
fn as_few_blobs_are_taken_as_hold_the_data() {
    let full = CARRIED_BYTES - HEAD_BYTES;
    for (length, blobs) in
        [(0, 1), (1, 1), (full, 1), (full + 1, 2), (full + CARRIED_BYTES, 2), (full + CARRIED_BYTES + 1, 3)]
    {
        let packed = pack(&data(length)).unwrap();
        assert_eq!((packed.len(), count_for(length)), (blobs, blobs), "{length} bytes");
        assert_eq!(unpack(&packed).unwrap(), data(length));
    }
    assert_eq!(data_bytes_max(1), full);
    assert_eq!(data_bytes_max(0), 0);
    assert_eq!(data_bytes_max(BATCH_BLOBS_MAX as u64), BATCH_BLOB_DATA_BYTES_MAX);
    assert_eq!(data_bytes_max(u64::MAX), BATCH_BLOB_DATA_BYTES_MAX);
    assert_eq!(pack(&data(BATCH_BLOB_DATA_BYTES_MAX)).unwrap().len(), BATCH_BLOBS_MAX);
    let got = BATCH_BLOB_DATA_BYTES_MAX + 1;
    assert_eq!(pack(&data(got)), Err(BlobsError::TooLong { got }));
}

#[test]
fn every_other_form_is_refused_by_name() {
    let bytes = data(CARRIED_BYTES);
    let good = pack(&bytes).unwrap();
    assert_eq!(good.len(), 2);
    let with = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut blobs = good.clone();
        change(&mut blobs);
        unpack(&blobs).unwrap_err()
    };
    assert_eq!(with(&|blobs| blobs.clear()), BlobsError::Count { got: 0 });
    assert_eq!(with(&|blobs| blobs.resize(7, vec![0; BLOB_BYTES])), BlobsError::Count { got: 7 });
    assert_eq!(
        with(&|blobs| blobs[1].truncate(BLOB_BYTES - 1)),
        BlobsError::BlobLength { blob: 1, got: BLOB_BYTES - 1 }
    );
    assert_eq!(with(&|blobs| blobs[1].push(0)), BlobsError::BlobLength { blob: 1, got: BLOB_BYTES + 1 });
    assert_eq!(with(&|blobs| blobs[1][32 * 7] = 1), BlobsError::Element { blob: 1, element: 7 });
    assert_eq!(with(&|blobs| blobs[0][1] = VERSION + 1), BlobsError::UnknownVersion { got: VERSION + 1 });
    let length = bytes.len();
    let one_more = with(&|blobs| blobs.push(vec![0; BLOB_BYTES]));
    assert_eq!(one_more, BlobsError::WrongCount { length, expected: 2, got: 3 });
    assert_eq!(with(&|blobs| drop(blobs.pop())), BlobsError::WrongCount { length, expected: 2, got: 1 });
    // The longest length that the head can say.
    let longest = with(&|blobs| blobs[0][2..6].fill(0xff));
    let expected = count_for(u32::MAX as usize);
    assert_eq!(longest, BlobsError::WrongCount { length: u32::MAX as usize, expected, got: 2 });
    assert_eq!(
        with(&|blobs| *blobs[1].last_mut().unwrap() = 1),
        BlobsError::NotZero { at: 2 * CARRIED_BYTES - HEAD_BYTES - length - 1 }
    );
}

/// The form is on L1 for ever.
#[test]
fn the_form_is_pinned() {
    let blobs = pack(b"Baton carries its batches in blobs").unwrap();
    let start = "0001000000224261746f6e206361727269657320697473206261746368657320\
                 00696e20626c6f62730000000000000000000000000000000000000000000000";
    let got: String = blobs[0][..64].iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(got, start);
    assert!(blobs[0][64..].iter().all(|byte| *byte == 0));
    let hashes = [B256::repeat_byte(1), B256::repeat_byte(2)];
    assert_eq!(data_hash(&hashes), keccak256([[1_u8; 32], [2; 32]].concat()));
}
