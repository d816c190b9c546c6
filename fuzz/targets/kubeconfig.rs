//! Any bytes as a kubeconfig: read for its certificates, and for the way to the API server.
#![no_main]

use expiryd::kubeconfig::Kubeconfig;
use expiryd::pki::{Kind, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let contents = read(Kind::Kubeconfig, bytes);
    // One whose users name files has neither certificates nor faults.
    assert!(contents.faults.iter().all(|fault| fault.message.len() < 400));
    if let Ok(kubeconfig) = Kubeconfig::parse(bytes) {
        let _ = kubeconfig.current();
    }
});
