//! Golden vectors that Rust and Solidity both read.

use std::{fs, path::PathBuf};

use serde_json::Value;

/// Compares `value` with the golden file `name`, or writes it when blessed (`BATON_BLESS=1`).
pub(crate) fn golden(name: &str, value: &Value) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contracts/test/vectors").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(value).expect("a value is text"));
    if std::env::var_os("BATON_BLESS").is_some() {
        fs::write(&path, text).expect("the vectors can be written");
        return;
    }
    let stored = fs::read_to_string(&path).expect("the vectors can be read");
    assert!(stored == text, "{} differs from what this crate computes", path.display());
}
