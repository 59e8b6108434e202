//! What Redis and Sentinel print and read: replies in parts, configuration lines, quoted words. Pure.

use std::collections::BTreeMap;

use super::users::User;
use crate::cluster::NodeName;
use crate::live::Observed;
use crate::render::{RenderError, Source};

/// A configuration as it is first written, and the same with its secrets masked.
pub struct Seed {
    pub content: String,
    pub masked: String,
}

/// The configuration that `node` would get today.
pub fn seed(
    source: &Source,
    observed: &Observed,
    node: &NodeName,
    role: &str,
) -> Result<Option<Seed>, RenderError> {
    let (Some(machine), Some(seen)) = (source.cluster.nodes.get(node), observed.get(node)) else {
        return Ok(None);
    };
    let Some(manifest) = source.library.roles.get(role) else { return Ok(None) };
    let Some(file) = manifest.files.iter().find(|file| file.seed) else { return Ok(None) };
    let renderer = crate::render::Renderer::new(source, node, machine, &seen.facts);
    let (content, masked) = renderer.template(manifest, &file.template)?;
    Ok(Some(Seed { content, masked }))
}

/// The parts of a reply, each behind its mark: `=name`.
pub fn parts(reply: &str) -> BTreeMap<String, Vec<&str>> {
    let mut all: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut current = None;
    for line in reply.lines() {
        if let Some(name) = line.strip_prefix('=') {
            current = Some(name.to_owned());
            all.entry(name.to_owned()).or_default();
        } else if let Some(part) = current.as_ref().and_then(|name| all.get_mut(name)) {
            part.push(line);
        }
    }
    all
}

/// Names and values that follow each other line by line.
pub fn pairs(lines: &[&str]) -> BTreeMap<String, String> {
    lines.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
}

/// Several such maps behind each other; each begins with `name`.
pub fn records(lines: &[&str]) -> Vec<BTreeMap<String, String>> {
    let mut all: Vec<BTreeMap<String, String>> = Vec::new();
    for pair in lines.chunks_exact(2) {
        if pair[0] == "name" {
            all.push(BTreeMap::new());
        }
        if let Some(record) = all.last_mut() {
            record.insert(pair[0].to_owned(), pair[1].to_owned());
        }
    }
    all
}

/// The fields of INFO.
pub fn info(lines: &[&str]) -> BTreeMap<String, String> {
    lines
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.into(), value.into()))
        .collect()
}

/// The users that a configuration declares, in its order.
pub fn users(configuration: &str) -> Vec<(String, User)> {
    configuration.lines().filter_map(User::parse).collect()
}

/// The directives of a configuration, without those in `fixed` and users.
pub fn directives(configuration: &str, fixed: &[&str]) -> Vec<(String, String)> {
    let lines = configuration.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let split = lines.filter_map(|line| line.split_once(' '));
    split
        .filter(|(name, _)| *name != "user" && !fixed.contains(name))
        .map(|(name, value)| {
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            (name.to_owned(), bare.to_owned())
        })
        .collect()
}

/// A word as `redis-cli` reads it from standard input.
pub fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}
