//! Access log: from the lines of a web server, views and different visitors of each page in each
//! minute, and the busiest clients.
//!
//! `cargo run --release -p examples --bin access_log -- examples/data/access.log`; with `--follow`
//! it waits for more lines at the end of the file, through rotations.

#![expect(clippy::print_stdout, reason = "who runs it watches its output")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::process::ExitCode;
use std::time::Duration;

use topology_api::prelude::*;

/// How many minutes each task keeps open: a line may be late by as many. More of them are for logs
/// of several servers that are read one after the other; they cost memory.
const MINUTES_OPEN: usize = 2;

/// How many of the busiest clients are shown.
const BUSIEST: usize = 5;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What is used of a line.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Request {
    client: Text,
    minute: Text,
    page: Text,
    status: u16,
}

/// Reads `CLIENT - USER [10/Oct/2000:13:55:36 -0700] "GET /page?query HTTP/1.1" 200 ...`.
fn parse(line: &str) -> Option<Request> {
    let (client, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(" [")?.1.split_once("] \"")?;
    let (request, rest) = rest.split_once("\" ")?;
    let path = request.split(' ').nth(1).unwrap_or("-");
    let page = path.split(['?', '#']).next()?.into();
    let status = rest.split(' ').next()?.parse().ok()?;
    Some(Request { client: client.into(), minute: minute(time)?, page, status })
}

/// Turns `10/Oct/2000:13:55:36 -0700` into `2000-10-10 13:55`, which sorts as time does.
fn minute(time: &str) -> Option<Text> {
    let number = |part: &str, most: u16| part.parse().ok().filter(|it: &u16| *it <= most);
    let (day, rest) = time.split_once('/')?;
    let (month, rest) = rest.split_once('/')?;
    let mut parts = rest.split(':');
    let year = number(parts.next()?, 9_999)?;
    let (hours, minutes) = (number(parts.next()?, 23)?, number(parts.next()?, 59)?);
    let month = MONTHS.iter().position(|it| *it == month)? + 1;
    let day = number(day, 31)?;
    Some(format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}").into())
}

/// Reads requests out of lines; a bad line is counted, shown, and left out.
struct Parse {
    cx: Context,
}

impl Bolt for Parse {
    type Input = Line;
    type Output = Request;

    fn execute(&mut self, line: Line, out: &mut Output<Request>) -> BoltResult {
        match parse(&line.text) {
            Some(request) => out.emit(request),
            None => {
                self.cx.count("bad-lines", 1);
                self.cx.report_error(&format!("not a line of an access log: {:?}", line.text));
            }
        }
        Ok(())
    }
}

/// A page in a minute that is over.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct PageMinute {
    minute: Text,
    page: Text,
    views: u64,
    visitors: u64,
}

/// Counts views of its pages. Visitors are counted exactly, so each open minute costs an entry for
/// every client of every page; that is why minutes are closed, and late lines are not counted.
struct Pages {
    /// By minute and page: views, and who viewed.
    open: BTreeMap<Text, BTreeMap<Text, (u64, HashSet<Text>)>>,
    /// The latest minute that was given out.
    closed: Text,
    cx: Context,
}

impl Pages {
    fn new(cx: &Context) -> Self {
        Self { open: BTreeMap::new(), closed: Text::new(), cx: cx.clone() }
    }

    /// Gives out the earliest minutes until so many are left.
    fn close(&mut self, left: usize, out: &mut Output<PageMinute>) {
        while self.open.len() > left
            && let Some((minute, pages)) = self.open.pop_first()
        {
            for (page, (views, visitors)) in pages {
                let visitors = visitors.len() as u64;
                out.emit(PageMinute { minute: minute.clone(), page, views, visitors });
            }
            self.closed = minute;
        }
    }
}

impl Bolt for Pages {
    type Input = Request;
    type Output = PageMinute;

    fn execute(&mut self, request: Request, out: &mut Output<PageMinute>) -> BoltResult {
        let Request { client, minute, page, status } = request;
        if status >= 400 {
            return Ok(());
        }
        if minute <= self.closed {
            self.cx.count("late-views", 1);
            return Ok(());
        }
        let (views, visitors) = self.open.entry(minute).or_default().entry(page).or_default();
        *views += 1;
        visitors.insert(client);
        self.close(MINUTES_OPEN, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Output<PageMinute>) {
        self.close(0, out);
    }
}

/// How many requests a client has made so far.
#[derive(Clone, Debug, PartialEq, Tuple)]
struct Client {
    client: Text,
    requests: u64,
}

/// Counts the requests of its clients; memory grows by an entry a client.
#[derive(Default)]
struct Clients {
    requests: HashMap<Text, u64>,
}

impl Bolt for Clients {
    type Input = Request;
    type Output = Client;

    fn execute(&mut self, request: Request, out: &mut Output<Client>) -> BoltResult {
        let requests = self.requests.entry(request.client.clone()).or_default();
        *requests += 1;
        out.emit(Client { client: request.client, requests: *requests });
        Ok(())
    }
}

/// A bolt that reads streams of two types reads an enum of them.
#[derive(Clone, Debug, Tuple)]
enum News {
    Page(PageMinute),
    Client(Client),
}

/// Prints pages as their minutes end, and ranks clients.
struct Report {
    busiest: Vec<(Text, u64)>,
    cx: Context,
}

impl Bolt for Report {
    type Input = News;
    type Output = NoOutput;

    fn execute(&mut self, news: News, _: &mut Output<NoOutput>) -> BoltResult {
        match news {
            News::Page(PageMinute { minute, page, views, visitors }) => {
                println!("{minute} {page} views={views} visitors={visitors}");
            }
            News::Client(Client { client, requests }) => {
                // Counts only grow: the latest of a client is its highest.
                match self.busiest.iter_mut().find(|it| it.0 == client) {
                    Some(it) => it.1 = it.1.max(requests),
                    None => self.busiest.push((client, requests)),
                }
                self.busiest.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
                self.busiest.truncate(BUSIEST);
            }
        }
        Ok(())
    }

    /// A followed file never ends, so the result is kept up to date.
    fn tick(&mut self, _: &mut Output<NoOutput>) {
        self.cx.result(&self.busiest);
    }

    /// Not `finish`, which is for the end of the input: it may also end by ctrl-c.
    fn close(&mut self) {
        self.cx.result(&self.busiest);
    }
}

fn access_log(args: &Args) -> Result<Topology, BuildError> {
    if args.files().is_empty() {
        let hint = "no input: name access logs of a web server, as examples/data/access.log";
        return Err(BuildError::new("access-log", hint));
    }
    let follow = args.flag("follow");
    let mut t = TopologyBuilder::new("access-log");
    let read = move |cx: &Context| LineFiles::of_arguments(cx).map(|lines| lines.follow(follow));
    let lines = t.spout("lines", read).stream();
    let requests = t.bolt("parse", |cx| Parse { cx: cx.clone() }).shuffle(&lines).stream();
    // One stream, split by page for one bolt and by client for the other.
    let pages = t.bolt("pages", Pages::new).parallelism(2).fields(&requests, |it| &it.page);
    let clients =
        t.bolt("clients", |_| Clients::default()).parallelism(2).fields(&requests, |it| &it.client);
    t.bolt("report", |cx| Report { busiest: Vec::new(), cx: cx.clone() })
        .tick_every(Duration::from_secs(1))
        .global(&pages.stream())
        .global(&clients.stream());
    t.build()
}

fn main() -> ExitCode {
    worker::main(access_log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology_api::testing::{BoltDriver, Setup, SpoutDriver};

    fn requests(lines: impl IntoIterator<Item = Line>) -> BoltDriver<Line, Request> {
        let mut parse = BoltDriver::new(|cx| Parse { cx: cx.clone() }).expect("it opens nothing");
        for line in lines {
            parse.execute(line);
        }
        parse
    }

    fn line(client: &str, clock: &str, page: &str, status: u16) -> Line {
        let text = format!(
            "{client} - - [01/Mar/2026:{clock} +0000] \"GET {page} HTTP/1.1\" {status} 512 \"-\" \"x\""
        );
        Line { text: text.into() }
    }

    fn page(minute: &str, page: &str, (views, visitors): (u64, u64)) -> PageMinute {
        let minute = format!("2026-03-01 {minute}").into();
        PageMinute { minute, page: page.into(), views, visitors }
    }

    #[test]
    fn views_and_visitors_are_counted_by_page_and_minute_and_late_ones_told() {
        let lines = [
            line("10.0.0.1", "09:00:01", "/", 200),
            line("10.0.0.1", "09:00:02", "/?page=2", 304),
            line("10.0.0.2", "09:01:00", "/", 200),
            line("10.0.0.2", "09:00:59", "/", 200),
            line("10.0.0.2", "09:01:03", "/missing", 404),
        ];
        let mut pages = BoltDriver::new(Pages::new).expect("it opens nothing");
        for request in requests(lines).emitted() {
            pages.execute(request);
        }
        assert_eq!(pages.emitted(), [], "a line may be late by a minute");
        let later =
            [line("10.0.0.3", "09:02:00", "/a", 200), line("10.0.0.3", "09:00:30", "/", 200)];
        for request in requests(later).emitted() {
            pages.execute(request);
        }
        assert_eq!(pages.emitted(), [page("09:00", "/", (3, 2))]);
        assert_eq!(pages.counter("late-views"), 1);
        pages.finish();
        let rest = [page("09:01", "/", (1, 1)), page("09:02", "/a", (1, 1))];
        assert_eq!(pages.emitted(), rest);
    }

    #[test]
    fn the_busiest_clients_are_kept_up_to_date() {
        let setup = Setup::new().tick_every(Duration::from_secs(1));
        let report = |cx: &Context| Report { busiest: Vec::new(), cx: cx.clone() };
        let mut report = BoltDriver::with(setup, report).expect("it opens nothing");
        let mut clients = BoltDriver::new(|_| Clients::default()).expect("it opens nothing");
        let of = ["a", "b", "c", "d", "e", "f", "f", "e", "f"];
        for request in requests(of.map(|client| line(client, "09:00:00", "/", 404))).emitted() {
            clients.execute(request);
        }
        for client in clients.emitted() {
            report.execute(News::Client(client));
        }
        report.execute(News::Page(page("09:00", "/", (1, 1))));
        report.advance(Duration::from_secs(1));
        let busiest = serde_json::json!([["f", 3], ["e", 2], ["a", 1], ["b", 1], ["c", 1]]);
        assert_eq!(report.result(), Some(busiest));
    }

    #[test]
    fn bad_lines_are_counted_and_strange_requests_are_not_bad() {
        let garbage = r#"10.0.0.9 - - [01/Mar/2026:09:00:00 +0000] "\x16\x03" 400 0 "-" "-""#;
        let bad = [
            "",
            "hello world",
            "a - - [99/Mar/2026:09:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "a - - [01/Foo/2026:09:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "a - - [01/Mar/2026:24:00:00 +0000] \"GET / HTTP/1.1\" 200 1",
            "a - - [01/Mar/2026] \"GET / HTTP/1.1\" 200 1",
            "a - - [01/Mar/2026:09:00:00 +0000] \"GET / HTTP/1.1\" ok 1",
            "a - - [01/Mar/2026:09:00:00 +0000] \"GET /",
        ];
        let lines = bad.into_iter().chain([garbage]).map(|text| Line { text: text.into() });
        let mut parse = requests(lines);
        assert_eq!((parse.counter("bad-lines"), parse.errors().len()), (8, 8));
        let emitted = parse.emitted();
        assert_eq!(emitted.len(), 1, "{emitted:?}");
        assert_eq!((&*emitted[0].page, emitted[0].status), ("-", 400));
    }

    #[test]
    fn a_line_appended_to_a_followed_log_becomes_a_request() {
        let log = tempfile::NamedTempFile::new().expect("a temporary file");
        let path = log.path().to_owned();
        let read =
            move |cx: &Context| LineFiles::open(vec![path.clone()], cx).map(|it| it.follow(true));
        let mut lines = SpoutDriver::new(read).expect("the file is there");
        assert_eq!(lines.call_next().expect("no error").0, Next::Idle, "it waits");
        let text = line("10.0.0.1", "09:00:01", "/", 200).text;
        std::fs::write(log.path(), format!("{text}\n")).expect("the file can be written");
        let read = lines.run().expect("no error");
        assert_eq!(requests(read).emitted().len(), 1);
    }

    #[test]
    fn without_a_file_the_message_names_one() {
        let error = access_log(&Args::default()).expect_err("nothing to read").to_string();
        assert!(error.contains("examples/data/access.log"), "{error}");
        assert!(access_log(&Args::new(["--follow", "a.log"])).is_ok(), "the topology is sound");
    }
}
