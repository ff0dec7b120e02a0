//! `squall dead-letters`: what failed too often, as the supervisors of a topology keep it.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use daemon::Clock;
use proto::nimbus::dead_letters_request::Verb;
use proto::nimbus::{DeadLettersReply, DeadLettersRequest};
use proto::supervisor::DeadLetter;
use serde_json::{Value, json};

use crate::client::unary;
use crate::codes::Code;
use crate::commands::{Globals, topology_name, written};
use crate::confirm::Yes;
use crate::error::{Exit, Failure};
use crate::output::{self, age, escape};
use crate::table::{Align, table};

/// Letters in one list if nobody says how many.
const LIMIT: u32 = 100;

/// Characters of a tuple in a list.
const TUPLE_SHOWN: usize = 60;

/// Flags of `squall dead-letters`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dead-letters word-count                            list them\n  \
    squall dead-letters word-count show machine-1.17          one of them, with its tuple\n  \
    squall dead-letters word-count replay machine-1.17        give it to its spout again\n  \
    squall dead-letters word-count drop machine-1.17 --yes    drop it for good, without being asked\n  \
    squall dead-letters word-count drop --all                 drop all of them\n\n\
    Kept are tuples that failed too often, of spouts declared as replaying whose dead letters no bolt \
    reads. A letter that is replayed goes when its tuple has been processed.")]
pub(crate) struct DeadLetters {
    /// The topology
    #[arg(value_parser = topology_name)]
    name: String,
    /// What to do; without it they are listed.
    #[command(subcommand)]
    verb: Option<What>,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
enum What {
    /// List them
    List(List),
    /// Show one of them in full
    Show(Show),
    /// Give their tuples to their spouts again
    Replay(Replay),
    /// Drop them for good
    Drop(Drop),
}

/// Flags of `list`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dead-letters word-count list --limit 20\n  \
    squall dead-letters word-count list --after machine-1.17     the next ones")]
struct List {
    /// Begin behind this one
    #[arg(long, value_name = "LETTER")]
    after: Option<String>,
    /// How many to list, at most 1000
    #[arg(long, value_name = "N", default_value_t = LIMIT,
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

/// Flags of `show`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dead-letters word-count show machine-1.17\n  \
    squall dead-letters word-count show machine-1.17 -o json | jq .tuple")]
struct Show {
    /// The letter, as it is listed
    #[arg(value_name = "LETTER")]
    id: String,
}

/// Flags of `replay`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dead-letters word-count replay machine-1.17 machine-1.18\n  \
    squall dead-letters word-count replay --all")]
struct Replay {
    /// The letters, as they are listed
    #[arg(value_name = "LETTER", required_unless_present = "all")]
    ids: Vec<String>,
    /// All letters of the topology
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

/// Flags of `drop`.
#[derive(Debug, Args)]
#[command(before_help = "Examples:\n  \
    squall dead-letters word-count drop machine-1.17          shows what goes, and asks\n  \
    squall dead-letters word-count drop --all --yes           does not ask, as in a script")]
struct Drop {
    /// The letters, as they are listed
    #[arg(value_name = "LETTER", required_unless_present = "all")]
    ids: Vec<String>,
    /// All letters of the topology
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    #[command(flatten)]
    yes: Yes,
}

/// Asks nimbus, which asks the supervisors.
pub(crate) async fn run(letters: DeadLetters, globals: &Globals) -> Result<(), Failure> {
    let DeadLetters { name, verb } = letters;
    match verb.unwrap_or(What::List(List { after: None, limit: LIMIT })) {
        What::List(flags) => list(name, flags, globals).await,
        What::Show(Show { id }) => show(name, id, globals).await,
        What::Replay(Replay { ids, all }) => {
            let what = format!("cannot replay dead letters of `{name}`");
            let request = DeadLettersRequest { all, ..request(name, Verb::Replay, ids) };
            done(&what, ("replaying", "replayed"), request, globals).await
        }
        What::Drop(Drop { ids, all, yes }) => {
            let what = format!("cannot drop dead letters of `{name}`");
            let which = if all { "all".to_owned() } else { ids.join(", ") };
            yes.or_ask(&what, &format!("drops for good of `{name}`: {which}"), &name)?;
            let request = DeadLettersRequest { all, ..request(name, Verb::Drop, ids) };
            done(&what, ("dropped", "dropped"), request, globals).await
        }
    }
}

fn request(name: String, verb: Verb, ids: Vec<String>) -> DeadLettersRequest {
    DeadLettersRequest { name, verb: verb.into(), ids, ..DeadLettersRequest::default() }
}

async fn ask(
    what: &str,
    request: DeadLettersRequest,
    globals: &Globals,
) -> Result<DeadLettersReply, Failure> {
    let mut client = globals.client();
    let ask = || unary(request.clone());
    client.call(what, async |mut nimbus| nimbus.dead_letters(ask()).await).await
}

async fn list(name: String, flags: List, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot list the dead letters of `{name}`");
    let after = flags.after.unwrap_or_default();
    let request = request(name.clone(), Verb::List, Vec::new());
    let request = DeadLettersRequest { after, max: flags.limit, ..request };
    let reply = ask(&what, request, globals).await?;
    if globals.format.is_for_programs() {
        let letters: Vec<Value> = reply.letters.iter().map(document).collect();
        let list = json!({ "letters": letters, "more": reply.more, "away": reply.away });
        return globals.show_value(list);
    }
    for (supervisor, why) in &reply.away {
        let text =
            format!("supervisor {supervisor} does not answer, its letters are missing: {why}");
        output::note(&escape(&text));
    }
    if reply.letters.is_empty() {
        output::note(&format!("no dead letters of `{name}` are kept"));
        return Ok(());
    }
    let now = Clock::system().wall_ms();
    written(output::print(&rows(&reply.letters, now)))?;
    if let Some(last) = reply.letters.last().filter(|_| reply.more) {
        output::note(&format!("there are more: --after {}", escape(&id(last))));
    }
    Ok(())
}

async fn show(name: String, wanted: String, globals: &Globals) -> Result<(), Failure> {
    let what = format!("cannot show a dead letter of `{name}`");
    let request = request(name.clone(), Verb::List, vec![wanted.clone()]);
    let reply = ask(&what, request, globals).await?;
    let Some(letter) = reply.letters.first() else {
        return Err(problem(&what, &reply).unwrap_or_else(|| {
            let why = format!("there is no letter `{wanted}`");
            let fix = format!("`squall dead-letters {name} list` shows those that there are");
            Failure::new(Code::NoLetter, what, why, fix)
        }));
    };
    globals.show(&text(letter, Clock::system().wall_ms()), &document(letter))
}

/// Has something done, and says for how many letters; fails if it was not done for all.
async fn done(
    what: &str,
    (doing, did): (&str, &str),
    request: DeadLettersRequest,
    globals: &Globals,
) -> Result<(), Failure> {
    let name = request.name.clone();
    let reply = ask(what, request, globals).await?;
    if let Some(failure) = problem(what, &reply) {
        if reply.done > 0 {
            output::note(&format!("{} {did}, not the others:", counted(reply.done)));
        }
        return Err(failure);
    }
    let text = match (reply.done, doing) {
        (0, _) => format!("there was nothing to be {did}"),
        (count, "replaying") => {
            let list = format!("`squall dead-letters {name}` shows those that are left");
            format!("replaying {}; {list}", counted(count))
        }
        (count, _) => format!("{doing} {}", counted(count)),
    };
    globals.show(&text, &json!({ "done": reply.done }))
}

fn counted(count: u64) -> String {
    format!("{count} letter{}", if count == 1 { "" } else { "s" })
}

/// What of a request could not be done.
fn problem(what: &str, reply: &DeadLettersReply) -> Option<Failure> {
    let each = |all: &BTreeMap<String, String>| {
        let lines = all.iter().map(|(who, why)| format!("{who}: {why}"));
        escape(&lines.collect::<Vec<_>>().join("; "))
    };
    if !reply.refused.is_empty() {
        let fix = "`squall dead-letters NAME list` shows those that there are";
        return Some(Failure::new(Code::NoLetter, what, each(&reply.refused), fix));
    }
    if !reply.away.is_empty() {
        let why = format!("not all supervisors answer: {}", each(&reply.away));
        let fix = "try again when they do; `squall describe` shows them";
        return Some(Failure::new(Exit::Temporary, what, why, fix));
    }
    None
}

fn id(letter: &DeadLetter) -> String {
    format!("{}.{}", letter.supervisor, letter.number)
}

fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} ago", age(now_ms.saturating_sub(at_ms)))
}

fn rows(letters: &[DeadLetter], now_ms: u64) -> String {
    let headings = [
        ("LETTER", Align::Left),
        ("COMPONENT", Align::Left),
        ("REASON", Align::Left),
        ("ATTEMPTS", Align::Right),
        ("LAST FAILED", Align::Right),
        ("", Align::Left),
        ("TUPLE", Align::Left),
    ];
    let row = |it: &DeadLetter| {
        let shown: String = it.text.chars().take(TUPLE_SHOWN).collect();
        let cut = if shown.len() < it.text.len() { "..." } else { "" };
        vec![
            id(it),
            it.component.clone(),
            it.reason.clone(),
            it.attempts.to_string(),
            ago(it.last_failed_ms, now_ms),
            if it.replaying { "replaying" } else { "" }.to_owned(),
            format!("{shown}{cut}"),
        ]
    };
    table(&headings, letters.iter().map(row).collect())
}

fn text(letter: &DeadLetter, now_ms: u64) -> String {
    let mut facts = vec![
        ("letter", id(letter)),
        ("component", letter.component.clone()),
        ("task", format!("{} of worker {}", letter.task, letter.worker)),
        ("reason", letter.reason.clone()),
        ("attempts", letter.attempts.to_string()),
        ("first failed", ago(letter.first_failed_ms, now_ms)),
        ("last failed", ago(letter.last_failed_ms, now_ms)),
        ("tuple", letter.text.clone()),
    ];
    if !letter.error.is_empty() {
        facts.insert(4, ("it said", letter.error.clone()));
    }
    if letter.replaying {
        facts.insert(1, ("state", "being replayed".to_owned()));
    }
    let lines = facts.iter().map(|(name, value)| format!("{name:<12}  {}", escape(value)));
    lines.collect::<Vec<_>>().join("\n")
}

fn document(letter: &DeadLetter) -> Value {
    let epoch = letter.epoch.unwrap_or_default();
    let tuple = serde_json::from_str(&letter.text);
    json!({
        "id": id(letter),
        "component": letter.component,
        "task": letter.task,
        "worker": letter.worker,
        "epoch": format!("{}.{}", epoch.revision, epoch.restarts),
        "reason": letter.reason,
        "error": letter.error,
        "attempts": letter.attempts,
        "first_failed_ms": letter.first_failed_ms,
        "last_failed_ms": letter.last_failed_ms,
        "replaying": letter.replaying,
        "tuple": tuple.unwrap_or_else(|_| Value::String(letter.text.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            supervisor: "m-1".to_owned(),
            number: 17,
            component: "orders".to_owned(),
            reason: "panic".to_owned(),
            attempts: 3,
            last_failed_ms: 1_000,
            text: format!("{{\"n\":\"\u{1b}{}\"}}", "x".repeat(100)),
            replaying: true,
            ..DeadLetter::default()
        }
    }

    #[test]
    fn letters_are_listed_with_their_ids_and_nothing_of_them_acts_on_the_terminal() {
        let text = rows(&[letter()], 13_000);
        for part in ["m-1.17", "panic", "12s ago", "replaying", "..."] {
            assert!(text.contains(part), "`{part}` is missing:\n{text}");
        }
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_tuple_is_json_for_programs_unless_it_was_cut_off() {
        let whole = DeadLetter { text: "{\"n\":1}".to_owned(), ..letter() };
        assert_eq!(document(&whole)["tuple"]["n"], 1);
        assert_eq!(document(&letter())["id"], "m-1.17");
        let cut = DeadLetter { text: "{\"n\":…".to_owned(), ..letter() };
        assert_eq!(document(&cut)["tuple"], "{\"n\":…");
    }

    #[test]
    fn what_was_not_done_is_a_failure_that_names_it() {
        let refused = [("m-1.9".to_owned(), "there is no such letter".to_owned())];
        let reply = DeadLettersReply { refused: refused.into(), ..Default::default() };
        let failure = problem("cannot", &reply).expect("one was refused");
        assert_eq!(failure.exit, Exit::NoInput);
        assert!(failure.why.contains("m-1.9: there is no"), "{}", failure.why);
        let away = [("m-2".to_owned(), "refused".to_owned())];
        let reply = DeadLettersReply { away: away.into(), ..Default::default() };
        assert_eq!(problem("cannot", &reply).expect("one is away").exit, Exit::Temporary);
        assert_eq!(problem("cannot", &DeadLettersReply::default()), None);
    }
}
