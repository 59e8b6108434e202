//! What is written into the scripts that run on nodes: calls, and the shell functions of the library that they need. A script
//! carries no others: a node has to read all that it is sent before it does anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::resource::{Arg, Call};
use crate::transport::quote;
use crate::{certs, journal, live, resource};

static LIBRARY: LazyLock<Library> =
    LazyLock::new(|| Library::of(&[resource::SHELL, live::SHELL, certs::SHELL, journal::SHELL]));

/// The functions that `script` calls, and those that they call, with all variables of the library.
pub fn functions_of(script: &str) -> String {
    LIBRARY.functions_of(script)
}

/// A call without payloads as a line of a script.
pub fn line(call: &Call) -> String {
    let words = call.args.iter().filter_map(|arg| match arg {
        Arg::Text(word) => Some(quote(word)),
        Arg::Payload(_) => None,
    });
    std::iter::once(call.function.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

struct Library {
    /// What stands outside of functions.
    variables: String,
    /// The functions in their order: name and text.
    functions: Vec<(&'static str, String)>,
    /// Where each function stands.
    places: BTreeMap<&'static str, usize>,
}

impl Library {
    /// A function begins with a line `name() {` and ends with a line `}`; comments between functions are left out.
    fn of(files: &[&'static str]) -> Self {
        let mut library = Self { variables: String::new(), functions: Vec::new(), places: BTreeMap::new() };
        let mut within = false;
        for line in files.iter().flat_map(|file| file.lines()) {
            if let Some(name) = line.strip_suffix("() {").filter(|_| !within) {
                library.places.insert(name, library.functions.len());
                library.functions.push((name, String::new()));
                within = true;
            }
            let text = match library.functions.last_mut() {
                Some((_, text)) if within => text,
                _ if line.is_empty() || line.starts_with('#') => continue,
                _ => &mut library.variables,
            };
            text.push_str(line);
            text.push('\n');
            within &= line != "}";
        }
        library
    }

    fn functions_of(&self, script: &str) -> String {
        let mut needed = BTreeSet::new();
        let mut texts = vec![script];
        while let Some(text) = texts.pop() {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            for place in words.filter_map(|word| self.places.get(word)) {
                if needed.insert(*place) {
                    texts.push(&self.functions[*place].1);
                }
            }
        }
        let functions = needed.into_iter().map(|place| self.functions[place].1.as_str());
        std::iter::once(self.variables.as_str()).chain(functions).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parses(script: &str) -> bool {
        let shell = std::process::Command::new("sh").args(["-n", "-c", script]).output().unwrap();
        shell.status.success() && shell.stderr.is_empty()
    }

    #[test]
    fn every_line_of_the_library_is_in_a_function_or_a_variable() {
        let files = [resource::SHELL, live::SHELL, certs::SHELL, journal::SHELL];
        let said =
            |text: &str| text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        let all: usize = files.iter().map(|file| said(file)).sum();
        let kept: usize = LIBRARY.functions.iter().map(|(_, text)| said(text)).sum();
        assert_eq!(kept + said(&LIBRARY.variables), all);
        assert!(parses(&LIBRARY.variables));
        for (name, text) in &LIBRARY.functions {
            assert!(parses(text), "{name}: {text}");
        }
    }

    #[test]
    fn a_script_gets_what_it_calls_with_all_that_this_calls() {
        let text = functions_of("main() {\nfile_probe '/etc/hosts'\n}");
        for name in ["file_probe", "path_stat", "path_hash", "line_of"] {
            assert!(text.contains(&format!("\n{name}() {{\n")), "{name} is not there: {text}");
        }
        for name in ["file_commit", "certificate_probe", "pgbouncer_probe"] {
            assert!(!text.contains(name), "{name} is there: {text}");
        }
        assert!(text.contains("FILE_WRITTEN="));
    }
}
