//! What is allowed, what is not, and what stands there when nobody says anything.

use super::*;

#[test]
fn the_defaults_are_what_the_reference_says() {
    let config = TopologyConfig::default();
    assert_eq!((config.max_pending(), config.worker_cores()), (10_000, 0));
    let times = [config.message_timeout(), config.stuck_after(), config.kill_after().unwrap()];
    assert_eq!(times, [30, 30, 120].map(Duration::from_secs));
    assert!(config.acking() && config.fusion(), "both are on unless turned off");
    let sizes = [config.worker_memory(), config.tuple_max_bytes(), config.output_budget()];
    assert_eq!(sizes, [512 << 20, 16 << 20, 16 << 20]);
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    let mut config = TopologyConfig::default();
    let refused = [
        ("max_pending", "0", "1 to 1048576"),
        ("max_pending", "1048577", "1 to 1048576"),
        ("message_timeout", "0s", "100ms to 1d"),
        ("message_timeout", "30", "no unit"),
        ("acking", "yes", "true or false"),
        ("tuple.max_bytes", "3TiB", "1KiB to 64MiB"),
        ("worker.memory.limit", "1KiB", "none, or 64MiB to 1024TiB"),
        ("worker.memory.limit", "much", "or none"),
        ("worker.cpu.limit", "0", "none, or 0.01 to 1024"),
        ("worker.metrics.listen", "9100", "none, or IP:PORT or IP:FIRST-LAST"),
        ("worker.metrics.listen", "127.0.0.1:9-", "IP:FIRST-LAST"),
        ("worker.metrics.listen", "127.0.0.1:9-8", "IP:FIRST-LAST"),
        ("worker.metrics.listen", "localhost:9100", "IP:FIRST-LAST"),
        ("worker.cpu.limit", "1.5 cores", "such as 0.5 or 2"),
    ];
    for (key, value, part) in refused {
        let error = config.set(key, value).expect_err(value).to_string();
        assert!(error.contains(part), "{error:?} should say {part:?}");
    }
    assert_eq!(config, TopologyConfig::default(), "a refused value changes nothing");
}

#[test]
fn a_limit_is_none_until_it_is_set_and_halves_what_the_runtime_may_hold() {
    let mut config = TopologyConfig::default();
    assert_eq!((config.worker_memory_limit(), config.worker_cpu_limit()), (None, None));
    assert_eq!(config.worker_log_rate(), Some(1 << 20));
    for (key, value) in [("worker.memory.limit", "256MiB"), ("worker.cpu.limit", "1.5")] {
        config.set(key, value).expect(key);
    }
    let limits = (config.worker_memory_limit(), config.worker_cpu_limit());
    assert_eq!(limits, (Some(256 << 20), Some(1_500)));
    assert_eq!(config.worker_memory(), 128 << 20, "half of what there is");
    config.set("worker.memory", "64MiB").expect("less is allowed");
    assert_eq!(config.worker_memory(), 64 << 20, "less was asked for");
    config.set("worker.log.rate", "none").expect("a limit need not be");
    assert_eq!(config.worker_log_rate(), None);
    assert_eq!(config.worker_metrics_listen(), None);
    for address in ["127.0.0.1:0", "[::1]:9100-9199", "0.0.0.0:9100"] {
        config.set("worker.metrics.listen", address).expect(address);
        assert_eq!(config.worker_metrics_listen(), Some(address));
    }
}

#[test]
fn it_travels_as_a_map_and_is_checked_on_arrival() {
    let config = TopologyConfig::from_pairs([("max_pending", "7")]).expect("7 is allowed");
    let json = serde_json::to_string(&config).expect("a map is JSON");
    assert_eq!(json, r#"{"max_pending":"7"}"#);
    assert_eq!(serde_json::from_str::<TopologyConfig>(&json).expect("it reads back"), config);
    let error = serde_json::from_str::<TopologyConfig>(r#"{"ackin":"true"}"#).unwrap_err();
    assert!(error.to_string().contains("did you mean `acking`?"), "{error}");
}
