//! What is wrong with the cluster: its store, its machines, their versions.

use super::{Finding, Severity, ranked};

/// A supervisor, as far as findings need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// `alive`, `silent`, `away` or `lost`.
    pub status: String,
    /// How long it has been silent, in ms.
    pub silence_ms: u64,
    /// It comes and goes, and gets nothing new for a while.
    pub held_back: bool,
    /// Its version.
    pub version: String,
    /// How many workers are assigned to it.
    pub workers: usize,
    /// Why changed TLS files are not in use there; empty if they are.
    pub tls_problem: String,
}

/// A cluster, as far as findings need it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machines {
    /// The version of the nimbus that leads.
    pub version: String,
    /// Why nothing can be written to the store; nothing if it can.
    pub store_problem: Option<String>,
    /// The supervisors.
    pub supervisors: Vec<Machine>,
    /// The other nimbuses: id and version.
    pub nimbuses: Vec<(String, String)>,
    /// Who was turned away of late, why, and how often.
    pub turned_away: Vec<(String, String, u64)>,
}

/// Finds what is wrong with a cluster; nothing, if all is well.
///
/// ```
/// use nimbus::engine::findings::machines::{Machines, of_cluster};
///
/// assert!(of_cluster(&Machines::default()).is_empty());
/// let store_problem = Some("no answer".to_owned());
/// let findings = of_cluster(&Machines { store_problem, ..Machines::default() });
/// assert_eq!(findings[0].code, "store");
/// ```
#[must_use]
pub fn of_cluster(machines: &Machines) -> Vec<Finding> {
    let store = machines.store_problem.iter().map(|problem| {
        let text = format!("the coordination store cannot be used: {problem}");
        Finding::new("store", Severity::Critical, text)
            .next("look at etcd (docs/operating.md, etcd); what runs goes on")
    });
    let supervisors = machines.supervisors.iter().filter_map(supervisor);
    let all = store.chain(supervisors).chain(tls(machines)).chain(versions(machines));
    ranked(all.chain(turned_away(machines)).collect())
}

fn supervisor(machine: &Machine) -> Option<Finding> {
    let (id, seconds) = (&machine.id, machine.silence_ms / 1_000);
    let workers = machine.workers;
    let (code, severity, text, next) = match machine.status.as_str() {
        "lost" => (
            "supervisor-lost",
            if workers > 0 { Severity::Critical } else { Severity::Warning },
            format!(
                "supervisor {id} is lost: nothing was heard of it or its workers for {seconds} s"
            ),
            format!("see whether the machine is up, and start its supervisor again: {id}"),
        ),
        "away" => (
            "supervisor-away",
            Severity::Warning,
            format!(
                "supervisor {id} is away for {seconds} s, its {workers} workers go on by themselves"
            ),
            format!("start it again within 30 s, or its workers start elsewhere: {id}"),
        ),
        "silent" => (
            "supervisor-silent",
            Severity::Warning,
            format!("supervisor {id} has said nothing for {seconds} s"),
            "wait: it is lost or heard of within seconds".to_owned(),
        ),
        _ if machine.held_back => (
            "supervisor-flapping",
            Severity::Warning,
            format!("supervisor {id} comes and goes: nothing new is placed there for a while"),
            format!("look at its log, its network and its load: {id}"),
        ),
        _ => return None,
    };
    let finding = Finding::new(code, severity, text).next(next);
    Some(Finding { supervisor: Some(id.clone()), ..finding })
}

fn tls(machines: &Machines) -> impl Iterator<Item = Finding> {
    let troubled = machines.supervisors.iter().filter(|it| !it.tls_problem.is_empty());
    troubled.map(|it| {
        let text =
            format!("supervisor {} cannot use its changed TLS files: {}", it.id, it.tls_problem);
        let finding = Finding::new("tls-files", Severity::Warning, text)
            .next("correct the files: they are read again (docs/security.md)");
        Finding { supervisor: Some(it.id.clone()), ..finding }
    })
}

fn versions(machines: &Machines) -> Option<Finding> {
    let supervisors = machines.supervisors.iter().map(|it| (&it.id, &it.version));
    let nimbuses = machines.nimbuses.iter().map(|(id, version)| (id, version));
    let others = supervisors.chain(nimbuses);
    let others: Vec<String> = others
        .filter(|(_, version)| !version.is_empty() && **version != machines.version)
        .map(|(id, version)| format!("{id} ({version})"))
        .collect();
    let text = format!(
        "not all run version {} of the nimbus that leads: {}",
        machines.version,
        others.join(", ")
    );
    #[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 machines")]
    let count = others.len() as f64;
    (count > 0.0).then(|| {
        Finding::new("version-skew", Severity::Info, text)
            .next("install the same version everywhere, nimbuses last")
            .shown_by("machines", count)
    })
}

fn turned_away(machines: &Machines) -> impl Iterator<Item = Finding> {
    machines.turned_away.iter().filter(|(_, _, count)| *count > 0).map(|(who, why, count)| {
        let text = format!("{who} was turned away {count} times of late: {why}");
        #[expect(clippy::cast_precision_loss, reason = "counts of a minute are below 2^53")]
        let times = *count as f64;
        Finding::new("turned-away", Severity::Info, text)
            .next("an old incarnation stops by itself; a stranger does not (docs/failures.md)")
            .shown_by("times", times)
    })
}
