//! Tuples that fail too often become letters on disk: they outlive everybody who has to do with them,
//! and go when somebody drops them or their replay has been processed.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::{Cluster, get, signal, until};

use crate::path;

/// The topology of poisoned numbers, submitted.
struct Poison<'a> {
    cluster: &'a Cluster,
    folder: PathBuf,
}

impl<'a> Poison<'a> {
    fn submit(cluster: &'a Cluster, flags: &[&str], arguments: &[&str]) -> Self {
        let folder = cluster.scratch("poison");
        let (binary, argument) = (path("trouble"), format!("--folder={}", folder.display()));
        let submit = ["submit", &binary, "--name", "poison", "--workers", "1", "--wait"];
        let arguments = [&["--", "--trouble=poison", &argument][..], arguments].concat();
        cluster.does(&[&submit[..], flags, &arguments].concat());
        Self { cluster, folder }
    }

    fn heal(&self) {
        fs::write(self.folder.join("healed"), "")
            .expect("the folder of the test can be written to");
    }

    fn sicken(&self) {
        fs::remove_file(self.folder.join("healed")).expect("it was healed");
    }

    /// What a counter of a component says.
    fn counted(&self, component: &str, counter: &str) -> u64 {
        let status = self.cluster.status("poison");
        let mut components = status["components"].as_array().into_iter().flatten();
        let found = components.find(|it| it["name"] == component);
        found.and_then(|it| it["counters"][counter].as_u64()).unwrap_or(0)
    }

    /// How many letters the status shows.
    fn kept(&self) -> Option<u64> {
        self.cluster.status("poison")["dead_letters"]["kept"].as_u64()
    }

    fn list(&self) -> Value {
        self.cluster.squall(&["-o", "json", "dead-letters", "poison", "list"]).json()
    }

    fn letters(&self) -> Vec<Value> {
        self.list()["letters"].as_array().cloned().unwrap_or_default()
    }

    /// The id of the letter with this number in its tuple.
    fn id_of(&self, n: u64) -> String {
        let letters = self.letters();
        let letter = letters.iter().find(|letter| letter["tuple"]["n"] == n);
        let id = letter.and_then(|letter| letter["id"].as_str());
        id.unwrap_or_else(|| panic!("a letter of {n}: {letters:?}")).to_owned()
    }

    fn numbers(&self) -> Vec<u64> {
        self.letters().iter().filter_map(|letter| letter["tuple"]["n"].as_u64()).collect()
    }
}

#[test]
fn what_fails_too_often_is_kept_over_deaths_and_goes_when_it_is_replayed_or_dropped() {
    let mut cluster = Cluster::start(1, 2);
    let folder = {
        let poison = Poison::submit(&cluster, &[], &[]);
        until("two letters are kept, and the source may forget all", || {
            poison.kept() == Some(2) && poison.counted("numbers", "let-go") == 20
        });
        assert_eq!(poison.numbers(), [3, 13]);
        poison.folder
    };
    let metrics = get(cluster.addresses()[1], "/metrics").expect("the status is served").1;
    let metric = r#"squall_dead_letters{topology="poison",component="numbers"} 2"#;
    assert!(metrics.contains(metric), "{metrics}");
    assert!(cluster.does(&["describe", "poison"]).contains("2 dead letters kept"));

    cluster.kill_supervisor(0);
    cluster.restart_supervisor(0);
    let poison = Poison { cluster: &cluster, folder };
    until("the letters are listed after the death of their supervisor", || {
        poison.numbers() == [3, 13]
    });
    let (pid, epoch) = cluster.workers("poison").remove(0);
    signal(pid, Signal::SIGKILL);
    until("another worker runs", || {
        let workers = cluster.workers("poison");
        let running = cluster.status("poison")["workers"][0]["state"] == "running";
        running && workers[0].0 != 0 && workers[0].1 != epoch
    });
    assert_eq!(poison.numbers(), [3, 13], "letters do not depend on a worker");

    let (third, thirteenth) = (poison.id_of(3), poison.id_of(13));
    let shown = cluster.does(&["dead-letters", "poison", "show", &third]);
    for part in [&third, "numbers", "error", "cannot take 3", "attempts      3", "\"n\":3"] {
        assert!(shown.contains(part), "`{part}` is missing:\n{shown}");
    }
    replay_and_drop(&poison, &third, &thirteenth);

    cluster.does(&["kill", "poison", "--wait"]);
    let letters = cluster.supervisor_folder(0).join("letters");
    until("nothing is left of a topology that is gone", || {
        fs::read_dir(&letters).is_ok_and(|mut files| files.next().is_none())
    });
}

/// Replays one letter that is healed and one that is not, and drops that.
fn replay_and_drop(poison: &Poison<'_>, healed: &str, sick: &str) {
    let cluster = poison.cluster;
    poison.heal();
    cluster.does(&["dead-letters", "poison", "replay", healed]);
    until("a letter goes when its tuple has been processed", || poison.numbers() == [13]);
    until("it was processed", || poison.counted("picky", "healed") == 1);

    poison.sicken();
    cluster.does(&["dead-letters", "poison", "replay", "--all"]);
    until("a letter that fails too often again stays, with renewed counters", || {
        let letter = poison.letters().remove(0);
        letter["attempts"] == 6
            && letter["replaying"] == false
            && letter["error"] == "cannot take 13"
    });

    let wrong = cluster.squall(&["dead-letters", "poison", "drop", healed]);
    assert!(wrong.code == 66 && wrong.stderr.contains(healed), "it is gone: {wrong:?}");
    let misspelt = cluster.squall(&["dead-letters", "poisn", "list"]);
    assert!(misspelt.stderr.contains("did you mean `poison`?"), "{misspelt:?}");
    cluster.does(&["dead-letters", "poison", "drop", sick]);
    assert!(poison.letters().is_empty(), "dropped");
    until("the status shows none", || poison.kept() == Some(0));
    assert_eq!(poison.counted("picky", "healed"), 1, "what was replayed was processed once");
}

#[test]
fn letters_of_a_machine_that_was_away_are_replayed_by_spouts_that_run_elsewhere() {
    let mut cluster = Cluster::start(2, 1);
    let folder = {
        let poison = Poison::submit(&cluster, &[], &[]);
        until("two letters are kept", || poison.kept() == Some(2));
        poison.folder
    };
    let keeps = cluster.status("poison")["workers"][0]["supervisor"].clone();
    let keeps = keeps.as_str().expect("a worker has a supervisor").to_owned();
    let id = |number| fs::read_to_string(cluster.supervisor_folder(number).join("id"));
    let number = (0..2).find(|number| id(*number).is_ok_and(|id| id == keeps)).expect("its folder");
    cluster.kill_host(number);
    let poison = Poison { cluster: &cluster, folder: folder.clone() };
    until("who keeps letters and does not answer is named", || {
        !poison.list()["away"][&keeps].is_null()
    });
    let refused = cluster.squall(&["dead-letters", "poison", "replay", "--all"]);
    assert!(refused.code == 75 && refused.stderr.contains(&keeps), "{refused:?}");
    until("the spout runs on the other machine", || {
        let worker = cluster.status("poison")["workers"][0].clone();
        worker["state"] == "running" && worker["supervisor"] != keeps.as_str()
    });
    cluster.restart_supervisor(number);
    let poison = Poison { cluster: &cluster, folder };
    until("the letters are back with their machine", || poison.numbers() == [3, 13]);
    poison.heal();
    until("both were processed over there", || {
        // The other machine's worker may not have dialled yet: then they stay, and are asked for again.
        cluster.does(&["dead-letters", "poison", "replay", "--all"]);
        poison.letters().is_empty()
    });
    until("each was counted", || poison.counted("picky", "healed") == 2);
}

#[test]
fn where_there_is_no_room_for_letters_they_wait_and_none_is_lost() {
    let cluster = Cluster::start(1, 1);
    let flags = ["-c", "dead_letters.max_bytes=64KiB"];
    let poison = Poison::submit(&cluster, &flags, &["--count=60", "--ballast=20000"]);
    until("it is shown that there is no room", || {
        let refused = &cluster.status("poison")["dead_letters"]["refused"];
        refused.as_u64() > Some(0) && poison.counted("numbers", "letters-refused") > 0
    });
    assert!(poison.counted("numbers", "let-go") < 60, "the source has to wait for its ack");
    let mut seen = BTreeSet::new();
    until("each letter comes when others make room", || {
        let letters = poison.letters();
        for letter in &letters {
            let text = letter["tuple"].to_string();
            let n = text.split_once("\"n").and_then(|(_, rest)| {
                let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
                digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok()
            });
            seen.extend(n);
        }
        let ids: Vec<&str> = letters.iter().filter_map(|letter| letter["id"].as_str()).collect();
        if !ids.is_empty() {
            cluster.does(&[&["dead-letters", "poison", "drop"], &ids[..]].concat());
        }
        seen.len() == 6
    });
    assert_eq!(seen, [3, 13, 23, 33, 43, 53].into());
    until("the source may forget all", || poison.counted("numbers", "let-go") == 60);
}
