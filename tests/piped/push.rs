//! Topologies of what is pushed: a source, and a sink that writes down what it was given.
//!
//! `--source=http|lines|syslog|syslog-udp|command|stdin|relay`, `--listen=ADDRESS`, `--out=FOLDER` where
//! the sink writes, `--relay=ADDRESS` to send it on instead. `--buffer=FOLDER`, `--token=SECRET`,
//! `--pending=N`, `--restart=never` are options of the source. With `--hold` the sink holds its inputs
//! until there is a file `go` in its folder, and `--beside=ADDRESS` declares lines with a sink of their
//! own beside it. A record that begins with `fail` fails.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use connectors::Listen;
use connectors::buffer::BufferOptions;
use connectors::push::{
    CommandIn, HttpIn, LinesIn, PushSpout, Restart, StdinIn, SyslogIn, SyslogMessage,
};
use connectors::relay::{RelayIn, RelayOut};
use topology_api::prelude::{
    Args, BoltResult, BuildError, Context, ExplicitBolt, Input, Line, NoOutput, Output, Stream,
    Topology, TopologyBuilder,
};
use topology_api::{Error, Text};

/// How often a sink that holds its inputs looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Writes down what it is given.
struct Sink {
    file: File,
    /// While this is not there, inputs are held.
    gate: Option<PathBuf>,
    held: Vec<Input<Line>>,
}

impl Sink {
    fn open(cx: &Context, name: &str, holds: bool) -> Result<Self, Error> {
        let folder = PathBuf::from(cx.arguments().value("out").unwrap_or_default());
        let file = OpenOptions::new().create(true).append(true).open(folder.join(name))?;
        Ok(Self { file, gate: holds.then(|| folder.join("go")), held: Vec::new() })
    }

    fn take(&mut self, input: Input<Line>) -> BoltResult {
        if input.text.starts_with("fail") {
            input.fail("told to");
            return Ok(());
        }
        // One write, so that a kill leaves no half line.
        self.file.write_all(format!("{}\n", input.text).as_bytes())?;
        input.ack();
        Ok(())
    }
}

impl ExplicitBolt for Sink {
    type Input = Line;
    type Output = NoOutput;

    fn execute(&mut self, input: Input<Line>, _: &mut Output<NoOutput>) -> BoltResult {
        if self.gate.is_some() {
            self.held.push(input);
            return Ok(());
        }
        self.take(input)
    }

    fn tick(&mut self, _: &mut Output<NoOutput>) {
        if self.gate.as_ref().is_some_and(|gate| gate.exists()) {
            self.gate = None;
            for input in std::mem::take(&mut self.held) {
                // What cannot be written down fails with its input.
                self.take(input).ok();
            }
        }
    }
}

/// What the arguments say of a source.
fn source(cx: &Context) -> Result<PushSpout<Line>, Error> {
    let args = cx.arguments();
    let listen = args.value("listen").unwrap_or("127.0.0.1:0").to_owned();
    let buffer = args.value("buffer").map(BufferOptions::new);
    let pending = args.value("pending").and_then(|it| it.parse().ok()).unwrap_or(10_000);
    match args.value("source").unwrap_or_default() {
        "http" => {
            let mut http = HttpIn::new(listened(listen, args))
                .pending_max(pending)
                .records_max(pending.min(1_000));
            http = http.body_bytes_max(64 << 10).path("/records");
            if let Some(buffer) = buffer {
                http = http.buffer(buffer);
            }
            if let Some(token) = args.value("token") {
                http = http.token(token.parse()?);
            }
            http.lines(cx)
        }
        "lines" => {
            let lines = LinesIn::new(listened(listen, args).open()).line_bytes_max(1_000);
            buffer.into_iter().fold(lines, LinesIn::buffer).lines(cx)
        }
        "command" => {
            let script = "echo one; echo two; exit 3";
            let mut command = CommandIn::new("sh", ["-c", script]);
            if args.value("restart") == Some("never") {
                command = command.restart(Restart::Never);
            }
            command.lines(cx)
        }
        "relay" => {
            let relay = RelayIn::new(listened(listen, args));
            buffer.into_iter().fold(relay, RelayIn::buffer).open(cx)
        }
        _ => StdinIn::new().lines(cx),
    }
}

fn messages(t: &mut TopologyBuilder, udp: bool) -> Stream<Line> {
    let messages = t.spout("syslog", move |cx| {
        let listen = cx.arguments().value("listen").unwrap_or_default();
        if udp { SyslogIn::udp(listen) } else { SyslogIn::tcp(listen) }.messages(cx)
    });
    let said = t.map("say", |it: SyslogMessage| {
        let text = format!("{} {}.{} {}: {}", it.format, it.facility, it.severity, it.app, it.text);
        Line { text: Text::from(text) }
    });
    said.shuffle(&messages.stream()).stream()
}

/// The topology that the arguments describe.
pub(crate) fn topology(args: &Args) -> Result<Topology, BuildError> {
    let mut t = TopologyBuilder::new("push");
    let lines = match args.value("source").unwrap_or_default() {
        "syslog" => messages(&mut t, false),
        "syslog-udp" => messages(&mut t, true),
        _ => t.spout("source", source).stream(),
    };
    if args.value("relay").is_some() && args.flag("mismatch") {
        let other =
            t.map("other", |line: Line| connectors::push::parse_syslog(line.text.as_bytes(), 0));
        let other = other.shuffle(&lines).stream();
        t.explicit_bolt("relay", relay_out::<SyslogMessage>).shuffle(&other);
    } else if args.value("relay").is_some() {
        t.explicit_bolt("relay", relay_out::<Line>).shuffle(&lines);
    } else {
        let holds = args.flag("hold");
        t.explicit_bolt("sink", move |cx| Sink::open(cx, "seen", holds))
            .tick_every(LOOK_EVERY)
            .shuffle(&lines);
    }
    if let Some(beside) = args.value("beside") {
        let beside = beside.to_owned();
        let beside = t.spout("beside", move |cx| LinesIn::new(&*beside).lines(cx)).stream();
        t.explicit_bolt("free", |cx| Sink::open(cx, "beside", false)).shuffle(&beside);
    }
    t.build()
}

fn relay_out<T: topology_api::Tuple>(
    cx: &Context,
) -> Result<connectors::relay::RelayBolt<T>, Error> {
    let mut relay = RelayOut::new([cx.arguments().value("relay").unwrap_or_default()]);
    if let Some([cert, key, ca]) = tls(cx.arguments()) {
        relay = relay.tls(cert, key, ca);
    }
    relay.open(cx)
}

/// Where to listen, with TLS if there is to be.
fn listened(address: String, args: &Args) -> Listen {
    let listen = Listen::new(address);
    match tls(args) {
        Some([cert, key, ca]) => listen.tls(cert, key, ca),
        None => listen,
    }
}

/// Certificate, key and authorities, if there is to be TLS.
fn tls(args: &Args) -> Option<[PathBuf; 3]> {
    let folder = PathBuf::from(args.value("tls")?);
    Some(["node.pem", "node-key.pem", "ca.pem"].map(|name| folder.join(name)))
}
