//! What the cluster says of itself: etcd, nimbuses, supervisors, their clocks and versions.

use std::time::Duration;

use coordination::{EtcdStore, Store};
use daemon::Clock;

use super::Finding;
use crate::commands::Globals;
use crate::daemons::StoreFlags;
use crate::status::{ClusterStatus, SupervisorStatus};

/// Clocks may differ by this much: times in logs and events are compared by people only.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(1);

/// How long etcd may take to answer.
const ETCD_MAX: Duration = Duration::from_secs(3);

/// Looks whether etcd answers, where anybody said where it is.
pub(super) async fn etcd(flags: &StoreFlags, globals: &Globals) -> Finding {
    const CHECK: &str = "etcd";
    let Ok(at) = flags.etcd(&globals.file) else {
        return Finding::ok(CHECK, "not looked at: give --etcd, or `etcd` in the file");
    };
    let clock = Clock::system();
    let started = clock.now();
    let asked = async {
        let store = EtcdStore::connect_with(&at.urls, &at.tls).await?;
        store.list("/squall/v1/doctor/").await
    };
    let fix = "start it, or correct --etcd; docs/operating.md says how to run one";
    match tokio::time::timeout(ETCD_MAX, asked).await {
        Ok(Ok(_)) => {
            let took = clock.now().saturating_duration_since(started).as_millis();
            Finding::ok(CHECK, format!("{} answered in {took} ms", at.urls.join(", ")))
        }
        Ok(Err(error)) => Finding::fails(CHECK, format!("{}: {error}", at.urls.join(", ")), fix),
        Err(_) => {
            let saw = format!("{} did not answer in {ETCD_MAX:?}", at.urls.join(", "));
            Finding::fails(CHECK, saw, fix)
        }
    }
}

/// Asks a nimbus.
pub(super) async fn checks(globals: &Globals) -> Vec<Finding> {
    const WHAT: &str = "cannot look at the cluster";
    let mut client = globals.client();
    let clock = Clock::system();
    let before = clock.wall_ms();
    let cluster: ClusterStatus = match client.status(WHAT, "cluster").await {
        Ok(cluster) => cluster,
        Err(failure) => return vec![Finding::fails("nimbus", failure.why, failure.fix)],
    };
    let after = clock.wall_ms();
    let supervisors: Vec<SupervisorStatus> =
        client.status(WHAT, "supervisors").await.unwrap_or_default();
    let mut found = vec![
        leader(&cluster),
        store(&cluster),
        versions(&cluster, &supervisors),
        machines(&supervisors),
        slots(&cluster),
    ];
    if cluster.now_ms > 0 {
        found.push(clocks(cluster.now_ms, before, after));
    }
    found
}

fn leader(cluster: &ClusterStatus) -> Finding {
    match &cluster.leader {
        Some(leader) => {
            let all = cluster.nimbuses.len();
            Finding::ok("nimbus", format!("{} at {} leads, of {all}", leader.id, leader.address))
        }
        None => Finding::fails("nimbus", "none leads", "wait for the election; look at etcd"),
    }
}

fn store(cluster: &ClusterStatus) -> Finding {
    if cluster.store == "ok" {
        return Finding::ok("store", "nimbus reads and writes it");
    }
    Finding::fails("store", cluster.store.clone(), "docs/operating.md says what to do about etcd")
}

fn versions(cluster: &ClusterStatus, supervisors: &[SupervisorStatus]) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    let nimbuses = cluster.nimbuses.iter().map(|it| (&it.id, &it.version));
    let machines = supervisors.iter().map(|it| (&it.id, &it.version));
    let others = nimbuses.chain(machines).filter(|(_, version)| *version != own);
    let others: Vec<String> = others.map(|(id, version)| format!("{id} has {version}")).collect();
    if others.is_empty() {
        return Finding::ok("versions", format!("{own} everywhere"));
    }
    let saw = format!("this is {own}; {}", others.join(", "));
    Finding::warning("versions", saw, "bring all machines to one version")
}

fn machines(supervisors: &[SupervisorStatus]) -> Finding {
    let ill = supervisors.iter().filter(|it| it.status != "alive" || it.held_back);
    let ill: Vec<String> = ill.map(|it| format!("{} is {}", it.id, it.status)).collect();
    match (supervisors.len(), ill.len()) {
        (0, _) => Finding::fails("supervisors", "there are none", "start one: squall supervisor"),
        (all, 0) => Finding::ok("supervisors", format!("all {all} are alive")),
        _ => {
            let fix = "look at their machines; `squall describe` shows when they reported";
            Finding::warning("supervisors", ill.join(", "), fix)
        }
    }
}

fn slots(cluster: &ClusterStatus) -> Finding {
    let saw = format!("{} of {} used", cluster.slots_used, cluster.slots);
    if cluster.slots > 0 && cluster.slots_used >= cluster.slots {
        let fix = "start another supervisor, or one with more --slots, before you submit more";
        return Finding::warning("slots", saw, fix);
    }
    Finding::ok("slots", saw)
}

/// The nimbus looked at its clock after we asked and before we had the answer.
fn clocks(now_ms: u64, before: u64, after: u64) -> Finding {
    let off = before.saturating_sub(now_ms).max(now_ms.saturating_sub(after));
    let saw = format!("that of nimbus is off by {off} ms at least");
    if Duration::from_millis(off) > CLOCK_DIFFERENCE {
        return Finding::warning("clocks", saw, "let both follow a time server (NTP)");
    }
    Finding::ok("clocks", saw)
}

#[cfg(test)]
mod tests {
    use super::super::Health;
    use super::*;

    #[test]
    fn clocks_are_compared_without_the_time_on_the_way() {
        assert_eq!(clocks(5_000, 4_000, 9_000).health, Health::Ok, "within the question");
        assert_eq!(clocks(5_000, 7_000, 7_100).health, Health::Warning, "two seconds behind");
        assert_eq!(clocks(9_000, 7_000, 7_100).health, Health::Warning, "two seconds ahead");
    }

    #[test]
    fn what_is_not_well_is_named() {
        let away =
            SupervisorStatus { id: "m2".into(), status: "lost".into(), ..Default::default() };
        let found = machines(&[away]);
        assert_eq!((found.health, found.saw.as_str()), (Health::Warning, "m2 is lost"));
        assert_eq!(machines(&[]).health, Health::Fails);
        let full = ClusterStatus { slots: 2, slots_used: 2, ..Default::default() };
        assert_eq!(slots(&full).health, Health::Warning);
        assert_eq!(leader(&full).health, Health::Fails);
    }
}
