//! The forge script and `baton devnet` deploy the same chain from the same description.

use std::path::Path;

use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, Bytes, U256, hex};
use baton_consensus::SecretKey;
use tokio::process::Command;

use crate::l1::{
    At, Description,
    anvil::Anvil,
    bindings::Liveness,
    client::L1Client,
    deploy::{self, DeployError, Deployment, Founder},
    facts::read_chain_facts,
    testing::{POLL, account, client_of, start_anvil},
};

/// Deploys `contracts/deployments/devnet.json` with forge from `deployer`, which has sent nothing yet.
async fn deploy_by_script(anvil: &Anvil, deployer: &PrivateKeySigner) -> Deployment {
    let contracts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts");
    // A build of its own: what others build and broadcast at the same time lies elsewhere.
    let folder = tempfile::tempdir().unwrap();
    let key = format!("0x{}", hex::encode(deployer.to_bytes()));
    let script = Command::new(contracts.join("node_modules/.bin/forge"))
        .current_dir(&contracts)
        .args(["script", "script/Deploy.s.sol", "--sig", "run(string)", "deployments/devnet.json"])
        .args(["--rpc-url", anvil.url(), "--private-key", &key, "--broadcast"])
        .env("FOUNDRY_OUT", folder.path().join("out"))
        .env("FOUNDRY_CACHE_PATH", folder.path().join("cache"))
        .env("FOUNDRY_BROADCAST", folder.path().join("broadcast"))
        .output()
        .await
        .unwrap();
    let said = [script.stdout, script.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(script.status.success(), "{}", said.join("\n"));
    let [token, registry, slasher, inbox, liveness] = [0, 1, 2, 3, 4].map(|nonce| deployer.address().create(nonce));
    Deployment { registry, inbox, slasher, liveness, token }
}

/// What a chain is, read from L1 with nothing known but its registry.
async fn read_back(client: &L1Client, deployment: &Deployment) -> (Description, [U256; 2], Vec<usize>) {
    let facts = read_chain_facts(client, deployment.registry, POLL).await.unwrap();
    assert_eq!(
        (facts.inbox, facts.slasher, facts.liveness, facts.spec.bond_token),
        (deployment.inbox, deployment.slasher, deployment.liveness, deployment.token)
    );
    let reward = client.call(facts.liveness, &Liveness::REWARD_PER_EPOCHCall {}, At::Latest).await.unwrap();
    let settle = client.call(facts.liveness, &Liveness::SETTLE_BLOCKSCall {}, At::Latest).await.unwrap();
    let pool = client.call(facts.liveness, &Liveness::poolCall {}, At::Latest).await.unwrap();
    let mut sizes = Vec::new();
    for contract in [deployment.token, deployment.registry, facts.slasher, facts.inbox, facts.liveness] {
        sizes.push(client.request::<_, Bytes>("eth_getCode", (contract, "latest")).await.unwrap().len());
    }
    let mut spec = facts.spec;
    spec.bond_token = Address::ZERO;
    (Description { spec, reward_per_epoch: reward }, [settle, pool], sizes)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_forge_script_and_the_devnet_deploy_the_same_chain() {
    let anvil = start_anvil().await;
    let client = client_of(&anvil);
    let description = Description::devnet();
    let (owner, key) = (account(1), SecretKey::generate(&[1; 32]));
    let bond = U256::from(10_u64.pow(18));
    let founders = [Founder { owner: &owner, fee_recipient: owner.address(), key: &key, bond }];

    let by_script = deploy_by_script(&anvil, &account(8)).await;
    deploy::begin(&client, &account(8), &by_script, &founders, &description, &mut |_| {}).await.unwrap();
    let by_devnet = deploy::deploy_chain(&client, &account(0), &founders, &description, &mut |_| {}).await.unwrap();
    // The one that was activated last starts last.
    deploy::mine_to_start(&client, by_devnet.registry, 4, &mut |_| {}).await.unwrap();

    let script = read_back(&client, &by_script).await;
    assert_eq!(script.0, description);
    assert_eq!(script, read_back(&client, &by_devnet).await);
    assert!(script.2.iter().all(|size| *size > 0), "{:?}", script.2);
    anvil.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_registry_refuses_is_told_with_its_bounds() {
    let anvil = start_anvil().await;
    let client = client_of(&anvil);
    let description = Description::changed(None, [("reporterBps", "5000")]).unwrap();
    let refused = deploy::deploy_chain(&client, &account(0), &[], &description, &mut |_| {}).await.unwrap_err();
    assert!(matches!(refused, DeployError::Refused { what: "SequencerRegistry", .. }), "{refused}");
    let reason = "SequencerRegistry__InvalidSpec { field: \"reporterBps\", got: 5000, least: 0, most: 4999 }";
    assert!(refused.to_string().ends_with(reason), "{refused}");
    anvil.stop().await.unwrap();
}
