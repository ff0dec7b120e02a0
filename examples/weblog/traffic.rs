//! Traffic of a web shop: who asks for what and when, and what goes wrong on purpose.
//!
//! Visitors come in sessions, more by day than by night, from a few referrers; they walk through pages of
//! which few are asked for most (Zipf); bots ask for anything. Now and then a page is missing, a server
//! fails, a line is broken. Three anomalies are planted and written down: a flood of requests from one
//! client, a scan for pages that are not there, and a burst of errors. Pure: the same options make the same
//! lines.

use serde_json::{Value, json};

use crate::chance::{Chance, Zipf};
use crate::entry::Entry;
use crate::time::{DAY_SECONDS, format};

const PAGES: usize = 400;
const SESSIONS: usize = 300;
const PAGES_A_SESSION: f64 = 6.0;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 Version/17.5 Safari/605.1.15",
];

const BOTS: [&str; 2] = ["ExampleBot/2.1 (+http://bot.example/)", "crawler.example/1.0 bot"];

const REFERRERS: [&str; 5] = [
    "https://search.example/",
    "https://social.example/feed",
    "https://news.example/front",
    "https://mail.example/",
    "https://blog.example/best-shops",
];

/// What traffic there is.
///
/// ```
/// use weblog::traffic::Options;
///
/// assert_eq!(Options::default().servers, 3);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What chance begins with.
    pub seed: u64,
    /// How many servers write a log.
    pub servers: usize,
    /// Lines of all servers in a second, on average.
    pub rate: f64,
    /// How long it goes on, in seconds.
    pub seconds: f64,
    /// How many seconds of the log pass in a second.
    pub speed: f64,
    /// What time it is in the log when it begins, in seconds since 1970.
    pub start: u64,
}

impl Default for Options {
    /// A minute of 1 000 lines a second at three servers: in the log an hour of 2026-03-01, from 9:00.
    fn default() -> Self {
        let start = 20_513 * DAY_SECONDS + 9 * 3_600;
        Self { seed: 1, servers: 3, rate: 1_000.0, seconds: 60.0, speed: 60.0, start }
    }
}

/// A line that a server writes.
#[derive(Clone, Debug, PartialEq)]
pub struct Made {
    /// When, in seconds since the beginning.
    pub at: f64,
    /// Which server, from 0.
    pub server: usize,
    /// The line, without its end.
    pub line: String,
}

/// Something unusual that is planted.
#[derive(Clone, Debug)]
struct Anomaly {
    kind: &'static str,
    /// When, as shares of the whole time.
    from: f64,
    to: f64,
    /// Lines that are more, or responses that are others, as a share of all.
    share: f64,
    client: String,
    page: String,
    lines: u64,
}

#[derive(Clone, Debug)]
struct Session {
    client: String,
    agent: &'static str,
    referrer: String,
    is_bot: bool,
}

/// Makes the lines, in the order in which they are written.
///
/// ```
/// use weblog::entry::Entry;
/// use weblog::traffic::{Options, Traffic};
///
/// let options = Options { seconds: 2.0, ..Options::default() };
/// let lines: Vec<_> = Traffic::new(options.clone()).collect();
/// assert_eq!(lines, Traffic::new(options).collect::<Vec<_>>(), "the same again");
/// assert!(Entry::parse(&lines[0].line).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Traffic {
    options: Options,
    chance: Chance,
    pages: Zipf,
    referrers: Zipf,
    sessions: Vec<Session>,
    anomalies: Vec<Anomaly>,
    at: f64,
    lines: u64,
    invalid: u64,
}

impl Traffic {
    /// Begins.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let anomaly = |kind, from, share, client: &str, page: &str| Anomaly {
            kind,
            from,
            to: from + 0.08,
            share,
            client: client.to_owned(),
            page: page.to_owned(),
            lines: 0,
        };
        let anomalies = vec![
            anomaly("flood", 0.35, 0.4, "203.0.113.66", "/cart"),
            anomaly("scan", 0.55, 0.2, "203.0.113.99", "/wp-admin"),
            anomaly("errors", 0.75, 0.5, "", ""),
        ];
        Self {
            chance: Chance::new(options.seed),
            pages: Zipf::new(PAGES),
            referrers: Zipf::new(REFERRERS.len()),
            sessions: Vec::new(),
            anomalies,
            at: 0.0,
            lines: 0,
            invalid: 0,
            options,
        }
    }

    /// What was planted so far, and how many lines there were: what is to be found.
    #[must_use]
    pub fn truth(&self) -> Value {
        let time = |share: f64| format(self.log_time(share * self.options.seconds));
        let anomalies: Vec<Value> = self
            .anomalies
            .iter()
            .map(|it| {
                let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
                json!({
                    "kind": it.kind, "client": named(&it.client), "page": named(&it.page), "lines": it.lines,
                    "from": time(it.from), "to": time(it.to),
                    "from_seconds": self.log_time(it.from * self.options.seconds),
                    "to_seconds": self.log_time(it.to * self.options.seconds),
                })
            })
            .collect();
        let (lines, invalid) = (self.lines, self.invalid);
        json!({ "seed": self.options.seed, "lines": lines, "invalid": invalid, "anomalies": anomalies })
    }

    fn log_time(&self, at: f64) -> u64 {
        self.options.start + (at * self.options.speed) as u64
    }

    /// Traffic at a time of the day, of the mean: least at 3 in the morning, most at 3 in the afternoon.
    fn rhythm(&self) -> f64 {
        let hours = (self.log_time(self.at) % DAY_SECONDS) as f64 / 3_600.0;
        1.0 + 0.6 * ((hours - 9.0) / 24.0 * std::f64::consts::TAU).sin()
    }

    /// The anomaly of this kind that goes on now.
    fn planted(&self, kind: &str) -> Option<usize> {
        let share = self.at / self.options.seconds;
        let goes_on = |it: &Anomaly| it.kind == kind && (it.from..it.to).contains(&share);
        self.anomalies.iter().position(goes_on)
    }

    /// A line of the flood or of the scan, if one goes on and it is its turn.
    fn unusual(&mut self) -> Option<String> {
        let at = self.planted("flood").or_else(|| self.planted("scan"))?;
        if !self.chance.happens(self.anomalies[at].share) {
            return None;
        }
        self.anomalies[at].lines += 1;
        let it = self.anomalies[at].clone();
        let (path, status) = match it.kind {
            "flood" => (it.page, 200),
            _ => (format!("{}/{:x}.php", it.page, self.chance.bits() >> 40), 404),
        };
        let agent = "curl/8.5.0";
        Some(self.line(&it.client, &path, status, (None, agent)))
    }

    fn line(
        &mut self,
        client: &str,
        path: &str,
        status: u16,
        (referrer, agent): (Option<&str>, &str),
    ) -> String {
        let method = if self.chance.happens(0.05) && path == "/cart" { "POST" } else { "GET" };
        let bytes = if status == 304 { 0 } else { 200 + self.chance.below(30_000) as u64 };
        let (time, protocol) = (self.log_time(self.at), "HTTP/1.1");
        Entry { client, time, method, path, protocol, status, bytes, referrer, agent }.to_string()
    }

    /// A line of a visitor or a bot.
    fn usual(&mut self) -> String {
        let comes = self.sessions.len() < SESSIONS || self.chance.happens(1.0 / PAGES_A_SESSION);
        if comes {
            let session = self.session();
            if self.sessions.len() < SESSIONS {
                self.sessions.push(session);
            } else {
                let leaves = self.chance.below(self.sessions.len());
                self.sessions[leaves] = session;
            }
        }
        let which = if comes && self.sessions.len() < SESSIONS {
            self.sessions.len() - 1
        } else {
            self.chance.below(self.sessions.len())
        };
        let session = self.sessions[which].clone();
        let place = if session.is_bot {
            self.chance.below(PAGES)
        } else {
            self.pages.place(&mut self.chance)
        };
        let page = match place {
            0 => "/".to_owned(),
            1 => "/cart".to_owned(),
            2 => "/checkout".to_owned(),
            3 => "/search?q=shoes".to_owned(),
            place => format!("/product/{place}"),
        };
        let mut status = match self.chance.unit() {
            it if it < 0.01 => 500,
            it if it < 0.04 => 404,
            it if it < 0.12 => 304,
            _ => 200,
        };
        if let Some(at) = self.planted("errors")
            && self.chance.happens(self.anomalies[at].share)
        {
            status = 503;
            self.anomalies[at].lines += 1;
        }
        let referrer = Some(session.referrer.as_str()).filter(|it| !it.is_empty());
        let line = self.line(&session.client, &page, status, (referrer, session.agent));
        if !session.is_bot {
            self.sessions[which].referrer = format!("https://shop.example{page}");
        }
        line
    }

    fn session(&mut self) -> Session {
        let is_bot = self.chance.happens(0.05);
        let host = self.chance.below(60_000);
        let referrer = match self.chance.happens(0.6) && !is_bot {
            true => REFERRERS[self.referrers.place(&mut self.chance)],
            false => "",
        };
        let agents: &[&'static str] = if is_bot { &BOTS } else { &AGENTS };
        let agent = agents[self.chance.below(agents.len())];
        let client = format!("198.18.{}.{}", host / 256, host % 256);
        Session { client, agent, referrer: referrer.to_owned(), is_bot }
    }

    /// Breaks a line, as a full disk or a bad client would.
    fn broken(&mut self, line: &str) -> String {
        match self.chance.below(4) {
            0 => line[..line.len() / 3].to_owned(),
            1 => line.replace('"', "'"),
            2 => "-".to_owned(),
            _ => line.replace('[', "[99/Nix/"),
        }
    }
}

impl Iterator for Traffic {
    type Item = Made;

    fn next(&mut self) -> Option<Made> {
        let mut rate = self.options.rate * self.rhythm();
        for kind in ["flood", "scan"] {
            // What is planted comes on top of the rest.
            let share = self.planted(kind).map_or(0.0, |at| self.anomalies[at].share);
            rate /= 1.0 - share;
        }
        self.at += self.chance.wait(1.0 / rate);
        if self.at >= self.options.seconds {
            return None;
        }
        let server = self.chance.below(self.options.servers.max(1));
        let unusual = self.unusual();
        let breaks = unusual.is_none() && self.chance.happens(0.002);
        let line = unusual.unwrap_or_else(|| self.usual());
        let line = if breaks { self.broken(&line) } else { line };
        self.lines += 1;
        self.invalid += u64::from(Entry::parse(&line).is_err());
        Some(Made { at: self.at, server, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Tally;

    #[test]
    fn what_is_planted_is_there_and_stands_out() {
        let mut traffic = Traffic::new(Options { rate: 500.0, ..Options::default() });
        let mut tally = Tally::default();
        let mut scanned = 0;
        for made in traffic.by_ref() {
            tally.add_line(&made.line);
            scanned += u64::from(made.line.contains("/wp-admin/"));
        }
        let (report, truth) = (tally.report(), traffic.truth());
        assert_eq!((&report["lines"], &report["invalid"]), (&truth["lines"], &truth["invalid"]));
        let lines = report["lines"].as_u64().unwrap_or(0);
        assert!((25_000..60_000).contains(&lines), "{lines}");
        let invalid = truth["invalid"].as_u64().unwrap_or(0);
        assert!((lines / 2_000..lines / 200).contains(&invalid), "{invalid} of {lines}");
        let [flood, scan, errors] = [0, 1, 2].map(|at| truth["anomalies"][at].clone());
        assert_eq!(report["top_clients"][0][0], flood["client"]);
        assert_eq!(report["top_clients"][0][1], flood["lines"]);
        assert_eq!(scanned, scan["lines"].as_u64().unwrap_or(0));
        let in_burst = |minute: &&Value| {
            let share = minute["server_errors"].as_f64().unwrap_or(0.0)
                / minute["requests"].as_f64().unwrap_or(1.0);
            share > 0.2
        };
        let minutes = report["minutes"].as_array().cloned().unwrap_or_default();
        let burst = minutes.iter().filter(in_burst).count();
        assert!((3..=7).contains(&burst), "{burst} minutes of an hour: {errors}");
        assert_eq!(report["top_pages"][0][0], "/", "the first page by Zipf");
        assert!(report["sessions"].as_u64() > Some(1_000), "{}", report["sessions"]);
    }

    #[test]
    fn days_have_a_rhythm_and_seeds_differ() {
        let day = Options { rate: 100.0, seconds: 240.0, speed: 360.0, ..Options::default() };
        let count = |from: f64, to: f64| {
            Traffic::new(day.clone()).filter(|made| (from..to).contains(&made.at)).count()
        };
        assert!(count(40.0, 80.0) > 2 * count(160.0, 200.0), "13 to 17 and 1 to 5 o'clock");
        let other = Options { seed: 2, ..day.clone() };
        assert_ne!(Traffic::new(other).next(), Traffic::new(day).next());
    }
}
