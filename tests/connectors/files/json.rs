//! JSON lines that files out wrote, read by jq.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use connectors::files::{FileFormat, FilesOut};
use topology_api::prelude::*;
use topology_api::testing::{BoltDriver, Setup};

#[derive(Clone, Debug, Tuple)]
struct Reading {
    text: Text,
    number: i64,
    share: f64,
    note: Option<Text>,
    bytes: Vec<u8>,
}

/// What jq makes of the files of a folder.
fn jq(filter: &str, folder: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/jq");
    let mut command = Command::new(script);
    command.args(["run", "-c", "-j", filter]);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    command.args(files.filter(|path| path.extension().is_some_and(|it| it == "jsonl")));
    let outcome = command.output().unwrap();
    assert!(outcome.status.success(), "jq: {}", String::from_utf8_lossy(&outcome.stderr));
    String::from_utf8(outcome.stdout).unwrap()
}

#[test]
fn json_lines_say_to_jq_what_the_tuples_said() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_owned();
    let files = FilesOut::new(&place, FileFormat::JsonLines);
    let setup = Setup::new().tick_every(Duration::from_millis(100));
    let mut store = BoltDriver::explicit(setup, move |cx| files.open(cx)).unwrap();
    let controls: String = (1_u8..0x20).map(char::from).collect();
    let texts = ["", "plain", "\"quoted\" \\ and / slashed", "two\nlines\r\n", "tab\tbell\u{7}"];
    let more =
        [&*controls, "\u{7f}\u{2028}\u{2029}", "Zoë 北京 🌊 \u{10ffff}", "</script>{\"a\":[1"];
    let texts: Vec<&str> = texts.into_iter().chain(more).collect();
    for (number, text) in (0_i64..).zip(&texts) {
        store.execute(Reading {
            text: (*text).into(),
            number: number - 9_007_199_254_740_991,
            share: 0.1 * number as f64,
            note: (number % 2 == 0).then(|| "even".into()),
            bytes: vec![0, 255],
        });
    }
    store.advance(Duration::from_secs(1));
    store.close();
    let said = jq(".text, \"\\u0000\"", &place);
    assert_eq!(said.split_terminator('\0').collect::<Vec<_>>(), texts, "text by text");
    let rest =
        jq("[.number, (.share * 10 | round), .note, .bytes, (keys | length)], \"\\n\"", &place);
    for (number, line) in (0_i64..).zip(rest.lines()) {
        let note = if number % 2 == 0 { "\"even\"" } else { "null" };
        let whole = number - 9_007_199_254_740_991;
        assert_eq!(line, format!("[{whole},{number},{note},\"00ff\",5]"), "the other fields");
    }
    assert_eq!(rest.lines().count(), texts.len());
}
