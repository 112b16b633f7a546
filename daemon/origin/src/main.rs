// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Serves a directory until it is killed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use ondine_origin::{Options, Origin};

/// Serve the files of a directory over HTTP with ranges, for tests.
#[derive(Parser)]
struct Arguments {
    /// Directory to serve
    root: PathBuf,
    /// Address to listen on; the URL is printed once it is
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Milliseconds before each answer
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Ignore ranges and answer with the whole file, as simple servers do
    #[arg(long)]
    no_ranges: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let origin = Origin::listen(
        &arguments.listen,
        Options {
            root: arguments.root,
            latency: Duration::from_millis(arguments.latency_ms),
            ranges: !arguments.no_ranges,
        },
    )?;
    println!("{}", origin.url());
    loop {
        std::thread::park();
    }
}
