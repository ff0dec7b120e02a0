//! What anyone can do to the port: it costs little and stops nothing.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{PATIENCE, Worker, epoch, numbered, pair_with_wire};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An HTTP/2 frame on stream `stream`.
fn http2(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Opens the stream of a link by hand, then says `message` as gRPC would.
fn exchange(message: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/squall.transport.Transport/Exchange"),
        (":authority", "squall"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        // A literal header without indexing, both strings plain.
        headers.extend([0, u8::try_from(name.len()).unwrap()]);
        headers.extend(name.as_bytes());
        headers.push(u8::try_from(value.len()).unwrap());
        headers.extend(value.as_bytes());
    }
    [PREFACE, &http2(4, 0, 0, &[]), &http2(1, 4, 1, &headers), &http2(0, 0, 1, message)].concat()
}

async fn say(worker: &Worker, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(worker.transport.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Reads until the connection is closed.
async fn until_closed(mut stream: TcpStream) {
    let mut answer = Vec::new();
    let closed = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "the connection stays open");
}

/// Reads until the stream that [`exchange`] opened is ended by the other side.
async fn until_stream_ends(mut stream: TcpStream) {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const END_STREAM: u8 = 1;
    let read = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.expect("a frame before the connection ends");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            stream.read_exact(&mut vec![0; length]).await.expect("the frame's payload");
            let (kind, flags, on_stream) = (head[3], head[4], head[5..] == 1_u32.to_be_bytes());
            if on_stream && (kind == RESET || kind == HEADERS && flags & END_STREAM != 0) {
                return;
            }
        }
    };
    timeout(PATIENCE, read).await.expect("an answer");
}

/// Highest virtual memory of this process so far, in bytes.
fn memory_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

async fn assert_serves(a: &Worker, b: &Worker, number: u32) {
    a.link(2).send(numbered(number, 100));
    b.recorder.until(|it| it.frames.last() == Some(&(1, number))).await;
}

#[tokio::test]
async fn random_bytes_end_only_their_own_connection() {
    let (a, b, _wire) = pair_with_wire().await;
    let mut random = 42_u64;
    for round in 0..50 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        })
        .take(1 + round * 97)
        .collect();
        let mut stream = say(&b, &bytes).await;
        // Says that no more will come, so that a server that waits for the rest does not.
        stream.shutdown().await.unwrap_or_default();
        until_closed(stream).await;
        // The same after a proper beginning.
        let mut stream = say(&b, &[PREFACE, &bytes].concat()).await;
        stream.shutdown().await.unwrap_or_default();
        until_closed(stream).await;
    }
    assert_serves(&a, &b, 1).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_message_that_claims_four_gigabytes_is_refused_before_memory_is_taken() {
    let (a, b, _wire) = pair_with_wire().await;
    assert_serves(&a, &b, 0).await;
    let before = memory_peak();
    let stream = say(&b, &exchange(&[0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3])).await;
    until_stream_ends(stream).await;
    let grown = memory_peak() - before;
    assert!(grown < 1 << 30, "memory grew by {grown} bytes");
    assert_serves(&a, &b, 1).await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_stream_that_does_not_start_with_a_hello_is_refused() {
    let b = Worker::start(2, epoch(1)).await;
    // A frame message: field 2, empty.
    let stream = say(&b, &exchange(&[0, 0, 0, 0, 2, 0x12, 0])).await;
    until_stream_ends(stream).await;
    b.stop().await;
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_dropped() {
    let b = Worker::start(2, epoch(1)).await;
    let silent = say(&b, &[]).await;
    until_closed(silent).await;
    b.stop().await;
}

#[tokio::test]
async fn silent_connections_do_not_keep_a_worker_out() {
    let (a, b) = (Worker::start(1, epoch(1)).await, Worker::start(2, epoch(1)).await);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(say(&b, &[]).await);
    }
    let routes = [a.route(), b.route()];
    a.adopt(1, &routes);
    assert_serves(&a, &b, 1).await;
    a.stop().await;
    b.stop().await;
}
