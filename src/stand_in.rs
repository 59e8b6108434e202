//! Programs that stand in for those of a node: for tests of what is sent to one.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Makes `path` a program of the shell.
pub fn program(path: &Path, body: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{body}")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
