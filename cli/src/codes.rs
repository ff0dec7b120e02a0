//! The code of every error: a number that never changes, and what there is to know about it.
//!
//! The first two digits are the exit code, so `SQ6601` ends with 66. `squall explain-error CODE`
//! shows an entry; `docs/errors.md` is made from the same table. Codes that end in 00 are for what
//! has no code of its own. A number is never given to another error.

use crate::error::Exit;

/// What there is to know about an error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The error.
    pub(crate) code: Code,
    /// What could not be done, in few words.
    pub(crate) title: &'static str,
    /// What leads to it.
    pub(crate) why: &'static str,
    /// What to do.
    pub(crate) fix: &'static str,
    /// A command that runs into it, and one that does not.
    pub(crate) example: &'static str,
}

macro_rules! codes {
    ($($name:ident = $number:literal: $title:literal, $why:literal, $fix:literal, $example:literal;)*) => {
        /// The errors there are.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u16)]
        pub(crate) enum Code { $(#[doc = $title] $name = $number,)* }

        /// Every error, by number.
        pub(crate) const ENTRIES: &[Entry] = &[$(Entry {
            code: Code::$name, title: $title, why: $why, fix: $fix, example: $example,
        },)*];
    };
}

codes! {
    Ended = 0: "ended early",
        "it was interrupted, nobody read its output any more, or all was said", "nothing", "squall logs wc | head";
    CommandLine = 6400: "the command line is wrong",
        "a flag or a verb is unknown, or a value cannot be read",
        "`squall VERB --help` shows examples; a word that is nearly right is suggested",
        "squall list --bogus          # squall list";
    CommandMissing = 6401: "no command was given",
        "`squall` needs a verb", "`squall --help` lists them", "squall          # squall list";
    UnknownSetting = 6402: "a setting cannot be set",
        "no topology has a setting of this name, or its value is out of range",
        "docs/configuration.md lists all settings with what they allow; correct `-c` or [topology]",
        "squall submit ./wc -c max_pendign=5          # -c max_pending=5";
    NotConfirmed = 6403: "a destructive act was not confirmed",
        "what is killed or dropped is gone for good, and nobody said that it is meant; without a terminal \
         nobody can be asked",
        "answer with the name, or give --yes; SQUALL_YES=true answers for a whole script",
        "squall kill wc </dev/null          # add --yes";
    GivenTwice = 6404: "the same was given twice",
        "a component has two numbers of executors", "give each component once",
        "squall rebalance wc -e count=2 -e count=3          # -e count=3";
    SettingMissing = 6405: "a setting without a default is missing",
        "it would be dangerous to guess it: where etcd is, or where data is kept",
        "give the flag, its environment variable or its key in the file",
        "squall nimbus --data-dir /var/lib/squall          # add --etcd http://127.0.0.1:2379";
    Unexplained = 6406: "there is no such error code",
        "codes are SQ and four digits, as errors show them", "docs/errors.md lists all",
        "squall explain-error SQ1          # squall explain-error SQ6601";
    BadName = 6407: "a name cannot be used",
        "names are letters, digits, `.`, `_` and `-`, and begin with a letter or a digit",
        "choose another name", "squall new ../x          # squall new my-topology";
    Data = 6500: "what was given to work on is wrong",
        "nimbus refused what it was sent", "correct what the error names and try again",
        "squall rebalance wc -e count=99          # no more executors than tasks";
    NotAProgram = 6501: "the file is no program that could run here",
        "it is a folder, a script, cut off, or for another kind of machine",
        "build the topology for this kind of machine: cargo build --release",
        "squall submit src/main.rs          # squall submit target/release/wc";
    NoDescription = 6502: "the program does not say which topology it is",
        "it ended without a description, in an error, or said something else",
        "its main must be `worker::main(topology)`; run it by hand to see what it does",
        "squall submit /bin/true          # squall submit target/release/wc";
    BadTopology = 6503: "the topology is not valid",
        "a component reads what nobody emits, a name is used twice, or the like",
        "correct the topology and build it again; `squall validate BINARY` checks it without a cluster",
        "squall validate target/release/wc";
    BadCertificate = 6504: "a certificate cannot be made",
        "the names in it or the key of the authority cannot be used",
        "--host is a name or an address without a port; the key is one of `squall certs init`",
        "squall certs issue node1 --host node1:6627          # --host node1";
    NotThere = 6600: "what was named is not there",
        "there is no topology, component or document of this name",
        "`squall list` shows the topologies there are", "squall describe word-cuont";
    FileUnreadable = 6601: "a file cannot be read",
        "it is not there, or may not be read", "check the path and its permissions",
        "squall submit target/debug/wc          # after cargo build";
    NoLetter = 6602: "there is no such dead letter",
        "it was replayed or dropped meanwhile, or its name is wrong",
        "`squall dead-letters NAME` lists them", "squall dead-letters wc show m-1.17";
    Unavailable = 6900: "somebody who is needed does not answer",
        "the nimbus has no etcd that answers and takes writes",
        "look at `store` in `squall describe`; docs/operating.md says what to do about etcd",
        "squall submit target/release/wc";
    NoNimbus = 6901: "no nimbus answers",
        "none runs at the address, or it is the wrong address",
        "start one with `squall nimbus` or `squall dev`, or name it with --nimbus or SQUALL_NIMBUS",
        "squall list --nimbus 10.0.0.1:6627";
    NoEtcd = 6902: "etcd does not answer",
        "none runs at the address, or the network is cut",
        "start etcd, or correct --etcd (SQUALL_ETCD); without etcd use `squall dev`",
        "squall nimbus --etcd http://127.0.0.1:2379 --data-dir /var/lib/squall";
    CannotListen = 6903: "an address cannot be listened on",
        "another process uses the port, or the machine has no such address",
        "choose another port, or end the other process; port 0 takes any that is free",
        "squall dev --listen 127.0.0.1:6627          # --listen 127.0.0.1:0";
    Unhealthy = 6904: "the doctor found something that does not work",
        "a check failed; each is listed with what to do", "do what the line says, then ask again",
        "squall doctor";
    Internal = 7000: "a bug in squall",
        "something happened that should be impossible", "please report it, with the command and the text",
        "squall describe wc";
    OtherVersion = 7001: "the answer of a nimbus cannot be read",
        "the cluster has another version than this squall", "use the squall of the cluster's version",
        "squall --version";
    CannotCreate = 7300: "what is to be made cannot be made",
        "a folder or file cannot be written: permissions, or a full disk",
        "choose another place, or make room", "squall dev --data-dir /proc/x          # --data-dir /tmp/x";
    NameTaken = 7301: "the name is taken",
        "a topology of this name runs or is being killed",
        "choose another one with --name, or `squall kill` the old one and wait (--wait)",
        "squall submit ./wc          # squall submit ./wc --name wc-2";
    OutputUnwritable = 7302: "the result cannot be written",
        "standard output goes to something that takes no more: a full disk", "make room",
        "squall list > /dev/full";
    AlreadyThere = 7303: "it is there already",
        "nothing that exists is overwritten", "choose another name, or remove what is there",
        "squall new my-topology";
    Temporary = 7500: "not now",
        "the topology is being rebalanced or killed, or the cluster is short of room",
        "`squall describe NAME` shows its state; try again later", "squall rebalance wc";
    NotYetRunning = 7501: "the topology does not run yet",
        "a worker has no slot, is being started, or ends again and again",
        "`squall explain NAME` says what it waits for; `squall logs NAME` what workers wrote",
        "squall submit ./wc --wait --timeout 10m";
    NotYetGone = 7502: "the topology is not gone yet",
        "tuples are still under way, or a machine does not answer",
        "`squall describe NAME` shows what is left; give more time with --timeout",
        "squall kill wc --wait --timeout 5m";
    NoLeader = 7503: "no nimbus leads, or the one that does cannot be reached",
        "an election is under way, or nobody reaches etcd", "wait a few seconds and try again",
        "squall describe";
    BrokeOff = 7504: "an answer broke off",
        "the nimbus or a machine that was asked went away", "try again",
        "squall logs wc -f";
    NotDescribed = 7505: "the program could not be asked what it is",
        "this machine is short of memory or processes", "try again; run it by hand to see more",
        "squall submit target/release/wc";
    Config = 7800: "the configuration is wrong",
        "a setting of a daemon cannot be used", "correct the flag, the variable or the file",
        "squall nimbus --cluster a/b          # --cluster ab";
    ConfigFile = 7801: "the configuration file cannot be used",
        "it is not there, is no TOML, or has a key that nobody knows",
        "docs/configuration.md lists its keys", "squall list --config /etc/squall.toml";
    BadAddress = 7802: "an address cannot be used",
        "it is not host:port", "write it as host:port, for example 127.0.0.1:6627",
        "squall list --nimbus http://x          # --nimbus x:6627";
    TlsFiles = 7803: "the TLS files cannot be used",
        "one is missing, cannot be read, or does not fit the others",
        "give --tls-cert, --tls-key and --tls-ca together; `squall certs issue` makes them",
        "squall list --tls-cert node.pem          # with --tls-key and --tls-ca";
    TlsRefused = 7804: "one end wants TLS, and the other does it otherwise",
        "only one end has certificates, or they are of another authority or for another host",
        "give the certificates of the cluster; leave them out if it has none",
        "squall list --nimbus node1:6627";
    NotANimbus = 7805: "something answers that is no nimbus",
        "--nimbus names the status endpoint, or a server of another kind or version",
        "name the gRPC address of a nimbus: port 6627 if nothing else was said",
        "squall list --nimbus 127.0.0.1:8080          # 127.0.0.1:6627";
}

impl Code {
    /// The exit code of this error.
    pub(crate) fn exit(self) -> Exit {
        match self as u16 / 100 {
            64 => Exit::Usage,
            65 => Exit::Data,
            66 => Exit::NoInput,
            69 => Exit::Unavailable,
            73 => Exit::CannotCreate,
            75 => Exit::Temporary,
            78 => Exit::Config,
            0 => Exit::Unread,
            _ => Exit::Internal,
        }
    }

    /// As people read and type it: `SQ6601`.
    pub(crate) fn text(self) -> String {
        format!("SQ{:04}", self as u16)
    }
}

/// What is only known by its kind.
impl From<Exit> for Code {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Usage => Self::CommandLine,
            Exit::Data => Self::Data,
            Exit::NoInput => Self::NotThere,
            Exit::Unavailable => Self::Unavailable,
            Exit::Internal => Self::Internal,
            Exit::CannotCreate => Self::CannotCreate,
            Exit::Temporary => Self::Temporary,
            Exit::Config => Self::Config,
            Exit::Unread | Exit::Interrupted | Exit::Terminated => Self::Ended,
        }
    }
}

impl Entry {
    /// The entry as Markdown, which reads well on a terminal too.
    pub(crate) fn text(&self) -> String {
        let Self { code, title, why, fix, example } = self;
        let (code, exit) = (code.text(), code.exit() as u8);
        format!(
            "{code}: {title}\n  exit code  {exit}\n  why        {why}\n  fix        {fix}\n  \
             example    {example}"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// All sources of this crate.
    fn sources(folder: &Path, into: &mut String) {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, into);
            } else if path.file_name().is_some_and(|name| name != "codes.rs") {
                into.push_str(&std::fs::read_to_string(path).expect("it is text"));
            }
        }
    }

    #[test]
    fn every_code_is_used_and_has_the_exit_code_of_its_number() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        for entry in ENTRIES {
            let number = entry.code as u16;
            let general = number.is_multiple_of(100);
            let name = format!("Code::{:?}", entry.code);
            assert!(general || text.contains(&name), "no error is {name}: remove it");
            assert_eq!(u16::from(entry.code.exit() as u8), number / 100, "{name}");
        }
        assert!(ENTRIES.is_sorted_by_key(|entry| entry.code as u16), "they stand by number");
    }

    #[test]
    fn the_page_of_errors_says_what_the_code_does() {
        let mut page = include_str!("codes/head.txt").to_owned();
        for Entry { code, title, why, fix, example } in ENTRIES.iter().skip(1) {
            let (code, exit) = (code.text(), code.exit() as u8);
            page += &format!(
                "\n## {code}\n\n{title} (exit code {exit}).\n\n* **Why:** {why}.\n* **Fix:** {fix}.\n\
                 * **Example:** `{example}`\n"
            );
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
        if std::env::var_os("SQUALL_WRITE_DOCS").is_some() {
            std::fs::write(&path, &page).expect("the page can be written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        let fix =
            "docs/errors.md is not what the code says: SQUALL_WRITE_DOCS=1 cargo test -p cli codes";
        assert!(written == page, "{fix}");
    }
}
