//! Real connections with the settings that everything shares.

use std::time::Duration;

use daemon::listen::{ListenRange, Security, bind};
use daemon::{Shutdown, grpc};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};

async fn listener() -> TcpListener {
    let any_port: ListenRange = "127.0.0.1:0".parse().expect("it is a range");
    bind(any_port, &Security::Loopback).await.expect("a port is free")
}

/// Calls a method that no service has.
async fn call(endpoint: Endpoint) -> Result<Response<Body>, tonic::transport::Error> {
    let mut channel: Channel = endpoint.connect().await?;
    let request = Request::post("http://localhost/squall.Nothing/Nothing");
    let request = request.body(Body::empty()).expect("it is a request");
    std::future::poll_fn(|cx| GrpcService::<Body>::poll_ready(&mut channel, cx)).await?;
    GrpcService::<Body>::call(&mut channel, request).await
}

/// The status by which gRPC says that there is no such method.
fn is_unimplemented(answer: &Response<Body>) -> bool {
    answer.headers().get("grpc-status").is_some_and(|status| status == "12")
}

#[tokio::test]
async fn a_server_answers_over_tcp() {
    let (listener, shutdown) = (listener().await, Shutdown::new());
    let address = listener.local_addr().unwrap().to_string();
    let incoming = grpc::incoming(listener, &Security::Loopback, &shutdown);
    shutdown.spawn_until_asked(async move {
        let served = grpc::server().add_routes(Routes::default());
        served.serve_with_incoming(incoming).await.expect("it serves");
    });
    let answer = call(grpc::endpoint(&address).unwrap()).await.expect("it answers");
    assert!(is_unimplemented(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_server_answers_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with space.sock");
    let (listener, shutdown) = (UnixListener::bind(&path).unwrap(), Shutdown::new());
    shutdown.spawn_until_asked(async move {
        let served = grpc::server().add_routes(Routes::default());
        let incoming = UnixListenerStream::new(listener);
        served.serve_with_incoming(incoming).await.expect("it serves");
    });
    let answer = call(grpc::socket_endpoint(&path).unwrap()).await.expect("it answers");
    assert!(is_unimplemented(&answer), "{answer:?}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_given_up_soon() {
    let (listener, shutdown) = (listener().await, Shutdown::new());
    let address = listener.local_addr().unwrap().to_string();
    shutdown.spawn_until_asked(async move {
        let (mut silent, _) = listener.accept().await.expect("somebody dials");
        let mut swallowed = Vec::new();
        silent.read_to_end(&mut swallowed).await.ok();
        std::future::pending::<()>().await;
    });
    let pings = grpc::PING_INTERVAL + grpc::PING_TIMEOUT;
    let answer = call(grpc::endpoint(&address).unwrap());
    let answer = tokio::time::timeout(pings + Duration::from_secs(5), answer).await;
    assert!(answer.expect("it does not hang").is_err(), "silence is no answer");
}

#[tokio::test]
async fn a_client_that_says_nothing_is_given_up_soon() {
    let (listener, shutdown) = (listener().await, Shutdown::new());
    let address = listener.local_addr().unwrap();
    let incoming = grpc::incoming(listener, &Security::Loopback, &shutdown);
    shutdown.spawn_until_asked(async move {
        let served = grpc::server().add_routes(Routes::default());
        served.serve_with_incoming(incoming).await.expect("it serves");
    });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    tokio::io::AsyncWriteExt::write_all(&mut client, preface).await.unwrap();
    let mut said = Vec::new();
    let pings = grpc::PING_INTERVAL + grpc::PING_TIMEOUT;
    let end = tokio::time::timeout(pings + Duration::from_secs(5), client.read_to_end(&mut said));
    end.await.expect("the server hangs up").ok();
}

#[test]
fn what_is_no_address_is_refused() {
    assert!(grpc::endpoint("white space:1").is_err());
}
