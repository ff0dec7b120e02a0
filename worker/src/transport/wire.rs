//! How links speak HTTP/2, and their messages as protobuf.
//!
//! The settings that were measured to matter: HTTP/2 frames of 256 KiB at both ends (2 to 4 times
//! the throughput), no Nagle, default windows. A keepalive finds half-open connections, and
//! messages are limited before they are read.

use std::time::Duration;

use daemon::listen::Security;
use futures::Stream;
use proto::transport::{Credit, FromReceiver, FromSender, Progress, Refused, Welcome};
use proto::transport::{Frame, from_receiver, from_sender, refused};
use tonic::codec::{BufferSettings, Codec, Streaming};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

use crate::engine::flow::Amount;
use crate::engine::links::handshake::{Hello, Identity, Refusal};
use crate::engine::routing::Epoch;

/// What stands around the payload of a frame in its message, at most.
pub(super) const AROUND_PAYLOAD_BYTES: usize = 64;

const HTTP2_FRAME_BYTES: u32 = 256 << 10;
const CODEC_BYTES: usize = 64 << 10;
const KEEPALIVE: Duration = Duration::from_millis(500);
const CONNECT: Duration = Duration::from_secs(1);

/// A peer needs one stream on its connection; a few more bear a redial.
const STREAMS_MAX: u32 = 8;

/// Requests carry a handful of headers.
const HEADER_BYTES_MAX: u32 = 8 << 10;

/// Returns a server with the settings of a link.
#[must_use]
pub fn server() -> Server {
    Server::builder()
        .max_frame_size(HTTP2_FRAME_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
}

/// Connects to a worker, given as `host:port`.
///
/// # Errors
///
/// If there is no such address, nobody answers there within a second, or one end refuses the other.
pub async fn connect(
    address: &str,
    security: &Security,
) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?
        .connect_timeout(CONNECT)
        .tcp_nodelay(true)
        .max_frame_size(HTTP2_FRAME_BYTES)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true);
    daemon::grpc::connect(endpoint, security).await
}

/// Opens the stream of a link: what the generated client does, with larger buffers.
///
/// # Errors
///
/// If the connection broke, or the worker refuses.
pub async fn exchange(
    channel: Channel,
    outgoing: impl Stream<Item = FromSender> + Send + 'static,
) -> Result<Streaming<FromReceiver>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    let unready = |error| Status::unavailable(format!("the connection broke: {error}"));
    client.ready().await.map_err(unready)?;
    let path = PathAndQuery::from_static("/squall.transport.Transport/Exchange");
    let response = client.streaming(Request::new(outgoing), path, WideCodec).await?;
    Ok(response.into_inner())
}

/// The protobuf codec with buffers for whole frames, so that several leave in one write.
#[derive(Clone, Copy, Debug)]
struct WideCodec;

impl Codec for WideCodec {
    type Encode = FromSender;
    type Decode = FromReceiver;
    type Encoder = ProstEncoder<FromSender>;
    type Decoder = ProstDecoder<FromReceiver>;

    fn encoder(&mut self) -> Self::Encoder {
        let buffers = BufferSettings::new(CODEC_BYTES, CODEC_BYTES);
        ProstCodec::<FromSender, FromReceiver>::raw_encoder(buffers)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<FromSender, FromReceiver>::raw_decoder(BufferSettings::default())
    }
}

/// The first message of a sender.
pub(super) fn hello(hello: &Hello, table_version: u64) -> FromSender {
    let sender = &hello.sender;
    let hello = proto::transport::Hello {
        protocol: hello.protocol,
        cluster: sender.cluster.clone(),
        topology: sender.topology.clone(),
        sender: sender.worker,
        sender_epoch: Some(epoch_out(sender.epoch)),
        receiver: hello.receiver,
        receiver_epoch: Some(epoch_out(hello.receiver_epoch)),
        table_version,
        oldest_sequence: hello.oldest,
        starts_over: hello.starts_over,
    };
    FromSender { kind: Some(from_sender::Kind::Hello(hello)) }
}

/// Reads a hello; none if it lacks an incarnation.
pub(super) fn read_hello(hello: proto::transport::Hello) -> Option<Hello> {
    Some(Hello {
        protocol: hello.protocol,
        sender: Identity {
            cluster: hello.cluster,
            topology: hello.topology,
            worker: hello.sender,
            epoch: epoch_in(hello.sender_epoch?),
        },
        receiver: hello.receiver,
        receiver_epoch: epoch_in(hello.receiver_epoch?),
        oldest: hello.oldest_sequence,
        starts_over: hello.starts_over,
    })
}

/// Wraps the payload of a frame as the message that carries it.
#[must_use]
pub fn frame(sequence: u64, payload: bytes::Bytes) -> FromSender {
    FromSender { kind: Some(from_sender::Kind::Frame(Frame { sequence, payload })) }
}

pub(super) fn welcome(next_sequence: u64, grants: Vec<(u32, Amount)>) -> FromReceiver {
    let welcome = Welcome { next_sequence, credits: credits(grants) };
    FromReceiver { kind: Some(from_receiver::Kind::Welcome(welcome)) }
}

pub(super) fn progress(next_sequence: u64, grants: Vec<(u32, Amount)>) -> FromReceiver {
    let progress = Progress { next_sequence, credits: credits(grants) };
    FromReceiver { kind: Some(from_receiver::Kind::Progress(progress)) }
}

pub(super) fn refused(refusal: Refusal, table_version: u64) -> FromReceiver {
    let reason = match refusal {
        Refusal::Retired => refused::Reason::Retired,
        Refusal::NotMe => refused::Reason::NotMe,
        Refusal::Foreign => refused::Reason::Foreign,
        Refusal::CannotResume => refused::Reason::CannotResume,
    };
    let refused = Refused { reason: reason.into(), table_version, text: refusal.to_string() };
    FromReceiver { kind: Some(from_receiver::Kind::Refused(refused)) }
}

pub(super) fn read_refused(refused: &Refused) -> Refusal {
    match refused.reason() {
        refused::Reason::Retired => Refusal::Retired,
        refused::Reason::NotMe => Refusal::NotMe,
        refused::Reason::CannotResume => Refusal::CannotResume,
        refused::Reason::Foreign | refused::Reason::Unspecified => Refusal::Foreign,
    }
}

fn credits(grants: Vec<(u32, Amount)>) -> Vec<Credit> {
    let credit = |(task, Amount { tuples, bytes })| Credit { task, tuples, bytes };
    grants.into_iter().map(credit).collect()
}

fn epoch_out(epoch: Epoch) -> proto::store::Epoch {
    proto::store::Epoch { revision: epoch.revision, restarts: epoch.restarts }
}

fn epoch_in(epoch: proto::store::Epoch) -> Epoch {
    Epoch { revision: epoch.revision, restarts: epoch.restarts }
}
