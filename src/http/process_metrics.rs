//! The process's own figures for a scrape, rendered at most once a second.

use std::array::from_fn;

use expiryd_api::Timestamp;
use hyper::body::Bytes;

use crate::agent_status::ProcessProbe;
use crate::render::Cached;
use crate::render::metrics::{ContentEncoding, Each, Format, of_process, pick};

/// See the module.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    probe: ProcessProbe,
    cached: Each<Cached<Vec<Bytes>>>,
}

impl ProcessMetrics {
    /// Opens what the figures are read from.
    pub(super) fn open() -> Self {
        let cached = from_fn(|_| from_fn(|_| Cached::new(1)));
        Self { probe: ProcessProbe::open(), cached }
    }

    /// The figures in parts, as of this second.
    pub(super) fn read(
        &self,
        format: Format,
        encoding: ContentEncoding,
        now: Timestamp,
    ) -> Vec<Bytes> {
        let cached = pick(&self.cached, format, encoding);
        cached.get(now, || of_process(&self.probe.read(), now, format, encoding))
    }
}
