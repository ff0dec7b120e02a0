//! Sources that push: HTTP, syslog, lines over TCP, what a command writes, standard input.
//!
//! A server on a thread of its own posts into a bounded queue, or into a durable buffer; the spout emits
//! what is there. What a sender is told, and when, is on the page `docs/connectors/push.md`.

mod command;
mod framing;
mod http;
mod lines;
mod records;
mod stdin;
mod stream;
mod syslog;

use topology_api::{Error, Line, Text};

pub use crate::intake::{PushSpout, Pushed};

pub use self::command::{CommandIn, Restart};
pub use self::http::HttpIn;
pub use self::lines::LinesIn;
pub use self::stdin::StdinIn;
pub use self::syslog::{SyslogIn, SyslogMessage, parse as parse_syslog};

/// A record as a line.
fn line(record: &[u8]) -> Result<Line, Error> {
    let text = std::str::from_utf8(record).map_err(|error| format!("it is no UTF-8: {error}"))?;
    Ok(Line { text: text.into() })
}

/// A record as a line, whatever its bytes are.
fn line_with_replacements(record: &[u8]) -> Result<Line, Error> {
    let text: Text = match std::str::from_utf8(record) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(record).as_ref().into(),
    };
    Ok(Line { text })
}
