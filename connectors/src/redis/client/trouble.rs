//! Why there is no answer: nobody there, somebody else, or a wrong option.

use redis::{ErrorKind, RedisError};

use super::Refusal;
use crate::redis::Redis;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::redis) enum Trouble {
    #[error("redis at {0} cannot be reached: {1}")]
    Away(String, String),
    #[error(
        "option `address` is wrong: what answers at `{0}` is no Redis server: {1}; name host and port of one, with `tls` if it has that"
    )]
    NotRedis(String, String),
    #[error(
        "option `password` is wrong: redis at {0} said: {1}; set `password` and `username` to what the server knows"
    )]
    Password(String, String),
    #[error("option `database` is wrong: redis at {0} said: {1}; name one that the server has")]
    Database(String, String),
    #[error("{0}")]
    Secret(String),
    #[error(
        "option `tls` is wrong: redis at {0}: {1}; give the authority that signed its certificate"
    )]
    Tls(String, String),
}

impl Trouble {
    /// Says why by what the client says.
    pub(super) fn of(redis: &Redis, error: &RedisError) -> Self {
        let (address, said) = (redis.address.clone(), error.to_string());
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Password(address, said),
            _ if is_of_password(&said) => Self::Password(address, said),
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Self::NotRedis(address, said),
            _ => Self::Away(address, said),
        }
    }

    /// Says why by what the server answered to the first command.
    pub(super) fn of_sign_on(redis: &Redis, refusal: &Refusal) -> Self {
        let (address, said) = (redis.address.clone(), refusal.to_string());
        if is_of_password(&said) {
            Self::Password(address, said)
        } else {
            Self::Away(address, said)
        }
    }
}

/// Whether words of a server are about who we are.
fn is_of_password(said: &str) -> bool {
    let words = ["WRONGPASS", "NOAUTH", "AUTH failed", "without any password", "invalid password"];
    words.iter().any(|word| said.contains(word))
}
