//! `proof search [WORD]`: goes through the scenarios with this word in their name, or all, and prints states,
//! time and what was found. `proof simulate [CLUSTERS YEARS SEED]`: simulates them, and prints the table.

#![allow(clippy::print_stdout, reason = "it is a program for whoever reads what it finds")]

use std::process::ExitCode;
use std::time::Instant;

use expiryd_controller::parameters::Parameters;
use proof::scenarios::{sound, taken_out};
use proof::search::{Scenario, search};
use proof::simulation::{Options, simulate};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("search") => search_all(&arguments.next().unwrap_or_default()),
        Some("simulate") => {
            let mut number =
                |usual: u64| arguments.next().and_then(|n| n.parse().ok()).unwrap_or(usual);
            let (clusters, years, seed) = (number(1_000), number(10), number(1));
            let clusters = usize::try_from(clusters).unwrap_or(1_000);
            let years = i64::try_from(years).unwrap_or(10);
            let [opted_in, never] = [true, false].map(|opted_in| {
                let table = simulate(Options { clusters, years, seed, opted_in });
                println!("{}\n{table}", if opted_in { "opted in" } else { "\nnever opted in" });
                table
            });
            ExitCode::from(u8::from(!opted_in.is_fine() || never.writes > 0))
        }
        _ => {
            println!("proof search [WORD] | proof simulate [CLUSTERS YEARS SEED]");
            ExitCode::from(64)
        }
    }
}

fn search_all(word: &str) -> ExitCode {
    let mut fine = true;
    for scenario in sound().iter().chain(&taken_out()).filter(|one| one.name.contains(word)) {
        fine &= run(scenario);
    }
    ExitCode::from(u8::from(!fine))
}

/// Whether it ends as it should.
fn run(scenario: &Scenario) -> bool {
    let began = Instant::now();
    let found = search(scenario, &Parameters::default());
    let violation = found.violation.as_ref().map(|(violation, _)| *violation);
    println!(
        "{:<60} {:>9} states, {:>6} left to themselves, {:>6.1} s: {}",
        scenario.name,
        found.states,
        found.settled,
        began.elapsed().as_secs_f32(),
        violation.map_or_else(|| "nothing".to_owned(), |violation| format!("{violation:?}")),
    );
    let as_expected = violation == scenario.expected;
    if let (false, Some((_, way))) = (as_expected, found.violation) {
        let mut state = scenario.state.clone();
        for event in way {
            state = state.after(event, &Parameters::default(), scenario.sight).0;
            println!("    {:<16} {}", format!("{event:?}"), state.world);
        }
    }
    as_expected
}
