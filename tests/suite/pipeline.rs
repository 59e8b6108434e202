//! What a pipeline relies on: a plan that is saved, looked at and carried out later, or refused; a part of a plan; the
//! lock of a run that hangs; the runs that the nodes remember.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;

const CONFIGURATION: &str = "/etc/haproxy/haproxy.cfg";

/// Another setting of HAProxy, which it takes by a reload.
fn interval(cluster: &Cluster, milliseconds: u32) -> Result<()> {
    cluster.write(&[("haproxy", &format!("max_connections: 2000\ncheck_interval: {milliseconds}"))])
}

fn hash(cluster: &Cluster, node: &str) -> Result<String> {
    cluster.on(node, &format!("sha256sum <{CONFIGURATION}"))
}

/// A saved plan is carried out as it was shown, and refused when either side has moved.
pub fn saved_plan(cluster: &mut Cluster) -> Result<String> {
    let file = cluster.dir().join("saved.plan").display().to_string();
    let json = cluster.dir().join("plan.json").display().to_string();
    interval(cluster, 310)?;
    let plan = cluster.attempt(&[
        "plan",
        "--markdown",
        "--json-into",
        &json,
        "--out",
        &file,
        "--detailed-exitcode",
    ])?;
    plan.ended(2)?;
    ensure!(plan.stdout.starts_with("### deploy plan: "), "no comment: {}", plan.all());
    ensure!(plan.stdout.contains("<details><summary>haproxy: "), "no details: {}", plan.all());
    let report: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&json)?)?;
    let changes = report["summary"]["changes"].as_u64().context("no summary")?;
    let saved = std::fs::read_to_string(&file)?;
    ensure!(saved.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "the saved plan is not encrypted");

    let apply = ["apply", "--plan", &file];
    let node = *cluster.of_kind("manager").first().context("no manager")?;
    let before = hash(cluster, node)?;
    cluster.on(node, &format!("echo '# by hand' >>{CONFIGURATION}"))?;
    let edited = hash(cluster, node)?;
    let refused = cluster.refuse(&apply, &[node, CONFIGURATION, "hint: look at a new plan"]);
    ensure!(hash(cluster, node)? == edited, "a refused plan has changed a node");
    cluster.on(node, &format!("sed -i '$d' {CONFIGURATION}"))?;
    refused?.ended(10)?;
    ensure!(hash(cluster, node)? == before, "the file of before is not back");
    interval(cluster, 311)?;
    let refused = cluster.refuse(&apply, &["the inventory has changed"]);
    interval(cluster, 310)?;
    refused?.ended(10)?;

    // Killed at some moment, and run again: what it has done by then is no reason to refuse it.
    let mut run = cluster.start(&apply, "saved")?;
    let begun = Instant::now();
    while hash(cluster, node)? == before && run.try_wait()?.is_none() {
        ensure!(begun.elapsed() < Duration::from_secs(120), "nothing is changed: {}", cluster.said("saved"));
        sleep(Duration::from_millis(100));
    }
    let _ = run.kill();
    run.wait()?;
    sleep(Duration::from_secs(1));
    let done = cluster.deploy(&apply)?;
    ensure!(hash(cluster, node)? != before, "nothing has changed on {node}");
    cluster.settled()?;
    let again = cluster.deploy(&apply)?;
    ensure!(again.stdout.contains("nothing to change"), "a second time: {}", again.all());
    // Nothing newer is put back by it.
    interval(cluster, 311)?;
    cluster.deploy(&["apply", "--yes"])?;
    interval(cluster, 310)?;
    let newer = hash(cluster, node)?;
    cluster.refuse(&apply, &["is not what it was when the plan was made"])?.ended(10)?;
    ensure!(hash(cluster, node)? == newer, "a plan that was carried out before has put {node} back");
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    Ok(format!(
        "{changes} changes; refused for an edited file and for an edited inventory, finished in {:.1} s",
        done.seconds
    ))
}

/// Only what was asked for is changed, and what was left out is said.
pub fn narrowed(cluster: &mut Cluster) -> Result<String> {
    let managers = cluster.of_kind("manager");
    let [first, second, third] = managers[..] else { anyhow::bail!("three managers are needed") };
    interval(cluster, 312)?;
    let before = [hash(cluster, first)?, hash(cluster, second)?, hash(cluster, third)?];
    let on = format!("@haproxy,!{third}");
    let plan = cluster.deploy(&["plan", "--on", &on, "--skip-phase", "base", "--json"])?.json()?;
    let nodes: Vec<&str> = plan["changes"]
        .as_array()
        .context("no changes")?
        .iter()
        .filter_map(|one| one["node"].as_str())
        .collect();
    ensure!(!nodes.contains(&third) && nodes.contains(&second), "planned on {nodes:?}");
    let hidden = plan["left_out"].to_string();
    ensure!(hidden.contains(third) && hidden.contains("haproxy"), "not said: {hidden}");
    let apply = cluster.deploy(&[
        "apply",
        "--yes",
        "--on",
        first,
        "--phase",
        "haproxy,pgbouncer",
        "--parallel",
        "1",
    ])?;
    ensure!(apply.stdout.contains("left out: "), "not said: {}", apply.all());
    let after = [hash(cluster, first)?, hash(cluster, second)?, hash(cluster, third)?];
    ensure!(before[0] != after[0] && before[1..] == after[1..], "more or less than {first} has changed");
    let refused = cluster.refuse(&["plan", "--on", "x*"], &["`x*`", first])?;
    refused.ended(3)?;
    cluster.deploy(&["apply", "--yes", "--parallel", "2"])?;
    cluster.settled()?;
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    Ok(format!("{first} alone, then the others"))
}

/// A run that hangs is seen, and its lock let go of by force; what it was stays in the history.
pub fn lock_and_history(cluster: &mut Cluster) -> Result<String> {
    cluster.attempt(&["lock", "status"])?.ended(0)?;
    interval(cluster, 313)?;
    let mut run = cluster.start(&["apply", "--yes", "--parallel", "1"], "hanging")?;
    let begun = Instant::now();
    while !cluster.locked() {
        ensure!(run.try_wait()?.is_none(), "the run took no lock: {}", cluster.said("hanging"));
        ensure!(begun.elapsed() < Duration::from_secs(60), "the run takes no lock");
        sleep(Duration::from_millis(100));
    }
    let pid = run.id().to_string();
    let signal = |name: &str| Command::new("kill").args([name, &pid]).status();
    signal("-STOP")?;
    let kept = cluster.attempt(&["lock", "release"])?;
    let seen = cluster.attempt(&["lock", "status"])?;
    let forced = cluster.attempt(&["lock", "release", "--force"])?;
    signal("-KILL")?;
    run.wait()?;
    seen.ended(6)?;
    ensure!(seen.stdout.contains("held by ") && seen.stdout.contains(" since "), "{}", seen.all());
    kept.ended(6)?;
    forced.ended(0)?;
    ensure!(forced.stderr.contains("begins no other"), "{}", forced.all());
    cluster.attempt(&["lock", "status"])?.ended(0)?;
    // However far it had come, there is something to do.
    interval(cluster, 315)?;
    let done = cluster.deploy(&["apply", "--yes", "--json"])?.json()?;
    cluster.settled()?;
    let name = done["run"].as_str().context("the run has no name")?;
    let history = cluster.deploy(&["history", "--json"])?.json()?;
    let latest = &history["runs"][0];
    ensure!(latest["run"] == name && latest["result"] == "done", "not the latest: {latest}");
    ensure!(latest["by"].as_str().is_some_and(|by| by.contains('@')), "nobody ran it: {latest}");
    let show = cluster.deploy(&["history", "show", name])?;
    for words in [
        "file_commit /etc/haproxy/haproxy.cfg: 0",
        "result       done (exit code 0)",
        "version      ",
        "phases       ",
        "haproxy ~ file /etc/haproxy/haproxy.cfg",
    ] {
        ensure!(show.stdout.contains(words), "no `{words}`: {}", show.all());
    }
    recorded_here(cluster)?;
    let node = *cluster.of_kind("manager").first().context("no manager")?;
    let copies = "find /var/lib/deploy/runs/*/files -type f ! -perm -o=r 2>/dev/null | wc -l";
    let copies = cluster.on(node, copies)?;
    ensure!(copies.trim() == "0", "{copies} copies of keys and passwords are kept on {node}");
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    Ok(format!("{} runs remembered", history["runs"].as_array().map_or(0, Vec::len)))
}

/// A run that had nothing to do, and one that was refused, are known here alone.
fn recorded_here(cluster: &Cluster) -> Result<()> {
    let latest = || -> Result<serde_json::Value> {
        Ok(cluster.deploy(&["history", "--json"])?.json()?["runs"][0].clone())
    };
    cluster.deploy(&["apply", "--yes"])?;
    let idle = latest()?;
    ensure!(idle["result"] == "nothing to do" && idle["here"] == true, "no record: {idle}");
    interval(cluster, 318)?;
    cluster.attempt(&["apply"])?.ended(1)?;
    let refused = latest()?;
    ensure!(refused["exit"] == 1 && refused["nodes"] == serde_json::json!([]), "no record: {refused}");
    let error = refused["error"].as_str().unwrap_or_default();
    ensure!(error.contains("nobody is here to confirm"), "not said why: {refused}");
    Ok(())
}

/// Ctrl-C, or a terminal that is gone: the step that is under way ends, none comes after it, and the next run goes on. Ctrl-C
/// twice, and the program ends at once.
pub fn interrupted(cluster: &mut Cluster) -> Result<String> {
    let apply = ["apply", "--yes", "--parallel", "1"];
    let begun_and_interrupted = |value: u32, signals: &[&str]| -> Result<(Option<i32>, f64)> {
        interval(cluster, value)?;
        let mut run = cluster.start(&apply, "interrupted")?;
        cluster.changing(&mut run, "interrupted")?;
        let at = Instant::now();
        for signal in signals {
            let sent = Command::new("kill").args([signal, run.id().to_string().as_str()]).status()?;
            ensure!(sent.success(), "the run was over before it was interrupted");
            sleep(Duration::from_millis(100));
        }
        let code = run.wait()?.code();
        Ok((code, at.elapsed().as_secs_f64()))
    };
    // The kernel and the shell may both tell of it.
    for (value, signals) in [(321, &["-HUP", "-HUP"][..]), (318, &["-INT"])] {
        let (code, _) = begun_and_interrupted(value, signals)?;
        let said = cluster.said("interrupted");
        ensure!(
            code == Some(7) && said.contains("interrupted"),
            "{signals:?}: it ended with {code:?}: {said}"
        );
        let history = cluster.deploy(&["history", "--json"])?.json()?;
        ensure!(history["runs"][0]["result"] == "interrupted", "in the history: {}", history["runs"][0]);
    }
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let (code, at_once) = begun_and_interrupted(319, &["-INT", "-INT"])?;
    ensure!(
        code.is_some_and(|code| code != 0) && at_once < 2.0,
        "two signals: {code:?} after {at_once:.1} s"
    );
    cluster.write(&[])?;
    // A dead run's lock is let go of when its connection is seen to be closed.
    sleep(Duration::from_secs(1));
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    Ok(format!("ended after one signal, and {at_once:.1} s after two; finished by the next run"))
}

/// Back to what an earlier run wanted, by a plan like any other; the inventory stays, and that run's can be had.
pub fn rolled_back(cluster: &mut Cluster) -> Result<String> {
    let node = *cluster.of_kind("manager").first().context("no manager")?;
    interval(cluster, 316)?;
    let first = cluster.deploy(&["apply", "--yes", "--json"])?.json()?;
    let run = first["run"].as_str().context("the run has no name")?;
    let then = hash(cluster, node)?;
    interval(cluster, 317)?;
    cluster.deploy(&["apply", "--yes"])?;
    let now = hash(cluster, node)?;
    cluster.refuse(&["rollback", "20200101T000000Z-0000"], &["no node remembers", "deploy history"])?;
    let shown = cluster.deploy(&["rollback", run, "--dry-run"])?;
    let difference = ["-  check_interval: 317", "+  check_interval: 316"];
    ensure!(difference.iter().all(|line| shown.stdout.contains(line)), "{}", shown.all());
    ensure!(hash(cluster, node)? == now, "a dry run has changed {node}");
    let part = ["rollback", run, "--dry-run", "--detailed-exitcode", "--json", "--on", node];
    let part = cluster.attempt(&part)?;
    part.ended(2)?;
    let part = part.json()?;
    // What follows from a change stays with it, on whatever node.
    let elsewhere = part["changes"].as_array().is_some_and(|all| {
        all.iter()
            .any(|one| one["node"] != node && cluster.of_kind("manager").iter().any(|of| one["node"] == *of))
    });
    ensure!(!elsewhere && part["left_out"][0].is_object(), "not narrowed to {node}: {part}");
    let done = cluster.deploy(&["rollback", run, "--yes"])?;
    ensure!(hash(cluster, node)? == then, "{node} is not what it was then");
    let history = cluster.deploy(&["history", "--json"])?.json()?;
    ensure!(history["runs"][0]["back_to"] == run, "not in the history: {}", history["runs"][0]);
    cluster.attempt(&["plan", "--detailed-exitcode"])?.ended(2)?;
    let inventory = cluster.deploy(&["history", "inventory", run])?.stdout;
    std::fs::write(cluster.inventory(), inventory)?;
    cluster.settled()?;
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    Ok(format!("the file of then is back after {:.1} s", done.seconds))
}

/// The scripts of `examples/ci`, as a pipeline runs them: a plan on the merge request, its apply on the merge, and the
/// nightly look at the nodes.
pub fn ci_scripts(cluster: &mut Cluster) -> Result<String> {
    let folder = cluster.dir().join("ci");
    let folder = folder.display().to_string();
    let script = |name: &str, words: &[&str]| -> Result<(Option<i32>, String)> {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/ci").join(name);
        let deploy = std::path::Path::new(env!("CARGO_BIN_EXE_deploy"));
        let path = format!(
            "{}:{}",
            deploy.parent().context("no folder")?.display(),
            std::env::var("PATH").unwrap_or_default()
        );
        let output = Command::new(file).arg(cluster.dir()).args(words).env("PATH", path).output()?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code(), said))
    };
    let (code, said) = script("nightly.sh", &[])?;
    ensure!(code == Some(0), "nightly, with nothing to tell: {code:?} {said}");
    let (code, said) = script("plan.sh", &[&folder])?;
    ensure!(code == Some(0) && said.contains("changes=no"), "plan without changes: {code:?} {said}");
    // A role that is new needs a password that nobody had before.
    let roles = "roles: { app: {}, merged: {} }\ndatabases: { app: { owner: app } }";
    let haproxy = "max_connections: 2000\ncheck_interval: 314";
    cluster.write(&[("haproxy", haproxy), ("postgresql", &cluster.postgresql(roles))])?;
    let kept = format!("{folder}/kept.git");
    let git = |words: &[&str]| -> Result<Vec<u8>> {
        let output = Command::new("git").arg("-C").arg(cluster.dir()).args(words).output()?;
        ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    git(&["init", "--quiet", "--initial-branch", "main"])?;
    git(&["init", "--quiet", "--bare", &kept])?;
    git(&["remote", "add", "origin", &kept])?;
    git(&["add", "cluster.yaml", "secrets.age"])?;
    git(&["-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "--quiet", "--message", "A role"])?;
    git(&["push", "--quiet", "origin", "HEAD:main"])?;
    let (code, said) = script("plan.sh", &[&folder])?;
    ensure!(code == Some(0) && said.contains("changes=yes"), "plan: {code:?} {said}");
    let comment = std::fs::read_to_string(format!("{folder}/comment.md"))?;
    ensure!(comment.contains("clients will notice nothing"), "{comment}");
    let (code, said) = script("apply.sh", &[&folder, "main"])?;
    ensure!(code == Some(0) && said.contains("secrets.age"), "apply: {code:?} {said}");
    let log = std::fs::read_to_string(format!("{folder}/apply.log"))?;
    ensure!(log.lines().all(|line| line.contains("Z ")) && log.contains("changes made in"), "{log}");
    // The same job once more.
    let (code, said) = script("apply.sh", &[&folder, "main"])?;
    ensure!(code == Some(0) && said.contains("nothing to change"), "apply again: {code:?} {said}");
    let store = git(&["--git-dir", &kept, "show", "main:secrets.age"])?;
    ensure!(
        store == std::fs::read(cluster.dir().join("secrets.age"))?,
        "the new store is not with the inventory"
    );
    ensure!(cluster.deploy(&["secrets", "show", "postgresql/merged"]).is_ok(), "nobody has the new password");
    std::fs::remove_dir_all(cluster.dir().join(".git"))?;
    let node = *cluster.of_kind("manager").first().context("no manager")?;
    cluster.on(node, &format!("echo '# by hand' >>{CONFIGURATION}"))?;
    let (code, said) = script("nightly.sh", &[])?;
    ensure!(code == Some(2) && said.contains(CONFIGURATION), "nightly, with drift: {code:?} {said}");
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    Ok("plan, apply and nightly".into())
}
