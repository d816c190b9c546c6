//! The two forms that scrapers read, and gzip.
//!
//! prometheus-client writes OpenMetrics. The older text format differs in little: a counter's
//! family is named like its samples, there is no `# UNIT` and no `# EOF`
//! (`prometheus/docs/content/docs/instrumenting/exposition_formats.md`).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text format 0.0.4, for whoever does not ask.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Form {
    pub(super) const COUNT: usize = 2;

    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the last line is.
    pub(super) const fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }

    /// All families of the registry, without the end.
    pub(super) fn write(self, registry: &Registry) -> String {
        let mut open = String::new();
        // Writing into a String cannot fail.
        let _ = text::encode_registry(&mut open, registry);
        match self {
            Self::OpenMetrics => open,
            Self::Text => older(&open),
        }
    }
}

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    Plain,
    /// gzip (RFC 1952).
    Gzip,
}

impl Coding {
    pub(super) const COUNT: usize = 2;
}

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing into a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Turns OpenMetrics into the text format 0.0.4.
fn older(open: &str) -> String {
    let counters: Vec<_> = open
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut text = String::with_capacity(open.len() + 256);
    for line in open.lines() {
        let described = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
            .and_then(|rest| rest.split(' ').next());
        match described.filter(|name| counters.contains(name)) {
            Some(name) => text.push_str(&line.replacen(name, &format!("{name}_total"), 1)),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publish::metrics::family::{Family, Labels};

    fn registry() -> Registry {
        let mut registry = Registry::default();
        Family::counter("looks", "Looks").with(Labels::new(), 3.0).register(&mut registry);
        Family::gauge("date", "A date")
            .with(vec![("path", "/a\"b\\c\nd".to_owned())], 1_827_000_000.0)
            .register(&mut registry);
        registry
    }

    #[test]
    fn openmetrics_names_a_counter_without_its_total() {
        assert_eq!(
            Form::OpenMetrics.write(&registry()),
            "# HELP looks Looks\n# TYPE looks counter\nlooks_total 3.0\n\
             # HELP date A date\n# TYPE date gauge\ndate{path=\"/a\\\"b\\\\c\\nd\"} 1827000000.0\n"
        );
    }

    #[test]
    fn the_older_format_names_a_counter_as_its_sample() {
        assert_eq!(
            Form::Text.write(&registry()),
            "# HELP looks_total Looks\n# TYPE looks_total counter\nlooks_total 3.0\n\
             # HELP date A date\n# TYPE date gauge\ndate{path=\"/a\\\"b\\\\c\\nd\"} 1827000000.0\n"
        );
    }

    #[test]
    fn gzip_members_add_up() {
        use std::io::Read as _;
        let mut text = String::new();
        let both = [gzip(b"one "), gzip(b"two")].concat();
        flate2::read::MultiGzDecoder::new(&both[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }
}
