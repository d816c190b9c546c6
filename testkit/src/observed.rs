//! What an agent answers while somebody renews certificates under it, held against the files.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::agent::Agent;
use crate::host::{Host, problems};

/// When each file's certificate ends.
pub type Ends = BTreeMap<String, String>;

/// What is in each file that is there.
type Files = BTreeMap<String, Vec<u8>>;

/// As the agent reports it.
pub fn ends(report: &Value) -> Ends {
    let text = |c: &Value, field: &str| c[field].as_str().unwrap().to_owned();
    let all = report["certificates"].as_array().unwrap().iter();
    all.map(|c| (text(c, "path"), text(c, "notAfter"))).collect()
}

/// Whether it is the file of a CA.
pub fn is_authority(path: &str) -> bool {
    path.ends_with("ca.crt")
}

/// The first end of a certificate that is no CA's.
pub fn first(ends: &Ends) -> &str {
    ends.iter().filter(|(path, _)| !is_authority(path)).map(|(_, date)| date).min().unwrap()
}

/// Who renews each file's certificate.
pub fn renewed_by(report: &Value) -> BTreeMap<&str, &Value> {
    let all = report["certificates"].as_array().unwrap().iter();
    all.map(|c| (c["path"].as_str().unwrap(), &c["renewedBy"])).collect()
}

/// The report with which nothing is wrong, once the certificates end so.
pub fn whole(agent: &Agent, end_so: impl Fn(&Ends) -> bool) -> Value {
    let report = agent.report_when("a report with these dates and without a problem", |report| {
        report["status"] == "ok" && end_so(&ends(report))
    });
    assert_eq!(problems(&report), [""; 0]);
    assert!(report["certificates"].as_array().unwrap().iter().all(|c| c["stale"] == false));
    report
}

/// A renewal, as the agent saw it.
pub struct Renewal {
    before: Ends,
    answers: Vec<(Value, Files)>,
    at_last: Files,
}

impl Renewal {
    /// Runs this to its end, and asks the agent for as long as it runs.
    pub fn watch(host: &Host, agent: &Agent, mut command: Command) -> Self {
        let before = ends(&agent.report());
        let read = || -> Files {
            let file = |path: &String| Some((path.clone(), fs::read(host.path(path)).ok()?));
            before.keys().filter_map(file).collect()
        };
        let mut running = command.stdout(Stdio::null()).spawn().unwrap();
        let mut answers = Vec::new();
        loop {
            let ended = running.try_wait().unwrap();
            // A file only goes on: what is not written after an answer was not at its time.
            answers.push((agent.report(), read()));
            if let Some(status) = ended {
                assert!(status.success(), "{command:?}");
                return Self { at_last: read(), before, answers };
            }
        }
    }

    /// Makes sure that each answer was true: what was not yet written to its end had the date that it had before,
    /// and the earliest was the first of these dates.
    pub fn was_never_too_late(&self, after: &Ends) {
        for (report, files) in &self.answers {
            let served = ends(report);
            for (path, old) in &self.before {
                let written = files.get(path) == self.at_last.get(path);
                let new = after.get(path).filter(|_| written);
                let date = served.get(path);
                assert!(date.is_some() && (date == Some(old) || date == new), "{path}: {report}");
            }
            assert_eq!(report["earliest"]["notAfter"], first(&served));
        }
    }
}
