//! `deploy render`: every file of every node, into a folder, without any network.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::project::Files;
use super::{Global, rendered};
use crate::cli;
use crate::live::{self, Observation, Observed, secret_names};
use crate::observe;
use crate::pki::{OwnCertificate, Trust};
use crate::render::{Facts, Source, resources};
use crate::secrets::Secret;
use crate::ui;

/// Machine that is rendered for where no node can be asked.
const ASSUMED_RAM_MIB: u64 = 8192;
const ASSUMED_CORES: u32 = 4;

/// Where PostgreSQL's parameters and its `pg_hba.conf` are: no node has a dot in its name.
const CONFIGURATION: &str = "patroni.json";

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
    let debian = u8::from(source.cluster.inventory.lab.debian);
    let mut files: BTreeMap<PathBuf, String> = BTreeMap::new();
    let mut machines = Observed::new();
    for node in source.cluster.nodes.keys() {
        let facts = Facts {
            debian,
            ram_mib: ASSUMED_RAM_MIB,
            cores: ASSUMED_CORES,
            clock: 0,
            hostname: node.to_string(),
            interfaces: Vec::new(),
            unproven: None,
        };
        for resource in resources(&source, node, Some(&facts))?.into_values().flatten() {
            let Some((path, content)) = resource.content() else { continue };
            files.insert(Path::new(node.as_str()).join(path.trim_start_matches('/')), content);
        }
        if args.probes {
            files.insert(Path::new(node.as_str()).join("probe.sh"), observe::probe(&source, node)?);
        }
        machines.insert(node.clone(), Observation { facts, fields: BTreeMap::new() });
    }
    // It is no file of a node, but a key in etcd.
    if let Some(configuration) = live::initial_configuration(&source, &machines)? {
        files.insert(PathBuf::from(CONFIGURATION), configuration);
    }
    rendered::replace(&args.out, &files)?;
    if global.json {
        let written: Vec<String> =
            files.keys().map(|file| args.out.join(file).display().to_string()).collect();
        let assumed = json!({ "ram_mib": ASSUMED_RAM_MIB, "cores": ASSUMED_CORES, "debian": debian });
        ui::json(&json!({ "files": written, "assumed": assumed }));
    } else {
        ui::data(&format!(
            "{} files written below {}, as for machines of {} GiB, {ASSUMED_CORES} cores and Debian {debian}\n",
            files.len(),
            args.out.display(),
            ASSUMED_RAM_MIB / 1024
        ));
    }
    Ok(ExitCode::SUCCESS)
}
