//! The client: the only module, with those below it, that names its crate.
//!
//! The crate packs commands, reads answers, and signs on; sockets, TLS, waiting and trying again are
//! ours, so that they are what they are with every other system.

mod trouble;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use topology_api::Text;

pub(super) use self::trouble::Trouble;

use super::Redis;

/// Commands that change what a connection is: it is shared by all tuples.
const OF_CONNECTION: [&str; 16] = [
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "UNWATCH",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "SSUBSCRIBE",
    "MONITOR",
    "QUIT",
    "AUTH",
    "SELECT",
    "RESET",
    "HELLO",
    "CLIENT",
    "SYNC",
];

/// Bytes that a word of a command takes beside its own.
const WORD_BYTES: usize = 16;

/// A command, word by word.
///
/// ```
/// use connectors::redis::Command;
///
/// let command = Command::new("HINCRBY").arg("views").arg("/index.html").arg(1);
/// assert_eq!(format!("{command:?}"), "HINCRBY with 3 arguments");
/// ```
#[derive(Clone)]
pub struct Command {
    packed: redis::Cmd,
    bytes: usize,
    of_connection: bool,
}

impl Command {
    /// A command of this name, such as `SET`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let of_connection = OF_CONNECTION.iter().any(|it| it.eq_ignore_ascii_case(name));
        Self { packed: redis::cmd(name), bytes: name.len() + WORD_BYTES, of_connection }
    }

    /// Adds an argument: a text, bytes, or a number.
    #[must_use]
    pub fn arg(mut self, argument: impl Argument) -> Self {
        self.bytes += argument.add_to(&mut self.packed) + WORD_BYTES;
        self
    }

    /// About how many bytes it takes on its way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it would change the connection for other tuples.
    pub(super) fn is_of_connection(&self) -> bool {
        self.of_connection
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.packed.args_iter();
        let count = words.len().saturating_sub(1);
        match words.next() {
            Some(redis::Arg::Simple(name)) => write!(f, "{}", String::from_utf8_lossy(name))?,
            _ => write!(f, "nothing")?,
        }
        write!(f, " with {count} arguments")
    }
}

/// What may be an argument of a [`Command`]: texts, bytes and numbers.
///
/// ```
/// fn is_argument(_: impl connectors::redis::Argument) {}
/// is_argument("text");
/// is_argument(vec![0_u8, 255]);
/// is_argument(-1.5);
/// ```
pub trait Argument: sealed::Sealed {
    /// Adds itself, and says how many bytes it has.
    #[doc(hidden)]
    fn add_to(&self, command: &mut redis::Cmd) -> usize;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! arguments {
    ($($kind:ty: $bytes:expr, $length:expr;)*) => {$(
        impl sealed::Sealed for $kind {}
        impl Argument for $kind {
            fn add_to(&self, command: &mut redis::Cmd) -> usize {
                command.arg($bytes(self));
                $length(self)
            }
        }
    )*};
}

/// The most bytes that a number takes.
fn of_number<T>(_: &T) -> usize {
    20
}

arguments! {
    &str: |it: &&str| it.as_bytes().to_vec(), |it: &&str| it.len();
    String: |it: &String| it.as_bytes().to_vec(), String::len;
    &String: |it: &&String| it.as_bytes().to_vec(), |it: &&String| it.len();
    Text: |it: &Text| it.as_bytes().to_vec(), |it: &Text| it.len();
    &Text: |it: &&Text| it.as_bytes().to_vec(), |it: &&Text| it.len();
    Vec<u8>: Vec::clone, Vec::len;
    &[u8]: |it: &&[u8]| it.to_vec(), |it: &&[u8]| it.len();
    i32: |it: &i32| *it, of_number;
    u32: |it: &u32| *it, of_number;
    i64: |it: &i64| *it, of_number;
    u64: |it: &u64| *it, of_number;
    usize: |it: &usize| *it, of_number;
    f64: |it: &f64| *it, of_number;
}

/// What a server answered to a command.
///
/// ```
/// use connectors::redis::Reply;
///
/// assert_eq!(Reply::Bytes(b"hello".to_vec()).text().as_deref(), Some("hello"));
/// assert_eq!(Reply::Integer(7).text().as_deref(), Some("7"));
/// assert_eq!(Reply::Nil.text(), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// There is nothing.
    Nil,
    /// A number.
    Integer(i64),
    /// A value, or a word such as `OK`.
    Bytes(Vec<u8>),
    /// Several.
    List(Vec<Self>),
    /// The command was refused.
    Refused(Refusal),
}

impl Reply {
    /// A value or number as text; what is not UTF-8 becomes U+FFFD.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Integer(number) => Some(number.to_string()),
            Self::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Self::Nil | Self::List(_) | Self::Refused(_) => None,
        }
    }
}

impl From<redis::Value> for Reply {
    fn from(value: redis::Value) -> Self {
        use redis::Value;
        let list = |values: Vec<Value>| Self::List(values.into_iter().map(Self::from).collect());
        match value {
            Value::Int(number) => Self::Integer(number),
            Value::BulkString(bytes) => Self::Bytes(bytes),
            Value::SimpleString(text) => Self::Bytes(text.into_bytes()),
            Value::Okay => Self::Bytes(b"OK".to_vec()),
            Value::Array(values) | Value::Set(values) => list(values),
            Value::ServerError(error) => {
                Self::Refused(Refusal::new(error.code(), error.details().unwrap_or_default()))
            }
            // The others are of the third version of the protocol, which we do not speak.
            _ => Self::Nil,
        }
    }
}

/// Why a server refused a command, in its own words.
///
/// ```
/// use connectors::redis::{Refusal, Reply};
///
/// fn code(reply: &Reply) -> Option<&str> {
///     match reply {
///         Reply::Refused(refusal) => Some(refusal.code()),
///         _ => None,
///     }
/// }
/// assert_eq!(code(&Reply::Nil), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: String,
    text: String,
}

impl Refusal {
    pub(super) fn new(code: &str, text: &str) -> Self {
        Self { code: code.to_owned(), text: text.to_owned() }
    }

    /// Its first word, such as `WRONGTYPE`.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.text)
    }
}

/// A connection; ends with its value.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: MultiplexedConnection,
    redis: Rc<Redis>,
    _driver: Rc<Driver>,
}

/// The tokio task that reads and writes.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Driver {
    #[expect(clippy::disallowed_methods, reason = "it ends with its connection, which aborts it")]
    fn start(driver: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(driver))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Connection {
    /// Connects, signs on, chooses the database, and looks whether it is a Redis.
    pub(super) async fn open(redis: &Redis) -> Result<Self, Trouble> {
        let opened = tokio::time::timeout(redis.connect_timeout, Self::connect(redis)).await;
        opened.unwrap_or_else(|_| {
            let why = format!("no answer within `connect_timeout`, {:?}", redis.connect_timeout);
            Err(Trouble::Away(redis.address.clone(), why))
        })
    }

    async fn connect(redis: &Redis) -> Result<Self, Trouble> {
        let away = |error: std::io::Error| Trouble::Away(redis.address.clone(), error.to_string());
        let socket = TcpStream::connect(&redis.address).await.map_err(away)?;
        socket.set_nodelay(true).map_err(away)?;
        let Some(tls) = &redis.tls else { return Self::sign_on(redis, socket).await };
        let wrong = |why: String| Trouble::Tls(redis.address.clone(), why);
        let config = tls.client("tls").map_err(|error| wrong(error.to_string()))?;
        let name = rustls::pki_types::ServerName::try_from(redis.host().to_owned());
        let name = name.map_err(|error| wrong(error.to_string()))?;
        let secured = TlsConnector::from(config).connect(name, socket).await;
        Self::sign_on(redis, secured.map_err(|error| wrong(error.to_string()))?).await
    }

    async fn sign_on<S>(redis: &Redis, socket: S) -> Result<Self, Trouble>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Signing on and choosing the database are not left to the crate, which would hide the words of
        // the server.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let trouble = |error: RedisError| Trouble::of(redis, &error);
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, socket, config).await;
        let (client, driver) = made.map_err(trouble)?;
        let driver = Rc::new(Driver::start(driver));
        let redis = Rc::new(redis.clone());
        let mut connection = Self { client, redis, _driver: driver };
        connection.authenticate().await?;
        match connection.ask(&Command::new("PING"), Duration::ZERO).await? {
            Reply::Bytes(bytes) if bytes == b"PONG" => {}
            Reply::Refused(refusal) => {
                return Err(Trouble::of_sign_on(&connection.redis, &refusal));
            }
            _ => {
                let why = "it answers `PING` with something else".to_owned();
                return Err(Trouble::NotRedis(connection.redis.address.clone(), why));
            }
        }
        let select = Command::new("SELECT").arg(connection.redis.database);
        if connection.redis.database > 0
            && let Reply::Refused(refusal) = connection.ask(&select, Duration::ZERO).await?
        {
            let address = connection.redis.address.clone();
            return Err(Trouble::Database(address, refusal.to_string()));
        }
        Ok(connection)
    }

    async fn authenticate(&mut self) -> Result<(), Trouble> {
        let redis = Rc::clone(&self.redis);
        let Some(secret) = &redis.password else { return Ok(()) };
        let secret = secret
            .read()
            .map_err(|error| Trouble::Secret(format!("option `password` is wrong: {error}")))?;
        let mut authenticate = Command::new("AUTH");
        if let Some(name) = &redis.username {
            authenticate = authenticate.arg(name);
        }
        match self.ask(&authenticate.arg(secret.reveal()), Duration::ZERO).await? {
            Reply::Refused(refusal) => {
                Err(Trouble::Password(redis.address.clone(), refusal.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// Asks for one thing; waits for `more` beyond the usual.
    pub(super) async fn ask(
        &mut self,
        command: &Command,
        more: Duration,
    ) -> Result<Reply, Trouble> {
        let limit = self.redis.response_timeout.saturating_add(more);
        let asked = tokio::time::timeout(limit, self.client.send_packed_command(&command.packed));
        let answer = asked.await.ok();
        self.within(limit, answer).map(Reply::from)
    }

    /// Sends commands together, as one transaction if so asked, and gives the answer to each; of a
    /// transaction those to `MULTI` and `EXEC` too.
    pub(super) async fn send<'a, I>(
        &mut self,
        commands: I,
        whole: bool,
    ) -> Result<Vec<Reply>, Trouble>
    where
        I: Iterator<Item = &'a Command>,
    {
        let mut pipeline = redis::pipe();
        if whole {
            pipeline.add_command(redis::cmd("MULTI"));
        }
        for command in commands {
            pipeline.add_command(command.packed.clone());
        }
        if whole {
            pipeline.add_command(redis::cmd("EXEC"));
        }
        let (limit, count) = (self.redis.response_timeout, pipeline.len());
        if count == 0 {
            return Ok(Vec::new());
        }
        let sent =
            tokio::time::timeout(limit, self.client.send_packed_commands(&pipeline, 0, count));
        let answer = sent.await.ok();
        let replies = self.within(limit, answer)?;
        Ok(replies.into_iter().map(Reply::from).collect())
    }

    fn within<T>(
        &self,
        limit: Duration,
        answer: Option<Result<T, RedisError>>,
    ) -> Result<T, Trouble> {
        match answer {
            Some(answer) => answer.map_err(|error| Trouble::of(&self.redis, &error)),
            None => {
                let why = format!("no answer within `response_timeout`, {limit:?}");
                Err(Trouble::Away(self.redis.address.clone(), why))
            }
        }
    }
}
