//! What is allowed, what is not, and what stands there when nobody says anything.

use super::*;

#[test]
fn every_default_is_allowed_by_its_own_key() {
    for key in config_keys() {
        assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
    }
}

#[test]
fn the_defaults_are_what_the_reference_says() {
    let config = TopologyConfig::default();
    assert_eq!((config.max_pending(), config.worker_cores()), (10_000, 0));
    let times = [config.message_timeout(), config.stuck_after(), config.kill_after().unwrap()];
    assert_eq!(times, [30, 30, 120].map(Duration::from_secs));
    assert!(config.acking() && config.fusion(), "both are on unless turned off");
    let sizes = [config.worker_memory(), config.tuple_max_bytes(), config.output_budget()];
    assert_eq!(sizes, [512 << 20, 16 << 20, 16 << 20]);
    assert_eq!(config.dead_letters_max_bytes(), 64 << 20);
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
    ];
    for (key, value, part) in refused {
        let error = config.set(key, value).expect_err(value).to_string();
        assert!(error.contains(part), "{error:?} should say {part:?}");
    }
    assert_eq!(config, TopologyConfig::default(), "a refused value changes nothing");
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
