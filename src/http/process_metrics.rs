//! The figures of both processes for a scrape, rendered at most once a second.

use std::array::from_fn;
use std::sync::{Mutex, PoisonError};

use expiryd_api::Timestamp;
use hyper::body::Bytes;

use super::cached::Cached;
use crate::agent_status::{ProcessProbe, ProcessStats};
use crate::render::metrics::{ContentEncoding, Format, ProcessFigures, of_processes};

/// See the module.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    /// This process's.
    probe: ProcessProbe,
    /// The agent's, as it told them with its last beat.
    agent: Mutex<ProcessStats>,
    cached: [[Cached<Vec<Bytes>>; ContentEncoding::COUNT]; Format::COUNT],
}

impl ProcessMetrics {
    /// Of this process, and none yet of the agent.
    pub(super) fn new() -> Self {
        let cached = from_fn(|_| from_fn(|_| Cached::new(1)));
        Self { probe: ProcessProbe::without_files(), agent: Mutex::default(), cached }
    }

    /// Takes the agent's.
    pub(super) fn set_agent(&self, stats: ProcessStats) {
        *self.agent.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    /// The figures in parts, as of this second.
    pub(super) fn read(
        &self,
        format: Format,
        encoding: ContentEncoding,
        now: Timestamp,
    ) -> Vec<Bytes> {
        let cached = encoding.pick(format.pick(self.cached.each_ref()).each_ref());
        cached.get(now, || {
            let agent = *self.agent.lock().unwrap_or_else(PoisonError::into_inner);
            let figures = ProcessFigures { agent, server: self.probe.read() };
            encoding.encode(&[of_processes(&figures, now, format).into()])
        })
    }
}
