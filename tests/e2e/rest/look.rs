//! REST: logs searched and followed, and live tuples.

use serde_json::{Value, json};
use tests::{Cluster, get, read_until, until};

use crate::look::submit_errors;

fn request(http: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {http}\r\n\r\n")
}

/// The documents of the events of a kind.
fn events(text: &str, kind: &str) -> Vec<Value> {
    let mark = format!("event: {kind}\ndata: ");
    let documents = text.split(&mark).skip(1).filter_map(|rest| rest.split_once('\n'));
    let read = |(line, _): (&str, &str)| serde_json::from_str(line).ok();
    documents.filter_map(read).collect()
}

fn refused(http: &str, table: &[(&str, u16, &str)]) {
    for (path, code, part) in table {
        let (answered, body) = get(http, path).expect("it answers");
        assert_eq!((answered, body.contains(part)), (*code, true), "{path}: {body}");
    }
}

#[test]
fn logs_are_searched_and_followed_without_a_shell() {
    let cluster = Cluster::start(2, 1);
    submit_errors(&cluster, &[]);
    let http = cluster.addresses()[1].to_owned();
    let logs = |query: &str| cluster.document(&format!("/api/v1/topologies/errs/logs{query}"));
    let lines = |query: &str| logs(query)["lines"].as_array().cloned().unwrap_or_default();
    until("both workers have logged", || {
        (0..2).all(|worker| !lines(&format!("?worker={worker}&level=info")).is_empty())
    });
    until("a component has failed", || !lines("?level=warn&component=troubled").is_empty());
    for line in lines("?level=warn&grep=component%20failed") {
        assert_eq!((&line["level"], &line["component"]), (&json!("WARN"), &json!("troubled")));
        assert!(line["task"].is_u64() && line["at_ms"].is_u64(), "{line}");
        assert!(line["text"].as_str().is_some_and(|it| it.starts_with("component failed")));
    }
    let all = lines("?level=info");
    let times: Vec<_> = all.iter().filter_map(|line| line["at_ms"].as_u64()).collect();
    assert!(times.is_sorted() && times.len() > 3, "in the order of their times: {times:?}");
    let few = logs("?lines=2");
    assert_eq!((few["lines"].as_array().map(Vec::len), &few["cut"]), (Some(2), &json!(true)));
    assert!(lines("?worker=1").iter().all(|line| line["worker"] == 1));
    assert_eq!(lines("?grep=not%20to%20be%20found"), [Value::Null; 0]);
    let since = times[times.len() - 1] + 3_600_000;
    assert_eq!(lines(&format!("?since={since}")), [Value::Null; 0], "nothing is so new");
    let below = |rest: &str| format!("/api/v1/topologies/{rest}");
    refused(
        &http,
        &[
            (&below("errs/logs?grep=("), 400, "unclosed"),
            (&below("errs/logs?level=loud"), 400, "no level"),
            (&below("errs/logs?lines=0"), 400, "1 to 1000"),
            (&below("errs/logs?component=trouble"), 404, "did you mean"),
            (&below("errs/logs?worker=9"), 409, "no worker 9"),
            (&below("nothing/logs"), 404, "no topology"),
            (&below("errs/logs/stream?grep=("), 400, "unclosed"),
            (&below("nothing/logs/stream"), 404, "no topology"),
        ],
    );

    let path = below("errs/logs/stream?grep=component%20failed&lines=1");
    let text = read_until(&http, &request(&http, &path), "event: lines\n", 6).expect("it goes on");
    let shown = events(&text, "lines");
    assert!(shown.len() >= 5, "{text}");
    for part in &shown {
        let all = part["lines"].as_array().cloned().unwrap_or_default();
        assert!(all.iter().all(|line| line["component"] == "troubled"), "{part}");
        assert_eq!((&part["left_out"], &part["schema_version"]), (&json!(0), &json!(1)));
    }
    let killer = std::thread::spawn({
        let (http, path) = (http.clone(), below("errs/kill"));
        move || tests::post(&http, &path, "{\"wait_ms\": 0}").map(|it| it.0)
    });
    read_until(&http, &request(&http, &path), "event: end\n", 1).expect("it ends with them");
    assert_eq!(killer.join().expect("it ends").ok(), Some(200));
}

#[test]
fn live_tuples_are_shown_without_a_shell() {
    let cluster = Cluster::start(1, 2);
    submit_errors(&cluster, &[]);
    let http = cluster.addresses()[1].to_owned();
    let tap = |query: &str| format!("/api/v1/topologies/errs/tap?{query}");
    let path = tap("component=numbers&stream=default&where=n%20%3E%2020&limit=5&rate=100");
    let text = read_until(&http, &request(&http, &path), "event: end\n", 1).expect("it ends");
    let shown = events(&text, "tuples");
    let tuples = shown.iter().flat_map(|it| it["tuples"].as_array().cloned().unwrap_or_default());
    let tuples: Vec<Value> = tuples.collect();
    assert_eq!(tuples.len(), 5, "as many as were asked for: {text}");
    for tuple in &tuples {
        assert!(tuple["tuple"]["n"].as_u64().is_some_and(|n| n > 20), "{tuple}");
        assert_eq!((&tuple["component"], &tuple["stream"]), (&json!("numbers"), &json!("default")));
        assert!(tuple["task"].is_u64() && tuple["worker"].is_u64(), "{tuple}");
    }
    let sum = |name: &str| shown.iter().filter_map(|it| it[name].as_u64()).sum::<u64>();
    assert!(sum("emitted") >= sum("looked_at") && sum("looked_at") >= 5, "{text}");
    let endless = tap("component=numbers");
    let text = read_until(&http, &request(&http, &endless), "event: tuples\n", 4);
    assert!(text.expect("it goes on").contains("text/event-stream"));
    refused(
        &http,
        &[
            (&tap("stream=default"), 400, "component"),
            (&tap("component=nubmers"), 404, "no component"),
            (&tap("component=count"), 404, "emits nothing"),
            (&tap("component=numbers&where=m%20%3D%3D%201"), 404, "a field"),
            (&tap("component=numbers&where=n%20%3D%201"), 400, "`=="),
            (&tap("component=numbers&rate=0"), 400, "1 to 1000"),
        ],
    );
    // Whoever looks and goes leaves nothing open: more of them than there is room for.
    for _ in 0..20 {
        let one = tap("component=numbers&limit=1");
        read_until(&http, &request(&http, &one), "event: end\n", 1).expect("there is room");
    }
    assert_eq!(cluster.status("errs")["workers"][0]["restarts"], 0, "nobody was harmed");
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}
