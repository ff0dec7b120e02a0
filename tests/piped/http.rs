//! A topology that sends requests.
//!
//! `http-out ADDRESS COUNT`: a request for each number below COUNT, whose key is the number.

use connectors::Retry;
use connectors::http::{Http, HttpOut, Request};
use std::time::Duration;
use topology_api::prelude::{Args, BuildError, Topology, TopologyBuilder};

use super::redis::{Change, Changes, wrong};

pub(crate) fn out(args: &Args) -> Result<Topology, BuildError> {
    let words: Vec<&str> = args.iter().skip(1).collect();
    let [address, count] = words.as_slice() else {
        return Err(wrong("say where the server is, and how many requests"));
    };
    let count: u64 = count.parse().map_err(wrong)?;
    let mut t = TopologyBuilder::new("http-out");
    let numbers = t.spout("numbers", move |_| Changes::new(count, 1)).stream();
    let retry = Retry::new(Duration::from_millis(20), Duration::from_millis(200));
    let http = Http::to(*address).retry(retry);
    let request = |it: &Change| Request::json(&it.number).key(format!("number-{}", it.number));
    HttpOut::declare(&mut t, "out", &http, request).map_err(wrong)?.shuffle(&numbers);
    t.build()
}
