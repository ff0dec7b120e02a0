//! Compiles the wire formats without protoc.

use std::error::Error;
use std::path::Path;

const FILES: [&str; 6] = [
    "store.proto",
    "transport.proto",
    "letters.proto",
    "traces.proto",
    "supervisor.proto",
    "nimbus.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    for file in FILES {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let descriptors = protox::compile(FILES, [root])?;
    tonic_prost_build::configure()
        .bytes(".squall.transport.Frame")
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
