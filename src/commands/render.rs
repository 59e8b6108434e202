//! `deploy render`: every file of every node, into a folder, without any network.

use std::collections::BTreeMap;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::Global;
use super::project::Files;
use crate::cli;
use crate::live::secret_names;
use crate::observe;
use crate::pki::{OwnCertificate, Trust};
use crate::render::{Facts, Source, resources};
use crate::secrets::Secret;
use crate::ui;

/// Machine that is rendered for where no node can be asked.
const ASSUMED_RAM_MIB: u64 = 8192;
const ASSUMED_CORES: u32 = 4;

pub fn run(global: &Global, args: &cli::Render) -> Result<ExitCode> {
    let Files { cluster, library, own_certificates, .. } = super::project::files(&args.target.inventory)?;
    // The real values belong to the nodes; what is written here names them instead.
    let secrets: BTreeMap<String, Secret> = secret_names(&cluster, &library)
        .into_iter()
        .map(|name| (name.clone(), Secret::new(format!("(secret {name})"))))
        .collect();
    let trust = Trust::settled("(the certificate of the cluster's authority)\n", "");
    let mut source = Source::new(cluster, library, secrets, trust)?;
    source.own_certificates = own_certificates
        .into_iter()
        .map(|(name, own)| (name, OwnCertificate { key: Secret::new("(its key)\n"), ..own }))
        .collect();
    let mut written = Vec::new();
    for node in source.cluster.nodes.keys() {
        let facts = Facts {
            debian: source.cluster.inventory.lab.debian.into(),
            ram_mib: ASSUMED_RAM_MIB,
            cores: ASSUMED_CORES,
            clock: 0,
            hostname: node.to_string(),
            interfaces: Vec::new(),
        };
        for resource in resources(&source, node, Some(&facts))?.into_values().flatten() {
            let Some((path, content)) = resource.content() else { continue };
            let file = args.out.join(node.as_str()).join(path.trim_start_matches('/'));
            write(&file, &content)?;
            written.push(file.display().to_string());
        }
        if args.probes {
            let file = args.out.join(node.as_str()).join("probe.sh");
            write(&file, &observe::probe(&source, node)?)?;
            written.push(file.display().to_string());
        }
    }
    if global.json {
        ui::json(&serde_json::json!({ "files": written }));
    } else {
        ui::data(&format!("{} files written below {}\n", written.len(), args.out.display()));
    }
    Ok(ExitCode::SUCCESS)
}

fn write(file: &Path, content: &str) -> Result<()> {
    use std::io::Write;
    let write = || -> std::io::Result<()> {
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(file)?.write_all(content.as_bytes())
    };
    write().map_err(|error| super::unwritable("the rendering", file, error))
}
