//! Durations and sizes as people write them: `1m30s`, `64MiB`.
//!
//! Both ways: what [`format_duration`] writes, [`parse_duration`] reads back unchanged. A number
//! without a unit is refused for a duration, because seconds and milliseconds are both "obvious".

use std::fmt;
use std::time::Duration;

/// Units of time in nanoseconds, longest first.
const TIMES: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Units of size that are written, largest first.
const SIZES: [(&str, u64); 4] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

/// Units of size that are read besides those.
const OTHER_SIZES: [(&str, u64); 5] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000), ("B", 1)];

/// Why a duration or a size could not be read.
///
/// ```
/// let error = topology_api::parse_duration("30").unwrap_err();
/// assert_eq!(error.to_string(), "`30` has no unit: write it like 250ms, 30s or 1m30s");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    text: String,
    why: String,
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.text, self.why)
    }
}

impl std::error::Error for UnitError {}

fn error(text: &str, why: impl Into<String>) -> UnitError {
    UnitError { text: text.chars().take(64).collect(), why: why.into() }
}

/// Splits the digits off the front of `text`.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Reads a duration: whole numbers with units, `250ms`, `30s`, `1m30s`, `2h`, `1d`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(topology_api::parse_duration("1m30s"), Ok(Duration::from_secs(90)));
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    const LIKE: &str = "write it like 250ms, 30s or 1m30s";
    let mut rest = text.trim();
    let mut nanoseconds: u128 = 0;
    if rest.is_empty() {
        return Err(error(text, format!("is not a duration: {LIKE}")));
    }
    while !rest.is_empty() {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return Err(error(text, format!("is not a duration: {LIKE}")));
        }
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        if unit.is_empty() {
            return Err(error(text, format!("has no unit: {LIKE}")));
        }
        let Some((_, scale)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            let why =
                format!("has no unit `{unit}`: use d, h, m, s, ms, us or ns in whole numbers");
            return Err(error(text, why));
        };
        nanoseconds = number
            .parse::<u64>()
            .ok()
            .and_then(|number| nanoseconds.checked_add(u128::from(number) * scale))
            .filter(|sum| *sum <= u128::from(u64::MAX))
            .ok_or_else(|| error(text, "is longer than 500 years"))?;
        rest = after;
    }
    let nanoseconds = u64::try_from(nanoseconds).map_err(|_| error(text, "is too long"))?;
    Ok(Duration::from_nanos(nanoseconds))
}

/// Writes a duration so that [`parse_duration`] reads it back unchanged.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(topology_api::format_duration(Duration::from_millis(90_250)), "1m30s250ms");
/// ```
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_nanos();
    let mut text = String::new();
    for (unit, scale) in TIMES {
        if rest >= scale {
            text.push_str(&format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a size in bytes: `512`, `10KB` (thousands), `64MiB` (powers of 1024), `1.5GiB`.
///
/// ```
/// assert_eq!(topology_api::parse_size("64MiB"), Ok(64 << 20));
/// assert_eq!(topology_api::parse_size("10KB"), Ok(10_000));
/// ```
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    const LIKE: &str = "is not a size: write it like 512, 10KB or 64MiB";
    let (whole, rest) = digits(text.trim());
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() || (rest.starts_with('.') && fraction.is_empty()) || fraction.len() > 6 {
        return Err(error(text, LIKE));
    }
    let unit = if unit.trim().is_empty() { "B" } else { unit.trim() };
    let known = SIZES.iter().chain(&OTHER_SIZES).find(|(name, _)| name.eq_ignore_ascii_case(unit));
    let Some((_, scale)) = known else {
        return Err(error(text, format!("has no unit `{unit}`: use B, KB, MB, GB, KiB, MiB, GiB")));
    };
    let too_large = || error(text, "is larger than any memory");
    let whole: u64 = whole.parse().map_err(|_| too_large())?;
    let bytes = whole.checked_mul(*scale).ok_or_else(too_large)?;
    if fraction.is_empty() {
        return Ok(bytes);
    }
    let part = fraction.parse::<u128>().map_err(|_| too_large())?;
    let tens = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| too_large())?);
    let part = u64::try_from(part * u128::from(*scale) / tens).map_err(|_| too_large())?;
    bytes.checked_add(part).ok_or_else(too_large)
}

/// Writes a size for people: exact where it is a whole number of a unit, else with one decimal.
///
/// ```
/// assert_eq!(topology_api::format_size(64 << 20), "64MiB");
/// assert_eq!(topology_api::format_size(1_600_000), "1.5MiB");
/// assert_eq!(topology_api::format_size(512), "512B");
/// ```
pub fn format_size(bytes: u64) -> String {
    let Some((unit, scale)) = SIZES.iter().find(|(_, scale)| bytes >= *scale) else {
        return format!("{bytes}B");
    };
    let (whole, rest) = (bytes / scale, bytes % scale);
    // Rounded down: a size never looks larger than the limit that it is under.
    match u128::from(rest) * 10 / u128::from(*scale) {
        0 => format!("{whole}{unit}"),
        tenth => format!("{whole}.{tenth}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases =
            [("5s", 5_000), ("250ms", 250), ("1m30s", 90_000), ("2h", 7_200_000), ("0s", 0)];
        for (text, milliseconds) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn a_wrong_duration_says_what_to_write() {
        for text in ["", "s", "5", "5 s", "1.5s", "-1s", "5x", "99999999999999999999s", "9999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [("512", 512), ("64MiB", 64 << 20), ("10KB", 10_000), ("1.5 GiB", 3 << 29)];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "5X", "1.MiB", "-1", "99999999999TiB", "1.12345678MB"] {
            assert!(parse_size(text).is_err(), "{text} was taken");
        }
    }

    proptest! {
        #[test]
        fn a_written_duration_reads_back(nanoseconds: u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn reading_never_panics(text in ".{0,40}") {
            let _duration = parse_duration(&text);
            let _size = parse_size(&text);
        }
    }
}
