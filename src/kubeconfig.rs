//! kubeconfig files, as far as expiryd reads them (client-go, `clientcmd/api/v1.Config`).

use serde::Deserialize;

/// A kubeconfig. Everything may be missing, as client-go allows; nothing else is looked at.
#[derive(Deserialize)]
pub struct Kubeconfig {
    /// The context that is used unless another is asked for.
    #[serde(rename = "current-context", default)]
    pub current_context: String,
    /// By name.
    #[serde(default)]
    clusters: Option<Vec<NamedCluster>>,
    /// By name.
    #[serde(default)]
    contexts: Option<Vec<NamedContext>>,
    /// By name.
    #[serde(default)]
    users: Option<Vec<NamedUser>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct NamedUser {
    #[serde(default)]
    name: String,
    #[serde(default)]
    user: Option<User>,
}

/// How to reach a cluster, and whom to trust there.
#[derive(Deserialize)]
pub struct Cluster {
    /// `https://HOST:PORT`.
    #[serde(default)]
    pub server: String,
    /// The CA's certificates, in a file or embedded.
    #[serde(rename = "certificate-authority")]
    pub authority: Option<String>,
    /// See [`Cluster::authority`]; base64.
    #[serde(rename = "certificate-authority-data")]
    pub authority_data: Option<String>,
    /// What the server's certificate is for, if not its host.
    #[serde(rename = "tls-server-name")]
    pub tls_server_name: Option<String>,
}

/// A cluster and a user.
#[derive(Deserialize)]
struct Context {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    user: String,
}

/// Who to be.
#[derive(Deserialize)]
pub struct User {
    /// The client certificate, in a file or embedded.
    #[serde(rename = "client-certificate")]
    pub certificate: Option<String>,
    /// See [`User::certificate`]; base64.
    #[serde(rename = "client-certificate-data")]
    pub certificate_data: Option<String>,
    /// Its key, in a file or embedded.
    #[serde(rename = "client-key")]
    pub key: Option<String>,
    /// See [`User::key`]; base64. Erased from memory when dropped.
    #[serde(rename = "client-key-data", default)]
    pub key_data: Option<Secret>,
}

/// Text that is erased from memory when dropped.
#[derive(Deserialize)]
#[serde(from = "String")]
pub struct Secret(pub zeroize::Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(zeroize::Zeroizing::new(text))
    }
}

impl Kubeconfig {
    /// Reads a kubeconfig.
    ///
    /// # Errors
    /// The second half of a sentence about the file. It says nothing of the file's content, which
    /// may be a private key.
    pub fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        // A byte order mark is legal in YAML, and lost on some parsers.
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|_| "it is not UTF-8 text, so it is no kubeconfig")?;
        let config: Option<Self> = serde_saphyr::from_str(text).map_err(
            |_| "it is no readable YAML kubeconfig; it may be torn or still being written",
        )?;
        Ok(config.unwrap_or(Self {
            current_context: String::new(),
            clusters: None,
            contexts: None,
            users: None,
        }))
    }

    /// Every user, also those that no context names.
    pub fn users(self) -> Vec<Option<User>> {
        self.users.unwrap_or_default().into_iter().map(|named| named.user).collect()
    }

    /// The cluster and the user of the current context.
    ///
    /// # Errors
    /// Says which of them the file does not have.
    pub fn current(self) -> Result<(Cluster, User), String> {
        let missing = |what: &str, name: &str| format!("it has no {what} {name:?}");
        let contexts = self.contexts.unwrap_or_default();
        let Some(NamedContext { context, .. }) =
            contexts.into_iter().find(|named| named.name == self.current_context)
        else {
            return Err(missing("context", &self.current_context));
        };
        let clusters = self.clusters.unwrap_or_default();
        let cluster = clusters.into_iter().find(|named| named.name == context.cluster);
        let users = self.users.unwrap_or_default();
        let user = users.into_iter().find(|named| named.name == context.user);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
        let user =
            user.and_then(|named| named.user).ok_or_else(|| missing("user", &context.user))?;
        Ok((cluster, user))
    }
}
