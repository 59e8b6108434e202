//! A folder of renderings: what an earlier one wrote and this one does not have goes, and nothing else is ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::written::unwritable;

/// The list of what was written, in the folder itself: a relative path on each line.
const LIST: &str = ".rendered";

/// Leaves `files` in `folder`, by their relative paths, in the place of those of an earlier rendering.
pub fn replace(folder: &Path, files: &BTreeMap<PathBuf, String>) -> Result<()> {
    let list = folder.join(LIST);
    let written =
        earlier(&list).map_err(|error| unwritable("the rendering in the place of", &list, error))?;
    for gone in written.iter().filter(|file| !files.contains_key(*file)) {
        let file = folder.join(gone);
        remove(folder, gone).map_err(|error| unwritable("the rendering in the place of", &file, error))?;
    }
    // Before the files, so that it names them even where writing them ends in the midst.
    let names: String = files.keys().map(|file| file.display().to_string() + "\n").collect();
    write(&list, &names)?;
    files.iter().try_for_each(|(file, content)| write(&folder.join(file), content))
}

/// What the list names; a line that leads out of the folder is none of ours.
fn earlier(list: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let within = |file: &PathBuf| {
        !file.as_os_str().is_empty() && file.components().all(|part| matches!(part, Component::Normal(_)))
    };
    let text = match std::fs::read_to_string(list) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        text => text.unwrap_or_default(),
    };
    Ok(text.lines().map(PathBuf::from).filter(within).collect())
}

/// Removes a file, and the folders below `folder` that it leaves empty.
fn remove(folder: &Path, file: &Path) -> io::Result<()> {
    match std::fs::remove_file(folder.join(file)) {
        Err(error) if ![ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind()) => {
            return Err(error);
        }
        _ => {}
    }
    let parents = file.ancestors().skip(1).filter(|parent| *parent != Path::new(""));
    // The first that is not empty ends it.
    let _ = parents.map(|parent| std::fs::remove_dir(folder.join(parent))).find(Result::is_err);
    Ok(())
}

fn write(file: &Path, content: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(file)?.write_all(content.as_bytes())
    };
    write().map_err(|error| unwritable("the rendering", file, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(folder: &Path, files: &[&str]) {
        let files = files.iter().map(|file| (PathBuf::from(file), "x".to_owned())).collect();
        replace(folder, &files).unwrap();
    }

    #[test]
    fn what_an_earlier_rendering_wrote_goes_and_what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let at = |file: &str| folder.path().join(file).exists();
        rendered(folder.path(), &["n1/etc/a", "n2/etc/b", "n2/etc/deep/c"]);
        std::fs::write(folder.path().join("n2/notes"), "mine").unwrap();
        rendered(folder.path(), &["n1/etc/a"]);
        assert!(at("n1/etc/a") && at("n2/notes") && !at("n2/etc"));
        // A file in the place of a folder, and the other way round.
        rendered(folder.path(), &["n1/etc"]);
        rendered(folder.path(), &["n1/etc/a"]);
        assert!(at("n1/etc/a"));
    }

    #[test]
    fn a_list_that_leads_out_of_the_folder_removes_nothing() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("out");
        rendered(&folder, &["n1/a"]);
        let other = outer.path().join("other");
        std::fs::write(&other, "mine").unwrap();
        std::fs::write(folder.join(LIST), format!("../other\n{}\nn1/../../other\n\n", other.display()))
            .unwrap();
        rendered(&folder, &["n1/a"]);
        assert!(other.exists());
    }
}
