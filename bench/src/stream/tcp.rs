//! Frames over TCP: each behind its length, without Nagle's delay.

use std::io::Error;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::frames::{Received, Receiver, Sender};
use super::grpc::{join, refused, runtime};
use crate::bolts::Numbered;
use crate::problem::Problem;
use crate::source::Feed;

/// Sends all frames to another thread; returns what was sent and what arrived.
pub(super) fn exchange<F: Feed>(mut sender: Sender<F>) -> Result<(Received, Received), Problem>
where
    F::Tuple: Numbered,
{
    let listening = runtime()?;
    let listener = listening.block_on(TcpListener::bind("127.0.0.1:0")).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let receiver = sender.receiver();
    let sending = runtime()?;
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || listening.block_on(receive(listener, receiver)));
        let sent = sending.block_on(async {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            while let Some(frame) = sender.next_frame() {
                let length = u32::try_from(frame.len()).map_err(Error::other)?;
                stream.write_u32_le(length).await?;
                stream.write_all(&frame).await?;
            }
            stream.shutdown().await
        });
        let received = join(receiving);
        sent.map_err(refused)?;
        Ok((sender.sent(), received?.map_err(refused)?))
    })
}

async fn receive<F: Feed>(
    listener: TcpListener,
    mut receiver: Receiver<F>,
) -> Result<Received, Error>
where
    F::Tuple: Numbered,
{
    let (mut stream, _) = listener.accept().await?;
    let mut frame = Vec::new();
    // A stream that ends between two frames has ended well; any other end shows in the sums.
    while let Ok(length) = stream.read_u32_le().await {
        frame.resize(length as usize, 0);
        stream.read_exact(&mut frame).await?;
        receiver.take(&frame);
    }
    Ok(receiver.received())
}
