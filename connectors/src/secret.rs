//! Secrets by reference: a topology is told where a password is, not what it is.
//!
//! Arguments of a topology are shown in the status and kept in the store; an environment variable or
//! a file of the machine is not. A secret is read where it is needed, each time: a new password needs
//! no new submission.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use topology_api::Error;

use crate::WrongOption;

/// Most bytes of a secret in a file.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Where a secret is: `env:NAME`, an environment variable of the worker, or `file:PATH`, a file on its
/// machine whose last line break does not count.
///
/// ```
/// use connectors::Secret;
///
/// let secret: Secret = "env:PATH".parse().unwrap();
/// assert!(!secret.read().unwrap().reveal().is_empty());
/// assert_eq!(format!("{:?}", secret.read().unwrap()), "SecretText(..)");
/// assert!("hunter2".parse::<Secret>().is_err(), "a password itself is refused");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// In this environment variable.
    Env(String),
    /// In this file.
    File(PathBuf),
}

impl FromStr for Secret {
    type Err = WrongOption;

    fn from_str(text: &str) -> Result<Self, WrongOption> {
        match text.split_once(':') {
            Some(("env", name)) if !name.is_empty() => Ok(Self::Env(name.to_owned())),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            // What was given may be the secret itself.
            _ => Err(WrongOption::new(
                "secret",
                "..",
                "it is not a reference to a secret",
                "write `env:NAME` or `file:PATH`",
            )),
        }
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Secret {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The variable or file does not exist, is too large, or is not UTF-8. The text names where, and
    /// nothing of what is there.
    pub fn read(&self) -> Result<SecretText, Error> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                format!("secret `{self}`: the worker has no such variable, or it is not UTF-8; set `{name}` where the supervisor is started")
            })?,
            Self::File(path) => {
                let size = std::fs::metadata(path).map_err(|it| format!("secret `{self}`: {it}"))?.len();
                if size > FILE_BYTES_MAX {
                    return Err(format!("secret `{self}`: {size} bytes are too many; at most {FILE_BYTES_MAX}").into());
                }
                let text = std::fs::read_to_string(path).map_err(|it| format!("secret `{self}`: {it}"))?;
                text.strip_suffix('\n').map(|it| it.strip_suffix('\r').unwrap_or(it).to_owned()).unwrap_or(text)
            }
        };
        Ok(SecretText(text))
    }
}

/// A secret that was read; not shown by accident.
///
/// ```
/// let text = connectors::Secret::Env("PATH".to_owned()).read().unwrap();
/// assert_eq!(format!("{text:?}"), "SecretText(..)");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The secret itself: only for the client that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_its_text_without_the_last_line_break() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "hunter2\r\n").unwrap();
        let secret: Secret = format!("file:{}", file.path().display()).parse().unwrap();
        assert_eq!(secret.read().unwrap().reveal(), "hunter2");
    }

    #[test]
    fn errors_name_the_place_and_never_the_secret() {
        let missing = Secret::Env("SQUALL_NO_SUCH_VARIABLE".to_owned());
        assert!(missing.read().unwrap_err().to_string().contains("SQUALL_NO_SUCH_VARIABLE"));
        assert!(!"hunter2".parse::<Secret>().unwrap_err().to_string().contains("hunter2"));
        let large = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(large.path(), "x".repeat(100_000)).unwrap();
        let told = Secret::File(large.path().into()).read().unwrap_err().to_string();
        assert!(told.contains("too many") && !told.contains("xxx"), "{told}");
    }
}
