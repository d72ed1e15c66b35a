//! Golden files: compared on every run, written anew with `BATON_BLESS=1`.

use std::{fs, path::Path};

/// Compares `actual` with the file at `path`, relative to this crate; with `BATON_BLESS=1` writes it.
pub(crate) fn compare(path: &str, actual: &[u8]) {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("BATON_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(&full, actual).unwrap();
        return;
    }
    let expected = fs::read(&full).unwrap_or_else(|error| panic!("{path}: {error}; BATON_BLESS=1 writes it"));
    let at = expected.iter().zip(actual).position(|(a, b)| a != b).unwrap_or(expected.len().min(actual.len()));
    assert!(
        expected == actual,
        "{path} differs from byte {at} on ({} bytes in the file, {} now). Changing it is a decision: BATON_BLESS=1 writes it",
        expected.len(),
        actual.len()
    );
}
