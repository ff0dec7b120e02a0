//! The files of TLS towards etcd, read again when they change.

use std::sync::{Arc, PoisonError};

use daemon::Shutdown;
use daemon::tls::LOOK_EVERY;
use tracing::{error, info};

use super::EtcdStore;
use super::connection::members;

impl EtcdStore {
    /// Reads the files of TLS again whenever they change, until `shutdown` is asked. What is asked
    /// from then on goes over new connections; a watch that is open stays.
    ///
    /// ```no_run
    /// use coordination::{EtcdStore, EtcdTls};
    ///
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let shutdown = daemon::Shutdown::new();
    /// let tls = EtcdTls { ca: Some("etcd-ca.pem".into()), identity: None };
    /// let urls = ["https://db1:2379".to_owned()];
    /// let store = EtcdStore::connect_with(&urls, &tls).await.unwrap();
    /// store.follow_files(&shutdown);
    /// # });
    /// ```
    pub fn follow_files(&self, shutdown: &Shutdown) {
        if !self.site.wants_tls() {
            return;
        }
        let store = self.clone();
        shutdown.spawn_until_asked(async move {
            let mut seen = store.site.look().await;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let now = store.site.look().await;
                if now != std::mem::replace(&mut seen, now.clone()) {
                    store.read_again().await;
                }
            }
        });
    }

    async fn read_again(&self) {
        match members(&self.site).await {
            Ok(fresh) => {
                *self.members.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
                info!("TLS files for etcd read again");
            }
            Err(problem) => {
                error!(%problem, "changed TLS files for etcd cannot be used: the earlier ones stay in use");
            }
        }
    }
}
