//! What must hold of everything that Baton signs, sends and stores.

mod digests;
mod golden;
