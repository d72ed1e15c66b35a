//! Stops a call that takes too long or records too much.

use revm::{
    Inspector,
    context_interface::{ContextTr, context::ContextError},
    interpreter::{
        Interpreter,
        interpreter_types::{LoopControl, MemoryTr},
    },
};

/// Instructions between two questions whether to stop: a few microseconds.
const STEPS_BETWEEN_QUESTIONS: u32 = 1_024;

/// Bytes that a recorded instruction takes besides what it records of stack and memory.
pub(super) const STEP_BYTES: usize = 512;

/// Counts instructions and what is recorded of them.
pub(super) struct Watch<'a> {
    should_stop: &'a (dyn Fn() -> bool + Sync),
    steps: u32,
    records: Option<Records>,
    stop: Option<Stop>,
}

/// What a tracer records at each instruction, and how much it still may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records {
    pub(super) stack: bool,
    pub(super) memory: bool,
    pub(super) bytes_left: usize,
}

/// Why a call was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Asked,
    TooMuchRecorded,
}

impl<'a> Watch<'a> {
    pub(super) fn new(should_stop: &'a (dyn Fn() -> bool + Sync), records: Option<Records>) -> Self {
        Self { should_stop, steps: 0, records, stop: None }
    }

    pub(super) const fn stopped(&self) -> Option<Stop> {
        self.stop
    }

    fn why_stop(&mut self, stack: usize, memory: usize) -> Option<Stop> {
        if let Some(records) = &mut self.records {
            let stack = if records.stack { stack.saturating_mul(32) } else { 0 };
            let memory = if records.memory { memory } else { 0 };
            match records.bytes_left.checked_sub(STEP_BYTES.saturating_add(stack).saturating_add(memory)) {
                Some(left) => records.bytes_left = left,
                None => return Some(Stop::TooMuchRecorded),
            }
        }
        self.steps = self.steps.wrapping_add(1);
        (self.steps % STEPS_BETWEEN_QUESTIONS == 1 && (self.should_stop)()).then_some(Stop::Asked)
    }
}

impl<CTX: ContextTr> Inspector<CTX> for Watch<'_> {
    fn step(&mut self, interp: &mut Interpreter, context: &mut CTX) {
        if self.stop.is_none() {
            self.stop = self.why_stop(interp.stack.len(), interp.memory.size());
        }
        if self.stop.is_some() {
            *context.error() = Err(ContextError::Custom("stopped".to_owned()));
            interp.bytecode.action().take();
            interp.bytecode.reset_action();
            interp.halt_fatal();
        }
    }
}
