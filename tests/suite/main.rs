//! The lab suite: `deploy` against real machines, from nothing to failures under a writing client.
//!
//! `cargo test --test suite [-- WORD…]` runs the scenarios whose `group/name` contains one of the words, all without
//! any but those of [`BY_NAME`] and [`MIDWAY`]. Each group owns one lab; its first scenario deploys it and runs whenever
//! another one of the group does. A lab is taken down at the end of its group, and all of them before the first one, so that
//! the remains of a killed suite do not matter.
//!
//! `SUITE_KEEP=1` leaves the labs up and takes over the ones that are up; `SUITE_KILLS` is the number of kills of a
//! cold deploy and of an apply (3); `SUITE_SEED` repeats their moments; `SUITE_SHIFT=N` uses networks N further
//! on, beside another suite. Needs root and the programs that [`require`] names.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is a program of its own, and this is its report"
)]

mod applications;
mod break_glass;
mod certs;
mod clients;
mod cluster;
mod cold;
mod crowd;
mod damaged;
mod debian12;
mod eight;
mod failures;
mod figures;
mod guards;
mod held;
mod left;
mod lost;
mod midway;
mod nodes;
mod outsider;
mod pipeline;
mod redis;
mod redis_writer;
mod rolled;
mod shape;
mod three;
mod unnoticed;
mod unproven;
mod virtual_ip;
mod watchdog;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail};

use crate::cluster::Cluster;
use crate::watchdog::Watchdog;

/// What a scenario is given: the lab of its group.
type Run = fn(&mut Cluster) -> Result<String>;

/// Scenarios that share a lab, in order.
struct Group {
    name: &'static str,
    lab: fn() -> Cluster,
    scenarios: &'static [(&'static str, Run)],
}

static GROUPS: [Group; 5] = [
    Group { name: "eight", lab: eight::lab, scenarios: eight::SCENARIOS },
    Group { name: "cold", lab: cold::lab, scenarios: cold::SCENARIOS },
    Group { name: "debian12", lab: debian12::lab, scenarios: debian12::SCENARIOS },
    Group { name: "three", lab: three::lab, scenarios: three::SCENARIOS },
    MIDWAY,
];

/// A fault in the middle of every phase: half an hour, run where words name it.
const MIDWAY: Group = Group { name: "midway", lab: eight::lab, scenarios: midway::MATRIX };

/// What takes long and proves little that the others do not: run only where words name it.
const BY_NAME: [&str; 2] = ["eight/authority-expired", "eight/certificates-revoked"];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let listing = std::env::args().any(|word| word == "--list");
    let wanted = |group: &Group, name: &str| {
        let full = format!("{}/{name}", group.name);
        (words.is_empty() && group.name != MIDWAY.name && !BY_NAME.contains(&full.as_str()))
            || words.iter().any(|word| full.contains(word.as_str()))
    };
    if listing {
        for group in &GROUPS {
            group.scenarios.iter().for_each(|(name, _)| println!("{}/{name}", group.name));
        }
        return ExitCode::SUCCESS;
    }
    if let Err(error) = require() {
        eprintln!("error: {error:#}");
        println!("suite: 0 passed, 1 failed");
        return ExitCode::FAILURE;
    }
    let watchdog = Watchdog::start();
    let mut passed = 0;
    let mut failures: Vec<(String, String)> = Vec::new();
    // What a suite that was killed has left would take the processor from everything that is measured.
    if !Cluster::keeps() {
        for group in &GROUPS {
            if let Err(error) = (group.lab)().sweep() {
                println!("        the lab of {} cannot be taken down: {error:#}", group.name);
            }
        }
    }
    for group in &GROUPS {
        let first = group.scenarios.first().map_or("", |(name, _)| name);
        let chosen = |name: &str| wanted(group, name);
        if !group.scenarios.iter().any(|(name, _)| chosen(name)) {
            continue;
        }
        let mut cluster = (group.lab)();
        let mut lost: Option<String> = None;
        for (name, run) in group.scenarios.iter().filter(|(name, _)| *name == first || chosen(name)) {
            let title = format!("{}/{name}", group.name);
            if let Some(why) = &lost {
                let why = format!("the cluster has not recovered from `{why}`");
                println!("FAILED  {title}: {why}");
                failures.push((title, why));
                continue;
            }
            let begun = Instant::now();
            watchdog.watch(&title, passed, failures.len());
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&mut cluster)))
                .unwrap_or_else(|_| Err(anyhow::anyhow!("the scenario panicked")));
            let seconds = begun.elapsed().as_secs_f64();
            match outcome {
                Ok(note) => {
                    println!("ok      {title:<34} {seconds:>6.1} s  {note}");
                    passed += 1;
                }
                Err(error) => {
                    let why = format!("{error:#}").replace('\n', "\n        ");
                    println!("FAILED  {title:<34} {seconds:>6.1} s\n        {why}");
                    if *name == first || !cluster.recover() {
                        lost = Some(title.clone());
                    }
                    failures.push((title, why));
                }
            }
        }
        if let Err(error) = cluster.end() {
            let (title, why) = (format!("{}/down", group.name), format!("{error:#}"));
            println!("FAILED  {title}: {why}");
            failures.push((title, why));
        }
    }
    if passed + failures.len() == 0 {
        println!("no scenario is named so; `--list` shows them");
        return ExitCode::FAILURE;
    }
    figures::print();
    // Once more, where whoever reads only the end of a long log finds it.
    for (title, why) in &failures {
        println!("failed: {title}: {why}");
    }
    let skipped = if words.is_empty() { BY_NAME.len() + MIDWAY.scenarios.len() } else { 0 };
    println!("suite: {passed} passed, {} failed, {skipped} skipped", failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The suite's own programs, with the Debian packages that have them; those of the lab are checked by `lab up`.
fn require() -> Result<()> {
    const NEEDED: [(&str, &str); 8] = [
        ("psql", "postgresql-client"),
        ("ip", "iproute2"),
        ("/usr/bin/python3", "python3"),
        ("ssh", "openssh-client"),
        ("systemd-nspawn", "systemd-container"),
        ("curl", "curl"),
        ("openssl", "openssl"),
        ("wrk", "wrk"),
    ];
    let user = Command::new("id").arg("-u").output()?;
    if user.stdout != b"0\n" {
        bail!("the suite boots machines in a lab, which needs root");
    }
    let there = |program: &str| Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let mut missing = Vec::new();
    for (program, package) in NEEDED {
        if !there(program)?.status.success() {
            missing.push(package);
        }
    }
    let library = Command::new("/usr/bin/python3").args(["-c", "import redis.sentinel"]).output();
    if !library.is_ok_and(|done| done.status.success()) {
        missing.push("python3-redis");
    }
    if !missing.is_empty() {
        bail!(
            "the suite needs more programs\nhint: apt-get install -y --no-install-recommends {}",
            missing.join(" ")
        );
    }
    Ok(())
}
