//! The two forms that scrapers read, and gzip.
//!
//! prometheus-client writes OpenMetrics. The older text format differs in little: a counter's
//! family is named like its samples, there is no `# UNIT` and no `# EOF`
//! (`prometheus/docs/content/docs/instrumenting/exposition_formats.md`).

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The text format 0.0.4, for whoever does not ask.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// Each of them.
    pub const ALL: [Self; Self::COUNT] = [Self::Text, Self::OpenMetrics];

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

    /// That of the two which is for it.
    pub fn pick<T>(self, [text, open]: [T; Self::COUNT]) -> T {
        match self {
            Self::Text => text,
            Self::OpenMetrics => open,
        }
    }
}

/// All families of the registry as OpenMetrics, without the end.
pub(super) fn write(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing into a String cannot fail.
    let _ = text::encode_registry(&mut text, registry);
    text
}

/// How an answer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// Not at all (RFC 9110 section 12.5.3).
    Identity,
    /// gzip (RFC 1952).
    Gzip,
}

impl ContentEncoding {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// That of the two which is for it.
    pub fn pick<T>(self, [identity, gzip]: [T; Self::COUNT]) -> T {
        match self {
            Self::Identity => identity,
            Self::Gzip => gzip,
        }
    }

    /// These parts as this says. What is not compressed stays in parts, so that none of it is copied; gzip
    /// members one behind the other are one gzip file (RFC 1952 section 2.2).
    pub fn encode(self, parts: &[Bytes]) -> Vec<Bytes> {
        match self {
            Self::Identity => parts.to_vec(),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                for part in parts {
                    // Writing into a vector cannot fail.
                    let _ = encoder.write_all(part);
                }
                vec![encoder.finish().unwrap_or_default().into()]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::metrics::family::{ConstFamily, Labels};

    fn families() -> [ConstFamily; 2] {
        [
            ConstFamily::counter("looks", "Looks").with(Labels::new(), 3.0),
            ConstFamily::gauge("date", "A date")
                .with(vec![("path", "/a\"b\\c\nd".to_owned())], 1_827_000_000.0),
        ]
    }

    fn written(format: Format) -> String {
        families().map(|family| family.write(format)).concat()
    }

    #[test]
    fn openmetrics_names_a_counter_without_its_total() {
        assert_eq!(
            written(Format::OpenMetrics),
            "# HELP looks Looks\n# TYPE looks counter\nlooks_total 3.0\n\
             # HELP date A date\n# TYPE date gauge\ndate{path=\"/a\\\"b\\\\c\\nd\"} 1827000000.0\n"
        );
    }

    #[test]
    fn the_older_format_names_a_counter_as_its_sample() {
        assert_eq!(
            written(Format::Text),
            "# HELP looks_total Looks\n# TYPE looks_total counter\nlooks_total 3.0\n\
             # HELP date A date\n# TYPE date gauge\ndate{path=\"/a\\\"b\\\\c\\nd\"} 1827000000.0\n"
        );
    }

    #[test]
    fn what_is_compressed_in_parts_adds_up() {
        use std::io::Read as _;
        let parts = ["one ", "two"]
            .map(|text| ContentEncoding::Gzip.encode(&[Bytes::from_static(text.as_bytes())]));
        let all = parts.concat().concat();
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&all[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }
}
