//! The tuples of a case over a bare stream: what two workers can exchange at best.
//!
//! One thread encodes tuples into frames and sends them, another receives and decodes them, each on
//! a runtime of its own, over loopback. There is no topology: no grouping, no queue, no credit, no
//! ack and nothing to resume from. With `--codec off` each frame is a copy of one that was encoded
//! before, and its rows are not read: what is left is the stream.

mod frames;
mod grpc;
mod tcp;

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::frames::{Received, Sender};
use crate::bolts::Numbered;
use crate::cases::{Constants, Payloads, WordsOnly};
use crate::figures::{as_f64, rounded};
use crate::meter::now_ns;
use crate::options::Switch;
use crate::problem::Problem;
use crate::run::{print, tell_machine};
use crate::source::Feed;

/// What carries the frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Carrier {
    /// A gRPC stream with the settings of our transport
    Tonic,
    /// A TCP connection, each frame behind its length
    Tcp,
}

/// Which tuples are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tuples {
    /// Those of const-null
    ConstNull,
    /// The words of word-count
    WordCount,
    /// Those of payload
    Payload,
}

/// The flags of `stream`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Stream {
    /// What carries them
    #[arg(value_enum)]
    carrier: Carrier,
    /// Whose tuples are sent
    #[arg(long, value_enum, default_value = "const-null")]
    tuples: Tuples,
    /// Whether each tuple is encoded and decoded
    #[arg(long, value_enum, default_value = "on")]
    codec: Switch,
    /// Bytes of a frame [default: as many as our transport sends]
    #[arg(long, value_name = "N", default_value_t = worker::transport::codec::FRAME_BYTES as u32,
        value_parser = clap::value_parser!(u32).range(1_024..=4_194_304))]
    frame: u32,
    /// Bytes of a payload
    #[arg(long, value_name = "N", default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(16..=1_048_576))]
    bytes: u32,
    /// How long
    #[arg(long, value_name = "N", default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Show failures as JSON too
    #[arg(long)]
    json: bool,
}

/// The line that is printed.
#[derive(Debug, Serialize)]
struct Figures {
    case: String,
    mode: String,
    codec: &'static str,
    frame_bytes: u32,
    seconds: u32,
    tuples_per_s: f64,
    mb_per_s: f64,
}

/// Sends and prints what arrived.
pub(crate) fn measure(stream: &Stream) -> Result<(), Problem> {
    let before = tell_machine("before");
    let begun = now_ns();
    let received = match stream.tuples {
        Tuples::ConstNull => exchange(stream, Constants::new()),
        Tuples::WordCount => exchange(stream, WordsOnly::open()?),
        Tuples::Payload => exchange(stream, Payloads::new(stream.bytes)),
    }?;
    let seconds = as_f64(now_ns() - begun) / 1e9;
    let after = tell_machine("after");
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let figures = Figures {
        case: name(stream.tuples.to_possible_value()),
        mode: name(stream.carrier.to_possible_value()),
        codec: stream.codec.name(),
        frame_bytes: stream.frame,
        seconds: stream.seconds,
        tuples_per_s: (as_f64(received.tuples) / seconds).round(),
        mb_per_s: rounded(as_f64(received.bytes) / 1e6 / seconds),
    };
    print(&figures, [before, after])
}

/// Sends for as long as was asked, and holds what arrived against what was sent.
fn exchange<F: Feed>(stream: &Stream, feed: F) -> Result<Received, Problem>
where
    F::Tuple: Numbered,
{
    let frame_bytes = stream.frame as usize;
    let until_ns = now_ns() + u64::from(stream.seconds) * 1_000_000_000;
    let sender = Sender::new(feed, frame_bytes, stream.codec == Switch::On, until_ns);
    let (sent, received) = match stream.carrier {
        Carrier::Tcp => tcp::exchange(sender)?,
        Carrier::Tonic => grpc::exchange(sender, frame_bytes)?,
    };
    if sent != received {
        let why = format!("{sent:?} was sent and {received:?} arrived");
        return Err(Problem::failed("the sums do not add up", why));
    }
    Ok(received)
}
