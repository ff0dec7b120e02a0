//! Folders that records are spread over, by time and by key.
//!
//! A key comes out of data, so it may be anything: `../../etc`, a name of a thousand letters, nothing at
//! all. What is not plain in a name is written as `%` and two hexadecimal digits, as in an address of the
//! web; so different keys have different folders, and none leaves the one it belongs to. Pure.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use xxhash_rust::xxh3::xxh3_64;

/// Longest name of a folder made of a key, in bytes; file systems allow 255.
const NAME_BYTES_MAX: usize = 160;

/// How finely time is told by folders.
///
/// ```
/// use connectors::files::TimeFolders;
///
/// assert_ne!(TimeFolders::Day, TimeFolders::Hour);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFolders {
    /// `2026-03-01`, in UTC.
    Day,
    /// `2026-03-01/17`, in UTC.
    Hour,
    /// `2026-03-01/17/59`, in UTC.
    Minute,
}

impl TimeFolders {
    /// The folders of a time, in UTC.
    pub(super) fn of(self, time: SystemTime) -> String {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute) = (second / 3_600, second / 60 % 60);
        match self {
            Self::Day => format!("{year:04}-{month:02}-{day:02}"),
            Self::Hour => format!("{year:04}-{month:02}-{day:02}/{hour:02}"),
            Self::Minute => format!("{year:04}-{month:02}-{day:02}/{hour:02}/{minute:02}"),
        }
    }
}

/// The date so many days after 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// 2013: `civil_from_days`, for days that are not before 1970).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// The name of the folder of a key: `NAME=KEY`.
pub(super) fn key_folder(name: &str, key: &str) -> String {
    let mut folder = format!("{name}=");
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            folder.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            write!(folder, "%{byte:02X}").unwrap_or_default();
        }
    }
    if folder.len() > NAME_BYTES_MAX {
        folder.truncate(NAME_BYTES_MAX - 17);
        write!(folder, "~{:016x}", xxh3_64(key.as_bytes())).unwrap_or_default();
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::{Component, Path};
    use std::time::Duration;

    #[test]
    fn folders_of_time_are_dates_in_utc() {
        for (seconds, folders) in [
            (0, "1970-01-01/00/00"),
            (951_782_399, "2000-02-28/23/59"),
            (951_782_400, "2000-02-29/00/00"),
            (1_772_323_199, "2026-02-28/23/59"),
            (4_107_542_400, "2100-03-01/00/00"),
        ] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(TimeFolders::Minute.of(time), folders);
            assert_eq!(TimeFolders::Hour.of(time), folders[..13]);
            assert_eq!(TimeFolders::Day.of(time), folders[..10]);
        }
    }

    #[test]
    fn plain_keys_stay_as_they_are() {
        assert_eq!(key_folder("country", "de"), "country=de");
        assert_eq!(key_folder("page", "/a b"), "page=%2Fa%20b");
        assert_eq!(key_folder("x", ""), "x=");
        assert_eq!(key_folder("x", "../.."), "x=..%2F..");
    }

    proptest! {
        #[test]
        fn no_key_leaves_its_folder_and_different_keys_have_different_ones(
            one in "\\PC{0,80}|[./\0\\\\]{0,12}|x{150,400}", other in "\\PC{0,80}|x{150,400}",
        ) {
            let folder = key_folder("k", &one);
            let mut parts = Path::new(&folder).components();
            prop_assert!(matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none());
            prop_assert!(folder.len() <= NAME_BYTES_MAX && !folder.contains('\0'));
            prop_assert_eq!(one == other, folder == key_folder("k", &other));
        }
    }
}
