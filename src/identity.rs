//! Who expiryd is to the API server: the kubelet of its own Node, or a pod's ServiceAccount.
//!
//! The kubelet's identity may patch its own Node and nothing else (Node authorizer and
//! NodeRestriction admission), which no RBAC rule could say as well. It is read anew for every
//! request: the kubelet rotates it. Never admin.conf.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use expiryd_api::SourceKind;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use crate::config::{NodeConfig, Pod, SERVICE_ACCOUNT};
use crate::host_root::{HostPath, HostRoot, ReadError};
use crate::kubeconfig::Kubeconfig;
use crate::layout;
use crate::pki::read;
use crate::tls::pem;

/// What the C library reads to find an address by its name (`nsswitch.conf(5)`, `gai.conf(5)`).
const RESOLVER: &[&str] = &[
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
];

/// What has to be read to talk to the API server.
#[derive(Debug, Default)]
pub struct Reads {
    /// Files of the host.
    pub of_host: Vec<HostPath>,
    /// Files of this process's own file system.
    pub own: Vec<&'static str>,
}

/// Where the identity comes from.
#[derive(Debug, Clone)]
pub enum IdentitySource {
    /// The kubelet's kubeconfig of the host.
    Kubelet(Arc<HostRoot>),
    /// The ServiceAccount of this pod.
    ServiceAccount(Pod),
}

/// Everything for one request.
pub struct Identity {
    /// Host and port to connect to.
    pub server: (String, u16),
    /// What the server's certificate must be for.
    pub server_name: ServerName<'static>,
    /// A path that comes before every request's own.
    pub prefix: String,
    /// Trust in the cluster's CA, and the client certificate if there is one.
    pub tls: Arc<ClientConfig>,
    /// Value of the Authorization header, if a token is the credential.
    pub authorization: Option<Zeroizing<String>>,
    /// The Node's name.
    pub node: String,
    /// What to call it in messages.
    pub name: String,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityError {
    /// This machine has no identity: nothing to be done about it, or not yet.
    Absent(String),
    /// It is there and cannot be used.
    Unusable(String),
}

impl IdentitySource {
    /// The ServiceAccount if this is a pod that was told its Node's name, else the kubelet.
    pub fn new(root: Arc<HostRoot>, config: &NodeConfig) -> Self {
        config.pod.clone().map_or(Self::Kubelet(root), Self::ServiceAccount)
    }

    /// What [`Self::load`] and a request read.
    pub fn reads(&self) -> Reads {
        let (of_host, mut own, server) = match self {
            Self::Kubelet(root) => {
                let path = layout::kubelet_kubeconfig(root);
                let text = pem::read(root, &path).unwrap_or_default();
                let current =
                    Kubeconfig::parse(&text).ok().and_then(|config| config.current().ok());
                let named = current.iter().flat_map(|(cluster, user)| {
                    [&cluster.authority, &user.certificate, &user.key].into_iter().flatten()
                });
                let directory = path.parent().unwrap_or_else(HostPath::root);
                let named = named.map(|name| directory.join(name)).collect::<Vec<_>>();
                let endpoint = current.and_then(|(c, _)| Endpoint::parse(&c.server).ok());
                let of_host = [vec![path], named].concat();
                (of_host, Vec::new(), endpoint.map(|endpoint| endpoint.host))
            }
            Self::ServiceAccount(Pod { server: (host, _), .. }) => {
                (Vec::new(), vec![SERVICE_ACCOUNT], Some(host.clone()))
            }
        };
        if server.is_some_and(|host| host.parse::<IpAddr>().is_err()) {
            own.extend(RESOLVER);
        }
        Reads { of_host, own }
    }

    /// Reads the identity as it is now. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn load(&self) -> Result<Identity, IdentityError> {
        match self {
            Self::Kubelet(root) => kubelet(root),
            Self::ServiceAccount(pod) => service_account(pod),
        }
    }
}

fn kubelet(root: &HostRoot) -> Result<Identity, IdentityError> {
    let path = layout::kubelet_kubeconfig(root);
    let text = match pem::read(root, &path) {
        Err(ReadError::NotFound) => {
            return Err(IdentityError::Absent(format!(
                "{path} does not exist, so this machine has no Node of its own"
            )));
        }
        text => text.map_err(|error| unusable(&format!("{path}: {error}")))?,
    };
    from_kubeconfig(root, &path, &text).map_err(|why| unusable(&format!("{path}: {why}")))
}

fn unusable(why: &str) -> IdentityError {
    IdentityError::Unusable(format!("the kubelet's identity cannot be used: {why}"))
}

fn from_kubeconfig(root: &HostRoot, path: &HostPath, text: &[u8]) -> Result<Identity, String> {
    let (cluster, user) = Kubeconfig::parse(text)?.current()?;
    let directory = path.parent().unwrap_or_else(HostPath::root);
    let load = |field: &str, data: Option<&str>, file: Option<&str>| {
        load(root, &directory, field, data, file)
    };

    let authority = load(
        "certificate-authority",
        cluster.authority_data.as_deref(),
        cluster.authority.as_deref(),
    )?;
    let certificate =
        load("client-certificate", user.certificate_data.as_deref(), user.certificate.as_deref())?;
    let key =
        load("client-key", user.key_data.as_ref().map(|key| key.as_str()), user.key.as_deref())?;
    let contents = read(path, SourceKind::Kubelet, &certificate);
    let node = contents.certificates.first().and_then(|(_, c)| c.node_name()).ok_or(
        "its client certificate is not for a CN of the form system:node:NAME, so it names no Node",
    )?;
    let node = node.to_owned();
    let endpoint = Endpoint::parse(&cluster.server)?;
    let name = cluster.tls_server_name.as_deref().unwrap_or(&endpoint.host);
    Ok(Identity {
        server_name: server_name(name)?,
        tls: with_certificate(trust(&authority)?, &certificate, &key)?,
        authorization: None,
        name: format!("system:node:{node}"),
        node,
        server: (endpoint.host, endpoint.port),
        prefix: endpoint.prefix,
    })
}

/// The bytes of a field, embedded or in a file of the host.
fn load(
    root: &HostRoot,
    directory: &HostPath,
    field: &str,
    data: Option<&str>,
    file: Option<&str>,
) -> Result<Zeroizing<Vec<u8>>, String> {
    match (data.filter(|data| !data.is_empty()), file) {
        (Some(data), _) => STANDARD
            .decode(data.trim())
            .map(Zeroizing::new)
            .map_err(|_| format!("its {field}-data is not valid base64")),
        (None, Some(file)) => {
            let path = directory.join(file);
            if path.file_name().ends_with(b".key") {
                return Err(format!(
                    "its {field} is {path}, and expiryd opens no *.key; the kubelet's own is a \
                     .pem with certificate and key"
                ));
            }
            pem::read(root, &path).map_err(|error| format!("its {field} {path}: {error}"))
        }
        (None, None) => Err(format!("it has no {field}")),
    }
}

fn service_account(pod: &Pod) -> Result<Identity, IdentityError> {
    let Pod { node, server } = pod.clone();
    let read = |name: &str| {
        let path = Path::new(SERVICE_ACCOUNT).join(name);
        std::fs::read(&path).map(Zeroizing::new).map_err(|error| {
            IdentityError::Unusable(format!("{} cannot be read: {error}", path.display()))
        })
    };
    let unusable =
        |why: String| IdentityError::Unusable(format!("the ServiceAccount cannot be used: {why}"));
    let roots = trust(&read("ca.crt")?).map_err(unusable)?;
    let token = read("token")?;
    let token = std::str::from_utf8(&token).map_err(|e| unusable(e.to_string()))?;
    Ok(Identity {
        server_name: server_name(&server.0).map_err(unusable)?,
        server,
        prefix: String::new(),
        tls: Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()),
        authorization: Some(Zeroizing::new(format!("Bearer {}", token.trim()))),
        node,
        name: "the ServiceAccount of this pod".to_owned(),
    })
}

/// Trust in the cluster's CA; expiryd talks to nobody that it cannot verify.
fn trust(pem: &[u8]) -> Result<RootCertStore, String> {
    pem::roots(pem).map_err(|why| format!("its certificate-authority: {why}"))
}

fn with_certificate(
    roots: RootCertStore,
    certificate: &[u8],
    key: &[u8],
) -> Result<Arc<ClientConfig>, String> {
    let chain = pem::chain(certificate).map_err(|why| format!("its client certificate: {why}"))?;
    let key = pem::key(key).map_err(|why| format!("its client key: {why}"))?;
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .map(Arc::new)
        .map_err(|error| format!("its client certificate and key do not work together: {error}"))
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is not a host name"))
}

/// A cluster's `server`.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    host: String,
    port: u16,
    prefix: String,
}

impl Endpoint {
    fn parse(server: &str) -> Result<Self, String> {
        let uri: hyper::Uri =
            server.parse().map_err(|error| format!("its server {server:?}: {error}"))?;
        if uri.scheme_str() != Some("https") {
            return Err(format!(
                "its server {server:?} is not https, and expiryd uses nothing else"
            ));
        }
        let host = uri.host().ok_or_else(|| format!("its server {server:?} has no host"))?;
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(443),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_may_be_a_name_or_an_address_with_a_port_or_without() {
        let parsed = |server: &str| {
            let Endpoint { host, port, prefix } = Endpoint::parse(server).unwrap();
            (host, port, prefix)
        };
        assert_eq!(parsed("https://192.0.2.1:6443"), ("192.0.2.1".into(), 6443, String::new()));
        assert_eq!(
            parsed("https://[2001:db8::1]:6443/"),
            ("2001:db8::1".into(), 6443, String::new())
        );
        assert_eq!(parsed("https://api.example/k8s"), ("api.example".into(), 443, "/k8s".into()));
    }

    #[test]
    fn nothing_but_https_is_spoken() {
        for server in ["http://192.0.2.1:8080", "192.0.2.1:6443", "ftp://x", ""] {
            assert!(Endpoint::parse(server).is_err(), "{server}");
        }
    }
}
