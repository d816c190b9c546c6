//! `expiryd-controller rbac`: the right to read Secrets, by their names.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{Common, OUTPUT, SOFTWARE, UNAVAILABLE, discovered, failed};
use crate::objects::why;

/// Another name than that for all Secrets of a namespace has: what a binding refers to cannot be changed.
const NAME: &str = "expiryd-controller-named-secrets";
const SERVICE_ACCOUNT: &str = "expiryd-controller";

#[derive(Debug, Args)]
pub(super) struct Rbac {
    #[command(flatten)]
    common: Common,
    /// Where the controller is installed.
    #[arg(long, default_value = "expiryd-system", value_name = "NAMESPACE")]
    service_account_namespace: String,
}

pub(super) async fn rbac(arguments: Rbac) -> ExitCode {
    let (client, kinds) = match discovered(&arguments.common).await {
        Ok(discovered) => discovered,
        Err(why) => return failed(UNAVAILABLE, &why),
    };
    let secrets = match arguments.common.scope().secrets(&client, &kinds).await {
        Ok(secrets) => secrets,
        Err(error) => {
            return failed(UNAVAILABLE, &format!("the clusters cannot be listed: {}", why(&error)));
        }
    };
    let account = &arguments.service_account_namespace;
    let objects = secrets
        .iter()
        .flat_map(|(namespace, names)| [role(namespace, names), binding(namespace, account)]);
    let text = match serde_saphyr::to_string_multiple(&objects.collect::<Vec<_>>()) {
        Ok(text) => text,
        Err(error) => {
            return failed(SOFTWARE, &format!("the rights cannot be written down: {error}"));
        }
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(OUTPUT, &format!("the rights cannot be written: {error}")),
    }
}

fn role(namespace: &str, names: &[String]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": { "name": NAME, "namespace": namespace },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "resourceNames": names, "verbs": ["get"] }],
    })
}

fn binding(namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": { "name": NAME, "namespace": namespace },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME },
        "subjects": [{ "kind": "ServiceAccount", "name": SERVICE_ACCOUNT, "namespace": account }],
    })
}
