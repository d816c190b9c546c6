//! Any bytes as a kubeconfig: read for its certificates, and for the way to the API server.
#![no_main]

use expiryd::kubeconfig::Kubeconfig;
use expiryd::pki::{Kind, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let contents = read(Kind::Kubeconfig, bytes);
    assert!(!contents.certificates.is_empty() || !contents.faults.is_empty());
    if let Ok(kubeconfig) = Kubeconfig::parse(bytes) {
        let _ = kubeconfig.current();
    }
});
