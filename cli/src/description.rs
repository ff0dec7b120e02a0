//! Asking a topology binary what it is: run it with `SQUALL_MODE=describe`, read one line.
//!
//! Anything may be behind a path: the program gets no input, a clean environment, ten seconds and
//! a megabyte, and is ended with its whole process group if it takes more.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures::FutureExt;
use futures::future::FusedFuture;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use topology_api::Description;

use crate::codes::Code;
use crate::error::Failure;

/// How long a binary may take to describe its topology.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How much it may write.
const OUTPUT_BYTES_MAX: u64 = 1 << 20;

/// How much of what it complains about is shown.
const COMPLAINT_BYTES_MAX: usize = 16 << 10;

/// What a worker's environment keeps, and so what a description may depend on.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "RUST_LOG", "RUST_BACKTRACE"];

/// The exit code of a binary whose topology is invalid.
const INVALID_TOPOLOGY: i32 = 65;

/// Version of the line a binary writes: `{"squall":1,"topology":{..}}`.
const FORMAT: u64 = 1;

/// What a run of the binary came to.
#[derive(Debug)]
struct Outcome {
    ending: Ending,
    output: Vec<u8>,
    complaint: Vec<u8>,
}

/// How the run ended.
#[derive(Debug)]
enum Ending {
    Exited(ExitStatus),
    TooSlow,
    TooMuch,
}

/// Runs the binary and returns what it says of its topology.
pub(crate) async fn describe(
    binary: &Path,
    arguments: &[String],
    config: &BTreeMap<String, String>,
) -> Result<Description, Failure> {
    let what = format!("cannot find out which topology {} is", binary.display());
    let config = serde_json::to_string(config)
        .map_err(|error| Failure::internal("cannot encode the configuration", error))?;
    let mut command = Command::new(binary);
    command.args(arguments).env_clear();
    for name in ENVIRONMENT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("SQUALL_MODE", "describe").env("SQUALL_CONFIG", config);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn().map_err(|error| {
        let fix = "run it by hand to see what is wrong; is it for this machine?";
        Failure::new(Code::NotAProgram, &what, format!("it does not start: {error}"), fix)
    })?;
    let outcome = watch(child, TIME_MAX).await.map_err(|error| {
        Failure::new(Code::NotDescribed, &what, error, "try again; run it by hand to see more")
    })?;
    interpret(&what, &outcome)
}

/// Waits for the end of the process, and brings it about if it takes too much.
async fn watch(mut child: Child, time_max: Duration) -> std::io::Result<Outcome> {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let stdout = child.stdout.take().expect("stdout was asked for");
    let stderr = child.stderr.take().expect("stderr was asked for");
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let ending = {
        let mut listening = pin!(listen(stderr, &mut complaint).fuse());
        let ending = tokio::select! {
            ending = ending_of(&mut child, stdout, &mut output) => ending?,
            () = async {
                (&mut listening).await;
                std::future::pending::<()>().await;
            } => unreachable!("pending never ends"),
            () = tokio::time::sleep(time_max) => Ending::TooSlow,
        };
        if !matches!(ending, Ending::Exited(_)) {
            // Not yet waited for, so the number still means this process and its children.
            if let Some(Err(error)) = group.map(|group| killpg(group, Signal::SIGKILL)) {
                tracing::debug!(%error, "the process had ended already");
            }
            child.wait().await?;
        }
        if !listening.is_terminated() {
            // What is still in the pipe; a process that left the group might hold it open.
            drop(tokio::time::timeout(Duration::from_millis(200), listening).await);
        }
        ending
    };
    Ok(Outcome { ending, output, complaint })
}

/// Takes what the program writes until it ends or has written too much.
async fn ending_of(
    child: &mut Child,
    stdout: ChildStdout,
    output: &mut Vec<u8>,
) -> std::io::Result<Ending> {
    stdout.take(OUTPUT_BYTES_MAX + 1).read_to_end(output).await?;
    if output.len() as u64 > OUTPUT_BYTES_MAX {
        return Ok(Ending::TooMuch);
    }
    child.wait().await.map(Ending::Exited)
}

/// Keeps the beginning of what the program complains about and takes the rest, so that it is
/// never held up.
async fn listen(mut stderr: ChildStderr, complaint: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    while let Ok(read) = stderr.read(&mut buffer).await {
        if read == 0 {
            break;
        }
        let room = COMPLAINT_BYTES_MAX.saturating_sub(complaint.len());
        complaint.extend_from_slice(&buffer[..read.min(room)]);
    }
}

/// Finds the description in what the program wrote, or says what it did instead.
fn interpret(what: &str, outcome: &Outcome) -> Result<Description, Failure> {
    const NO_TOPOLOGY: &str =
        "a topology binary is a program whose main calls `worker::main(topology)`";
    let complaint = String::from_utf8_lossy(&outcome.complaint);
    let complaint = complaint.trim().trim_start_matches("error: ");
    let data = |why: String, fix: &str| Err(Failure::new(Code::NoDescription, what, why, fix));
    let status = match &outcome.ending {
        Ending::TooSlow => {
            let why = format!("it did not describe itself within {} s", TIME_MAX.as_secs());
            return data(with_complaint(why, complaint), NO_TOPOLOGY);
        }
        Ending::TooMuch => {
            let why = "it wrote over 1 MiB instead of a description".into();
            return data(why, NO_TOPOLOGY);
        }
        Ending::Exited(status) => status,
    };
    if status.code() == Some(INVALID_TOPOLOGY) && !complaint.is_empty() {
        return data(complaint.to_owned(), "correct the topology, or the arguments after `--`");
    }
    if !status.success() {
        let why = with_complaint(format!("it ended with {}", ending(*status)), complaint);
        return data(why, NO_TOPOLOGY);
    }
    let output = String::from_utf8_lossy(&outcome.output);
    let Some(line) = output.lines().rev().find(|line| line.trim_start().starts_with('{')) else {
        return data("it ended without a description".into(), NO_TOPOLOGY);
    };
    let unreadable = |error: serde_json::Error| {
        let why = format!("its description cannot be read: {error}");
        Failure::new(Code::NoDescription, what, why, NO_TOPOLOGY)
    };
    let mut line: Value = serde_json::from_str(line).map_err(unreadable)?;
    if line["squall"].is_null() {
        return data("it ended without a description".into(), NO_TOPOLOGY);
    }
    if line["squall"] != FORMAT {
        let format = &line["squall"];
        let why = format!("it describes itself in format {format}, this squall knows {FORMAT}");
        return data(why, "build it with the version of Squall that you submit it with");
    }
    serde_json::from_value(line["topology"].take()).map_err(unreadable)
}

/// Adds what the program wrote to standard error, if anything.
fn with_complaint(why: String, complaint: &str) -> String {
    if complaint.is_empty() { why } else { format!("{why}; it said:\n{complaint}") }
}

/// Says how a process ended.
fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    async fn run(program: &str, arguments: &[&str], time_max: Duration) -> Outcome {
        let mut command = Command::new(program);
        command.args(arguments).process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        watch(command.spawn().expect("it starts"), time_max).await.expect("it can be watched")
    }

    fn refused(outcome: &Outcome) -> Failure {
        let failure = interpret("cannot", outcome).expect_err("this is no description");
        assert_eq!(failure.exit, Exit::Data, "{failure:?}");
        failure
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_is_no_topology() {
        let failure = refused(&run("true", &[], TIME_MAX).await);
        assert!(failure.why.contains("without a description"), "{}", failure.why);
        assert!(failure.fix.contains("worker::main"), "{}", failure.fix);
    }

    #[tokio::test]
    async fn a_program_that_never_stops_writing_is_ended() {
        let failure = refused(&run("yes", &[], TIME_MAX).await);
        assert!(failure.why.contains("1 MiB"), "{}", failure.why);
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_ended_with_its_children() {
        let script = "sleep 1000 & echo $!; wait";
        let outcome = run("sh", &["-c", script], Duration::from_millis(300)).await;
        assert!(matches!(outcome.ending, Ending::TooSlow), "{outcome:?}");
        let child: i32 = String::from_utf8_lossy(&outcome.output).trim().parse().unwrap();
        for _ in 0..500 {
            // A killed orphan is somebody else's to wait for: gone, or a zombie until then.
            let state = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if state.is_empty() || state.contains(") Z") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the child {child} lives on");
    }

    #[tokio::test]
    async fn an_invalid_topology_is_refused_in_its_own_words() {
        let outcome = run("sh", &["-c", "echo 'two bolts called x' >&2; exit 65"], TIME_MAX);
        let failure = refused(&outcome.await);
        assert_eq!(failure.why, "two bolts called x");
    }

    #[tokio::test]
    async fn another_exit_code_is_shown_with_what_was_said() {
        let outcome = run("sh", &["-c", "echo no licence >&2; exit 3"], TIME_MAX).await;
        let failure = refused(&outcome);
        assert!(failure.why.contains("exit code 3"), "{}", failure.why);
        assert!(failure.why.contains("no licence"), "{}", failure.why);
    }

    #[tokio::test]
    async fn a_description_of_another_format_is_refused() {
        let outcome = run("echo", &["{\"squall\":2}"], TIME_MAX).await;
        let failure = refused(&outcome);
        assert!(failure.why.contains("format 2"), "{}", failure.why);
    }
}
