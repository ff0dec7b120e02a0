//! Logging that can be changed while the process runs, and lines that say where they were logged.
//!
//! Workers log this way: what is logged is changed from outside, for as long as somebody looks, and
//! each line tells which task it comes from.

use std::fmt;
use std::io::stderr;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::{Format, LoggingError, filter};

/// Says where the thread is now, as names and values; the values need no escaping in JSON.
pub type Place = fn() -> Vec<(&'static str, String)>;

/// What is logged, to be changed at run time.
#[derive(Clone, Debug)]
pub struct Levels {
    handle: reload::Handle<EnvFilter, Registry>,
    /// What `RUST_LOG` said.
    first: String,
}

impl Levels {
    /// Logs by another filter from now on; an empty one stands for what `RUST_LOG` said at the start.
    ///
    /// ```no_run
    /// use daemon::logging::{Format, init_with_levels};
    ///
    /// let levels = init_with_levels(Format::Text, Vec::new).unwrap();
    /// levels.set("info,worker=debug").unwrap();
    /// levels.set("").unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// [`LoggingError::Filter`] if it makes no sense: then nothing changes.
    pub fn set(&self, text: &str) -> Result<(), LoggingError> {
        let text = if text.trim().is_empty() { &self.first } else { text };
        let wrong = |reason: String| LoggingError::Filter { text: text.to_owned(), reason };
        self.handle.reload(filter(Some(text))?).map_err(|error| wrong(error.to_string()))
    }
}

/// Tells whether a text is a filter for [`Levels::set`].
///
/// ```
/// assert!(daemon::logging::check("warn,my_topology::parse=trace").is_ok());
/// assert!(daemon::logging::check("worker=loud").is_err());
/// ```
///
/// # Errors
///
/// [`LoggingError::Filter`] with what is wrong with it.
pub fn check(text: &str) -> Result<(), LoggingError> {
    filter(Some(text)).map(drop)
}

/// Sets up logging for this process that can be changed later. A wrong `RUST_LOG` counts as none.
///
/// # Errors
///
/// [`LoggingError::AlreadySet`] if logging was set up before: that stays.
pub fn init_with_levels(format: Format, place: Place) -> Result<Levels, LoggingError> {
    let wanted = std::env::var("RUST_LOG").ok().unwrap_or_default();
    let wrong = check(&wanted).err();
    let first = if wrong.is_some() { String::new() } else { wanted };
    let (subscriber, levels) = placed(format, first, place, stderr)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::AlreadySet)?;
    if let Some(error) = wrong {
        tracing::warn!(%error, "logging from INFO up instead");
    }
    Ok(levels)
}

/// Makes what turns events into lines that say where they come from.
fn placed<W>(
    format: Format,
    first: String,
    place: Place,
    writer: W,
) -> Result<(Box<dyn Subscriber + Send + Sync>, Levels), LoggingError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(Some(&first))?);
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    let subscriber: Box<dyn Subscriber + Send + Sync> = match format {
        Format::Text => {
            let inner = tracing_subscriber::fmt::format();
            Box::new(registry.with(lines.event_format(Placed { inner, place, json: false })))
        }
        Format::Json => {
            let inner = tracing_subscriber::fmt::format().json().flatten_event(true);
            let lines = lines.json().event_format(Placed { inner, place, json: true });
            Box::new(registry.with(lines))
        }
    };
    Ok((subscriber, Levels { handle, first }))
}

/// A format with the place at the end of each line.
struct Placed<F> {
    inner: F,
    place: Place,
    json: bool,
}

impl<S, N, F> FormatEvent<S, N> for Placed<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let line = line.trim_end_matches('\n');
        let line = if self.json { line.strip_suffix('}').unwrap_or(line) } else { line };
        out.write_str(line)?;
        for (name, value) in (self.place)() {
            // An event may tell of a task itself.
            let mark = if self.json { format!("\"{name}\":") } else { format!(" {name}=") };
            if line.contains(&mark) {
                continue;
            }
            match (self.json, value.parse::<u64>()) {
                (true, Ok(number)) => write!(out, ",\"{name}\":{number}")?,
                (true, Err(_)) => write!(out, ",\"{name}\":\"{value}\"")?,
                (false, _) => write!(out, " {name}={value}")?,
            }
        }
        out.write_str(if self.json { "}\n" } else { "\n" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::tests::Lines;

    fn here() -> Vec<(&'static str, String)> {
        vec![("component", "count".to_owned()), ("task", "3".to_owned())]
    }

    fn logged(format: Format, log: impl FnOnce(&Levels)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let (subscriber, levels) =
            placed(format, String::new(), here, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || log(&levels));
        lines.text()
    }

    #[test]
    fn what_is_logged_changes_while_it_runs() {
        let text = logged(Format::Text, |levels| {
            tracing::debug!("before");
            levels.set("debug").unwrap();
            tracing::debug!("between");
            assert!(levels.set("worker=loud").is_err(), "refused, and nothing changes");
            tracing::debug!("still");
            levels.set("").unwrap();
            tracing::debug!("after");
            tracing::info!("again");
        });
        for (word, there) in [
            ("before", false),
            ("between", true),
            ("still", true),
            ("after", false),
            ("again", true),
        ] {
            assert_eq!(text.contains(word), there, "{word}: {text}");
        }
    }

    #[test]
    fn each_line_says_where_it_comes_from() {
        let text = logged(Format::Text, |_| tracing::info!(n = 1, "counted"));
        assert!(text.ends_with("counted n=1 component=count task=3\n"), "{text}");
        let own = logged(Format::Text, |_| tracing::info!(task = 4, "counted"));
        assert!(own.ends_with("counted task=4 component=count\n"), "its own is kept: {own}");
        let json = logged(Format::Json, |_| tracing::info!(n = 1, "counted"));
        assert!(json.contains(r#""message":"counted","n":1"#), "{json}");
        assert!(json.ends_with(",\"component\":\"count\",\"task\":3}\n"), "{json}");
    }
}
