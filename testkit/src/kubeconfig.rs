//! The text of a kubeconfig.

/// With these fields of its one cluster and of its one user, as YAML has them between braces.
pub fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
         clusters: [{{name: k, cluster: {{{cluster}}}}}]\n\
         contexts: [{{name: x, context: {{cluster: k, user: u}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    )
}

/// Of a server in plain text that asks nobody who he is.
pub fn open(server: &str) -> String {
    kubeconfig(&format!("server: 'http://{server}'"), "")
}
