//! Dependencies point down the list of layers in ARCHITECTURE.md.

use std::path::{Path, PathBuf};

/// The modules in the order of the list.
fn layers() -> Vec<&'static str> {
    let rows = include_str!("../ARCHITECTURE.md").lines().filter(|line| line.starts_with("| `src/"));
    let names = rows.flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`'));
    names
        .filter_map(|name| name.strip_prefix("src/"))
        .map(|name| name.trim_end_matches(['/']).trim_end_matches(".rs"))
        .collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    all.filter(|path| path.extension().is_some_and(|ending| ending == "rs")).collect()
}

/// What a file uses of other modules, without what is there for tests alone.
fn used(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let joined: String = lines.collect();
    let mut found = Vec::new();
    for after in joined.split("crate::").skip(1) {
        let list = after.strip_prefix('{').and_then(|list| list.split('}').next());
        let names = list.unwrap_or(after).split(',').take(if list.is_some() { usize::MAX } else { 1 });
        let first = |name: &str| {
            name.trim().split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
        };
        found.extend(names.filter_map(first));
    }
    found
}

#[test]
fn dependencies_point_down_the_list_of_layers() {
    let layers = layers();
    let place = |module: &str| layers.iter().position(|layer| *layer == module);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files(&root) {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let within = file.strip_prefix(&root).unwrap();
        let module = within
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned();
        let for_tests =
            name.ends_with("_test.rs") || ["tests.rs", "fixture.rs", "stand_in.rs"].contains(&name);
        if for_tests || module == "lib" {
            continue;
        }
        let Some(own) = place(&module) else {
            wrong.push(format!("{module} is not in the list"));
            continue;
        };
        let uses = used(&std::fs::read_to_string(&file).unwrap());
        let up = uses.into_iter().filter(|other| place(other).is_some_and(|other| other < own));
        wrong.extend(up.map(|other| format!("{} uses {other}", within.display())));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
