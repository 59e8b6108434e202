//! The user's editor, kept from leaving copies of what it edits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use tokio::process::Command;

use crate::secrets::MemoryFolder;
use crate::ui::Hint;

/// What keeps vim and neovim from writing a swap file, backups, undo files and registers to wherever they are set up to.
const VIM: [&str; 5] = ["-n", "-i", "NONE", "-c", "silent! set nobackup nowritebackup noundofile noswapfile"];

/// A program and its arguments.
#[derive(Debug, PartialEq, Eq)]
pub struct Editor(Vec<String>);

impl Editor {
    /// `VISUAL`, else `EDITOR`, else `vi`; words are split as a shell does.
    pub fn find(env: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let set = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let chosen = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".into());
        let mut words = shlex::split(&chosen).filter(|words| !words.is_empty()).ok_or_else(|| {
            anyhow!("`{chosen}` names no editor")
                .context(Hint("set EDITOR to a program, as `EDITOR=vim`".into()))
        })?;
        if is_vim(&words[0], &env("PATH").unwrap_or_default()) {
            words.extend(VIM.map(str::to_owned));
        }
        Ok(Self(words))
    }

    /// Runs the editor on `file` in `folder` and waits for it to end.
    pub async fn edit(&self, file: &Path, folder: &mut MemoryFolder) -> Result<()> {
        let program = &self.0[0];
        let mut command = Command::new(program);
        command.args(&self.0[1..]).arg(file);
        // What it puts aside, as vim does for a filter, stays in memory as well.
        for variable in ["TMPDIR", "TMP", "TEMP"] {
            command.env(variable, folder.path());
        }
        let mut child = command.spawn().map_err(|error| {
            let hint = Hint("set EDITOR to an editor that is installed, as `EDITOR=vim`".into());
            anyhow!("the editor `{program}` cannot be run: {error}").context(hint)
        })?;
        let watched = folder.worker(child.id()).context("what watches over the decrypted text is gone");
        if watched.is_err() {
            let _ = child.kill().await;
        }
        watched?;
        let status = child.wait().await.context("cannot wait for the editor")?;
        folder.worker(None).context("what watches over the decrypted text is gone")?;
        if status.success() {
            return Ok(());
        }
        Err(anyhow!("the editor `{program}` ended with {status}; the store is as it was")
            .context(Hint("save and quit to keep what you change; look at its own words above".into())))
    }
}

/// Whether a program is a vim, by the name of what it is a link to.
fn is_vim(program: &str, path: &str) -> bool {
    let found = if program.contains('/') {
        Some(PathBuf::from(program))
    } else {
        std::env::split_paths(path).map(|folder| folder.join(program)).find(|file| file.is_file())
    };
    let real = found.map(|file| file.canonicalize().unwrap_or(file));
    let name = real.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    name.is_some_and(|name| {
        ["vim", "nvim", "gvim"].iter().any(|vim| name == *vim || name.starts_with("vim."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_editor_is_the_user_s_and_a_vim_keeps_nothing() {
        let bin = tempfile::tempdir().unwrap();
        std::fs::write(bin.path().join("vim.basic"), "").unwrap();
        std::os::unix::fs::symlink(bin.path().join("vim.basic"), bin.path().join("vi")).unwrap();
        let find = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            let path = bin.path().display().to_string();
            Editor::find(move |name| match name {
                "PATH" => Some(path.clone()),
                name => set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()),
            })
        };
        let words = |set: &[(&str, &str)]| find(set).unwrap().0;
        assert_eq!(words(&[("EDITOR", "code --wait"), ("VISUAL", " ")]), ["code", "--wait"]);
        assert_eq!(words(&[("EDITOR", "nano"), ("VISUAL", "'my editor' -x")]), ["my editor", "-x"]);
        assert_eq!(words(&[])[..4], ["vi", "-n", "-i", "NONE"]);
        assert!(find(&[("EDITOR", "'open")]).is_err());
    }
}
