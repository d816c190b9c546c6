//! Client certificates embedded in a kubeconfig (`users[].user.client-certificate-data`).
//!
//! All users count, also those that current-context does not name. Keys and tokens are not
//! decoded. A file that is named instead (`users[].user.client-certificate`) is a source of its own.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Contents, bundle};
use crate::host_root::HostPath;
use crate::kubeconfig::Kubeconfig;
use crate::problem::{Problem, Reason};

pub(super) fn read(path: &HostPath, bytes: &[u8]) -> Contents {
    let users = match Kubeconfig::parse(bytes) {
        Ok(config) => config.users(),
        Err(why) => return Problem::new(path, Reason::BadKubeconfig, why).into(),
    };
    if users.is_empty() {
        let why = "it is a kubeconfig without users; it may be truncated or still being written";
        return Problem::new(path, Reason::NoCertificate, why).into();
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
                None => contents.problems.push(Problem::new(
                    path,
                    Reason::NoCertificate,
                    "a user in it has neither a client certificate nor another credential",
                )),
            }
            continue;
        }
        let Ok(pem) = STANDARD.decode(&data) else {
            let why = "its client-certificate-data is not valid base64";
            contents.problems.push(Problem {
                index: Some(next),
                ..Problem::new(path, Reason::BadKubeconfig, why)
            });
            next += 1;
            continue;
        };
        let embedded = bundle::read(path, &pem);
        let base = next;
        contents.certificates.extend(embedded.certificates.into_iter().map(|(i, c)| {
            next = next.max(base + i + 1);
            (base + i, c)
        }));
        contents.problems.extend(embedded.problems.into_iter().map(|mut problem| {
            problem.index = problem.index.map(|i| base + i);
            next = next.max(problem.index.map_or(base, |i| i + 1));
            problem
        }));
    }
    contents
}
