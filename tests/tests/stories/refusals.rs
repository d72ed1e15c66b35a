//! What does not fit is refused with both values; what L1 does is survived.

use std::{path::Path, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use baton_tests::{
    devnet::{Devnet, EVENTUALLY, ONE_EPOCH, program, until},
    rpc::Rpc,
};
use serde_json::json;
use tokio::process::Command;

/// How a program ended.
struct Ended {
    code: i32,
    text: String,
}

impl Ended {
    fn expect(&self, code: i32, parts: &[&str]) -> anyhow::Result<()> {
        ensure!(self.code == code, "exit code {}, expected {code}: {}", self.code, self.text);
        let text = self.text.to_lowercase();
        for part in parts {
            ensure!(text.contains(&part.to_lowercase()), "it does not say {part:?}: {}", self.text);
        }
        Ok(())
    }
}

/// Starts a node that must refuse.
async fn refused(config: &Path, arguments: &[&str]) -> anyhow::Result<Ended> {
    ended(Command::new(program("baton")).args(["node", "--config"]).arg(config).args(arguments)).await
}

/// Exports or imports a sign record with the key in `keys`.
async fn move_record(verb: &str, keys: &Path, record: &Path, file: &Path) -> anyhow::Result<Ended> {
    let mut command = Command::new(program("baton"));
    command.args(["keys", verb, "--dir"]).arg(keys).arg("--sign-record-dir").arg(record).arg("--file").arg(file);
    ended(&mut command).await
}

async fn ended(command: &mut Command) -> anyhow::Result<Ended> {
    let run = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(EVENTUALLY, run).await.context("it did not end")??;
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Ok(Ended { code: output.status.code().context("it was not killed")?, text })
}

/// Writes a changed copy of a node's configuration and returns its path.
fn changed(
    devnet: &Devnet,
    index: usize,
    name: &str,
    change: impl Fn(&mut toml::Table),
) -> anyhow::Result<std::path::PathBuf> {
    let mut table: toml::Table = std::fs::read_to_string(&devnet.info.nodes[index].config)?.parse()?;
    change(&mut table);
    let path = devnet.folder().join(name);
    std::fs::write(&path, toml::to_string(&table)?)?;
    Ok(path)
}

fn own_log(devnet: &Devnet, index: usize) -> std::path::PathBuf {
    devnet.info.nodes[index].config.with_file_name("node.log")
}

fn set(table: &mut toml::Table, section: &str, key: &str, value: impl Into<toml::Value>) {
    let section = table.get_mut(section).and_then(toml::Value::as_table_mut).expect("the section is there");
    section.insert(key.to_owned(), value.into());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_l1_outages_are_survived() -> anyhow::Result<()> {
    let mut devnet = Devnet::start(&ONE_EPOCH).await?;
    let own = devnet.info.nodes[0].config.clone();

    // A second process with the key of a running one: nothing may sign twice.
    refused(&own, &[]).await?.expect(3, &["sign-record"])?;
    let held_keys = devnet.info.nodes[3].config.with_file_name("keys");
    let (sign_record, exported) = (held_keys.join("sign-record"), devnet.folder().join("record.json"));
    move_record("export-record", &held_keys, &sign_record, &exported).await?.expect(3, &["in use"])?;

    // On another machine no lock is in the way. Its own record is missing, so it listens, and hears the running one.
    let keys = devnet.folder().join("stranger");
    ended(Command::new(program("baton")).args(["keys", "new", "--dir"]).arg(&keys)).await?.expect(0, &[])?;
    let elsewhere = devnet.folder().join("elsewhere");
    let twin = changed(&devnet, 3, "twin.toml", |table| {
        for (key, folder) in [("data_dir", "data"), ("sign_record_dir", "sign-record")] {
            table.insert(key.into(), elsewhere.join(folder).display().to_string().into());
        }
        table.remove("poster_key");
        table.remove("evidence_key");
        set(table, "p2p", "identity", keys.join("p2p.key").display().to_string());
        set(table, "p2p", "listen", vec!["/ip4/127.0.0.1/tcp/0".to_owned()]);
        set(table, "rpc", "listen", "127.0.0.1:0");
        set(table, "health", "listen", "127.0.0.1:0");
    })?;
    refused(&twin, &[]).await?.expect(3, &["there is no sign record"])?;
    refused(&twin, &["--listen-for-sign-record"]).await?.expect(3, &["another process signs with it"])?;

    // Node 3 is stopped, so that its folders are free.
    devnet.signal(devnet.info.nodes[3].pid, "TERM").await?;
    let (data, other_data) = (&devnet.info.nodes[3].data_dir, &devnet.info.nodes[0].data_dir);
    let log = own_log(&devnet, 3);
    until("node 3 to stop in order", || async {
        Ok(std::fs::read_to_string(&log)?.contains("node stopped").then_some(()))
    })
    .await?;
    ensure!(!std::fs::read_to_string(&log)?.contains("stopped in time"), "node 3 did not stop in order");

    // What somebody may one day restore.
    let snapshot = devnet.folder().join("snapshot");
    for (from, name) in [(data, "data"), (&sign_record, "sign-record")] {
        std::fs::create_dir_all(&snapshot)?;
        let copied = Command::new("cp").arg("-a").arg(from).arg(snapshot.join(name)).status().await?;
        ensure!(copied.success(), "{} cannot be copied", from.display());
    }

    let unknown = changed(&devnet, 3, "unknown.toml", |table| {
        table.insert("data_dirr".into(), "x".into());
    })?;
    refused(&unknown, &[]).await?.expect(2, &["data_dirr"])?;

    // The data folder of a running node: the ledger has one owner.
    let taken = changed(&devnet, 3, "taken.toml", |table| {
        table.insert("data_dir".into(), other_data.display().to_string().into());
    })?;
    refused(&taken, &[]).await?.expect(1, &[&other_data.display().to_string()])?;

    let chain = changed(&devnet, 3, "chain.toml", |table| set(table, "l1", "chain_id", 5))?;
    refused(&chain, &[]).await?.expect(1, &["5", &devnet.info.l1.chain_id.to_string()])?;

    let stranger = "0x00000000000000000000000000000000000000aa";
    let inbox = changed(&devnet, 3, "inbox.toml", |table| set(table, "l1", "inbox", stranger))?;
    refused(&inbox, &[]).await?.expect(2, &[&devnet.info.l1.inbox, "00aa"])?;

    let registry = changed(&devnet, 3, "registry.toml", |table| set(table, "l1", "registry", stranger))?;
    refused(&registry, &[]).await?.expect(1, &[&devnet.info.l1.registry, "00aa"])?;

    let l2 = devnet.info.chain_id.to_string();
    refused(&devnet.info.nodes[3].config, &["--l2-chain-id", "77"]).await?.expect(2, &["77", &l2])?;

    // A key that nobody bonded.
    let key_file = std::fs::read_dir(&keys)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("consensus")))
        .context("keys new makes a consensus key")?;
    let foreign = changed(&devnet, 3, "foreign.toml", |table| {
        table.insert("consensus_key".into(), key_file.display().to_string().into());
        table.remove("sign_record_dir");
        table.insert("data_dir".into(), keys.join("data").display().to_string().into());
    })?;
    refused(&foreign, &[]).await?.expect(2, &["not in the committee"])?;

    // The record of what this key signed is gone: it might contradict itself.
    let unrecorded = changed(&devnet, 3, "unrecorded.toml", |table| {
        table.insert("sign_record_dir".into(), devnet.folder().join("nowhere").display().to_string().into());
    })?;
    refused(&unrecorded, &[]).await?.expect(3, &["nowhere"])?;

    // L1 stops answering. The chain goes on and says so; a node that starts now knows the chain from before.
    ensure!(data.join("chain.json").exists(), "node 3 kept nothing about its chain");
    let anvil = devnet.info.l1.pid.context("the devnet started an anvil")?;
    devnet.signal(anvil, "STOP").await?;
    let result = without_l1(&mut devnet).await;
    devnet.signal(anvil, "CONT").await?;
    let restarted = result?;

    let before = devnet.rpc(0).call("baton_status", json!([])).await?["postedHeight"].as_u64().unwrap_or(0);
    let height = devnet.rpc(0).height().await?.max(before + 1);
    until("posting to go on", || async {
        let status = devnet.rpc(0).call("baton_status", json!([])).await?;
        Ok((status["postedHeight"].as_u64() >= Some(height)).then_some(()))
    })
    .await?;

    // An old copy of both folders: the committee's certificates know more of this key than its record does. Without node 1
    // no quorum forms without node 3, so every certificate holds its signature.
    devnet.signal(devnet.info.nodes[1].pid, "TERM").await?;
    until("node 1 to stop", || async { Ok(devnet.rpc(1).height().await.is_err().then_some(())) }).await?;
    let height = devnet.rpc(0).height().await?;
    until("blocks that node 3 signed", || async { Ok((devnet.rpc(0).height().await? >= height + 5).then_some(())) })
        .await?;
    devnet.signal(restarted, "TERM").await?;
    let log = own_log(&devnet, 3).with_file_name("restarted-0.log");
    until("node 3 to stop again", || async {
        Ok(std::fs::read_to_string(&log)?.contains("node stopped").then_some(()))
    })
    .await?;
    let stale = changed(&devnet, 3, "stale.toml", |table| {
        table.insert("data_dir".into(), snapshot.join("data").display().to_string().into());
        table.insert("sign_record_dir".into(), snapshot.join("sign-record").display().to_string().into());
    })?;
    refused(&stale, &[]).await?.expect(3, &["the record is older than what was signed"])?;

    // The newest record heals the old copy, once; a key that is not its own takes nothing of it.
    let restored = snapshot.join("sign-record");
    move_record("export-record", &held_keys, &sign_record, &exported).await?.expect(0, &["exported"])?;
    move_record("import-record", &keys, &keys.join("sign-record"), &exported)
        .await?
        .expect(3, &["this sequencer's key"])?;
    move_record("import-record", &held_keys, &restored, &exported).await?.expect(0, &["imported"])?;
    move_record("import-record", &held_keys, &restored, &exported).await?.expect(0, &["nothing of it is new"])?;

    // Node 3 loses its record and nothing else. Without it nothing becomes final, so it could listen for ever, and what it
    // signed last is in its ledger and in what the others say: its operator can vouch for it all the same.
    std::fs::remove_dir_all(&sign_record)?;
    refused(&devnet.info.nodes[3].config, &[]).await?.expect(3, &["there is no sign record"])?;
    let height = devnet.rpc(0).height().await?;
    devnet.start_node(3, &program("baton"), &["--accept-missing-sign-record"])?;
    until("the chain to go on", || async { Ok((devnet.rpc(0).height().await? >= height + 5).then_some(())) }).await?;
    devnet.stop().await
}

async fn without_l1(devnet: &mut Devnet) -> anyhow::Result<u32> {
    let height = devnet.rpc(0).height().await?;
    let restarted = devnet.restart(3)?;
    for index in [0, 3] {
        let node: Rpc = devnet.rpc(index);
        until("the chain to go on without L1", || async {
            let Ok(now) = node.height().await else { return Ok(None) };
            Ok((now >= height + 10).then_some(()))
        })
        .await?;
    }
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
    let ready = format!("{}/readyz", devnet.info.nodes[0].health);
    until("readiness to name L1", || async {
        let answer = client.get(&ready).send().await?;
        let status = answer.status();
        Ok((status.as_u16() == 503 && answer.text().await?.contains("l1")).then_some(()))
    })
    .await?;
    Ok(restarted)
}
