//! Every key of the coordination store, in one table.
//!
//! All keys of a cluster start with `/squall/v1/<cluster>/`, so several clusters can share a store.
//! Prefixes end with a slash: the prefix of topology `a` never covers topology `ab`. Characters
//! that would break a key apart are escaped, so any id makes a key that parses back to it.

use std::fmt::Display;

/// Makes the keys of one cluster, and reads them back.
///
/// | key | record |
/// |---|---|
/// | `leader` | `LeaderRecord`, leased |
/// | `nimbuses/<id>` | `NimbusRecord`: which nimbuses are up and hold what, leased |
/// | `recovery` | `RecoveryRecord`: how often people accepted that the store went back |
/// | `supervisors/<id>` | `SupervisorRecord`, leased |
/// | `topologies/<id>` | `TopologyRecord` |
/// | `names/<name>` | the id of the topology that has this name |
/// | `assignments/<topology>/<generation>/<worker>` | `AssignmentRecord` |
/// | `assigned/<topology>` | `AssignedRecord`: the generation in force |
/// | `workers/<topology>/<worker>` | `WorkerRecord`, on its supervisor's lease |
/// | `results/<topology>/<task>` | `ResultRecord` |
/// | `requests/<id>` | `RequestRecord`: the answer to a mutation |
///
/// ```
/// use coordination::{Key, Keys};
///
/// let keys = Keys::new("production").unwrap();
/// let key = keys.worker("word-count-1", 3);
/// assert_eq!(key, "/squall/v1/production/workers/word-count-1/3");
/// assert_eq!(
///     keys.parse(&key),
///     Some(Key::Worker { topology: "word-count-1".into(), worker: 3 })
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// What every key starts with, up to and with the last slash.
    root: String,
}

/// A key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// The nimbus that decides.
    Leader,
    /// How often people accepted that the store went back.
    Recovery,
    /// A nimbus that is up.
    Nimbus {
        /// Its id.
        id: String,
    },
    /// A supervisor that is up.
    Supervisor {
        /// Its id.
        id: String,
    },
    /// A topology.
    Topology {
        /// Its id.
        id: String,
    },
    /// The name of a topology.
    Name {
        /// The name.
        name: String,
    },
    /// What one worker runs in one generation.
    Assignment {
        /// The topology's id.
        topology: String,
        /// The generation.
        generation: u64,
        /// The worker's number.
        worker: u32,
    },
    /// Which generation of a topology is in force.
    Assigned {
        /// The topology's id.
        topology: String,
    },
    /// Where a worker listens.
    Worker {
        /// The topology's id.
        topology: String,
        /// The worker's number.
        worker: u32,
    },
    /// What a task of a finished topology left.
    Result {
        /// The topology's id.
        topology: String,
        /// The task's number.
        task: u32,
    },
    /// The answer to a mutation.
    Request {
        /// The client's request id.
        id: String,
    },
}

/// A name of a cluster that cannot be part of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cluster name {name:?} is not 1 to 128 letters, digits, '.', '_' or '-', starting with a \
     letter, a digit or '_'"
)]
pub struct InvalidName {
    /// The name that was refused.
    pub name: String,
}

impl Keys {
    /// Makes the keys of the cluster of this name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if the name has other than 1 to 128 of `A-Z a-z 0-9 . _ -` or starts with
    /// `.` or `-`.
    pub fn new(cluster: &str) -> Result<Self, InvalidName> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let valid = (1..=128).contains(&cluster.len())
            && cluster.chars().all(plain)
            && !cluster.starts_with(['.', '-']);
        if !valid {
            return Err(InvalidName { name: cluster.to_owned() });
        }
        Ok(Self { root: format!("/squall/v1/{cluster}/") })
    }

    /// Returns the prefix of all keys of the cluster.
    #[must_use]
    pub fn root(&self) -> String {
        self.root.clone()
    }

    /// Returns the key of the leader's record.
    #[must_use]
    pub fn leader(&self) -> String {
        format!("{}leader", self.root)
    }

    /// Returns the key that counts how often people accepted that the store went back.
    #[must_use]
    pub fn recovery(&self) -> String {
        format!("{}recovery", self.root)
    }

    /// Returns the prefix of all nimbuses.
    #[must_use]
    pub fn nimbuses(&self) -> String {
        self.folder("nimbuses")
    }

    /// Returns the key of a nimbus.
    #[must_use]
    pub fn nimbus(&self, id: &str) -> String {
        self.nimbuses() + &escape(id)
    }

    /// Returns the prefix of all supervisors.
    #[must_use]
    pub fn supervisors(&self) -> String {
        self.folder("supervisors")
    }

    /// Returns the key of a supervisor.
    #[must_use]
    pub fn supervisor(&self, id: &str) -> String {
        self.supervisors() + &escape(id)
    }

    /// Returns the prefix of all topologies.
    #[must_use]
    pub fn topologies(&self) -> String {
        self.folder("topologies")
    }

    /// Returns the key of a topology.
    #[must_use]
    pub fn topology(&self, id: &str) -> String {
        self.topologies() + &escape(id)
    }

    /// Returns the prefix of all names of topologies.
    #[must_use]
    pub fn names(&self) -> String {
        self.folder("names")
    }

    /// Returns the key that makes a topology's name unique.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        self.names() + &escape(name)
    }

    /// Returns the prefix of all assignments.
    #[must_use]
    pub fn assignments(&self) -> String {
        self.folder("assignments")
    }

    /// Returns the prefix of a topology's assignments, of every generation.
    #[must_use]
    pub fn assignments_of(&self, topology: &str) -> String {
        below(self.assignments(), topology)
    }

    /// Returns the prefix of one generation of a topology's assignments.
    #[must_use]
    pub fn generation(&self, topology: &str, generation: u64) -> String {
        below(self.assignments_of(topology), generation)
    }

    /// Returns the key of what one worker runs in one generation.
    #[must_use]
    pub fn assignment(&self, topology: &str, generation: u64, worker: u32) -> String {
        format!("{}{worker}", self.generation(topology, generation))
    }

    /// Returns the prefix of the generations in force.
    #[must_use]
    pub fn assigned_all(&self) -> String {
        self.folder("assigned")
    }

    /// Returns the key of a topology's generation in force.
    #[must_use]
    pub fn assigned(&self, topology: &str) -> String {
        self.assigned_all() + &escape(topology)
    }

    /// Returns the prefix of all workers.
    #[must_use]
    pub fn workers(&self) -> String {
        self.folder("workers")
    }

    /// Returns the prefix of a topology's workers.
    #[must_use]
    pub fn workers_of(&self, topology: &str) -> String {
        below(self.workers(), topology)
    }

    /// Returns the key of a worker.
    #[must_use]
    pub fn worker(&self, topology: &str, worker: u32) -> String {
        format!("{}{worker}", self.workers_of(topology))
    }

    /// Returns the prefix of what a topology's tasks left.
    #[must_use]
    pub fn results(&self, topology: &str) -> String {
        below(self.folder("results"), topology)
    }

    /// Returns the key of what a task left.
    #[must_use]
    pub fn result(&self, topology: &str, task: u32) -> String {
        format!("{}{task}", self.results(topology))
    }

    /// Returns the prefix of all answers to mutations.
    #[must_use]
    pub fn requests(&self) -> String {
        self.folder("requests")
    }

    /// Returns the key of the answer to a mutation.
    #[must_use]
    pub fn request(&self, id: &str) -> String {
        self.requests() + &escape(id)
    }

    /// Takes a key apart; `None` if it is not of this cluster or not one this version knows.
    #[must_use]
    pub fn parse(&self, key: &str) -> Option<Key> {
        let parts: Vec<&str> = key.strip_prefix(&self.root)?.split('/').collect();
        Some(match parts[..] {
            ["leader"] => Key::Leader,
            ["recovery"] => Key::Recovery,
            ["nimbuses", id] => Key::Nimbus { id: text(id)? },
            ["supervisors", id] => Key::Supervisor { id: text(id)? },
            ["topologies", id] => Key::Topology { id: text(id)? },
            ["names", name] => Key::Name { name: text(name)? },
            ["assignments", topology, generation, worker] => Key::Assignment {
                topology: text(topology)?,
                generation: number(generation)?,
                worker: number(worker)?.try_into().ok()?,
            },
            ["assigned", topology] => Key::Assigned { topology: text(topology)? },
            ["workers", topology, worker] => {
                Key::Worker { topology: text(topology)?, worker: number(worker)?.try_into().ok()? }
            }
            ["results", topology, task] => {
                Key::Result { topology: text(topology)?, task: number(task)?.try_into().ok()? }
            }
            ["requests", id] => Key::Request { id: text(id)? },
            _ => return None,
        })
    }

    /// Makes the prefix of one kind of key.
    fn folder(&self, kind: &str) -> String {
        format!("{}{kind}/", self.root)
    }
}

/// Makes the prefix of what lies below one member of a prefix.
fn below(prefix: String, member: impl Display) -> String {
    prefix + &escape(&member.to_string()) + "/"
}

/// Hides what would break a key apart. Names that passed their check stay as they are.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('/', "%2F")
}

/// Undoes [`escape`]; nothing has an empty name.
fn text(part: &str) -> Option<String> {
    (!part.is_empty()).then(|| part.replace("%2F", "/").replace("%25", "%"))
}

/// Reads a number that is written as we write numbers, so that no two keys mean the same.
fn number(part: &str) -> Option<u64> {
    part.parse().ok().filter(|number: &u64| number.to_string() == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new("test").unwrap()
    }

    #[test]
    fn every_key_parses_back_to_what_it_was_made_of() {
        let (keys, odd) = (keys(), "a/b%2F%/c".to_owned());
        let table = [
            (keys.leader(), Key::Leader),
            (keys.recovery(), Key::Recovery),
            (keys.nimbus(&odd), Key::Nimbus { id: odd.clone() }),
            (keys.supervisor(&odd), Key::Supervisor { id: odd.clone() }),
            (keys.topology(&odd), Key::Topology { id: odd.clone() }),
            (keys.name(&odd), Key::Name { name: odd.clone() }),
            (
                keys.assignment(&odd, u64::MAX, u32::MAX),
                Key::Assignment { topology: odd.clone(), generation: u64::MAX, worker: u32::MAX },
            ),
            (keys.assigned(&odd), Key::Assigned { topology: odd.clone() }),
            (keys.worker(&odd, 0), Key::Worker { topology: odd.clone(), worker: 0 }),
            (keys.result(&odd, 7), Key::Result { topology: odd.clone(), task: 7 }),
            (keys.request(&odd), Key::Request { id: odd }),
        ];
        for (key, parsed) in table {
            assert_eq!(keys.parse(&key), Some(parsed), "{key}");
        }
    }

    #[test]
    fn a_prefix_covers_its_own_members_only() {
        let keys = keys();
        assert!(keys.assignment("t", 1, 2).starts_with(&keys.generation("t", 1)));
        assert!(!keys.assignment("t", 10, 2).starts_with(&keys.generation("t", 1)));
        assert!(!keys.assignment("t2", 1, 2).starts_with(&keys.assignments_of("t")));
        assert!(!keys.worker("t2", 1).starts_with(&keys.workers_of("t")));
        assert!(!Keys::new("test2").unwrap().leader().starts_with(&keys.root()));
    }

    #[test]
    fn foreign_and_malformed_keys_do_not_parse() {
        let keys = keys();
        for key in [
            "/squall/v1/other/leader",
            "/squall/v1/test/leader/x",
            "/squall/v1/test/topologies/",
            "/squall/v1/test/workers/t/01",
            "/squall/v1/test/workers/t/+1",
            "/squall/v1/test/workers/t/4294967296",
            "/squall/v1/test/unheard/of",
            "",
        ] {
            assert_eq!(keys.parse(key), None, "{key}");
        }
    }

    #[test]
    fn a_cluster_name_that_would_break_keys_is_refused() {
        for name in ["", "a/b", ".hidden", "-flag", "white space", &"x".repeat(129)] {
            let refused = Keys::new(name).unwrap_err();
            assert!(refused.to_string().contains(&format!("{name:?}")), "{refused}");
        }
        assert!(Keys::new("_Squall-1.prod").is_ok());
    }
}
