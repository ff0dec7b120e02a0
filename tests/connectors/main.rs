//! Connectors against the real servers of others, and clusters that use them.
//!
//! A server comes from `tests/servers/NAME`, which installs it, says where it is, and runs it in the
//! foreground; each test starts its own on ports of its own. One that cannot be had fails the test.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod files;
mod http;
mod kafka;
mod push;
mod redis;
mod relay;
mod weblog;
