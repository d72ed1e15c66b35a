//! Which bytes are a transaction that Baton orders.

use alloy_consensus::{
    SignableTransaction, TxEip1559, TxEip4844, TxEip7702, TxEnvelope, TxLegacy,
    crypto::secp256k1::{recover_signer, sign_message},
};
use alloy_eips::{
    eip2718::Encodable2718,
    eip7702::{Authorization, SignedAuthorization},
};
use alloy_primitives::{Address, Bytes, Signature, TxKind, U256, address, b256, hex, keccak256, uint};
use baton_proto::{Transaction, TransactionError, limits::TRANSACTION_BYTES_MAX};
use proptest::prelude::*;

use crate::strategies::{CHAIN, config, raw_signed, secret, transaction, transfer_of_size};

/// Order of secp256k1.
const N: U256 = uint!(0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141_U256);

fn decode(raw: impl Into<Bytes>) -> Result<Transaction, TransactionError> {
    Transaction::decode(raw.into())
}

fn fees() -> TxEip1559 {
    TxEip1559 {
        chain_id: CHAIN.get(),
        nonce: 5,
        gas_limit: 21_000,
        max_fee_per_gas: 30,
        max_priority_fee_per_gas: 2,
        to: TxKind::Call(Address::repeat_byte(1)),
        value: U256::from(7),
        ..Default::default()
    }
}

fn legacy(chain_id: Option<u64>) -> TxLegacy {
    TxLegacy { chain_id, nonce: 5, gas_price: 30, gas_limit: 21_000, ..Default::default() }
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn decoding_keeps_the_bytes_and_finds_the_hash(transaction in transaction()) {
        let again = decode(transaction.raw().clone()).unwrap();
        prop_assert_eq!(again.raw(), transaction.raw());
        prop_assert_eq!(*again.hash(), keccak256(transaction.raw()));
        prop_assert_eq!(again.sender(), transaction.sender());
        prop_assert_eq!(again.chain_id(), CHAIN.get());
    }

    #[test]
    fn changed_bytes_are_refused_or_are_another_transaction(
        transaction in transaction(),
        at in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let mut raw = transaction.raw().to_vec();
        let at = at.index(raw.len());
        raw[at] ^= change;
        if let Ok(other) = decode(raw.clone()) {
            prop_assert_eq!(other.raw(), &raw);
            prop_assert_ne!(other.hash(), transaction.hash());
        }
        raw.truncate(at);
        prop_assert!(decode(raw).is_err());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(bytes);
    }
}

/// The example of EIP-155, for chain 1.
#[test]
fn a_transaction_made_elsewhere_is_understood() {
    let raw = hex!(
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a0"
        "28ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc"
        "64214b297fb1966a3b6d83"
    );
    let transaction = decode(raw.to_vec()).unwrap();
    assert_eq!(transaction.sender(), address!("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f"));
    assert_eq!(*transaction.hash(), b256!("33469b22e9f636356c4160a87eb19df52b7412e8eac32a4a55ffe88ea8350788"));
    assert_eq!((transaction.nonce(), transaction.chain_id(), transaction.gas_limit()), (9, 1, 21_000));
    assert_eq!((transaction.priority_fee(), transaction.max_fee()), (20_000_000_000, 20_000_000_000));
}

#[test]
fn fields_are_those_that_were_signed() {
    let transaction = decode(raw_signed(fees(), 0)).unwrap();
    assert_eq!((transaction.nonce(), transaction.gas_limit(), transaction.chain_id()), (5, 21_000, CHAIN.get()));
    assert_eq!((transaction.priority_fee(), transaction.max_fee()), (2, 30));
    // The address of secret key 1 is known everywhere.
    assert_eq!(transaction.sender(), address!("7e5f4552091a69125d5dfcb7b8c2659029395bdf"));
}

#[test]
fn size_at_the_bound_and_one_over() {
    assert!(decode(transfer_of_size(0, 0, TRANSACTION_BYTES_MAX).raw().clone()).is_ok());
    let over = raw_signed(TxEip1559 { input: Bytes::from(vec![0; TRANSACTION_BYTES_MAX]), ..fees() }, 0);
    assert_eq!(decode(over.clone()), Err(TransactionError::Oversized { got: over.len() }));
    let one_over = vec![0xff; TRANSACTION_BYTES_MAX + 1];
    assert_eq!(decode(one_over), Err(TransactionError::Oversized { got: TRANSACTION_BYTES_MAX + 1 }));
}

#[test]
fn bytes_that_are_no_transaction() {
    let raw = raw_signed(fees(), 0);
    for bad in [&[][..], &[0x00], &[0x02], &[0x7f, 0xc0], &[0xc0], &[0x05, 0xc0], &raw[..raw.len() - 1], &raw[1..]] {
        assert!(matches!(decode(bad.to_vec()), Err(TransactionError::Malformed(_))), "{}", hex::encode(bad));
    }
}

#[test]
fn trailing_bytes_are_refused() {
    for raw in [raw_signed(fees(), 0), raw_signed(legacy(Some(CHAIN.get())), 0)] {
        let longer = [&raw[..], &[0]].concat();
        assert!(matches!(decode(longer), Err(TransactionError::Malformed(_))));
    }
}

#[test]
fn another_spelling_of_the_same_transaction_is_refused() {
    // The type 2 transaction wrapped as an RLP string, as some networks carry it.
    let raw = raw_signed(fees(), 0);
    let wrapped = [&[0xb8, raw.len() as u8][..], &raw].concat();
    assert!(decode(wrapped).is_err());
    // Parity as 27 or 28 instead of 0 or 1 decodes elsewhere, but is not canonical.
    let parity_at = raw.len() - 67;
    assert!(raw[parity_at] == 0x80 || raw[parity_at] == 0x01, "parity stands before r and s of 32 bytes each");
    let mut respelled = raw.clone();
    respelled[parity_at] = if raw[parity_at] == 0x80 { 27 } else { 28 };
    assert!(decode(respelled).is_err());
}

#[test]
fn legacy_transactions_name_their_chain() {
    assert_eq!(decode(raw_signed(legacy(None), 0)), Err(TransactionError::NotReplayProtected));
    assert_eq!(decode(raw_signed(legacy(Some(CHAIN.get())), 0)).map(|tx| tx.chain_id()), Ok(CHAIN.get()));
}

#[test]
fn blob_transactions_are_not_ordered() {
    let tx = TxEip4844 { chain_id: CHAIN.get(), gas_limit: 21_000, ..Default::default() };
    let signature = sign_message(secret(0), tx.signature_hash()).unwrap();
    let envelope = TxEnvelope::Eip4844(tx.into_signed(signature).convert());
    assert_eq!(decode(envelope.encoded_2718()), Err(TransactionError::UnsupportedType));
}

#[test]
fn signatures_have_a_low_s() {
    let tx = fees();
    let low = sign_message(secret(0), tx.signature_hash()).unwrap();
    let with = |signature: Signature| {
        let envelope: TxEnvelope = fees().into_signed(signature).into();
        decode(envelope.encoded_2718())
    };
    assert!(with(low).is_ok());
    // The same signature in its other form: it recovers the same account, and EIP-2 forbids it.
    let high = Signature::new(low.r(), N - low.s(), !low.v());
    assert_eq!(with(high), Err(TransactionError::InvalidSender));
    // What was checked before it was stored is not checked again, only its form is.
    let raw = |signature: Signature| TxEnvelope::from(fees().into_signed(signature)).encoded_2718();
    let stored = Transaction::decode_stored(raw(high).into()).unwrap();
    assert!(format!("{stored:?}").contains("None"), "nobody has asked for its sender: {stored:?}");
    assert!(std::panic::catch_unwind(|| stored.sender()).is_err());
    let stored = Transaction::decode_stored(raw(low).into()).unwrap();
    assert_eq!(stored.sender(), with(low).unwrap().sender());
    assert!(format!("{stored:?}").contains(&format!("{:?}", stored.sender())), "{stored:?}");
    let trailing = [raw(low), vec![0]].concat();
    assert!(matches!(Transaction::decode_stored(trailing.into()), Err(TransactionError::Malformed(_))));
    for (r, s) in [(U256::ZERO, low.s()), (low.r(), U256::ZERO), (N, low.s()), (U256::MAX, low.s())] {
        assert_eq!(with(Signature::new(r, s, low.v())), Err(TransactionError::InvalidSender));
    }
}

#[test]
fn authorizations_name_each_account_that_signed_one_once() {
    let authorization = |key: u64, nonce: u64| {
        let inner = Authorization { chain_id: U256::from(7), address: Address::repeat_byte(5), nonce };
        let signature = sign_message(U256::from(key).into(), inner.signature_hash()).unwrap();
        inner.into_signed(signature)
    };
    let (first, second) = (authorization(1, 0), authorization(2, 0));
    // The other root of the same signature is somebody's too, but not valid (EIP-2); a third has no signer at all.
    let high = N - first.s();
    let malleated = SignedAuthorization::new_unchecked(first.inner().clone(), 1 - first.y_parity(), first.r(), high);
    let nobodys = SignedAuthorization::new_unchecked(first.inner().clone(), 0, U256::ZERO, U256::ZERO);
    let authorization_list = vec![second.clone(), malleated, first.clone(), nobodys, authorization(2, 1)];
    let unsigned = TxEip7702 { chain_id: 7, authorization_list, ..TxEip7702::default() };
    let signature = sign_message(U256::from(3).into(), unsigned.signature_hash()).unwrap();
    let transaction = decode(TxEnvelope::from(unsigned.into_signed(signature)).encoded_2718()).unwrap();
    let signer = |it: &SignedAuthorization| recover_signer(&it.signature().unwrap(), it.signature_hash()).unwrap();
    assert_eq!(transaction.authorities(), [signer(&second), signer(&first)]);
    let plain = TxEip1559 { chain_id: 7, ..TxEip1559::default() };
    let signature = sign_message(U256::from(3).into(), plain.signature_hash()).unwrap();
    let transaction = decode(TxEnvelope::from(plain.into_signed(signature)).encoded_2718()).unwrap();
    assert!(transaction.authorities().is_empty());
}
