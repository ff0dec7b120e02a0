//! Metrics where they are read: a worker's own page, and a real Prometheus that scrapes nimbus and
//! workers, checks the rules of `deploy/`, and says what the status says.
//!
//! Tests that need a server which is downloaded run with `./test --servers` only; there they fail if it
//! cannot be had.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tests::{Cluster, Process, exchange, get, until};

use crate::{path, submit_ledger};

/// Numbers a second of the topology that is measured.
const RATE: u64 = 1_000;

fn metrics(address: &str) -> String {
    get(address, "/metrics").map(|(_, page)| page).unwrap_or_default()
}

/// Where the workers of a topology serve metrics of their own, as soon as all of them do.
fn serving(cluster: &Cluster, name: &str) -> Vec<String> {
    let mut addresses = Vec::new();
    until("every worker serves metrics", || {
        let status = cluster.status(name);
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        let address = |worker: &Value| worker["metrics_address"].as_str().unwrap_or("").to_owned();
        addresses = workers.iter().map(address).collect();
        !addresses.is_empty() && addresses.iter().all(|it| !it.is_empty())
    });
    addresses
}

#[test]
fn a_worker_serves_its_own_metrics_where_it_is_told_and_says_where_that_is() {
    let cluster = Cluster::start(1, 3);
    let on = ["-c", "worker.metrics.listen=127.0.0.1:0", "--workers", "2"];
    let history = submit_ledger(&cluster, RATE, &on);
    let addresses = serving(&cluster, "ledger");
    assert_eq!(addresses.len(), 2);
    let mut tasks = std::collections::BTreeSet::new();
    until("every task is shown by its worker", || {
        for line in addresses
            .iter()
            .flat_map(|it| metrics(it).lines().map(str::to_owned).collect::<Vec<_>>())
        {
            let Some(labels) = line.strip_prefix("squall_worker_task_emitted_total{") else {
                continue;
            };
            assert!(labels.starts_with(r#"topology="ledger",worker=""#), "{line}");
            let task = labels.split("task=\"").nth(1).and_then(|it| it.split('"').next());
            tasks.extend(task.map(str::to_owned));
        }
        tasks.len() == 8
    });
    until("latencies are spread over buckets", || {
        let pages = || addresses.iter().map(|address| metrics(address));
        pages().any(|page| page.contains("squall_worker_execute_seconds_bucket{"))
            && pages().any(|page| page.contains("squall_worker_complete_seconds_sum{"))
    });
    let found = cluster.document("/api/v1/prometheus/targets");
    let found = found.as_array().cloned().unwrap_or_default();
    let listed: Vec<&str> = found.iter().filter_map(|it| it["targets"][0].as_str()).collect();
    assert_eq!(listed, addresses, "Prometheus finds them: {found:?}");
    assert_eq!(found[1]["labels"]["topology"], "ledger");
    assert_eq!(
        (&found[1]["labels"]["worker"], &found[1]["labels"]["__scheme__"]),
        (&"1".into(), &"http".into())
    );
    let told = cluster.does(&["describe", "ledger"]);
    assert!(told.contains(&format!("worker 0: its metrics are at {}", addresses[0])), "{told}");

    let request = "GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n";
    assert_eq!(exchange(&addresses[0], request).expect("it answers").0, 403, "another name");
    assert_eq!(get(&addresses[0], "/").expect("it answers").0, 404);
    drop(history);

    // A topology that may not listen there runs all the same, and says why it has none.
    let (trouble, all) = (path("trouble"), "worker.metrics.listen=0.0.0.0:0");
    let submit = ["submit", &trouble, "--name", "shy", "--wait", "-c", all];
    cluster.does(&[&submit[..], &["--", "--trouble=slow", "--count=100000000"]].concat());
    let mut problem = Value::Null;
    until("it says why", || {
        problem = cluster.status("shy")["workers"][0]["metrics_problem"].clone();
        problem.as_str().is_some_and(|problem| !problem.is_empty())
    });
    assert!(
        problem.as_str().is_some_and(|it| it.contains("refused to listen on 0.0.0.0")),
        "{problem}"
    );
}

/// A Prometheus that is stopped when this is dropped.
struct Prometheus {
    _process: Process,
    address: String,
    tools: PathBuf,
}

impl Prometheus {
    /// Starts one that scrapes a nimbus, and the workers it names, four times a second.
    fn start(cluster: &Cluster) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = Command::new(root.join("tests/servers/prometheus")).output();
        let found = found.expect("the script runs");
        assert!(found.status.success(), "there is no Prometheus: {}", text(&found.stderr));
        let tools = PathBuf::from(text(&found.stdout).trim());
        let folder = cluster.scratch("prometheus");
        fs::create_dir_all(&folder).expect("there is room for a folder");
        let rules = root.join("deploy/prometheus-alerts.yml").canonicalize().expect("it is there");
        let nimbus = cluster.addresses()[1];
        let config = format!(
            "global: {{scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n\
             - job_name: nimbus\n  static_configs: [{{targets: ['{nimbus}']}}]\n\
             - job_name: workers\n  http_sd_configs:\n  \
             - {{url: 'http://{nimbus}/api/v1/prometheus/targets', refresh_interval: 1s}}\n",
            rules.display()
        );
        let file = folder.join("prometheus.yml");
        fs::write(&file, config).expect("there is room for a file");
        let mut command = Command::new(tools.join("prometheus"));
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .args(["--web.listen-address=127.0.0.1:0", "--log.level=info"]);
        let log = folder.join("log");
        let process = Process::start(command, &log);
        let mut address = String::new();
        until("Prometheus listens", || {
            let log = fs::read_to_string(&log).unwrap_or_default() + &process.log();
            let mut said = log.lines().filter(|line| line.contains("Listening on"));
            let found = said.find_map(|line| line.split("address=").nth(1));
            address = found.unwrap_or_default().split_whitespace().next().unwrap_or("").to_owned();
            !address.is_empty() && get(&address, "/-/ready").is_ok_and(|(code, _)| code == 200)
        });
        Self { _process: process, address, tools }
    }

    /// What a query comes to, if it is one number.
    fn query(&self, query: &str) -> Option<f64> {
        let mut escaped = String::new();
        for byte in query.bytes() {
            escaped += &format!("%{byte:02x}");
        }
        let (_, body) = get(&self.address, &format!("/api/v1/query?query={escaped}")).ok()?;
        let answer: Value = serde_json::from_str(&body).ok()?;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }

    /// Has `promtool` check a page of metrics.
    fn check(&self, page: &str) -> Output {
        use std::io::Write as _;
        let mut command = Command::new(self.tools.join("promtool"));
        command.args(["check", "metrics"]).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it lies beside prometheus");
        let mut input = child.stdin.take().expect("it is piped");
        input.write_all(page.as_bytes()).expect("it reads all of it");
        drop(input);
        child.wait_with_output().expect("it ends")
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
#[ignore = "downloads a Prometheus: ./test --servers"]
fn a_real_prometheus_reads_nimbus_and_workers_and_says_what_the_status_says() {
    let cluster = Cluster::start(1, 2);
    let on = ["-c", "worker.metrics.listen=127.0.0.1:0", "--workers", "2"];
    let _history = submit_ledger(&cluster, RATE, &on);
    let addresses = serving(&cluster, "ledger");
    let prometheus = Prometheus::start(&cluster);
    until("all of them are scraped", || {
        prometheus.query(r#"sum(up{job="nimbus"})"#) == Some(1.0)
            && prometheus.query(r#"sum(up{job="workers"})"#) == Some(2.0)
    });
    for page in [metrics(cluster.addresses()[1]), metrics(&addresses[0])] {
        let checked = prometheus.check(&page);
        let said = text(&checked.stdout) + &text(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "promtool: {said}");
    }
    // The same rate by three ways: nimbus by component, workers by task, and the status.
    let by_nimbus = r#"sum(rate(squall_emitted_total{topology="ledger",component="numbers"}[5s]))"#;
    let by_tasks =
        r#"sum(rate(squall_worker_task_emitted_total{topology="ledger",component="numbers"}[5s]))"#;
    let mut rates = Vec::new();
    until("Prometheus and the status agree on the rate", || {
        let status = cluster.status("ledger");
        let components = status["components"].as_array().cloned().unwrap_or_default();
        let numbers = components.iter().find(|it| it["name"] == "numbers");
        let shown = numbers.and_then(|it| it["rates_10s"]["emitted"].as_f64());
        rates = vec![shown, prometheus.query(by_nimbus), prometheus.query(by_tasks)];
        let near = |rate: &Option<f64>| {
            shown.zip(*rate).is_some_and(|(shown, rate)| (rate - shown).abs() < 0.1 * shown)
        };
        shown.is_some_and(|shown| shown > 0.0) && rates.iter().all(near)
    });
    note_rates(&rates);
    let quantile = "histogram_quantile(0.5, sum by (le) (squall_topology_complete_seconds_bucket\
                    {topology=\"ledger\"}))";
    let exact = r#"squall_complete_latency_seconds{component="numbers",quantile="0.5"}"#;
    until("the buckets are those of the measured latencies", || {
        let both = prometheus.query(quantile).zip(prometheus.query(exact));
        both.is_some_and(|(estimated, exact)| (0.5..=2.0).contains(&(estimated / exact)))
    });
    let mut rules = Value::Null;
    until("every rule is evaluated", || {
        let (_, body) = get(&prometheus.address, "/api/v1/rules").unwrap_or_default();
        rules = serde_json::from_str(&body).unwrap_or_default();
        let all = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        all.len() > 10 && all.iter().all(|rule| rule["health"] == "ok")
    });
    let checked = Command::new(prometheus.tools.join("promtool"))
        .args(["check", "rules"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/prometheus-alerts.yml"))
        .output()
        .expect("it lies beside prometheus");
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

fn note_rates(rates: &[Option<f64>]) {
    crate::note(&format!("numbers a second by status, nimbus and workers: {rates:?}"));
}
