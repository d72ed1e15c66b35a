//! Calls that nobody signed, on a state, changing nothing.

use std::collections::BTreeMap;

use alloy_eips::{eip2930::AccessList, eip7702::SignedAuthorization};
use alloy_primitives::{Address, Bytes, Log, TxKind, U256};
use baton_proto::BlockHeader;
use revm::{
    InspectEvm, MainBuilder,
    context::TxEnv,
    context_interface::{
        either::Either,
        result::{EVMError, ExecutionResult, HaltReason},
    },
    inspector::{Inspector, NoOpInspector},
};

use super::{
    Checks, Environment, EvmContext, EvmExecutor, WorkingState,
    execute::fault,
    skip,
    watch::{Records, Stop, Watch},
};
use crate::{ExecuteError, SkipReason, StateError, state::EvmState};

/// A call as `eth_call`, `eth_estimateGas` and `eth_createAccessList` have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRequest {
    /// Who calls; may be anybody, a contract too.
    pub from: Address,
    /// Who is called; none creates a contract.
    pub to: Option<Address>,
    /// Gas that it may use; none stands for as much as the limits allow.
    pub gas: Option<u64>,
    /// Wei that go with it. The caller must have them.
    pub value: U256,
    /// Its input, or the code that creates a contract.
    pub data: Bytes,
    /// The caller's nonce; none stands for the present one.
    pub nonce: Option<u64>,
    /// Wei per gas, before EIP-1559. If all three prices are none or zero, gas is free, and the base fee is not asked for.
    pub gas_price: Option<u128>,
    /// `maxFeePerGas`.
    pub max_fee: Option<u128>,
    /// `maxPriorityFeePerGas`.
    pub max_priority_fee: Option<u128>,
    /// Accounts and slots that are warm from the start.
    pub access_list: Option<AccessList>,
    /// EIP-7702 authorizations.
    pub authorizations: Vec<SignedAuthorization>,
}

/// What a call may cost.
#[derive(Clone, Copy)]
pub struct CallLimits<'a> {
    /// Gas that one run may use.
    pub gas_max: u64,
    /// Bytes that a trace may take in memory: checked with each instruction.
    pub trace_bytes_max: usize,
    /// Asked again and again, about every millisecond at the latest where code runs: whether the time is over, or nobody
    /// waits any more. A single precompile cannot be stopped; its gas bounds it.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

/// Accounts as they are to be for one call.
pub type Overrides = BTreeMap<Address, AccountOverride>;

/// What is to be different about an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountOverride {
    /// Its balance.
    pub balance: Option<U256>,
    /// Its nonce.
    pub nonce: Option<u64>,
    /// Its code.
    pub code: Option<Bytes>,
    /// All of its storage.
    pub state: Option<BTreeMap<U256, U256>>,
    /// Some of its storage.
    pub state_diff: BTreeMap<U256, U256>,
}

/// What a call did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOutcome {
    /// How it ended.
    pub status: CallStatus,
    /// What it returned, or the reason it reverted with; the code of a contract that it created.
    pub output: Bytes,
    /// Gas that it used, refunds taken off.
    pub gas_used: u64,
    /// Gas that was refunded.
    pub gas_refunded: u64,
    /// What it logged; nothing if it did not succeed.
    pub logs: Vec<Log>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallStatus {
    /// It did what it was to do.
    Success,
    /// It reverted.
    Reverted,
    /// It failed, with all of its gas; the text is geth's, such as `out of gas`.
    Halted(String),
}

/// Why there is no answer to a call.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages are the documentation")]
pub enum CallError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Refused(SkipReason),
    #[error("gas required exceeds allowance ({allowance})")]
    Allowance { allowance: u64 },
    #[error("execution aborted (timeout)")]
    Stopped,
    #[error("the trace takes more than {most} bytes")]
    TraceTooLong { most: usize },
    #[error("the block has no item {got} that was executed")]
    NoSuchTransaction { got: u32 },
    #[error("block {got} is not the one that the state is the state after")]
    OtherBlock { got: baton_proto::Height },
    #[error(transparent)]
    Execute(#[from] ExecuteError),
}

/// Answers questions on the state after one block, with that block's environment. Cheap to make; several may run at once.
pub struct Reader<'a> {
    executor: &'a EvmExecutor,
    state: &'a dyn EvmState,
    pub(super) environment: Environment,
    pub(super) limits: CallLimits<'a>,
}

impl EvmExecutor {
    /// Returns a reader on `state`, which is the state after the block with `header`.
    ///
    /// # Errors
    /// [`CallError`] when the state cannot be read, or is another one.
    pub fn reader<'a>(
        &'a self,
        header: &BlockHeader,
        state: &'a dyn EvmState,
        limits: CallLimits<'a>,
    ) -> Result<Reader<'a>, CallError> {
        let head = state.head()?.ok_or(ExecuteError::NoGenesis)?;
        if head.digest != header.digest() {
            return Err(CallError::OtherBlock { got: header.height });
        }
        Ok(Reader { executor: self, state, environment: self.environment(header, head.base_fee), limits })
    }
}

impl<'a> Reader<'a> {
    /// Makes a call: `eth_call`.
    ///
    /// # Errors
    /// [`CallError`] when it cannot be made, or was stopped. A call that reverts is no error.
    pub fn call(&self, request: &CallRequest, overrides: &Overrides) -> Result<CallOutcome, CallError> {
        let mut working = self.working(overrides)?;
        let gas = request.gas.unwrap_or(self.limits.gas_max);
        let (outcome, _) = self.run(request, gas, &mut working, None, NoOpInspector)?;
        Ok(outcome)
    }

    /// Returns the state that calls are made on.
    pub(super) fn working(&self, overrides: &Overrides) -> Result<WorkingState<'a>, CallError> {
        let mut working = WorkingState::new(self.state);
        for (address, with) in overrides {
            working.override_account(*address, with)?;
        }
        Ok(working)
    }

    /// Makes a call under the eyes of `inspector`, and returns it.
    pub(super) fn run<'w, 'b, I>(
        &self,
        request: &CallRequest,
        gas: u64,
        working: &'w mut WorkingState<'b>,
        records: Option<Records>,
        inspector: I,
    ) -> Result<(CallOutcome, I), CallError>
    where
        I: Inspector<EvmContext<'w, 'b>>,
    {
        let transaction = self.transaction(request, gas, working)?;
        let free = transaction.gas_price == 0;
        let mut context = self.executor.context(&self.environment, Checks::Call, working);
        context.cfg.disable_base_fee = free;
        let watch = Watch::new(self.limits.should_stop, records);
        let mut evm = context.build_mainnet_with_inspector((watch, inspector));
        let max_fee = transaction.gas_price;
        let done = evm.inspect_tx(transaction);
        let (watch, inspector) = evm.inspector;
        if let Some(stop) = watch.stopped() {
            return Err(self.stopped(stop));
        }
        match done {
            Ok(done) => Ok((done.result.into(), inspector)),
            Err(EVMError::Transaction(invalid)) => {
                Err(CallError::Refused(skip::reason(invalid, max_fee, self.environment.base_fee)))
            }
            Err(error) => Err(fault(error).into()),
        }
    }

    pub(super) const fn stopped(&self, stop: Stop) -> CallError {
        match stop {
            Stop::Asked => CallError::Stopped,
            Stop::TooMuchRecorded => CallError::TraceTooLong { most: self.limits.trace_bytes_max },
        }
    }

    fn transaction(&self, request: &CallRequest, gas: u64, working: &mut WorkingState<'_>) -> Result<TxEnv, CallError> {
        let nonce = match request.nonce {
            Some(nonce) => nonce,
            None => working.nonce_and_balance(request.from)?.0,
        };
        let tip = request.max_priority_fee;
        let (tx_type, price) = match (&request.access_list, request.max_fee.or(tip)) {
            _ if !request.authorizations.is_empty() => (4, request.max_fee.or(tip).unwrap_or_default()),
            (_, Some(max_fee)) => (2, max_fee),
            (Some(_), None) => (1, request.gas_price.unwrap_or_default()),
            (None, None) => (0, request.gas_price.unwrap_or_default()),
        };
        Ok(TxEnv {
            tx_type,
            caller: request.from,
            gas_limit: gas.min(self.limits.gas_max),
            gas_price: price,
            kind: request.to.map_or(TxKind::Create, TxKind::Call),
            value: request.value,
            data: request.data.clone(),
            nonce,
            chain_id: Some(self.executor.chain_id),
            access_list: request.access_list.clone().unwrap_or_default(),
            gas_priority_fee: matches!(tx_type, 2 | 4).then(|| tip.unwrap_or_default()),
            blob_hashes: Vec::new(),
            max_fee_per_blob_gas: 0,
            authorization_list: request.authorizations.iter().cloned().map(Either::Left).collect(),
        })
    }
}

impl CallRequest {
    /// Returns the most that a unit of gas may cost; zero if gas is free.
    pub(super) fn price(&self) -> u128 {
        self.max_fee.or(self.max_priority_fee).or(self.gas_price).unwrap_or_default()
    }
}

impl From<ExecutionResult> for CallOutcome {
    fn from(result: ExecutionResult) -> Self {
        let (gas_used, gas_refunded) = (result.tx_gas_used(), result.gas().final_refunded());
        let status = match &result {
            ExecutionResult::Success { .. } => CallStatus::Success,
            ExecutionResult::Revert { .. } => CallStatus::Reverted,
            ExecutionResult::Halt { reason, .. } => CallStatus::Halted(halt_text(reason)),
        };
        let logs = if status == CallStatus::Success { result.logs().to_vec() } else { Vec::new() };
        Self { status, output: result.into_output().unwrap_or_default(), gas_used, gas_refunded, logs }
    }
}

/// Says why a call failed in geth's words (`core/vm/errors.go`).
fn halt_text(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas",
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => "invalid opcode",
        HaltReason::InvalidJump => "invalid jump destination",
        HaltReason::StackUnderflow => "stack underflow",
        HaltReason::StackOverflow => "stack limit reached 1024",
        HaltReason::OutOfOffset => "return data out of bounds",
        HaltReason::CreateCollision => "contract address collision",
        HaltReason::NonceOverflow => "nonce uint64 overflow",
        HaltReason::CreateContractSizeLimit => "max code size exceeded",
        HaltReason::CreateContractStartingWithEF => "invalid code: must not begin with 0xef",
        HaltReason::CreateInitCodeSizeLimit => "max initcode size exceeded",
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => "write protection",
        HaltReason::OutOfFunds | HaltReason::OverflowPayment => "insufficient balance for transfer",
        HaltReason::CallTooDeep => "max call depth exceeded",
        HaltReason::PrecompileError => "precompile failed",
        HaltReason::PrecompileErrorWithContext(what) => return format!("precompile failed: {what}"),
    }
    .to_owned()
}
