//! The versions in `Cargo.lock` against the floors in `deny.toml`, so that a downgrade fails without any tool installed.

use std::{collections::BTreeMap, path::Path};

use toml::{Table, Value};

fn read(file: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).parse().unwrap()
}

/// Numbers alone: a pre-release of the floor itself counts as the floor.
fn version(text: &str) -> Vec<u64> {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').map(|number| number.parse().unwrap_or_else(|_| panic!("{text} is no version"))).collect()
}

fn list<'a>(table: &'a Table, key: &str) -> &'a [Value] {
    table[key].as_array().unwrap_or_else(|| panic!("{key} is no list"))
}

fn floors() -> Vec<(String, Vec<u64>)> {
    let deny = read("deny.toml");
    let denied = list(deny["bans"].as_table().unwrap(), "deny");
    let floor = |entry: &Value| {
        let denied = entry["crate"].as_str().unwrap();
        let (name, below) = denied.split_once(":<").unwrap_or_else(|| panic!("{denied} is no floor"));
        (name.to_owned(), version(below))
    };
    denied.iter().map(floor).collect()
}

#[test]
fn nothing_locked_is_below_its_floor() {
    let lock = read("Cargo.lock");
    let mut locked: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in list(&lock, "package") {
        locked.entry(package["name"].as_str().unwrap()).or_default().push(package["version"].as_str().unwrap());
    }
    let floors = floors();
    for (name, floor) in &floors {
        // A floor for a crate that is not there guards nothing: it is misspelt, or may go.
        let versions = locked.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in Cargo.lock"));
        for got in versions {
            assert!(version(got) >= *floor, "{name} {got} is below its floor {floor:?} in deny.toml");
        }
    }
    for needed in ["libp2p", "libp2p-gossipsub", "yamux", "quinn-proto", "snow"] {
        assert!(floors.iter().any(|(name, _)| name == needed), "{needed} has no floor");
    }
}

#[test]
fn versions_compare_by_number() {
    assert!(version("0.13.10") > version("0.13.9") && version("0.14.1") > version("0.13.10"));
    assert!(version("0.5.0-alpha") == version("0.5.0") && version("1.0") < version("1.0.1"));
}
