//! What `/clusters` says is what docs/controller-openapi.yaml says, to the last field and word.

use std::collections::{BTreeMap, BTreeSet};

use expiryd_api::Timestamp;
use expiryd_controller::decide::{ActionName, Concern, Guard, Reason};
use expiryd_controller::fleet::Fleet;
use expiryd_controller::observe::ClusterKey;
use expiryd_controller::serve::Bounds;
use expiryd_controller::status::{
    ActionStatus, AgentStatus, CarriedBy, ClusterStatus, End, FindingStatus, MachineRole,
    MachineStatus, OptedIn, Source,
};
use expiryd_controller::unheard::Unheard;
use serde_json::{Map, Value, json};

use testkit::project;

use crate::bounds::{SHORT, all_of, asks, endpoint};

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

/// The document.
fn document() -> Value {
    let text = std::fs::read_to_string(project("docs/controller-openapi.yaml")).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// A schema of the document by its name, which allows no field that it does not name: that a reader has to expect
/// more is for its later versions.
fn closed(name: &str) -> Value {
    let mut document = document();
    let schemas = document["components"]["schemas"].as_object_mut().unwrap();
    for schema in schemas.values_mut().filter(|schema| schema["type"] == "object") {
        schema["additionalProperties"] = false.into();
    }
    let reference = format!("#/components/schemas/{name}");
    json!({ "$ref": reference, "components": document["components"] })
}

/// What of a value is not as a schema of the document says.
fn errors(name: &str, value: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(&closed(name)).unwrap();
    let at = |error: jsonschema::ValidationError<'_>| format!("{}: {error}", error.instance_path());
    validator.iter_errors(value).map(at).collect()
}

/// A value is as a schema of the document says.
pub(crate) fn is(name: &str, value: &Value) {
    assert_eq!(errors(name, value), Vec::<String>::new(), "{value}");
}

fn text(of: &str) -> String {
    of.to_owned()
}

/// A cluster of which all is said that may be said, with every word of each closed list.
fn everything(opt_in: OptedIn) -> ClusterStatus {
    let end = |source: &Source| End {
        not_after: NOW,
        of: text("cp-1"),
        source: *source,
        path: Some(text("/etc/kubernetes/pki/apiserver.crt")),
    };
    let ends: Vec<_> = Source::ALL.iter().map(end).collect();
    let machine = |(n, agent): (usize, &AgentStatus)| MachineStatus {
        name: format!("cp-{n}"),
        role: MachineRole::ALL[n % MachineRole::ALL.len()],
        born: NOW,
        leaving: false,
        agent: *agent,
        observed_at: Some(NOW),
        ends: ends.clone(),
        carried: Some(NOW),
        carried_by: Some(CarriedBy::ALL[n % CarriedBy::ALL.len()]),
    };
    let bare = MachineStatus {
        observed_at: None,
        ends: vec![End { path: None, ..ends[0].clone() }],
        carried: None,
        carried_by: None,
        ..machine((0, &AgentStatus::NoAgent))
    };
    let first = (ActionName::Annotate, Reason::DateChanged);
    let action =
        |action, reason| ActionStatus { action, what: text("do it"), reason, refused: None };
    let refused = ActionStatus { refused: Some(text("no")), ..action(first.0, first.1) };
    let actions = ActionName::ALL.iter().map(|name| action(*name, first.1));
    let reasons = Reason::ALL.iter().map(|reason| action(first.0, *reason));
    let finding = |guard: &Guard| FindingStatus {
        guard: *guard,
        concern: guard.concern(),
        machines: vec![text("cp-1")],
        meaning: guard.meaning(),
    };
    ClusterStatus {
        namespace: text("eksa-system"),
        name: opt_in.to_string(),
        observed_at: Some(NOW),
        error: Some(text("it cannot be read")),
        opt_in,
        days: Some(7),
        earliest: Some(ends[0].clone()),
        control_plane_rollout_from: Some(NOW),
        etcd_rollout_from: Some(NOW),
        etcd_rolling: true,
        etcd_client_pair: Some(NOW),
        ca: Some(NOW),
        machines: AgentStatus::ALL.iter().enumerate().map(machine).chain([bare]).collect(),
        actions: actions.chain(reasons).chain([refused]).collect(),
        findings: Guard::ALL.iter().map(finding).collect(),
        unheard: vec![Unheard::new(text("the agent of cp-1"), "no route to host")],
    }
}

/// What is answered of such clusters, and of one of which nothing is known.
fn answer() -> Value {
    let fleet = Fleet::default();
    let clusters = OptedIn::ALL.iter().map(|opt_in| everything(*opt_in));
    let unread = ClusterStatus::unread(("eksa-system", "unread"), String::new());
    let quiet = ClusterStatus { error: None, name: text("quiet"), ..unread.clone() };
    for status in clusters.chain([unread, quiet]) {
        let key = ClusterKey { namespace: status.namespace.clone(), name: status.name.clone() };
        fleet.cluster(&key, status);
    }
    let answer = all_of(&asks(endpoint(Bounds { head: SHORT, ..Bounds::default() }, None, fleet)));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

/// What of a value each schema of the document is for, by its name.
fn by_schema<'a>(document: &Value, schema: &Value, value: &'a Value, found: &mut BySchema<'a>) {
    if let Some(path) = schema["$ref"].as_str() {
        found.entry(path.rsplit('/').next().unwrap().to_owned()).or_default().push(value);
        by_schema(document, document.pointer(path.trim_start_matches('#')).unwrap(), value, found);
    }
    for item in value.as_array().into_iter().flatten() {
        by_schema(document, &schema["items"], item, found);
    }
    for (name, value) in value.as_object().into_iter().flatten() {
        by_schema(document, &schema["properties"][name], value, found);
    }
}

type BySchema<'a> = BTreeMap<String, Vec<&'a Value>>;

/// Fields that a schema and the values that it is for do not share, and words likewise.
fn differences(schema: &Value, values: &[&Value]) -> Vec<String> {
    let said: BTreeSet<_> = values.iter().flat_map(|value| keys(value)).collect();
    let always = |field: &&str| values.iter().all(|value| value.get(*field).is_some());
    let always = said.iter().copied().filter(always).collect();
    let mut found = unlike("fields", &keys(&schema["properties"]), &said);
    found.extend(unlike("required", &words(&schema["required"]), &always));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["enum"].is_array() {
            let said = values.iter().filter_map(|value| value.get(name)?.as_str()).collect();
            found.extend(unlike(name, &words(&property["enum"]), &said));
        }
    }
    found
}

fn keys(object: &Value) -> BTreeSet<&str> {
    object.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect()
}

fn words(list: &Value) -> BTreeSet<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn unlike(at: &str, document: &BTreeSet<&str>, code: &BTreeSet<&str>) -> Vec<String> {
    let different = document.symmetric_difference(code);
    different.map(|what| format!("{at}: {what} is not in both")).collect()
}

#[test]
fn every_field_and_every_word_is_in_the_document_and_the_other_way_round() {
    let (document, answer) = (document(), answer());
    is("Fleet", &answer);
    let mut answers = BySchema::new();
    by_schema(&document, &json!({ "$ref": "#/components/schemas/Fleet" }), &answer, &mut answers);
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert_eq!(differences(schema, &answers[name]), Vec::<String>::new(), "{name}");
    }
    let concerns: BTreeSet<_> = Guard::ALL.iter().map(|guard| guard.concern()).collect();
    assert_eq!(concerns.len(), Concern::ALL.len());
}

#[test]
fn a_field_or_a_word_that_is_not_in_the_document_is_seen() {
    let good = answer();
    for pointer in ["", "/clusters/0", "/clusters/0/machines/0", "/clusters/0/unheard/0"] {
        let mut answer = good.clone();
        answer.pointer_mut(pointer).unwrap()["more"] = 1.into();
        assert_eq!(errors("Fleet", &answer).len(), 1, "{pointer}");
    }
    let mut answer = good;
    answer["clusters"][0]["findings"][0]["guard"] = "another".into();
    assert_eq!(errors("Fleet", &answer).len(), 1);
}
