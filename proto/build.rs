//! Compiles the wire formats without protoc.

use std::error::Error;
use std::path::Path;

use tonic_build::manual::{Builder, Method, Service};

const FILES: [&str; 7] = [
    "store.proto",
    "transport.proto",
    "letters.proto",
    "traces.proto",
    "work.proto",
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
    Builder::new().build_client(false).compile(&[received()]);
    Ok(())
}

/// The server of `squall.nimbus.Reports`, which takes reports of supervisors without reading all of them.
fn received() -> Service {
    let stream = |name, route, [input, output]: [&str; 2]| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(input)
            .output_type(output)
            .codec_path("tonic_prost::ProstCodec")
            .client_streaming()
            .server_streaming()
            .build()
    };
    let report = ["crate::received::Received", "crate::nimbus::ReportReply"];
    let worker = ["crate::nimbus::WorkerNews", "crate::nimbus::WorkerNewsReply"];
    Service::builder()
        .name("Reports")
        .package("squall.nimbus")
        .comment("Takes what supervisors and their workers report.")
        .method(stream("report", "Report", report))
        .method(stream("report_worker", "ReportWorker", worker))
        .build()
}
