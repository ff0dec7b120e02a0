//! Tuple trees of running topologies: where their time goes, where they fail, and that nothing stays
//! switched on.

use serde_json::Value;
use tests::{Cluster, get, until};

use crate::path;

/// Submits a topology whose bolt `troubled` is slow, or fails each tenth number, forever.
fn submit(cluster: &Cluster, name: &str, trouble: &str, flags: &[&str]) {
    let (binary, trouble) = (path("trouble"), format!("--trouble={trouble}"));
    let submit = ["submit", &binary, "--name", name, "--wait", "--workers", "2"];
    let flags = [flags, &["-c", "max_pending=50"]].concat();
    cluster.does(&[&submit[..], &flags, &["--", &trouble, "--count=100000000"]].concat());
}

fn trace(cluster: &Cluster, arguments: &[&str]) -> Value {
    let outcome = cluster.squall(&[&["trace"][..], arguments, &["-o", "json"]].concat());
    assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    outcome.json()
}

fn trees(document: &Value) -> &[Value] {
    document["trees"].as_array().map_or(&[], Vec::as_slice)
}

/// The hop of a tree that a field names by number.
fn hop<'a>(tree: &'a Value, field: &str) -> &'a Value {
    let at = tree[field].as_u64().unwrap_or_else(|| panic!("no `{field}`: {tree:#}"));
    &tree["hops"][usize::try_from(at).unwrap_or(usize::MAX)]
}

/// Whether a tree began and ended while it was looked.
fn is_whole(tree: &Value) -> bool {
    tree["outcome"] == "acked" && tree["holes"].as_array().is_some_and(Vec::is_empty)
}

/// What must hold of the trees of a topology whose bolt takes 20 ms for each number.
fn assert_slow(document: &Value) {
    assert!(!trees(document).is_empty(), "{document:#}");
    let took: Vec<f64> =
        trees(document).iter().filter_map(|tree| tree["took_us"].as_f64()).collect();
    assert!(took.is_sorted_by(|one, next| one >= next), "the slowest first: {took:?}");
    for tree in trees(document).iter().filter(|tree| is_whole(tree)) {
        let widest = hop(tree, "widest");
        assert_eq!(widest["component"], "troubled", "the slow hop is the widest: {tree:#}");
        assert!(tree["took_us"].as_f64() >= Some(20_000.0), "{tree:#}");
        for hop in tree["hops"].as_array().into_iter().flatten() {
            let times = ["start_us", "way_us", "wait_us", "execute_us", "held_us"];
            assert!(times.iter().all(|time| !hop[*time].as_f64().is_some_and(|it| it < 0.0)));
            assert!(hop["worker"].is_u64() && hop["host"].is_string(), "{hop:#}");
        }
    }
    let executed = |hop: &&Value| hop["execute_us"].as_f64() >= Some(20_000.0);
    let hops =
        trees(document).iter().flat_map(|tree| tree["hops"].as_array().into_iter().flatten());
    let slow: Vec<&Value> = hops.filter(executed).collect();
    assert!(!slow.is_empty(), "a call of it takes 20 ms: {document:#}");
    assert!(slow.iter().all(|hop| hop["component"] == "troubled"), "{slow:#?}");
}

#[test]
fn trees_show_where_their_time_goes_and_where_they_fail() {
    let cluster = Cluster::start(2, 2);
    submit(&cluster, "slow", "slow", &[]);
    submit(&cluster, "errs", "errors", &["-c", "fusion=false"]);

    let mut some = Value::Null;
    until("trees of the slow one are whole", || {
        some = trace(&cluster, &["slow", "--limit", "3"]);
        !trees(&some).is_empty() && trees(&some).iter().all(is_whole)
    });
    for tree in trees(&some) {
        let hops = tree["hops"].as_array().into_iter().flatten();
        let components: Vec<_> = hops.map(|hop| &hop["component"]).collect();
        assert_eq!(components, ["troubled", "count"], "{tree:#}");
        assert_eq!(hop(tree, "widest")["component"], "troubled", "{tree:#}");
    }
    let slowest = trace(&cluster, &["slow", "--slowest", "--for", "2s", "--limit", "5"]);
    assert_slow(&slowest);
    assert_eq!(slowest["topology"], "slow");
    let [_, http] = cluster.addresses();
    let page = "/api/v1/topologies/slow/traces?slowest=true&for=2s&limit=5";
    let (code, text) = get(http, page).expect("it answers");
    assert_eq!(code, 200, "{text}");
    let document: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_slow(&document);
    let fields = |document: &Value| {
        let fields = |it: &Value| it.as_object().map(|it| it.keys().cloned().collect::<Vec<_>>());
        // The first hop of a tree may not have come in yet.
        let hop = trees(document).iter().find_map(|tree| tree["hops"].get(0));
        [fields(document), fields(&document["trees"][0]), hop.and_then(fields)]
    };
    assert_eq!(fields(&document), fields(&slowest), "REST and the command line say the same");

    let failed = trace(&cluster, &["errs", "--failed", "--limit", "2"]);
    assert_eq!(trees(&failed).len(), 2, "{failed:#}");
    for tree in trees(&failed) {
        assert_eq!((&tree["outcome"], &tree["reason"]), (&"failed".into(), &"error".into()));
        let hop = hop(tree, "failed_at");
        assert_eq!((&hop["component"], &hop["state"]), (&"troubled".into(), &"failed".into()));
        assert!(
            hop["text"].as_str().is_some_and(|text| text.starts_with("cannot take")),
            "{hop:#}"
        );
    }
    let shown = cluster.does(&["trace", "errs", "--failed", "--limit", "1"]);
    assert!(shown.contains("failed (error): cannot take"), "{shown}");
    let none = cluster.squall(&["trace", "slow", "--failed", "--for", "1s"]);
    assert!(none.code == 0 && none.stderr.contains("no tree failed"), "{none:?}");

    // Clients that go away leave nothing switched on: there is room for four at a worker.
    for _ in 0..2 {
        let gone = ["trace", "errs", "--slowest", "--for", "1m"];
        let clients: Vec<_> = (0..4).map(|_| cluster.start_squall(&gone)).collect();
        until("there is no room for more", || {
            let more = cluster.squall(&["trace", "errs", "--for", "500ms"]);
            more.stderr.contains("others trace this worker")
        });
        drop(clients);
        until("there is room again", || cluster.squall(&["trace", "errs"]).code == 0);
    }
    for name in ["slow", "errs"] {
        let workers = &cluster.status(name)["workers"];
        let restarts = |worker: &Value| worker["restarts"].as_u64();
        let restarts = workers.as_array().into_iter().flatten().map(restarts);
        assert!(restarts.eq([Some(0); 2]), "nobody was harmed: {workers:#}");
    }
    refused(&cluster);
    cluster.does(&["kill", "slow", "--wait", "--drain", "0s"]);
    submit(&cluster, "untracked", "errors", &["-c", "acking=false"]);
    let untracked = cluster.squall(&["trace", "untracked"]);
    assert!(untracked.code == 75 && untracked.stderr.contains("acking=false"), "{untracked:?}");
    cluster.does(&["kill", "untracked", "--wait", "--drain", "0s"]);
    cluster.does(&["kill", "errs", "--wait", "--drain", "0s"]);
}

/// What cannot be traced is refused with what to do.
fn refused(cluster: &Cluster) {
    for (arguments, code, part) in [
        (&["sloow"][..], 66, "did you mean `slow`"),
        (&["slow", "--component", "numberz"], 66, "did you mean `numbers`"),
        (&["slow", "--component", "troubled"], 66, "is a bolt"),
        (&["slow", "--limit", "101"], 64, "101"),
        (&["slow", "--limit", "0"], 64, "0"),
        (&["slow", "--for", "1h"], 64, "2m"),
    ] {
        let outcome = cluster.squall(&[&["trace"][..], arguments].concat());
        assert!(outcome.stderr.contains(part), "{arguments:?}: {outcome:?}");
        assert_eq!(outcome.code, code, "{arguments:?}: {outcome:?}");
    }
    let [_, http] = cluster.addresses();
    for (query, code) in [
        ("limit=0", 400),
        ("limit=101", 400),
        ("for=0s", 400),
        ("for=1h", 400),
        ("component=x", 404),
    ] {
        let page = format!("/api/v1/topologies/slow/traces?{query}");
        let (answer, text) = get(http, &page).expect("it answers");
        assert_eq!(answer, code, "{query}: {text}");
    }
    cluster.does(&["deactivate", "slow"]);
    until("all that was under way has ended", || {
        let none = cluster.squall(&["trace", "slow", "--for", "300ms"]);
        none.code == 75 && none.stderr.contains("squall activate slow")
    });
}
