//! How a supervisor dials a nimbus.

use daemon::listen::Security;
use tonic::transport::Channel;

/// Connects to the nimbus at `address` (`host:port`).
pub(crate) async fn dial(address: &str, security: &Security) -> Result<Channel, String> {
    let endpoint = daemon::grpc::endpoint(address)
        .map_err(|error| format!("{address:?} is no address: {error}"))?;
    daemon::grpc::connect(endpoint, security).await.map_err(|error| {
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("cannot connect to {address}: {}", source.unwrap_or_else(|| error.to_string()))
    })
}
