//! Which way a batch's data gets to L1: in blobs, or in calldata where that is cheaper or all there is.

use baton_proto::{DataKind, blobs};
use serde::{Deserialize, Serialize};

/// What the operator of a posting node wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DataChoice {
    /// Blobs, unless calldata costs less or L1 has no blobs.
    #[default]
    Auto,
    /// Always blobs.
    Blobs,
    /// Always calldata.
    Calldata,
}

/// What L1 asks for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataPrices {
    /// Wei per gas.
    pub base_fee_wei: u128,
    /// Wei per blob gas; `None` on an L1 without blobs.
    pub blob_base_fee_wei: Option<u128>,
}

/// Blob gas of one blob. Source: EIP-4844, `GAS_PER_BLOB`.
const GAS_PER_BLOB: u128 = 131_072;

/// Gas of one calldata byte that is not zero, as hardly any of a compressed batch is, beside an execution that costs more than the
/// calldata. Source: EIP-2028.
const GAS_PER_BYTE: u128 = 16;

/// Gas of such a byte where the calldata outweighs the execution. Source: EIP-7623.
const FLOOR_GAS_PER_BYTE: u128 = 40;

/// What `post` executes besides, and so what the floor has to exceed: a little less than it does.
const EXECUTION_GAS: u128 = 150_000;

/// Returns how a batch of `data_len` bytes travels, of which blobs would hold all and calldata at most `calldata_bytes_max`.
///
/// Blobs cost their blob gas, each whole; calldata costs 16 gas a byte, or 40 less the execution that is then free. Where the
/// data is too long for calldata, the prices of a byte are compared: the rest would travel in further batches. Equal costs go to
/// blobs. On Ethereum a blob never costs less than 8,192 gas (EIP-7918), so data below 512 bytes travels as calldata.
#[must_use]
pub fn cheaper(prices: DataPrices, data_len: usize, calldata_bytes_max: usize) -> DataKind {
    let Some(blob_base_fee_wei) = prices.blob_base_fee_wei else { return DataKind::Calldata };
    let data = data_len.max(1) as u128;
    let carried = data.min(calldata_bytes_max.max(1) as u128);
    let blobs_wei = (blobs::count_for(data_len) as u128).saturating_mul(GAS_PER_BLOB).saturating_mul(blob_base_fee_wei);
    let floor = FLOOR_GAS_PER_BYTE.saturating_mul(carried).saturating_sub(EXECUTION_GAS);
    let calldata_wei = floor.max(GAS_PER_BYTE.saturating_mul(carried)).saturating_mul(prices.base_fee_wei);
    // Wei per byte, cross-multiplied.
    if calldata_wei.saturating_mul(data) < blobs_wei.saturating_mul(carried) {
        DataKind::Calldata
    } else {
        DataKind::Blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GWEI: u128 = 1_000_000_000;
    const CALLDATA_MAX: usize = 120 * 1024;

    fn at(base_fee_wei: u128, blob_base_fee_wei: u128, data_len: usize) -> DataKind {
        cheaper(DataPrices { base_fee_wei, blob_base_fee_wei: Some(blob_base_fee_wei) }, data_len, CALLDATA_MAX)
    }

    #[test]
    fn an_l1_without_blobs_gets_calldata() {
        let prices = DataPrices { base_fee_wei: 500 * GWEI, blob_base_fee_wei: None };
        assert_eq!(cheaper(prices, 1_000_000, CALLDATA_MAX), DataKind::Calldata);
    }

    /// The least blob base fee of EIP-7918 is a sixteenth of the base fee.
    #[test]
    fn blobs_win_from_512_bytes_on_at_their_least_price() {
        assert_eq!(at(16 * GWEI, GWEI, 511), DataKind::Calldata);
        assert_eq!(at(16 * GWEI, GWEI, 512), DataKind::Blobs);
        for data_len in [1_000, 10_000, CALLDATA_MAX, 126_971, 126_972, 500_000, 761_851] {
            assert_eq!(at(16 * GWEI, GWEI, data_len), DataKind::Blobs, "{data_len} bytes");
        }
    }

    #[test]
    fn calldata_wins_in_a_spike_of_the_blob_fee() {
        // 100 KiB as calldata are 4.1 million gas less the execution; one blob is 0.13 million blob gas.
        assert_eq!(at(GWEI, 30 * GWEI, 102_400), DataKind::Blobs);
        assert_eq!(at(GWEI, 31 * GWEI, 102_400), DataKind::Calldata);
        // Longer than calldata holds: six blobs, or six and a half transactions.
        assert_eq!(at(GWEI, 36 * GWEI, 761_851), DataKind::Blobs);
        assert_eq!(at(GWEI, 38 * GWEI, 761_851), DataKind::Calldata);
    }

    #[test]
    fn no_price_and_no_length_overflows() {
        for length in [0, 1, usize::MAX] {
            assert_eq!(at(0, 0, length), DataKind::Blobs);
            let _ = at(u128::MAX, u128::MAX, length);
        }
        assert_eq!(at(0, u128::MAX, 1_000), DataKind::Calldata);
        assert_eq!(at(u128::MAX, 0, 1_000), DataKind::Blobs);
    }
}
