//! What a transaction or a call did, step by step, as geth's tracers tell it.

use alloy_primitives::Bytes;
use alloy_rpc_types_trace::geth::{CallConfig, GethDefaultTracingOptions, GethTrace};
use baton_proto::Block;
use revm::{
    InspectEvm, MainBuilder,
    context_interface::result::{EVMError, ExecutionResult},
};
use revm_inspectors::tracing::{TracingInspector, TracingInspectorConfig};

use super::{
    CallError, CallLimits, CallRequest, CallStatus, Checks, EvmExecutor, Overrides, Reader, WorkingState,
    execute::{Turns, fault},
    transaction::signed,
    watch::{Records, Stop, Watch},
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

        let watch = Watch::new(limits.should_stop, tracer.records(limits.trace_bytes_max));
        let context = self.context(&environment, Checks::Transaction, &mut working);
        let mut evm = context.build_mainnet_with_inspector((watch, tracer.inspector()));
        let done = evm.inspect_tx(signed(wanted));
        let (watch, inspector) = evm.inspector;
        match (watch.stopped(), done) {
            (Some(Stop::Asked), _) => Err(CallError::Stopped),
            (Some(Stop::TooMuchRecorded), _) => Err(CallError::TraceTooLong { most: limits.trace_bytes_max }),
            (None, Ok(done)) => {
                let gas_used = done.result.tx_gas_used();
                let output = ExecutionResult::into_output(done.result).unwrap_or_default();
                Ok(tracer.trace(inspector, wanted.gas_limit(), gas_used, output))
            }
            (None, Err(EVMError::Transaction(_))) => Err(no_such()),
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
