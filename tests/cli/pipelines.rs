//! The shipped pipelines: that they are YAML, and call scripts that are there.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// Every text in a document.
fn texts<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(all) => all.iter().for_each(|value| texts(value, into)),
        Value::Object(all) => all.values().for_each(|value| texts(value, into)),
        _ => {}
    }
}

#[test]
fn every_pipeline_calls_every_script_and_no_other() {
    let folder = root().join("examples/ci");
    let names = |ending: &str| -> BTreeSet<String> {
        let entries = std::fs::read_dir(&folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(ending)).collect()
    };
    let scripts = names(".sh");
    for script in &scripts {
        let mode = std::fs::metadata(folder.join(script)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{script} cannot be executed");
    }
    let pipelines = names(".yaml");
    assert_eq!(pipelines, ["github.yaml", "gitlab.yaml"].map(String::from).into());
    for pipeline in pipelines {
        let text = std::fs::read_to_string(folder.join(&pipeline)).unwrap();
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        let mut all = Vec::new();
        texts(&document, &mut all);
        let words = all.into_iter().flat_map(str::split_whitespace);
        let called: BTreeSet<String> =
            words.filter_map(|word| word.strip_prefix("ci/")).map(str::to_owned).collect();
        assert_eq!(called, scripts, "{pipeline}");
    }
}
