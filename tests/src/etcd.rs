//! A private etcd: the real server, in a temporary folder, tuned to start fast.

mod trouble;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Process, post, until};

/// A private etcd of one or several members, killed when it goes out of scope.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Member>,
    /// More flags of each member.
    flags: Vec<String>,
    folder: TempDir,
}

/// A member: a server of its own.
#[derive(Debug)]
struct Member {
    process: Process,
    /// Where clients and other members reach it.
    addresses: [String; 2],
}

impl Etcd {
    /// Starts one member and waits until it answers.
    ///
    /// # Panics
    ///
    /// If there is no etcd for this platform, or it does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_members(1)
    }

    /// Starts this many members and waits until each answers.
    ///
    /// # Panics
    ///
    /// As [`Etcd::start`].
    #[must_use]
    pub fn start_members(count: usize) -> Self {
        Self::start_with(count, &[])
    }

    /// Starts this many members with more flags, and waits until each answers.
    ///
    /// # Panics
    ///
    /// As [`Etcd::start`].
    #[must_use]
    pub fn start_with(count: usize, flags: &[&str]) -> Self {
        let flags: Vec<String> = flags.iter().map(|it| (*it).to_owned()).collect();
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let addresses = free_addresses(count);
        let start = |number: usize| Member {
            process: launch(&addresses, number, folder.path(), &flags),
            addresses: addresses[number].clone(),
        };
        let members = (0..count).map(start).collect();
        let etcd = Self { members, flags, folder };
        for number in 0..count {
            until("every member of etcd answers", || etcd.range_of(number, "/").is_some());
        }
        etcd
    }

    /// Kills every member as a power cut would.
    pub fn kill(&mut self) {
        self.members.iter_mut().for_each(|member| member.process.kill());
    }

    /// Starts every member again, with what it held, at its old address.
    pub fn restart(&mut self) {
        for number in 0..self.members.len() {
            self.launch_again(number);
        }
        until("etcd answers again", || self.range("/").is_some());
    }

    /// Kills one member.
    pub fn kill_member(&mut self, number: usize) {
        self.members[number].process.kill();
    }

    /// Starts one member again, and waits until it answers.
    pub fn restart_member(&mut self, number: usize) {
        self.launch_again(number);
        until("the member answers again", || self.range_of(number, "/").is_some());
    }

    /// The member that leads.
    ///
    /// # Panics
    ///
    /// If none leads for long.
    #[must_use]
    pub fn leader(&self) -> usize {
        let leads = |number: &usize| {
            let status = self.ask(*number, "/v3/maintenance/status", "{}");
            status.is_some_and(|it| {
                it["leader"].is_string() && it["leader"] == it["header"]["member_id"]
            })
        };
        let mut leader = None;
        until("a member of etcd leads", || {
            leader = (0..self.members.len()).find(leads);
            leader.is_some()
        });
        leader.expect("just found")
    }

    fn launch_again(&mut self, number: usize) {
        let addresses: Vec<_> = self.members.iter().map(|it| it.addresses.clone()).collect();
        let process = launch(&addresses, number, self.folder.path(), &self.flags);
        self.members[number].process = process;
    }

    /// Where it is, as `--etcd` wants it.
    #[must_use]
    pub fn url(&self) -> String {
        let urls = self.members.iter().map(|member| format!("http://{}", member.addresses[0]));
        urls.collect::<Vec<_>>().join(",")
    }

    /// All keys that start with `prefix`.
    ///
    /// # Panics
    ///
    /// If etcd does not answer.
    #[must_use]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        self.range(prefix).expect("etcd answers")
    }

    fn range(&self, prefix: &str) -> Option<Vec<String>> {
        (0..self.members.len()).find_map(|number| self.range_of(number, prefix))
    }

    /// What one member says there is.
    fn range_of(&self, number: usize, prefix: &str) -> Option<Vec<String>> {
        let mut end = prefix.as_bytes().to_owned();
        *end.last_mut()? += 1;
        let request = json!({
            "key": encoded(prefix.as_bytes()), "range_end": encoded(&end), "keys_only": true
        });
        let answer = self.ask(number, "/v3/kv/range", &request.to_string())?;
        let entries = answer["kvs"].as_array().cloned().unwrap_or_default();
        let key = |entry: &Value| decoded(entry["key"].as_str().unwrap_or_default());
        Some(entries.iter().map(key).collect())
    }

    /// Asks a member through etcd's JSON gateway, which writes bytes in base 64.
    fn ask(&self, number: usize, path: &str, request: &str) -> Option<Value> {
        let (status, body) = post(&self.members[number].addresses[0], path, request).ok()?;
        serde_json::from_str(&body).ok().filter(|_| status == 200)
    }
}

/// Starts a member of all these on a folder of its own. One that is alone elects itself fast.
fn launch(members: &[[String; 2]], number: usize, folder: &Path, flags: &[String]) -> Process {
    let binary = etcd_bin_vendored::etcd_bin_path().expect("there is an etcd for this system");
    let [client_url, peer_url] = [0, 1].map(|at| format!("http://{}", members[number][at]));
    let name = |number: usize| format!("member-{number}");
    let peers = members.iter().enumerate();
    let peers = peers.map(|(number, [_, peer])| format!("{}=http://{peer}", name(number)));
    let [heartbeat, election] = if members.len() == 1 { ["10", "100"] } else { ["50", "500"] };
    let mut command = Command::new(binary);
    command
        .arg("--data-dir")
        .arg(folder.join(name(number)))
        .args(["--name", &name(number), "--unsafe-no-fsync"])
        .args(["--heartbeat-interval", heartbeat, "--election-timeout", election])
        .args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url])
        .args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url])
        .args(["--initial-cluster", &peers.collect::<Vec<_>>().join(",")])
        .args(flags);
    Process::start(command, &folder.join(format!("{}.log", name(number))))
}

/// Two addresses for each of so many that nobody listens on; all are held until all are known, so
/// that they differ.
fn free_addresses(count: usize) -> Vec<[String; 2]> {
    let held = || TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let held: Vec<_> = (0..count).map(|_| [held(), held()]).collect();
    let address = |it: TcpListener| it.local_addr().expect("it is bound").to_string();
    held.into_iter().map(|pair| pair.map(address)).collect()
}

/// Two ports that nobody listens on; both are held until both are known, so that they differ.
pub(crate) fn free_ports() -> [u16; 2] {
    let held = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("there is a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes bytes in base 64.
fn encoded(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let place = group >> (18 - 6 * digit) & 63;
            let sign = if digit > chunk.len() { b'=' } else { DIGITS[place as usize] };
            text.push(char::from(sign));
        }
    }
    text
}

/// Reads text in base 64.
fn decoded(text: &str) -> String {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    let digits = text.bytes().filter_map(|sign| DIGITS.iter().position(|digit| *digit == sign));
    for digit in digits {
        bits = bits << 6 | u32::try_from(digit).expect("there are 64 digits");
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("masked to a byte"));
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_reads_back() {
        for text in ["", "a", "ab", "abc", "/squall/v1/default/"] {
            assert_eq!(decoded(&encoded(text.as_bytes())), text);
        }
        assert_eq!(encoded(b"ab"), "YWI=");
    }

    #[test]
    fn a_private_etcd_starts_and_is_empty() {
        assert!(Etcd::start().keys("/").is_empty(), "nobody wrote anything");
    }

    #[test]
    fn of_three_members_another_leads_when_the_leader_is_killed() {
        let mut etcd = Etcd::start_members(3);
        let first = etcd.leader();
        etcd.kill_member(first);
        assert_ne!(etcd.leader(), first);
        etcd.restart_member(first);
    }
}
