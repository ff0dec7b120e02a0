//! The settings of a topology: what each is, where that comes from, and what it does.

use serde::Serialize;
use topology_api::config_keys;
use utoipa::ToSchema;

use crate::engine::Engine;
use crate::engine::command::Refusal;

/// Every setting of a topology.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Configuration {
    /// The topology's name.
    pub topology: String,
    /// The settings, in the order of the reference; then those that only another version knows.
    pub settings: Vec<Setting>,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Setting {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub value: String,
    /// `submit` if it was set with the topology, in its program or by `-c`; `default` if nobody set it.
    pub origin: &'static str,
    /// What it is if nobody sets it; `null` if this nimbus does not know it.
    pub default: Option<&'static str>,
    /// What it does.
    pub meaning: &'static str,
}

/// Lists the settings of a topology.
///
/// # Errors
///
/// That there is no such topology.
pub fn configuration(engine: &Engine, name: &str) -> Result<Configuration, Refusal> {
    let record = &engine.topology("show the settings of", name)?.record;
    let mut set = record.spec.as_ref().map(|spec| spec.config.clone()).unwrap_or_default();
    let mut settings: Vec<Setting> = Vec::new();
    for key in config_keys() {
        let own = set.remove(key.name);
        settings.push(Setting {
            name: key.name.to_owned(),
            origin: if own.is_some() { "submit" } else { "default" },
            value: own.unwrap_or_else(|| key.default.to_owned()),
            default: Some(key.default),
            meaning: key.meaning,
        });
    }
    let unknown = |(name, value)| Setting {
        name,
        value,
        origin: "submit",
        default: None,
        meaning: "This nimbus does not know it.",
    };
    settings.extend(set.into_iter().map(unknown));
    Ok(Configuration { topology: record.name.clone(), settings })
}
