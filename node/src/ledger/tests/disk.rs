//! What only a disk can get wrong: crashes, damage, and the wrong folder.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::PathBuf,
};

use baton_proto::Height;

use super::*;
use crate::ledger::{
    engine::{Edit, Engine, Expect, Layout, META},
    keys,
};

/// The newest write-ahead log, the only one with unflushed records in these tests.
fn log_of(folder: &Path) -> PathBuf {
    files(folder, "log").pop().unwrap()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder.join("db"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn error_of(result: Result<RocksLedger, LedgerError>) -> LedgerError {
    match result {
        Ok(_) => panic!("the folder opened"),
        Err(error) => error,
    }
}

#[test]
fn what_was_synced_survives_a_crash() {
    let fixture = on_disk();
    let blocks = chain_on(&genesis(), 1, 3);
    make_final(fixture.ledger(), &blocks[..2]);
    fixture.ledger().store_block(&blocks[2]).unwrap();
    let crashed = crash(fixture.folder.path());
    let ledger = open(crashed.path()).unwrap();
    assert_eq!(ledger.head().unwrap(), head_of(&blocks[1]));
    assert_eq!(ledger.block_by_digest(blocks[2].header.digest()).unwrap().as_ref(), Some(&blocks[2]));
}

#[test]
fn a_torn_last_record_is_dropped_and_nothing_else() {
    let fixture = on_disk();
    let blocks = chain_on(&genesis(), 1, 2);
    make_final(fixture.ledger(), &blocks[..1]);
    let acknowledged = length(&log_of(fixture.folder.path()));
    make_final(fixture.ledger(), &blocks[1..]);
    let whole = length(&log_of(fixture.folder.path()));
    assert!(whole > acknowledged);
    let positions = [0, 1, 6, 7, 8, 20, (whole - acknowledged) / 2, whole - acknowledged - 1];
    for cut in positions.map(|more| acknowledged + more) {
        let crashed = crash(fixture.folder.path());
        let log = fs::OpenOptions::new().write(true).open(log_of(crashed.path())).unwrap();
        log.set_len(cut).unwrap();
        let ledger = open(crashed.path()).unwrap_or_else(|error| panic!("cut at {cut} of {whole}: {error}"));
        // The second step is not half there: head, block and finalization are all of the first one.
        assert_eq!(ledger.head().unwrap(), head_of(&blocks[0]), "cut at {cut} of {whole}");
        assert_eq!(ledger.block_by_digest(blocks[1].header.digest()).unwrap(), None);
        assert_eq!(ledger.finalization_from(Height::ZERO).unwrap(), Some((Height::new(1), finalization(&blocks[0]))));
        // And the step can be taken again.
        make_final(&ledger, &blocks[1..]);
        drop(ledger);
        assert_eq!(open(crashed.path()).unwrap().head().unwrap(), head_of(&blocks[1]));
    }
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused() {
    let fixture = on_disk();
    let blocks = chain_on(&genesis(), 1, 40);
    for block in &blocks {
        make_final(fixture.ledger(), std::slice::from_ref(block));
    }
    let whole = length(&log_of(fixture.folder.path()));
    for position in [whole / 4, whole / 2, whole * 3 / 4] {
        let crashed = crash(fixture.folder.path());
        flip(&log_of(crashed.path()), position);
        let error = error_of(open(crashed.path()));
        assert!(error.is_corruption(), "byte {position} of {whole}: {error}");
        assert!(error.to_string().contains("catch up from its peers"), "{error}");
    }
}

#[test]
fn damage_in_a_table_is_noticed_when_it_is_read_and_never_panics() {
    let mut fixture = on_disk();
    let blocks = chain_on(&genesis(), 1, 30);
    make_final(fixture.ledger(), &blocks);
    fixture.reopen();
    let tables = files(fixture.folder.path(), "sst");
    assert!(!tables.is_empty(), "reopening writes the log out into tables");
    let mut noticed = 0;
    for table in &tables {
        let crashed = crash(fixture.folder.path());
        flip(&crashed.path().join("db").join(table.file_name().unwrap()), length(table) / 4);
        let read_everything = || -> Result<(), LedgerError> {
            let ledger = open(crashed.path())?;
            for height in 0..=30 {
                ledger.block(Height::new(height))?;
                ledger.results(Height::new(height))?;
                ledger.receipts(Height::new(height))?;
                drop(ledger.state_at(Height::new(height))?);
                ledger.finalization_from(Height::new(height))?;
            }
            ledger.certificates(EPOCH).map(drop)
        };
        if let Err(error) = read_everything() {
            assert!(error.is_corruption(), "{error}");
            noticed += 1;
        }
    }
    assert!(noticed > 0);
}

#[test]
fn a_missing_file_is_refused() {
    let mut fixture = on_disk();
    make_final(fixture.ledger(), &chain_on(&genesis(), 1, 3));
    fixture.reopen();
    let missing = |name: &dyn Fn(&Path) -> PathBuf| {
        let crashed = crash(fixture.folder.path());
        fs::remove_file(name(crashed.path())).unwrap();
        let error = error_of(open(crashed.path()));
        assert!(error.is_corruption(), "{error}");
    };
    missing(&|folder| files(folder, "sst").pop().unwrap());
    missing(&|folder| folder.join("db/CURRENT"));
    let crashed = crash(fixture.folder.path());
    fs::remove_dir_all(crashed.path().join("db")).unwrap();
    assert!(error_of(open(crashed.path())).is_corruption());
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let fixture = on_disk();
    let path = fixture.folder.path().to_owned();
    let error = error_of(open(&path));
    assert!(matches!(error, LedgerError::Engine(EngineError::Locked { .. })), "{error}");
    assert!(error.to_string().contains("in use by another process"));
    drop(fixture.ledger);
    open(&path).unwrap();
}

#[test]
fn another_chains_folder_is_refused_with_both_names() {
    let mut fixture = on_disk();
    drop(fixture.ledger.take());
    let ours = identity();
    let other = ChainIdentity { inbox: Address::repeat_byte(0xbb), ..ours };
    let error = error_of(RocksLedger::open(fixture.folder.path(), &other));
    assert!(matches!(&error, LedgerError::OtherChain { stored, configured, .. }
        if **stored == ours && **configured == other));
    let text = error.to_string();
    assert!(text.contains(&ours.inbox.to_string()) && text.contains(&other.inbox.to_string()), "{text}");
    open(fixture.folder.path()).unwrap();
}

#[test]
fn a_newer_schema_is_refused_even_with_families_that_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let newer = Layout { what: "ledger", schema: 3, families: &["blocks", "witnesses"], remedy: "" };
    let mut engine = Engine::open(folder.path(), newer, Expect::Any).unwrap();
    engine.write(vec![Edit::Put(META, b"identity".to_vec(), b"?".to_vec())], Durability::Synced).unwrap();
    engine.complete().unwrap();
    drop(engine);
    let error = error_of(open(folder.path()));
    assert!(matches!(error, LedgerError::Engine(EngineError::NewerSchema { stored: 3, known: 2, .. })), "{error}");
    assert!(error.to_string().contains("newer version"));
}

#[test]
fn a_folder_that_was_never_completed_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).unwrap());
    fs::remove_file(folder.path().join("format")).unwrap();
    drop(open(folder.path()).unwrap());
    fs::remove_file(folder.path().join("format")).unwrap();
    fs::remove_dir_all(folder.path().join("db")).unwrap();
    let ledger = open(folder.path()).unwrap();
    assert!(matches!(ledger.head(), Err(LedgerError::NoGenesis)));
}

#[test]
fn a_body_that_is_not_the_one_its_key_names_is_an_error() {
    let (a, b) = (child(&genesis(), 1, Vec::new()), child(&genesis(), 2, Vec::new()));
    for wrong in [baton_proto::wire::block_to_bytes(&b), vec![0xff; 40], Vec::new()] {
        let store = MemoryStore::default();
        let digest = a.header.digest();
        let changes = vec![
            Change::Put(Family::Blocks, keys::height_of(digest), keys::be(1).to_vec()),
            Change::Put(Family::Blocks, keys::body(Height::new(1), digest), wrong),
            Change::Put(Family::Blocks, keys::unfinal(Height::new(1), digest), Vec::new()),
            Change::Put(Family::State, keys::account(Address::ZERO), vec![1]),
        ];
        store.write(changes, Durability::Synced).unwrap();
        let ledger = MemoryLedger::over(store, &identity()).unwrap();
        assert!(ledger.block_by_digest(digest).unwrap_err().is_corruption());
        assert!(ledger.unfinal_headers().unwrap_err().is_corruption());
        assert!(ledger.nonce(Address::ZERO).unwrap_err().is_corruption());
    }
}

fn flip(path: &Path, position: u64) {
    let bytes = fs::read(path).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(position)).unwrap();
    let index = usize::try_from(position).unwrap();
    file.write_all(&[bytes[index] ^ 0x55]).unwrap();
}
