//! What the rounds of a comparison came to: medians, spread and ratios.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::figures::{median, rounded};
use crate::problem::Problem;

/// Figures that are compared when nobody says which: first what is best when large.
const KNOWN: [&str; 8] = [
    "tuples_per_s",
    "acked_per_s",
    "p50_us",
    "p99_us",
    "complete_p50_us",
    "complete_p99_us",
    "cpu_cores",
    "rss_mib",
];

/// One turn of all commands.
#[derive(Debug)]
pub(super) struct Round {
    /// Between cores and back: before the first command, and after each.
    pub(super) round_trips_ns: Vec<f64>,
    /// What each command printed.
    pub(super) lines: Vec<Map<String, Value>>,
}

/// What is compared, and which rounds are not.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) fields: &'a [String],
    pub(super) far_ns: f64,
}

/// The line that is printed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    /// How many rounds there were, and how many of them were left out because cores were far apart.
    pub(crate) rounds: usize,
    far_rounds: usize,
    far_ns: f64,
    /// Of all rounds, in order.
    round_trips_ns: Vec<Vec<f64>>,
    version: String,
    /// In the order in which they ran.
    pub(crate) sides: Vec<Side>,
    /// The first command's median over that of the last, for each figure.
    pub(crate) ratio: BTreeMap<String, f64>,
}

/// One command.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) command: String,
    /// What it says of itself that is no figure: case, mode, version.
    says: BTreeMap<String, Value>,
    pub(crate) figures: BTreeMap<String, Figure>,
}

/// One figure of the rounds that count.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
    each: Vec<f64>,
}

/// Sums rounds up.
pub(super) fn summarize(
    commands: &[String],
    rounds: &[Round],
    rules: &Rules<'_>,
) -> Result<Summary, Problem> {
    let is_near = |round: &&Round| round.round_trips_ns.iter().all(|ns| *ns <= rules.far_ns);
    let near: Vec<&Round> = rounds.iter().filter(is_near).collect();
    if near.is_empty() {
        let why = format!("cores were more than {} ns apart in every round", rules.far_ns);
        return Err(Problem::new(
            crate::problem::EX_OSERR,
            "there is nothing to compare",
            why,
            "wait and run it again, or give a larger --far-ns if this machine is always so",
        ));
    }
    let sides = commands.iter().enumerate();
    let sides: Result<Vec<Side>, Problem> =
        sides.map(|(at, command)| side(command, &near, at, rules.fields)).collect();
    let sides = sides?;
    let mut ratio = BTreeMap::new();
    if let [first, .., last] = sides.as_slice() {
        for name in first.figures.keys() {
            if let Some(figure) = first.ratio_to(last, name) {
                ratio.insert(name.clone(), figure);
            }
        }
    }
    Ok(Summary {
        name: String::new(),
        rounds: rounds.len(),
        far_rounds: rounds.len() - near.len(),
        far_ns: rules.far_ns,
        round_trips_ns: rounds.iter().map(|round| round.round_trips_ns.clone()).collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sides,
        ratio,
    })
}

/// What one command printed: the figures that were asked for, or the known ones that it printed
/// every time.
fn side(command: &str, rounds: &[&Round], at: usize, asked: &[String]) -> Result<Side, Problem> {
    let lines = || rounds.iter().map(|round| &round.lines[at]);
    let is_there = |name: &str| lines().all(|line| line.get(name).is_some_and(Value::is_number));
    if let Some(missing) = asked.iter().find(|name| !is_there(name)) {
        let why = format!("`{command}` does not print a number `{missing}`");
        let fix = "name figures that all commands print with --fields";
        return Err(Problem::new(crate::problem::EX_USAGE, "cannot compare", why, fix));
    }
    let known = KNOWN.iter().filter(|name| is_there(name)).map(|name| (*name).to_owned());
    let fields = if asked.is_empty() { known.collect() } else { asked.to_vec() };
    let figure = |name: String| {
        let each: Vec<f64> = lines().filter_map(|line| line.get(&name)?.as_f64()).collect();
        let least = each.iter().copied().fold(f64::INFINITY, f64::min);
        let greatest = each.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let median = rounded(median(&each).unwrap_or_default());
        (name, Figure { median, least, greatest, each })
    };
    let says = rounds[0].lines[at].iter().filter(|(_, value)| value.is_string());
    Ok(Side {
        command: command.to_owned(),
        says: says.map(|(name, value)| (name.clone(), value.clone())).collect(),
        figures: fields.into_iter().map(figure).collect(),
    })
}

impl Side {
    /// The words of the command, but for how long it measured and how it prints.
    pub(crate) fn words(&self) -> Vec<&str> {
        let mut told = Vec::new();
        let mut words = self.command.split_whitespace();
        while let Some(word) = words.next() {
            match word {
                "--warm-up" | "--seconds" => drop(words.next()),
                "--json" | "FORMAT=json" | "REPS=1" => {}
                word if word.starts_with("WARM=") || word.starts_with("DUR=") => {}
                word => told.push(word),
            }
        }
        told
    }

    /// How many times as large one of its figures is as that of another command.
    pub(crate) fn ratio_to(&self, other: &Self, name: &str) -> Option<f64> {
        let other = other.figures.get(name)?.median;
        let ratio = self.figures.get(name)?.median / other;
        (other != 0.0).then_some((ratio * 1e4).round() / 1e4)
    }
}

impl Summary {
    /// How many rounds count.
    pub(crate) fn near_rounds(&self) -> usize {
        self.rounds - self.far_rounds
    }

    /// What sets the commands apart: of a peer its version, else the words that not all have.
    pub(crate) fn labels(&self) -> Vec<String> {
        let all: Vec<Vec<&str>> = self.sides.iter().map(Side::words).collect();
        let label = |(side, words): (&Side, &Vec<&str>)| {
            if let (Some(_), Some(Value::String(version))) =
                (side.says.get("peer"), side.says.get("version"))
            {
                return version.clone();
            }
            let is_own = |word: &&&str| !all.iter().all(|other| other.contains(*word));
            words.iter().filter(is_own).copied().collect::<Vec<_>>().join(" ")
        };
        self.sides.iter().zip(&all).map(label).collect()
    }

    /// The same for people.
    pub(super) fn table(&self) -> String {
        let mut lines = Vec::new();
        let mut add = |line: String| lines.push(line);
        for (letter, side) in ('A'..).zip(&self.sides) {
            add(format!("{letter}: {}", side.command));
        }
        // The known ones first, in their order.
        let place = |name: &&String| KNOWN.iter().position(|known| known == name);
        let mut names: Vec<&String> = Vec::new();
        for name in self.sides.iter().flat_map(|side| side.figures.keys()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.sort_by_key(|name| place(name).unwrap_or(KNOWN.len()));
        for name in names {
            add(name.clone());
            for (letter, side) in ('A'..).zip(&self.sides) {
                let Some(figure) = side.figures.get(name) else { continue };
                let Figure { median, least, greatest, .. } = figure;
                add(format!("  {letter} {median:>16.2}  [{least:.2} .. {greatest:.2}]"));
            }
            if let Some(ratio) = self.ratio.get(name) {
                add(format!("  first / last {ratio:>5.3}"));
            }
        }
        let Self { rounds, far_rounds, far_ns, .. } = self;
        add(format!(
            "{} of {rounds} rounds; {far_rounds} left out, with cores more than {far_ns} ns apart",
            rounds - far_rounds
        ));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(round_trip_ns: f64, figures: [f64; 2]) -> Round {
        let line = |figure: f64| {
            let line = serde_json::json!({ "case": "c", "tuples_per_s": figure, "extra": figure });
            line.as_object().cloned().expect("it is an object")
        };
        Round { round_trips_ns: vec![60.0, round_trip_ns, 60.0], lines: figures.map(line).into() }
    }

    fn commands() -> [String; 2] {
        ["a".to_owned(), "b".to_owned()]
    }

    #[test]
    fn the_ratio_is_that_of_the_medians_of_near_rounds() {
        let rounds = [round(60.0, [10.0, 4.0]), round(400.0, [1.0, 4.0]), round(70.0, [30.0, 6.0])];
        let rules = Rules { fields: &[], far_ns: 120.0 };
        let summary = summarize(&commands(), &rounds, &rules).unwrap();
        assert_eq!((summary.rounds, summary.far_rounds), (3, 1));
        assert_eq!(summary.ratio, BTreeMap::from([("tuples_per_s".to_owned(), 4.0)]));
        let figure = &summary.sides[0].figures["tuples_per_s"];
        assert_eq!((figure.median, figure.least, figure.greatest), (20.0, 10.0, 30.0));
        assert_eq!(summary.sides[1].says["case"], "c");
        assert_eq!(summary.labels(), ["a", "b"]);
        assert!(summary.table().contains("2 of 3 rounds; 1 left out"), "{}", summary.table());
    }

    #[test]
    fn commands_are_told_apart_by_what_they_do_and_peers_by_their_version() {
        let side = |command: &str, peer: bool| Side {
            command: command.to_owned(),
            says: [("peer", "storm"), ("version", "storm 2.8.3")]
                .into_iter()
                .filter(|_| peer)
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect(),
            figures: BTreeMap::new(),
        };
        let rules = Rules { fields: &[], far_ns: 120.0 };
        let mut summary = summarize(&commands(), &[round(60.0, [1.0, 1.0])], &rules).unwrap();
        summary.sides = vec![
            side("bench mesh --acks on --seconds 3 --json", false),
            side("bench mesh --acks off --seconds 3 --json", false),
            side("FORMAT=json WARM=5 CASES=mesh storm/run.sh", true),
        ];
        assert_eq!(summary.sides[2].words(), ["CASES=mesh", "storm/run.sh"]);
        let labels = ["bench mesh --acks on", "bench mesh --acks off", "storm 2.8.3"];
        assert_eq!(summary.labels(), labels);
        summary.sides.pop();
        assert_eq!(summary.labels(), ["on", "off"]);
    }

    #[test]
    fn figures_can_be_chosen_and_missing_ones_are_named() {
        let rounds = [round(60.0, [10.0, 5.0])];
        let chosen = ["extra".to_owned()];
        let rules = Rules { fields: &chosen, far_ns: 120.0 };
        let summary = summarize(&commands(), &rounds, &rules).unwrap();
        assert_eq!(summary.ratio, BTreeMap::from([("extra".to_owned(), 2.0)]));
        assert!(summary.table().contains("extra"), "{}", summary.table());
        let rules = Rules { fields: &["p50_us".to_owned()], far_ns: 120.0 };
        let problem = summarize(&commands(), &rounds, &rules).unwrap_err();
        assert!(problem.why.contains("`p50_us`"), "{problem:?}");
    }

    #[test]
    fn nothing_is_claimed_when_all_rounds_were_far() {
        let rules = Rules { fields: &[], far_ns: 50.0 };
        let problem = summarize(&commands(), &[round(60.0, [1.0, 1.0])], &rules).unwrap_err();
        assert!(problem.why.contains("50 ns apart in every round"), "{problem:?}");
    }
}
