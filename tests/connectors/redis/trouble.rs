//! What is wrong with a server is told by the option that leads there.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use connectors::Retry;
use tests::servers::RedisServer;

use super::{appends, change, redis_at, runtime, settled, until_told};

#[test]
fn a_server_of_another_kind_is_told_by_the_option_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            drop(stream.read(&mut [0; 1_024]));
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
        }
    });
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut bolt = appends(&redis_at(&address));
    bolt.execute(change("list", 1));
    until_told(&mut bolt, &["option `address`", &address, "no Redis server"]);
}

#[test]
fn a_database_that_is_not_there_is_told_by_the_option_database() {
    let server = RedisServer::start();
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut bolt = appends(&redis_at(server.address()).database(99));
    bolt.execute(change("list", 1));
    until_told(&mut bolt, &["option `database`", "tried again"]);
}

#[test]
fn where_nobody_is_a_tuple_waits_or_fails_after_the_tries_it_has() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let runtime = runtime();
    let _entered = runtime.enter();
    let mut patient = appends(&redis_at(&address));
    patient.execute(change("list", 1));
    until_told(&mut patient, &[&address, "cannot be reached"]);
    assert_eq!(patient.held().len(), 1);

    let millisecond = std::time::Duration::from_millis(1);
    let twice = Retry::new(millisecond, millisecond).attempts(2);
    let mut hasty = appends(&redis_at(&address).retry(twice));
    hasty.execute(change("list", 1));
    let (acked, failed) = settled(&mut hasty);
    assert!(acked.is_empty());
    assert!(
        failed[0].1.contains("cannot be reached") && failed[0].1.contains("tried 2 times"),
        "{failed:?}"
    );
}
