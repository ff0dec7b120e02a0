//! Tuple trees as requests of OTLP: a tree is a trace, what its spout did is the first span, and each hop is
//! one below that it came of.
//!
//! Ids are made of the topology, the tree and the hop, so a tree that is pushed twice is one trace.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use sha2::{Digest, Sha256};

use super::{NS, attribute, scope, with_value};
use crate::engine::traces::{Hop, HopState, Outcome, Traces, Tree};

/// Makes the request; nothing if no tree has ended.
pub(super) fn request(traces: &Traces, resource: &Resource) -> Option<ExportTraceServiceRequest> {
    let ended = traces.trees.iter().filter(|tree| tree.outcome != Outcome::Open);
    let spans: Vec<Span> = ended.flat_map(|tree| spans(&traces.topology, tree)).collect();
    let scope_spans = vec![ScopeSpans { scope: scope(), spans, ..ScopeSpans::default() }];
    if scope_spans[0].spans.is_empty() {
        return None;
    }
    let resource = Some(resource.clone());
    let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
    Some(ExportTraceServiceRequest { resource_spans })
}

fn spans(topology: &str, tree: &Tree) -> Vec<Span> {
    let trace = id::<16>(&[topology, &tree.id]);
    let of_spout = id::<8>(&[topology, &tree.id, "spout"]);
    let of_hop = |number: usize| id::<8>(&[topology, &tree.id, &number.to_string()]);
    let begin = tree.began_ms * NS;
    let mut attributes = place(&tree.supervisor, &tree.host, tree.worker, tree.task);
    attributes.push(attribute("squall.topology", topology));
    attributes.push(attribute("squall.component", &tree.component));
    attributes.push(attribute("squall.tree", &tree.id));
    let root = Span {
        trace_id: trace.to_vec(),
        span_id: of_spout.to_vec(),
        name: format!("{topology} {}", tree.component),
        kind: SpanKind::Producer.into(),
        start_time_unix_nano: begin,
        end_time_unix_nano: begin + ns(tree.took_us),
        attributes,
        status: Some(status(tree.outcome == Outcome::Failed, tree.reason.as_deref(), None)),
        ..Span::default()
    };
    let hop = |hop: &Hop| {
        let parents: Vec<[u8; 8]> = hop.parents.iter().map(|parent| of_hop(*parent)).collect();
        let parent = parents.first().copied().unwrap_or(of_spout);
        let links = parents.iter().skip(1).map(|parent| Link {
            trace_id: trace.to_vec(),
            span_id: parent.to_vec(),
            ..Link::default()
        });
        Span {
            trace_id: trace.to_vec(),
            span_id: of_hop(hop.number).to_vec(),
            parent_span_id: parent.to_vec(),
            links: links.collect(),
            ..of(topology, begin, hop)
        }
    };
    [root].into_iter().chain(tree.hops.iter().map(hop)).collect()
}

/// The span of a hop, without ids.
fn of(topology: &str, begin: u64, hop: &Hop) -> Span {
    let start = begin + ns(Some(hop.start_us));
    let came = start + ns(hop.way_us);
    let called = came + ns(hop.wait_us);
    let event = |at: u64, name: &str| Event {
        time_unix_nano: at,
        name: name.to_owned(),
        ..Event::default()
    };
    let events = [
        hop.way_us.map(|_| event(came, "queued")),
        hop.execute_us.map(|_| event(called, "executing")),
        hop.held_us.map(|_| event(called + ns(hop.execute_us), "held")),
    ];
    let mut attributes = place(&hop.supervisor, &hop.host, hop.worker, Some(hop.task));
    attributes.push(attribute("squall.component", &hop.component));
    attributes.push(with_value("squall.fused", Value::BoolValue(hop.fused)));
    Span {
        name: format!("{topology} {}", hop.component),
        kind: SpanKind::Consumer.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start + ns(Some(hop.width_us())),
        attributes,
        events: events.into_iter().flatten().collect(),
        status: Some(status(
            hop.state == HopState::Failed,
            hop.reason.as_deref(),
            hop.text.as_deref(),
        )),
        ..Span::default()
    }
}

/// Where something ran, as far as that is known.
fn place(supervisor: &str, host: &str, worker: Option<u32>, task: Option<u32>) -> Vec<KeyValue> {
    let text = |key: &str, value: &str| (!value.is_empty()).then(|| attribute(key, value));
    let number =
        |key: &str, value: Option<u32>| Some(with_value(key, Value::IntValue(value?.into())));
    let known = [
        text("squall.supervisor", supervisor),
        text("host.name", host),
        number("squall.worker", worker),
        number("squall.task", task),
    ];
    known.into_iter().flatten().collect()
}

fn status(failed: bool, reason: Option<&str>, text: Option<&str>) -> Status {
    let words: Vec<&str> = [reason, text].into_iter().flatten().collect();
    let code = if failed { StatusCode::Error } else { StatusCode::Ok };
    Status { code: code.into(), message: words.join(": ") }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float to an integer saturates, which is meant"
)]
fn ns(us: Option<f64>) -> u64 {
    (us.unwrap_or(0.0) * 1_000.0) as u64
}

/// An id that follows from words.
fn id<const N: usize>(words: &[&str]) -> [u8; N] {
    let digest = Sha256::digest(words.join("/"));
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A tree of a spout, a bolt, and one behind it that failed.
    pub(in crate::otel) fn traces() -> Traces {
        let hop = |number: usize, parents: Vec<usize>, state: HopState| Hop {
            number,
            parents,
            component: format!("bolt-{number}"),
            task: 7,
            worker: Some(2),
            state,
            reason: (state == HopState::Failed).then(|| "error".to_owned()),
            text: (state == HopState::Failed).then(|| "no such word".to_owned()),
            start_us: 10.0,
            way_us: Some(1.0),
            wait_us: Some(2.0),
            execute_us: Some(3.0),
            ..Hop::default()
        };
        let tree = Tree {
            id: "00000000000000ab".to_owned(),
            outcome: Outcome::Failed,
            reason: Some("error".to_owned()),
            component: "lines".to_owned(),
            began_ms: 1_000,
            took_us: Some(50.0),
            hops: vec![hop(0, vec![], HopState::Acked), hop(1, vec![0], HopState::Failed)],
            ..Tree::default()
        };
        let open = Tree { id: "00000000000000cd".to_owned(), ..Tree::default() };
        Traces { topology: "clicks".to_owned(), trees: vec![tree, open], ..Traces::default() }
    }

    #[test]
    fn a_tree_is_a_trace_and_each_hop_a_span_below_that_it_came_of() {
        let request = request(&traces(), &Resource::default()).expect("one has ended");
        let spans = &request.resource_spans[0].scope_spans[0].spans;
        assert_eq!(spans.len(), 3, "the one that is open is left out");
        let [root, first, second] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((root.name.as_str(), root.parent_span_id.len()), ("clicks lines", 0));
        assert_eq!(root.end_time_unix_nano - root.start_time_unix_nano, 50_000);
        assert_eq!(
            (&first.parent_span_id, &second.parent_span_id),
            (&root.span_id, &first.span_id)
        );
        assert!(spans.iter().all(|span| span.trace_id == root.trace_id && span.span_id.len() == 8));
        assert_eq!(first.start_time_unix_nano, 1_000_010_000);
        assert_eq!(first.end_time_unix_nano, 1_000_016_000);
        let times = |span: &Span| {
            let events = span.events.iter().map(|it| (it.name.clone(), it.time_unix_nano));
            events.collect::<Vec<_>>()
        };
        let expected = [("queued", 1_000_011_000), ("executing", 1_000_013_000)];
        assert_eq!(times(first), expected.map(|(name, at)| (name.to_owned(), at)));
        let said = |span: &Span| span.status.clone().unwrap_or_default();
        assert_eq!(said(first).code, i32::from(StatusCode::Ok));
        let error = said(second);
        assert_eq!(
            (error.code, error.message.as_str()),
            (StatusCode::Error.into(), "error: no such word")
        );
    }

    #[test]
    fn a_tree_that_is_pushed_twice_is_one_trace() {
        let again = || request(&traces(), &Resource::default());
        assert_eq!(again(), again());
    }
}
