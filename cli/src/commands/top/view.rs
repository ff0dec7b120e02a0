//! What `squall top` shows: rows chosen and sorted, as a table or as the frame of a terminal.

use clap::ValueEnum;

use super::Sort;
use super::keys::Key;
use crate::output::{Format, escape, latency};
use crate::status::ComponentStatus;
use crate::table::{Align, table};

/// Cells of the bar that shows where time goes.
const BAR: usize = 20;

/// A component.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Row {
    pub(super) topology: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) executors: u32,
    pub(super) tasks: u32,
    /// Tuples a second: executed by a bolt, emitted by a spout.
    pub(super) rate: f64,
    /// Failures a second.
    pub(super) failed: f64,
    pub(super) p50_us: Option<f64>,
    pub(super) p99_us: Option<f64>,
    pub(super) queue_fill: f64,
    /// Of each second in ms, as the three that follow; `None` while that is not known.
    pub(super) busy: Option<f64>,
    pub(super) back_pressured: Option<f64>,
    pub(super) throttled: Option<f64>,
    pub(super) idle: Option<f64>,
}

impl Row {
    /// A component of this topology.
    pub(super) fn of(topology: &str, it: ComponentStatus) -> Self {
        let spout = it.kind == "spout";
        let (p50_us, p99_us) = if spout {
            (it.complete_p50_us, it.complete_p99_us)
        } else {
            (it.execute_p50_us, it.execute_p99_us)
        };
        Self {
            topology: topology.to_owned(),
            name: it.name,
            kind: it.kind,
            executors: it.executors,
            tasks: it.tasks,
            rate: if spout { it.rates_10s.emitted } else { it.rates_10s.executed },
            failed: it.rates_10s.failed,
            p50_us,
            p99_us,
            queue_fill: it.queue_fill,
            busy: it.time.map(|time| time.busy),
            back_pressured: it.time.map(|time| time.back_pressured),
            throttled: it.time.map(|time| time.throttled),
            idle: it.time.map(|time| time.idle),
        }
    }

    /// What the most of comes first.
    fn weight(&self, sort: Sort) -> f64 {
        match sort {
            Sort::Name => 0.0,
            Sort::Busy => self.busy.unwrap_or(-1.0),
            Sort::Rate => self.rate,
            Sort::Latency => self.p99_us.unwrap_or(-1.0),
            Sort::Queue => self.queue_fill,
            Sort::Pressure => self.back_pressured.unwrap_or(-1.0),
            Sort::Failed => self.failed,
        }
    }

    /// busy `#`, back-pressured `!`, throttled `~`, idle `.`.
    fn bar(&self) -> String {
        let parts = [(self.busy, '#'), (self.back_pressured, '!'), (self.throttled, '~')];
        let mut bar = String::new();
        for (ms, mark) in parts {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most 20 cells, and negative numbers become none"
            )]
            let cells = (ms.unwrap_or(0.0) / 1_000.0 * BAR as f64).round() as usize;
            let room = BAR - bar.chars().count();
            bar.extend(std::iter::repeat_n(mark, cells.min(room)));
        }
        let rest = if self.busy.is_some() { '.' } else { ' ' };
        let room = BAR - bar.chars().count();
        bar.extend(std::iter::repeat_n(rest, room));
        bar
    }
}

/// What the user chose to see.
#[derive(Clone, Debug)]
pub(super) struct View {
    sort: Sort,
    reverse: bool,
    filter: String,
    /// Whether keys go into the filter.
    typing: bool,
}

impl View {
    pub(super) fn new(sort: Sort, reverse: bool, filter: String) -> Self {
        Self { sort, reverse, filter, typing: false }
    }

    /// Does what a key says.
    pub(super) fn press(&mut self, key: Key) {
        match key {
            Key::Enter => self.typing = false,
            Key::Back if self.typing => drop(self.filter.pop()),
            Key::Character(typed) if self.typing => self.filter.push(typed),
            Key::Character('/') => {
                self.typing = true;
                self.filter.clear();
            }
            Key::Character('r') => self.reverse = !self.reverse,
            Key::Character('s') => {
                let all = Sort::value_variants();
                let at = all.iter().position(|it| *it == self.sort).unwrap_or(0);
                self.sort = all[(at + 1) % all.len()];
            }
            Key::Character(_) | Key::Back | Key::Quit => {}
        }
    }

    /// Whether a key is a letter of the filter now, and no command.
    fn matches(&self, row: &Row) -> bool {
        let filter = self.filter.to_lowercase();
        [&row.name, &row.topology].iter().any(|name| name.to_lowercase().contains(&filter))
    }

    /// The rows to show, in their order.
    pub(super) fn chosen<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let mut chosen: Vec<&Row> = rows.iter().filter(|row| self.matches(row)).collect();
        let name = |row: &Row| (row.topology.clone(), row.name.clone());
        chosen.sort_by(|one, other| {
            let most = other.weight(self.sort).total_cmp(&one.weight(self.sort));
            most.then_with(|| name(one).cmp(&name(other)))
        });
        if self.reverse {
            chosen.reverse();
        }
        chosen
    }

    /// One table.
    pub(super) fn table(&self, rows: &[Row], format: Format) -> String {
        let rows = self.chosen(rows);
        let several = rows.windows(2).any(|pair| pair[0].topology != pair[1].topology);
        let topology = several || format == Format::Wide;
        let mut headings = vec![
            ("COMPONENT", Align::Left),
            ("TASKS", Align::Right),
            ("RATE", Align::Right),
            ("FAILED/S", Align::Right),
            ("P50", Align::Right),
            ("P99", Align::Right),
            ("QUEUE", Align::Right),
            ("BUSY", Align::Right),
            ("PRESSED", Align::Right),
            ("WAITING", Align::Right),
            ("IDLE", Align::Right),
            ("", Align::Left),
        ];
        if topology {
            headings.insert(0, ("TOPOLOGY", Align::Left));
        }
        let share = |ms: Option<f64>| ms.map_or("-".into(), |ms| format!("{:.0}%", ms / 10.0));
        let cells = |row: &&Row| {
            let mut cells = vec![
                row.name.clone(),
                row.tasks.to_string(),
                format!("{:.0}/s", row.rate),
                format!("{:.1}", row.failed),
                latency(row.p50_us),
                latency(row.p99_us),
                format!("{:.0}%", row.queue_fill * 100.0),
                share(row.busy),
                share(row.back_pressured),
                share(row.throttled),
                share(row.idle),
                row.bar(),
            ];
            if topology {
                cells.insert(0, row.topology.clone());
            }
            cells
        };
        table(&headings, rows.iter().map(cells).collect())
    }

    /// The lines of a terminal of this many columns and lines.
    pub(super) fn frame(
        &self,
        rows: &[Row],
        (width, height): (usize, usize),
        colours: bool,
    ) -> Vec<String> {
        let order = if self.reverse { "least" } else { "most" };
        let sort = self.sort.to_possible_value();
        let sort = sort.map(|it| it.get_name().to_owned()).unwrap_or_default();
        let cursor = if self.typing { "_" } else { "" };
        let title = format!(
            "{} components, {order} {sort} first; filter: {}{cursor}",
            rows.len(),
            escape(&self.filter)
        );
        let legend = "# busy  ! back-pressured  ~ waiting for acks  . idle   keys: s r / q";
        let mut lines = vec![title, legend.to_owned(), String::new()];
        lines.extend(self.table(rows, Format::Table).lines().map(str::to_owned));
        lines.truncate(height.saturating_sub(1).max(4));
        let cut = |line: &String| line.chars().take(width).collect::<String>();
        let mut lines: Vec<String> = lines.iter().map(cut).collect();
        if colours {
            for line in lines.iter_mut().skip(4).filter(|line| line.contains("!!!!!")) {
                *line = format!("\x1b[33m{line}\x1b[0m");
            }
            for line in lines.iter_mut().skip(4).filter(|line| line.contains(&"#".repeat(16))) {
                *line = format!("\x1b[31m{line}\x1b[0m");
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, busy: f64, rate: f64) -> Row {
        let idle = 1_000.0 - busy;
        let time = |ms| Some(ms);
        Row {
            topology: "wc".into(),
            name: name.into(),
            rate,
            busy: time(busy),
            back_pressured: time(0.0),
            throttled: time(0.0),
            idle: time(idle),
            ..Row::default()
        }
    }

    fn names(view: &View, rows: &[Row]) -> Vec<String> {
        view.chosen(rows).iter().map(|row| row.name.clone()).collect()
    }

    #[test]
    fn rows_are_sorted_and_filtered_by_keys() {
        let rows = [row("split", 100.0, 9.0), row("count", 900.0, 5.0), row("lines", 0.0, 7.0)];
        let mut view = View::new(Sort::Busy, false, String::new());
        assert_eq!(names(&view, &rows), ["count", "split", "lines"]);
        view.press(Key::Character('s'));
        assert_eq!(names(&view, &rows), ["split", "lines", "count"], "by rate");
        view.press(Key::Character('r'));
        assert_eq!(names(&view, &rows), ["count", "lines", "split"], "the least first");
        for key in ['/', 's', 'p', 'x'] {
            view.press(Key::Character(key));
        }
        assert_eq!(names(&view, &rows), [""; 0]);
        view.press(Key::Back);
        assert_eq!(names(&view, &rows), ["split"]);
        view.press(Key::Enter);
        view.press(Key::Character('r'));
        assert_eq!(view.filter, "sp", "after Enter keys are commands again");
    }

    #[test]
    fn a_frame_fits_the_terminal_and_nothing_acts_on_it() {
        let rows: Vec<Row> = (0..50).map(|at| row(&format!("c\u{1b}{at}"), 950.0, 1.0)).collect();
        let view = View::new(Sort::Busy, false, String::new());
        let frame = view.frame(&rows, (60, 20), false);
        assert!(frame.len() < 20, "{} lines", frame.len());
        assert!(frame.iter().all(|line| line.chars().count() <= 60), "{frame:?}");
        assert!(!frame.concat().contains('\u{1b}'), "no colours, and names are escaped");
        assert!(
            view.frame(&rows, (200, 20), true).concat().contains("\x1b[31m"),
            "a busy one is red"
        );
    }

    #[test]
    fn a_bar_shows_where_time_goes() {
        let mut row = row("count", 500.0, 1.0);
        row.back_pressured = Some(250.0);
        assert_eq!(row.bar(), "##########!!!!!.....");
        assert_eq!(Row::default().bar().trim(), "", "not known yet");
    }
}
