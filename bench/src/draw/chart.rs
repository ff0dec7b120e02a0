//! Bars as SVG: groups of horizontal bars, each with its spread and its figure as text.
//!
//! Plain shapes on white and no script, so that any viewer and any page shows them.

use std::fmt::Write as _;

const WIDTH: f64 = 820.0;
const LABELS_WIDTH: f64 = 310.0;
const FIGURES_WIDTH: f64 = 110.0;
const BAR_HEIGHT: f64 = 16.0;
const GROUP_GAP: f64 = 12.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;

/// Told apart by people who do not see all colours alike.
const COLOURS: [&str; 5] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9"];

/// What is drawn.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) title: String,
    /// What the axis counts.
    pub(super) unit: &'static str,
    /// Steps of ten are as far apart as each other: for figures of very different size.
    pub(super) logarithmic: bool,
    pub(super) groups: Vec<Group>,
}

/// Bars that belong together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) bars: Vec<Bar>,
}

/// One figure with its spread.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) greatest: f64,
}

/// Where figures lie on the axis.
struct Scale {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Scale {
    fn of(chart: &Chart) -> Self {
        let bars = || chart.groups.iter().flat_map(|group| &group.bars);
        let greatest = bars().map(|bar| bar.greatest).fold(0.0, f64::max).max(1e-9);
        if !chart.logarithmic {
            return Self { from: 0.0, to: round_up(greatest), logarithmic: false };
        }
        let positive = bars().map(|bar| bar.least).filter(|least| *least > 0.0);
        let least = positive.fold(greatest, f64::min);
        let power = |figure: f64| 10_f64.powf(figure);
        let from = power(least.log10().floor());
        Self { from, to: power(greatest.log10().ceil()).max(from * 10.0), logarithmic: true }
    }

    /// From left to right.
    fn x(&self, figure: f64) -> f64 {
        let part = if self.logarithmic {
            (figure.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            figure / self.to
        };
        LABELS_WIDTH + part * (WIDTH - LABELS_WIDTH - FIGURES_WIDTH)
    }

    fn marks(&self) -> Vec<f64> {
        if !self.logarithmic {
            return (0..=4).map(|quarter| self.to * f64::from(quarter) / 4.0).collect();
        }
        let mut marks = vec![self.from];
        while let Some(last) = marks.last().copied().filter(|last| last * 1.01 < self.to) {
            marks.push(last * 10.0);
        }
        marks
    }
}

/// The next larger of 1, 2, 4 and 8 times a power of ten.
fn round_up(figure: f64) -> f64 {
    let power = 10_f64.powf(figure.log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|up| *up >= figure).unwrap_or(figure)
}

/// A figure in few letters.
pub(super) fn short(figure: f64) -> String {
    let (scaled, letter) = match figure.abs() {
        size if size >= 999.5e6 => (figure / 1e9, " G"),
        size if size >= 999.5e3 => (figure / 1e6, " M"),
        size if size >= 10e3 => (figure / 1e3, " k"),
        _ => (figure, ""),
    };
    let digits = match scaled.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    format!("{scaled:.digits$}{letter}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Chart {
    /// Draws it.
    pub(super) fn svg(&self) -> String {
        let scale = Scale::of(self);
        let heights = self.groups.iter().map(|group| height(group) + GROUP_GAP);
        let bottom = TOP + heights.sum::<f64>();
        let mut svg = String::new();
        let mut add = |line: &str| {
            svg.push_str(line);
            svg.push('\n');
        };
        let height = bottom + BOTTOM;
        add(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
             font-family=\"sans-serif\" font-size=\"12\">"
        ));
        add(&format!("<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>"));
        add(&format!(
            "<text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>",
            escaped(&self.title)
        ));
        for mark in scale.marks() {
            let x = scale.x(mark);
            add(&format!(
                "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" \
                 stroke=\"#dddddd\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" \
                 fill=\"#555555\">{}</text>",
                bottom + 16.0,
                short(mark)
            ));
        }
        add(&format!(
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555555\">{}</text>",
            WIDTH - 12.0,
            bottom + 16.0,
            self.unit
        ));
        let mut y = TOP + GROUP_GAP / 2.0;
        for group in &self.groups {
            add(&drawn(group, y, &scale));
            y += self::height(group) + GROUP_GAP;
        }
        add("</svg>");
        svg
    }
}

/// Height of a group: its name, then its bars.
fn height(group: &Group) -> f64 {
    BAR_HEIGHT * crate::figures::as_f64(group.bars.len() as u64 + 1)
}

fn drawn(group: &Group, top: f64, scale: &Scale) -> String {
    let mut svg = format!(
        "<text x=\"12\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
        top + 12.0,
        escaped(&group.name)
    );
    let mut y = top;
    for (bar, colour) in group.bars.iter().zip(COLOURS.iter().cycle()) {
        y += BAR_HEIGHT;
        let (start, end) = (LABELS_WIDTH, scale.x(bar.median));
        let (least, greatest) = (scale.x(bar.least), scale.x(bar.greatest));
        let middle = y + BAR_HEIGHT / 2.0;
        let drawn = write!(
            svg,
            "\n<text x=\"24\" y=\"{text:.1}\">{label}</text>\
             <rect x=\"{start}\" y=\"{rect:.1}\" width=\"{width:.1}\" height=\"{thick}\" \
             fill=\"{colour}\"/>\
             <line x1=\"{least:.1}\" y1=\"{middle:.1}\" x2=\"{greatest:.1}\" y2=\"{middle:.1}\" \
             stroke=\"#000000\" stroke-width=\"2\"/>\
             <text x=\"{after:.1}\" y=\"{text:.1}\">{figure}</text>",
            text = y + 12.0,
            label = escaped(&bar.label),
            rect = y + 2.0,
            width = (end - start).max(0.5),
            thick = BAR_HEIGHT - 4.0,
            after = greatest.max(end) + 6.0,
            figure = short(bar.median),
        );
        // Writing into a string cannot fail.
        debug_assert!(drawn.is_ok());
    }
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_and_get_a_letter() {
        let shown = [0.0, 1.234, 12.34, 123.4, 1_234.0, 12_345.0, 1e6, 56.78e6, 1.5e9].map(short);
        let wanted = ["0", "1.23", "12.3", "123", "1234", "12.3 k", "1.00 M", "56.8 M", "1.50 G"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn bars_stay_inside_of_the_picture_on_either_scale() {
        for logarithmic in [false, true] {
            let bar = |median: f64| Bar {
                label: "a < b".to_owned(),
                median,
                least: median / 2.0,
                greatest: median * 2.0,
            };
            let groups = vec![Group { name: "g".to_owned(), bars: vec![bar(0.5), bar(70e6)] }];
            let chart = Chart { title: "t".to_owned(), unit: "ns", logarithmic, groups };
            let scale = Scale::of(&chart);
            let right = WIDTH - FIGURES_WIDTH;
            for figure in [0.25, 0.5, 1.0, 70e6, 140e6] {
                let x = scale.x(figure);
                assert!((LABELS_WIDTH..=right + 0.1).contains(&x), "{figure} is at {x}");
            }
            let svg = chart.svg();
            assert!(svg.contains("a &lt; b") && svg.contains("70.0 M"), "{svg}");
            assert!(svg.trim_end().ends_with("</svg>"), "{svg}");
        }
    }
}
