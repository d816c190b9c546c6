//! The report as YAML, of which its JSON is a part (YAML 1.2, section 1.2).

use yaml_rust2::{YamlEmitter, YamlLoader};

use crate::report::Report;

/// Writes the report, with a newline at its end.
///
/// # Errors
/// Says what the emitter said; a report has nothing in it that cannot be written.
pub fn write(report: &Report) -> Result<String, String> {
    let documents = YamlLoader::load_from_str(&super::json::write(report));
    let documents = documents.map_err(|error| error.to_string())?;
    let mut yaml = String::new();
    for document in &documents {
        let emitted = YamlEmitter::new(&mut yaml).dump(document);
        emitted.map_err(|error| error.to_string())?;
        yaml.push('\n');
    }
    Ok(yaml)
}
