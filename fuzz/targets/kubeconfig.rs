//! Any bytes as a kubeconfig: read for its certificates, and for the way to the API server.
#![no_main]

use expiryd::host_root::HostPath;
use expiryd::kubeconfig::Kubeconfig;
use expiryd::pki::read;
use expiryd_api::SourceKind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let contents = read(&HostPath::root(), SourceKind::Kubeconfig, bytes);
    // One whose users name files has neither certificates nor problems.
    assert!(contents.problems.iter().all(|problem| problem.message.len() < 400));
    if let Ok(kubeconfig) = Kubeconfig::parse(bytes) {
        let _ = kubeconfig.current();
    }
});
