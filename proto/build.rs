//! Compiles the protobuf schema with `protox`, so that nobody needs `protoc`.

use std::error::Error;

const SCHEMA: [&str; 3] = ["proto/baton/v1/types.proto", "proto/baton/v1/messages.proto", "proto/baton/v1/sync.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(SCHEMA, ["proto"])?;
    // `Bytes` lets an encoder take a transaction's bytes by reference count.
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    Ok(())
}
