//! The embedded EVM: final blocks to receipts and state, and reads on a state. Osaka rules.
//!
//! `revm` is used here and nowhere else, and none of its types leaves this module: it changes its interface nearly every
//! month, and is pinned to the patch.
//!
//! ```text
//!  Block ──▶ EvmExecutor::execute ──▶ ExecutedBlock { outcomes, receipts, roots, changes } ──▶ EvmStore::apply
//!                   ▲
//!              EvmState (after the parent)
//!                   ▼
//!  CallRequest ──▶ Reader::call, estimate_gas, access_list, trace_call      EvmExecutor::trace ──▶ GethTrace
//! ```
//!
//! # What differs from Ethereum
//! - **Fees.** The block's recipient receives all of what a transaction pays, base fee included: what is locked on L1 for
//!   the native token must never burn on L2.
//! - **Invalid transactions.** A block is ordered before it is executed, so it may hold transactions that are not valid at
//!   their turn. Each is skipped with its reason ([`crate::SkipReason`]), is charged nothing and leaves nothing behind, not even warm
//!   accounts: what it would have touched costs the next transaction what it costs a fresh one.
//! - **Block hashes** are digests of Baton's headers, in `BLOCKHASH` and in the contract of EIP-2935.
//! - **EIP-4788** has no beacon block to speak of. Baton's headers name a finalized L1 block instead, and its hash is what the
//!   contract keeps. Of several blocks within a second the last one counts.
//! - **`PREVRANDAO`** ([`Environment::prev_randao`]) is known before the block: no source of secrets.
//! - **No blobs, no withdrawals, no requests** (EIP-7002, EIP-7251): those belong to L1. `BLOBBASEFEE` is 1.

use alloy_primitives::{Address, B256, keccak256};
use baton_proto::{Block, BlockHeader, Height};
use revm::{
    Context, Journal, MainBuilder, MainnetEvm,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::{U256, hardfork::SpecId},
};

use crate::{
    ExecuteError, executor,
    genesis::{FeeRule, Genesis},
    state::{EvmState, Head},
};

mod call;
mod estimate;
mod execute;
mod receipt;
mod skip;
mod trace;
mod transaction;
mod watch;
mod working;

pub use alloy_rpc_types_trace::geth::{CallConfig, GethDefaultTracingOptions, GethTrace};
pub use call::{AccountOverride, CallError, CallLimits, CallOutcome, CallRequest, CallStatus, Overrides, Reader};
pub use estimate::Estimate;
pub use trace::Tracer;

use working::WorkingState;

/// What a block's code sees of its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Environment {
    /// `NUMBER`: the height.
    pub height: Height,
    /// `TIMESTAMP`, seconds: the header's milliseconds, rounded down. Blocks of one second have the same.
    pub timestamp_s: u64,
    /// `COINBASE`: who receives the fees.
    pub recipient: Address,
    /// `GASLIMIT`.
    pub gas_limit: u64,
    /// `BASEFEE`, wei per gas.
    pub base_fee: u64,
    /// `PREVRANDAO`: keccak256 of `"BATON_PREVRANDAO_V1"`, the L1 origin's hash and the height (8 bytes, big-endian).
    pub prev_randao: B256,
    /// What the contract of EIP-2935 keeps: the parent's digest.
    pub parent: B256,
    /// What the contract of EIP-4788 keeps: the hash of the L1 origin.
    pub origin: B256,
}

/// The embedded EVM of one chain.
#[derive(Clone, Debug)]
pub struct EvmExecutor {
    chain_id: u64,
    gas_limit: u64,
    fees: FeeRule,
}

type EvmContext<'a, 'b> =
    Context<BlockEnv, TxEnv, CfgEnv, &'a mut WorkingState<'b>, Journal<&'a mut WorkingState<'b>>, ()>;

type Evm<'a, 'b> = MainnetEvm<EvmContext<'a, 'b>>;

/// Which of Ethereum's checks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Checks {
    /// All: a transaction of a block.
    Transaction,
    /// Those that a call has to pass that nobody signed.
    Call,
}

impl EvmExecutor {
    /// Makes the executor of the chain that `genesis` starts.
    #[must_use]
    pub const fn new(genesis: &Genesis) -> Self {
        Self { chain_id: genesis.chain_id.get(), gas_limit: genesis.gas_limit, fees: genesis.fees }
    }

    /// Returns what the code of the block with `header` sees, where gas costs at least `base_fee`.
    #[must_use]
    pub fn environment(&self, header: &BlockHeader, base_fee: u64) -> Environment {
        let mut seed = b"BATON_PREVRANDAO_V1".to_vec();
        seed.extend(header.origin.hash);
        seed.extend(header.height.get().to_be_bytes());
        Environment {
            height: header.height,
            timestamp_s: header.timestamp_ms.get() / 1_000,
            recipient: header.fee_recipient,
            gas_limit: self.gas_limit,
            base_fee,
            prev_randao: keccak256(seed),
            parent: header.parent.get(),
            origin: header.origin.hash,
        }
    }

    /// Returns the base fee of the block after `head`.
    #[must_use]
    pub fn next_base_fee(&self, head: &Head) -> u64 {
        self.fees.next(head.base_fee, head.gas_used, self.gas_limit)
    }

    /// Returns the head that `state` is the state after, if `block` is the next one of this chain.
    fn parent_of(&self, block: &Block, state: &dyn EvmState) -> Result<Head, ExecuteError> {
        let header = &block.header;
        if header.l2_chain_id.get() != self.chain_id {
            return Err(ExecuteError::OtherChain { got: header.l2_chain_id.get(), expected: self.chain_id });
        }
        executor::parent_of(block, state)
    }

    /// Sets up an EVM on `state`.
    fn context<'a, 'b>(
        &self,
        environment: &Environment,
        checks: Checks,
        state: &'a mut WorkingState<'b>,
    ) -> EvmContext<'a, 'b> {
        let mut config = CfgEnv::new_with_spec(SpecId::OSAKA);
        config.chain_id = self.chain_id;
        if checks == Checks::Call {
            config.disable_nonce_check = true;
            config.disable_block_gas_limit = true;
            config.disable_eip3607 = true;
            config.tx_gas_limit_cap = Some(u64::MAX);
        }
        let block = BlockEnv {
            number: U256::from(environment.height.get()),
            beneficiary: environment.recipient,
            timestamp: U256::from(environment.timestamp_s),
            gas_limit: environment.gas_limit,
            basefee: environment.base_fee,
            difficulty: U256::ZERO,
            prevrandao: Some(environment.prev_randao),
            blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
            slot_num: 0,
        };
        EvmContext::new(state, SpecId::OSAKA).with_cfg(config).with_block(block)
    }

    /// Sets up an EVM for the transactions of a block.
    fn evm<'a, 'b>(&self, environment: &Environment, state: &'a mut WorkingState<'b>) -> Evm<'a, 'b> {
        self.context(environment, Checks::Transaction, state).build_mainnet()
    }
}
