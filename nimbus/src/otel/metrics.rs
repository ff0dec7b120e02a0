//! A page of metrics as requests of OTLP (OpenTelemetry Protocol 1.x): each family is one metric.
//!
//! A collector takes messages of four mebibytes unless it is told otherwise, so a large page goes out in
//! several: a metric may be in more than one of them, each of its points is in one.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{attribute, scope};

/// Points of one request: half a kilobyte each where they are large.
const POINTS_MAX: usize = 2_000;

/// A sample: name, labels as they are written, and the value.
type Sample<'a> = (&'a str, &'a str, f64);

/// Makes the requests; counts began at the first of the times, in ns since 1970, and are of the second.
pub(super) fn requests(
    page: &str,
    resource: &Resource,
    times: (u64, u64),
) -> impl Iterator<Item = ExportMetricsServiceRequest> + use<> {
    let mut metrics = Vec::new();
    let mut lines = page.lines().peekable();
    while let Some(line) = lines.next() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let kind = lines.next_if(|line| line.starts_with("# TYPE "));
        let kind = kind.and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
        let mut samples = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            samples.extend(sample(line));
        }
        let begun = Metric {
            name: name.to_owned(),
            description: help.to_owned(),
            unit: if name.contains("_seconds") { "s" } else { "" }.to_owned(),
            ..Metric::default()
        };
        metrics.extend(
            family((name, kind), &samples, times)
                .into_iter()
                .map(|(points, data)| (points, Metric { data: Some(data), ..begun.clone() })),
        );
    }
    let resource = resource.clone();
    in_parts(metrics).map(move |metrics| {
        let scope_metrics = vec![ScopeMetrics { scope: scope(), metrics, ..Default::default() }];
        let resource = Some(resource.clone());
        let of_resource = ResourceMetrics { resource, scope_metrics, ..Default::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
    })
}

/// Puts metrics together until they have as many points as a request may have.
fn in_parts(metrics: Vec<(usize, Metric)>) -> impl Iterator<Item = Vec<Metric>> {
    let mut rest = metrics.into_iter().peekable();
    std::iter::from_fn(move || {
        let (first, metric) = rest.next()?;
        let (mut all, mut points) = (vec![metric], first);
        while let Some((more, metric)) = rest.next_if(|(more, _)| points + more <= POINTS_MAX) {
            points += more;
            all.push(metric);
        }
        Some(all)
    })
}

/// The points of a family, in parts that fit, each with how many they are.
fn family(
    (name, kind): (&str, &str),
    samples: &[Sample<'_>],
    times: (u64, u64),
) -> Vec<(usize, Data)> {
    let temporality = AggregationTemporality::Cumulative.into();
    let mut parts = Vec::new();
    if kind == "histogram" {
        let points = histogram(name, samples, times);
        parts.extend(points.chunks(POINTS_MAX / 4).map(|points| {
            let data_points = points.to_vec();
            // Each has as many buckets as four others have room.
            let histogram = Histogram { data_points, aggregation_temporality: temporality };
            (points.len() * 4, Data::Histogram(histogram))
        }));
        return parts;
    }
    let points = numbers(samples, times);
    parts.extend(points.chunks(POINTS_MAX).map(|points| {
        let data_points = points.to_vec();
        let data = match kind {
            "counter" => Data::Sum(Sum {
                data_points,
                aggregation_temporality: temporality,
                is_monotonic: true,
            }),
            _ => Data::Gauge(Gauge { data_points }),
        };
        (points.len(), data)
    }));
    parts
}

/// Reads `name{labels} value`.
fn sample(line: &str) -> Option<Sample<'_>> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, labels) = head.split_once('{').unwrap_or((head, ""));
    Some((name, labels.strip_suffix('}').unwrap_or(labels), value.parse().ok()?))
}

fn numbers(
    samples: &[Sample<'_>],
    (start_time_unix_nano, time_unix_nano): (u64, u64),
) -> Vec<NumberDataPoint> {
    let point = |(_, labels, value): &Sample<'_>| NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano,
        time_unix_nano,
        value: Some(number_data_point::Value::AsDouble(*value)),
        ..NumberDataPoint::default()
    };
    samples.iter().map(point).collect()
}

fn histogram(name: &str, samples: &[Sample<'_>], times: (u64, u64)) -> Vec<HistogramDataPoint> {
    let mut points: BTreeMap<&str, HistogramDataPoint> = BTreeMap::new();
    for (part, labels, value) in samples {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole numbers"
        )]
        let count = *value as u64;
        let own = labels.rsplit_once(",le=\"").map_or(*labels, |(own, _)| own);
        let point = points.entry(own).or_default();
        match part.strip_prefix(name) {
            Some("_sum") => point.sum = Some(*value),
            Some("_count") => point.count = count,
            _ => {
                let edge = labels.rsplit("le=\"").next().unwrap_or_default().trim_end_matches('"');
                point.explicit_bounds.extend(edge.parse::<f64>().ok().filter(|it| it.is_finite()));
                // Each has those of the edges before it: here it is to have only its own.
                let before: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push(count.saturating_sub(before));
            }
        }
    }
    let complete = |(labels, mut point): (&str, HistogramDataPoint)| {
        point.attributes = attributes(labels);
        (point.start_time_unix_nano, point.time_unix_nano) = times;
        point
    };
    points.into_iter().map(complete).collect()
}

/// Reads `name="value",...` with its escapes.
fn attributes(labels: &str) -> Vec<KeyValue> {
    let (mut all, mut rest) = (Vec::new(), labels);
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
        for (at, c) in quoted.char_indices() {
            match (escaped, c) {
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = at + 1;
                    break;
                }
                (true, 'n') => {
                    value.push('\n');
                    escaped = false;
                }
                _ => {
                    value.push(c);
                    escaped = false;
                }
            }
        }
        all.push(attribute(name, &value));
        rest = quoted[end..].trim_start_matches(',');
    }
    all
}

#[cfg(test)]
mod tests {
    use daemon::exposition::{Edges, Spread, labels, text};
    use prost::Message;

    use super::*;

    #[test]
    fn each_family_becomes_a_metric_with_its_labels() {
        let text = text(|page| {
            page.gauge("squall_up", "Up.", [(labels([]), 1)]);
            page.counter("squall_n_total", "N.", [(labels([("a", "x\"},\n\\"), ("b", "y")]), 7)]);
            let buckets = [(0, 2), (3, 1), (u64::MAX, 4)];
            let spread = Spread { buckets: buckets.into_iter(), sum: 9 };
            page.histogram("squall_s", "S.", &Edges::PLAIN, [(labels([("a", "b")]), spread)]);
        });
        let mut all = requests(&text, &Resource::default(), (1, 2));
        let request = all.next().expect("there is one");
        assert!(all.next().is_none(), "they are few");
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<&str> = metrics.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["squall_up", "squall_n_total", "squall_s"]);
        let Some(Data::Sum(sum)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
        let expected = vec![attribute("a", "x\"},\n\\"), attribute("b", "y")];
        assert_eq!(sum.data_points[0].attributes, expected);
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
        let Some(Data::Histogram(it)) = &metrics[2].data else { panic!("{:?}", metrics[2]) };
        let point = &it.data_points[0];
        assert_eq!((point.count, point.sum, point.explicit_bounds.len()), (7, Some(9.0), 33));
        assert_eq!((point.bucket_counts.len(), &point.bucket_counts[..3]), (34, &[2, 0, 1][..]));
        assert_eq!(point.bucket_counts[33], 4, "above all edges");
        assert_eq!(point.attributes, [attribute("a", "b")]);
    }

    #[test]
    fn a_large_page_goes_out_in_requests_that_a_collector_takes() {
        let of = |at: usize| labels([("topology", "t"), ("component", &format!("component-{at}"))]);
        let spreads = (0..1_200).map(|at| {
            let spread = Spread { buckets: [(1_023, 1)].into_iter(), sum: 1 };
            (of(at), spread)
        });
        let text = text(|page| {
            page.gauge("squall_many", "Many.", (0..5_000).map(|at| (of(at), at)));
            page.histogram("squall_spread_seconds", "Spread.", &Edges::EXECUTE, spreads);
        });
        let (mut gauges, mut histograms, mut largest) = (0, 0, 0);
        for request in requests(&text, &Resource::default(), (1, 2)) {
            largest = largest.max(request.encoded_len());
            for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
                match &metric.data {
                    Some(Data::Gauge(it)) => gauges += it.data_points.len(),
                    Some(Data::Histogram(it)) => histograms += it.data_points.len(),
                    _ => panic!("{metric:?}"),
                }
            }
        }
        assert_eq!((gauges, histograms), (5_000, 1_200), "each of them once");
        assert!(largest < 1 << 20, "the largest has {largest} bytes");
    }
}
