//! Any bytes as what a client sends: answered or hung up on, and served no longer than the client is
//! there.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use expiryd::agent_status::AgentStats;
use expiryd::http::{Answers, exchange};
use expiryd::render::Snapshot;
use expiryd_api::Timestamp;
use expiryd_fuzz::{NOW, report};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
    let certificate = include_bytes!(
        "../../tests/nodes/ubuntu-control-plane-stacked-etcd/etc/kubernetes/pki/apiserver.crt"
    );
    let report = report(certificate, b"", b"");
    Snapshot::render(&report, &AgentStats::new(Timestamp::from_unix(NOW)))
});

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("one");
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let (_stop, stopped) = watch::channel(false);
        let answers = Answers::new(Duration::from_secs(60));
        answers.show(SNAPSHOT.clone());
        let serving = exchange(server, answers, true, || true, stopped);
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
