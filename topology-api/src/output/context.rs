//! The context that an output carries, so that a component need not keep one.

use super::{Output, SpoutOutput};
use crate::{Context, Tuple};

impl<T: Tuple> Output<T> {
    /// The context of the task: to count, to leave a result, to show an error.
    ///
    /// ```
    /// use topology_api::prelude::*;
    ///
    /// let mut t = TopologyBuilder::new("lengths");
    /// let lines = t.spout("lines", LineFiles::of_arguments).stream();
    /// t.bolt_fn("check", |line: Line, out: &mut Output<Line>| {
    ///     if line.text.len() > 80 {
    ///         out.context().count("too-long", 1);
    ///     }
    ///     Ok(())
    /// })
    /// .shuffle(&lines);
    /// assert!(t.build().is_ok());
    /// ```
    #[must_use]
    pub fn context(&self) -> &Context {
        self.cx.as_ref().expect("a component is not called before its task is open")
    }

    pub(crate) fn set_context(&mut self, cx: &Context) {
        self.cx = Some(cx.clone());
    }
}

impl<T: Tuple, Id> SpoutOutput<T, Id> {
    /// The context of the task: to count, to leave a result, to show an error.
    #[must_use]
    pub fn context(&self) -> &Context {
        self.output.context()
    }
}
