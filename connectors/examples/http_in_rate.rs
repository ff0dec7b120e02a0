//! How many posts a second `HttpIn` answers after their acks, and how many a bare axum handler does.
//!
//! `cargo run --release -p connectors --features push --example http_in_rate [SECONDS [CONNECTIONS]]`.
//! Both run in this process, one after the other, with the same clients: blocking connections that stay
//! open, one post of 100 bytes under way on each. Prints one line of JSON.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use connectors::push::HttpIn;
use daemon::Clock;
use topology_api::{Args, Line, TopologyBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>());
    let seconds = arguments.next().transpose()?.unwrap_or(5).clamp(1, 60);
    let connections = arguments.next().transpose()?.unwrap_or(64).clamp(1, 256) as usize;
    let bare = bare_axum(seconds, connections)?;
    let (http_in, acked) = http_in(seconds, connections)?;
    let share = http_in / bare;
    let figures = serde_json::json!({
        "case": "http-in", "seconds": seconds, "connections": connections, "bare_axum_per_s": bare.round(),
        "http_in_per_s": http_in.round(), "share": (share * 100.0).round() / 100.0, "acked": acked,
    });
    writeln!(std::io::stdout(), "{figures}")?;
    Ok(())
}

/// The rate of a handler that reads the body and answers.
fn bare_axum(seconds: u64, connections: usize) -> Result<f64, Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let handler = async |body: Bytes| {
        std::hint::black_box(&body);
        (StatusCode::ACCEPTED, "{\"accepted\":1}\n")
    };
    let routes = Router::new().route("/", post(handler));
    runtime.spawn(async move { axum::serve(listener, routes).await });
    let rate = load(address, seconds, connections);
    runtime.shutdown_background();
    rate
}

/// The rate of a topology that drops what it is posted, and how many it acked.
fn http_in(seconds: u64, connections: usize) -> Result<(f64, u64), Box<dyn std::error::Error>> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut t = TopologyBuilder::new("http-in-rate");
    let lines = t.spout("posted", move |cx| HttpIn::new(address.to_string()).lines(cx)).stream();
    t.for_each("drop", |line: Line| {
        std::hint::black_box(&line);
    })
    .shuffle(&lines);
    let topology = t.build()?;
    let loader = std::thread::spawn(move || {
        while TcpStream::connect(address).is_err() {
            std::thread::yield_now();
        }
        let rate = load(address, seconds, connections).map_err(|error| error.to_string());
        // The topology drains and ends as it does when it is interrupted.
        let pid = nix::unistd::getpid();
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        rate
    });
    let finished = worker::run_here(topology, Args::default())?;
    let acked = finished.snapshot.tasks.iter().map(|task| task.acked).max().unwrap_or(0);
    let rate = loader.join().map_err(|_| "the clients panicked")??;
    Ok((rate, acked))
}

/// Posts on so many connections for so many seconds; gives the posts a second that were answered 202.
fn load(
    address: SocketAddr,
    seconds: u64,
    connections: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let body = "x".repeat(100);
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let (stop, clock) = (AtomicBool::new(false), Clock::system());
    let begun = clock.now();
    let answered: u64 = std::thread::scope(|scope| {
        let clients: Vec<_> =
            (0..connections).map(|_| scope.spawn(|| client(address, &request, &stop))).collect();
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|it| it.join().ok().and_then(Result::ok).unwrap_or(0)).sum()
    });
    Ok(answered as f64 / clock.now().saturating_duration_since(begun).as_secs_f64())
}

fn client(address: SocketAddr, request: &str, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let (mut answered, mut bytes) = (0, [0; 1_024]);
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(request.as_bytes())?;
        let length = stream.read(&mut bytes)?;
        if length == 0 {
            break;
        }
        answered += u64::from(bytes[..length].starts_with(b"HTTP/1.1 202"));
    }
    Ok(answered)
}
