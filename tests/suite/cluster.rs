//! A cluster under test: its inventory in a folder of its own, its lab, and `deploy` and SSH against both.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use deploy::secrets::{Identity, Store};
use serde_json::Value;

use crate::nodes::log_in;
use crate::shape::Shape;

/// Seconds after which a command hangs, and is ended with the code 124.
const LONGEST_RUN: &str = "600";

/// A cluster and its lab. Dropping it takes the lab down.
pub struct Cluster {
    pub shape: Shape,
    dir: PathBuf,
    ssh_config: PathBuf,
    ended: bool,
    parameters: &'static str,
}

/// What a command printed and how it ended.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub seconds: f64,
}

impl Done {
    /// Everything that was printed, for an error.
    pub fn all(&self) -> String {
        // An error may be longer than what is shown of anything else.
        let error =
            self.stderr.find("error: ").map_or_else(|| tail(&self.stderr), |at| head(&self.stderr[at..]));
        format!("exit {:?}\n{}\n{error}", self.code, tail(&self.stdout))
    }

    /// An error unless it ended with this code.
    pub fn ended(&self, code: i32) -> Result<()> {
        ensure!(self.code == Some(code), "it should end with {code}: {}", self.all());
        Ok(())
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {}", self.all()))
    }
}

impl Cluster {
    /// A cluster whose lab is not up yet, unless `SUITE_KEEP` left it so.
    pub fn new(shape: Shape) -> Self {
        let shape = shape.shifted();
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("suite").join(&shape.name);
        Self { shape, dir, ssh_config: PathBuf::new(), ended: false, parameters: "" }
    }

    /// Whether labs outlive the suite.
    pub fn keeps() -> bool {
        std::env::var_os("SUITE_KEEP").is_some()
    }

    /// Machines to deploy on: those that `SUITE_KEEP` left up, else fresh ones. Says how many seconds the boot took.
    pub fn boot(&mut self) -> Result<f64> {
        if Self::keeps() { self.up() } else { self.fresh() }
    }

    /// Takes down what is there, and boots bare machines with a new store.
    pub fn fresh(&mut self) -> Result<f64> {
        self.clear()?;
        self.up()
    }

    /// The same without anything after it.
    pub fn sweep(mut self) -> Result<()> {
        self.ended = true;
        self.clear()
    }

    /// Takes down what an earlier suite has left.
    fn clear(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        self.write(&[])?;
        self.deploy(&["lab", "down"])?;
        Ok(std::fs::remove_dir_all(&self.dir)?)
    }

    fn up(&mut self) -> Result<f64> {
        std::fs::create_dir_all(&self.dir)?;
        self.write(&[])?;
        let up = self.deploy(&["lab", "up"])?;
        let status = self.deploy(&["lab", "status", "--json"])?.json()?;
        self.ssh_config = status["ssh_config"].as_str().context("lab status names no ssh_config")?.into();
        self.write(&[])?;
        if self.shape.user != "root" {
            self.on_all(&self.names().collect::<Vec<_>>(), &log_in(self.shape.user))?;
        }
        self.deploy(&["init"])?;
        Ok(up.seconds)
    }

    /// Writes the inventory: what every cluster of the suite has, and `extra` sections in the place of those of the
    /// same name.
    pub fn write(&self, extra: &[(&str, &str)]) -> Result<()> {
        let mut sections = BTreeMap::from([
            ("access", self.shape.access.clone()),
            ("firewall", "confirm_within: 20".into()),
            ("haproxy", "max_connections: 2000".into()),
            ("lab", format!("debian: {}", self.shape.debian)),
            ("patroni", "failover: fast".into()),
            ("pgbouncer", "max_client_conn: 6000".into()),
            ("postgresql", self.postgresql("")),
            ("ssh", format!("user: {}\nconfig: {}", self.shape.user, self.ssh_config.display())),
        ]);
        if let Some(address) = self.virtual_ip() {
            sections.insert("virtual_ip", address);
        }
        if self.ssh_config.as_os_str().is_empty() {
            sections.remove("ssh");
        }
        sections.extend(extra.iter().map(|(name, lines)| (*name, (*lines).to_owned())));
        let mut text = format!("name: {}\nnodes:\n", self.shape.name);
        for (name, kind, last) in self.shape.nodes {
            let _ = writeln!(text, "  {name}: {{ kind: {kind}, address: {}.{last} }}", self.shape.subnet);
        }
        for (name, lines) in sections {
            let _ = writeln!(text, "{name}:\n  {}", lines.replace('\n', "\n  "));
        }
        std::fs::write(self.inventory(), text).context("cannot write the inventory")
    }

    /// The section of PostgreSQL with more lines.
    pub fn postgresql(&self, more: &str) -> String {
        format!("memory: 512MB\ncores: 2\nparameters: {{ {} }}\n{more}", self.parameters)
    }

    /// What the inventory says of PostgreSQL's parameters from now on.
    pub fn parameters(&mut self, parameters: &'static str) {
        self.parameters = parameters;
    }

    pub fn inventory(&self) -> PathBuf {
        self.dir.join("cluster.yaml")
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn ssh_config(&self) -> &Path {
        &self.ssh_config
    }

    pub fn address(&self, node: &str) -> String {
        let last = self.shape.nodes.iter().find(|(name, ..)| *name == node).map_or(0, |(.., last)| *last);
        format!("{}.{last}", self.shape.subnet)
    }

    /// The virtual address, where there is one.
    pub fn virtual_ip(&self) -> Option<String> {
        self.shape.virtual_ip.map(|last| format!("{}.{last}", self.shape.subnet))
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.shape.nodes.iter().map(|(name, ..)| *name)
    }

    /// The nodes of a kind.
    pub fn of_kind(&self, kind: &str) -> Vec<&'static str> {
        self.shape.nodes.iter().filter(|(_, kinds, _)| kinds.contains(kind)).map(|(name, ..)| *name).collect()
    }

    /// `deploy WORDS… FOLDER` (or `lab VERB FOLDER REST…`, and so `certs`, `redis`, `secrets`), not started yet.
    pub fn command(&self, words: &[&str]) -> Command {
        self.words(Command::new(env!("CARGO_BIN_EXE_deploy")), words)
    }

    fn words(&self, mut command: Command, words: &[&str]) -> Command {
        let verbs = match words {
            ["lab" | "postgresql" | "redis" | "secrets" | "lock", ..]
            | ["history", "inventory" | "show", ..] => 2,
            ["certs", verb, ..] if !verb.starts_with('-') => 2,
            _ => 1,
        };
        let (verbs, rest) = words.split_at(verbs.min(words.len()));
        command.args(verbs).arg(&self.dir).args(rest).stdin(Stdio::null());
        command.env("XDG_STATE_HOME", self.dir.join("state"));
        command
    }

    /// Runs `deploy` to its end, whatever that is.
    pub fn attempt(&self, words: &[&str]) -> Result<Done> {
        let begun = Instant::now();
        let mut bounded = Command::new("timeout");
        bounded.args(["--kill-after=10", LONGEST_RUN, env!("CARGO_BIN_EXE_deploy")]);
        let Output { status, stdout, stderr } =
            self.words(bounded, words).output().context("cannot run deploy")?;
        Ok(Done {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// Runs `deploy`, which must succeed.
    pub fn deploy(&self, words: &[&str]) -> Result<Done> {
        let done = self.attempt(words)?;
        ensure!(done.code == Some(0), "`deploy {}`: {}", words.join(" "), done.all());
        Ok(done)
    }

    /// Runs `deploy`, which must fail and say each of `words` on standard error.
    pub fn refuse(&self, command: &[&str], words: &[&str]) -> Result<Done> {
        let done = self.attempt(command)?;
        let command = command.join(" ");
        // Any other is a panic, or that it did not end.
        let failed = matches!(done.code, Some(1 | 3..=10));
        ensure!(failed, "`deploy {command}` should fail: {}", done.all());
        for word in words {
            ensure!(done.stderr.contains(word), "`deploy {command}` does not say `{word}`: {}", done.all());
        }
        Ok(done)
    }

    /// Starts `deploy` with its output in files of the folder.
    pub fn start(&self, words: &[&str], log: &str) -> Result<Child> {
        let file = |end: &str| std::fs::File::create(self.dir.join(format!("{log}.{end}")));
        Ok(self.command(words).stdout(file("out")?).stderr(file("err")?).spawn()?)
    }

    /// What a run of [`Cluster::start`] has said so far.
    pub fn said(&self, log: &str) -> String {
        let read =
            |end: &str| std::fs::read_to_string(self.dir.join(format!("{log}.{end}"))).unwrap_or_default();
        read("out") + &read("err")
    }

    /// Waits until a run of [`Cluster::start`] has changed something: it says so when the first step is done.
    pub fn changing(&self, run: &mut Child, log: &str) -> Result<()> {
        let begun = Instant::now();
        while !self.said(log).contains(" changes, ") {
            let over = run.try_wait()?.is_some() || begun.elapsed() > Duration::from_secs(60);
            ensure!(!over, "the run changes nothing: {}", self.said(log));
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills such a run, which must be under way, and waits until its lock is free: its connections are seen to be closed.
    pub fn killed(&self, mut run: Child, log: &str) -> Result<()> {
        run.kill()?;
        let status = run.wait()?;
        ensure!(status.signal() == Some(9), "the run was over before it was killed: {}", self.said(log));
        thread::sleep(Duration::from_secs(1));
        Ok(())
    }

    pub fn lab(&self, verb: &str, nodes: &[&str]) -> Result<()> {
        self.deploy(&[&["lab", verb], nodes].concat()).map(drop)
    }

    /// Every check holds and nothing is to be changed.
    pub fn settled(&self) -> Result<()> {
        let plan = self.attempt(&["plan", "--detailed-exitcode"])?;
        ensure!(plan.code == Some(0), "the plan is not empty: {}", plan.all());
        Ok(())
    }

    /// Waits until every check holds; how long that took.
    pub fn healthy_within(&self, limit: Duration) -> Result<Duration> {
        let begun = Instant::now();
        loop {
            let verify = self.attempt(&["verify"])?;
            if verify.code == Some(0) {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                let failed: Vec<&str> =
                    verify.stdout.lines().filter(|line| line.starts_with("FAIL")).collect();
                let (seconds, failed) = (limit.as_secs(), failed.join("\n"));
                bail!("not healthy after {seconds} s:\n{failed}\n{}", tail(&verify.stderr));
            }
            thread::sleep(Duration::from_secs(1));
        }
    }

    /// A secret from the store.
    pub fn secret(&self, name: &str) -> Result<String> {
        let identity = Identity::find(None, &self.dir, |_| None)?;
        let store =
            Store::open(&self.dir.join("secrets.age"), &identity, &std::collections::BTreeSet::new())?;
        let secret = store.secret(name).with_context(|| format!("no secret {name} in the store"))?;
        Ok(secret.expose().to_owned())
    }

    /// The authority's certificate, as a node has it.
    pub fn authority(&self) -> Result<PathBuf> {
        let node = self.of_kind("app").first().copied().context("no app node")?;
        let text = self.on(node, "cat /etc/pgbouncer/tls/ca.crt")?;
        let path = self.dir.join("ca.crt");
        std::fs::write(&path, text + "\n")?;
        Ok(path)
    }

    /// After a failed scenario: everything on, connected, and as the inventory says, so that the next one has a chance;
    /// whether it has one.
    pub fn recover(&self) -> bool {
        if let Err(error) = self.write(&[]) {
            println!("        recovery: {error:#}");
        }
        for words in [&["lab", "heal"][..], &["lab", "start"], &["apply", "--yes"]] {
            if let Ok(done) = self.attempt(words)
                && done.code != Some(0)
            {
                println!(
                    "        recovery: `deploy {}`: {}",
                    words.join(" "),
                    done.all().replace('\n', "\n        ")
                );
            }
        }
        self.healthy_within(Duration::from_secs(60)).is_ok()
    }

    /// Takes the lab down, unless it is to be kept.
    pub fn end(&mut self) -> Result<()> {
        if self.ended || Self::keeps() {
            return Ok(());
        }
        self.ended = true;
        self.write(&[])?;
        self.deploy(&["lab", "down"]).map(drop).context("cannot take the lab down")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            println!("        {error:#}");
        }
    }
}

/// The first lines of a text.
fn head(text: &str) -> String {
    text.lines().take(40).collect::<Vec<_>>().join("\n")
}

/// The last lines of a text.
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
