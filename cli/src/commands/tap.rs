//! `squall tap`: live tuples of a running topology, one JSON object a line.

use clap::Args;
use proto::nimbus::{TapRequest, Tapped};
use proto::supervisor;
use topology_api::runtime::Condition;

use crate::commands::{Globals, topology_name, written};
use crate::error::{Exit, Failure};
use crate::output;

/// Flags of `squall tap`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall tap word-count split\n  \
    squall tap word-count count --where 'word == \"storm\" and count > 10' --limit 5\n  \
    squall tap orders check.rejected --rate 100 | jq .tuple.order")]
pub(crate) struct Tap {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// What emits the tuples: a component, or one stream of it
    #[arg(value_name = "COMPONENT[.STREAM]")]
    component: String,
    /// Only tuples for which this holds: fields with ==, !=, <, <=, >, >= and contains, and, or, not
    #[arg(long = "where", value_name = "EXPR", value_parser = condition)]
    condition: Option<String>,
    /// How many a second, at most
    #[arg(long, value_name = "N", default_value_t = 10,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

fn condition(text: &str) -> Result<String, String> {
    text.parse::<Condition>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// What was seen of all that there was.
#[derive(Debug, Default)]
struct Sums {
    shown: u64,
    emitted: u64,
    looked_at: u64,
    left_out: u64,
    /// Who has nothing more to show, of those that showed something.
    problems: Vec<String>,
}

/// Shows tuples as they come, until there were enough.
pub(crate) async fn run(tap: Tap, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot look into `{}`", tap.name);
    let limit = tap.limit.unwrap_or(u64::MAX);
    let mut client = globals.client();
    let document = crate::commands::topology_path(&tap.name);
    let status: crate::status::TopologyDetail = client.status(&what, &document).await?;
    let known = status.components.iter().map(|component| component.name.as_str());
    let (component, stream) = divide(&tap.component, known);
    let asked = supervisor::Tap {
        component,
        stream,
        condition: tap.condition.unwrap_or_default(),
        rate: tap.rate,
        limit: tap.limit.unwrap_or(0),
        ..supervisor::Tap::default()
    };
    let request = TapRequest { name: tap.name, tap: Some(asked) };
    let mut shown =
        client.call(&what, async |mut nimbus| nimbus.tap(request.clone()).await).await?;
    let mut sums = Sums::default();
    while sums.shown < limit {
        let next = tokio::select! {
            next = shown.message() => next,
            _ = tokio::signal::ctrl_c() => break,
        };
        let next = next.map_err(|status| {
            let fix = "try again; `squall describe NAME` shows where its workers run";
            Failure::new(Exit::Temporary, &what, status.message(), fix)
        })?;
        let Some(next) = next else { break };
        show(next, limit, &mut sums)?;
    }
    tell(&sums, &what)
}

/// Divides what was named into a component and a stream of it; both may have dots in their names.
fn divide<'a>(named: &str, known: impl Iterator<Item = &'a str>) -> (String, String) {
    let mut known: Vec<&str> = known.collect();
    known.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let of = |name: &&str| {
        let stream = named.strip_prefix(*name)?;
        if stream.is_empty() { Some("") } else { stream.strip_prefix('.') }
    };
    match known.iter().find_map(|name| Some((*name, of(name)?))) {
        Some((component, stream)) => (component.to_owned(), stream.to_owned()),
        None => (named.to_owned(), String::new()),
    }
}

fn show(next: Tapped, limit: u64, sums: &mut Sums) -> Result<(), Failure> {
    let Tapped { worker, supervisor, tapped } = next;
    let Some(tapped) = tapped else { return Ok(()) };
    sums.emitted += tapped.emitted;
    sums.looked_at += tapped.looked_at;
    sums.left_out += tapped.left_out;
    for line in &tapped.lines {
        if sums.shown == limit {
            break;
        }
        // JSON has no control characters that a terminal would obey, but for what Unicode has.
        written(output::print(&output::escape(line)))?;
        sums.shown += 1;
    }
    if !tapped.problem.is_empty() {
        let problem =
            format!("nothing more of worker {worker} at {supervisor}: {}", tapped.problem);
        output::note(&output::escape(&problem));
        sums.problems.push(tapped.problem);
    }
    Ok(())
}

/// Says how much of what there was has been seen.
fn tell(sums: &Sums, what: &str) -> Result<(), Failure> {
    let Sums { shown, emitted, looked_at, left_out, problems } = sums;
    if *emitted == 0 && !problems.is_empty() {
        let fix = "`squall describe NAME` shows where its workers run; try again";
        return Err(Failure::new(Exit::Temporary, what, problems.join("; "), fix));
    }
    output::note(&format!(
        "{shown} shown; {looked_at} of {emitted} emitted were looked at, {left_out} left out"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_what_stands_behind_the_name_of_a_component() {
        let divided = |named: &str| divide(named, ["a", "a.b", "split"].into_iter());
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        assert_eq!(divided("split"), pair("split", ""));
        assert_eq!(divided("split.words"), pair("split", "words"));
        assert_eq!(divided("a.b"), pair("a.b", ""), "a component is meant before a stream");
        assert_eq!(divided("a.b.c"), pair("a.b", "c"));
        assert_eq!(divided("a.c"), pair("a", "c"));
        assert_eq!(divided("splitter.x"), pair("splitter.x", ""), "nimbus says what is wrong");
    }
}
