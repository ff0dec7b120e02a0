//! The words of `docs/configuration.md` that no code holds: what is around the tables, which values
//! a flag takes, and why a default is what it is.

/// Before the settings of topologies.
pub(super) const HEAD: &str = "\
# Configuration

This page is made from the code by a test, which fails when the two differ.
[CONTRIBUTING.md](../CONTRIBUTING.md) says how to write it anew.

A flag wins over its environment variable, which wins over the file given with `--config`, which
wins over the default. A key of the file that nobody knows is an error, and so is a value that is
not allowed. What can be set is checked at the start: nothing is read again while a process runs, but
for the files of `--tls-cert`, `--tls-key` and `--tls-ca`.

Durations are whole numbers with units: `250ms`, `30s`, `1m30s`, `2h`, `1d`. Sizes are bytes, or
numbers with a unit: `64MiB` and `1.5GiB` (powers of 1024), `10KB` (thousands). Names are 1 to 128
letters, digits, `.`, `_` or `-`, and start with a letter, a digit or `_`.

## Settings of a topology

The topology sets them itself, with `TopologyBuilder::config(key, value)`. The `[topology]` section
of the file used at `squall submit` wins over that, and `-c key=value` over both. They are fixed when
the topology is submitted; `squall -o json describe NAME` shows those that were set.

";

/// Between those and the flags.
pub(super) const FLAGS: &str = "
## Flags, environment, file

### Everywhere

";

/// After the flags.
pub(super) const TAIL: &str = "
## A file

One file can serve all verbs on all machines; each verb takes what concerns it. A dot in the tables
above stands for a section here.

```toml
cluster = \"default\"
etcd = [\"http://10.0.0.1:2379\", \"http://10.0.0.2:2379\", \"http://10.0.0.3:2379\"]
tls-cert = \"/etc/squall/node.pem\"
tls-key = \"/etc/squall/node-key.pem\"
tls-ca = \"/etc/squall/ca.pem\"

[client]
nimbus = [\"10.0.0.1:6627\", \"10.0.0.2:6627\"]
output = \"table\"

[nimbus]
data-dir = \"/var/lib/squall/nimbus\"
listen = \"0.0.0.0:6627\"
http = \"0.0.0.0:8080\"
binary-max = \"512MiB\"
replication = 2

[supervisor]
data-dir = \"/var/lib/squall/supervisor\"
listen = \"0.0.0.0:6700\"
slots = 8
worker-ports = \"6701-6799\"
binaries-max = \"2GiB\"

[topology]
message_timeout = \"1m\"
\"tuple.max_bytes\" = \"4MiB\"
```

## Other environment variables

| variable | who reads it | meaning |
| --- | --- | --- |
| `RUST_LOG` | daemons, `squall dev`, workers | what is logged, as in `info,nimbus=debug`; without it everything from INFO up, but of the Kafka client from WARN up. Workers inherit it from their supervisor |
| `NO_COLOR` | the same | if it is set, logs on a terminal have no colours |
| `PATH`, `HOME`, `LANG`, `TZ`, `RUST_BACKTRACE` | workers | inherited from their supervisor; nothing else is |
| `SQUALL_MODE`, `SQUALL_SOCKET`, `SQUALL_TOKEN`, `SQUALL_TOPOLOGY`, `SQUALL_NAME`, `SQUALL_WORKER`, `SQUALL_EPOCH`, `SQUALL_LISTEN`, `SQUALL_ADVERTISE`, `SQUALL_CORES`, `SQUALL_CONFIG`, `SQUALL_LOG_FORMAT`, and the `SQUALL_TLS_` ones above | topology binaries | set by the supervisor for its workers, and `SQUALL_MODE=describe` by `squall submit`. Do not set them yourself: a `squall` started with `SQUALL_MODE` takes itself for a topology |
";

/// Which values a flag takes, by the name of its value and its own.
pub(super) fn value(name: &str, long: &str) -> &'static str {
    match (name, long) {
        ("ADDR", "nimbus") => "`host` or `host:port`, several separated by commas",
        ("ADDR", _) => "`ip:port`; port 0 is any that is free",
        ("N", "name") | ("NAME" | "ID", _) => "a name",
        ("N", _) => "a number, 1 or more",
        ("NUMBER", _) => "a number",
        ("SIZE", _) => "a size",
        ("DURATION", _) => "a duration",
        ("FORM", _) => "`text` or `json`",
        ("LEVEL", _) => "`error`, `warn`, `info`, `debug` or `trace`",
        ("FORMAT", _) => "`table`, `wide`, `json` or `yaml`",
        ("FIRST-LAST", _) => "`first-last`, or one port",
        ("HOST", _) => "a name or an IP address, without a port",
        ("URLS", _) => "`http://host:port`, several separated by commas (in the file a list)",
        ("URL", _) => "`http://host:port`",
        ("CGROUP", _) => "a folder below the place where cgroup2 is mounted",
        ("DIR", _) => "a folder; it is made if it is not there",
        ("FILE", _) => "a file",
        ("DAYS", _) => "a number of days, 1 or more",
        ("BINARY", _) => "a program",
        ("BINARY ARGS", _) => "a program, and words for it",
        ("ARGS", _) => "words",
        ("C", _) => "a component",
        ("SPOUT", _) => "a spout",
        ("SHELL", _) => "`bash`, `zsh`, `fish`, `elvish` or `powershell`",
        ("COLUMN", _) => "`name`, `busy`, `rate`, `latency`, `queue`, `pressure` or `failed`",
        ("TEXT", _) => "a part of a name",
        ("VERB", _) => "a verb",
        ("CODE", _) => "a code, as in `SQ6600`",
        ("COMPONENT[.STREAM]", _) => "a component, or `component.stream`",
        ("EXPR", _) => "a [condition](operating.md#live-tuples)",
        ("RE", _) => "a regular expression",
        ("FILTER", _) => "a filter as in `RUST_LOG`, or `reset`",
        ("LETTER", _) => "the id of a letter, as in `machine-1.17`",
        ("COMPONENT=N", _) => "`component=number`, 1 or more",
        ("KEY=VALUE", _) => "`key=value`",
        _ => panic!("say which values `--{long} <{name}>` takes"),
    }
}

/// Values of a flag, and whether it takes them: what `value` says, put to the test.
pub(super) fn samples(name: &str, long: &str) -> &'static [(&'static str, bool)] {
    match (name, long) {
        ("ADDR", "nimbus") => &[("db1", true), ("db1:7,db2", true)],
        ("ADDR", _) => &[("127.0.0.1:0", true), ("[::1]:1", true), ("localhost:1", false)],
        ("N", "name") => &[("a.b_c-1", true), ("../x", false), ("-a", false)],
        ("N", _) => &[("1", true), ("0", false), ("many", false)],
        ("SIZE", _) => &[("1", true), ("1.5GiB", true), ("10KB", true), ("large", false)],
        ("DURATION", _) => &[("1m30s", true), ("30", false)],
        ("FORM", _) => &[("text", true), ("json", true), ("yaml", false)],
        ("LEVEL", _) => &[("warn", true), ("loud", false), ("1", false)],
        ("FORMAT", _) => &[("table", true), ("wide", true), ("yaml", true), ("xml", false)],
        ("FIRST-LAST", _) => &[("1-2", true), ("7", true), ("2-1", false), ("0", false)],
        ("COMPONENT=N", _) => &[("split=2", true), ("split=0", false), ("split", false)],
        ("KEY=VALUE", _) => &[("a=b", true), ("a", false)],
        ("EXPR", _) => &[("n == 1 and w contains x", true), ("n = 1", false), ("n", false)],
        ("RE", _) => &[("a|b", true), ("(", false)],
        _ => &[],
    }
}

/// Why a setting is there, or why its default is what it is.
pub(super) fn reason(of: &str, setting: &str) -> &'static str {
    match (of, setting) {
        ("topology", setting) => topology_reason(setting),
        ("squall", "nimbus") => "Storm's port; with several the one that leads is found",
        ("squall", "output") => "people read tables; every verb writes JSON, failures included",
        ("squall", "config") => "no file is looked for",
        (_, "etcd") => "no default, so that nobody writes into the wrong store; name all members",
        (_, "cluster") => "all keys lie below it, so clusters that share an etcd do not meet",
        (_, "log_format") => "people read it more often than programs",
        (_, "insecure") => "whoever reaches a port can run programs; see [security](security.md)",
        ("squall", "tls_cert" | "tls_key" | "tls_ca") => {
            "none: nothing but loopback is listened on; see [security](security.md)"
        }
        (_, "etcd_ca" | "etcd_cert" | "etcd_key") => "none: whoever runs etcd says what it wants",
        ("nimbus", "http_open_read") => "who may see what runs is who may change it",
        ("nimbus", "http_host") => {
            "none but `--advertise`, `localhost` and addresses: a name that anybody can point here \
             would let pages of other sites in"
        }
        ("nimbus", "id") => "must be the same after a restart and different from the others'",
        (_, "data_dir") => "no default, because what lies there must outlive the process",
        ("nimbus", "listen") => "Storm's port, on loopback: see `--tls-cert`",
        ("nimbus", "http") => "Storm's port, on loopback: see `--tls-cert`",
        (_, "advertise") => "must be given where it listens on every address of the machine",
        ("nimbus", "binary_max") => {
            "room for a binary with debug information; bounds the disk a submit fills"
        }
        ("nimbus", "replication") => {
            "one nimbus alone can take submissions; give 2 where 2 or more run, so that the loss of \
             one loses no binary"
        }
        ("nimbus", "otel_endpoint") => {
            "nobody is told unasked; see [operating](operating.md#opentelemetry)"
        }
        ("nimbus", "otel_ca") => "a collector is none of the cluster: its TLS is its own",
        ("nimbus", "otel_traces") => "workers note trees for it, which costs a little",
        ("supervisor", "slots") => {
            "Storm's four; a slot is a process, and each takes its share of the cores"
        }
        ("supervisor", "listen") => "serves logs to the nimbus; loopback: see `--tls-cert`",
        ("supervisor", "cores_per_worker") => "all slots together use the machine once",
        ("supervisor", "worker_ports") => {
            "needed only where a firewall must know them; give as many as slots and some to spare"
        }
        ("supervisor", "cgroup") => {
            "the parent of the supervisor's own, if that is called `supervisor`; see [operating](operating.md#limits-of-a-worker)"
        }
        ("supervisor", "binaries_max") => {
            "a restart need not fetch again; what runs is never removed"
        }
        _ => panic!("say in `reason` why `{setting}` of `{of}` is as it is"),
    }
}

fn topology_reason(key: &str) -> &'static str {
    match key {
        "max_pending" => {
            "enough for a spout not to wait for its acks across a network; it is also the most that is replayed when a worker dies"
        }
        "message_timeout" => "Storm's; deaths of workers and broken links are noticed without it",
        "acking" => "nothing is lost unless you say that it may be",
        "fusion" => "saves a queue where there is nothing to spread",
        "worker.cores" => "all workers of a machine together use it once; by hand, all cores",
        "stuck_after" => {
            "the call is shown in the status and goes on; see `message_timeout` for its tuple"
        }
        "kill_after" => {
            "a long call is no dead worker, one that never ends is; only on a cluster, see [failures](failures.md)"
        }
        "worker.memory" => {
            "spouts wait from three quarters of it on; see [operating](operating.md#the-memory-of-a-worker)"
        }
        "worker.memory.limit" | "worker.cpu.limit" => {
            "machines differ, and so do components; see [operating](operating.md#limits-of-a-worker)"
        }
        "worker.log.rate" => {
            "86 GB a day, of which 64 MiB are kept; see [operating](operating.md#limits-of-a-worker)"
        }
        "worker.metrics.listen" => {
            "[nimbus](operating.md#status-and-health) shows the same by component; see \
             [operating](operating.md#metrics-of-workers)"
        }
        "worker.log.json" => "people read it more often than programs",
        "tuple.max_bytes" => {
            "a receiver must be able to hold what arrives; larger data belongs beside the stream"
        }
        "dead_letters.max_bytes" => {
            "it is time to look at them before that; a letter counts as its tuple and a good KiB"
        }
        "output.budget" => {
            "one tuple cannot fill the memory; what `emit_from` pulls is not counted"
        }
        _ => panic!("say in `topology_reason` why `{key}` is as it is"),
    }
}
