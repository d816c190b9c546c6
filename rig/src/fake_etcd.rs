//! The in-memory provider's fake etcd. With an external one KCP hands no leadership on before it deletes a machine,
//! and a fake etcd without a leader takes in no other member (`inmemorymachine_backend.go`, `getEtcdInfo`): no
//! machine would be ready any more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use testkit::cluster_api::Management;
use testkit::dates::{now, rfc3339};
use testkit::https::{Answerer, Ask};

/// Whichever member has the latest leads (`etcdcluster_annotations.go`).
const LEADER_FROM: &str = "etcd.inmemory.infrastructure.cluster.x-k8s.io/leader-from";

const PODS: &str = "/api/v1/namespaces/kube-system/pods";

/// Has every member there is be one that may lead; `None` while nobody answers.
pub(crate) fn keep_a_leader(management: Management<'_>, cluster: &str) -> Option<()> {
    let admin = management.secret_field(&format!("{cluster}-kubeconfig"), "value")?;
    let admin: Value = serde_saphyr::from_str(&admin).ok()?;
    let cluster = &admin["clusters"][0]["cluster"];
    let (host, port) = cluster["server"].as_str()?.strip_prefix("https://")?.rsplit_once(':')?;
    let authority = STANDARD.decode(cluster["certificate-authority-data"].as_str()?).ok()?;
    let server = Answerer {
        address: (host, port.parse().ok()?),
        name: host,
        authority: std::str::from_utf8(&authority).ok()?,
        pair: None,
    };
    let ask = |method: &str, path: &str, content_type: &str, body: &Value| {
        server.ask(&Ask { method, path, content_type, token: None, body })
    };
    let (_, pods) = ask("GET", PODS, "application/json", &Value::Null)?;
    for pod in pods["items"].as_array()? {
        let metadata = &pod["metadata"];
        if metadata["labels"]["component"] == "etcd"
            && metadata["annotations"][LEADER_FROM].is_null()
        {
            let mut leader = pod.clone();
            leader["apiVersion"] = "v1".into();
            leader["kind"] = "Pod".into();
            leader["metadata"]["annotations"][LEADER_FROM] = rfc3339(now()).into();
            // What is patched it cannot read any more. JSON it takes under the name of protobuf alone.
            let pod = format!("{PODS}/{}", metadata["name"].as_str()?);
            ask("PUT", &pod, "application/vnd.kubernetes.protobuf", &leader)?;
        }
    }
    Some(())
}
