//! Reads a message as RFC 5424 (2009) has it, or else tries the older form; what is neither is kept.

use topology_api::Text;

use super::SyslogMessage;
use super::dates::rfc3339;
use super::old;

/// What marks a text as UTF-8 in RFC 5424.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads a message; `now_ms`, in milliseconds since 1970, tells the year where it has none.
///
/// ```
/// use connectors::push::parse_syslog;
///
/// let message = parse_syslog(b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed", 1_065_910_455_000);
/// assert_eq!((&*message.format, &*message.app, &*message.process), ("rfc3164", "su", "7"));
/// assert_eq!(message.time_ms, Some(1_065_910_455_000));
/// ```
#[must_use]
pub fn parse(bytes: &[u8], now_ms: i64) -> SyslogMessage {
    let Some((priority, rest)) = priority(bytes) else { return raw(bytes) };
    let mut message =
        rest.strip_prefix(b"1 ").and_then(new).unwrap_or_else(|| old::read(rest, now_ms));
    (message.facility, message.severity) = (priority >> 3, priority & 7);
    message
}

/// What is no message, as it came: a notice of a user, as RFC 3164 (4.3.3) wants it.
fn raw(bytes: &[u8]) -> SyslogMessage {
    SyslogMessage { format: "raw".into(), facility: 1, severity: 5, text: text(bytes), ..empty() }
}

pub(super) fn empty() -> SyslogMessage {
    SyslogMessage {
        format: Text::default(),
        facility: 0,
        severity: 0,
        time_ms: None,
        host: Text::default(),
        app: Text::default(),
        process: Text::default(),
        message_id: Text::default(),
        data: Text::default(),
        text: Text::default(),
    }
}

/// Bytes as text; what is no UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> Text {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => String::from_utf8_lossy(bytes).as_ref().into(),
    }
}

/// Takes `<number>` off the front: up to three digits without a zero in front, at most 191.
fn priority(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let count = rest.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(count);
    let rest = rest.strip_prefix(b">")?;
    let number: u8 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let padded = digits.len() > 1 && digits[0] == b'0';
    (number <= 191 && !padded).then_some((number, rest))
}

/// Reads what follows the version.
fn new(mut rest: &[u8]) -> Option<SyslogMessage> {
    let time = field(&mut rest)?;
    let time_ms = if time.is_empty() { None } else { Some(rfc3339(time)?) };
    let [host, app, process, message_id] =
        [field(&mut rest)?, field(&mut rest)?, field(&mut rest)?, field(&mut rest)?].map(text);
    let length = data_length(rest)?;
    let (data, rest) = rest.split_at(length);
    let said = match rest {
        [] => rest,
        [b' ', said @ ..] => said.strip_prefix(BOM).unwrap_or(said),
        _ => return None,
    };
    let data = if data == b"-" { Text::default() } else { text(data) };
    let (format, text) = ("rfc5424".into(), text(said));
    Some(SyslogMessage { format, time_ms, host, app, process, message_id, data, text, ..empty() })
}

/// Takes printable ASCII up to a space off the front; `-` stands for nothing.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|byte| *byte == b' ')?;
    let field = &rest[..end];
    *rest = &rest[end + 1..];
    let is_printable = !field.is_empty() && field.iter().all(u8::is_ascii_graphic);
    is_printable.then_some(if field == b"-" { &[] } else { field })
}

/// How many bytes of structured data stand at the front: `-`, or elements in brackets.
fn data_length(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'-') {
        return Some(1);
    }
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        at = element_end(bytes, at + 1)?;
    }
    (at > 0).then_some(at)
}

/// Where an element ends whose name begins at `at`.
fn element_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = name_end(bytes, at)?;
    loop {
        match bytes.get(at)? {
            b']' => return Some(at + 1),
            b' ' => {
                at = name_end(bytes, at + 1)?;
                if bytes.get(at..at + 2)? != b"=\"" {
                    return None;
                }
                at = value_end(bytes, at + 2)?;
            }
            _ => return None,
        }
    }
}

/// Where a name ends: printable ASCII but for `=`, `]`, `"` and the space.
fn name_end(bytes: &[u8], at: usize) -> Option<usize> {
    let is_name = |byte: &&u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    let length = bytes.get(at..)?.iter().take_while(is_name).count();
    (length > 0).then_some(at + length)
}

/// Where a value ends, with its quote: `"`, `\` and `]` stand behind a backslash in it.
fn value_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            b']' => return None,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> SyslogMessage {
        parse(text, 1_065_910_455_000)
    }

    #[test]
    fn the_examples_of_rfc_5424_are_read() {
        let one = read("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8".as_bytes());
        assert_eq!((one.facility, one.severity, &*one.format), (4, 2, "rfc5424"));
        assert_eq!(
            (&*one.host, &*one.app, &*one.process, &*one.message_id),
            ("mymachine.example.com", "su", "", "ID47")
        );
        assert_eq!(&*one.text, "'su root' failed for lonvick on /dev/pts/8");
        let two = read(b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.");
        assert_eq!((&*two.process, two.time_ms), ("8710", Some(1_061_727_255_000)));
        assert_eq!(&*two.text, "%% It's time to make the do-nuts.");
        let three = read(b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"] An application event log entry...");
        assert!(
            three.data.starts_with("[exampleSDID@32473 iut") && three.data.ends_with("\"1011\"]")
        );
        assert_eq!(&*three.text, "An application event log entry...");
        let four = read(b"<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut=\"3\"][examplePriority@32473 class=\"high\"]");
        assert!(four.data.ends_with("class=\"high\"]") && four.text.is_empty());
        assert_eq!(&*read(b"<0>1 - - - - - -").format, "rfc5424", "nothing is said");
    }

    #[test]
    fn values_of_structured_data_may_hold_brackets_behind_a_backslash() {
        let message = read(br#"<13>1 - h a - - [x y="\] \" \\"] [no data]"#);
        assert_eq!((&*message.data, &*message.text), (r#"[x y="\] \" \\"]"#, "[no data]"));
        let wrong = read(br#"<13>1 - h a - - [x y="]"] text"#);
        assert_ne!(&*wrong.format, "rfc5424");
    }

    #[test]
    fn what_has_no_priority_is_raw_and_kept_whole() {
        for text in
            ["", "hello", "<>hello", "<192>hello", "<1234>hello", "<034>hello", "<-1>x", "<1"]
        {
            let message = read(text.as_bytes());
            assert_eq!((&*message.format, &*message.text), ("raw", text));
            assert_eq!((message.facility, message.severity), (1, 5));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_as_rfc_5424_is_read_back(
            facility in 0_u8..24, severity in 0_u8..8, host in "[!-~]{1,20}", app in "[!-~]{1,20}",
            value in "[a-z ]{0,20}", said in "\\PC{0,40}",
        ) {
            prop_assume!(host != "-" && app != "-");
            let value = value.replace('\\', "\\\\");
            let text = format!(
                "<{}>1 2003-10-11T22:14:15.003Z {host} {app} - - [id@1 name=\"{value}\"] {said}",
                u16::from(facility) * 8 + u16::from(severity),
            );
            let message = read(text.as_bytes());
            prop_assert_eq!((message.facility, message.severity), (facility, severity));
            prop_assert_eq!((&*message.host, &*message.app), (&*host, &*app));
            prop_assert_eq!(&*message.data, format!("[id@1 name=\"{value}\"]"));
            prop_assert_eq!(&*message.text, said.trim_start_matches('\u{feff}'));
        }

        #[test]
        fn any_bytes_make_a_message(mut bytes in vec(any::<u8>(), 0..80), head in 0_usize..3) {
            let heads: [&[u8]; 3] = [b"", b"<13>", b"<13>1 - - - - - "];
            bytes.splice(0..0, heads[head].iter().copied());
            let message = read(&bytes);
            prop_assert!(message.severity < 8 && message.facility < 24);
        }
    }
}
