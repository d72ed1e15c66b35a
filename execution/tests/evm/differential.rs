//! The same random transactions here and on anvil: equal receipts, balances, nonces, code, storage, roots and traces.
//!
//! `BATON_EVM_SEED` and `BATON_EVM_BLOCKS` choose another run; a failure prints the seed.

use std::collections::BTreeSet;

use alloy_eips::eip2930::{AccessList, AccessListItem};
use alloy_primitives::{Address, B256, Bytes, TxHash, U256, hex};
use baton_execution::{
    ExecutedBlock, Outcome,
    evm::{CallConfig, CallRequest, CallStatus, Tracer},
    genesis::{BEACON_ROOTS, DETERMINISTIC_DEPLOYER, HISTORY, MULTICALL3},
    state::EvmState,
};
use baton_proto::{TimestampMs, Transaction};
use serde_json::{Value, json};

use crate::{
    anvil::Anvil,
    code::{self, op},
    kit::{BASE_FEE, CHAIN, Chain, Draft, GAS_LIMIT, LIMITS, RECIPIENT, authorize, draft, person, sign},
};

const KEEPER: Address = Address::repeat_byte(0xa1);
const READER: Address = Address::repeat_byte(0xa2);
const REVERTER: Address = Address::repeat_byte(0xa3);
const LOOPER: Address = Address::repeat_byte(0xa4);
const CALLER: Address = Address::repeat_byte(0xa5);
const LOGGER: Address = Address::repeat_byte(0xa6);
const QUITTER: Address = Address::repeat_byte(0xa7);
const LOOKER: Address = Address::repeat_byte(0xa8);

const CONTRACTS: [Address; 10] =
    [KEEPER, READER, REVERTER, LOOPER, CALLER, LOGGER, QUITTER, LOOKER, MULTICALL3, DETERMINISTIC_DEPLOYER];

/// What code sees of its block that Baton and Ethereum agree on.
const SEEN: [u8; 7] =
    [op::NUMBER, op::TIMESTAMP, op::COINBASE, op::BASEFEE, op::GASLIMIT, op::CHAINID, op::BLOBBASEFEE];

fn chain() -> Chain {
    Chain::with([
        (KEEPER, code::keeper()),
        (READER, code::reader()),
        (REVERTER, code::reverter()),
        (LOOPER, code::looper()),
        (CALLER, code::caller()),
        (LOGGER, code::logger()),
        (QUITTER, code::quitter()),
        (LOOKER, code::looker(&SEEN)),
    ])
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn word(&mut self) -> [u8; 32] {
        self.bytes(32).try_into().unwrap()
    }

    fn one_of<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize].clone()
    }
}

/// Input that each precompile accepts, in the order of their addresses.
fn precompiles(random: &mut Random) -> Vec<(u64, Vec<u8>)> {
    let hash = B256::from(random.word());
    let signature = sign(3, hash);
    let v = code::word(27 + u64::from(signature.v()));
    let ecrecover = [hash.0, v, signature.r().to_be_bytes(), signature.s().to_be_bytes()].concat();
    let lengths = [32, 32, 32].map(code::word).concat();
    let modexp = [lengths, random.bytes(96)].concat();
    let one = [code::word(1), code::word(2)].concat();
    let negative = {
        let y = hex!("30644e72e131a029b85045b68181585d97816a916871ca8d3c208c16d87cfd45");
        [code::word(1), y].concat()
    };
    let bn_two = hex!(
        "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c2"
        "1800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
        "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b"
        "12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
    );
    let bn_pairing = [&one[..], &bn_two, &negative, &bn_two].concat();
    let blake = [vec![0, 0, 0, 12], random.bytes(208), vec![random.below(2) as u8]].concat();
    // The polynomial that is zero everywhere: its commitment and its proofs are the point at infinity.
    let infinity = [&[0xc0][..], &[0; 47]].concat();
    let mut z = random.word();
    z[0] = 0;
    let commitment = hex!("010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014");
    let kzg = [&commitment[..], &z, &[0; 32], &infinity, &infinity].concat();
    let pad = |element: &[u8]| [&[0; 16][..], element].concat();
    let g1 = [
        pad(&hex!("17f1d3a73197d7942695638c4fa9ac0fc3688c4f9774b905a14e3a3f171bac586c55e83ff97a1aeffb3af00adb22c6bb")),
        pad(&hex!("08b3f481e3aaa0f1a09e30ed741d8ae4fcf5e095d5d00af600db18cb2c04b3edd03cc744a2888ae40caa232946c5e7e1")),
    ]
    .concat();
    let negative_g1 = [
        g1[..64].to_vec(),
        pad(&hex!("114d1d6855d545a8aa7d76c8cf2e21f267816aef1db507c96655b9d5caac42364e6f38ba0ecb751bad54dcd6b939c2ca")),
    ]
    .concat();
    let g2 = [
        pad(&hex!("024aa2b2f08f0a91260805272dc51051c6e47ad4fa403b02b4510b647ae3d1770bac0326a805bbefd48056c8c121bdb8")),
        pad(&hex!("13e02b6052719f607dacd3a088274f65596bd0d09920b61ab5da61bbdc7f5049334cf11213945d57e5ac7d055d042b7e")),
        pad(&hex!("0ce5d527727d6e118cc9cdc6da2e351aadfd9baa8cbdd3a76d429a695160d12c923ac9cc3baca289e193548608b82801")),
        pad(&hex!("0606c4a02ea734cc32acd2b02bc28b99cb3e287e85a763af267492ab572e99ab3f370d275cec1da1aaa9075ff05f79be")),
    ]
    .concat();
    let mut field = || {
        let mut element = random.bytes(48);
        element[0] = 1;
        pad(&element)
    };
    let (fp, fp2) = (field(), [field(), field()].concat());
    let p256 = hex!(
        "4cee90eb86eaa050036147a12d49004b6b9c72bd725d39d4785011fe190f0b4d"
        "a73bd4903f0ce3b639bbbf6e8e80d16931ff4bcf5993d58468e8fb19086e8cac"
        "36dbcd03009df8c59286b162af3bd7fcc0450c9aa81be5d10d312af6c66b1d60"
        "4aebd3099c618202fcfe16ae7770b0c49ab5eadf74b754204a3bb6060e44eff3"
        "7618b065f9832de4ca6ca971a7a1adc826d0f7c00181a5fb2ddf79ae00b4e10e"
    );
    let scalar = random.word();
    vec![
        (1, ecrecover),
        (2, random.bytes(100)),
        (3, random.bytes(100)),
        (4, random.bytes(100)),
        (5, modexp),
        (6, [&one[..], &one].concat()),
        (7, [&one[..], &scalar].concat()),
        (8, bn_pairing),
        (9, blake),
        (10, kzg),
        (11, [&g1[..], &g1].concat()),
        (12, [&g1[..], &scalar].concat()),
        (13, [&g2[..], &g2].concat()),
        (14, [&g2[..], &scalar].concat()),
        (15, [&g1[..], &g2, &negative_g1, &g2].concat()),
        (16, fp),
        (17, fp2),
        (256, p256.to_vec()),
    ]
}

fn precompile(number: u64) -> Address {
    Address::left_padding_from(&number.to_be_bytes())
}

#[test]
fn every_precompile_answers() {
    let chain = {
        let mut chain = chain();
        chain.run(Vec::new());
        chain
    };
    for (number, data) in precompiles(&mut Random(1)) {
        let request = CallRequest { to: Some(precompile(number)), data: data.into(), ..CallRequest::default() };
        let outcome = chain.reader().call(&request, &Default::default()).unwrap();
        assert_eq!(outcome.status, CallStatus::Success, "precompile {number}");
        assert!(outcome.output.iter().any(|byte| *byte != 0), "precompile {number} has no answer");
    }
}

/// Transactions of people 1 to 10, valid as they come.
struct Author {
    random: Random,
    nonces: [u64; 11],
    made: Vec<Address>,
}

impl Author {
    fn draft(&mut self, to: impl Into<Option<Address>>) -> Draft {
        let key = 1 + self.random.below(8);
        let nonce = self.nonces[key as usize];
        self.nonces[key as usize] += 1;
        let kind = self.random.one_of(&[0, 1, 2, 2]);
        let tip = self.random.below(900_000_000).into();
        Draft { tip, gas: 300_000 + self.random.below(700_000), ..draft(key, nonce, to) }.kind(kind)
    }

    /// Somebody to call: a contract, a person, one that does not exist.
    fn somebody(&mut self) -> Address {
        match self.random.below(6) {
            0 => person(1 + self.random.below(10)),
            1 => Address::with_last_byte(0x60 + self.random.below(30) as u8),
            2 if !self.made.is_empty() => self.random.one_of(&self.made),
            _ => self.random.one_of(&CONTRACTS),
        }
    }

    fn keep(&mut self) -> Bytes {
        let value = self.random.below(3);
        code::input(&[code::word(self.random.below(6)), code::word(value)], &[])
    }

    fn transaction(&mut self) -> Draft {
        let value = self.random.below(1_000_000);
        match self.random.below(12) {
            0 => {
                let to = self.somebody();
                let gas = self.random.one_of(&[21_000, 30_000, 100_000]);
                self.draft(to).value(value).gas(gas)
            }
            1 | 2 => {
                let data = self.keep();
                let mut draft = self.draft(KEEPER).data(data);
                if draft.kind != 0 {
                    let storage_keys = vec![B256::with_last_byte(self.random.below(6) as u8)];
                    draft.access_list =
                        AccessList(vec![AccessListItem { address: self.random.one_of(&CONTRACTS), storage_keys }]);
                }
                draft
            }
            3 => {
                let inside =
                    [code::keeper(), code::reader(), code::caller(), code::quitter(), Bytes::from(vec![0xef, 1])];
                let inside = self.random.one_of(&inside);
                let draft = self.draft(None).data(code::creates(&inside)).value(value);
                self.made.push(person(draft.key).create(draft.nonce));
                draft
            }
            4 => {
                // Code that fails, or destroys what it makes.
                let heir = [&[0x73][..], self.somebody().as_slice(), &[op::SELFDESTRUCT]].concat();
                let init = self.random.one_of(&[code::reverter(), Bytes::from(vec![0xfe]), heir.into()]);
                self.draft(None).data(init).value(value)
            }
            5 | 6 => {
                let (number, mut data) = {
                    let all = precompiles(&mut self.random);
                    self.random.one_of(&all)
                };
                if self.random.below(4) == 0 {
                    let at = self.random.below(data.len() as u64) as usize;
                    data[at] ^= 1 << self.random.below(8);
                }
                match self.random.below(3) {
                    0 => self.draft(precompile(number)).data(data),
                    _ => self.draft(CALLER).data(code::input(&[code::address(precompile(number))], &data)),
                }
            }
            7 => {
                let target = self.somebody();
                let rest = self.keep();
                let inner = code::input(&[code::address(target)], &rest);
                let data = code::input(&[code::address(CALLER)], &inner);
                self.draft(CALLER).data(data)
            }
            8 => {
                let data = self.random.bytes(self.nonces[1] % 200);
                self.draft(LOGGER).data(data)
            }
            9 => {
                let heir = self.somebody();
                let to = if self.made.is_empty() { QUITTER } else { self.random.one_of(&self.made) };
                self.draft(to).data(code::input(&[code::address(heir)], &[])).value(value)
            }
            10 => {
                let authority = 9 + self.random.below(2);
                let delegate = self.random.one_of(&[KEEPER, CALLER, REVERTER, LOGGER, Address::ZERO, precompile(2)]);
                // One that was used, one that is next, one that is too early.
                let nonce = self.nonces[authority as usize];
                let (nonces, next) =
                    self.random.one_of(&[(vec![nonce], 1), (vec![nonce + 5], 0), (vec![nonce, nonce + 1], 2)]);
                self.nonces[authority as usize] += next;
                let data = self.keep();
                let draft = self.draft(person(authority)).data(data);
                draft.authorized(nonces.into_iter().map(|nonce| authorize(authority, nonce, delegate)).collect())
            }
            _ => {
                let data = self.random.bytes(2_000);
                let gas = self.random.one_of(&[101_000, 150_000, 900_000]);
                let to = self.random.one_of(&[LOOPER, REVERTER, LOOKER, RECIPIENT, person(9)]);
                self.draft(to).data(data).gas(gas)
            }
        }
    }
}

/// What can be compared of a tree of calls: anvil has other words for some errors, and for a contract that destroys itself in
/// its own favour both invent a frame, each its own.
fn comparable(mut frame: Value) -> Value {
    if let Some(error) = frame.get_mut("error") {
        *error = json!("some error");
    }
    if let Some(calls) = frame.get_mut("calls").and_then(Value::as_array_mut) {
        calls.retain(|call| call["type"] != "SELFDESTRUCT");
        calls.iter_mut().for_each(|call| *call = comparable(call.take()));
    }
    if frame["calls"].as_array().is_some_and(Vec::is_empty) {
        frame.as_object_mut().unwrap().remove("calls");
    }
    frame
}

/// A chain here and one on anvil that begin the same.
struct Twins {
    chain: Chain,
    anvil: Anvil,
    /// Wei that anvil burned where we pay the recipient.
    burned: U256,
}

impl Twins {
    fn new() -> Self {
        let chain = chain();
        let anvil = Anvil::start(CHAIN, GAS_LIMIT, chain.head.timestamp_ms.get() / 1_000);
        for (address, account) in &chain.genesis.accounts {
            anvil.ask("anvil_setBalance", json!([address, account.balance]));
            anvil.ask("anvil_setNonce", json!([address, U256::from(account.nonce)]));
            anvil.ask("anvil_setCode", json!([address, account.code]));
        }
        anvil.ask("anvil_setCoinbase", json!([RECIPIENT]));
        Self { chain, anvil, burned: U256::ZERO }
    }

    /// Has anvil make a block of `transactions`, executes the same block here, and compares.
    fn run(&mut self, transactions: Vec<Transaction>) -> ExecutedBlock {
        let mut block = self.chain.block(Vec::new());
        let timestamp_s = self.chain.head.timestamp_ms.get() / 1_000 + 2;
        block.header.timestamp_ms = TimestampMs::new(timestamp_s * 1_000 + 999);
        let base_fee = self.chain.executor.next_base_fee(&self.chain.state.head().unwrap().unwrap());
        for transaction in &transactions {
            self.anvil.ask("eth_sendRawTransaction", json!([transaction.raw()]));
        }
        self.anvil.ask("evm_setNextBlockTimestamp", json!([timestamp_s]));
        self.anvil.ask("anvil_setNextBlockBaseFeePerGas", json!([U256::from(base_fee)]));
        self.anvil.ask("evm_mine", json!([]));
        let theirs = self.anvil.ask("eth_getBlockByNumber", json!(["latest", false]));
        let order: Vec<TxHash> = serde_json::from_value(theirs["transactions"].clone()).unwrap();
        assert_eq!(order.len(), transactions.len(), "anvil left some out");
        let place = |hash: &TxHash| transactions.iter().find(|transaction| transaction.hash() == hash).unwrap().clone();
        block.transactions = order.iter().map(place).collect();

        let executed = self.chain.execute(&block);
        let tracer = Tracer::Calls(CallConfig { only_top_call: None, with_log: Some(true) });
        for item in (0..block.transactions.len()).step_by(5) {
            let ours = self.chain.executor.trace(&block, item as u32, &self.chain.state, tracer, LIMITS).unwrap();
            let options = json!({ "tracer": "callTracer", "tracerConfig": { "withLog": true } });
            let mut theirs = self.anvil.ask("debug_traceTransaction", json!([order[item], options]));
            // For the outermost call anvil gives what the whole block used up to here, and what was left of the gas limit.
            let receipt = &executed.receipts[item];
            assert_eq!(theirs["gasUsed"], json!(U256::from(receipt.envelope.cumulative_gas_used())));
            theirs["gasUsed"] = json!(U256::from(receipt.gas_used));
            theirs["gas"] = json!(U256::from(block.transactions[item].gas_limit()));
            let (ours, theirs) = (comparable(serde_json::to_value(&ours).unwrap()), comparable(theirs));
            assert_eq!(ours, theirs, "trace of {:?}", block.transactions[item]);
        }
        assert_eq!(self.chain.run_block(&block), executed);
        self.compare(&executed, &theirs);
        executed
    }

    fn compare(&mut self, executed: &ExecutedBlock, block: &Value) {
        assert!(executed.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Executed)));
        let theirs = self.anvil.ask("eth_getBlockReceipts", json!(["latest"]));
        for (ours, theirs) in executed.receipts.iter().zip(theirs.as_array().unwrap()) {
            let number = |name: &str| serde_json::from_value::<U256>(theirs[name].clone()).unwrap();
            let said = format!("{theirs:#}");
            assert_eq!(json!(ours.hash), theirs["transactionHash"]);
            assert_eq!(U256::from(ours.is_success()), number("status"), "{said}");
            assert_eq!(U256::from(ours.gas_used), number("gasUsed"), "{said}");
            assert_eq!(U256::from(ours.gas_price), number("effectiveGasPrice"), "{said}");
            assert_eq!(U256::from(ours.envelope.cumulative_gas_used()), number("cumulativeGasUsed"), "{said}");
            let logs: Vec<Value> =
                ours.envelope.logs().iter().map(|log| json!([log.address, log.topics(), log.data.data])).collect();
            let their_logs: Vec<Value> = theirs["logs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|log| {
                    json!([
                        serde_json::from_value::<Address>(log["address"].clone()).unwrap(),
                        log["topics"],
                        log["data"]
                    ])
                })
                .collect();
            assert_eq!(logs, their_logs, "{said}");
        }
        assert_eq!(json!(executed.receipts_root), block["receiptsRoot"]);
        assert_eq!(json!(executed.logs_bloom), block["logsBloom"]);
        assert_eq!(json!(U256::from(executed.gas_used)), block["gasUsed"]);

        self.burned += U256::from(executed.base_fee) * U256::from(executed.gas_used);
        let mut changed: BTreeSet<Address> = executed.changes.accounts.keys().copied().collect();
        // Whom a receipt names may have changed on anvil alone.
        for receipt in &executed.receipts {
            changed.extend([receipt.to, receipt.contract, Some(receipt.from)].into_iter().flatten());
        }
        // Anvil does not tell these of blocks.
        changed.retain(|address| ![HISTORY, BEACON_ROOTS].contains(address));
        for address in changed {
            let ask = |method: &str| self.anvil.ask(method, json!([address, "latest"]));
            let more = if address == RECIPIENT { self.burned } else { U256::ZERO };
            assert_eq!(json!(self.chain.balance(address) - more), ask("eth_getBalance"), "balance of {address}");
            let nonce = U256::from(self.chain.nonce(address));
            assert_eq!(json!(nonce), ask("eth_getTransactionCount"), "nonce of {address}");
            assert_eq!(json!(self.chain.code(address)), ask("eth_getCode"), "code of {address}");
        }
        for ((address, slot), change) in &executed.changes.storage {
            if ![HISTORY, BEACON_ROOTS].contains(address) {
                let theirs = self.anvil.ask("eth_getStorageAt", json!([address, slot, "latest"]));
                assert_eq!(json!(B256::from(change.after)), theirs, "slot {slot} of {address}");
            }
        }
    }
}

#[test]
fn random_transactions_do_the_same_here_and_on_anvil() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seed, blocks) = (number("BATON_EVM_SEED", 20_261_122), number("BATON_EVM_BLOCKS", 8));
    println!("BATON_EVM_SEED={seed}");
    let mut twins = Twins::new();
    let mut author = Author { random: Random(seed), nonces: [0; 11], made: Vec::new() };
    let (mut succeeded, mut failed) = (0, 0);
    for _ in 0..blocks {
        let count = 10 + author.random.below(30);
        let transactions = (0..count).map(|_| author.transaction().signed()).collect();
        let executed = twins.run(transactions);
        let good = executed.receipts.iter().filter(|receipt| receipt.is_success()).count();
        (succeeded, failed) = (succeeded + good, failed + executed.receipts.len() - good);
    }
    println!("{succeeded} succeeded, {failed} failed");
    assert!(succeeded > 4 * blocks as usize && failed > blocks as usize, "little was compared");
}

#[test]
fn every_precompile_does_the_same_here_and_on_anvil() {
    let mut twins = Twins::new();
    let all = precompiles(&mut Random(7));
    let base = |nonce: usize, to| Draft { gas: 2_000_000, ..draft(1, nonce as u64, to) };
    let transactions = all.iter().enumerate().map(|(at, (number, data))| {
        base(at, CALLER).data(code::input(&[code::address(precompile(*number))], data)).signed()
    });
    let executed = twins.run(transactions.collect());
    assert!(executed.receipts.iter().all(|receipt| receipt.is_success()));
    assert!(executed.gas_used > BASE_FEE / 2_000, "each did its work");
    let straight = all
        .iter()
        .enumerate()
        .map(|(at, (number, data))| base(all.len() + at, precompile(*number)).data(data.clone()).signed());
    let executed = twins.run(straight.collect());
    assert!(executed.receipts.iter().all(|receipt| receipt.is_success()));
}
