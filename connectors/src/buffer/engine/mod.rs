//! What the buffer decides without touching a disk: the format, and what is done with.

pub(super) mod format;
pub(super) mod positions;
