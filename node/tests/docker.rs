//! `docker/` keeps step with the workspace and with the devnet.

use std::{collections::BTreeSet, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The layer of dependencies is built from the manifests alone, so it has to copy every one of them.
#[test]
fn the_dockerfile_copies_the_manifest_of_every_crate() {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let members: BTreeSet<String> = members.iter().map(|member| member.as_str().unwrap().to_owned()).collect();
    let dockerfile = read("docker/Dockerfile");
    let copied: BTreeSet<String> = dockerfile
        .lines()
        .filter_map(|line| {
            let (crate_name, target) = line.strip_prefix("COPY ")?.split_once("/Cargo.toml ")?;
            assert_eq!(format!("{crate_name}/"), target, "{line}");
            Some(crate_name.to_owned())
        })
        .collect();
    assert_eq!(copied, members);
}

/// Compiler and L1 are those that tests run with.
#[test]
fn the_images_have_the_compiler_and_the_l1_of_the_checkout() {
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    let channel = toolchain["toolchain"]["channel"].as_str().unwrap();
    let dockerfile = read("docker/Dockerfile");
    assert!(dockerfile.contains(&format!("\nARG RUST_IMAGE=rust:{channel}-")), "not the compiler {channel}");

    // Flags are compared as the devnet's source has them: "--name", "value".
    let anvil = read("node/src/l1/anvil.rs");
    let (_, entrypoint) = dockerfile.split_once("ENTRYPOINT [\"anvil\",").unwrap();
    for flags in [
        r#""--hardfork", "osaka""#,
        r#""--gas-limit", "60000000""#,
        r#""--enable-tx-gas-limit""#,
        r#""--chain-id", "#,
        r#""--slots-in-an-epoch", "#,
        r#""--mixed-mining""#,
    ] {
        assert!(anvil.contains(flags) || anvil.contains(flags.trim_end_matches(", ")), "the devnet has no {flags}");
        assert!(entrypoint.contains(flags), "the image has no {flags}");
    }
}
