//! The command line without any network: what it prints, and how it ends. `UPDATE=1` writes the kept transcripts anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod gallery;
mod init;
mod pipelines;
mod secrets;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `deploy` with no identity but those that a test gives it, and nobody at the keyboard.
fn deploy(words: &[&str], within: &Path) -> Output {
    command(words, within).stdin(Stdio::null()).output().unwrap()
}

fn command(words: &[&str], within: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deploy"));
    for variable in ["DEPLOY_IDENTITY", "DEPLOY_IDENTITY_FILE", "DEPLOY_PASSPHRASE"] {
        command.env_remove(variable);
    }
    command.env("XDG_CONFIG_HOME", within.join("no-configuration")).env("HOME", within).env("NO_COLOR", "1");
    command.env_remove("XDG_STATE_HOME");
    command.args(words).current_dir(within);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs `deploy`, which must succeed, and returns what it printed.
fn printed(words: &[&str], within: &Path) -> String {
    let output = deploy(words, within);
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Runs `deploy`, which must fail without a word on standard output, and returns its error.
fn error(words: &[&str], within: &Path) -> String {
    error_with(1, words, within)
}

/// The same with another exit code.
fn error_with(code: i32, words: &[&str], within: &Path) -> String {
    let output = deploy(words, within);
    assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output.stdout));
    assert_eq!(text(&output.stdout), "", "{words:?}");
    text(&output.stderr)
}

/// Holds a kept transcript equal to what is printed now.
fn hold(name: &str, printed: &str) {
    hold_at(&root().join("tests/cli").join(name), printed);
}

fn hold_at(path: &Path, printed: &str) {
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, printed).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(kept, printed, "{} is out of date; run the test with UPDATE=1", path.display());
}

/// Every inventory that is shipped: folders and single files.
fn shipped() -> Vec<PathBuf> {
    let folders = ["lab", "demo"].map(|name| root().join("inventories").join(name));
    let examples = std::fs::read_dir(root().join("examples")).unwrap().map(|entry| entry.unwrap().path());
    let examples = examples.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    let own_role = root().join("examples/own-role");
    folders.into_iter().chain(examples).chain([own_role]).collect()
}

/// A folder with an inventory of three machines that are everything at once, and `more` at its end.
fn folder(more: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut inventory = String::from("name: shop\nnodes:\n");
    for number in 1..=3 {
        let _ =
            writeln!(inventory, "  n{number}: {{ kind: [manager, worker, app], address: 10.0.0.1{number} }}");
    }
    std::fs::write(folder.path().join("cluster.yaml"), inventory + more).unwrap();
    folder
}

#[test]
fn help_names_every_command() {
    let here = tempfile::tempdir().unwrap();
    hold("help.txt", &printed(&["--help"], here.path()));
    hold("help-lab.txt", &printed(&["lab", "--help"], here.path()));
    hold("help-certs.txt", &printed(&["certs", "--help"], here.path()));
    for command in [
        "init",
        "validate",
        "check",
        "plan",
        "apply",
        "verify",
        "status",
        "app",
        "render",
        "history",
        "graph",
        "drift",
        "lock",
        "secrets",
        "schema",
        "completions",
        "man",
    ] {
        assert!(printed(&[command, "--help"], here.path()).contains("Usage: deploy"), "{command}");
    }
    for action in ["live", "drain", "ready"] {
        let usage = format!("Usage: deploy app <INVENTORY> <NAME> {action} [OPTIONS] <");
        assert!(printed(&["app", ".", "shop", action, "--help"], here.path()).contains(&usage), "{action}");
    }
}

#[test]
fn a_mistyped_command_is_an_error_and_never_pending_changes() {
    let here = tempfile::tempdir().unwrap();
    assert!(
        error_with(1, &["plan", "--detailed-exitcodes", "."], here.path()).contains("--detailed-exitcode")
    );
    assert!(error_with(1, &["aply", "."], here.path()).contains("apply"));
}

#[test]
fn the_schema_is_json_and_knows_every_section() {
    let here = tempfile::tempdir().unwrap();
    let schema: Value = serde_json::from_str(&printed(&["schema"], here.path())).unwrap();
    for section in ["name", "nodes", "ssh", "access", "patroni", "postgresql", "firewall", "lab"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}

#[test]
fn completions_and_the_manual_are_printed() {
    let here = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(printed(&["completions", shell], here.path()).contains("deploy"), "{shell}");
    }
    let page = printed(&["man"], here.path());
    assert!(page.contains(".TH deploy"));
    assert_eq!(printed(&["man", "--out", "pages"], here.path()), "");
    let pages = here.path().join("pages");
    assert_eq!(std::fs::read_to_string(pages.join("deploy.1")).unwrap(), page);
    for command in ["plan", "certs-renew"] {
        assert!(pages.join(format!("deploy-{command}.1")).exists(), "{command}");
    }
}

#[test]
fn a_bad_inventory_is_shown_with_its_place_and_every_error_at_once() {
    let folder = folder("postgresql:\n  max_conections: 100\npatroni:\n  failover: quick\n");
    let said = error_with(3, &["render", ".", "--out", "out"], folder.path());
    for part in ["cluster.yaml:7:", "max_conections", "max_connections", "cluster.yaml:9:", "quick", "^"] {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
    assert!(!folder.path().join("out").exists(), "something was written");
}

#[test]
fn an_inventory_is_validated_without_a_store_or_an_identity() {
    let folder = folder("");
    assert_eq!(printed(&["validate", "."], folder.path()), "./cluster.yaml is valid: 3 nodes\n");
    let said: Value = serde_json::from_str(&printed(&["validate", ".", "--json"], folder.path())).unwrap();
    let wanted = serde_json::json!({ "valid": true, "inventory": "./cluster.yaml", "nodes": 3 });
    assert_eq!(said, wanted);
}

#[test]
fn a_rendering_says_for_which_machine_it_is_and_its_help_does_as_well() {
    let folder = folder("lab: { debian: 12 }\n");
    let said = printed(&["render", ".", "--out", "out"], folder.path());
    assert!(said.ends_with(" below out, as for machines of 8 GiB, 4 cores and Debian 12\n"), "{said}");
    let said: Value =
        serde_json::from_str(&printed(&["render", ".", "--out", "out", "--json"], folder.path())).unwrap();
    assert_eq!(said["assumed"], serde_json::json!({ "ram_mib": 8192, "cores": 4, "debian": 12 }));
    assert!(printed(&["render", "--help"], folder.path()).contains("8 GiB of RAM, 4 cores"));
}

#[test]
fn a_rendering_has_what_postgresql_is_configured_with() {
    let line = "hostssl app reports 10.1.0.0/16 scram-sha-256";
    let folder = folder(&format!("postgresql: {{ hba: [{line}], parameters: {{ jit: false }} }}\n"));
    printed(&["render", ".", "--out", "out"], folder.path());
    let text = std::fs::read_to_string(folder.path().join("out/patroni.json")).unwrap();
    let written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["postgresql"]["parameters"]["jit"], "off");
    assert_eq!(written["postgresql"]["parameters"]["shared_buffers"], "1792MB");
    assert!(written["postgresql"]["pg_hba"].as_array().unwrap().iter().any(|one| one == line), "{text}");
}

#[test]
fn an_inventory_that_is_not_there_is_named() {
    let here = tempfile::tempdir().unwrap();
    assert!(error_with(3, &["plan", "nowhere"], here.path()).contains("nowhere"));
}

#[test]
fn a_missing_store_has_a_way_out() {
    let folder = folder("");
    let said = error(&["plan", "."], folder.path());
    assert!(said.contains("no secret store") && said.contains("hint: `deploy init"), "{said}");
}

#[test]
fn every_shipped_inventory_renders_for_all_its_nodes_and_twice_the_same() {
    let out = tempfile::tempdir().unwrap();
    for inventory in shipped() {
        let inventory = inventory.to_str().unwrap();
        let render = |name: &str| {
            let json = printed(&["render", inventory, "--out", name, "--json"], out.path());
            let json: Value = serde_json::from_str(&json).unwrap();
            let files: Vec<String> = json["files"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file.as_str().unwrap().to_owned())
                .collect();
            let contents: Vec<Vec<u8>> =
                files.iter().map(|file| std::fs::read(out.path().join(file)).unwrap()).collect();
            let files: Vec<String> = files.iter().map(|file| file.replacen(name, "", 1)).collect();
            (files, contents)
        };
        let (files, contents) = render("first");
        assert!(
            files.iter().any(|file| file.ends_with("/etc/haproxy/haproxy.cfg")),
            "{inventory}: {files:?}"
        );
        assert!(files.iter().any(|file| file.ends_with("/etc/patroni/config.yml")), "{inventory}: {files:?}");
        assert!((files, contents) == render("second"), "{inventory} renders differently the second time");
        for name in ["first", "second"] {
            std::fs::remove_dir_all(out.path().join(name)).unwrap();
        }
    }
}

#[test]
fn the_script_that_asks_a_node_is_written_where_it_is_asked_for() {
    let out = tempfile::tempdir().unwrap();
    let inventory = root().join("examples/full.yaml");
    let render =
        |words: &[&str]| printed(&[&["render", inventory.to_str().unwrap()], words].concat(), out.path());
    render(&["--out", "plain"]);
    render(&["--out", "more", "--probes"]);
    let nodes = std::fs::read_dir(out.path().join("more")).unwrap().map(Result::unwrap);
    for node in nodes.filter(|entry| entry.path().is_dir()) {
        let name = node.file_name();
        let script = std::fs::read_to_string(out.path().join("more").join(&name).join("probe.sh")).unwrap();
        assert!(script.ends_with("\nmain </dev/null\n"), "{script}");
        assert!(!script.contains("(secret "), "{script}");
        assert!(!out.path().join("plain").join(&name).join("probe.sh").exists());
    }
}

#[test]
fn a_log_keeps_what_was_said_with_its_time_and_without_colour() {
    let folder = folder("ssh:\n  connect_timeout: 2\n  config: ssh_config\n");
    std::fs::write(folder.path().join("ssh_config"), "Host *\n  HostName 127.0.0.1\n  Port 9\n").unwrap();
    printed(&["init", "."], folder.path());
    let mut command = command(&["--log", "run.log", "plan", "."], folder.path());
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").output().unwrap();
    let log = std::fs::read_to_string(folder.path().join("run.log")).unwrap();
    let first = log.lines().next().unwrap();
    assert!(first.contains("Z error: n1: cannot connect"), "{log}");
    assert!(!log.contains('\u{1b}'), "{log:?}");
}

#[test]
fn an_authority_that_was_never_saved_is_not_shown() {
    let folder = unreachable();
    let said: Value =
        serde_json::from_slice(&deploy(&["certs", ".", "--json"], folder.path()).stdout).unwrap();
    assert_eq!(said["authorities"], serde_json::json!([]));
    let said = text(&deploy(&["certs", "."], folder.path()).stdout);
    assert!(said.contains("the cluster has no authority yet: `deploy apply` makes it"), "{said}");
}

#[test]
fn no_color_wins_over_whatever_asks_for_colours() {
    let folder = folder("");
    printed(&["init", "."], folder.path());
    let coloured = |words: &[&str], no_color: Option<&str>| {
        let mut command = command(words, folder.path());
        command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1");
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let output = command.output().unwrap();
        text(&output.stdout).contains('\u{1b}') || text(&output.stderr).contains('\u{1b}')
    };
    for words in [&["secrets", "list", "."][..], &["plan", "nowhere"], &["plan", "--unknown", "."]] {
        assert!(coloured(words, None), "{words:?}");
        assert!(!coloured(words, Some("1")), "{words:?}");
        // As no-color.org has it: empty is as if it were not there.
        assert!(coloured(words, Some("")), "{words:?}");
    }
}

#[test]
fn a_cluster_is_drawn_without_a_network() {
    let folder = folder("");
    let drawn = printed(&["graph", "."], folder.path());
    assert!(drawn.starts_with("flowchart LR\n") && drawn.contains("r_clients"), "{drawn}");
    assert!(printed(&["graph", ".", "--format", "dot"], folder.path()).starts_with("digraph cluster {"));
    assert!(printed(&["graph", ".", "--format", "svg"], folder.path()).starts_with("<svg "));
    // What is for applications and virtual addresses is open only where there are some.
    assert!(!drawn.contains("virtual address") && !drawn.contains("443"), "{drawn}");
    let json: Value = serde_json::from_str(&printed(&["graph", ".", "--json"], folder.path())).unwrap();
    assert!(json["edges"].as_array().is_some_and(|edges| edges.iter().any(|edge| edge["port"] == 2379)));
}

#[test]
fn the_schema_of_plans_is_json() {
    let here = tempfile::tempdir().unwrap();
    let text = printed(&["schema", "plan"], here.path());
    let schema: Value = serde_json::from_str(&text).unwrap();
    assert!(schema["properties"]["summary"].is_object());
    // Programs of others read plans: a change of their form is to be seen.
    hold("schema-plan.json", &text);
}

#[test]
fn nodes_that_do_not_answer_are_all_named() {
    // Nothing listens on this port of this machine.
    let folder = folder("ssh:\n  connect_timeout: 2\n  config: ssh_config\n");
    std::fs::write(folder.path().join("ssh_config"), "Host *\n  HostName 127.0.0.1\n  Port 9\n").unwrap();
    printed(&["init", "."], folder.path());
    let said = error_with(5, &["plan", "."], folder.path());
    for part in ["n1", "n2", "n3", "hint:"] {
        assert!(said.contains(part), "`{part}` is missing in\n{said}");
    }
}

#[test]
fn roles_of_the_user_s_own_share_no_port_on_a_node() {
    let refused = |inventory: &str, roles: &[(&str, &str)]| {
        let folder = folder(inventory);
        std::fs::create_dir(folder.path().join("roles")).unwrap();
        for (role, more) in roles {
            let manifest = format!("role: {role}\ntitle: {role}\nphase: services\n{more}\n");
            std::fs::write(folder.path().join(format!("roles/{role}.yaml")), manifest).unwrap();
        }
        let output = deploy(&["graph", "."], folder.path());
        (!output.status.success()).then(|| (output.status.code(), text(&output.stderr)))
    };
    let port = |port: u16| format!("ports: [{{ name: web, port: {port}, from: [clients] }}]");
    let (one, other) = (port(9001), port(9002));
    let on = "roles:\n  one: { on: [n1, n2] }\n  two: { on: [n2] }\n";
    let (code, error) = refused(on, &[("one", &one), ("two", &one)]).unwrap();
    assert_eq!(code, Some(3));
    assert!(
        error.contains("cluster.yaml:8:10: `one` and `two` both listen on port 9001 of `n2`\n"),
        "{error}"
    );
    assert_eq!(refused(on, &[("one", &one), ("two", &other)]), None);
    // Placed by its kind, beside PgBouncer.
    let kinds = format!("kinds: [app]\n{}", port(6432));
    let (_, error) = refused("", &[("one", &kinds)]).unwrap();
    assert!(
        error.contains("cluster.yaml:3:3: `one` and `pgbouncer` both listen on port 6432 of `n1`\n"),
        "{error}"
    );
}

/// A cluster of three machines where nobody listens.
fn unreachable() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    printed(&["init", ".", "--name", "shop"], folder.path());
    let mut inventory = String::from("name: shop\nnodes:\n");
    for number in 1..=3 {
        let at = format!("address: 10.0.0.1{number}, host: 127.0.0.1{number}, port: 1");
        let _ = writeln!(inventory, "  n{number}: {{ kind: [manager, worker, app], {at} }}");
    }
    std::fs::write(folder.path().join("cluster.yaml"), inventory).unwrap();
    folder
}

/// The one run that `history` knows where no node answers.
fn only_record(here: &Path) -> Value {
    let listed = deploy(&["history", ".", "--json"], here);
    let history: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(history["runs"].as_array().unwrap().len(), 1, "{history}");
    history["runs"][0].clone()
}

#[test]
fn a_run_that_reaches_no_node_leaves_a_record_and_a_plan_leaves_none() {
    let folder = unreachable();
    let here = folder.path();
    error_with(5, &["plan", "."], here);
    let state = here.join(".local/state/deploy");
    assert!(!state.exists());
    error_with(5, &["apply", ".", "--yes"], here);
    let record = only_record(here);
    assert_eq!((&record["exit"], &record["here"]), (&Value::from(5), &Value::from(true)), "{record}");
    assert_eq!(record["result"], "refused: a node cannot be reached");
    assert!(record["error"].as_str().unwrap().contains("n1"), "{record}");
    let name = record["run"].as_str().unwrap();
    let shown = deploy(&["history", "show", ".", name], here);
    assert!(text(&shown.stdout).contains("exit code 5"), "{}", text(&shown.stdout));
}

#[test]
fn a_connection_that_fails_is_in_the_trace_with_its_error() {
    let folder = unreachable();
    error_with(5, &["--trace", "trace.json", "plan", "."], folder.path());
    let trace = std::fs::read_to_string(folder.path().join("trace.json")).unwrap();
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nodes: BTreeSet<&str> = lines.iter().map(|line| line["node"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["n1", "n2", "n3"].into());
    let told = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("cannot connect"));
    assert!(lines.iter().all(|line| line["what"] == "connect" && told(line)), "{trace}");
}

#[test]
fn a_record_that_cannot_be_written_is_a_warning() {
    let folder = unreachable();
    let here = folder.path();
    std::fs::write(here.join(".local"), "no folder").unwrap();
    assert!(error_with(5, &["apply", ".", "--yes"], here).contains("warning: the record of this run"));
}

#[test]
fn a_rollback_prints_its_plan_in_a_dry_run_only() {
    let folder = folder("");
    let words = ["rollback", ".", "20260101T000000Z-0000", "--markdown"];
    assert!(error(&words, folder.path()).contains("--dry-run"));
    let outside = ["history", "show", ".", "../../etc"];
    assert!(error(&outside, folder.path()).contains("no node remembers"));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command(&["schema"], folder.path()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to standard output"), "{}", text(&output.stderr));
}
