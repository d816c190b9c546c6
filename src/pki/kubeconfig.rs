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

#[cfg(test)]
mod tests {
    use testkit::certificate::CertificateBuilder;

    use super::*;

    /// A kubeconfig with these users, each by its fields.
    fn of_users(users: &[String]) -> Contents {
        let users: Vec<_> =
            users.iter().map(|fields| format!("- name: x\n  user: {{{fields}}}\n")).collect();
        let text = format!("apiVersion: v1\nkind: Config\nusers:\n{}", users.concat());
        read(&HostPath::new("/etc/kubernetes/admin.conf").unwrap(), text.as_bytes())
    }

    fn with_data(pem: &str) -> String {
        format!("client-certificate-data: {}", STANDARD.encode(pem))
    }

    fn problems(contents: &Contents) -> Vec<(Option<usize>, Reason)> {
        contents.problems.iter().map(|problem| (problem.index, problem.reason)).collect()
    }

    #[test]
    fn the_certificates_of_all_users_are_counted_on() {
        let good = CertificateBuilder::leaf("20300101000000Z").pem();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let contents = of_users(&[
            with_data(&good.repeat(2)),
            "client-certificate-data: '%'".to_owned(),
            with_data(&format!("{good}{broken}")),
            with_data(broken),
            with_data(&good),
        ]);
        let indices: Vec<_> = contents.certificates.iter().map(|(index, _)| *index).collect();
        assert_eq!(indices, [0, 1, 3, 6]);
        let bad = Reason::BadCertificate;
        let expected = [(Some(2), Reason::BadKubeconfig), (Some(4), bad), (Some(5), bad)];
        assert_eq!(problems(&contents), expected);
    }

    #[test]
    fn a_user_has_a_certificate_another_credential_or_a_problem() {
        let other = of_users(&["token: abc".to_owned()]);
        assert_eq!((problems(&other), other.references.len()), (vec![], 0));
        let file = of_users(&["client-certificate: /a.pem, token: abc".to_owned()]);
        assert_eq!((problems(&file), file.references), (vec![], vec!["/a.pem".to_owned()]));
        for nothing in ["", "client-certificate: ''", "impersonate: x"] {
            let contents = of_users(&[nothing.to_owned()]);
            assert_eq!(problems(&contents), [(None, Reason::NoCertificate)], "{nothing}");
        }
    }
}
