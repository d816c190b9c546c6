//! Manual pages, completions and the commented configuration file agree with the program.
//! `EXPIRYD_UPDATE=1 cargo test documents` writes them anew.

use std::collections::BTreeSet;
use std::fs;

use clap::CommandFactory;
use clap_complete::Shell;
use expiryd::cli::Arguments;
use expiryd::config::Settings;
use expiryd_api::annotation;

use testkit::project;

/// Compares a committed file with what the program says, or writes it.
fn agrees(path: &str, now: &[u8]) {
    let file = project(path);
    if std::env::var_os("EXPIRYD_UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, now).unwrap();
    }
    let committed = fs::read(&file).unwrap_or_default();
    assert!(committed == now, "{path} is out of date: EXPIRYD_UPDATE=1 cargo test documents");
}

fn configuration() -> String {
    fs::read_to_string(project("packaging/expiryd.toml")).unwrap()
}

/// Roff of a text whose lines stay as they are.
fn verbatim(text: &str) -> String {
    let line = |line: &str| {
        let line = line.replace('\\', "\\\\").replace('-', "\\-");
        if line.starts_with(['.', '\'']) { format!("\\&{line}\n") } else { format!("{line}\n") }
    };
    text.lines().map(line).collect::<Vec<_>>().concat()
}

#[test]
fn the_manual_page_of_the_program_is_that_of_its_command_line() {
    let mut command = Arguments::command();
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).section("8").manual("System Administration");
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    for subcommand in command.get_subcommands() {
        let name = subcommand.get_name().to_uppercase();
        let usage = subcommand.clone().render_usage().to_string();
        page.extend(
            format!(".SH EXPIRYD {name}\n{}\n.PP\n", subcommand.get_about().unwrap()).bytes(),
        );
        page.extend(format!("{}\n", verbatim(usage.trim_start_matches("Usage: "))).bytes());
        let man = clap_mangen::Man::new(subcommand.clone());
        let mut options = Vec::new();
        man.render_options_section(&mut options).unwrap();
        page.extend(
            String::from_utf8(options).unwrap().replace(".SH OPTIONS", ".SS Options").bytes(),
        );
        if let Some(more) = subcommand.get_after_help() {
            page.extend(format!(".PP\n.nf\n{}.fi\n", verbatim(&more.to_string())).bytes());
        }
    }
    let examples = command.get_after_help().unwrap().to_string();
    page.extend(format!(".SH EXAMPLES\n.nf\n{}.fi\n", verbatim(&examples)).bytes());
    page.extend(b".SH SEE ALSO\nexpiryd.toml(5)\n");
    agrees("docs/man/expiryd.8", &page);
}

#[test]
fn the_manual_page_of_the_configuration_is_the_commented_file() {
    let page = format!(
        ".TH expiryd.toml 5 \"\" \"expiryd {}\" \"File Formats\"\n\
         .SH NAME\nexpiryd.toml \\- configuration of expiryd(8)\n\
         .SH SYNOPSIS\n/etc/expiryd/expiryd.toml\n\
         .SH DESCRIPTION\nTOML. The file as it is installed, with every key and its default:\n\
         .PP\n.nf\n{}.fi\n.SH SEE ALSO\nexpiryd(8)\n",
        env!("CARGO_PKG_VERSION"),
        verbatim(&configuration())
    );
    agrees("docs/man/expiryd.toml.5", page.as_bytes());
}

#[test]
fn completions_are_those_of_the_command_line() {
    for (shell, file) in
        [(Shell::Bash, "expiryd.bash"), (Shell::Zsh, "_expiryd"), (Shell::Fish, "expiryd.fish")]
    {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "expiryd", &mut script);
        agrees(&format!("packaging/completions/{file}"), &script);
    }
}

#[test]
fn the_drop_in_for_tls_opens_one_key_and_no_other() {
    let hidden = |file: &str| -> BTreeSet<String> {
        let text = fs::read_to_string(project(file)).unwrap();
        let lists = text.lines().filter_map(|line| line.strip_prefix("InaccessiblePaths="));
        lists.flat_map(str::split_whitespace).map(str::to_owned).collect()
    };
    let unit = hidden("systemd/expiryd.service");
    let drop_in = hidden("systemd/examples/tls-etcd.conf");
    assert_eq!(unit.difference(&drop_in).collect::<Vec<_>>(), ["-/etc/etcd/pki/server.key"]);
    assert!(drop_in.is_subset(&unit));
}

/// The commented file with its settings in force: a `#` right before a word or a bracket.
fn uncommented() -> String {
    let setting = |line: &str| {
        let rest = line.strip_prefix('#')?;
        rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[').then(|| rest.to_owned())
    };
    let lines: Vec<_> = configuration()
        .lines()
        .map(|line| setting(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    lines.join("\n")
}

#[test]
fn the_commented_configuration_changes_nothing_and_shows_the_defaults() {
    let defaults = Settings::default().resolve().unwrap();
    assert_eq!(Settings::parse(&configuration()).unwrap().resolve().unwrap(), defaults);
    let mut shown = Settings::parse(&uncommented()).unwrap().resolve().unwrap();
    // What has no default is shown with an example.
    shown.layout = defaults.layout.clone();
    shown.node.extras.condition_window = None;
    assert!(shown.tls.take().is_some());
    assert_eq!(shown, defaults);
}

#[test]
fn the_commented_configuration_shows_every_key() {
    let source = fs::read_to_string(project("src/config/settings.rs")).unwrap();
    let fields =
        source.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": "));
    let keys: Vec<_> = fields.map(|(field, _)| field.replace('_', "-")).collect();
    assert!(keys.len() > 20);
    let shown = uncommented();
    for key in keys.iter().filter(|key| *key != "sources") {
        let section = [format!("[{key}]"), format!("{key} =")];
        let alternatives = ["directory", "glob", "kubeconfig"];
        let there = section.iter().any(|text| shown.contains(text.as_str()));
        assert!(there || alternatives.contains(&key.as_str()), "{key}");
    }
}

#[test]
fn the_admission_policy_names_every_annotation_and_no_other() {
    let policy = fs::read_to_string(project("packaging/kubernetes/rbac.yaml")).unwrap();
    let (_, keys) = policy.split_once("- name: keys").unwrap();
    let (keys, _) = keys.split_once(']').unwrap();
    let keys: BTreeSet<_> = keys.split('"').skip(1).step_by(2).collect();
    assert_eq!(keys, annotation::ALL.iter().copied().collect());
}
