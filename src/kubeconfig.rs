//! kubeconfig files, as far as expiryd reads them (client-go, `clientcmd/api/v1.Config`).

mod document;

use zeroize::Zeroizing;

use document::{Map, Unreadable};

/// A kubeconfig. Everything may be missing, as client-go allows; nothing else is read.
pub struct Kubeconfig {
    /// The context that is used unless another is asked for.
    pub current_context: String,
    clusters: Vec<Named<Cluster>>,
    contexts: Vec<Named<Context>>,
    users: Vec<Named<User>>,
}

struct Named<T> {
    name: String,
    value: T,
}

/// How to reach a cluster, and whom to trust there.
pub struct Cluster {
    /// `https://HOST:PORT`.
    pub server: String,
    /// The CA's certificates, in a file or embedded.
    pub authority: Option<String>,
    /// See [`Cluster::authority`]; base64.
    pub authority_data: Option<String>,
    /// What the server's certificate is for, if not its host.
    pub tls_server_name: Option<String>,
}

/// A cluster and a user.
struct Context {
    cluster: String,
    user: String,
}

/// Who to be.
pub struct User {
    /// The client certificate, in a file or embedded.
    pub certificate: Option<String>,
    /// See [`User::certificate`]; base64.
    pub certificate_data: Option<String>,
    /// Its key, in a file or embedded.
    pub key: Option<String>,
    /// See [`User::key`]; base64. Erased from memory when dropped.
    pub key_data: Option<Zeroizing<String>>,
    /// Whether it has a credential other than a certificate: a token, a password or a program.
    pub other_credential: bool,
}

/// `clientcmd/api/v1.AuthInfo`, all but the client certificate and impersonation.
const OTHER_CREDENTIALS: &[&str] =
    &["token", "tokenFile", "username", "password", "exec", "auth-provider"];

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
            .map_err(|_| "it is not a valid kubeconfig: it is not UTF-8 text")?;
        if !document::is_small(bytes) {
            return Err("it has more fields than any kubeconfig has; it is not read");
        }
        document::read(text)
            .and_then(|root| Self::of(root.map()?))
            .map_err(|_| "it is not a valid kubeconfig; it may be truncated or still being written")
    }

    fn of(mut root: Map) -> Result<Self, Unreadable> {
        Ok(Self {
            current_context: or_empty(&mut root, "current-context")?,
            clusters: named(&mut root, "clusters", "cluster", |cluster| {
                Ok(Cluster {
                    server: or_empty(cluster, "server")?,
                    authority: optional(cluster, "certificate-authority")?,
                    authority_data: optional(cluster, "certificate-authority-data")?,
                    tls_server_name: optional(cluster, "tls-server-name")?,
                })
            })?,
            contexts: named(&mut root, "contexts", "context", |context| {
                Ok(Context {
                    cluster: or_empty(context, "cluster")?,
                    user: or_empty(context, "user")?,
                })
            })?,
            users: named(&mut root, "users", "user", |user| {
                let other_credential = OTHER_CREDENTIALS.iter().any(|key| user.has(key));
                Ok(User {
                    other_credential,
                    certificate: optional(user, "client-certificate")?,
                    certificate_data: optional(user, "client-certificate-data")?,
                    key: optional(user, "client-key")?,
                    key_data: user.text("client-key-data")?,
                })
            })?,
        })
    }

    /// Every user, also those that no context names.
    pub fn users(self) -> Vec<User> {
        self.users.into_iter().map(|named| named.value).collect()
    }

    /// The cluster and the user of the current context.
    ///
    /// # Errors
    /// Says which of them the file does not have.
    pub fn current(self) -> Result<(Cluster, User), String> {
        let missing = |what: &str, name: &str| format!("it has no {what} {name:?}");
        let context = find(self.contexts, &self.current_context)
            .ok_or_else(|| missing("context", &self.current_context))?;
        let cluster = find(self.clusters, &context.cluster)
            .ok_or_else(|| missing("cluster", &context.cluster))?;
        let user = find(self.users, &context.user).ok_or_else(|| missing("user", &context.user))?;
        Ok((cluster, user))
    }
}

fn find<T>(all: Vec<Named<T>>, name: &str) -> Option<T> {
    all.into_iter().find(|named| named.name == name).map(|named| named.value)
}

/// A list of `{name: NAME, KEY: VALUE}`.
fn named<T>(
    root: &mut Map,
    list: &str,
    key: &str,
    value: impl Fn(&mut Map) -> Result<T, Unreadable>,
) -> Result<Vec<Named<T>>, Unreadable> {
    let one = |mut map: Map| {
        let mut inner = map.remove(key).map_or_else(|| Ok(Map::default()), document::Node::map)?;
        Ok(Named { name: or_empty(&mut map, "name")?, value: value(&mut inner)? })
    };
    root.maps(list)?.into_iter().map(one).collect()
}

fn optional(map: &mut Map, key: &str) -> Result<Option<String>, Unreadable> {
    Ok(map.text(key)?.map(|text| text.to_string()))
}

/// The text, or none of it: client-go takes a missing one for empty.
fn or_empty(map: &mut Map, key: &str) -> Result<String, Unreadable> {
    Ok(optional(map, key)?.unwrap_or_default())
}
