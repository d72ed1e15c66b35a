//! `baton`: the sequencer node.

fn main() {}
