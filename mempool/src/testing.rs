//! Signed transactions for tests, made from a few numbers.

use std::collections::BTreeMap;

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy, crypto::secp256k1::sign_message,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use baton_proto::Transaction;

use crate::{AccountCode, AccountFacts, Accounts, InFlight, Pool, Selection, Settled};

pub(crate) const CHAIN_ID: u64 = 7_777;

/// What a test wants to say about a transaction; the rest is the same in all.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) kind: u8,
    pub(crate) key: u64,
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) tip: u128,
    /// Fee cap; the tip where it is `None`. Types 0 and 1 have the tip as their price.
    pub(crate) fee: Option<u128>,
    pub(crate) gas: u64,
    pub(crate) to: Option<Address>,
    pub(crate) value: U256,
    pub(crate) input: Vec<u8>,
    pub(crate) access_list: Vec<(Address, Vec<B256>)>,
    pub(crate) authorizations: usize,
    /// The account that signs them.
    pub(crate) authority: u64,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            kind: 2,
            key: 1,
            chain_id: CHAIN_ID,
            nonce: 0,
            tip: 10,
            fee: None,
            gas: 21_000,
            to: Some(Address::repeat_byte(0xee)),
            value: U256::ZERO,
            input: Vec::new(),
            access_list: Vec::new(),
            authorizations: 1,
            authority: 99,
        }
    }
}

impl Draft {
    pub(crate) fn signed(&self) -> Transaction {
        let Self { chain_id, nonce, tip, gas, .. } = *self;
        let fee = self.fee.unwrap_or(tip);
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let value = self.value;
        let input = Bytes::from(self.input.clone());
        let access_list = AccessList(
            self.access_list
                .iter()
                .map(|(address, keys)| AccessListItem { address: *address, storage_keys: keys.clone() })
                .collect(),
        );
        let envelope: TxEnvelope = match self.kind {
            0 => self.sign(TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: tip,
                gas_limit: gas,
                to,
                value,
                input,
            }),
            1 => {
                self.sign(TxEip2930 { chain_id, nonce, gas_price: tip, gas_limit: gas, to, value, access_list, input })
            }
            2 => self.sign(TxEip1559 {
                chain_id,
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: tip,
                to,
                value,
                access_list,
                input,
            }),
            4 => self.sign(TxEip7702 {
                chain_id,
                nonce,
                gas_limit: gas,
                max_fee_per_gas: fee,
                max_priority_fee_per_gas: tip,
                to: self.to.unwrap(),
                value,
                access_list,
                authorization_list: vec![authorization(chain_id, self.authority); self.authorizations],
                input,
            }),
            other => panic!("no transaction type {other}"),
        };
        Transaction::decode(envelope.encoded_2718().into()).unwrap()
    }

    fn sign<T: SignableTransaction<Signature>>(&self, unsigned: T) -> TxEnvelope
    where
        TxEnvelope: From<alloy_consensus::Signed<T>>,
    {
        let signature = sign_message(secret(self.key), unsigned.signature_hash()).unwrap();
        unsigned.into_signed(signature).into()
    }
}

fn secret(key: u64) -> B256 {
    U256::from(key).into()
}

fn authorization(chain_id: u64, key: u64) -> SignedAuthorization {
    let inner = Authorization { chain_id: U256::from(chain_id), address: Address::repeat_byte(5), nonce: 0 };
    let signature = sign_message(secret(key), inner.signature_hash()).unwrap();
    inner.into_signed(signature)
}

/// Transaction number `nonce` of account `key` with this tip.
pub(crate) fn tx(key: u64, nonce: u64, tip: u128) -> Transaction {
    Draft { key, nonce, tip, ..Draft::default() }.signed()
}

/// The address of account `key`.
pub(crate) fn account(key: u64) -> Address {
    tx(key, 0, 0).sender()
}

/// A final state: nonce 0, no code, and more than anything costs, where nothing else is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) balances: BTreeMap<Address, U256>,
    pub(crate) code: BTreeMap<Address, AccountCode>,
}

impl State {
    pub(crate) fn nonce(&self, account: Address) -> u64 {
        self.nonces.get(&account).copied().unwrap_or_default()
    }

    pub(crate) fn balance(&self, account: Address) -> U256 {
        self.balances.get(&account).copied().unwrap_or(U256::MAX)
    }

    /// Tells `pool` of all that is said here.
    pub(crate) fn tell(&self, pool: &mut Pool) {
        let touched: Vec<_> = self.nonces.keys().chain(self.balances.keys()).chain(self.code.keys()).copied().collect();
        pool.on_final(&Settled { touched: &touched, refused: &[], base_fee: 0 }, self);
    }
}

impl Accounts for State {
    fn account(&self, account: Address) -> Option<AccountFacts> {
        let code = self.code.get(&account).copied().unwrap_or_default();
        Some(AccountFacts { nonce: self.nonce(account), balance: self.balance(account), code })
    }
}

impl<'a> Selection<'a> {
    /// A block with room for all.
    pub(crate) fn everything(ahead: &'a BTreeMap<Address, InFlight>) -> Self {
        let (bytes_max, gas_max, count_max) = (usize::MAX, u64::MAX, usize::MAX);
        Self { bytes_max, gas_max, count_max, base_fee: 0, ahead, skip: &|_| false }
    }
}
