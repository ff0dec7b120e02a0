//! Metrics as Prometheus reads them: its text format (version 0.0.4), written family by family.
//!
//! Nimbus and workers write their pages with it, so that names, escapes and buckets are the same. A page
//! of a large cluster is megabytes, so it goes on to where it is wanted, which may pack it, a part at a
//! time.
//!
//! Buckets of histograms end at powers of two, which is where those end that workers count in: what
//! is below an edge is exact, however coarse the counts have become on their way, and never goes
//! down. Their sum takes each value for the middle of its bucket, which is off by 0.4 % at most.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::ops::RangeInclusive;

/// What is sent before a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writing to memory cannot fail.
const SURE: &str = "writing to memory cannot fail";

/// So many bytes go on at once.
const PART: usize = 32 << 10;

/// A page of metrics.
///
/// ```
/// use daemon::exposition::{Page, labels};
///
/// let mut text = Vec::new();
/// let mut page = Page::new(&mut text);
/// page.gauge("squall_depth", "How deep it is.", [(labels([("of", "well")]), 7)]);
/// page.end()?;
/// assert!(text.ends_with(b"# TYPE squall_depth gauge\nsquall_depth{of=\"well\"} 7\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Page<'a> {
    /// What has not gone on.
    text: String,
    to: &'a mut dyn Write,
    /// Why the rest of it goes nowhere.
    failed: io::Result<()>,
}

/// A page as text.
///
/// ```
/// use daemon::exposition::{labels, text};
///
/// let text = text(|page| page.gauge("squall_up", "Whether it is.", [(labels([]), 1)]));
/// assert_eq!(text, "# HELP squall_up Whether it is.\n# TYPE squall_up gauge\nsquall_up 1\n");
/// ```
#[must_use]
pub fn text(write: impl FnOnce(&mut Page<'_>)) -> String {
    let mut bytes = Vec::new();
    let mut page = Page::new(&mut bytes);
    write(&mut page);
    page.end().expect(SURE);
    String::from_utf8(bytes).expect("what was a string is one")
}

/// Where the buckets of a histogram end: at powers of two, less one.
///
/// ```
/// use daemon::exposition::Edges;
///
/// let edges: Vec<String> = Edges::EXECUTE.texts().collect();
/// assert_eq!((edges[0].as_str(), edges.last().unwrap().as_str()), ("0.000001023", "17.179869183"));
/// assert_eq!(Edges::PLAIN.texts().take(4).collect::<Vec<_>>(), ["0", "1", "3", "7"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    powers: RangeInclusive<u32>,
    /// The values are nanoseconds, and shown in seconds.
    time: bool,
}

impl Edges {
    /// For the time of a call: a microsecond to 17 s.
    pub const EXECUTE: Self = Self { powers: 10..=34, time: true };
    /// For the time from emit to ack: 131 µs to 69 s.
    pub const COMPLETE: Self = Self { powers: 17..=36, time: true };
    /// For values of any unit: 0 to 2^32 - 1.
    pub const PLAIN: Self = Self { powers: 0..=32, time: false };

    /// The edges as text, lowest first.
    pub fn texts(&self) -> impl Iterator<Item = String> {
        let time = self.time;
        self.powers.clone().map(move |power| {
            let edge = (1_u64 << power) - 1;
            match time {
                true => format!("{}.{:09}", edge / 1_000_000_000, edge % 1_000_000_000),
                false => edge.to_string(),
            }
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum need not be exact to 2^-53")]
    fn sum(&self, sum: u64) -> f64 {
        if self.time { sum as f64 / 1e9 } else { sum as f64 }
    }
}

/// How values are spread: upper bound and count of each bucket, by bound, and all values added up.
#[derive(Clone, Debug)]
pub struct Spread<B> {
    /// The buckets.
    pub buckets: B,
    /// All values added up.
    pub sum: u64,
}

impl<'a> Page<'a> {
    /// Begins a page that goes there.
    pub fn new(to: &'a mut dyn Write) -> Self {
        Self { text: String::new(), to, failed: Ok(()) }
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// Those of where it goes to: a part of it is missing.
    pub fn end(mut self) -> io::Result<()> {
        self.go_on();
        self.failed
    }

    /// Writes a family of values that go up and down.
    pub fn gauge<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family((name, "gauge", help), samples);
    }

    /// Writes a family of values that only go up.
    pub fn counter<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family((name, "counter", help), samples);
    }

    /// Writes a family of quantiles; each has the label `quantile`.
    pub fn quantiles<V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.family((name, "summary", help), samples);
    }

    /// Writes a family of histograms; each has labels.
    pub fn histogram<B: Iterator<Item = (u64, u64)>>(
        &mut self,
        name: &str,
        help: &str,
        edges: &Edges,
        samples: impl IntoIterator<Item = (String, Spread<B>)>,
    ) {
        self.begin(name, "histogram", help);
        let texts: Vec<String> = edges.texts().collect();
        for (labels, spread) in samples {
            let (mut count, mut rest) = (0_u64, spread.buckets.peekable());
            for (power, text) in edges.powers.clone().zip(&texts) {
                while let Some((_, more)) = rest.next_if(|(bound, _)| bound >> power == 0) {
                    count = count.saturating_add(more);
                }
                self.line(format_args!("{name}_bucket{{{labels},le=\"{text}\"}} {count}"));
            }
            let count = rest.fold(count, |count, (_, more)| count.saturating_add(more));
            self.line(format_args!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"));
            self.line(format_args!("{name}_sum{{{labels}}} {}", edges.sum(spread.sum)));
            self.line(format_args!("{name}_count{{{labels}}} {count}"));
        }
    }

    fn family<V: Display>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        samples: impl IntoIterator<Item = (String, V)>,
    ) {
        self.begin(name, kind, help);
        for (labels, value) in samples {
            if labels.is_empty() {
                self.line(format_args!("{name} {value}"));
            } else {
                self.line(format_args!("{name}{{{labels}}} {value}"));
            }
        }
    }

    fn begin(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.text, "{line}").expect(SURE);
        if self.text.len() >= PART {
            self.go_on();
        }
    }

    fn go_on(&mut self) {
        if self.failed.is_ok() {
            self.failed = self.to.write_all(self.text.as_bytes());
        }
        self.text.clear();
    }
}

/// Writes labels: names and values.
#[must_use]
pub fn labels<const N: usize>(labels: [(&str, &str); N]) -> String {
    labels.map(|(name, value)| format!("{name}=\"{}\"", escape(value))).join(",")
}

/// Adds a label to others.
#[must_use]
pub fn with(labels: &str, name: &str, value: &str) -> String {
    format!("{labels},{name}=\"{}\"", escape(value))
}

/// Hides what would end a label's value.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The middle of the bucket that workers count a value of this upper bound in: they tell two digits
/// apart, so there are 128 buckets to a factor of two.
#[must_use]
pub fn middle(bound: u64) -> u64 {
    const FINE: u32 = 7;
    let width = 1 << bound.max(1).ilog2().saturating_sub(FINE);
    bound - width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_out_of_its_quotes() {
        assert_eq!(labels([("a", "x\"} 1\n\\")]), r#"a="x\"} 1\n\\""#);
        assert_eq!(with("a=\"b\"", "reason", "er\"ror"), r#"a="b",reason="er\"ror""#);
    }

    #[test]
    fn a_family_without_samples_says_what_it_would_be() {
        let nothing = text(|page| page.counter::<u64>("squall_nothing_total", "Nothing.", []));
        let said = "# HELP squall_nothing_total Nothing.\n# TYPE squall_nothing_total counter\n";
        assert_eq!(nothing, said);
        let one = text(|page| page.gauge("squall_one", "One.", [(labels([]), 1)]));
        assert_eq!(one, "# HELP squall_one One.\n# TYPE squall_one gauge\nsquall_one 1\n");
    }

    #[test]
    fn a_histogram_counts_what_is_not_above_each_edge_and_all_of_it() {
        let buckets = [(3, 2), (7, 1), (1_u64 << 40, 4)];
        let spread = Spread { buckets: buckets.into_iter(), sum: 99 };
        let samples = [(labels([("of", "x")]), spread)];
        let text = text(|page| page.histogram("s", "It.", &Edges::PLAIN, samples));
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(lines[1], "s_bucket{of=\"x\",le=\"1\"} 0");
        assert_eq!(lines[2], "s_bucket{of=\"x\",le=\"3\"} 2");
        assert_eq!(lines[3], "s_bucket{of=\"x\",le=\"7\"} 3");
        assert_eq!(lines[32], "s_bucket{of=\"x\",le=\"4294967295\"} 3");
        let end = ["s_bucket{of=\"x\",le=\"+Inf\"} 7", "s_sum{of=\"x\"} 99", "s_count{of=\"x\"} 7"];
        assert_eq!(lines[33..], end);
    }

    #[test]
    fn a_sum_of_nanoseconds_is_shown_in_seconds() {
        let spread = Spread { buckets: [(1_023, 1)].into_iter(), sum: 1_500_000_000 };
        let samples = [("a=\"b\"".to_owned(), spread)];
        let text = text(|page| page.histogram("s", "It.", &Edges::EXECUTE, samples));
        assert!(text.contains("s_bucket{a=\"b\",le=\"0.000001023\"} 1\n"), "{text}");
        assert!(text.contains("s_sum{a=\"b\"} 1.5\n"), "{text}");
    }

    #[test]
    fn a_page_goes_on_in_parts_until_that_fails() {
        struct Taker(Vec<usize>);
        impl Write for Taker {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                if self.0.len() == 3 {
                    return Err(io::Error::other("full"));
                }
                self.0.push(bytes.len());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut taker = Taker(Vec::new());
        let mut page = Page::new(&mut taker);
        let samples = (0..50_000).map(|number| (format!("of=\"{number}\""), number));
        page.gauge("squall_many", "Many.", samples);
        assert!(page.text.len() < PART, "what goes nowhere is not kept");
        assert_eq!(page.end().expect_err("it is full").to_string(), "full");
        assert!(taker.0.iter().all(|length| (PART..PART + 100).contains(length)), "{:?}", taker.0);
    }

    #[test]
    fn the_middle_of_a_bucket_is_half_its_width_below_its_end() {
        assert_eq!([0, 1, 255, 1_023, 1_027].map(middle), [0, 1, 255, 1_021, 1_023]);
    }
}
