//! What comes back from a file that was written, cut off, damaged, somebody else's, or written anew.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::admission::testing::{CHAIN_ID, TestDisk, raw_call, transfer};

const CHAIN: L2ChainId = L2ChainId::new(CHAIN_ID);
const BOUNDS: JournalBounds = JournalBounds { records_max: 100, bytes_max: 100_000 };

struct Folder {
    _folder: TempDir,
    path: PathBuf,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("transactions.journal");
        Self { _folder: folder, path }
    }

    fn open(&self) -> (Journal, Vec<Kept>) {
        Journal::open(&self.path, CHAIN, BOUNDS).unwrap()
    }

    /// A journal that holds these, appended one by one.
    fn with(&self, transactions: &[(u64, Transaction)]) -> Journal {
        let (mut journal, _) = self.open();
        journal.rewrite(Vec::new()).unwrap();
        for transaction in transactions {
            journal.append(std::slice::from_ref(transaction), &[]).unwrap();
        }
        journal
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn damaged(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path.with_extension("damaged")).ok()
    }
}

fn transactions(count: u64) -> Vec<(u64, Transaction)> {
    (0..count).map(|nonce| (1_000 + nonce, transfer(1, nonce, 5))).collect()
}

fn kept(transactions: &[(u64, Transaction)]) -> Vec<Kept> {
    transactions.iter().map(|(at_ms, transaction)| Kept { at_ms: *at_ms, raw: transaction.raw().clone() }).collect()
}

#[test]
fn what_was_accepted_comes_back_in_order_with_its_time() {
    let folder = Folder::new();
    let (journal, nothing) = folder.open();
    assert!(nothing.is_empty() && journal.is_stale() && !folder.path.exists());
    let all = transactions(5);
    let mut journal = folder.with(&all[..2]);
    journal.append(&all[2..], &[]).unwrap();
    assert!(all.iter().all(|(_, transaction)| journal.holds(transaction.hash())));
    assert_eq!(folder.open().1, kept(&all));
    journal.rewrite(all[1..3].to_vec()).unwrap();
    assert!(!journal.holds(all[0].1.hash()) && journal.holds(all[1].1.hash()));
    journal.append(&all[4..], &[]).unwrap();
    assert_eq!(folder.open().1, kept(&[all[1].clone(), all[2].clone(), all[4].clone()]));
}

#[test]
fn what_became_obsolete_does_not_come_back_unless_it_is_accepted_again() {
    let folder = Folder::new();
    let all = transactions(3);
    let mut journal = folder.with(&all);
    journal.append(&[], &[*all[1].1.hash(), *all[2].1.hash()]).unwrap();
    assert!(!journal.holds(all[1].1.hash()));
    journal.append(&[(9_000, all[2].1.clone())], &[]).unwrap();
    assert_eq!(folder.open().1, kept(&[all[0].clone(), (9_000, all[2].1.clone())]));
}

#[test]
fn what_was_accepted_twice_is_as_old_as_the_first_time_and_stands_where_it_was_accepted_last() {
    let folder = Folder::new();
    let all = transactions(2);
    let mut journal = folder.with(&all);
    journal.append(&[(9_000, all[0].1.clone())], &[]).unwrap();
    assert_eq!(folder.open().1, kept(&[all[1].clone(), all[0].clone()]));
}

#[test]
fn a_write_that_was_cut_off_is_dropped_and_nothing_else() {
    let folder = Folder::new();
    let all = transactions(3);
    drop(folder.with(&all[..2]));
    let before = folder.bytes().len();
    drop(folder.with(&all));
    let whole = folder.bytes();
    for cut in before..whole.len() {
        std::fs::write(&folder.path, &whole[..cut]).unwrap();
        assert_eq!(folder.open().1, kept(&all[..2]), "cut at {cut}");
        // A file that grew before its bytes came is full of zeros.
        let mut zeros = whole[..cut].to_vec();
        zeros.resize(whole.len() + 100, 0);
        std::fs::write(&folder.path, zeros).unwrap();
        assert_eq!(folder.open().1, kept(&all[..2]), "zeros from {cut}");
    }
    assert_eq!(folder.damaged(), None);
}

#[test]
fn damage_inside_costs_what_is_damaged_and_keeps_the_file_aside() {
    let folder = Folder::new();
    let all = transactions(4);
    drop(folder.with(&all));
    let whole = folder.bytes();
    let record = (whole.len() - record::HEADERS_BYTES) / all.len();
    let second = record::HEADERS_BYTES + record;
    for at in second..second + record {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&folder.path, &damaged).unwrap();
        assert_eq!(folder.open().1, kept(&[all[0].clone(), all[2].clone(), all[3].clone()]), "byte {at}");
        assert_eq!(folder.damaged(), Some(damaged));
    }
    // Of the header there are two copies.
    for at in 0..record::HEADERS_BYTES {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&folder.path, &damaged).unwrap();
        assert_eq!(folder.open().1, kept(&all), "byte {at}");
        assert_eq!(folder.damaged(), Some(damaged));
    }
    let mut damaged = whole;
    damaged[..record::HEADERS_BYTES].fill(0);
    std::fs::write(&folder.path, &damaged).unwrap();
    assert_eq!(folder.open().1, []);
    assert_eq!(folder.damaged(), Some(damaged));
}

#[test]
fn a_transaction_cannot_bring_a_record_that_damage_lays_open() {
    let folder = Folder::new();
    let (victim, never_sent) = (transfer(1, 0, 5), transfer(2, 0, 5));
    // Records as a sender can make them: of another file, and without a mark.
    let mut forged = Vec::new();
    let accepted = Record::Accepted { at_ms: 7, raw: never_sent.raw().clone() };
    for record in [accepted, Record::Obsolete(*victim.hash())] {
        record.write(&Mark::default(), &mut forged);
        let mut marked = Vec::new();
        record.write(&[7; 16], &mut marked);
        let (length, body) = (&marked[..4], &marked[12..]);
        forged.extend([length, &keccak256([length, body].concat())[..8], body].concat());
    }
    let carrier = Transaction::decode(raw_call(3, 0, 5, forged.clone())).unwrap();
    let all = [victim, carrier, transfer(4, 0, 5)].map(|transaction| (1_000, transaction));
    drop(folder.with(&all));
    let whole = folder.bytes();
    let calldata = whole.windows(forged.len()).position(|bytes| bytes == forged).unwrap();
    let record = whole.len() - record::HEADERS_BYTES - all.iter().map(|(_, tx)| tx.raw().len()).sum::<usize>();
    let second = record::HEADERS_BYTES + record / all.len() + all[0].1.raw().len();
    for at in second..calldata {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&folder.path, &damaged).unwrap();
        assert_eq!(folder.open().1, kept(&[all[0].clone(), all[2].clone()]), "byte {at}");
    }
}

#[test]
fn the_journal_of_another_chain_is_refused_with_both_ids() {
    let folder = Folder::new();
    drop(folder.with(&transactions(1)));
    let before = folder.bytes();
    let error = Journal::open(&folder.path, L2ChainId::new(42), BOUNDS).err().unwrap();
    assert!(error.is_refusal());
    let text = error.to_string();
    assert!(text.contains("belongs to L2 chain 7777") && text.contains("this node runs L2 chain 42"), "{text}");
    assert_eq!(folder.bytes(), before);
}

#[test]
fn a_newer_version_is_refused() {
    let folder = Folder::new();
    let mut header = b"batontxj".to_vec();
    header.extend(3_u32.to_be_bytes());
    header.extend(CHAIN_ID.to_be_bytes());
    header.extend(Mark::default());
    header.extend(&keccak256(&header)[..8]);
    std::fs::write(&folder.path, header).unwrap();
    let error = Journal::open(&folder.path, CHAIN, BOUNDS).err().unwrap();
    assert!(error.is_refusal() && error.to_string().contains("has version 3"), "{error}");
}

#[test]
fn a_file_that_outgrows_a_bound_says_so_until_it_is_written_anew() {
    let folder = Folder::new();
    let all = transactions(5);
    let by_records = JournalBounds { records_max: 4, ..BOUNDS };
    let by_bytes = JournalBounds { bytes_max: 500, ..BOUNDS };
    for bounds in [by_records, by_bytes] {
        let (mut journal, _) = Journal::open(&folder.path, CHAIN, bounds).unwrap();
        journal.rewrite(Vec::new()).unwrap();
        journal.append(&all[..3], &[]).unwrap();
        assert!(!journal.is_outgrown());
        journal.append(&all[3..], &[]).unwrap();
        assert!(journal.is_outgrown());
        let before = folder.bytes().len();
        journal.rewrite(all[..1].to_vec()).unwrap();
        assert!(!journal.is_outgrown() && folder.bytes().len() < before);
    }
    // What any pool can hold fits twice, so that no file is outgrown right after it was written anew.
    let pool = PoolConfig::new(CHAIN_ID, 120_000_000, baton_proto::OrderingRule::PriorityFee);
    let bounds = JournalBounds::of(&pool);
    assert!(bounds.records_max >= 2 * pool.transactions_max);
    assert!(bounds.bytes_max >= 2 * (pool.bytes_max + pool.transactions_max * record::OVERHEAD_BYTES));
}

#[test]
fn after_a_write_that_failed_nothing_is_appended_to_what_it_left_behind() {
    let folder = Folder::new();
    let (disk, control) = TestDisk::new(&folder.path);
    let (mut journal, _) = Journal::open_on(Box::new(disk), &folder.path, CHAIN, BOUNDS).unwrap();
    journal.rewrite(Vec::new()).unwrap();
    let all = transactions(4);
    journal.append(&all[..1], &[]).unwrap();
    control.fail(true);
    journal.append(&all[1..2], &[]).unwrap_err();
    assert!(journal.is_stale() && !journal.holds(all[1].1.hash()) && journal.holds(all[0].1.hash()));
    assert!(matches!(journal.rewrite(all[..1].to_vec()), Err(JournalError::Unwritable { .. })));
    control.fail(false);
    journal.append(&all[2..3], &[]).unwrap_err();
    journal.rewrite(all[..1].to_vec()).unwrap();
    journal.append(&all[3..], &[]).unwrap();
    assert_eq!(folder.open().1, kept(&[all[0].clone(), all[3].clone()]));
}

/// Files as bytes, so that a property needs no disk.
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Disk for Memory {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    }

    fn replace(&mut self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()> {
        *self.0.lock().unwrap() = chunks.flatten().collect();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_happens_to_a_file_only_what_was_written_comes_back(
        count in 0_u64..6,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let file = Arc::new(Mutex::new(Vec::new()));
        let disk = Box::new(Memory(Arc::clone(&file)));
        let (mut journal, _) = Journal::open_on(disk, Path::new("/nowhere/journal"), CHAIN, BOUNDS).unwrap();
        journal.rewrite(Vec::new()).unwrap();
        let all = transactions(count);
        journal.append(&all, &[]).unwrap();
        let mut bytes = file.lock().unwrap().clone();
        prop_assert_eq!(record::read(&bytes).records.len() as u64, count);
        for (at, change) in &flips {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        let written: Vec<Record> = kept(&all).into_iter().map(|kept| Record::Accepted { at_ms: kept.at_ms, raw: kept.raw }).collect();
        let mut left = written.iter();
        for record in record::read(&bytes).records {
            prop_assert!(left.any(|written| *written == record), "something that was never written, or in another order");
        }
    }
}
