//! Logs: to standard error, as text for people or as one JSON object a line for machines.
//!
//! `RUST_LOG` says what is logged, as in `info,nimbus=debug`; without it everything from INFO up,
//! but of the Kafka client from WARN up.

mod levels;
mod line;
mod search;

use std::io::{IsTerminal, stderr};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

pub use levels::{Levels, Place, check, init_with_levels};
pub use line::{Line, Pieces, readable};
pub use search::Search;

/// What a line of the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is not a filter.
    #[error(
        "RUST_LOG={text:?} is not a log filter ({reason}); write for example RUST_LOG=info,nimbus=debug"
    )]
    Filter {
        /// What it says.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else in this process has set up logging.
    #[error("logging was already set up in this process")]
    AlreadySet,
}

/// Sets up logging for this process.
///
/// ```
/// use daemon::logging::{self, Format};
///
/// logging::init(Format::Json).unwrap();
/// tracing::info!(topology = "word-count", "topology submitted");
/// assert!(logging::init(Format::Json).is_err(), "once is enough");
/// ```
///
/// # Errors
///
/// [`LoggingError`]: nothing is logged then, except by whoever has set it up.
pub fn init(format: Format) -> Result<(), LoggingError> {
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref())?;
    let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let subscriber = subscriber(format, filter, colour, stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySet)
}

/// Sets up logging for a program run by hand: as text, where a wrong `RUST_LOG` counts as none and
/// logging that is already set up stays.
pub fn init_default() {
    if let Err(error @ LoggingError::Filter { .. }) = init(Format::Text) {
        let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let plain = subscriber(Format::Text, EnvFilter::new("info"), colour, stderr);
        if tracing::subscriber::set_global_default(plain).is_ok() {
            tracing::warn!(%error, "logging from INFO up instead");
        }
    }
}

/// What is not logged from INFO up: the Kafka client opens a span for each record, and to write down its
/// fields, which nobody reads, takes half of the time that a record takes.
const QUIET: &str = "krafka=warn";

/// Reads what `RUST_LOG` says.
fn filter(text: Option<&str>) -> Result<EnvFilter, LoggingError> {
    match text.map(str::trim) {
        None | Some("") => Ok(EnvFilter::new(format!("info,{QUIET}"))),
        Some(text) => EnvFilter::try_new(text).map_err(|error| LoggingError::Filter {
            text: text.to_owned(),
            reason: error.to_string(),
        }),
    }
}

/// Makes what turns events into lines.
fn subscriber<W>(
    format: Format,
    filter: EnvFilter,
    colour: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Text => Box::new(lines.with_ansi(colour).finish()),
        Format::Json => Box::new(lines.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// A writer whose lines can be read back.
    #[derive(Clone, Default)]
    pub(super) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, rust_log: Option<&str>, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let filter = filter(rust_log).unwrap();
        let subscriber = subscriber(format, filter, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        lines.text()
    }

    fn greet() {
        tracing::info!(worker = 3, "worker started");
        tracing::debug!("not for everybody");
    }

    #[test]
    fn text_is_logged_from_info_up_by_default() {
        let text = logged(Format::Text, None, greet);
        assert!(text.contains("INFO") && text.contains("worker started worker=3"), "{text}");
        assert!(!text.contains("not for everybody"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours off a terminal: {text:?}");
    }

    #[test]
    fn rust_log_says_what_is_logged() {
        assert!(logged(Format::Text, Some("debug"), greet).contains("not for everybody"));
        assert!(!logged(Format::Text, Some("warn"), greet).contains("worker started"));
        assert!(logged(Format::Text, Some(" "), greet).contains("worker started"), "as if unset");
    }

    #[test]
    fn json_has_one_object_a_line_with_the_fields_at_its_top() {
        let text = logged(Format::Json, Some("debug"), greet);
        assert_eq!(text.lines().count(), 2, "{text}");
        for line in text.lines() {
            assert!(line.starts_with('{') && line.ends_with('}'), "{line}");
        }
        assert!(text.contains(r#""message":"worker started","worker":3"#), "{text}");
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_shown() {
        let text = filter(Some("nimbus=loud")).unwrap_err().to_string();
        assert!(text.contains("nimbus=loud"), "{text}");
    }
}
