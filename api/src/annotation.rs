//! Keys of the Node's annotations.

/// When replacing the Machine of this Node is due: Cluster API's own key and format
/// (`api/core/v1beta2/machine_types.go`), so that it can be copied to the Machine as it is.
pub const MACHINE_EXPIRY: &str = "machine.cluster.x-k8s.io/certificates-expiry";
/// The earliest expiry of all counted certificates.
pub const EARLIEST_EXPIRY: &str = "expiryd.dev/earliest-expiry";
/// The path of the certificate that [`EARLIEST_EXPIRY`] is from.
pub const EARLIEST_CERTIFICATE: &str = "expiryd.dev/earliest-certificate";
/// What the report is worth: [`crate::Status`].
pub const STATUS: &str = "expiryd.dev/status";
/// `true` while a date of an earlier, good report is kept because the last one is degraded.
pub const HELD: &str = "expiryd.dev/held";
/// When the machine was observed; at most a day older than the last good sign of life.
pub const OBSERVED_AT: &str = "expiryd.dev/observed-at";

/// All of them.
pub const ALL: &[&str] =
    &[MACHINE_EXPIRY, EARLIEST_EXPIRY, EARLIEST_CERTIFICATE, STATUS, HELD, OBSERVED_AT];
