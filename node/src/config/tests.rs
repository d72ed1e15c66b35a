//! Layers, rules and the shipped example.

use clap::{Args as _, CommandFactory as _, FromArgMatches as _, Parser};

use super::*;

const PEER_ID: &str = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
const OTHER_PEER_ID: &str = "12D3KooWHCJbJKGDfCgHRoCuK9q4STyRnVveqLoXAPBbXHTZx9Cv";

const MINIMAL: &str = r#"
data_dir = "/data/chain"
consensus_key = "/keys/consensus.key"
[l1]
rpc = ["http://localhost:8545"]
chain_id = 31337
registry = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
inbox = "0x9fe46736679d2d9a65f0992f2272de9f3c7fa6e0"
slasher = "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"
[p2p]
identity = "/keys/p2p.key"
"#;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    keys: NodeKeys,
}

fn flags(arguments: &[&str]) -> NodeKeys {
    Flags::try_parse_from([&["baton"], arguments].concat()).unwrap().keys
}

fn resolve(file: &str, arguments: &[&str]) -> Result<Config, ConfigError> {
    Config::resolve(flags(arguments).or(parse(file).unwrap()))
}

#[test]
fn the_smallest_file_gets_every_default() {
    let config = resolve(MINIMAL, &[]).unwrap();
    assert_eq!(config.rpc, RpcConfig::default());
    assert_eq!(config.pool, PoolBounds::default());
    let defaults = (config.pool.transactions_max as usize, config.pool.bytes_max as usize, config.pool.lifetime_ms);
    assert_eq!(defaults, (PoolConfig::TRANSACTIONS_MAX, PoolConfig::BYTES_MAX, PoolConfig::LIFETIME_MS));
    assert_eq!(u128::from(config.pool.priority_fee_min_wei), PoolConfig::PRIORITY_FEE_MIN);
    assert_eq!(config.rpc.listen.to_string(), RPC_LISTEN_DEFAULT);
    assert_eq!(config.health.listen.to_string(), HEALTH_LISTEN_DEFAULT);
    assert_eq!(config.p2p.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), P2P_LISTEN_DEFAULT);
    assert_eq!(config.sign_record_dir.as_deref(), Some(Path::new("/keys/sign-record")));
    assert_eq!((config.l1.poll_interval_ms, config.l1.stale_after_ms), (1_000, 60_000));
    assert_eq!((config.l1.beacon, config.l1.batch_data), (vec![], DataChoice::Auto));
    assert_eq!((config.log.level.as_str(), config.log.format), ("info", LogFormat::Text));
    assert_eq!((config.poster_key, config.evidence_key, config.l2_chain_id), (None, None, None));
    assert_eq!(config.genesis, None);
}

#[test]
fn a_node_without_a_consensus_key_is_a_follower() {
    let keyless: String =
        MINIMAL.lines().filter(|line| !line.starts_with("consensus_key")).map(|line| format!("{line}\n")).collect();
    let config = resolve(&keyless, &[]).unwrap();
    assert_eq!((&config.consensus_key, &config.sign_record_dir), (&None, &None));
    assert!(!config.to_string().contains("consensus_key") && !config.to_string().contains("sign_record_dir"));
    // A record without a key is a key that was forgotten.
    let error = resolve(&keyless, &["--next-consensus-key", "/next/key"]).unwrap_err().to_string();
    assert!(error.contains("`next_consensus_key`") && error.contains("`consensus_key`"), "{error}");
    let error = resolve(&keyless, &["--sign-record-dir", "/record"]).unwrap_err().to_string();
    assert!(error.contains("`sign_record_dir`") && error.contains("`consensus_key`"), "{error}");
}

#[test]
fn the_shipped_example_parses_and_its_comments_show_the_defaults() {
    let text = include_str!("../../../docker/node.toml");
    let shipped = Config::resolve(parse(text).unwrap()).unwrap();
    assert_eq!(shipped.p2p.peers.len(), 1);
    assert_eq!(shipped.genesis.as_deref(), Some(Path::new("/keys/genesis.json")));

    // Every commented `# key = value` line is the default: setting it changes nothing.
    let spelled_out: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(spelled_out, text);
    let spelled_out = Config::resolve(parse(&spelled_out).unwrap()).unwrap();
    assert_eq!(shipped.to_string(), spelled_out.to_string());
}

#[test]
fn an_unknown_key_is_refused_by_name_in_every_section() {
    for section in ["", "[l1]", "[p2p]", "[pool]", "[rpc]", "[health]", "[log]"] {
        let error = parse(&format!("{section}\nlisten_adress = 1\n")).unwrap_err().to_string();
        assert!(error.contains("unknown field `listen_adress`"), "{section}: {error}");
    }
    // The override is for one start, so it is no key of a file that stays.
    let error = parse("accept_missing_sign_record = true").unwrap_err().to_string();
    assert!(error.contains("unknown field `accept_missing_sign_record`"), "{error}");
}

#[test]
fn what_is_missing_is_named_with_all_its_spellings() {
    let without = MINIMAL.replace("chain_id = 31337\n", "");
    let error = resolve(&without, &[]).unwrap_err().to_string();
    for part in ["`l1.chain_id`", "BATON_L1_CHAIN_ID", "--l1-chain-id"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(resolve(&without, &["--l1-chain-id", "5"]).unwrap().l1.chain_id, L1ChainId::new(5));
}

#[test]
fn a_flag_outranks_the_file_even_for_a_list() {
    let file = format!("{MINIMAL}listen = [\"/ip4/1.2.3.4/tcp/1\"]\n[rpc]\nconnections_max = 7\nbody_bytes_max = 9\n");
    let config = resolve(&file, &["--rpc-connections-max", "8", "--p2p-listen", "/ip4/5.6.7.8/tcp/2"]).unwrap();
    assert_eq!((config.rpc.connections_max, config.rpc.body_bytes_max), (8, 9));
    assert_eq!(config.p2p.listen, ["/ip4/5.6.7.8/tcp/2".parse().unwrap()]);
}

/// Flag and variable of a key follow from its place in the file, so one rule in the manual covers all; the two lists
/// whose flag is given once per entry have it in the singular.
#[test]
fn every_flag_has_the_variable_of_the_same_name() {
    let command = NodeKeys::augment_args(Flags::command());
    let mut seen = 0;
    for argument in command.get_arguments().filter(|argument| argument.get_long().is_some_and(|long| long != "help")) {
        let long = argument.get_long().unwrap();
        let expected = match long {
            "p2p-peer" => "p2p-peers",
            "p2p-observer" => "p2p-observers",
            other => other,
        };
        let env = argument.get_env().unwrap_or_else(|| panic!("--{long} has no variable")).to_str().unwrap();
        assert_eq!(env, format!("BATON_{}", expected.replace('-', "_").to_uppercase()));
        assert!(argument.get_help().is_some(), "--{long} is not explained");
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

/// clap reads the process environment, which tests share; each variable here is used by no other test.
#[test]
fn flags_and_matches_agree_on_types() {
    let matches = NodeKeys::augment_args(clap::Command::new("baton"))
        .try_get_matches_from(["baton", "--l1-rpc", "http://a,https://b/key", "--log-format", "json"])
        .unwrap();
    let keys = NodeKeys::from_arg_matches(&matches).unwrap();
    assert_eq!(keys.l1.rpc.unwrap().len(), 2);
    assert_eq!(keys.log.format, Some(LogFormat::Json));
}

#[test]
fn an_l1_endpoint_prints_without_its_token() {
    let file = MINIMAL.replace("http://localhost:8545", "https://user:secret1@l1.example:444/v3/secret2?key=secret3");
    let config = resolve(&file, &[]).unwrap();
    for printed in [config.to_string(), format!("{config:?}")] {
        assert!(printed.contains("https://l1.example:444/[redacted]"), "{printed}");
        assert!(!printed.contains("secret"), "{printed}");
    }
    assert_eq!(config.l1.rpc[0].expose().path(), "/v3/secret2");
    assert_eq!(resolve(MINIMAL, &[]).unwrap().l1.rpc[0].to_string(), "http://localhost:8545");
    for (refused, why) in [("ws://l1/secret4", "http or https, not ws"), ("secret5", "not a URL")] {
        let error = resolve(&MINIMAL.replace("http://localhost:8545", refused), &[]).unwrap_err().to_string();
        assert!(error.contains("`l1.rpc`") && error.contains(why) && !error.contains("secret"), "{error}");
    }
}

#[test]
fn the_help_hides_endpoints_given_by_the_environment() {
    let command = NodeKeys::augment_args(clap::Command::new("baton"));
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some("l1-rpc")).unwrap();
    assert!(argument.is_hide_env_values_set());
}

#[test]
fn a_peer_is_an_address_that_names_its_peer_id() {
    let text = |host: &str, id: &str| format!("/ip4/{host}/tcp/1/p2p/{id}");
    let given = [text("1.1.1.1", PEER_ID), text("2.2.2.2", PEER_ID), text("3.3.3.3", OTHER_PEER_ID)];
    let joined = given.join(",");
    let by_flags = ["--p2p-peer", &given[0], "--p2p-peer", &given[1], "--p2p-peer", &given[2]];
    for arguments in [&by_flags[..], &["--p2p-peer", &joined], &["--p2p-observer", &joined]] {
        let config = resolve(MINIMAL, arguments).unwrap();
        let read: Vec<String> =
            config.p2p.peers.iter().chain(&config.p2p.observers).map(PeerAddress::to_string).collect();
        assert_eq!(read, given);
    }
    let config = resolve(&format!("{MINIMAL}peers = {given:?}"), &[]).unwrap();
    assert_eq!(config.p2p.peers[1].address.to_string(), "/ip4/2.2.2.2/tcp/1");
    assert_eq!(config.p2p.peers[2].peer_id.to_string(), OTHER_PEER_ID);

    assert_eq!("/ip4/127.0.0.1/tcp/7".parse::<PeerAddress>(), Err(ValueError::NoPeerId("/ip4/127.0.0.1/tcp/7".into())));
    for bad in ["nobody", &format!("/p2p/{PEER_ID}"), &format!("0x12@{}", given[0])] {
        assert!(bad.parse::<PeerAddress>().is_err(), "{bad}");
        assert!(parse(&format!("[p2p]\npeers = [{bad:?}]")).is_err(), "{bad}");
    }
}

#[test]
fn the_sign_record_and_chain_data_never_contain_each_other() {
    for (data, record) in [("/d", "/d/record"), ("/d/chain", "/d"), ("/d", "/d")] {
        let error = resolve(MINIMAL, &["--data-dir", data, "--sign-record-dir", record]).unwrap_err().to_string();
        assert!(error.contains("`sign_record_dir`"), "{error}");
    }
    // Keys inside the data folder would put the default sign record there too.
    assert!(resolve(MINIMAL, &["--data-dir", "/keys"]).is_err());
    assert!(resolve(MINIMAL, &["--data-dir", "/d", "--sign-record-dir", "/d-record"]).is_ok());
}

#[test]
fn a_key_to_change_to_has_a_record_of_its_own() {
    let next = resolve(MINIMAL, &["--next-consensus-key", "/keys/next/consensus.key"]).unwrap();
    let in_use = (Path::new("/keys/consensus.key"), Path::new("/keys/sign-record"));
    let other = (Path::new("/keys/next/consensus.key"), Path::new("/keys/next/sign-record"));
    assert_eq!(next.consensus_keys(), [in_use, other]);
    assert_eq!(resolve(MINIMAL, &[]).unwrap().consensus_keys(), [in_use]);
}

#[test]
fn rules_between_keys_name_the_key() {
    let cases: [(&[&str], &str); 10] = [
        (&["--l1-beacon", "ws://beacon"], "`l1.beacon`"),
        // Beside the key in use the default record is that key's.
        (&["--next-consensus-key", "/keys/next.key"], "`next_sign_record_dir`"),
        (&["--next-sign-record-dir", "/next"], "`next_consensus_key`"),
        (
            &["--next-consensus-key", "/n/k", "--data-dir", "/d", "--next-sign-record-dir", "/d/n"],
            "`next_sign_record_dir`",
        ),
        (&["--p2p-announce", "/ip4/203.0.113.7/tcp/1,/dns4/node.example/tcp/1"], "`p2p.announce`"),
        (&["--poster-key", "/k", "--evidence-key", "/k"], "`evidence_key`"),
        (&["--l1-poll-interval-ms", "0"], "`l1.poll_interval_ms`"),
        (&["--l1-stale-after-ms", "10"], "`l1.stale_after_ms`"),
        (&["--rpc-batch-items-max", "0"], "`rpc.batch_items_max`"),
        (&["--rpc-connections-max", "0"], "`rpc.connections_max`"),
    ];
    for (arguments, key) in cases {
        let error = resolve(MINIMAL, arguments).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn a_file_that_is_absent_or_huge_is_refused_by_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    let error = Config::load(Some(&path), NodeKeys::default()).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
    std::fs::write(&path, vec![b'#'; FILE_BYTES_MAX as usize + 1]).unwrap();
    assert!(matches!(Config::load(Some(&path), NodeKeys::default()), Err(ConfigError::Oversized { .. })));
    std::fs::write(&path, format!("{MINIMAL}[l1]\nrpc = [\"secret\"]\n")).unwrap();
    let error = Config::load(Some(&path), NodeKeys::default()).unwrap_err().to_string();
    assert!(
        error.contains("node.toml, line 12") && error.contains("duplicate key") && !error.contains("secret"),
        "{error}"
    );
    std::fs::write(&path, MINIMAL).unwrap();
    assert!(Config::load(Some(&path), NodeKeys::default()).is_ok());
}

#[test]
fn a_pool_must_have_room_for_every_transaction() {
    for (flag, value, says) in [
        ("--pool-transactions-max", "0", "must be above 0"),
        ("--pool-lifetime-ms", "0", "must be above 0"),
        ("--pool-bytes-max", "131071", "131071 is less than one transaction may have, 131072"),
    ] {
        let error = resolve(MINIMAL, &[flag, value]).unwrap_err().to_string();
        assert!(error.contains(says), "{flag}: {error}");
    }
    assert_eq!(resolve(MINIMAL, &["--pool-bytes-max", "131072"]).unwrap().pool.bytes_max, 131_072);
}
