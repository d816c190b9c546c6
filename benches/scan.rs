//! What a look costs: the first one over 10,000 certificates, and later ones.
#![expect(clippy::disallowed_methods, reason = "the benchmark makes the node it looks at")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, reason = "it is a benchmark")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use divan::Bencher;
use expiryd::config::{LayoutOverrides, Limits};
use expiryd::host_root::{HostPath, HostRoot};
use expiryd::pki::read;
use expiryd::scan::Scanner;
use expiryd_api::{SourceKind, Timestamp};
use testkit::certificate::CertificateBuilder;

fn main() {
    divan::main();
}

fn scanner(root: &Path) -> Scanner {
    let root = Arc::new(HostRoot::open(root).unwrap());
    Scanner::new(root, LayoutOverrides::default(), Limits { file_size: 16 << 20, files: 10_000 })
}

/// A node with this many certificate files.
fn node(files: usize) -> tempfile::TempDir {
    let node = tempfile::tempdir().unwrap();
    let pki = node.path().join("etc/kubernetes/pki");
    fs::create_dir_all(&pki).unwrap();
    // A real certificate, with the extensions and key that kubeadm gives it.
    let text =
        fs::read("tests/nodes/ubuntu-control-plane-stacked-etcd/etc/kubernetes/pki/apiserver.crt");
    let text = text.unwrap();
    for file in 0..files {
        fs::write(pki.join(format!("{file}.crt")), &text).unwrap();
    }
    node
}

/// Long after every file was written, so that nothing is parsed again for having just changed.
const LATER: Timestamp = Timestamp::from_unix(4_000_000_000);

#[divan::bench(args = [15, 10_000], sample_count = 20)]
fn first_look(bencher: Bencher<'_, '_>, files: usize) {
    let node = node(files);
    bencher.with_inputs(|| scanner(node.path())).bench_values(|mut scanner| {
        assert_eq!(scanner.scan(LATER).parsed, files);
        scanner
    });
}

#[divan::bench(args = [15, 10_000], sample_count = 20)]
fn nothing_changed(bencher: Bencher<'_, '_>, files: usize) {
    let node = node(files);
    let mut scanner = scanner(node.path());
    scanner.scan(LATER);
    bencher.bench_local(|| assert_eq!(scanner.scan(LATER).parsed, 0));
}

#[divan::bench(args = [15, 10_000], sample_count = 20)]
fn one_file_changed(bencher: Bencher<'_, '_>, files: usize) {
    let node = node(files);
    let mut scanner = scanner(node.path());
    scanner.scan(LATER);
    let changing = node.path().join("etc/kubernetes/pki/7.crt");
    let ends = std::cell::Cell::new(2030);
    bencher
        .with_inputs(|| {
            ends.set(ends.get() + 1);
            fs::write(
                &changing,
                CertificateBuilder::leaf(&format!("{}0101000000Z", ends.get())).pem(),
            )
            .unwrap();
        })
        .bench_local_values(|()| assert_eq!(scanner.scan(LATER).parsed, 1));
}

#[divan::bench]
fn ten_thousand_certificates_in_one_file(bencher: Bencher<'_, '_>) {
    let text = CertificateBuilder::leaf("20300101000000Z").pem().repeat(10_000);
    bencher.bench(|| {
        let contents = read(&HostPath::root(), SourceKind::File, text.as_bytes());
        assert_eq!(contents.certificates.len(), 10_000);
    });
}
