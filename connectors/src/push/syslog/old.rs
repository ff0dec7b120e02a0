//! Reads a message as RFC 3164 (2001) describes what programs send: less a format than a habit.

use topology_api::Text;

use super::SyslogMessage;
use super::dates::{rfc3164, rfc3339};
use super::parse::{empty, text};

/// Longest name of a program that is taken for one.
const TAG_BYTES_MAX: usize = 64;

/// Reads what follows the priority: a time and a host, if they are there, a program, and the text.
pub(super) fn read(mut rest: &[u8], now_ms: i64) -> SyslogMessage {
    let (format, mut host) = ("rfc3164".into(), Text::default());
    let time_ms = time(&mut rest, now_ms);
    if time_ms.is_some() {
        // A program may follow at once: its name ends with a colon or a bracket.
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let word = &rest[..end];
        let is_host =
            !word.is_empty() && end < rest.len() && !word.ends_with(b":") && !word.contains(&b'[');
        if is_host {
            host = text(word);
            rest = &rest[end + 1..];
        }
    }
    let (app, process, rest) = tag(rest);
    SyslogMessage { format, time_ms, host, app, process, text: text(rest), ..empty() }
}

/// Takes a time off the front; some programs write it as RFC 3339.
fn time(rest: &mut &[u8], now_ms: i64) -> Option<i64> {
    const BYTES: usize = 15;
    if let Some(time) = rfc3164(rest, now_ms)
        && matches!(rest.get(BYTES), Some(b' ') | None)
    {
        *rest = rest.get(BYTES + 1..).unwrap_or_default();
        return Some(time);
    }
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let time = rfc3339(&rest[..end])?;
    *rest = &rest[end + 1..];
    Some(time)
}

/// Takes `program:` or `program[process]:` off the front.
fn tag(rest: &[u8]) -> (Text, Text, &[u8]) {
    let nothing = (Text::default(), Text::default(), rest);
    let is_name = |byte: &&u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'[' | b']');
    let length = rest.iter().take(TAG_BYTES_MAX + 1).take_while(is_name).count();
    if length == 0 || length > TAG_BYTES_MAX {
        return nothing;
    }
    let (app, mut after) = rest.split_at(length);
    let mut process: &[u8] = &[];
    if let [b'[', inside @ ..] = after {
        let end = inside.iter().take(TAG_BYTES_MAX).position(|byte| *byte == b']');
        let Some(end) = end else { return nothing };
        (process, after) = (&inside[..end], &inside[end + 1..]);
    }
    let Some(after) = after.strip_prefix(b":") else { return nothing };
    (text(app), text(process), after.strip_prefix(b" ").unwrap_or(after))
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn the_examples_of_rfc_3164_are_read() {
        let now = 1_065_910_455_000;
        let one = parse(
            b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
            now,
        );
        assert_eq!((one.facility, one.severity, &*one.format), (4, 2, "rfc3164"));
        assert_eq!(
            (&*one.host, &*one.app, &*one.text),
            ("mymachine", "su", "'su root' failed for lonvick on /dev/pts/8")
        );
        assert_eq!(one.time_ms, Some(now));
        let two = parse(b"<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", now);
        assert_eq!((&*two.host, &*two.app, &*two.text), ("10.0.0.99", "", "Use the BFG!"));
        let three = parse(b"<165>Aug 24 05:34:00 CST 1987 mymachine myproc[10]: %% It's time", now);
        assert_eq!(&*three.host, "CST", "as the RFC says a relay may take it");
        let four = parse(b"<0>1990 Oct 22 10:52:01 TZ-6 scapegoat.dmz.example.org 10.1.2.3 sched[0]: That's All Folks!", now);
        assert_eq!((four.time_ms, &*four.format), (None, "rfc3164"));
        assert!(four.text.starts_with("1990 Oct 22"), "all of it is text");
    }

    #[test]
    fn what_logger_sends_is_read() {
        let message = parse(b"<13>Nov 21 23:50:00 root[123]: hello: world", 0);
        assert_eq!(
            (&*message.host, &*message.app, &*message.process, &*message.text),
            ("", "root", "123", "hello: world")
        );
        let bare = parse(b"<13>just a text: of somebody", 0);
        assert_eq!((&*bare.app, &*bare.text), ("", "just a text: of somebody"));
        let iso = parse(b"<13>2003-10-11T22:14:15.003Z host app: said", 0);
        assert_eq!((&*iso.host, &*iso.app, iso.time_ms), ("host", "app", Some(1_065_910_455_003)));
    }
}
