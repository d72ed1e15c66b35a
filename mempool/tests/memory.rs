//! What a full pool takes of the machine's memory, measured on this process; alone in its file, so that nothing else runs.

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEip7702, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::{
    eip2718::Encodable2718 as _,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Signature, TxKind, U256};
use baton_mempool::{AccountFacts, Accounts, Pool, PoolConfig};
use baton_proto::{OrderingRule, Transaction, limits::TRANSACTION_GAS_MAX};

const CHAIN_ID: u64 = 7_777;

/// Accounts that send; each stays within its own bound.
const ACCOUNTS: u64 = 50;

const MIB: usize = 1 << 20;

struct Fresh;

impl Accounts for Fresh {
    fn account(&self, _: Address) -> Option<AccountFacts> {
        Some(AccountFacts::default())
    }
}

/// Memory of this process that is in use now, in bytes: what the kernel counts, allocator's waste included.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("the kernel tells about this process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory is told");
    let kib: usize = line.trim().trim_end_matches(" kB").trim().parse().expect("a number");
    kib * 1024
}

/// Transaction number `n`, decoded from bytes of its own as one from a client is.
fn signed(n: u64, unsigned: impl Fn(u64) -> TxEnvelope) -> Transaction {
    Transaction::decode(unsigned(n / ACCOUNTS).encoded_2718().into()).expect("it is well-formed")
}

fn sign(key: u64, hash: B256) -> Signature {
    sign_message(U256::from(key).into(), hash).expect("a small number is a key")
}

/// A call with this calldata and access list.
fn call(n: u64, input: &[u8], access_list: &AccessList) -> Transaction {
    signed(n, |nonce| {
        let unsigned = TxEip1559 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: TRANSACTION_GAS_MAX,
            to: TxKind::Call(Address::repeat_byte(0xee)),
            input: input.to_vec().into(),
            access_list: access_list.clone(),
            ..Default::default()
        };
        let signature = sign(1 + n % ACCOUNTS, unsigned.signature_hash());
        unsigned.into_signed(signature).into()
    })
}

/// A set-code transaction whose authorizations are as short as they can be, and as many as gas allows.
fn authorizations(n: u64) -> Transaction {
    let inner = Authorization { chain_id: U256::ZERO, address: Address::repeat_byte(1), nonce: 0 };
    let one = SignedAuthorization::new_unchecked(inner, 0, U256::from(1), U256::from(1));
    signed(n, |nonce| {
        let unsigned = TxEip7702 {
            chain_id: CHAIN_ID,
            nonce,
            gas_limit: TRANSACTION_GAS_MAX,
            to: Address::repeat_byte(0xee),
            authorization_list: vec![one.clone(); 660],
            ..Default::default()
        };
        let signature = sign(1 + n % ACCOUNTS, unsigned.signature_hash());
        unsigned.into_signed(signature).into()
    })
}

/// Fills a pool of the default bounds, and returns how many it holds and what this process has taken since it had `before`:
/// rather too much than too little, for what an earlier pool gave back may still count.
fn fill(what: &str, before: usize, make: impl Fn(u64) -> Transaction) -> (usize, usize) {
    let mut pool = Pool::new(PoolConfig::new(CHAIN_ID, 120_000_000, OrderingRule::PriorityFee));
    for n in 0.. {
        let transaction = make(n);
        if pool.len() == PoolConfig::TRANSACTIONS_MAX || pool.bytes() + transaction.raw().len() > PoolConfig::BYTES_MAX
        {
            break;
        }
        pool.add(transaction, 0, &Fresh).expect("there is room");
    }
    let taken = resident().saturating_sub(before);
    println!("{what}: {} transactions, {} bytes as encoded, {} MiB", pool.len(), pool.bytes(), taken / MIB);
    (pool.len(), taken)
}

/// The bounds that [`PoolConfig::BYTES_MAX`] promises.
#[test]
fn a_full_pool_takes_what_its_documentation_says() {
    let before = resident();
    let (transfers, taken) = fill("transfers", before, |n| call(n, &[], &AccessList::default()));
    assert!(transfers == PoolConfig::TRANSACTIONS_MAX && taken < 100 * MIB, "{taken} bytes");
    let (calls, taken) = fill("calls", before, |n| call(n, &[7; 1_800], &AccessList::default()));
    assert!((9_000..=PoolConfig::TRANSACTIONS_MAX).contains(&calls) && taken < 100 * MIB, "{taken} bytes");
    let items = vec![AccessListItem { address: Address::repeat_byte(1), storage_keys: vec![] }; 1_000];
    let (lists, taken) = fill("access lists", before, |n| call(n, &[], &AccessList(items.clone())));
    assert!(lists < PoolConfig::TRANSACTIONS_MAX && taken < 200 * MIB, "{taken} bytes");
    let (worst, taken) = fill("authorizations", before, authorizations);
    assert!(worst < PoolConfig::TRANSACTIONS_MAX && taken < 200 * MIB, "{taken} bytes");
}
