//! Files to files: what is read of one folder is written to another.
//!
//! Arguments: `--in=DIR`, `--out=DIR`, `--state=DIR`; `--once` ends when all was read; `--dead` has what is
//! not text become dead letters, written below `OUT/dead`.

use std::time::Duration;

use connectors::files::{DeadRecord, FileFormat, FilesIn, FilesOut, FilesSpout, NotText};
use topology_api::prelude::{Args, BuildError, Line, Topology, TopologyBuilder};

/// Reads `*.log*` of one folder into files of another.
pub(crate) fn files(args: &Args) -> Result<Topology, BuildError> {
    let folder = |name: &str| args.value(name).unwrap_or_default().to_owned();
    let out = folder("out");
    let mut logs = FilesIn::<Line>::new(folder("in"), "*.log*")
        .state(folder("state"))
        .max_record_bytes(100_000)
        .follow(!args.flag("once"));
    if args.flag("dead") {
        logs = logs.not_text(NotText::DeadLetter);
    }
    logs.check().map_err(|wrong| BuildError::new("files", wrong.to_string()))?;
    let mut t = TopologyBuilder::new("files");
    let spout = t.spout("read", move |cx| logs.open(cx)).parallelism(2);
    let dead = spout.output::<DeadRecord>(FilesSpout::<Line>::DEAD_LETTERS);
    let lines = spout.stream();
    FilesOut::new(&out, FileFormat::text(|line: &Line| &line.text))
        .max_records(5_000)
        .max_age(Duration::from_secs(2))
        .declare(&mut t, "write")
        .parallelism(2)
        .shuffle(&lines);
    FilesOut::<DeadRecord>::new(format!("{out}/dead"), FileFormat::JsonLines)
        .declare(&mut t, "bury")
        .shuffle(&dead);
    t.build()
}
