//! Frames over a gRPC stream with the settings, messages and service of our transport.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use daemon::listen::Security;
use proto::transport::transport_server::{Transport, TransportServer};
use proto::transport::{FromReceiver, FromSender, from_sender};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use worker::transport::wire;

use super::frames::{Received, Receiver, Sender};
use crate::bolts::Numbered;
use crate::problem::{EX_OSERR, Problem};
use crate::source::Feed;

/// What stands around a frame in its message, at most.
const AROUND_FRAME_BYTES: usize = 1 << 10;

/// A runtime of one thread, as our transport has.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Problem> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)
}

/// The machine does not let us.
pub(super) fn refused(error: impl Display) -> Problem {
    Problem::new(EX_OSERR, "cannot stream over loopback", error, "see what the machine is short of")
}

/// What a thread came to.
pub(super) fn join<T>(thread: ScopedJoinHandle<'_, T>) -> Result<T, Problem> {
    thread.join().map_err(|_| Problem::failed("a thread failed", "it panicked"))
}

/// Sends all frames to another thread; returns what was sent and what arrived.
pub(super) fn exchange<F: Feed>(
    sender: Sender<F>,
    frame_bytes: usize,
) -> Result<(Received, Received), Problem>
where
    F::Tuple: Numbered,
{
    let listening = runtime()?;
    let listener = listening.block_on(TcpListener::bind("127.0.0.1:0")).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let (told, over) = oneshot::channel();
    let service = Service(Mutex::new(Some((sender.receiver(), told))));
    // A frame may be larger by one tuple than it is to be.
    let service = TransportServer::new(service)
        .max_decoding_message_size(frame_bytes * 2 + AROUND_FRAME_BYTES + (1 << 20));
    let sending = runtime()?;
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || {
            listening.block_on(async {
                let arrived = Arc::new(Mutex::new(None));
                let ends = {
                    let arrived = Arc::clone(&arrived);
                    async move {
                        *arrived.lock().unwrap_or_else(PoisonError::into_inner) = over.await.ok();
                    }
                };
                let accepted = TcpListenerStream::new(listener).map(|stream| {
                    stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                });
                wire::server()
                    .add_service(service)
                    .serve_with_incoming_shutdown(accepted, ends)
                    .await
                    .map_err(refused)?;
                let arrived = arrived.lock().unwrap_or_else(PoisonError::into_inner).take();
                arrived.ok_or_else(|| refused("the stream never ended"))
            })
        });
        let sent = sending.block_on(send(&address.to_string(), sender));
        let received = join(receiving)?;
        Ok((sent?, received?))
    })
}

/// Sends frames as fast as the stream takes them, until their time is over.
async fn send<F: Feed>(address: &str, sender: Sender<F>) -> Result<Received, Problem>
where
    F::Tuple: Numbered,
{
    let channel = wire::connect(address, &Security::Loopback).await.map_err(refused)?;
    let sender = Arc::new(Mutex::new(sender));
    let frames = {
        let (sender, mut sequence) = (Arc::clone(&sender), 0);
        std::iter::from_fn(move || {
            let payload = sender.lock().unwrap_or_else(PoisonError::into_inner).next_frame()?;
            sequence += 1;
            Some(wire::frame(sequence, payload))
        })
    };
    let mut answers = wire::exchange(channel, tokio_stream::iter(frames)).await.map_err(refused)?;
    while answers.message().await.map_err(refused)?.is_some() {}
    Ok(sender.lock().unwrap_or_else(PoisonError::into_inner).sent())
}

/// Takes one stream in.
struct Service<F>(Mutex<Option<(Receiver<F>, oneshot::Sender<Received>)>>);

type Responses = std::pin::Pin<Box<dyn Stream<Item = Result<FromReceiver, Status>> + Send>>;

#[tonic::async_trait]
impl<F: Feed> Transport for Service<F>
where
    F::Tuple: Numbered,
{
    type ExchangeStream = Responses;

    async fn exchange(
        &self,
        request: Request<Streaming<FromSender>>,
    ) -> Result<Response<Responses>, Status> {
        let mut frames = request.into_inner();
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (mut receiver, told) =
            taken.ok_or_else(|| Status::already_exists("there is one stream only"))?;
        while let Some(message) = frames.message().await? {
            if let Some(from_sender::Kind::Frame(frame)) = message.kind {
                receiver.take(&frame.payload);
            }
        }
        told.send(receiver.received()).map_err(|_| Status::cancelled("nobody waits for it"))?;
        Ok(Response::new(Box::pin(tokio_stream::empty())))
    }
}
