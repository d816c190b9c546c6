//! A metric family whose values are known: what the registry asks of it is only to be written.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::exposition::{self, Format};

/// Labels of one sample, in the order in which they are written.
pub(super) type Labels = Vec<(&'static str, String)>;

/// These labels.
pub(super) fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.map(|(key, value)| (key, value.to_owned())).to_vec()
}

/// One family: its name, what it means, and its samples.
#[derive(Debug)]
pub(super) struct ConstFamily {
    name: &'static str,
    help: &'static str,
    counter: bool,
    samples: Vec<(Labels, f64)>,
}

impl ConstFamily {
    /// Values that go up and down.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: false, samples: Vec::new() }
    }

    /// Values that only grow; the written name ends in `_total`.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, counter: true, samples: Vec::new() }
    }

    /// With one sample more.
    pub(super) fn with(mut self, labels: Labels, value: f64) -> Self {
        self.samples.push((labels, value));
        self
    }

    /// With more samples.
    pub(super) fn with_all(mut self, samples: impl IntoIterator<Item = (Labels, f64)>) -> Self {
        self.samples.extend(samples);
        self
    }

    fn value(&self, sample: &mut MetricEncoder<'_>, value: f64) -> Result<(), fmt::Error> {
        if self.counter {
            sample.encode_counter::<NoLabelSet, _, f64>(&value, None)
        } else {
            sample.encode_gauge(&value)
        }
    }

    /// Adds it to the families that are to be written.
    pub(super) fn register(self, families: &mut Vec<Self>) {
        families.push(self);
    }

    /// Its text in this format; nothing when there are no samples.
    pub(super) fn write(self, format: Format) -> String {
        if self.samples.is_empty() {
            return String::new();
        }
        let (name, counter) = (self.name, self.counter);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let text = exposition::write(&registry);
        // The older text format names a counter's family as its samples.
        match (format, counter) {
            (Format::Text, true) => {
                let described = |what| format!("# {what} {name} ");
                ["HELP", "TYPE"].map(described).iter().fold(text, |text, line| {
                    text.replacen(line, &line.replace(name, &format!("{name}_total")), 1)
                })
            }
            _ => text,
        }
    }
}

impl Collector for ConstFamily {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let kind = if self.counter { MetricType::Counter } else { MetricType::Gauge };
        let mut family = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (labels, value) in &self.samples {
            if labels.is_empty() {
                self.value(&mut family, *value)?;
            } else {
                self.value(&mut family.encode_family(labels)?, *value)?;
            }
        }
        Ok(())
    }
}

/// A truth as Prometheus has it.
pub(super) fn truth(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// A count or a time in seconds. Beyond 2^53 it would lose the last digits, which none reaches.
#[expect(clippy::cast_precision_loss, reason = "dates and counts are far below 2^53")]
pub(super) const fn number(value: i64) -> f64 {
    value as f64
}

/// A count.
pub(super) fn count(value: impl TryInto<i64>) -> f64 {
    number(value.try_into().unwrap_or(i64::MAX))
}
