//! How it goes: what is reported, counted and waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use topology_api::Context;

use super::client::{Kind, Trouble};
use crate::{Circuit, CircuitState, Retry};

/// How it goes, stage by stage.
#[derive(Debug)]
pub(super) struct Health {
    cx: Context,
    circuit: Circuit,
    /// What goes wrong and was reported.
    troubled: BTreeSet<&'static str>,
    /// What went wrong last.
    last: String,
}

impl Health {
    pub(super) fn new(retry: Retry, cx: &Context) -> Self {
        let circuit = Circuit::shown(retry, cx);
        Self { cx: cx.clone(), circuit, troubled: BTreeSet::new(), last: String::new() }
    }

    /// How long to wait before the brokers are asked again; none: now.
    pub(super) fn wait(&mut self) -> Option<Duration> {
        self.circuit.wait(self.cx.now())
    }

    /// What is away, if the brokers do not answer.
    pub(super) fn away(&self) -> Option<String> {
        let is_away = self.circuit.state() != CircuitState::Closed;
        is_away.then(|| format!("kafka: {}", self.last))
    }

    /// A stage went well.
    pub(super) fn worked(&mut self, stage: &'static str) {
        if !self.troubled.is_empty() {
            self.troubled.remove(stage);
        }
        self.circuit.worked();
    }

    /// A stage went wrong: gives how long to wait. It is reported when it went well before.
    pub(super) fn failed(&mut self, stage: &'static str, trouble: &Trouble) -> Duration {
        if self.troubled.insert(stage) {
            self.cx.report_error(&format!("kafka {stage}: {}", trouble.text));
        }
        self.cx.count("trouble", 1);
        self.last.clone_from(&trouble.text);
        match trouble.kind {
            // The brokers answered.
            Kind::Missing | Kind::TooLarge | Kind::Refused => Duration::ZERO,
            Kind::Retriable | Kind::Fatal => self.circuit.failed(self.cx.now(), rand::random()),
        }
    }
}
