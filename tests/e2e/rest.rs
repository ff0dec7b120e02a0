//! REST: what `/api/v1/openapi.json` says is what a nimbus does, whoever asks for whatever; changes
//! are checked, done once, and taken from nobody's page but our own.

mod look;
mod schema;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tests::{Cluster, exchange, get, post, read_until, until};

use self::schema::Description;
use crate::submit_audit;

/// Hostile requests of one run.
const HOSTILE: usize = 400;

/// Submits a topology that runs until it is killed.
fn load(cluster: &Cluster, name: &str) {
    let flags = ["--workers", "1", "-c", "max_pending=200"];
    submit_audit(cluster, name, &flags, &["--count=5000", "--until-end"]);
}

/// A page that the description names.
struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    described: &'a Value,
}

impl Operation<'_> {
    fn parameters(&self, place: &str) -> Vec<&Value> {
        let all = self.described["parameters"].as_array().into_iter().flatten();
        all.filter(|it| it["in"] == place).collect()
    }

    fn is_live(&self) -> bool {
        !self.described["responses"]["200"]["content"]["text/event-stream"].is_null()
    }

    fn schema(&self, code: u16) -> &Value {
        &self.described["responses"][code.to_string()]["content"]["application/json"]["schema"]
    }
}

fn operations(description: &Description) -> Vec<Operation<'_>> {
    let paths = description.0["paths"].as_object().expect("it has paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, described) in item.as_object().into_iter().flatten() {
            operations.push(Operation { path, method, described });
        }
    }
    operations
}

fn description(http: &str) -> Description {
    let (code, text) = get(http, "/api/v1/openapi.json").expect("it answers");
    assert_eq!(code, 200, "{text}");
    let description: Value = serde_json::from_str(&text).expect("it is JSON");
    assert!(description["openapi"].as_str().is_some_and(|it| it.starts_with("3.")), "{text}");
    Description(description)
}

/// Asks with a body, if there is one, and more headers, each line ended.
fn send(
    http: &str,
    (method, path): (&str, &str),
    headers: &str,
    body: Option<&str>,
) -> (u16, String, String) {
    let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n{headers}");
    if !headers.contains("host:") {
        request += &format!("host: {http}\r\n");
    }
    if let Some(body) = body {
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
    } else {
        request += "\r\n";
    }
    exchange(http, &request).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
}

const JSON: &str = "content-type: application/json\r\n";

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Something that nobody expects.
fn nonsense(random: &mut StdRng) -> String {
    const TRICKS: [&str; 16] = [
        "-1",
        "99999999999999999999",
        "1e9",
        "0",
        "NaN",
        "../../etc/passwd",
        "\0",
        "\u{1b}[2J",
        "<script>",
        "' or 1=1",
        "%",
        "a&b=c",
        "null",
        "é\u{202e}",
        "topologies",
        " ",
    ];
    match random.random_range(0..3) {
        0 => TRICKS[random.random_range(0..TRICKS.len())].to_owned(),
        1 => "x".repeat(random.random_range(1..300)),
        _ => (0..random.random_range(1..20)).map(|_| random.random::<char>()).collect(),
    }
}

/// A request that may be anything, to a page that is described.
fn hostile(operation: &Operation<'_>, random: &mut StdRng) -> (String, Option<String>) {
    let mut path = operation.path.to_owned();
    for parameter in operation.parameters("path") {
        let name = parameter["name"].as_str().unwrap_or_default();
        let is_read = operation.method == "get" && !operation.is_live();
        let known = name == "name" && is_read && random.random();
        let value = if known { "audit".to_owned() } else { encoded(&nonsense(random)) };
        path = path.replace(&format!("{{{name}}}"), &value);
    }
    let mut query = Vec::new();
    // It looks for as long as it is told, so not for long.
    if path.ends_with("/traces") {
        query.push("for=50ms".to_owned());
    }
    for parameter in operation.parameters("query").iter().filter(|it| it["name"] != "for") {
        if random.random() {
            let name = parameter["name"].as_str().unwrap_or_default();
            query.push(format!("{name}={}", encoded(&nonsense(random))));
        }
    }
    if random.random_ratio(1, 4) {
        query.push(format!("{}={}", encoded(&nonsense(random)), encoded(&nonsense(random))));
    }
    if !query.is_empty() {
        path += &format!("?{}", query.join("&"));
    }
    let bodies = [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        "{\"wait_ms\": -1}".to_owned(),
        "{\"executors\": {\"a\": 1e400}}".to_owned(),
        "[".repeat(5_000),
        json!({ "ids": [nonsense(random)], "all": true, "workers": 7 }).to_string(),
        nonsense(random),
    ];
    let body = bodies[random.random_range(0..bodies.len())].clone();
    (path, (operation.method == "post").then_some(body))
}

#[test]
fn every_page_is_as_described_and_nothing_hostile_breaks_it() {
    let cluster = Cluster::start(1, 2);
    load(&cluster, "audit");
    let [_, http] = cluster.addresses();
    let description = description(http);
    let supervisor = cluster.document("/api/v1/supervisors")[0]["id"].clone();
    let supervisor = supervisor.as_str().expect("there is one").to_owned();
    until("it is known how fast it is", || {
        cluster.status("audit")["components"][0]["time"]["busy"].is_number()
    });
    let operations = operations(&description);
    assert!(operations.len() > 20, "pages are described: {}", operations.len());
    for operation in operations.iter().filter(|it| it.method == "get" && !it.is_live()) {
        let path = operation.path.replace("{name}", "audit").replace("{component}", "sink");
        let mut path = path.replace("{id}", &supervisor);
        if path.ends_with("/traces") {
            path += "?for=200ms";
        }
        let (code, body) = get(http, &path).expect("it answers");
        assert_eq!(code, 200, "{path}: {body}");
        let body: Value = serde_json::from_str(&body).expect("it is JSON");
        description.assert_fits(operation.schema(200), &body, &path);
        assert!(
            body.is_array() || body["schema_version"] == 1 || path.contains("openapi"),
            "{path}"
        );
    }

    let seed = rand::random();
    let mut random = StdRng::seed_from_u64(seed);
    let problem = json!({ "$ref": "#/components/schemas/ProblemBody" });
    for _ in 0..HOSTILE {
        let operation = &operations[random.random_range(0..operations.len())];
        if operation.path == "/api/v1/stream" {
            continue;
        }
        let (path, body) = hostile(operation, &mut random);
        let method = operation.method.to_uppercase();
        let (code, _, text) = send(http, (&method, &path), JSON, body.as_deref());
        let what = format!("seed {seed}: {method} {path} with {body:?}");
        let answers = &operation.described["responses"];
        assert!(answers[code.to_string()].is_object(), "{what}: {code} is not described: {text}");
        assert!(code < 500, "{what}: {code}: {text}");
        let answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {text}"));
        let schema = if code == 200 { operation.schema(200) } else { &problem };
        description.assert_fits(schema, &answer, &what);
    }
    for path in
        ["/nothing", "/api", "/api/v1", "/api/v1/", "/api/v2/cluster", "/api/v1/topologies/audit/x"]
    {
        let (code, body) = get(http, path).expect("it answers");
        assert_eq!(code, 404, "{path}: {body}");
        description.assert_fits(&problem, &serde_json::from_str(&body).expect("JSON"), path);
    }
    let (code, _) = post(http, "/api/v1/cluster", "{}").expect("it answers");
    assert_eq!(code, 405, "what is read is not written");
    assert_eq!(cluster.status("audit")["status"], "active", "nothing has changed");
}

#[test]
fn lists_come_in_pages_and_can_be_filtered() {
    let cluster = Cluster::start(1, 3);
    for name in ["audit-1", "audit-2", "other"] {
        load(&cluster, name);
    }
    let [_, http] = cluster.addresses();
    let names = |query: &str| {
        let path = format!("/api/v1/topologies{query}");
        let (code, head, body) = send(http, ("GET", &path), "", None);
        assert_eq!(code, 200, "{query}: {body}");
        let list: Value = serde_json::from_str(&body).expect("JSON");
        let names = list.as_array().into_iter().flatten();
        let names: Vec<String> =
            names.map(|it| it["name"].as_str().unwrap_or_default().to_owned()).collect();
        let total = head.split("squall-total: ").nth(1).and_then(|it| it.lines().next());
        (names, total.and_then(|it| it.parse::<u32>().ok()))
    };
    let (all, total) = names("");
    assert_eq!((all.len(), total), (3, Some(3)));
    assert_eq!(names("?limit=2&offset=2"), (all[2..].to_vec(), Some(3)));
    assert_eq!(names("?name=audit").1, Some(2));
    assert_eq!(names("?name=audit&status=inactive"), (Vec::new(), Some(0)));
    assert_eq!(names("?status=active&offset=4000000000"), (Vec::new(), Some(3)));
    until("its tasks have reported, and one is a page", || {
        let page = "/api/v1/topologies/other/components/sink?limit=1&sort=busy";
        cluster.document(page)["tasks"].as_array().map(Vec::len) == Some(1)
    });
    until("its worker runs", || {
        let workers = cluster.document("/api/v1/topologies/other/workers?state=running");
        workers.as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(cluster.document("/api/v1/topologies/other/workers?supervisor=x"), json!([]));
}

#[test]
fn changes_are_checked_and_a_repeated_one_is_done_once() {
    let cluster = Cluster::start(1, 2);
    load(&cluster, "audit");
    let [_, http] = cluster.addresses();
    let ask = |verb: &str, key: &str, body: &str| {
        let headers = format!("{JSON}idempotency-key: {key}\r\n");
        let path = format!("/api/v1/topologies/audit/{verb}");
        let (code, _, text) = send(http, ("POST", &path), &headers, Some(body));
        (code, serde_json::from_str::<Value>(&text).expect("JSON"))
    };
    let (code, done) = ask("deactivate", "k-1", "");
    assert_eq!((code, &done["schema_version"]), (200, &json!(1)), "{done}");
    assert!(done["text"].as_str().is_some_and(|it| it.contains("inactive")), "{done}");
    assert_eq!(ask("activate", "k-2", "{}").0, 200);
    assert_eq!(ask("deactivate", "k-1", ""), (200, done), "the first answer");
    assert_eq!(cluster.status("audit")["status"], "active", "and nothing else");
    let (code, other) = ask("activate", "k-1", "");
    assert_eq!((code, &other["error"]["code"]), (400, &json!("invalid")), "{other}");

    let (code, unknown) = ask("rebalance", "k-3", "{\"executors\": {\"sinc\": 1}}");
    assert_eq!(code, 400, "{unknown}");
    assert!(unknown["error"]["why"].to_string().contains("did you mean"), "{unknown}");
    assert_eq!(ask("rebalance", "k-4", "{\"worker\": 2}").0, 400, "a field is misspelt");
    assert_eq!(ask("rebalance", "k-5", "{\"workers\": 2}").0, 200);
    until("two workers run", || {
        let workers = cluster.document("/api/v1/topologies/audit/workers?state=running");
        workers.as_array().is_some_and(|it| it.len() == 2)
    });
    let (code, both) = ask("dead-letters/drop", "", "{\"ids\": [\"a.1\"], \"all\": true}");
    assert_eq!(code, 400, "{both}");
    assert_eq!(ask("dead-letters/replay", "", "{\"all\": true}").1["done"], 0);
    assert_eq!(ask("kill", "k-6", "{\"wait_ms\": 0}").0, 200);
    until("it is gone", || cluster.document("/api/v1/topologies") == json!([]));
    assert_eq!(ask("kill", "k-6", "{\"wait_ms\": 0}").0, 200, "the first answer");
    let (code, gone) = ask("kill", "k-7", "{\"wait_ms\": 0}");
    assert_eq!((code, &gone["error"]["code"]), (404, &json!("not-found")), "{gone}");
}

#[test]
fn pages_of_other_sites_neither_read_nor_change_anything() {
    let cluster = Cluster::start(1, 1);
    load(&cluster, "audit");
    let [_, http] = cluster.addresses();
    let deactivate = ("POST", "/api/v1/topologies/audit/deactivate");
    let port = http.rsplit_once(':').expect("it has a port").1;
    let table = [
        (format!("{JSON}origin: http://evil.example\r\n"), 403),
        (format!("{JSON}origin: null\r\n"), 403),
        (format!("{JSON}origin: http://{http}\r\nsec-fetch-site: cross-site\r\n"), 403),
        (format!("{JSON}host: evil.example:{port}\r\n"), 403),
        (format!("{JSON}host: evil.example\r\norigin: http://evil.example\r\n"), 403),
        ("content-type: text/plain\r\n".to_owned(), 415),
        ("content-type: application/x-www-form-urlencoded\r\n".to_owned(), 415),
        (String::new(), 415),
    ];
    for (headers, expected) in table {
        let (code, head, body) = send(http, deactivate, &headers, Some("{}"));
        assert_eq!(code, expected, "{headers}: {body}");
        assert!(!head.contains("access-control"), "{head}");
    }
    assert_eq!(cluster.status("audit")["status"], "active", "nothing has changed");
    for path in ["/api/v1/cluster", "/metrics", "/healthz"] {
        let rebound = send(http, ("GET", path), "host: evil.example\r\n", None);
        assert_eq!(rebound.0, 403, "{path}: {}", rebound.2);
        assert!(!rebound.2.contains("audit"), "{path}");
        let name = format!("host: localhost:{port}\r\n");
        let (code, head, _) = send(http, ("GET", path), &name, None);
        assert_eq!(code, 200, "{path}");
        for header in [
            "content-security-policy: default-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
        ] {
            assert!(head.contains(header), "{path} has no {header}: {head}");
        }
        assert!(!head.contains("access-control"), "{head}");
    }
    let preflight = send(http, ("OPTIONS", deactivate.1), "origin: http://evil.example\r\n", None);
    assert_eq!(preflight.0, 405, "nobody is told that it may");
    let ours = format!("{JSON}origin: http://{http}\r\nsec-fetch-site: same-origin\r\n");
    assert_eq!(send(http, deactivate, &ours, Some("{}")).0, 200, "our own page may");
    assert_eq!(cluster.status("audit")["status"], "inactive");
}

/// Opens a live view and leaves it open; says how it was answered.
fn watch(http: &str, path: &str) -> (String, TcpStream) {
    let mut stream = TcpStream::connect(http).expect("it listens");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {http}\r\n\r\n").expect("it takes a request");
    let mut first = [0; 12];
    stream.read_exact(&mut first).expect("it answers");
    (String::from_utf8_lossy(&first[9..]).into_owned(), stream)
}

#[test]
fn live_views_go_on_are_few_and_end_with_what_they_show() {
    let mut cluster = Cluster::start(1, 1);
    load(&cluster, "audit");
    let http = cluster.addresses()[1].to_owned();
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: {http}\r\n\r\n");
    let topology = "/api/v1/topologies/audit/stream";
    let text = read_until(&http, &request(topology), "event: topology\n", 3).expect("it goes on");
    let line = text.lines().find_map(|line| line.strip_prefix("data: ")).expect("a line of data");
    let shown: Value = serde_json::from_str(line).expect("it is whole and JSON");
    assert_eq!((&shown["name"], &shown["schema_version"]), (&json!("audit"), &json!(1)));
    assert!(text.to_lowercase().contains("content-type: text/event-stream"), "{text}");
    let text = read_until(&http, &request("/api/v1/stream"), "event: cluster\n", 2);
    assert!(text.expect("it goes on").contains("\"topologies\":[{"), "it lists topologies");
    assert_eq!(get(&http, "/api/v1/topologies/nothing/stream").map(|it| it.0).ok(), Some(404));

    let mut watching: Vec<TcpStream> = Vec::new();
    until("there is no room for more", || {
        let (code, stream) = watch(&http, topology);
        if code == "200" {
            watching.push(stream);
        }
        code == "429" && watching.len() >= 60
    });
    assert!(watching.len() <= 64, "{} watch", watching.len());
    watching.clear();
    until("there is room again", || watch(&http, topology).0 == "200");
    let killer = http.clone();
    let killed = std::thread::spawn(move || {
        post(&killer, "/api/v1/topologies/audit/kill", "{\"wait_ms\": 0}").map(|it| it.0)
    });
    read_until(&http, &request(topology), "event: gone\n", 1).expect("it ends with the topology");
    assert_eq!(killed.join().expect("it ends").ok(), Some(200));
    let open = watch(&http, "/api/v1/stream");
    assert_eq!(open.0, "200");
    assert_eq!(cluster.stop_nimbus(), Some(0), "a view that is open does not keep it");
}
