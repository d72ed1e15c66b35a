//! Contracts as bytes.

use alloy_primitives::{Address, Bytes};

/// Instructions by name, as far as the tests need them.
pub(crate) mod op {
    pub(crate) const ADDRESS: u8 = 0x30;
    pub(crate) const BALANCE: u8 = 0x31;
    pub(crate) const CALLDATALOAD: u8 = 0x35;
    pub(crate) const CALLDATASIZE: u8 = 0x36;
    pub(crate) const CALLDATACOPY: u8 = 0x37;
    pub(crate) const CODECOPY: u8 = 0x39;
    pub(crate) const RETURNDATASIZE: u8 = 0x3d;
    pub(crate) const RETURNDATACOPY: u8 = 0x3e;
    pub(crate) const BLOCKHASH: u8 = 0x40;
    pub(crate) const COINBASE: u8 = 0x41;
    pub(crate) const TIMESTAMP: u8 = 0x42;
    pub(crate) const NUMBER: u8 = 0x43;
    pub(crate) const PREVRANDAO: u8 = 0x44;
    pub(crate) const GASLIMIT: u8 = 0x45;
    pub(crate) const CHAINID: u8 = 0x46;
    pub(crate) const BASEFEE: u8 = 0x48;
    pub(crate) const BLOBBASEFEE: u8 = 0x4a;
    pub(crate) const SUB: u8 = 0x03;
    pub(crate) const XOR: u8 = 0x18;
    pub(crate) const KECCAK256: u8 = 0x20;
    pub(crate) const MSTORE: u8 = 0x52;
    pub(crate) const SLOAD: u8 = 0x54;
    pub(crate) const SSTORE: u8 = 0x55;
    pub(crate) const JUMP: u8 = 0x56;
    pub(crate) const GAS: u8 = 0x5a;
    pub(crate) const JUMPDEST: u8 = 0x5b;
    pub(crate) const PUSH0: u8 = 0x5f;
    pub(crate) const DUP1: u8 = 0x80;
    pub(crate) const LOG1: u8 = 0xa1;
    pub(crate) const CALL: u8 = 0xf1;
    pub(crate) const RETURN: u8 = 0xf3;
    pub(crate) const REVERT: u8 = 0xfd;
    pub(crate) const SELFDESTRUCT: u8 = 0xff;
}
use op::*;

const PUSH1: u8 = 0x60;
const PUSH2: u8 = 0x61;

/// Keeps the input's second word in the slot that its first word names.
pub(crate) fn keeper() -> Bytes {
    [PUSH1, 32, CALLDATALOAD, PUSH0, CALLDATALOAD, SSTORE].to_vec().into()
}

/// Reads slot 0 and returns it.
pub(crate) fn reader() -> Bytes {
    [PUSH0, SLOAD, PUSH0, MSTORE, PUSH1, 32, PUSH0, RETURN].to_vec().into()
}

/// Reverts with one word: 7.
pub(crate) fn reverter() -> Bytes {
    [PUSH1, 7, PUSH0, MSTORE, PUSH1, 32, PUSH0, REVERT].to_vec().into()
}

/// Logs the input with topic 0xaa.
pub(crate) fn logger() -> Bytes {
    [CALLDATASIZE, PUSH0, PUSH0, CALLDATACOPY, PUSH1, 0xaa, CALLDATASIZE, PUSH0, LOG1].to_vec().into()
}

/// Never ends.
pub(crate) fn looper() -> Bytes {
    [JUMPDEST, PUSH0, JUMP].to_vec().into()
}

/// Gives all it has to whoever the input names, and is gone if it was made in this transaction.
pub(crate) fn quitter() -> Bytes {
    [PUSH0, CALLDATALOAD, SELFDESTRUCT].to_vec().into()
}

/// Calls the address in the input's first word with the rest of the input, keeps whether it succeeded xor the keccak256 of what
/// it returned in slot 0, and returns what it returned.
pub(crate) fn caller() -> Bytes {
    let mut code = vec![PUSH1, 32, DUP1, CALLDATASIZE, SUB, DUP1, PUSH1, 32, PUSH0, CALLDATACOPY];
    // call(gas, input[0], 0, 0, size, 0, 0); the size stays on the stack.
    code.extend([PUSH0, PUSH0, 0x82, PUSH0, PUSH0, PUSH0, CALLDATALOAD, GAS, CALL]);
    code.extend([RETURNDATASIZE, PUSH0, PUSH0, RETURNDATACOPY, RETURNDATASIZE, PUSH0, KECCAK256, XOR, PUSH0, SSTORE]);
    code.extend([RETURNDATASIZE, PUSH0, RETURN]);
    code.into()
}

/// Returns one word for each of what instructions without input give.
pub(crate) fn looker(instructions: &[u8]) -> Bytes {
    let mut code = Vec::new();
    for (at, instruction) in instructions.iter().enumerate() {
        code.extend([*instruction, PUSH1, (at * 32) as u8, MSTORE]);
    }
    let [high, low] = u16::try_from(instructions.len() * 32).unwrap().to_be_bytes();
    code.extend([PUSH2, high, low, PUSH0, RETURN]);
    code.into()
}

/// Returns the hash of the block before.
pub(crate) fn rememberer() -> Bytes {
    [PUSH1, 1, NUMBER, SUB, BLOCKHASH, PUSH0, MSTORE, PUSH1, 32, PUSH0, RETURN].to_vec().into()
}

/// The code that creates a contract with `code`.
pub(crate) fn creates(code: &[u8]) -> Bytes {
    let [high, low] = u16::try_from(code.len()).unwrap().to_be_bytes();
    let mut init = vec![PUSH2, high, low, DUP1, PUSH1, 10, PUSH0, CODECOPY, PUSH0, RETURN];
    init.extend(code);
    init.into()
}

/// Input of words and, at its end, bytes.
pub(crate) fn input(words: &[[u8; 32]], rest: &[u8]) -> Bytes {
    let mut input = words.concat();
    input.extend(rest);
    input.into()
}

/// A number as a word.
pub(crate) fn word(number: u64) -> [u8; 32] {
    alloy_primitives::U256::from(number).to_be_bytes()
}

/// An address as a word.
pub(crate) fn address(address: Address) -> [u8; 32] {
    address.into_word().0
}
