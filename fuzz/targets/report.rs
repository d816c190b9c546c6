//! Any bytes as the files of a control plane: the report that comes of them is JSON that says the same
//! when it is read again, and every other form of it can be rendered.
#![no_main]

use expiryd::render::{html, json, metrics};
use expiryd_api::Timestamp;
use expiryd_fuzz::{NOW, report};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (one, other) = bytes.split_at(bytes.len() / 2);
    let report = report(one, bytes, other);

    let written = json::write(&report);
    let again: serde_json::Value = serde_json::from_str(&written).expect("it is JSON");
    assert_eq!(again, serde_json::to_value(&report).expect("it is JSON"));
    let counted = report.certificates.iter().filter(|c| c.counted);
    assert_eq!(
        report.earliest.as_ref().map(|e| e.not_after),
        counted.map(|c| c.certificate.not_after).min()
    );
    let page = html::render(Some(&report)).fill(Timestamp::from_unix(NOW));
    assert!(page.ends_with("</html>") && !page.contains("<script"));
    assert!(metrics::textfile(&report).ends_with('\n'));
});
