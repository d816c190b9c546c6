//! Any text as os-release: the ID is a word that can stand in a report, a metric and a log line.
#![no_main]

use expiryd::layout::parse_os_id;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(id) = parse_os_id(text) {
        assert!(!id.is_empty());
        assert!(
            id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
        );
    }
});
