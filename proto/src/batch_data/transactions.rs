//! The columns of transactions.

use alloy_consensus::{
    Signed, Transaction as _, TxEip1559, TxEip2930, TxEip7702, TxEnvelope, TxLegacy, Typed2718 as _,
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip2930::{AccessList, AccessListItem},
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};

use super::{
    BatchDataError,
    columns::{Reader, put_number, put_word},
};
use crate::{L2ChainId, Transaction};

const TYPE: u8 = 3;
const ODD_Y: u8 = 4;
const CREATES: u8 = 8;
const HAS_ACCESS_LIST: u8 = 16;

const LEGACY: u8 = 0;
const EIP_2930: u8 = 1;
const EIP_1559: u8 = 2;
const EIP_7702: u8 = 3;

/// Kind, nonce, gas, fee, value, data length, r and s: what every transaction takes.
const ENTRY_BYTES_MIN: usize = 6 + 64;

/// An address and a number of keys.
const ACCESS_LIST_ITEM_BYTES_MIN: usize = 20 + 1;

/// Three words, an address, a number and a byte.
const AUTHORIZATION_BYTES_MIN: usize = 3 + 20 + 1 + 1;

#[derive(Default)]
pub(super) struct TransactionColumns {
    kinds: Vec<u8>,
    nonces: Vec<u8>,
    gas_limits: Vec<u8>,
    max_fees: Vec<u8>,
    priority_fees: Vec<u8>,
    to: Vec<u8>,
    values: Vec<u8>,
    data_lengths: Vec<u8>,
    data: Vec<u8>,
    access_lists: Vec<u8>,
    authorizations: Vec<u8>,
    r: Vec<u8>,
    s: Vec<u8>,
}

impl TransactionColumns {
    pub(super) fn push(&mut self, transaction: &Transaction) {
        let envelope = transaction.envelope();
        let signature = envelope.signature();
        let mut kind = match envelope {
            TxEnvelope::Legacy(_) => LEGACY,
            TxEnvelope::Eip2930(_) => EIP_2930,
            TxEnvelope::Eip1559(_) => EIP_1559,
            TxEnvelope::Eip7702(_) => EIP_7702,
            TxEnvelope::Eip4844(_) => unreachable!("Transaction::decode refuses type {}", envelope.ty()),
        };
        if signature.v() {
            kind |= ODD_Y;
        }
        match envelope.kind() {
            TxKind::Create => kind |= CREATES,
            TxKind::Call(to) => self.to.extend_from_slice(to.as_slice()),
        }
        put_number(&mut self.nonces, envelope.nonce());
        put_number(&mut self.gas_limits, envelope.gas_limit());
        put_number(&mut self.max_fees, envelope.max_fee_per_gas());
        if let Some(fee) = envelope.max_priority_fee_per_gas() {
            put_number(&mut self.priority_fees, fee);
        }
        put_word(&mut self.values, envelope.value());
        put_number(&mut self.data_lengths, envelope.input().len() as u64);
        self.data.extend_from_slice(envelope.input());
        if let Some(list) = envelope.access_list().filter(|list| !list.is_empty()) {
            kind |= HAS_ACCESS_LIST;
            put_access_list(&mut self.access_lists, list);
        }
        if let Some(list) = envelope.authorization_list() {
            put_authorizations(&mut self.authorizations, list);
        }
        self.kinds.push(kind);
        self.r.extend_from_slice(&signature.r().to_be_bytes::<32>());
        self.s.extend_from_slice(&signature.s().to_be_bytes::<32>());
    }

    pub(super) fn len(&self) -> usize {
        self.columns().iter().map(|column| column.len()).sum()
    }

    pub(super) fn append_to(&self, body: &mut Vec<u8>) {
        for column in self.columns() {
            body.extend_from_slice(column);
        }
    }

    /// The columns in the order of the format.
    const fn columns(&self) -> [&Vec<u8>; 13] {
        [
            &self.kinds,
            &self.nonces,
            &self.gas_limits,
            &self.max_fees,
            &self.priority_fees,
            &self.to,
            &self.values,
            &self.data_lengths,
            &self.data,
            &self.access_lists,
            &self.authorizations,
            &self.r,
            &self.s,
        ]
    }
}

fn put_access_list(column: &mut Vec<u8>, list: &AccessList) {
    put_number(column, list.0.len() as u64);
    for item in &list.0 {
        column.extend_from_slice(item.address.as_slice());
        put_number(column, item.storage_keys.len() as u64);
        for key in &item.storage_keys {
            column.extend_from_slice(key.as_slice());
        }
    }
}

fn put_authorizations(column: &mut Vec<u8>, list: &[SignedAuthorization]) {
    put_number(column, list.len() as u64);
    for authorization in list {
        put_word(column, *authorization.chain_id());
        column.extend_from_slice(authorization.address().as_slice());
        put_number(column, authorization.nonce());
        column.push(authorization.y_parity());
        put_word(column, authorization.r());
        put_word(column, authorization.s());
    }
}

/// One transaction between its columns and its encoding.
#[derive(Default)]
struct Row {
    kind: u8,
    nonce: u64,
    gas_limit: u64,
    max_fee: u128,
    priority_fee: u128,
    to: TxKind,
    value: U256,
    data_length: usize,
    data: Bytes,
    access_list: AccessList,
    authorizations: Vec<SignedAuthorization>,
    r: U256,
    s: U256,
}

impl Row {
    fn new(kind: u8) -> Result<Self, BatchDataError> {
        let known = kind & !(TYPE | ODD_Y | CREATES | HAS_ACCESS_LIST) == 0;
        let allowed = match kind & TYPE {
            LEGACY => !Self::has(kind, HAS_ACCESS_LIST),
            EIP_7702 => !Self::has(kind, CREATES),
            _ => true,
        };
        match known && allowed {
            true => Ok(Self { kind, ..Self::default() }),
            false => Err(BatchDataError::BadByte { column: "kind", got: kind }),
        }
    }

    const fn has(kind: u8, flag: u8) -> bool {
        kind & flag != 0
    }

    const fn is(&self, flag: u8) -> bool {
        Self::has(self.kind, flag)
    }

    const fn has_priority_fee(&self) -> bool {
        matches!(self.kind & TYPE, EIP_1559 | EIP_7702)
    }

    /// Returns the EIP-2718 encoding for chain `chain_id`.
    fn encode(self, chain_id: u64) -> Vec<u8> {
        let signature = Signature::new(self.r, self.s, self.is(ODD_Y));
        let Self { nonce, gas_limit, to, value, access_list, data: input, .. } = self;
        let envelope: TxEnvelope = match self.kind & TYPE {
            LEGACY => {
                let chain_id = Some(chain_id);
                let tx = TxLegacy { chain_id, nonce, gas_price: self.max_fee, gas_limit, to, value, input };
                Signed::new_unhashed(tx, signature).into()
            }
            EIP_2930 => {
                let gas_price = self.max_fee;
                let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
                Signed::new_unhashed(tx, signature).into()
            }
            EIP_1559 => {
                let tx = TxEip1559 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: self.max_fee,
                    max_priority_fee_per_gas: self.priority_fee,
                    to,
                    value,
                    access_list,
                    input,
                };
                Signed::new_unhashed(tx, signature).into()
            }
            _ => {
                let tx = TxEip7702 {
                    chain_id,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: self.max_fee,
                    max_priority_fee_per_gas: self.priority_fee,
                    // `Self::new` refuses the kind that creates.
                    to: to.to().copied().unwrap_or_default(),
                    value,
                    access_list,
                    authorization_list: self.authorizations,
                    input,
                };
                Signed::new_unhashed(tx, signature).into()
            }
        };
        envelope.encoded_2718()
    }
}

/// Reads all columns of `count` transactions of chain `chain_id` and returns their EIP-2718 encodings; no signature is
/// checked.
pub(super) fn read(reader: &mut Reader<'_>, count: usize, chain_id: L2ChainId) -> Result<Vec<Vec<u8>>, BatchDataError> {
    reader.expect_left("kind", count, ENTRY_BYTES_MIN)?;
    let mut rows = reader.bytes("kind", count)?.iter().map(|kind| Row::new(*kind)).collect::<Result<Vec<_>, _>>()?;
    for row in &mut rows {
        row.nonce = reader.number_u64("nonce")?;
    }
    for row in &mut rows {
        row.gas_limit = reader.number_u64("gas limit")?;
    }
    for row in &mut rows {
        row.max_fee = reader.number_u128("max fee")?;
    }
    for row in rows.iter_mut().filter(|row| row.has_priority_fee()) {
        row.priority_fee = reader.number_u128("priority fee")?;
    }
    for row in rows.iter_mut().filter(|row| !row.is(CREATES)) {
        row.to = TxKind::Call(Address::new(reader.array("to")?));
    }
    for row in &mut rows {
        row.value = reader.word("value")?;
    }
    for row in &mut rows {
        row.data_length = reader.count("data length", 1)?;
    }
    for row in &mut rows {
        row.data = Bytes::copy_from_slice(reader.bytes("data", row.data_length)?);
    }
    for row in rows.iter_mut().filter(|row| row.is(HAS_ACCESS_LIST)) {
        row.access_list = read_access_list(reader)?;
    }
    for row in rows.iter_mut().filter(|row| row.kind & TYPE == EIP_7702) {
        row.authorizations = read_authorizations(reader)?;
    }
    for row in &mut rows {
        row.r = U256::from_be_bytes(reader.array::<32>("r")?);
    }
    for row in &mut rows {
        row.s = U256::from_be_bytes(reader.array::<32>("s")?);
    }
    Ok(rows.into_iter().map(|row| row.encode(chain_id.get())).collect())
}

fn read_access_list(reader: &mut Reader<'_>) -> Result<AccessList, BatchDataError> {
    const COLUMN: &str = "access list";
    let count = reader.count(COLUMN, ACCESS_LIST_ITEM_BYTES_MIN)?;
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let address = Address::new(reader.array(COLUMN)?);
        let keys = reader.count(COLUMN, 32)?;
        let storage_keys = (0..keys).map(|_| reader.array(COLUMN).map(B256::new)).collect::<Result<Vec<_>, _>>()?;
        items.push(AccessListItem { address, storage_keys });
    }
    Ok(AccessList(items))
}

fn read_authorizations(reader: &mut Reader<'_>) -> Result<Vec<SignedAuthorization>, BatchDataError> {
    const COLUMN: &str = "authorizations";
    let count = reader.count(COLUMN, AUTHORIZATION_BYTES_MIN)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        let chain_id = reader.word(COLUMN)?;
        let address = Address::new(reader.array(COLUMN)?);
        let nonce = reader.number_u64(COLUMN)?;
        let y_parity = reader.byte(COLUMN)?;
        let (r, s) = (reader.word(COLUMN)?, reader.word(COLUMN)?);
        let authorization = Authorization { chain_id, address, nonce };
        list.push(SignedAuthorization::new_unchecked(authorization, y_parity, r, s));
    }
    Ok(list)
}
