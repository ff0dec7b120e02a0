//! Making topics, for tests and examples: brokers in production mostly make none by themselves.

use std::time::Duration;

use topology_api::Error;

use super::client::make_topic;
use super::connection::Brokers;

/// Makes topics. Blocks its thread: not for use inside a component.
///
/// ```no_run
/// use connectors::kafka::Topics;
///
/// Topics::new("127.0.0.1:9092").make("orders", 4).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Topics {
    brokers: Brokers,
}

impl Topics {
    /// On the brokers at these addresses.
    #[must_use]
    pub fn new(addresses: &str) -> Self {
        Self { brokers: Brokers::new(addresses).timeout(Duration::from_secs(10)) }
    }

    /// Makes a topic of so many partitions, or gives one that exists so many. Waits until the brokers
    /// have a leader for each.
    ///
    /// # Errors
    ///
    /// The brokers cannot be reached, or refuse.
    pub fn make(&self, topic: &str, partitions: u32) -> Result<(), Error> {
        self.brokers.check()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let made = runtime.block_on(make_topic(&self.brokers, topic, partitions));
        made.map_err(|trouble| trouble.text.into())
    }
}
