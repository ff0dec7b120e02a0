//! The routing table as loops use it: who has which tasks, and the links to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::routing::Table;
use crate::transport::Link;

/// The routing table in force, with the link to each other worker in it.
#[derive(Debug, Default)]
pub struct Routes {
    /// Who has which tasks, by incarnation.
    pub table: Table,
    /// The links, by worker; none in the local form.
    pub links: BTreeMap<u32, Arc<Link>>,
}
