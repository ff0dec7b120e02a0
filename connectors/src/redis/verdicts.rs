//! What the answers to a batch say of each of its tuples.
//!
//! The commands of a batch are one transaction: `MULTI`, the commands, `EXEC`. What the server cannot do
//! now (no memory, read only, loading) it refuses before anything was done, for the whole batch, so a
//! batch that is tried again is tried in its order. A command that it does not understand is refused
//! then too, and the others are tried again without it. What fails only when it is run, such as a
//! command on a key of another type, fails alone.

use super::client::{Refusal, Reply};
use crate::batches::Outcome;

/// Refusals that pass: the server cannot now.
const PASSING: [&str; 9] = [
    "OOM",
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "MISCONF",
    "NOREPLICAS",
    "TRYAGAIN",
    "CLUSTERDOWN",
];

/// Whether the same may go better another time.
pub(super) fn is_passing(refusal: &Refusal) -> bool {
    PASSING.contains(&refusal.code())
}

/// Says of each tuple what became of it; `counts` are the commands of each, `replies` those to `MULTI`,
/// to every command, and to `EXEC`.
pub(super) fn of_transaction(counts: &[usize], replies: Vec<Reply>) -> Vec<Outcome<()>> {
    let commands: usize = counts.iter().sum();
    if replies.len() != commands + 2 {
        let why = format!("{} answers to {} commands", replies.len(), commands + 2);
        return again(counts, &why);
    }
    let mut replies = replies.into_iter();
    let opened = replies.next();
    let queued: Vec<Reply> = replies.by_ref().take(commands).collect();
    if let Some(Reply::Refused(refusal)) = opened {
        return match is_passing(&refusal) {
            true => again(counts, &refusal.to_string()),
            false => counts.iter().map(|_| Outcome::Done(Err(refusal.to_string()))).collect(),
        };
    }
    match replies.next() {
        Some(Reply::List(results)) if results.len() == commands => {
            each(counts, results, |refusal| match refusal {
                None => Outcome::Done(Ok(())),
                Some(refusal) => Outcome::Done(Err(refusal.to_string())),
            })
        }
        Some(Reply::Refused(refusal)) => discarded(counts, queued, &refusal),
        _ => again(counts, "the answer to `EXEC` is no list of results"),
    }
}

/// Nothing was done: some were refused when they were queued, or all of them at the end.
fn discarded(counts: &[usize], queued: Vec<Reply>, refusal: &Refusal) -> Vec<Outcome<()>> {
    let refused = |reply: &Reply| matches!(reply, Reply::Refused(_));
    if !queued.iter().any(refused) {
        return again(counts, &refusal.to_string());
    }
    let passing = queued.iter().find_map(|reply| match reply {
        Reply::Refused(refusal) if is_passing(refusal) => Some(refusal.to_string()),
        _ => None,
    });
    if let Some(why) = passing {
        return again(counts, &why);
    }
    each(counts, queued, |refusal| match refusal {
        None => Outcome::Untried,
        Some(refusal) => Outcome::Done(Err(refusal.to_string())),
    })
}

/// Says of each tuple by the first refusal among its answers.
fn each(
    counts: &[usize],
    replies: Vec<Reply>,
    say: impl Fn(Option<&Refusal>) -> Outcome<()>,
) -> Vec<Outcome<()>> {
    let mut rest = replies.as_slice();
    let of_one = |count: &usize| {
        let (own, others) = rest.split_at(*count);
        rest = others;
        let refused = own.iter().find_map(|reply| match reply {
            Reply::Refused(refusal) => Some(refusal),
            _ => None,
        });
        say(refused)
    };
    counts.iter().map(of_one).collect()
}

fn again(counts: &[usize], why: &str) -> Vec<Outcome<()>> {
    counts.iter().map(|_| Outcome::Again(why.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> Reply {
        Reply::Refused(Refusal::new(code, "it says so"))
    }

    fn ok() -> Reply {
        Reply::Bytes(b"OK".to_vec())
    }

    /// A letter a tuple: done, failed, again, untried.
    fn said(outcomes: &[Outcome<()>]) -> String {
        let letter = |outcome: &Outcome<()>| match outcome {
            Outcome::Done(Ok(())) => 'd',
            Outcome::Done(Err(_)) => 'f',
            Outcome::Again(_) => 'a',
            Outcome::Untried => 'u',
        };
        outcomes.iter().map(letter).collect()
    }

    #[test]
    fn a_command_that_fails_when_it_is_run_fails_its_own_tuple_alone() {
        let results = Reply::List(vec![ok(), ok(), refused("WRONGTYPE"), ok()]);
        let replies = vec![ok(), ok(), ok(), ok(), ok(), results];
        assert_eq!(said(&of_transaction(&[1, 2, 1], replies)), "dfd");
    }

    #[test]
    fn a_tuple_without_commands_is_done_with_the_others() {
        let replies = vec![ok(), ok(), Reply::List(vec![ok()])];
        assert_eq!(said(&of_transaction(&[0, 1], replies)), "dd");
    }

    #[test]
    fn a_command_that_is_not_understood_fails_and_the_others_are_tried_without_it() {
        let replies = vec![ok(), ok(), refused("ERR"), ok(), refused("EXECABORT")];
        assert_eq!(said(&of_transaction(&[1, 1, 1], replies)), "ufu");
    }

    #[test]
    fn what_passes_is_tried_again_as_a_whole() {
        for code in PASSING {
            let queued = vec![ok(), ok(), refused(code), refused("ERR"), refused("EXECABORT")];
            assert_eq!(said(&of_transaction(&[1, 1, 1], queued)), "aaa", "{code} of one");
            let opened = vec![refused(code), ok(), refused("ERR")];
            assert_eq!(said(&of_transaction(&[1], opened)), "a", "{code} of MULTI");
        }
        let at_the_end = vec![ok(), ok(), refused("EXECABORT")];
        assert_eq!(said(&of_transaction(&[1], at_the_end)), "a");
    }

    #[test]
    fn who_may_not_open_a_transaction_is_told_so() {
        let replies = vec![refused("NOPERM"), ok(), refused("ERR")];
        assert_eq!(said(&of_transaction(&[1], replies)), "f");
        assert_eq!(said(&of_transaction(&[1], vec![ok()])), "a", "answers are missing");
    }
}
