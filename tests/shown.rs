//! What the documents show is what the program prints.

use std::fs;

use testkit::{Agent, Host, expiryd, project};

fn document(path: &str) -> String {
    fs::read_to_string(project(path)).unwrap()
}

/// Every document of the project, by path.
fn documents() -> Vec<(String, String)> {
    let names = fs::read_dir(project("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs =
        names.filter_map(|name| Some(format!("docs/{}.md", name.to_str()?.strip_suffix(".md")?)));
    let top = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"].map(str::to_owned);
    let all = top.into_iter().chain(docs);
    all.map(|path| (path.clone(), document(&path))).collect()
}

/// The one command of the README that contains this, and what is shown behind it.
fn shown(command: &str) -> (String, Vec<String>) {
    let readme = document("README.md");
    let mut blocks = readme.split("```console\n").skip(1).filter_map(|rest| {
        let (block, _) = rest.split_once("```")?;
        let (line, output) = block.split_once('\n')?;
        let line = line.strip_prefix("$ ").filter(|line| line.contains(command))?;
        Some((line.to_owned(), output.lines().map(str::to_owned).collect()))
    });
    let found = blocks.next().unwrap_or_else(|| panic!("the README shows no {command}"));
    assert!(blocks.next().is_none(), "the README shows {command} twice");
    found
}

fn agent() -> (Host, Agent) {
    let host = Host::like("rhel-control-plane-external-etcd");
    let agent = Agent::start(&host, "");
    agent.report();
    (host, agent)
}

#[test]
fn the_table_of_the_readme_is_what_check_prints() {
    let (command, lines) = shown("cargo run --release -- check");
    let arguments = command.strip_prefix("cargo run --release -- ").unwrap();
    let output =
        expiryd().current_dir(project("")).args(arguments.split_whitespace()).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn the_report_of_the_readme_is_what_the_endpoint_answers() {
    let (command, lines) = shown("localhost:9797/expiry | head");
    assert!(command.ends_with(&format!(" -n {}", lines.len())), "{command}");
    let (_host, agent) = agent();
    let answer = agent.get("/expiry").body;
    let fixed = |line: &&str| !line.trim_start().starts_with("\"observedAt\"");
    let answered: Vec<_> = answer.lines().take(lines.len()).filter(fixed).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).filter(fixed).collect();
    assert_eq!(answered, lines);
    assert!(answered.len() > 8);
}

#[test]
fn the_metrics_of_the_readme_are_what_the_endpoint_answers() {
    let (_, lines) = shown("localhost:9797/metrics");
    let (_host, agent) = agent();
    let answer = agent.get("/metrics").body;
    let names = ["expiryd_earliest", "expiryd_machine"];
    let answered = answer.lines().filter(|line| names.iter().any(|name| line.starts_with(name)));
    assert_eq!(answered.collect::<Vec<_>>(), lines);
}

#[test]
fn the_line_of_the_soak_test_is_of_the_form_that_it_prints() {
    let reliability = document("docs/reliability.md");
    let line = reliability.lines().find(|line| line.starts_with("after ")).unwrap();
    let words = line.split_whitespace();
    let form = words.map(|word| {
        let figure = word.trim_matches(['[', ']', ',']);
        let is_one = figure.parse::<u32>().is_ok();
        if is_one { word.replace(figure, "N") } else { word.to_owned() }
    });
    assert_eq!(
        form.collect::<Vec<_>>().join(" "),
        "after N and N renewals, N requests and N patches: resident [N, N] and [N, N] kB, \
         anonymous [N, N] and [N, N] kB, Held { descriptors: [N, N], threads: [N, N] }"
    );
}

#[test]
fn no_document_holds_a_placeholder() {
    for (path, text) in documents() {
        for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
            let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
            let digits = word.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
            let stands_for_a_figure = letters >= 4 && digits >= 2 && letters + digits == word.len();
            let left_to_do = ["TODO", "FIXME", "TBD", "XXX"].contains(&word);
            assert!(!stands_for_a_figure && !left_to_do, "{path}: {word}");
        }
    }
}
