//! `baton`: the sequencer node.

use std::process::ExitCode;

use baton_node::cli::{Cli, CliError};
use clap::Parser as _;

/// For RocksDB too: many small allocations from many threads fragment the C library's heap.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Before anything speaks TLS: no provider is compiled in as the default.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Wrong usage ends here with code 2.
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: the runtime cannot start: {error}");
            return ExitCode::from(CliError::RUNTIME);
        }
    };
    let result = runtime.block_on(cli.run());
    // A blocking call that hangs must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}
