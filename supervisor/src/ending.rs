//! How a worker's process ended, in plain words, from what is certain: its status, what its cgroup
//! and the kernel counted, and what it wrote last.
//!
//! A process that ran out of memory ends in one of two ways: the kernel kills it, which only its
//! cgroup tells from any other SIGKILL, or an allocation is refused, and the process says so and
//! aborts. A Rust program that panics says so too, and ends with code 101 or an abort. Words alone prove
//! nothing (a component that panicked is caught, and the worker goes on): the status must fit.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;

/// The exit code of a Rust program whose main thread panicked.
const PANICKED: i32 = 101;

/// What is known of the end of a process besides its status.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clues {
    /// Who says that memory was short.
    pub(crate) short_of_memory: Option<Witness>,
    /// `worker.memory.limit`, if it was set: as text for people.
    pub(crate) limit: Option<String>,
    /// The end of what the incarnation wrote.
    pub(crate) words: String,
}

/// Who says that memory was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witness {
    /// The kernel counted it where nobody else is: in the cgroup of the worker.
    Cgroup,
    /// The kernel ended some process for it just then, maybe this one.
    Machine,
}

/// Says how a process ended; `status` is `None` for one that is not our child.
pub(crate) fn describe(status: Option<ExitStatus>, clues: &Clues) -> String {
    let how = status.map_or_else(
        || "how is not known, for an earlier supervisor had started it".to_owned(),
        describe_status,
    );
    match because(status, clues) {
        Some(why) => format!("{why}; {how}"),
        None if status.is_none() => format!("ended; {how}"),
        None => how,
    }
}

fn because(status: Option<ExitStatus>, clues: &Clues) -> Option<String> {
    let signal = status.and_then(|status| status.signal());
    let is = |wanted: Signal| signal == Some(wanted as i32);
    let limit = clues.limit.as_ref().map(|limit| format!("worker.memory.limit={limit}"));
    let killed = is(Signal::SIGKILL) || status.is_none();
    match clues.short_of_memory {
        Some(Witness::Cgroup) if killed => {
            let limit = limit.unwrap_or_else(|| "the cgroup above it, or the machine".to_owned());
            return Some(format!("out of memory: {limit} allows no more"));
        }
        Some(Witness::Machine) if is(Signal::SIGKILL) => {
            let text = "probably out of memory: the machine had none left and ended processes";
            return Some(text.to_owned());
        }
        _ => {}
    }
    let aborted = is(Signal::SIGABRT);
    if let Some(refused) =
        refused_allocation(&clues.words, aborted).filter(|_| aborted || status.is_none())
    {
        let limit = limit.map(|limit| format!(" ({limit})")).unwrap_or_default();
        return Some(format!("out of memory: {refused}{limit}"));
    }
    if aborted && clues.words.contains("has overflowed its stack") {
        return Some("stack overflow".to_owned());
    }
    let panicked = aborted || status.and_then(|status| status.code()) == Some(PANICKED);
    panic(&clues.words).filter(|_| panicked)
}

/// The line in which a Rust program says that it got no memory, if it was the last but a few. One that
/// aborted may have been cut off in it.
fn refused_allocation(words: &str, aborted: bool) -> Option<&str> {
    let begins = |line: &&str| line.starts_with("memory allocation of");
    let whole = |line: &&str| begins(line) && line.ends_with(" failed");
    let cut = || words.lines().last().filter(|line| aborted && begins(line));
    words.lines().rev().take(4).find(whole).or_else(cut)
}

/// The last panic: the first line of its message, and where it was.
fn panic(words: &str) -> Option<String> {
    let lines: Vec<&str> = words.lines().collect();
    let says = |line: &&str| line.starts_with("thread '") && line.contains("panicked at ");
    let at = lines.iter().rposition(says)?;
    let place = lines[at].split("panicked at ").nth(1).unwrap_or_default().trim_end_matches(':');
    let message = lines.get(at + 1).filter(|line| !line.is_empty()).unwrap_or(&"without a word");
    Some(format!("panic: {message} ({place})"))
}

fn describe_status(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by signal {number} ({signal})"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

/// How many processes the kernel has ended so far because the machine, or some cgroup, was out of
/// memory; 0 where it does not say.
pub(crate) fn kills_for_memory() -> u64 {
    counter(&fs::read_to_string("/proc/vmstat").unwrap_or_default(), "oom_kill")
}

/// Reads a counter of a file with a name and a number on each line; 0 if it is not there.
pub(crate) fn counter(text: &str, name: &str) -> u64 {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    let found = pairs.filter(|(key, _)| *key == name).map(|(_, number)| number.trim().parse());
    found.flatten().next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &str = "thread 'main' (77) panicked at src/main.rs:4:5:\nboom\nnote: run with \
                         `RUST_BACKTRACE=1` environment variable to display a backtrace";

    fn ended(raw: i32, clues: &Clues) -> String {
        describe(Some(ExitStatus::from_raw(raw)), clues)
    }

    fn words(words: &str) -> Clues {
        Clues { words: words.to_owned(), ..Clues::default() }
    }

    #[test]
    fn exits_are_described_for_people() {
        for (raw, text) in [
            (0, "exit code 0"),
            (65 << 8, "exit code 65"),
            (9, "killed by signal 9 (SIGKILL)"),
            (15, "killed by signal 15 (SIGTERM)"),
            (6 | 0x80, "killed by signal 6 (SIGABRT)"),
        ] {
            assert_eq!(ended(raw, &Clues::default()), text);
        }
        let unknown = describe(None, &Clues::default());
        assert!(unknown.starts_with("ended; how is not known"), "{unknown}");
    }

    #[test]
    fn a_panic_is_named_only_if_the_process_ended_by_it() {
        let panic = "panic: boom (src/main.rs:4:5)";
        assert_eq!(ended(101 << 8, &words(PANIC)), format!("{panic}; exit code 101"));
        assert_eq!(ended(6, &words(PANIC)), format!("{panic}; killed by signal 6 (SIGABRT)"));
        assert_eq!(ended(1 << 8, &words(PANIC)), "exit code 1", "that panic was caught");
        assert_eq!(ended(101 << 8, &words("nothing to see")), "exit code 101");
        let two = format!("{PANIC}\nthread '<unnamed>' panicked at a.rs:1:1:\nthe last one");
        assert!(ended(6, &words(&two)).starts_with("panic: the last one (a.rs:1:1)"), "{two}");
        let overflow =
            "thread 'main' has overflowed its stack\nfatal runtime error: stack overflow";
        assert!(ended(6, &words(overflow)).starts_with("stack overflow; "));
    }

    #[test]
    fn memory_is_named_when_the_kernel_or_the_process_says_so() {
        let refused = words("memory allocation of 4096 bytes failed\n");
        let limited = Clues { limit: Some("64MiB".into()), ..refused.clone() };
        assert_eq!(
            ended(6, &limited),
            "out of memory: memory allocation of 4096 bytes failed (worker.memory.limit=64MiB); \
             killed by signal 6 (SIGABRT)"
        );
        assert!(describe(None, &refused).starts_with("out of memory: memory allocation"));
        assert_eq!(ended(3 << 8, &refused), "exit code 3", "it went on after that");
        let cut = words("memory allocation of 409");
        assert!(ended(6, &cut).starts_with("out of memory: memory allocation of 409;"), "cut off");
        assert!(!describe(None, &cut).contains("out of memory"), "that may be anything");
        let killed = |witness, limit: Option<&str>| {
            let limit = limit.map(str::to_owned);
            ended(9, &Clues { short_of_memory: Some(witness), limit, words: String::new() })
        };
        assert_eq!(
            killed(Witness::Cgroup, Some("64MiB")),
            "out of memory: worker.memory.limit=64MiB allows no more; killed by signal 9 (SIGKILL)"
        );
        assert!(killed(Witness::Cgroup, None).contains("or the machine allows no more"));
        assert!(killed(Witness::Machine, None).starts_with("probably out of memory"));
        let term = Clues { short_of_memory: Some(Witness::Cgroup), ..Clues::default() };
        assert_eq!(ended(15, &term), "killed by signal 15 (SIGTERM)", "a child of it was ended");
    }

    #[test]
    fn counters_of_the_kernel_are_read_by_their_whole_name() {
        let text = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!((counter(text, "oom_kill"), counter(text, "oom")), (2, 3));
        assert_eq!(counter(text, "kill"), 0);
    }
}
