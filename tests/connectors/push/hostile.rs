//! What nobody should have to take: a disk that is full under a buffer, and records of a gibibyte.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::process::Command;

use tests::{Disk, Process, program, until};

use super::{Piped, curl, free, output, seen, to_tcp, until_open};

/// Most memory that the process may ever have taken, in bytes: a debug build, with all its threads.
const MEMORY_MAX: u64 = 200 << 20;

/// Has bash write a gibibyte of one letter.
const GIBIBYTE: &str = "head -c 1073741824 /dev/zero | tr '\\0' x";

/// Posts records of a kilobyte, 40 together, until they are refused; gives those that were accepted,
/// and the answer to those that were not.
fn fill(address: &str, round: &str) -> (BTreeSet<String>, String) {
    let mut accepted = BTreeSet::new();
    for post in 0..1_000 {
        let records = (0..40).map(|n| format!("{round}-{post}-{n:x>1000}"));
        let records: Vec<String> = records.collect();
        match curl(address, "text/plain", &records.join("\n"), &[]) {
            (202, _) => accepted.extend(records),
            (503, answer) => return (accepted, answer),
            other => panic!("neither stored nor refused: {other:?}"),
        }
    }
    panic!("a disk of 2 MiB took 40 MB");
}

fn until_accepted(address: &str, record: &str) {
    until(&format!("{record} is accepted"), || curl(address, "text/plain", record, &[]).0 == 202);
}

#[test]
fn a_full_disk_under_a_buffer_refuses_posts_loses_nothing_and_goes_on_when_there_is_room() {
    let told = Disk::story(|mut disk| {
        let (address, folder) = (free(), tempfile::tempdir().unwrap());
        let buffer = folder.path().join("buffer");
        fs::create_dir(&buffer).unwrap();
        disk.mount(&buffer, folder.path(), 2);
        let run = |more: &[&str]| {
            let mut command = Command::new(program("piped"));
            command.args(["push", "--source=http", &format!("--listen={address}")]);
            command.arg(format!("--out={}", folder.path().display())).args(more);
            command.arg(format!("--buffer={}", buffer.display()));
            let process = Process::start(command, &folder.path().join("log"));
            until_open(&address);
            process
        };
        let mut piped = run(&["--hold"]);
        let (mut accepted, answer) = fill(&address, "first");
        assert!(!accepted.is_empty(), "there was room in the beginning");
        assert!(answer.contains("no space left") && answer.contains("retry-after"), "{answer}");
        until("its task says so too", || piped.log().contains("the buffer cannot be written"));
        // Killed while it is full: it starts all the same, and finds all that it has accepted.
        piped.kill();
        let mut piped = run(&["--hold"]);
        accepted.extend(fill(&address, "second").0);
        assert!(seen(&folder.path().join("seen")).is_empty(), "nothing was processed yet");
        fs::write(folder.path().join("go"), "").unwrap();
        // Nobody helps: it makes room by what it is done with.
        until_accepted(&address, "third");
        disk.fill();
        let (more, answer) = fill(&address, "fourth");
        assert!(answer.contains("no space left"), "{answer}");
        accepted.extend(more);
        disk.make_room();
        until_accepted(&address, "fifth");
        accepted.extend(["third", "fifth"].map(str::to_owned));
        until("all that was accepted is processed", || {
            let seen: BTreeSet<String> = seen(&folder.path().join("seen")).into_iter().collect();
            accepted.is_subset(&seen)
        });
        piped.terminate();
    });
    if let Err(why) = told {
        crate::files::note(&format!("SKIPPED: this test needs mounts of its own, so root: {why}"));
    }
}

/// The most memory that a process ever had, in bytes.
fn peak_bytes(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[test]
fn a_line_of_a_gibibyte_is_cut_holds_up_nobody_else_and_takes_no_memory() {
    for (source, before, behind, most) in [
        ("lines", "", "\\nnext\\n", 1_000),
        ("syslog", "<14>", "\\n<14>next\\n", 65_536),
        // Of as many octets as a count may say.
        ("syslog", "999999999 ", "\\n<14>next\\n", 65_536),
    ] {
        let address = free();
        let piped = Piped::start(&[&format!("--source={source}"), &format!("--listen={address}")]);
        until_open(&address);
        let (host, port) = address.rsplit_once(':').unwrap();
        let script = format!(
            "{{ printf '{before}'; {GIBIBYTE}; printf '{behind}'; }} > /dev/tcp/{host}/{port}"
        );
        std::thread::scope(|scope| {
            let long = scope.spawn(|| output("bash", &["-c", &script], "").0);
            assert!(output("bash", &["-c", &to_tcp(&address)], "<14>other\n").0);
            until("another sender is heard", || {
                piped.seen("seen").iter().any(|line| line.ends_with("other"))
            });
            assert!(long.join().unwrap(), "it is taken to its end");
        });
        until("what follows is whole", || {
            piped.seen("seen").iter().any(|line| line.ends_with("next"))
        });
        let seen = piped.seen("seen");
        // Said again by the topology, with what kind of message it is in front.
        let first = seen.iter().find(|line| line.len() > 900).unwrap();
        let letters = first.matches('x').count();
        assert!((most - 10..=most).contains(&letters), "{source} {before}: {letters} letters");
        let peak = peak_bytes(&piped.process);
        assert!(peak < MEMORY_MAX, "{source} {before}: {peak} bytes");
    }
}

#[test]
fn a_post_of_a_gibibyte_is_refused_holds_up_nobody_else_and_takes_no_memory() {
    let address = free();
    let piped = Piped::start(&["--source=http", &format!("--listen={address}")]);
    until_open(&address);
    let hole = piped.folder.path().join("hole");
    File::create(&hole).unwrap().set_len(1 << 30).unwrap();
    let post = format!("curl -s -X POST -H 'content-type: text/plain' http://{address}/records");
    for script in [
        // It says how long it is.
        format!("{post} -T {}", hole.display()),
        // It does not, and is cut short while it comes.
        format!("{GIBIBYTE} | {post} -T -"),
        // The sender does not wait to hear whether it may.
        format!("{GIBIBYTE} | {post} -H expect: -T -"),
    ] {
        let (_, answer) = output("bash", &["-c", &script], "");
        assert!(answer.contains("65536 bytes: send less at a time"), "{script}: {answer:?}");
        assert_eq!(curl(&address, "text/plain", "small", &[]).0, 202, "others go on");
    }
    assert_eq!(piped.seen("seen"), ["small"; 3], "nothing of the large ones was taken");
    let peak = peak_bytes(&piped.process);
    assert!(peak < MEMORY_MAX, "{peak} bytes");
}
