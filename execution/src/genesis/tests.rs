//! Genesis files, good and bad.

use alloy_primitives::b256;
use alloy_trie::root::{state_root_unhashed, storage_root_unhashed};
use baton_proto::{ExecutorKind, L1BlockNumber, L1Origin};
use serde_json::{Value, json};

use super::*;
use crate::state::{EvmState, EvmStore};

/// A good file with `change` made to it.
fn file(change: impl FnOnce(&mut Value)) -> String {
    let mut file = json!({
        "chainId": 7777,
        "nativeToken": { "name": "Ether", "symbol": "ETH" },
        "gasLimit": 120_000_000,
        "eip1559": {
            "baseFeePerGas": "1000000000",
            "minBaseFeePerGas": "0xf4240",
            "elasticityMultiplier": 6,
            "baseFeeChangeDenominator": 250
        },
        "alloc": {
            "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266": { "balance": "0x21e19e0c9bab2400000" },
            "00000000000000000000000000000000000000aa": { "code": "0x60015f55", "nonce": "1", "storage": { "0x0": "0x7", "9": 8, "0xa": 0 } }
        }
    });
    change(&mut file);
    file.to_string()
}

fn refused(change: impl FnOnce(&mut Value)) -> String {
    Genesis::parse(&file(change)).unwrap_err().to_string()
}

fn header() -> BlockHeader {
    let origin = L1Origin { number: L1BlockNumber::new(5), hash: B256::repeat_byte(1) };
    BlockHeader::genesis(L2ChainId::new(7777), origin, 1_700_000_000)
}

#[test]
fn a_good_file_becomes_a_state() {
    let genesis = Genesis::parse(&file(|_| {})).unwrap();
    assert_eq!((genesis.chain_id.get(), genesis.gas_limit), (7777, 120_000_000));
    assert_eq!(genesis.fees, FeeRule { initial: 1_000_000_000, least: 1_000_000, elasticity: 6, denominator: 250 });
    assert_eq!(genesis.accounts.len(), 6);

    let mut state = MemoryState::default();
    state.apply(&genesis.changes(&header()).unwrap()).unwrap();
    let head = state.head().unwrap().unwrap();
    assert_eq!((head.digest, head.base_fee, head.gas_used), (header().digest(), 1_000_000_000, 0));
    assert_eq!(head.state_root, genesis.state_root().unwrap());

    let contract = Address::with_last_byte(0xaa);
    assert_eq!(state.storage(contract, U256::from(9)).unwrap(), U256::from(8));
    let account = state.account(contract).unwrap().unwrap();
    assert_eq!(state.code(account.code_hash).unwrap().unwrap(), Bytes::from(hex!("60015f55")));
    for (address, code) in predeploys::predeploys() {
        let account = state.account(address).unwrap().unwrap();
        assert_eq!((account.nonce, state.code(account.code_hash).unwrap()), (1, Some(code)));
    }

    let plain = genesis.accounts.iter().map(|(address, account)| {
        let slots = account.storage.iter().map(|(slot, value)| (B256::from(*slot), *value));
        let code_hash = keccak256(&account.code);
        let account = Account {
            nonce: account.nonce,
            balance: account.balance,
            code_hash,
            storage_root: storage_root_unhashed(slots),
        };
        (*address, alloy_trie::TrieAccount::from(account))
    });
    assert_eq!(head.state_root, state_root_unhashed(plain));
}

#[test]
fn the_contracts_of_every_chain_have_their_code() {
    let hashes = predeploys::predeploys().map(|(_, code)| keccak256(code));
    assert_eq!(
        hashes,
        [
            // As `eth_getCode` gives it on Ethereum.
            b256!("0xd5c15df687b16f2ff992fc8d767b4216323184a2bbc6ee2f9c398c318e770891"),
            b256!("0x2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989"),
            b256!("0x6e49e66782037c0555897870e29fa5e552daf4719552131a0abce779daec0a5d"),
            b256!("0xf57acd40259872606d76197ef052f3d35588dadf919ee1f0e3cb9b62d3f4b02c"),
        ]
    );
}

#[test]
fn a_genesis_fits_one_chain() {
    let genesis = Genesis::parse(&file(|_| {})).unwrap();
    let later = BlockHeader { height: Height::new(1), ..header() };
    assert!(genesis.changes(&later).is_err());
}

#[test]
fn a_genesis_agrees_with_the_chain_spec_or_is_refused() {
    let genesis = Genesis::parse(&file(|_| {})).unwrap();
    let spec =
        ChainSpec { executor: ExecutorKind::Embedded, genesis_hash: B256::with_last_byte(1), ..ChainSpec::example() };
    genesis.check(&spec).unwrap();
    let other = ChainSpec { l2_chain_id: L2ChainId::new(7778), ..spec.clone() };
    let refused = genesis.check(&other).unwrap_err().to_string();
    assert_eq!(refused, "chainId is 7777, but the chain's registry on L1 says 7778");
    let other = ChainSpec { block_gas_limit: 1, ..spec };
    assert!(genesis.check(&other).unwrap_err().to_string().starts_with("gasLimit is 120000000"));
}

#[test]
fn every_bad_file_is_told_what_is_wrong() {
    let at = |path: &'static str, value: Value| move |file: &mut Value| *file.pointer_mut(path).unwrap() = value;
    let person = "/alloc/0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    let alloc = |name: &'static str, account: Value| move |file: &mut Value| file["alloc"][name] = account;
    let cases: Vec<(String, &str)> = vec![
        (refused(|file| *file = json!([])), "invalid"),
        (refused(|file| file["gaslimit"] = json!(1)), "unknown field `gaslimit`"),
        (refused(|file| drop(file.as_object_mut().unwrap().remove("eip1559"))), "missing field `eip1559`"),
        (refused(at("/chainId", json!(0))), "chainId is 0, it must be at least 1"),
        (refused(at("/chainId", json!("seven"))), "chainId: `seven` is no number of at most 64 bits"),
        (refused(at("/gasLimit", json!(21_000))), "gasLimit is 21000, it must be at least 16777216"),
        (refused(at("/gasLimit", json!("0x10000000000000000"))), "gasLimit: `0x10000000000000000` is no number"),
        (refused(at("/nativeToken/symbol", json!(""))), "nativeToken.symbol is ``, it must have 1 to 11"),
        (refused(at("/nativeToken/name", json!("a\nb"))), "nativeToken.name"),
        (refused(at("/eip1559/elasticityMultiplier", json!(0))), "elasticityMultiplier is 0"),
        (refused(at("/eip1559/elasticityMultiplier", json!(120_000_001))), "it must be at most 120000000"),
        (refused(at("/eip1559/baseFeeChangeDenominator", json!("0"))), "baseFeeChangeDenominator is 0"),
        (refused(at("/eip1559/baseFeePerGas", json!(999_999))), "baseFeePerGas is 999999, it must be at least 1000000"),
        (refused(alloc("0x12", json!({ "balance": 1 }))), "`0x12` is no address"),
        (
            refused(alloc("0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266", json!({ "balance": 1 }))),
            "twice, in two spellings",
        ),
        (refused(at(person, json!({ "balnce": 1 }))), "unknown field `balnce`"),
        (refused(at(person, json!({ "balance": "1_0" }))), "balance: `1_0` is no number of at most 256 bits"),
        (refused(at(person, json!({ "balance": format!("0x1{}", "0".repeat(64)) }))), "balance: `0x1000"),
        (refused(at(person, json!({}))), "it would not exist"),
        (refused(at(person, json!({ "nonce": u64::MAX }))), "EIP-2681"),
        (refused(at(person, json!({ "code": "0xzz" }))), "code is not hexadecimal"),
        (refused(at(person, json!({ "code": format!("0x{}", "00".repeat(24_577)) }))), "code has 24577 bytes"),
        (refused(at(person, json!({ "code": "0xef00" }))), "EIP-3541"),
        (refused(at(person, json!({ "balance": 1, "storage": { "1": 1 } }))), "storage without code"),
        (refused(at(person, json!({ "code": "0x00", "storage": { "1": 1, "0x1": 1 } }))), "slot `1` is there twice"),
        (
            refused(alloc("0xcA11bde05977b3631167028862bE2a173976CA11", json!({ "balance": 1 }))),
            "a contract that every chain has",
        ),
        (
            refused(alloc("0x0000000000000000000000000000000000000100", json!({ "code": "0x00" }))),
            "a precompile stands there",
        ),
        (
            refused(|file| {
                let most = format!("0x{}", "f".repeat(64));
                file["alloc"]["0x00000000000000000000000000000000000000bb"] = json!({ "balance": most });
            }),
            "the balances add up to more than 2^256",
        ),
    ];
    for (message, part) in cases {
        assert!(message.contains(part), "`{message}` does not say `{part}`");
    }

    let twice = file(|_| {}).replace("\"chainId\":7777", "\"chainId\":7777,\"chainId\":7778");
    assert!(Genesis::parse(&twice).unwrap_err().to_string().contains("duplicate field `chainId`"));
    let same = r#""alloc":{"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266":{"balance":1},"#;
    let twice = file(|_| {}).replace("\"alloc\":{", same);
    assert!(Genesis::parse(&twice).unwrap_err().to_string().contains("is there twice"));
    assert!(matches!(Genesis::parse(&" ".repeat(GENESIS_BYTES_MAX + 1)), Err(GenesisError::TooLong { .. })));
}

#[test]
fn delegations_and_precompiles_with_money_are_allowed() {
    let genesis = Genesis::parse(&file(|file| {
        file["alloc"]["0x00000000000000000000000000000000000000bb"] =
            json!({ "code": format!("0xef0100{}", "11".repeat(20)) });
        file["alloc"]["0x0000000000000000000000000000000000000001"] = json!({ "balance": 1 });
    }));
    assert_eq!(genesis.unwrap().accounts.len(), 8);
}

#[test]
fn the_base_fee_moves_as_eip_1559_says() {
    use alloy_eips::eip1559::{BaseFeeParams, calc_next_block_base_fee};

    let rule = FeeRule { initial: 0, least: 7, elasticity: 6, denominator: 250 };
    let params = BaseFeeParams::new(250, 6);
    for base_fee in [7, 100, 1_000_000_000, 3_333_333_333] {
        for gas_used in [0, 1, 10_000_000, 19_999_999, 20_000_000, 20_000_001, 77_777_777, 120_000_000] {
            let expected = calc_next_block_base_fee(gas_used, 120_000_000, base_fee, params).max(7);
            assert_eq!(rule.next(base_fee, gas_used, 120_000_000), expected, "{base_fee} after {gas_used}");
        }
    }
    assert_eq!(rule.next(u64::MAX, 120_000_000, 120_000_000), u64::MAX);
    let steep = FeeRule { initial: 0, least: 0, elasticity: 120_000_000, denominator: 1 };
    assert_eq!(steep.next(u64::MAX / 2, 120_000_000, 120_000_000), u64::MAX);
}

/// What L1 names commits to all that nodes must agree on, and to nothing of how it is written.
#[test]
fn the_hash_tells_every_difference_and_no_other_spelling() {
    let hash = |change: &dyn Fn(&mut Value)| Genesis::parse(&file(|file| change(file))).unwrap().hash().unwrap();
    let plain = hash(&|_| {});
    assert_eq!(plain, HASH);
    assert_eq!(plain, hash(&|file| file["chainId"] = json!("0x1e61")));
    let changes: [&dyn Fn(&mut Value); 9] = [
        &|file| file["chainId"] = json!(7778),
        &|file| file["gasLimit"] = json!(120_000_001),
        &|file| file["eip1559"]["baseFeePerGas"] = json!(1_000_000_001),
        &|file| file["eip1559"]["minBaseFeePerGas"] = json!(1_000_001),
        &|file| file["eip1559"]["elasticityMultiplier"] = json!(7),
        &|file| file["eip1559"]["baseFeeChangeDenominator"] = json!(251),
        &|file| file["nativeToken"]["name"] = json!("Aether"),
        &|file| file["nativeToken"]["symbol"] = json!("AETH"),
        &|file| file["alloc"]["0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"]["balance"] = json!(1),
    ];
    let mut seen = std::collections::BTreeSet::from([plain]);
    for (at, change) in changes.into_iter().enumerate() {
        assert!(seen.insert(hash(change)), "change {at}");
    }
}

/// The hash of [`file`] without a change. Registries on L1 hold such hashes: it never changes.
const HASH: B256 = b256!("0x87df5dd5e6c067d0b8b24349f9c9964d36bbc38a39bd4655f38a96af83d3bee5");
