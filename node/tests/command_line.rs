//! The program as an operator calls it: what outranks what, and what it exits with.

use std::process::{Command, Output};

/// Arguments, environment, and what the refusal says.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// A configuration whose keys do not exist, so that a node that got as far as this ends at once.
fn config(dir: &std::path::Path) -> String {
    let dir = dir.display();
    format!(
        r#"
data_dir = "{dir}/chain"
consensus_key = "{dir}/keys/consensus.key"
[l1]
rpc = ["http://127.0.0.1:9/token-in-file"]
chain_id = 31337
registry = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
inbox = "0x9fe46736679d2d9a65f0992f2272de9f3c7fa6e0"
slasher = "0xe7f1725e7734ce288f8367e1bb143e90bb3f0512"
[p2p]
identity = "{dir}/keys/p2p.key"
[rpc]
listen = "127.0.0.1:1001"
connections_max = 11
body_bytes_max = 21
"#
    )
}

fn baton(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BATON_")) {
        command.env_remove(name);
    }
    command.args(arguments).envs(environment.iter().copied()).output().expect("the binary was built for this test")
}

fn log_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_flag_outranks_the_environment_which_outranks_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, config(dir.path())).unwrap();
    let output = baton(
        &["node", "--config", path.to_str().unwrap(), "--rpc-listen", "127.0.0.1:1003"],
        &[
            ("BATON_RPC_LISTEN", "127.0.0.1:1002"),
            ("BATON_RPC_CONNECTIONS_MAX", "12"),
            ("BATON_L1_RPC", "http://127.0.0.1:9/token-a,http://127.0.0.1:10/token-b"),
        ],
    );
    let log = log_of(&output);
    for expected in [
        "listen = \"127.0.0.1:1003\"",
        "connections_max = 12",
        "body_bytes_max = 21",
        "rpc = [\"http://127.0.0.1:9/[redacted]\", \"http://127.0.0.1:10/[redacted]\"]",
        "answer_bytes_max = 26214400",
    ] {
        assert!(log.contains(expected), "{expected} is not in:\n{log}");
    }
    assert!(!log.contains("token"), "{log}");
    // There is no consensus key, which is for the operator to correct.
    assert_eq!(output.status.code(), Some(2), "{log}");
}

#[test]
fn usage_and_configuration_errors_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, config(dir.path()) + "conections_max = 5\n").unwrap();
    let path = path.to_str().unwrap();
    let cases: [Case<'_>; 6] = [
        (&["node", "--config", path], &[], "unknown field `conections_max`"),
        (&["node"], &[], "`data_dir` is not set"),
        (&["node"], &[("BATON_L1_CHAIN_ID", "one")], "--l1-chain-id"),
        (&["node"], &[("BATON_ACCEPT_MISSING_SIGN_RECORD", "perhaps")], "--accept-missing-sign-record"),
        (&["nod"], &[], "nod"),
        (&["devnet", "--nodes", "2", "--stakes", "1"], &[], "--nodes 2"),
    ];
    for (arguments, environment, said) in cases {
        let output = baton(arguments, environment);
        let log = log_of(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {log}");
        assert!(log.contains(said), "{arguments:?}: {log}");
    }
}

#[test]
fn keys_are_made_once_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys");
    let keys = keys.to_str().unwrap();
    let made = baton(&["keys", "new", "--dir", keys], &[]);
    assert_eq!(made.status.code(), Some(0), "{}", log_of(&made));
    let again = baton(&["keys", "new", "--dir", keys], &[]);
    assert_eq!(again.status.code(), Some(2));
    let shown = baton(&["keys", "show"], &[("BATON_KEYS_DIR", keys)]);
    assert_eq!((shown.status.code(), shown.stdout), (Some(0), made.stdout));
}

#[test]
fn a_sign_record_moves_between_folders_and_refusals_have_their_codes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let [keys, others, moved, file] = ["keys", "others", "moved", "record.json"].map(path);
    for keys in [&keys, &others] {
        assert_eq!(baton(&["keys", "new", "--dir", keys], &[]).status.code(), Some(0));
    }
    let run = |verb: &str, keys: &str, expected: i32, said: &str| {
        let environment = [("BATON_KEYS_DIR", keys), ("BATON_SIGN_RECORD_DIR", moved.as_str())];
        let environment = if verb == "export-record" { &environment[..1] } else { &environment };
        let output = baton(&["keys", verb, "--file", &file], environment);
        let log = log_of(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(expected), "{verb} {keys}: {log}");
        assert!(log.contains(said), "{verb} {keys}: {log}");
    };
    run("import-record", &keys, 1, "record.json");
    run("export-record", &keys, 0, "exported 0 statements");
    run("import-record", &others, 3, "the file is of key");
    run("import-record", &keys, 0, "nothing of it is new");
    run("export-record", &others, 2, "no export of this key");
    std::fs::write(&file, std::fs::read_to_string(&file).unwrap().replacen("\"floor\"", "\"flour\"", 1)).unwrap();
    run("import-record", &keys, 2, "holds no sign record");
}

#[test]
fn what_an_owner_has_to_send_is_printed_for_its_wallet() {
    let dir = tempfile::tempdir().unwrap();
    let next = dir.path().join("next");
    let next = next.to_str().unwrap();
    assert_eq!(baton(&["keys", "next", "--dir", next], &[]).status.code(), Some(0));
    let registry = "0x5fbdb2315678afecb367f032d93f642f64180aa3";
    let vault = "0x00000000000000000000000000000000000000bb";
    let environment = [("BATON_L1_REGISTRY", registry), ("BATON_L1_CHAIN_ID", "31337"), ("BATON_L1_INBOX", registry)];
    let send = |arguments: &[&str]| baton(&[&["send"], arguments].concat(), &environment);
    for arguments in [
        &["rotate-key", "--dir", next, "--owner", "0x00000000000000000000000000000000000000aa"][..],
        &["exit"],
        &["withdraw"],
        &["claim"],
        &["unjail"],
        &["claim-rewards", "--l1-liveness", registry, "--owner", "0x00000000000000000000000000000000000000aa"],
        &["abandon"],
        &["rotate-key", "--dir", next, "--vault", vault],
        &["exit", "--vault", vault],
        &["withdraw", "--vault", vault],
        &["unjail", "--vault", vault],
        &["register", "--dir", next, "--vault", vault, "--fee-recipient", registry],
        &["set-commission", "--vault", vault, "--bps", "500"],
        &["claim-from-vault", "--vault", vault, "--receiver", registry],
    ] {
        let sent = send(arguments);
        assert_eq!(sent.status.code(), Some(0), "{arguments:?}: {}", log_of(&sent));
        let printed: toml::Table = String::from_utf8(sent.stdout).unwrap().parse().unwrap();
        let to = if arguments.contains(&"--vault") { vault } else { registry };
        assert_eq!(printed["to"].as_str().unwrap().to_lowercase(), to, "{arguments:?}");
        assert!(printed["data"].as_str().is_some_and(|data| data.starts_with("0x") && data.len() >= 10), "{printed}");
    }
    for (arguments, said) in [
        (&["rotate-key", "--dir", next][..], "--owner"),
        (&["rotate-key", "--dir", next, "--owner", registry, "--vault", vault], "--vault"),
        (&["exit", "--account", "/nowhere"], "--l1-rpc"),
        (&["register", "--dir", next, "--fee-recipient", registry], "--vault"),
    ] {
        let refused = send(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(log_of(&refused).contains(said), "{}", log_of(&refused));
    }
}

#[test]
fn a_proof_that_cannot_be_had_proves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("proof.json");
    std::fs::write(&file, "{\"version\": 1}").unwrap();
    let (file, hash) = (file.to_str().unwrap(), "0x".to_owned() + &"ab".repeat(32));
    for (arguments, code, said) in [
        (&["--rpc", "http://user:secret@127.0.0.1:9/token"][..], 1, "error: no answer from http://127.0.0.1:9: "),
        (&["--proof", file], 1, "missing field `domain`"),
        (&["--proof", "/no/such/file"], 1, "/no/such/file: "),
        (&["--proof", file, "--rpc", "http://127.0.0.1:9"], 2, "--rpc"),
        (&["--l1", "http://127.0.0.1:9", "--committee", file], 2, "--committee"),
        (&["0x12"], 2, "0x12"),
    ] {
        let refused = baton(&[&["verify", hash.as_str()], arguments].concat(), &[]);
        let log = log_of(&refused);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {log}");
        assert!(log.contains(said) && !log.contains("token") && !log.contains("secret"), "{arguments:?}: {log}");
        assert!(refused.stdout.is_empty(), "nothing is shown that was not checked");
    }
}

#[test]
fn a_node_that_does_not_answer_is_not_healthy() {
    // Port 9 is the discard service, which nobody runs.
    let output = baton(&["health", "--url", "http://127.0.0.1:9/readyz"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(log_of(&output).starts_with("error: no answer"), "{}", log_of(&output));
    assert_eq!(baton(&["version"], &[]).stdout, format!("baton {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
}
