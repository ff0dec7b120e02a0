//! What goes on between the batches of an async bolt: woken calls, and late ones.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use super::{AsyncDriver, Call, Returned};
use crate::async_bolt::{AsyncBolt, AsyncCalls, LongCalls};
use crate::{Error, Output};

impl<B, S, F> LongCalls for AsyncDriver<B, S, F>
where
    B: AsyncBolt,
    S: Fn(Rc<B>, Call<B::Input>, Output<B::Output>) -> F + 'static,
    F: Future<Output = Returned<B::Output>> + 'static,
{
    fn limit(&mut self, limits: AsyncCalls) {
        self.limits = limits;
    }

    fn is_full(&self) -> bool {
        self.calls.len() >= self.limits.concurrency as usize
    }

    fn is_ready(&self) -> bool {
        let in_line = self.line.front().map(|at| &self.records[*at as usize]);
        self.calls.has_woken()
            || self.out.is_pulling()
            || in_line.is_some_and(|record| record.has_ended)
    }

    fn poll(&mut self, room: usize) -> Result<(), Error> {
        let mut anew = true;
        self.hand_over(room);
        while self.out.count() < room
            && let Some(at) = self.calls.next_woken(std::mem::take(&mut anew))
        {
            self.go_on(at);
            self.hand_over(room);
        }
        Ok(())
    }

    fn ended_calls(&mut self) -> (u64, Duration) {
        std::mem::take(&mut self.ended_calls)
    }

    fn pass_time(&mut self, now: Duration) -> Option<Duration> {
        self.now = now;
        if self.due? > now {
            return self.due;
        }
        self.due = None;
        for at in 0..self.records.len() {
            let late_at = self.records[at].since.saturating_add(self.deadline);
            if late_at <= now && self.calls.cancel(at as u32) {
                self.ended(at as u32, None);
            } else if self.calls.is_under_way(at as u32) {
                self.due = Some(self.due.map_or(late_at, |due| due.min(late_at)));
            }
        }
        self.due
    }

    fn has_finished(&self) -> bool {
        self.calls.len() == 0 && self.pulling.is_none()
    }
}
