//! Keys of the Node's annotations.

/// When replacing the Machine of this Node is due: Cluster API's own key and format
/// (`api/core/v1beta2/machine_types.go`), so that it can be copied to the Machine as it is.
pub const MACHINE_EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
/// The path of the certificate that [`MACHINE_EXPIRY`] is from.
pub const MACHINE_CERTIFICATE: &str = "expiryd.dev/machine-rollout-certificate";
/// The earliest expiry of what only a rollout of etcd renews.
pub const ETCD_EXPIRY: &str = "expiryd.dev/etcd-rollout-expiry";
/// The earliest expiry of all counted certificates.
pub const EARLIEST_EXPIRY: &str = "expiryd.dev/earliest-expiry";
/// The path of the certificate that [`EARLIEST_EXPIRY`] is from.
pub const EARLIEST_CERTIFICATE: &str = "expiryd.dev/earliest-certificate";
/// What the report is worth: [`crate::Status`].
pub const STATUS: &str = "expiryd.dev/status";
/// What the agent could not read when it wrote the dates: paths with commas between them, or the digest of a
/// long list; absent when it read everything.
pub const UNREAD: &str = "expiryd.dev/unread";
/// `true` while an earlier date of the Node is kept because less can be read than when it was written.
pub const HELD: &str = "expiryd.dev/held";
/// When the machine was observed; at most a day older than the last good sign of life.
pub const OBSERVED_AT: &str = "expiryd.dev/observed-at";

/// All of them.
pub const ALL: &[&str] = &[
    MACHINE_EXPIRY,
    MACHINE_CERTIFICATE,
    ETCD_EXPIRY,
    EARLIEST_EXPIRY,
    EARLIEST_CERTIFICATE,
    STATUS,
    UNREAD,
    HELD,
    OBSERVED_AT,
];
