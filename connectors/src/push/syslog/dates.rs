//! Times as syslog writes them, to milliseconds since 1970.

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// The months as RFC 3164 names them.
const MONTHS: [&[u8]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A time of day, in milliseconds.
fn day_ms(hour: i64, minute: i64, second: i64) -> Option<i64> {
    let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..60).contains(&second);
    is_time.then_some(((hour * 60 + minute) * 60 + second) * 1_000)
}

/// The days from 1970 to a date of the Gregorian calendar; none if there is no such date. After
/// H. Hinnant, "chrono-compatible low-level date algorithms" (2013).
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// The year of a day, counted from 1970.
fn year_of(day: i64) -> i64 {
    // Not too late, whichever side of 1970 it is, as years have 365 or 366 days.
    let guess = 1970 + day.div_euclid(366).min(day.div_euclid(365));
    let later = |year: &i64| days(*year + 1, 1, 1).is_some_and(|first| first > day);
    (guess..).find(later).unwrap_or(guess)
}

/// Digits at a place, as a number.
fn digits(text: &[u8], at: usize, count: usize) -> Option<i64> {
    let digits = text.get(at..at + count)?;
    digits.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

fn is(text: &[u8], at: usize, byte: u8) -> Option<()> {
    (text.get(at) == Some(&byte)).then_some(())
}

/// Reads a time as RFC 5424 has it: RFC 3339 with up to six digits after the second.
pub(super) fn rfc3339(text: &[u8]) -> Option<i64> {
    let (year, month, day) = (digits(text, 0, 4)?, digits(text, 5, 2)?, digits(text, 8, 2)?);
    is(text, 4, b'-').and(is(text, 7, b'-')).and(is(text, 10, b'T'))?;
    let (hour, minute, second) = (digits(text, 11, 2)?, digits(text, 14, 2)?, digits(text, 17, 2)?);
    is(text, 13, b':').and(is(text, 16, b':'))?;
    let mut ms = days(year, month, day)? * DAY_MS + day_ms(hour, minute, second)?;
    let mut rest = &text[19..];
    if rest.first() == Some(&b'.') {
        let count = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(1..=6).contains(&count) {
            return None;
        }
        let fraction = digits(rest, 1, count)? * 10_i64.pow(6 - count as u32);
        ms += fraction / 1_000;
        rest = &rest[1 + count..];
    }
    match rest {
        b"Z" => Some(ms),
        [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
            let zone = day_ms(digits(zone, 0, 2)?, digits(zone, 3, 2)?, 0)?;
            Some(if *sign == b'+' { ms - zone } else { ms + zone })
        }
        _ => None,
    }
}

/// Reads a time as RFC 3164 has it, `Mmm dd hh:mm:ss` off the front, taken for UTC and for the year in
/// which it is nearest to `now_ms`.
pub(super) fn rfc3164(text: &[u8], now_ms: i64) -> Option<i64> {
    let month = MONTHS.iter().position(|month| text.starts_with(month))? as i64 + 1;
    is(text, 3, b' ').and(is(text, 6, b' ')).and(is(text, 9, b':')).and(is(text, 12, b':'))?;
    let day = if text[4] == b' ' { digits(text, 5, 1)? } else { digits(text, 4, 2)? };
    let of_day = day_ms(digits(text, 7, 2)?, digits(text, 10, 2)?, digits(text, 13, 2)?)?;
    let year = year_of(now_ms.div_euclid(DAY_MS));
    let times =
        (year - 1..=year + 1).filter_map(|year| Some(days(year, month, day)? * DAY_MS + of_day));
    times.min_by_key(|time| time.abs_diff(now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_the_rfcs_are_read() {
        // The examples of RFC 5424, 6.2.3.1.
        assert_eq!(rfc3339(b"1985-04-12T23:20:50.52Z"), Some(482_196_050_520));
        assert_eq!(rfc3339(b"1985-04-12T19:20:50.52-04:00"), Some(482_196_050_520));
        assert_eq!(rfc3339(b"2003-10-11T22:14:15.003Z"), Some(1_065_910_455_003));
        assert_eq!(rfc3339(b"2003-08-24T05:14:15.000003-07:00"), Some(1_061_727_255_000));
        for wrong in [
            "2003-08-24T05:14:15.000000003-07:00",
            "2003-02-29T00:00:00Z",
            "2003-08-24",
            "",
            "2003-08-24T05:14:15",
            "2003-08-24T24:14:15Z",
            "2003-08-24T05:14:15.Z",
        ] {
            assert_eq!(rfc3339(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_without_a_year_is_the_nearest_one() {
        let at = |text: &str| rfc3339(text.as_bytes()).unwrap();
        let now = at("2026-01-02T00:00:00Z");
        assert_eq!(rfc3164(b"Dec 31 23:59:59 host", now), Some(at("2025-12-31T23:59:59Z")));
        assert_eq!(rfc3164(b"Jan  3 00:00:00", now), Some(at("2026-01-03T00:00:00Z")));
        let leap = at("2024-03-01T00:00:00Z");
        assert_eq!(rfc3164(b"Feb 29 12:00:00", leap), Some(at("2024-02-29T12:00:00Z")));
        for wrong in
            ["Oct 11", "Okt 11 22:14:15", "Oct 41 22:14:15", "Oct 11 22-14-15", "Feb 30 00:00:00"]
        {
            assert_eq!(rfc3164(wrong.as_bytes(), now), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn days_follow_each_other(day in -100_000_i64..100_000) {
            let year = year_of(day);
            let first = days(year, 1, 1).unwrap();
            prop_assert!(first <= day && day < days(year + 1, 1, 1).unwrap());
        }

        #[test]
        fn no_bytes_are_too_strange(text in proptest::collection::vec(any::<u8>(), 0..40), now in any::<i32>()) {
            rfc3339(&text);
            rfc3164(&text, i64::from(now) * 1_000);
        }
    }
}
