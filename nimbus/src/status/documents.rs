//! Which document an address asks for.

use daemon::listen::Security;
use serde::Serialize;
use serde_json::Value;

use super::query::Query;
use super::{component, events, history, model};
use crate::engine::Engine;
use crate::engine::command::{Refusal, RefusalKind};
use crate::engine::event::Now;

/// The documents that there are.
pub(super) const DOCUMENTS: &str = "cluster, supervisors, topologies, events, topologies/NAME, \
                                    topologies/NAME/events, \
                                    topologies/NAME/components/C?sort=S&offset=N&limit=N and \
                                    topologies/NAME/history?component=C&from=MS&step=1|60";

/// Makes the document of this address, as `topologies/NAME/history?step=60`.
///
/// # Errors
///
/// That there is no such document, topology or component, or that the query cannot be read.
pub(super) fn document(
    engine: &Engine,
    address: &str,
    cluster: (&str, &Security),
    now: Now,
) -> Result<Value, Refusal> {
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let (parts, query): (Vec<&str>, _) =
        (path.trim_matches('/').split('/').collect(), Query::of(query));
    Ok(match parts.as_slice() {
        ["cluster"] => to_value(&model::cluster(engine, cluster, now)),
        ["supervisors"] => to_value(&model::supervisors(engine, now)),
        ["topologies"] => to_value(&model::topologies(engine, now)),
        ["topologies", name] => to_value(&model::topology(engine, name, now)?),
        ["events"] => to_value(&events::of_cluster(engine)),
        ["topologies", name, "events"] => to_value(&events::of_topology(engine, name)?),
        ["topologies", name, "components", of] => {
            to_value(&component::component(engine, (name, of), &query, now)?)
        }
        ["topologies", name, "history"] => to_value(&history::history(engine, name, &query, now)?),
        _ => {
            let shown: String = path.chars().take(128).collect();
            let (why, fix) = ("there is no such document", format!("there are {DOCUMENTS}"));
            let what = format!("failed to show `{shown}`");
            return Err(Refusal::new(RefusalKind::NotFound, what, why, fix));
        }
    })
}

fn to_value<T: Serialize>(document: &T) -> Value {
    serde_json::to_value(document).expect("the documents have text keys and finite numbers")
}
