//! The PKI of an etcd machine, as etcdadm writes it (`certs/certs.go`, `apis/config.go`), with the end that
//! the test wants.

use crate::authority::{Authority, Pair};
use crate::host::Host;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose};
use time::OffsetDateTime;

use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};

/// Where it is (etcdadm `constants.go`).
pub const FOLDER: &str = "etc/etcd/pki";

/// Writes all of it, save the CA's key, which nobody here reads.
pub fn write(
    host: &Host,
    authority: &Authority,
    name: &str,
    address: &str,
    not_after: OffsetDateTime,
) {
    let names = vec![name.to_owned(), address.to_owned()];
    let served = [names.clone(), vec!["localhost".to_owned(), "127.0.0.1".to_owned()]].concat();
    let both = vec![ServerAuth, ClientAuth];
    let client = |name: &str| (name.to_owned(), Vec::new(), vec![ClientAuth]);
    for (file, (name, names, usages)) in [
        ("server", (name.to_owned(), served, both.clone())),
        ("peer", (name.to_owned(), names, both)),
        ("etcdctl-etcd-client", client(&format!("{name}-etcdctl"))),
        ("apiserver-etcd-client", client(&format!("{name}-kube-apiserver-etcd-client"))),
    ] {
        let pair = sign(authority, &name, names, usages, not_after);
        host.write(&format!("{FOLDER}/{file}.crt"), pair.certificate);
        host.write(&format!("{FOLDER}/{file}.key"), pair.key);
    }
    host.write(&format!("{FOLDER}/ca.crt"), authority.pem());
}

/// The pair that etcdadm-controller keeps for the API servers and uses itself (`controllers/certs.go`).
pub fn client(authority: &Authority, cluster: &str, not_after: OffsetDateTime) -> Pair {
    let name = format!("{cluster}-kube-apiserver-etcd-client");
    sign(authority, &name, Vec::new(), vec![ClientAuth], not_after)
}

/// What a member and its agent serve at this address.
pub fn server(authority: &Authority, address: &str, not_after: OffsetDateTime) -> Pair {
    let names = vec![address.to_owned()];
    sign(authority, "etcd", names, vec![ServerAuth, ClientAuth], not_after)
}

fn sign(
    authority: &Authority,
    name: &str,
    names: Vec<String>,
    usages: Vec<ExtendedKeyUsagePurpose>,
    not_after: OffsetDateTime,
) -> Pair {
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    // etcdadm `constants.go`, MastersGroup.
    params.distinguished_name.push(DnType::OrganizationName, "system:masters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = usages;
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = not_after;
    authority.sign(&params)
}
