//! Two applications that write to Redis: one finds the primary by Sentinel, one comes through HAProxy. Both use a
//! standard library, in Python.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::writer::Outcome;

/// A writer at work.
struct RedisWriter {
    by: &'static str,
    child: Child,
    said: Arc<Mutex<Value>>,
    reader: Option<JoinHandle<()>>,
}

/// Both of them.
pub struct RedisWriters(Vec<RedisWriter>);

impl RedisWriters {
    /// Returns when both have written for a while.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let run = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
        let mut writers = Vec::new();
        for by in ["sentinel", "haproxy"] {
            writers.push(RedisWriter::start(cluster, by, &format!("{run}-{by}"))?);
        }
        let writers = Self(writers);
        let begun = Instant::now();
        while writers.0.iter().any(|writer| writer.number("acknowledged") < 50.0) {
            ensure!(
                begun.elapsed() < Duration::from_secs(20),
                "the writers cannot write: {}",
                writers.states()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(writers)
    }

    fn states(&self) -> String {
        let each: Vec<String> =
            self.0.iter().map(|writer| format!("{}: {}", writer.by, writer.state())).collect();
        each.join("; ")
    }

    /// Waits until both have written for two seconds without a pause.
    pub fn flow_within(&self, limit: Duration) -> Result<()> {
        let begun = Instant::now();
        let mut smooth = Instant::now();
        while smooth.elapsed() < Duration::from_secs(2) {
            if self.0.iter().any(|writer| writer.number("silent") > 0.5) {
                smooth = Instant::now();
            }
            ensure!(begun.elapsed() < limit, "no writes after {} s: {}", limit.as_secs(), self.states());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Ends both; how each fared.
    pub fn finish(self) -> Result<Vec<(&'static str, Outcome)>> {
        self.0.into_iter().map(|writer| Ok((writer.by, writer.finish()?))).collect()
    }
}

impl RedisWriter {
    fn start(cluster: &Cluster, by: &'static str, run: &str) -> Result<Self> {
        let addresses: Vec<String> =
            cluster.of_kind("manager").into_iter().map(|node| cluster.address(node)).collect();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/redis_writer.py");
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run /usr/bin/python3")?;
        let wanted = json!({
            "by": by, "run": run, "addresses": addresses, "name": cluster.shape.name,
            "authority": cluster.authority()?, "password": cluster.secret("redis/app")?,
            "sentinel_password": cluster.secret("sentinel/app")?,
        });
        let stdin = child.stdin.as_mut().context("no standard input")?;
        writeln!(stdin, "{wanted}")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?);
        let said = Arc::new(Mutex::new(Value::Null));
        let reader = {
            let said = Arc::clone(&said);
            std::thread::spawn(move || {
                for line in stdout.lines().map_while(Result::ok) {
                    if let (Ok(mut said), Ok(state)) = (said.lock(), serde_json::from_str(&line)) {
                        *said = state;
                    }
                }
            })
        };
        Ok(Self { by, child, said, reader: Some(reader) })
    }

    fn state(&self) -> Value {
        self.said.lock().map_or(Value::Null, |said| said.clone())
    }

    fn number(&self, key: &str) -> f64 {
        self.state()[key].as_f64().unwrap_or_default()
    }

    fn finish(mut self) -> Result<Outcome> {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = writeln!(stdin, "end");
        }
        self.child.wait()?;
        if let Some(reader) = self.reader.take() {
            reader.join().map_err(|_| anyhow!("the reader panicked"))?;
        }
        let end = self.state();
        let count = |key: &str| end[key].as_u64().and_then(|count| usize::try_from(count).ok());
        let lost = count("lost").with_context(|| format!("{}: the writer did not finish: {end}", self.by))?;
        let errors = end["errors"].as_array().into_iter().flatten();
        Ok(Outcome {
            acknowledged: count("acknowledged").unwrap_or_default(),
            lost,
            gap: Duration::from_secs_f64(end["gap"].as_f64().unwrap_or_default()),
            errors: errors.filter_map(Value::as_str).map(str::to_owned).collect(),
        })
    }
}

impl Drop for RedisWriter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
