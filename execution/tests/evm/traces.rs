//! What transactions did, as geth's tracers tell it.

use alloy_primitives::{Address, U256};
use baton_execution::evm::{
    CallConfig, CallError, CallLimits, CallRequest, CallStatus, EvmExecutor, GethDefaultTracingOptions, GethTrace,
    Tracer,
};
use baton_proto::Block;

use crate::{
    code,
    kit::{Chain, Draft, LIMITS, draft, person},
};

const KEEPER: Address = Address::repeat_byte(0xa1);
const READER: Address = Address::repeat_byte(0xa2);
const REVERTER: Address = Address::repeat_byte(0xa3);
const LOOPER: Address = Address::repeat_byte(0xa4);
const CALLER: Address = Address::repeat_byte(0xa5);

const CALLS: Tracer = Tracer::Calls(CallConfig { only_top_call: None, with_log: None });

fn steps() -> Tracer {
    Tracer::Steps(GethDefaultTracingOptions { enable_memory: Some(true), ..Default::default() })
}

/// A chain, and a block for it: a keeper writes, an item is skipped, a caller calls a reverter, a keeper writes again.
fn block() -> (Chain, Block) {
    let chain = Chain::with([
        (KEEPER, code::keeper()),
        (READER, code::reader()),
        (REVERTER, code::reverter()),
        (LOOPER, code::looper()),
        (CALLER, code::caller()),
    ]);
    let keep = |nonce| draft(1, nonce, KEEPER).data(code::input(&[code::word(3), code::word(4)], &[]));
    let calls = draft(2, 0, CALLER).data(code::input(&[code::address(REVERTER)], &[1, 2]));
    let drafts = [keep(0), keep(7), calls, keep(1)];
    let block = chain.block(drafts.into_iter().map(Draft::signed).collect());
    (chain, block)
}

fn trace(
    executor: &EvmExecutor,
    chain: &Chain,
    block: &Block,
    item: u32,
    tracer: Tracer,
) -> Result<GethTrace, CallError> {
    executor.trace(block, item, &chain.state, tracer, LIMITS)
}

#[test]
fn the_call_tracer_shows_who_called_whom() {
    let (chain, block) = block();
    let executed = chain.execute(&block);
    let GethTrace::CallTracer(frame) = trace(&chain.executor, &chain, &block, 2, CALLS).unwrap() else { panic!() };
    assert_eq!((frame.typ.as_str(), frame.from, frame.to), ("CALL", person(2), Some(CALLER)));
    assert_eq!((frame.gas, frame.gas_used), (U256::from(500_000), U256::from(executed.receipts[1].gas_used)));
    assert_eq!((frame.error, frame.calls.len()), (None, 1));
    let inner = &frame.calls[0];
    assert_eq!((inner.from, inner.to, inner.input.as_ref()), (CALLER, Some(REVERTER), &[1, 2][..]));
    assert_eq!(inner.error.as_deref(), Some("execution reverted"));
    assert_eq!(inner.output.as_ref().unwrap().as_ref(), code::word(7));
}

#[test]
fn the_struct_logger_shows_every_instruction_on_the_state_at_its_turn() {
    let (chain, block) = block();
    let receipts = chain.execute(&block).receipts;
    let of = |item| match trace(&chain.executor, &chain, &block, item, steps()).unwrap() {
        GethTrace::Default(frame) => frame,
        other => panic!("{other:?}"),
    };
    let (first, again) = (of(0), of(3));
    let names: Vec<_> = first.struct_logs.iter().map(|step| step.op.to_string()).collect();
    assert_eq!(names, ["PUSH1", "CALLDATALOAD", "PUSH0", "CALLDATALOAD", "SSTORE", "STOP"]);
    assert_eq!((first.gas, again.gas), (receipts[0].gas_used, receipts[2].gas_used));
    assert!(!first.failed);
    // The slot holds the value already: the transactions before were executed first.
    assert_eq!((first.struct_logs[4].gas_cost, again.struct_logs[4].gas_cost), (22_100, 2_200));
    assert_eq!(first.struct_logs[4].stack.as_ref().unwrap(), &[U256::from(4), U256::from(3)]);
}

#[test]
fn what_was_not_executed_has_no_trace() {
    let (mut chain, block) = block();
    for item in [1, 4, u32::MAX] {
        let error = trace(&chain.executor, &chain, &block, item, CALLS).unwrap_err();
        assert!(matches!(error, CallError::NoSuchTransaction { got } if got == item), "{error}");
    }
    chain.run_block(&block);
    let error = trace(&chain.executor, &chain, &block, 0, CALLS).unwrap_err();
    assert!(matches!(error, CallError::Execute(_)), "the state is not the parent's");
}

#[test]
fn a_trace_takes_no_more_memory_and_time_than_it_may() {
    let chain = Chain::with([(LOOPER, code::looper())]);
    let block = chain.block(vec![draft(1, 0, LOOPER).gas(16_000_000).signed()]);
    let most = 1024 * 1024;
    let limits = CallLimits { trace_bytes_max: most, ..LIMITS };
    let error = chain.executor.trace(&block, 0, &chain.state, steps(), limits).unwrap_err();
    assert!(matches!(error, CallError::TraceTooLong { most: got } if got == most), "{error}");
    let limits = CallLimits { should_stop: &|| true, ..LIMITS };
    let error = chain.executor.trace(&block, 0, &chain.state, CALLS, limits).unwrap_err();
    assert!(matches!(error, CallError::Stopped), "{error}");
}

#[test]
fn calls_can_be_traced_too() {
    let (chain, _) = block();
    let request = CallRequest { from: person(3), to: Some(REVERTER), ..CallRequest::default() };
    let (status, trace) = chain.reader().trace_call(&request, &Default::default(), CALLS).unwrap();
    let GethTrace::CallTracer(frame) = trace else { panic!() };
    assert_eq!((status, frame.from), (CallStatus::Reverted, person(3)));
    assert_eq!(frame.error.as_deref(), Some("execution reverted"));
}
