//! Contracts that tools expect at their addresses on every chain.

use std::sync::LazyLock;

use alloy_eips::{
    eip2935::{HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CODE},
    eip4788::{BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CODE},
};
use alloy_primitives::{Address, Bytes, address, bytes, hex};

/// Many calls in one: `aggregate3` and its kin, which viem, ethers and wagmi look for here.
/// Source: mds1/multicall3, deployed at this address with this code (keccak256 `0xd5c15df6…`) on more than 250 chains.
pub const MULTICALL3: Address = address!("0xcA11bde05977b3631167028862bE2a173976CA11");

/// Creates contracts at addresses that depend on nothing but salt and code: what `forge script` deploys with.
/// Source: Arachnid/deterministic-deployment-proxy.
pub const DETERMINISTIC_DEPLOYER: Address = address!("0x4e59b44847b379578588920cA78FbF26c0B4956C");

const DETERMINISTIC_DEPLOYER_CODE: Bytes = bytes!(
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
);

/// Digests of the last 8,191 blocks (EIP-2935).
pub const HISTORY: Address = HISTORY_STORAGE_ADDRESS;

/// Hashes of L1 origins by the timestamps of our blocks, in the contract of EIP-4788.
pub const BEACON_ROOTS: Address = BEACON_ROOTS_ADDRESS;

static MULTICALL3_CODE: LazyLock<Bytes> =
    LazyLock::new(|| hex::decode(include_str!("multicall3.hex").trim()).expect("a test decodes it").into());

/// Returns address and code of each; each has nonce 1, as contracts have.
pub(crate) fn predeploys() -> [(Address, Bytes); 4] {
    [
        (MULTICALL3, MULTICALL3_CODE.clone()),
        (DETERMINISTIC_DEPLOYER, DETERMINISTIC_DEPLOYER_CODE),
        (HISTORY, HISTORY_STORAGE_CODE.clone()),
        (BEACON_ROOTS, BEACON_ROOTS_CODE.clone()),
    ]
}
