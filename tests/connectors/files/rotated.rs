//! Logs that are rotated while a worker is killed: every line arrives, and after a restart only new ones.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Cluster, Signal, signal, until};

use super::{arguments, piped, shell};

/// Lines that are written between two rotations.
const LINES: u32 = 4_000;

/// A server that writes numbered lines, and rotates its log.
struct Server {
    log: PathBuf,
    number: u32,
    rotations: u32,
}

impl Server {
    fn new(folder: &Path, name: &str, number: u32) -> Self {
        Self { log: folder.join(name), number, rotations: 0 }
    }

    fn write(&mut self) {
        let mut log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let lines: String = (self.number..self.number + LINES)
            .map(|number| {
                format!("{number} GET /index.html HTTP/1.1 200 of a server that writes\n")
            })
            .collect();
        self.number += LINES;
        log.write_all(lines.as_bytes()).unwrap();
    }

    fn rotated(&mut self) -> PathBuf {
        self.rotations += 1;
        let mut name = self.log.clone().into_os_string();
        name.push(format!(".{}", self.rotations));
        name.into()
    }

    fn rename(&mut self) {
        let to = self.rotated();
        fs::rename(&self.log, to).unwrap();
    }

    fn copy_and_empty(&mut self) {
        let to = self.rotated();
        fs::copy(&self.log, to).unwrap();
        File::create(&self.log).unwrap();
    }
}

/// How many different numbers stand in the files that are written, hidden ones too; by coreutils.
fn arrived(out: &Path) -> u32 {
    let count =
        "find . -name '*part-*' -print0 | xargs -0 -r cat | cut -d' ' -f1 | sort -un | wc -l";
    shell(count, out).parse().unwrap()
}

/// How many lines stand there.
fn all(out: &Path) -> u32 {
    shell("find . -name '*part-*' -print0 | xargs -0 -r cat | wc -l", out).parse().unwrap()
}

/// Up to where the plain files were processed, and how long they are.
fn processed(folder: &Path) -> (u64, u64) {
    let mut offsets = std::collections::BTreeMap::new();
    for entry in fs::read_dir(folder.join("state")).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        for file in state["files"].as_array().into_iter().flatten() {
            let inode = file["place"]["inode"].as_u64();
            let offset = file["offset"].as_u64().unwrap_or(0);
            let known = offsets.entry((inode, file["print"]["hash"].as_u64())).or_insert(offset);
            *known = offset.max(*known);
        }
    }
    let logs = fs::read_dir(folder.join("in")).unwrap().flatten();
    let plain = logs.filter(|it| it.path().extension().is_none_or(|ending| ending != "gz"));
    let length = plain.map(|it| it.metadata().unwrap().len()).sum();
    (offsets.values().sum(), length)
}

fn submit(cluster: &Cluster, folder: &Path) {
    let binary = piped();
    let arguments = arguments(folder);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let submit = ["submit", &binary, "--name", "files", "--workers", "2", "--wait", "--"];
    cluster.does(&[&submit[..], &arguments].concat());
}

#[test]
fn every_line_arrives_while_logs_are_rotated_and_a_worker_is_killed_and_then_only_new_ones() {
    let cluster = Cluster::start(1, 2);
    let folder = cluster.scratch("files");
    let (logs, out) = (folder.join("in"), folder.join("out"));
    fs::create_dir(&logs).unwrap();
    fs::create_dir(&out).unwrap();
    let mut servers = [
        Server::new(&logs, "a.log", 0),
        Server::new(&logs, "b.log", 1_000_000),
        Server::new(&logs, "c.log", 2_000_000),
    ];
    submit(&cluster, &folder);
    let mut written = 0;
    for round in 0..6 {
        for server in &mut servers {
            server.write();
            written += LINES;
        }
        until("lines flow", || arrived(&out) >= written / 2);
        if round == 2 {
            until("every line arrived", || arrived(&out) == written);
            assert_eq!(all(&out), written, "rotations alone double nothing");
        }
        if round == 2 || round == 4 {
            let workers = cluster.workers("files");
            let (pid, _) = workers[round / 4];
            assert!(signal(pid, Signal::SIGKILL), "a worker runs");
        }
        servers[0].rename();
        servers[1].copy_and_empty();
        if round > 0 {
            // As logrotate does one rotation later; the file is gone when it is compressed.
            shell(&format!("gzip a.log.{round}"), &logs);
        }
    }
    until("every line arrived", || arrived(&out) == written);
    let twice = all(&out) - written;
    super::note(&format!("{written} lines, and {twice} again after two kills"));

    // What is left of plain files was processed, and that is written down.
    until("positions are written", || {
        let (processed, length) = processed(&folder);
        processed >= length
    });
    cluster.does(&["kill", "files", "--wait", "--yes"]);
    let out_before = folder.join("before");
    fs::rename(&out, &out_before).unwrap();
    assert_eq!(shell("find . -name '.*.part' | wc -l", &out_before), "0", "all files are complete");
    fs::create_dir(&out).unwrap();
    servers.iter_mut().for_each(Server::write);
    submit(&cluster, &folder);
    until("new lines arrive", || arrived(&out) == 3 * LINES);
    cluster.does(&["kill", "files", "--wait", "--yes"]);
    let lines = shell("cat part-* | wc -l", &out);
    assert_eq!(lines, (3 * LINES).to_string(), "nothing was read again");
}
