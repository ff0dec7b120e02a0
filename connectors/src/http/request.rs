//! What a tuple becomes on its way out.

use serde::Serialize;

/// A request: what is particular to a tuple; the rest is said by [`Http`](super::Http).
///
/// ```
/// use connectors::http::Request;
///
/// let request = Request::json(&["a", "b"]).path("users/7").key("order-17");
/// assert_eq!(request.body(), Ok(&b"[\"a\",\"b\"]"[..]));
/// assert_eq!(Request::bytes("text/plain", "hello").body(), Ok(&b"hello"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    body: Result<Vec<u8>, String>,
    pub(super) content_type: &'static str,
    pub(super) path: String,
    pub(super) url: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) key: Option<String>,
}

impl Request {
    /// With a JSON body. A value that cannot be JSON fails its tuple.
    #[must_use]
    pub fn json<V: Serialize + ?Sized>(value: &V) -> Self {
        let body = serde_json::to_vec(value).map_err(|error| format!("no JSON body: {error}"));
        Self::new(body, "application/json")
    }

    /// With a body of another type.
    #[must_use]
    pub fn bytes(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Ok(body.into()), content_type)
    }

    /// Without a body.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(Ok(Vec::new()), "")
    }

    fn new(body: Result<Vec<u8>, String>, content_type: &'static str) -> Self {
        let (path, url, headers, key) = (String::new(), None, Vec::new(), None);
        Self { body, content_type, path, url, headers, key }
    }

    /// Adds to the path of the address; `..` does not lead out of it. May have a query.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Goes to another URL, whose host [`Http::hosts`](super::Http::hosts) has to list.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// By what the server knows the request again. Say what names the tuple in its source, and a replay
    /// has the same key. Default: a number of its own, which all tries of one call have in common, and a
    /// replay does not.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The body.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn body(&self) -> Result<&[u8], &str> {
        self.body.as_deref().map_err(String::as_str)
    }

    /// Whether it can be one of a batch: nothing but a JSON body is its own.
    pub(super) fn fits_a_batch(&self) -> Result<(), String> {
        let is_plain = self.path.is_empty() && self.url.is_none() && self.headers.is_empty();
        if is_plain && self.content_type == "application/json" {
            return Ok(());
        }
        Err("a request of a batch has a JSON body, and no path, URL or header of its own"
            .to_owned())
    }
}
