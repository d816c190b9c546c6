//! Any bytes as what a client sends: answered or hung up on, and served no longer than the client is
//! there.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use expiryd::clock::Timestamp;
use expiryd::publish::http::{Answers, Pulse, converse};
use expiryd::publish::page::Page;
use expiryd::vitals::Vitals;
use expiryd_fuzz::{NOW, report};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

static PAGE: LazyLock<Arc<Page>> = LazyLock::new(|| {
    let certificate = include_bytes!(
        "../../tests/nodes/ubuntu-control-plane-stacked-etcd/etc/kubernetes/pki/apiserver.crt"
    );
    let report = report(certificate, b"", b"");
    Arc::new(Page::of(Arc::new(report), Vitals::new(Timestamp::from_unix(NOW))))
});

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("one");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let (_pages, page) = watch::channel(Some(Arc::clone(&PAGE)));
        let (_stop, stopped) = watch::channel(false);
        let answers = Answers::new(page, Arc::new(Pulse::new(Duration::from_secs(60))));
        let serving = converse(server, answers, true, || {}, stopped);
        let asking = async {
            // The server may hang up before all is said.
            let _ = client.write_all(bytes).await;
            let _ = client.shutdown().await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            answer
        };
        let (answer, ()) = tokio::join!(asking, serving);
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."));
    });
});
