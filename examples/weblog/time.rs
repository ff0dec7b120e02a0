//! Times of access logs, in UTC.
//!
//! Dates by H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds of a day.
pub const DAY_SECONDS: u64 = 86_400;

/// Reads `10/Oct/2000:13:55:36 -0700` as seconds since 1970; none for what is no such time.
///
/// ```
/// assert_eq!(weblog::time::parse("10/Oct/2000:13:55:36 -0700"), Some(971_211_336));
/// ```
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let (time, zone) = text.split_once(' ')?;
    let mut parts = time.splitn(3, '/');
    let (day, month, rest) = (number(parts.next()?, 1, 31)?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let mut parts = rest.split(':');
    let year = number(parts.next()?, 1970, 9_999)?;
    let (hour, minute) = (number(parts.next()?, 0, 23)?, number(parts.next()?, 0, 59)?);
    let second = number(parts.next()?, 0, 60)?;
    if parts.next().is_some() || zone.len() != 5 {
        return None;
    }
    let zone_seconds =
        number(zone.get(1..3)?, 0, 23)? * 3_600 + number(zone.get(3..5)?, 0, 59)? * 60;
    let local = days(year, month, day) * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
    match zone.get(..1)? {
        "+" => local.checked_sub(zone_seconds),
        "-" => Some(local + zone_seconds),
        _ => None,
    }
}

/// Writes seconds since 1970 as an access log has them.
///
/// ```
/// assert_eq!(weblog::time::format(971_211_336), "10/Oct/2000:20:55:36 +0000");
/// ```
#[must_use]
pub fn format(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let month = MONTHS[month as usize - 1];
    format!("{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000")
}

/// Writes the minute of seconds since 1970 so that it sorts as time does.
///
/// ```
/// assert_eq!(weblog::time::minute(971_211_336), "2000-10-10T20:55Z");
/// ```
#[must_use]
pub fn minute(seconds: u64) -> String {
    let (year, month, day) = date(seconds / DAY_SECONDS);
    let (hour, minute) = (seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}Z")
}

fn number(text: &str, least: u64, most: u64) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && (least..=most).contains(number))
}

/// Days from 1970-01-01 to a date that is not before it (`days_from_civil`).
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970-01-01 (`civil_from_days`).
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + u64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for seconds in (0..4_200_000_000).step_by(9_999_991) {
            assert_eq!(parse(&format(seconds)), Some(seconds), "{}", format(seconds));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "10/Oct/2000:13:55:36",
            "32/Oct/2000:13:55:36 +0000",
            "10/Okt/2000:13:55:36 +0000",
            "10/Oct/2000:24:55:36 +0000",
            "10/Oct/2000:13:55 +0000",
            "10/Oct/2000:13:55:36 0000",
            "10/Oct/2000:13:55:36 +0é0",
            "+1/Oct/2000:13:55:36 +0000",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
