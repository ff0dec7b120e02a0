//! Clusters with TLS: who belongs to them works as ever, strangers are refused, and certificates are
//! exchanged while tuples flow; on loopback, and over three network namespaces.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tests::{
    Audit, Network, Outcome, SecureCluster, Signal, exchange_over_tls, get_over_tls, signal, until,
};

use crate::{path, until_flowing};

/// Submits an `audit` topology of two workers, and waits until tuples flow.
fn submit(cluster: &SecureCluster) -> Audit {
    let audit = Audit::of(cluster.scratch("audit"));
    let (binary, folder) = (path("audit"), audit.argument());
    let submit = ["submit", &binary, "--name", "audit", "--wait", "--workers", "2"];
    let flags = ["-c", "max_pending=200", "--", &folder, "--count=3000", "--until-end"];
    cluster.does(&[&submit[..], &flags].concat());
    until_flowing(&audit, "tuples flow");
    audit
}

fn end(cluster: &SecureCluster, audit: &Audit) {
    audit.let_end();
    until("the topology is finished", || cluster.status("audit")["status"] == "finished");
    let status = cluster.status("audit");
    assert_eq!(status["totals"]["pending"], 0, "a tree is still open: {}", status["totals"]);
    audit.assert_nothing_lost(2);
    cluster.does(&["kill", "audit", "--wait"]);
    until("no worker is left", || cluster.worker_processes().is_empty());
}

/// What everybody who has a certificate finds.
fn assert_works(cluster: &SecureCluster) {
    let described = cluster.describe();
    assert_eq!(described["cluster"]["security"], "tls", "{described}");
    let supervisors = described["supervisors"].as_array().cloned().unwrap_or_default();
    assert!(supervisors.iter().all(|it| it["security"] == "tls"), "{described}");
    let logs = cluster.does(&["logs", "audit"]);
    assert!(logs.contains("link connected"), "the logs of the workers come: {logs}");
    assert!(!logs.contains("no more logs"), "of all of them: {logs}");
    let [_, http] = cluster.addresses();
    let [cert, key, ca] = cluster.files("client");
    let page = |identity| get_over_tls(http, "/metrics", &ca, identity);
    let (code, metrics) = page(Some((&*cert, &*key))).expect("the status can be read");
    assert!(code == 200 && metrics.contains("squall_nimbus_insecure 0"), "{code}: {metrics}");
    assert!(page(None).is_err(), "who shows no certificate reads the status");
    let answer = plain(http, "GET /api/v1/cluster HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
}

/// Says something without TLS and returns the answer.
fn plain(address: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    stream.write_all(text.as_bytes()).expect("it takes a request");
    let mut answer = Vec::new();
    // A connection that is reset has answered too.
    drop(stream.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

fn refused(described: &Value, of: &str, reason: &str) -> u64 {
    let supervisors = described["supervisors"].as_array().cloned().unwrap_or_default();
    let who = match of {
        "nimbus" => vec![described["cluster"].clone()],
        _ => supervisors,
    };
    who.iter().filter_map(|it| it["tls_refused"][reason].as_u64()).sum()
}

#[track_caller]
fn assert_explained(outcome: &Outcome, parts: &[&str]) {
    assert_eq!(outcome.code, 78, "{outcome:?}");
    for part in parts {
        assert!(outcome.stderr.contains(part), "it does not say {part:?}: {}", outcome.stderr);
    }
}

#[test]
fn a_cluster_with_tls_works_as_ever_and_refuses_strangers() {
    let cluster = SecureCluster::start(Network::loopback(3));
    let audit = submit(&cluster);
    let workers = cluster.workers("audit");
    assert_works(&cluster);

    let [address, _] = cluster.addresses();
    let without = Outcome::of(&["--nimbus", address, "list"]);
    assert_explained(&without, &["--tls-cert", "this port speaks TLS"]);
    cluster.new_authority("other");
    cluster.issue("other", "stranger", &[]);
    let stranger = cluster.squall_as("stranger", &["list"]);
    assert_explained(&stranger, &["--tls-cert", "not signed by an authority that we trust"]);
    // It trusts the cluster, but the cluster does not trust it.
    cluster.trust("stranger", &["other", "ca"]);
    let stranger = cluster.squall_as("stranger", &["kill", "audit"]);
    assert_explained(&stranger, &["--tls-cert", "refuses our certificate"]);
    for (_, worker) in &workers {
        let answer = plain(worker, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert!(answer.contains("this port speaks TLS"), "{answer}");
    }
    until("all of them are counted", || {
        let described = cluster.describe();
        refused(&described, "nimbus", "not-tls") > 0
            && refused(&described, "nimbus", "unknown-authority") > 0
            && refused(&described, "supervisors", "not-tls") >= workers.len() as u64
    });
    let folder = cluster.scratch("both").display().to_string();
    let both = ["nimbus", "--insecure", "--etcd", "http://127.0.0.1:1", "--data-dir", &folder];
    let both = cluster.squall_as("m1", &both);
    assert_explained(&both, &["--insecure and TLS exclude each other"]);
    let dev = ["dev", "--listen", "127.0.0.9:0", "--http", "127.0.0.9:0", "--data-dir", &folder];
    let unnamed = cluster.squall_as("m1", &dev);
    assert_explained(&unnamed, &["does not name \"127.0.0.9\""]);
    workers_report_by_themselves(&cluster);
    assert_eq!(cluster.workers("audit"), workers, "nobody who belongs here noticed");
    end(&cluster, &audit);
}

#[test]
fn who_shows_no_certificate_changes_nothing_by_rest_or_grpc_even_where_everybody_may_read() {
    let cluster = SecureCluster::start_with(Network::loopback(2), &["--http-open-read"]);
    let submit = ["submit", &path("trouble"), "--name", "it", "--wait", "--", "--trouble=slow"];
    cluster.does(&submit);
    let [grpc, http] = cluster.addresses();
    let [cert, key, ca] = cluster.files("client");
    let mine = Some((&*cert, &*key));
    let (code, page) = get_over_tls(http, "/api/v1/openapi.json", &ca, None).unwrap();
    assert_eq!(code, 200, "everybody may read: {page}");
    let page: Value = serde_json::from_str(&page).unwrap();
    let paths = page["paths"].as_object().cloned().unwrap_or_default();
    let changes: Vec<&String> =
        paths.iter().filter(|(_, methods)| methods.get("post").is_some()).map(|it| it.0).collect();
    assert!(changes.len() >= 6, "{changes:?}");
    let change = |path: &str, identity| {
        let path = path.replace("{name}", "it");
        let head = format!("POST {path} HTTP/1.1\r\nhost: {http}\r\ncontent-length: 2\r\n");
        let request = format!("{head}content-type: application/json\r\n\r\n{{}}");
        exchange_over_tls(http, (&ca, identity), &request).unwrap()
    };
    for path in changes {
        let (code, why) = change(path, None);
        assert_eq!(code, 403, "{path}: {why}");
        assert!(why.contains("who shows no certificate may only read"), "{path}: {why}");
    }
    // The connection of a client that keeps silent about who it is ends before anything is asked.
    let asked = exchange_over_tls(grpc, (&ca, None), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let why = asked.expect_err("gRPC is not open to read").to_string();
    assert!(why.contains("CertificateRequired"), "{why}");
    assert_eq!(cluster.status("it")["status"], "active", "nothing was changed");
    let described = || cluster.describe();
    until("it is counted", || refused(&described(), "nimbus", "no-certificate") > 0);

    let (code, done) = change("/api/v1/topologies/{name}/deactivate", mine);
    assert_eq!(code, 200, "who shows one may: {done}");
    until("that was done", || cluster.status("it")["status"] == "inactive");
    cluster.does(&["kill", "it", "--wait", "--drain", "0s"]);
}

/// While their supervisors stand still, workers dial nimbus with the certificates that they have.
fn workers_report_by_themselves(cluster: &SecureCluster) {
    let direct = |wanted: bool| {
        let status = cluster.status("audit");
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.len() == 2 && workers.iter().all(|it| it["direct"] == wanted)
    };
    let supervisors = cluster.supervisor_processes();
    assert!(supervisors.iter().all(|pid| signal(*pid, Signal::SIGSTOP)), "they were there");
    until("all workers report by themselves", || direct(true));
    assert!(supervisors.iter().all(|pid| signal(*pid, Signal::SIGCONT)), "they were there");
    until("their supervisors report for them again", || direct(false));
}

/// Gives every machine other files, and waits until everybody has read them, etcd's clients too.
fn exchange(
    what: &str,
    (cluster, audit): (&SecureCluster, &Audit),
    exchange: impl Fn(&SecureCluster, &str, &str),
) {
    let read = || -> Vec<[usize; 2]> {
        let texts = ["TLS files read again", "TLS files for etcd read again"];
        let count = |log: &String| texts.map(|text| log.matches(text).count());
        cluster.logs().iter().map(count).collect()
    };
    let (before, daemons) = (read(), 1 + cluster.supervisor_processes().len());
    for (number, machine) in cluster.network().machines().iter().enumerate() {
        exchange(cluster, &format!("m{number}"), &machine.address);
    }
    until(what, || {
        let now = read();
        let newer = |at: usize, of: usize| now[at][of] > before[at][of];
        now.len() == before.len()
            && (0..now.len()).all(|at| newer(at, 0) && (at >= daemons || newer(at, 1)))
    });
    until_flowing(audit, what);
}

#[test]
fn certificates_and_their_authority_are_exchanged_under_load_and_nothing_is_lost() {
    let mut cluster = SecureCluster::start(Network::loopback(3));
    let audit = submit(&cluster);
    let workers = cluster.workers("audit");
    cluster.new_authority("next");
    exchange("all trust both authorities", (&cluster, &audit), |cluster, name, _| {
        cluster.trust(name, &["ca", "next"]);
    });
    // An etcd reads whom it trusts at its start.
    cluster.restart_etcd();
    exchange("all have certificates of the new one", (&cluster, &audit), |cluster, name, at| {
        cluster.issue("next", name, &[at]);
    });
    cluster.trust("client", &["ca", "next"]);
    exchange("all trust the new one alone", (&cluster, &audit), |cluster, name, _| {
        cluster.trust(name, &["next"]);
    });
    assert_eq!(cluster.workers("audit").len(), 0, "the old certificate of the client is refused");
    cluster.issue("next", "client", &[]);
    assert_eq!(cluster.workers("audit"), workers, "no worker was restarted");
    cluster.restart_etcd();
    for verb in ["deactivate", "activate"] {
        until("changes are written over connections of the new certificates", || {
            cluster.squall_as("client", &[verb, "audit"]).code == 0
        });
    }
    until_flowing(&audit, "tuples flow");

    // What is dialled from now on has the new certificates alone.
    assert!(signal(workers[0].0, Signal::SIGKILL), "the worker was there");
    until("the worker runs again as another process", || {
        let now = cluster.workers("audit");
        now.len() == 2 && now[0].0 > 1 && now[0].0 != workers[0].0
    });
    until_flowing(&audit, "tuples flow over new connections");
    assert_eq!(cluster.workers("audit")[1], workers[1], "the other worker was restarted");
    assert_works(&cluster);
    end(&cluster, &audit);
}

/// A network of namespaces; none, and said so, where the test has not the rights.
fn namespaces(machines: usize) -> Option<Network> {
    match Network::namespaces(machines) {
        Ok(network) => Some(network),
        Err(why) => {
            let text = "SKIPPED: this test needs network namespaces, so root and `ip`";
            drop(writeln!(std::io::stderr(), "{text}: {why}"));
            None
        }
    }
}

#[test]
fn a_cluster_over_three_network_namespaces_survives_partitions_and_nothing_is_lost() {
    let Some(network) = namespaces(3) else { return };
    let cluster = SecureCluster::start(network);
    let audit = submit(&cluster);
    let workers = cluster.workers("audit");
    assert_works(&cluster);
    let network = cluster.network();
    for (machine, (_, address)) in network.machines().iter().skip(1).zip(&workers) {
        assert!(!address.starts_with("127."), "{address}, but its machine is {}", machine.address);
    }
    let statuses = || -> Vec<Value> {
        let described = cluster.describe();
        let supervisors = described["supervisors"].as_array().cloned().unwrap_or_default();
        supervisors.iter().map(|it| it["status"].clone()).collect()
    };
    let all_alive = || statuses().len() == 2 && statuses().iter().all(|status| status == "alive");

    // A supervisor without its nimbus and etcd: its worker goes on.
    network.cut(0, 1);
    until("nimbus misses a supervisor", || statuses().iter().any(|status| status != "alive"));
    until_flowing(&audit, "tuples flow between workers that nimbus cannot reach");
    network.heal(0, 1);
    until("both supervisors are alive", all_alive);
    assert_eq!(cluster.workers("audit"), workers, "nothing was moved or restarted");

    // Workers without each other: they wait, fail nothing for good, and go on.
    let connected = |count: usize| {
        let logs = cluster.logs().concat();
        logs.matches("link connected").count() >= count
    };
    for one_way in [false, true] {
        let before = cluster.logs().concat().matches("link connected").count();
        let broke = cluster.logs().concat().matches("link broke").count();
        if one_way {
            network.cut_one_way(1, 2);
        } else {
            network.cut(1, 2);
        }
        until("the links break", || cluster.logs().concat().matches("link broke").count() > broke);
        network.heal(1, 2);
        until("a link stands again", || connected(before + 1));
        until_flowing(&audit, "tuples flow again");
    }
    until("both supervisors are alive", all_alive);
    assert_eq!(cluster.workers("audit"), workers, "nothing was moved or restarted");
    end(&cluster, &audit);
}
