//! One line of an access log in the combined format, as web servers have written it since 1995:
//! `CLIENT - USER [TIME] "METHOD PATH PROTOCOL" STATUS BYTES "REFERRER" "AGENT"`.

use std::fmt;

use crate::time;

/// Why something is no line of an access log.
///
/// ```
/// use weblog::entry::{Entry, NotAnEntry};
///
/// assert_eq!(Entry::parse("hello"), Err(NotAnEntry("there is no time in brackets")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnEntry(pub &'static str);

impl fmt::Display for NotAnEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotAnEntry {}

/// One request, as its line tells of it.
///
/// ```
/// use weblog::entry::Entry;
///
/// let line = r#"198.18.0.7 - - [10/Oct/2000:20:55:36 +0000] "GET /a?b=c HTTP/1.1" 200 512 "-" "Mozilla/5.0""#;
/// let entry = Entry::parse(line).unwrap();
/// assert_eq!((entry.client, entry.page(), entry.status), ("198.18.0.7", "/a", 200));
/// assert_eq!(entry.to_string(), line);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The address that the request came from.
    pub client: &'a str,
    /// When it was answered, in seconds since 1970.
    pub time: u64,
    /// `GET` and the like.
    pub method: &'a str,
    /// What was asked for, with what stands behind `?`.
    pub path: &'a str,
    /// `HTTP/1.1` and the like.
    pub protocol: &'a str,
    /// How it was answered.
    pub status: u16,
    /// How long the answer was, in bytes.
    pub bytes: u64,
    /// The page that led there.
    pub referrer: Option<&'a str>,
    /// What asked.
    pub agent: &'a str,
}

impl<'a> Entry<'a> {
    /// Reads a line, without its line end.
    ///
    /// # Errors
    ///
    /// Says what is missing or wrong first.
    pub fn parse(line: &'a str) -> Result<Self, NotAnEntry> {
        let wrong = NotAnEntry;
        let (client, rest) = line.split_once(' ').ok_or(wrong("there is no time in brackets"))?;
        let (_, rest) = rest.split_once('[').ok_or(wrong("there is no time in brackets"))?;
        let (time, rest) = rest.split_once("] \"").ok_or(wrong("there is no request in quotes"))?;
        let (request, rest) = rest.split_once("\" ").ok_or(wrong("the request has no end"))?;
        let mut words = request.split(' ');
        let [Some(method), Some(path), Some(protocol), None] =
            [words.next(), words.next(), words.next(), words.next()]
        else {
            return Err(wrong("the request is not a method, a path and a protocol"));
        };
        let (status, rest) = rest.split_once(' ').ok_or(wrong("there is no status"))?;
        let (bytes, rest) = rest.split_once(' ').ok_or(wrong("there is no length"))?;
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let (referrer, agent) = quoted
            .and_then(|quoted| quoted.split_once("\" \""))
            .ok_or(wrong("there is no referrer and agent in quotes"))?;
        let is_plain = !client.is_empty() && path.starts_with('/') && !method.is_empty();
        if !is_plain {
            return Err(wrong("the client or the path is none"));
        }
        Ok(Self {
            client,
            time: time::parse(time).ok_or(wrong("the time is none"))?,
            method,
            path,
            protocol,
            status: status
                .parse()
                .ok()
                .filter(|status| (100..600).contains(status))
                .ok_or(wrong("the status is none"))?,
            bytes: if bytes == "-" {
                0
            } else {
                bytes.parse().map_err(|_| wrong("the length is none"))?
            },
            referrer: Some(referrer).filter(|referrer| !matches!(*referrer, "-" | "")),
            agent,
        })
    }

    /// The path without what stands behind `?` or `#`.
    #[must_use]
    pub fn page(&self) -> &'a str {
        self.path.split(['?', '#']).next().unwrap_or_default()
    }

    /// Whether somebody got to see the page: it was asked for by `GET`, and there.
    #[must_use]
    pub fn is_view(&self) -> bool {
        self.method == "GET" && (self.status < 300 || self.status == 304)
    }

    /// Whether the server could not answer.
    #[must_use]
    pub fn is_server_error(&self) -> bool {
        self.status >= 500
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, method, path, protocol, status, bytes, agent, .. } = self;
        let (time, referrer) = (time::format(self.time), self.referrer.unwrap_or("-"));
        write!(
            f,
            "{client} - - [{time}] \"{method} {path} {protocol}\" {status} {bytes} \"{referrer}\" \"{agent}\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_line_is_refused_with_the_reason() {
        let good = r#"a - - [10/Oct/2000:20:55:36 +0000] "GET / HTTP/1.1" 200 5 "-" "x""#;
        assert!(Entry::parse(good).is_ok());
        for (from, to, why) in [
            (" - - [", " ", "brackets"),
            ("Oct", "Foo", "time"),
            ("GET /", "GET", "request"),
            (" 200 ", " 2000 ", "status"),
            (" 200 ", " ok ", "status"),
            (" 5 ", " -5 ", "length"),
            (" \"x\"", "", "agent"),
            ("GET / ", "GET x ", "path"),
        ] {
            let error = Entry::parse(&good.replace(from, to)).unwrap_err();
            assert!(error.0.contains(why), "{error} for {from} as {to}");
        }
        for cut in 0..good.len() - 1 {
            assert!(Entry::parse(&good[..cut]).is_err(), "cut at {cut}");
        }
    }
}
