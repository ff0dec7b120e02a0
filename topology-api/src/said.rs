//! What a component said of a tuple's failure, for as long as its spout is told of it.
//!
//! The reason of a failure is one of a few words; what the error said is for people, so it goes beside it
//! and may be missing: after a timeout, or when more fails at once than is kept of it.

use std::cell::RefCell;

thread_local! {
    static SAID: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// Tells a spout of a failure, of which this was said.
///
/// ```
/// use topology_api::runtime::saying;
///
/// assert_eq!(saying(Some("no such user".into()), || 7), 7);
/// ```
pub fn saying<R>(text: Option<Box<str>>, tell: impl FnOnce() -> R) -> R {
    if text.is_none() {
        return tell();
    }
    SAID.set(text);
    let told = tell();
    SAID.set(None);
    told
}

/// What was said of the failure that the spout is being told of.
pub(crate) fn said() -> Option<Box<str>> {
    SAID.with_borrow(Clone::clone)
}
