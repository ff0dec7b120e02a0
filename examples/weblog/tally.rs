//! What the lines of logs come to, counted exactly and all at once: what a stream of them is held against.
//!
//! The order of lines does not matter, so files of several servers may be counted one after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use crate::entry::Entry;
use crate::time;

/// A client that was not heard of for so long has ended its session, in seconds.
pub const SESSION_GAP_SECONDS: u64 = 30 * 60;

/// How many pages and referrers are in the lists of the most frequent ones.
const TOP: usize = 10;

/// Requests of one minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Minute {
    requests: u64,
    server_errors: u64,
}

/// Counts lines.
///
/// ```
/// use weblog::tally::Tally;
///
/// let mut tally = Tally::default();
/// for second in [10, 11] {
///     tally.add_line(&format!(
///         r#"198.18.0.7 - - [10/Oct/2000:20:55:{second} +0000] "GET / HTTP/1.1" 200 5 "-" "x""#
///     ));
/// }
/// tally.add_line("hello");
/// let report = tally.report();
/// assert_eq!((&report["lines"], &report["invalid"], &report["sessions"]), (&3.into(), &1.into(), &1.into()));
/// assert_eq!(report["pages"][0]["views"], 2);
/// assert_eq!(report["pages"][0]["visitors"], 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Tally {
    lines: u64,
    invalid: u64,
    bytes: u64,
    /// By minute and page: views, and who viewed.
    pages: BTreeMap<(u64, String), (u64, BTreeSet<String>)>,
    views: HashMap<String, u64>,
    referrers: HashMap<String, u64>,
    minutes: BTreeMap<u64, Minute>,
    /// When each client asked for something.
    clients: HashMap<String, Vec<u64>>,
}

impl Tally {
    /// Adds a line, whatever it is.
    pub fn add_line(&mut self, line: &str) {
        match Entry::parse(line) {
            Ok(entry) => self.add(&entry),
            Err(_) => {
                self.lines += 1;
                self.invalid += 1;
            }
        }
    }

    /// Adds a request.
    pub fn add(&mut self, entry: &Entry<'_>) {
        self.lines += 1;
        self.bytes += entry.bytes;
        let start = entry.time / 60 * 60;
        let minute = self.minutes.entry(start).or_default();
        minute.requests += 1;
        minute.server_errors += u64::from(entry.is_server_error());
        self.clients.entry(entry.client.to_owned()).or_default().push(entry.time);
        if !entry.is_view() {
            return;
        }
        let page = entry.page();
        let (views, visitors) = self.pages.entry((start, page.to_owned())).or_default();
        *views += 1;
        if !visitors.contains(entry.client) {
            visitors.insert(entry.client.to_owned());
        }
        *self.views.entry(page.to_owned()).or_default() += 1;
        if let Some(referrer) = entry.referrer {
            *self.referrers.entry(referrer.to_owned()).or_default() += 1;
        }
    }

    /// How many sessions there were: of each client, requests less than [`SESSION_GAP_SECONDS`] apart.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        let sessions = |times: &Vec<u64>| {
            let mut times = times.clone();
            times.sort_unstable();
            let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] >= SESSION_GAP_SECONDS);
            1 + gaps.count() as u64
        };
        self.clients.values().map(sessions).sum()
    }

    /// All of it as JSON: `lines`, `invalid`, `bytes`, `sessions`, `clients`, `requests`, `server_errors`,
    /// `error_share`; `pages`, the views and visitors of each page in each minute; `minutes`, the requests
    /// and errors of each; `top_pages`, `top_referrers` and `top_clients`, the most frequent ones, of equals
    /// the first by name.
    #[must_use]
    pub fn report(&self) -> Value {
        let pages: Vec<Value> = self
            .pages
            .iter()
            .map(|((start, page), (views, visitors))| {
                let (minute, visitors) = (time::minute(*start), visitors.len());
                json!({ "minute": minute, "page": page, "views": views, "visitors": visitors })
            })
            .collect();
        let minutes: Vec<Value> = self
            .minutes
            .iter()
            .map(|(start, minute)| {
                let Minute { requests, server_errors } = minute;
                let minute = time::minute(*start);
                json!({ "minute": minute, "requests": requests, "server_errors": server_errors })
            })
            .collect();
        let requests = self.lines - self.invalid;
        let server_errors: u64 = self.minutes.values().map(|minute| minute.server_errors).sum();
        let clients = self.clients.iter().map(|(client, times)| (client, times.len() as u64));
        json!({
            "lines": self.lines,
            "invalid": self.invalid,
            "bytes": self.bytes,
            "requests": requests,
            "server_errors": server_errors,
            "error_share": server_errors as f64 / requests.max(1) as f64,
            "clients": self.clients.len(),
            "sessions": self.sessions(),
            "top_pages": top(self.views.iter().map(|(page, views)| (page, *views))),
            "top_referrers": top(self.referrers.iter().map(|(page, views)| (page, *views))),
            "top_clients": top(clients),
            "minutes": minutes,
            "pages": pages,
        })
    }
}

fn top<'a>(counts: impl Iterator<Item = (&'a String, u64)>) -> Vec<(&'a str, u64)> {
    let mut counts: Vec<(&str, u64)> = counts.map(|(name, count)| (name.as_str(), count)).collect();
    counts.sort_by(|a, b| (b.1, a.0).cmp(&(a.1, b.0)));
    counts.truncate(TOP);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(client: &str, time: u64, path: &str, status: u16) -> String {
        let entry = Entry {
            client,
            time,
            method: "GET",
            path,
            protocol: "HTTP/1.1",
            status,
            bytes: 10,
            referrer: (path == "/b").then_some("http://a.example/"),
            agent: "x",
        };
        entry.to_string()
    }

    #[test]
    fn views_visitors_sessions_and_errors_are_counted_in_whatever_order() {
        let mut lines = vec![
            line("ann", 60, "/a", 200),
            line("ann", 119, "/a?x=1", 304),
            line("bob", 61, "/a", 200),
            line("ann", 120, "/b", 200),
            line("bob", 121 + SESSION_GAP_SECONDS, "/b", 500),
            line("bob", 121, "/c", 404),
            "rubbish".to_owned(),
        ];
        let count = |lines: &[String]| {
            let mut tally = Tally::default();
            lines.iter().for_each(|line| tally.add_line(line));
            tally.report()
        };
        let report = count(&lines);
        lines.reverse();
        assert_eq!(count(&lines), report, "the order does not matter");
        assert_eq!(report["pages"][0]["page"], "/a");
        assert_eq!(
            (&report["pages"][0]["views"], &report["pages"][0]["visitors"]),
            (&3.into(), &2.into())
        );
        assert_eq!(report["pages"].as_array().map(Vec::len), Some(2), "what failed is no view");
        assert_eq!((&report["requests"], &report["server_errors"]), (&6.into(), &1.into()));
        assert_eq!(report["sessions"], 3, "bob came back half an hour later");
        assert_eq!(report["top_pages"], json!([["/a", 3], ["/b", 1]]));
        assert_eq!(report["top_referrers"], json!([["http://a.example/", 1]]));
        assert_eq!(report["top_clients"], json!([["ann", 3], ["bob", 3]]), "equals by name");
        assert_eq!(
            report["minutes"][0],
            json!({ "minute": "1970-01-01T00:01Z", "requests": 3, "server_errors": 0 })
        );
    }
}
