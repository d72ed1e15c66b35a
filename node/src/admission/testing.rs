//! Signed transfers, and a disk that obeys, for tests.

use std::{
    io,
    path::Path,
    sync::{Arc, Condvar, Mutex},
};

use alloy_consensus::{SignableTransaction as _, TxEip1559, TxEnvelope, crypto::secp256k1::sign_message};
use alloy_eips::eip2718::Encodable2718 as _;
use alloy_primitives::{Address, Bytes, TxKind, U256};
use baton_proto::Transaction;

use super::journal::{Disk, FileDisk};

pub(super) const CHAIN_ID: u64 = 7_777;

/// Transfer number `nonce` of account `key` with this tip, encoded.
pub(super) fn raw_transfer(key: u64, nonce: u64, tip: u128) -> Bytes {
    raw_call(key, nonce, tip, vec![])
}

/// The same with calldata.
pub(super) fn raw_call(key: u64, nonce: u64, tip: u128, input: Vec<u8>) -> Bytes {
    let unsigned = TxEip1559 {
        chain_id: CHAIN_ID,
        nonce,
        gas_limit: 21_000 + 40 * input.len() as u64,
        max_fee_per_gas: 1_000.max(tip),
        max_priority_fee_per_gas: tip,
        to: TxKind::Call(Address::repeat_byte(0xee)),
        input: input.into(),
        ..Default::default()
    };
    let signature = sign_message(U256::from(key).into(), unsigned.signature_hash()).unwrap();
    TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718().into()
}

/// The same, decoded.
pub(super) fn transfer(key: u64, nonce: u64, tip: u128) -> Transaction {
    Transaction::decode(raw_transfer(key, nonce, tip)).unwrap()
}

/// A journal's file whose writes can be made to fail, or to wait.
pub(super) struct TestDisk {
    file: FileDisk,
    control: Arc<Control>,
}

/// Decides what becomes of writes.
#[derive(Default)]
pub(super) struct Control {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    fails: bool,
    is_held: bool,
    appends: usize,
}

impl TestDisk {
    pub(super) fn new(path: &Path) -> (Self, Arc<Control>) {
        let control = Arc::new(Control::default());
        (Self { file: FileDisk::new(path.into()), control: Arc::clone(&control) }, control)
    }
}

impl Control {
    /// Makes every write fail, or none.
    pub(super) fn fail(&self, fails: bool) {
        self.state.lock().unwrap().fails = fails;
    }

    /// Makes every append wait, or none.
    pub(super) fn hold(&self, is_held: bool) {
        self.state.lock().unwrap().is_held = is_held;
        self.changed.notify_all();
    }

    /// Returns how many appends were begun.
    pub(super) fn appends(&self) -> usize {
        self.state.lock().unwrap().appends
    }

    /// Waits until an append was begun, whether or not it is held.
    pub(super) fn wait_for_append(&self) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.appends == 0).unwrap());
    }
}

impl Disk for TestDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.control.state.lock().unwrap();
        state.appends += 1;
        self.control.changed.notify_all();
        let state = self.control.changed.wait_while(state, |state| state.is_held).unwrap();
        if state.fails {
            // As a full disk does: some of it is written.
            self.file.append(&bytes[..bytes.len() / 2])?;
            return Err(io::Error::other("no space left"));
        }
        drop(state);
        self.file.append(bytes)
    }

    fn replace(&mut self, chunks: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()> {
        if self.control.state.lock().unwrap().fails {
            return Err(io::Error::other("no space left"));
        }
        self.file.replace(chunks)
    }
}
