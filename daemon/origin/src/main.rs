// SPDX-License-Identifier: Apache-2.0 OR MIT

//! `ondine-origin`: serves a directory over HTTP until it is killed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use ondine_origin::{Options, Origin};

/// Serve the files of a directory over HTTP with range requests, for tests
#[derive(Parser)]
struct Arguments {
    /// Directory to serve
    root: PathBuf,
    /// Address to listen on; port 0 selects a free one. The URL is printed once the server listens
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: String,
    /// Delay before each response, in milliseconds
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
    /// Respond to range requests with the whole file, as simple servers do
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
