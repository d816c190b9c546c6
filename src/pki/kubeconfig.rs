//! Client certificates embedded in a kubeconfig (`users[].user.client-certificate-data`).
//!
//! All users count, also those that current-context does not name. Keys and tokens are not
//! decoded. A file that is named instead (`users[].user.client-certificate`) is a source of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Contents, Fault, bundle};
use crate::kubeconfig::Kubeconfig;
use crate::problem::Reason;

pub(super) fn read(bytes: &[u8]) -> Contents {
    let users = match Kubeconfig::parse(bytes) {
        Ok(config) => config.users(),
        Err(why) => return Contents::fault(Fault::of_file(Reason::BadKubeconfig, why)),
    };
    if users.is_empty() {
        return Contents::fault(Fault::of_file(
            Reason::NoCertificate,
            "it is a kubeconfig without users; it may be torn or still being written",
        ));
    }
    let mut contents = Contents::default();
    let mut next = 0;
    for user in users {
        // client-go: data that is there outweighs the file.
        let data = user.certificate_data.unwrap_or_default();
        let data: String = data.split_ascii_whitespace().collect();
        if data.is_empty() {
            match user.certificate.filter(|file| !file.is_empty()) {
                Some(file) => contents.references.push(file),
                None if user.other_credential => {}
                None => contents.faults.push(Fault::of_file(
                    Reason::NoCertificate,
                    "a user in it has neither a client certificate nor another credential",
                )),
            }
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
