//! Client certificates embedded in a kubeconfig (`users[].user.client-certificate-data`).
//!
//! All users count, also those that current-context does not name. Keys and tokens are not
//! decoded, and a certificate that the kubeconfig only points to is a source of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Contents, Fault, bundle};
use crate::problem::Reason;

/// The part of client-go's `clientcmd/api/v1.Config` that holds client certificates.
#[derive(Deserialize)]
struct Kubeconfig {
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedUser {
    #[serde(default)]
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(default)]
    client_certificate_data: Option<String>,
}

pub(super) fn read(bytes: &[u8]) -> Contents {
    // A byte order mark is legal in YAML, and lost on some parsers.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let broken = |why: &str| Contents::fault(Fault::of_file(Reason::BadKubeconfig, why));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return broken("it is not UTF-8 text, so it is no kubeconfig");
    };
    // The parser's own message may quote the line, and with it a private key.
    let Ok(kubeconfig) = serde_saphyr::from_str::<Option<Kubeconfig>>(text) else {
        return broken("it is no readable YAML kubeconfig; it may be torn or still being written");
    };
    let users = kubeconfig.and_then(|k| k.users).unwrap_or_default();
    if users.is_empty() {
        return Contents::fault(Fault::of_file(
            Reason::NoCertificate,
            "it is a kubeconfig without users; it may be torn or still being written",
        ));
    }
    let mut contents = Contents::default();
    let mut next = 0;
    for data in users.into_iter().filter_map(|u| u.user?.client_certificate_data) {
        let data: String = data.split_ascii_whitespace().collect();
        if data.is_empty() {
            continue;
        }
        let Ok(pem) = STANDARD.decode(&data) else {
            contents.faults.push(Fault {
                index: Some(next),
                reason: Reason::BadKubeconfig,
                message: "its client-certificate-data is no base64".to_owned(),
            });
            next += 1;
            continue;
        };
        let embedded = bundle::read(&pem);
        let base = next;
        contents.certificates.extend(embedded.certificates.into_iter().map(|(i, c)| {
            next = next.max(base + i + 1);
            (base + i, c)
        }));
        contents.faults.extend(embedded.faults.into_iter().map(|mut fault| {
            fault.index = fault.index.map(|i| base + i);
            next = next.max(fault.index.map_or(base, |i| i + 1));
            fault
        }));
    }
    contents
}
