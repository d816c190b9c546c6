//! Any text as a configuration file: taken, or refused in one line that names the place.
#![no_main]

use expiryd::config::Settings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Settings::parse(text) {
        Ok(settings) => match settings.resolve() {
            Ok(config) => assert!(config.tick.as_secs() >= 1),
            Err(why) => assert!(why.to_string().contains(": ")),
        },
        Err(why) => assert!(!why.is_empty()),
    }
});
