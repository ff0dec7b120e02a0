//! What can befall an etcd: members that stand still, data that is gone or from before, a history that
//! is forgotten, a quota that is used up.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{Etcd, encoded};
use crate::{signal, until};

/// How large a value is that only takes room.
const EACH: usize = 64 << 10;

impl Etcd {
    /// How many members it has.
    #[must_use]
    pub fn members(&self) -> usize {
        self.members.len()
    }

    /// Stops one member where it stands: it keeps its connections and says nothing.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn freeze(&self, number: usize) {
        assert!(signal(self.members[number].process.id(), Signal::SIGSTOP), "the member runs");
    }

    /// Lets a member that was stopped go on.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn thaw(&self, number: usize) {
        assert!(signal(self.members[number].process.id(), Signal::SIGCONT), "the member runs");
    }

    /// Kills every member and removes all that it held, then starts it again.
    ///
    /// # Panics
    ///
    /// If its folders cannot be removed.
    pub fn wipe(&mut self) {
        self.kill();
        for number in 0..self.members.len() {
            fs::remove_dir_all(self.data(number)).expect("the data of a member can be removed");
        }
        self.restart();
    }

    /// Copies what it holds into a folder, as a backup would; it is away for that moment.
    ///
    /// # Panics
    ///
    /// If its data cannot be copied.
    pub fn back_up(&mut self, backup: &Path) {
        self.kill();
        for number in 0..self.members.len() {
            copy(&self.data(number), &backup.join(number.to_string()));
        }
        self.restart();
    }

    /// Gives it what it held when it was backed up, in place of what it has.
    ///
    /// # Panics
    ///
    /// If its data cannot be replaced.
    pub fn restore(&mut self, backup: &Path) {
        self.kill();
        for number in 0..self.members.len() {
            fs::remove_dir_all(self.data(number)).expect("the data of a member can be removed");
            copy(&backup.join(number.to_string()), &self.data(number));
        }
        self.restart();
    }

    fn data(&self, number: usize) -> PathBuf {
        self.folder.path().join(format!("member-{number}"))
    }

    /// Forgets all of its history up to now.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn compact(&self) {
        let revision = self.revision();
        let request = json!({ "revision": revision, "physical": true }).to_string();
        let answer = self.asked("/v3/kv/compaction", &request);
        assert!(answer.is_some(), "etcd forgets its history");
    }

    /// The newest revision.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    #[must_use]
    pub fn revision(&self) -> u64 {
        let request = json!({ "key": encoded(b"/"), "keys_only": true }).to_string();
        let answer = self.asked("/v3/kv/range", &request).expect("etcd answers");
        let revision = answer["header"]["revision"].as_str().and_then(|it| it.parse().ok());
        revision.expect("every answer says the revision")
    }

    /// Writes a key, as somebody could who is none of Squall's daemons; tells whether it was taken.
    #[must_use]
    pub fn put(&self, key: &str, value: &[u8]) -> bool {
        let request = json!({ "key": encoded(key.as_bytes()), "value": encoded(value) });
        self.asked("/v3/kv/put", &request.to_string()).is_some()
    }

    /// Writes until its quota is used up and it takes no more: it must have been started with a
    /// small one.
    pub fn fill(&self) {
        let value = vec![b'x'; EACH];
        let mut number = 0;
        until("etcd is out of space", || {
            number += 1;
            !self.put(&format!("/filler/{}", number % 16), &value)
        });
    }

    /// Makes room again and takes the alarm back, as an operator would.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn make_room(&self) {
        let [from, to] = ["/filler/", "/filler0"].map(|key| encoded(key.as_bytes()));
        let delete = json!({ "key": from, "range_end": to }).to_string();
        assert!(self.asked("/v3/kv/deleterange", &delete).is_some(), "what fills it goes");
        self.compact();
        for number in 0..self.members.len() {
            let answer = self.ask(number, "/v3/maintenance/defragment", "{}");
            assert!(answer.is_some(), "a member takes the room back");
        }
        let alarms = self.asked("/v3/maintenance/alarm", "{}").expect("etcd answers");
        for alarm in alarms["alarms"].as_array().into_iter().flatten() {
            let disarm = json!({
                "action": "DEACTIVATE", "alarm": "NOSPACE", "memberID": alarm["memberID"]
            });
            let answer = self.asked("/v3/maintenance/alarm", &disarm.to_string());
            assert!(answer.is_some(), "the alarm is taken back");
        }
    }

    /// Asks whichever member answers.
    fn asked(&self, path: &str, request: &str) -> Option<Value> {
        (0..self.members.len()).find_map(|number| self.ask(number, path, request))
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("a file can be copied");
        }
    }
}
