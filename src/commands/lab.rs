//! `deploy lab`: real machines of an inventory inside this one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::IpAddr;
use std::process::ExitCode;

use anyhow::{Result, anyhow};

use super::Global;
use super::project::Files;
use crate::cli::{Lab, Release, Target};
use crate::cluster::Cluster;
use crate::inventory::model::Debian;
use crate::lab::{self, LabNode, LabSpec};
use crate::role::Library;
use crate::ui::{self, Hint};

pub async fn run(global: &Global, command: Lab) -> Result<ExitCode> {
    let debian = if let Lab::Up { debian, .. } = &command { *debian } else { None };
    let spec = spec(command.target(), debian)?;
    match &command {
        Lab::Up { .. } => lab::up(&spec, &ui::talk).await?,
        Lab::Down { .. } => lab::down(&spec).await?,
        Lab::Status { .. } => {}
        Lab::Exec { node, command, .. } => {
            let status = lab::exec(&spec, node, command).await?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        Lab::Kill { nodes, .. } => lab::kill(&spec, nodes).await?,
        Lab::Start { nodes, .. } => lab::start(&spec, nodes).await?,
        Lab::Cut { nodes, from, .. } => {
            lab::cut(&spec, nodes, (!from.is_empty()).then_some(from.as_slice())).await?;
        }
        Lab::Heal { nodes, .. } => lab::heal(&spec, nodes).await?,
        Lab::Slow { nodes, delay, loss, .. } => lab::slow(&spec, nodes, *delay, *loss).await?,
    }
    if global.json || matches!(command, Lab::Up { .. } | Lab::Status { .. }) {
        show(global, &spec)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The lab of an inventory. Its image keeps the archives of every package that its roles install.
fn spec(target: &Target, debian: Option<Release>) -> Result<LabSpec> {
    let Files { cluster, library, .. } = super::project::files(&target.inventory)?;
    let release = match debian {
        Some(Release::Twelve) => Debian::Bookworm,
        Some(Release::Thirteen) => Debian::Trixie,
        None => cluster.inventory.lab.debian,
    };
    let mut nodes = Vec::new();
    for (name, node) in &cluster.nodes {
        let IpAddr::V4(address) = node.address else {
            let hint = Hint("give the nodes of a lab addresses of IPv4".into());
            return Err(anyhow!("{name}: the lab knows IPv4 only, not {}", node.address).context(hint));
        };
        nodes.push(LabNode { name: name.to_string(), address });
    }
    let packages = packages(&cluster, &library, release.into());
    let release = match release {
        Debian::Bookworm => lab::Release::Debian12,
        Debian::Trixie => lab::Release::Debian13,
    };
    Ok(LabSpec { name: cluster.name().to_owned(), release, nodes, packages })
}

fn packages(cluster: &Cluster, library: &Library, debian: u8) -> Vec<String> {
    let used = library.roles.values().filter(|manifest| cluster.with_role(&manifest.role).next().is_some());
    let packages = used.flat_map(|manifest| &manifest.packages);
    let wanted = packages.filter(|package| package.debian.is_none_or(|only| only == debian));
    wanted.map(|package| package.name.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

fn show(global: &Global, spec: &LabSpec) -> Result<()> {
    let status = lab::status(spec)?;
    if global.json {
        ui::json(&status);
        return Ok(());
    }
    let mut text = String::new();
    for node in &status.nodes {
        let state = serde_json::to_value(node.state)?;
        let cut = if node.cut { "  cut" } else { "" };
        let _ = writeln!(
            text,
            "{:<12} {:<15} {}{cut}",
            node.name,
            node.address,
            state.as_str().unwrap_or_default()
        );
    }
    let _ = writeln!(text, "ssh -F {} NODE", status.ssh_config.display());
    ui::data(&text);
    Ok(())
}
