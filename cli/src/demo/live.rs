//! The live view of the demo: redrawn in place on a terminal, a line a second elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::Progress;
use crate::output::{escape, grouped, latency};

/// The span the rate is taken over.
const RATE_SPAN: Duration = Duration::from_secs(1);

/// How often a line is written where nothing can be redrawn.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Longest bar beside a word.
const BAR_CELLS: u64 = 30;

/// Shows progress on one of the standard streams.
pub(crate) struct View {
    out: Box<dyn Write + Send>,
    /// Whether lines can be drawn over.
    terminal: bool,
    /// Lines of the frame that is on the screen.
    drawn: usize,
    /// When the last plain line was written.
    line_at: Option<Duration>,
    /// Lines acked at moments of the last second.
    samples: VecDeque<(Duration, u64)>,
}

impl View {
    /// Draws on standard output, or on standard error if that must stay clean.
    pub(crate) fn new(on_stderr: bool) -> Self {
        let (out, terminal): (Box<dyn Write + Send>, bool) = if on_stderr {
            (Box::new(io::stderr()), io::stderr().is_terminal())
        } else {
            (Box::new(io::stdout()), io::stdout().is_terminal())
        };
        Self { out, terminal, drawn: 0, line_at: None, samples: VecDeque::new() }
    }

    /// Shows how far it is. A view that cannot be written is no reason to stop.
    pub(crate) fn show(&mut self, progress: &Progress) {
        let rate = self.rate(progress);
        let text = if self.terminal {
            let lines = frame(progress, rate);
            let text = redraw(self.drawn, &lines);
            self.drawn = lines.len();
            text
        } else {
            let due = self.line_at.is_none_or(|at| progress.elapsed >= at + LINE_EVERY);
            if !due && !progress.is_finished() {
                return;
            }
            self.line_at = Some(progress.elapsed);
            line(progress, rate) + "\n"
        };
        drop(self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush()));
    }

    /// Lines acked a second, over the last second.
    fn rate(&mut self, progress: &Progress) -> f64 {
        let now = progress.elapsed;
        while self.samples.len() > 1 && self.samples[1].0 + RATE_SPAN <= now {
            self.samples.pop_front();
        }
        let since = self.samples.front().copied().unwrap_or_default();
        self.samples.push_back((now, progress.acked));
        let seconds = now.saturating_sub(since.0).as_secs_f64();
        let acked = progress.acked.saturating_sub(since.1);
        if seconds > 0.0 { acked as f64 / seconds } else { 0.0 }
    }
}

/// Draws over `drawn` lines. Lines that do not fit are cut by the terminal, not wrapped, so that
/// the count of lines stays right.
fn redraw(drawn: usize, lines: &[String]) -> String {
    let mut text = String::from("\x1b[?7l");
    if drawn > 0 {
        text.push_str(&format!("\x1b[{drawn}A"));
    }
    for line in lines {
        text.push_str(&format!("\r\x1b[2K{line}\n"));
    }
    text.push_str("\x1b[?7h");
    text
}

/// The view of a terminal, always of the same height.
fn frame(progress: &Progress, rate: f64) -> Vec<String> {
    let (running, workers) = progress.workers;
    let mut lines = vec![
        format!(
            "  {:<10} {:>6.1} s   {running} of {workers} workers run",
            progress.status,
            progress.elapsed.as_secs_f64()
        ),
        format!(
            "  lines      {:>12} acked   {:>10}/s   {} pending   {} failed",
            grouped(progress.acked),
            grouped(rate as u64),
            grouped(progress.pending),
            grouped(progress.failed),
        ),
        format!(
            "  latency    {:>12} p50     {:>10} p99",
            latency(progress.latency_p50_us),
            latency(progress.latency_p99_us)
        ),
        String::new(),
    ];
    let most = progress.ranking.top.first().map_or(1, |(_, count)| (*count).max(1));
    for place in 0..10 {
        lines.push(match progress.ranking.top.get(place) {
            None => String::new(),
            Some((word, count)) => {
                let cells = u128::from(*count) * u128::from(BAR_CELLS) / u128::from(most);
                let bar = "▇".repeat(usize::try_from(cells).unwrap_or(0).max(1));
                format!("  {:>12}  {bar} {}", grouped(*count), escape(word))
            }
        });
    }
    lines
}

/// The view of a file or a pipe.
fn line(progress: &Progress, rate: f64) -> String {
    let (running, workers) = progress.workers;
    let top = progress.ranking.top.iter().take(3);
    let top: Vec<String> = top.map(|(word, count)| format!("{}={count}", escape(word))).collect();
    let text = format!(
        "{:.1}s {} workers={running}/{workers} acked={} rate={:.0}/s pending={} failed={} p50={} p99={} {}",
        progress.elapsed.as_secs_f64(),
        progress.status,
        progress.acked,
        rate,
        progress.pending,
        progress.failed,
        latency(progress.latency_p50_us),
        latency(progress.latency_p99_us),
        top.join(" "),
    );
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::topology::Ranking;
    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn view(terminal: bool) -> (View, Sink) {
        let sink = Sink::default();
        let out = Box::new(sink.clone());
        (View { out, terminal, drawn: 0, line_at: None, samples: VecDeque::new() }, sink)
    }

    fn at(milliseconds: u64, acked: u64) -> Progress {
        let top = vec![("the".to_owned(), acked), ("a\u{1b}".to_owned(), acked / 2)];
        Progress {
            elapsed: Duration::from_millis(milliseconds),
            status: "active".into(),
            acked,
            ranking: Ranking { words: acked, distinct: 2, top },
            ..Progress::default()
        }
    }

    #[test]
    fn elsewhere_than_on_a_terminal_a_line_a_second_is_written() {
        let (mut view, sink) = view(false);
        for milliseconds in (0..=2_500).step_by(250) {
            view.show(&at(milliseconds, milliseconds));
        }
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}'), "no escape sequences in a file: {text}");
        assert!(text.contains("2.0s active") && text.contains("rate=1000/s"), "{text}");
    }

    #[test]
    fn a_frame_is_drawn_over_the_one_before() {
        let (mut view, sink) = view(true);
        view.show(&at(0, 10));
        view.show(&at(250, 20));
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let height = frame(&Progress::default(), 0.0).len();
        assert_eq!(text.matches(&format!("\x1b[{height}A")).count(), 1, "{text:?}");
        assert_eq!(text.matches('\n').count(), 2 * height, "all frames are of one height");
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let (mut view, _sink) = view(false);
        let mut rate = 0.0;
        for (milliseconds, acked) in [(0, 0), (1_000, 5_000), (2_000, 5_100), (2_500, 5_150)] {
            rate = view.rate(&at(milliseconds, acked));
        }
        assert!((rate - 100.0).abs() < 1.0, "{rate}");
    }
}
