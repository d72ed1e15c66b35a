//! What a transaction or a call did, step by step, as geth's tracers tell it.

use alloy_primitives::{Bytes, TxHash};
use alloy_rpc_types_trace::geth::{CallConfig, GethDefaultTracingOptions, GethTrace, StructLog};
use baton_proto::{Block, Transaction};
use revm::{
    InspectEvm, MainBuilder,
    context_interface::result::{EVMError, ExecutionResult},
};
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};

use super::{
    CallError, CallLimits, CallRequest, CallStatus, Checks, Environment, EvmExecutor, Overrides, Reader, WorkingState,
    execute::{Turns, fault},
    transaction::signed,
    watch::{Records, STEP_BYTES, Stop, Watch},
};
use crate::{Outcome, executor::items, state::EvmState};

/// Which of geth's tracers.
#[derive(Clone, Copy, Debug)]
pub enum Tracer {
    /// `callTracer`: a tree of calls.
    Calls(CallConfig),
    /// The default one, also called struct logger: every instruction with stack, storage and, if asked for, memory.
    Steps(GethDefaultTracingOptions),
}

impl Tracer {
    fn inspector(&self) -> TracingInspector {
        TracingInspector::new(match self {
            Self::Calls(config) => TracingInspectorConfig::from_geth_call_config(config),
            Self::Steps(options) => TracingInspectorConfig::from_geth_config(options),
        })
    }

    fn records(&self, bytes_left: usize) -> Option<Records> {
        match self {
            Self::Calls(_) => None,
            Self::Steps(options) => Some(Records {
                stack: !options.disable_stack.unwrap_or_default(),
                memory: options.is_memory_enabled(),
                bytes_left,
            }),
        }
    }

    /// Returns about how many bytes a trace takes in memory; that of calls is bounded by what their gas pays for.
    fn bytes_of(&self, trace: &GethTrace) -> usize {
        match trace {
            GethTrace::Default(frame) => {
                let of = |step: &StructLog| {
                    let (stack, memory) = (step.stack.as_ref(), step.memory.as_ref());
                    stack.map_or(0, Vec::len).saturating_add(memory.map_or(0, Vec::len)).saturating_mul(32)
                };
                frame.struct_logs.iter().map(|step| of(step).saturating_add(STEP_BYTES)).sum()
            }
            _ => 0,
        }
    }

    /// Tells what `inspector` saw of a transaction that declared `gas_limit`: geth gives that for the outermost call, and not
    /// what was left for it.
    fn trace(&self, inspector: TracingInspector, gas_limit: u64, gas_used: u64, output: Bytes) -> GethTrace {
        let builder = inspector.with_transaction_gas_limit(gas_limit).into_geth_builder();
        match self {
            Self::Calls(config) => GethTrace::CallTracer(builder.geth_call_traces(*config, gas_used)),
            Self::Steps(options) => GethTrace::Default(builder.geth_traces(gas_used, output, *options)),
        }
    }
}

impl EvmExecutor {
    /// Executes `block` again up to its payload's item number `item`, and tells what that one did: `debug_traceTransaction`.
    ///
    /// `state` is the state after the parent.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::NoSuchTransaction`] if the item is none that was executed.
    pub fn trace(
        &self,
        block: &Block,
        item: u32,
        state: &dyn EvmState,
        tracer: Tracer,
        limits: CallLimits<'_>,
    ) -> Result<GethTrace, CallError> {
        let parent = self.parent_of(block, state)?;
        let environment = self.environment(&block.header, self.next_base_fee(&parent));
        let mut working = WorkingState::new(state);
        let no_such = || CallError::NoSuchTransaction { got: item };
        let at = usize::try_from(item).map_err(|_| no_such())?;
        let wanted = items(block).nth(at).and_then(Result::ok).ok_or_else(no_such)?;

        let mut turns = Turns::begin(self.evm(&environment, &mut working), environment)?;
        for (at, before) in items(block).take(at).enumerate() {
            if (limits.should_stop)() {
                return Err(CallError::Stopped);
            }
            if let Ok(transaction) = before {
                let _: Outcome = turns.take(transaction, at)?;
            }
        }
        if turns.lacks_room(wanted) {
            return Err(no_such());
        }
        drop(turns);
        self.trace_next(wanted, &environment, &mut working, tracer, &limits)?.ok_or_else(no_such)
    }

    /// Executes `block` again, and tells what each of its transactions did that took its turn: `debug_traceBlockByNumber`.
    ///
    /// `state` is the state after the parent. All traces together take at most [`CallLimits::trace_bytes_max`].
    ///
    /// # Errors
    /// [`CallError`].
    pub fn trace_block(
        &self,
        block: &Block,
        state: &dyn EvmState,
        tracer: Tracer,
        mut limits: CallLimits<'_>,
    ) -> Result<Vec<(TxHash, GethTrace)>, CallError> {
        let most = limits.trace_bytes_max;
        let parent = self.parent_of(block, state)?;
        let environment = self.environment(&block.header, self.next_base_fee(&parent));
        let mut working = WorkingState::new(state);
        drop(Turns::begin(self.evm(&environment, &mut working), environment)?);
        let mut traces = Vec::new();
        let mut gas_used = 0_u64;
        for (at, item) in items(block).enumerate() {
            let Ok(transaction) = item else { continue };
            if (limits.should_stop)() {
                return Err(CallError::Stopped);
            }
            let turns = Turns::resume(self.evm(&environment, &mut working), environment, gas_used);
            let lacks_room = turns.lacks_room(transaction);
            drop(turns);
            if lacks_room {
                continue;
            }
            // Once to see what it does and once to do it: an inspector that records may not decide what is kept.
            let trace = self.trace_next(transaction, &environment, &mut working, tracer, &limits);
            let trace = trace.map_err(|error| match error {
                CallError::TraceTooLong { .. } => CallError::TraceTooLong { most },
                other => other,
            })?;
            let Some(trace) = trace else { continue };
            limits.trace_bytes_max = limits.trace_bytes_max.saturating_sub(tracer.bytes_of(&trace));
            traces.push((*transaction.hash(), trace));
            let mut turns = Turns::resume(self.evm(&environment, &mut working), environment, gas_used);
            let _: Outcome = turns.take(transaction, at)?;
            gas_used = turns.end().1;
        }
        Ok(traces)
    }

    /// Tells what `transaction` would do next, changing nothing; none if it is not valid now.
    fn trace_next(
        &self,
        transaction: &Transaction,
        environment: &Environment,
        working: &mut WorkingState<'_>,
        tracer: Tracer,
        limits: &CallLimits<'_>,
    ) -> Result<Option<GethTrace>, CallError> {
        let watch = Watch::new(limits.should_stop, tracer.records(limits.trace_bytes_max));
        let context = self.context(environment, Checks::Transaction, working);
        let mut evm = context.build_mainnet_with_inspector((watch, tracer.inspector()));
        let done = evm.inspect_tx(signed(transaction));
        let (watch, inspector) = evm.inspector;
        match (watch.stopped(), done) {
            (Some(Stop::Asked), _) => Err(CallError::Stopped),
            (Some(Stop::TooMuchRecorded), _) => Err(CallError::TraceTooLong { most: limits.trace_bytes_max }),
            (None, Ok(done)) => {
                let gas_used = done.result.tx_gas_used();
                let output = ExecutionResult::into_output(done.result).unwrap_or_default();
                Ok(Some(tracer.trace(inspector, transaction.gas_limit(), gas_used, output)))
            }
            (None, Err(EVMError::Transaction(_))) => Ok(None),
            (None, Err(error)) => Err(fault(error).into()),
        }
    }
}

impl Reader<'_> {
    /// Makes a call and tells what it did: `debug_traceCall`.
    ///
    /// # Errors
    /// [`CallError`] when the call cannot be made, was stopped, or leaves too long a trace.
    pub fn trace_call(
        &self,
        request: &CallRequest,
        overrides: &Overrides,
        tracer: Tracer,
    ) -> Result<(CallStatus, GethTrace), CallError> {
        let mut working = self.working(overrides)?;
        let gas = request.gas.unwrap_or(self.limits.gas_max);
        let records = tracer.records(self.limits.trace_bytes_max);
        let (outcome, inspector) = self.run(request, gas, &mut working, records, tracer.inspector())?;
        let gas = gas.min(self.limits.gas_max);
        Ok((outcome.status, tracer.trace(inspector, gas, outcome.gas_used, outcome.output)))
    }
}
