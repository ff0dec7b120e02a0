//! HTTP out: a request for each tuple, or for many, as the general way to anything else.
//!
//! [`Http`] says where to and how, [`HttpOut`] is the bolt, [`Request`] what a tuple becomes. Only
//! `http/client.rs` names the crate of the client.

mod client;
mod options;
mod out;
mod request;
mod verdict;

pub use self::options::Http;
pub use self::out::HttpOut;
pub use self::request::Request;
