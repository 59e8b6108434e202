//! Asks nodes what is there: one remote execution for each, all at once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;

use crate::cluster::NodeName;
use crate::live::{self, Observation, Observed};
use crate::plan::Plan;
use crate::render::{self, Facts, RenderError, Source};
use crate::resource::{self, Call, Diff, Fields, File, Id};
use crate::script::{functions_of, line};
use crate::tasks::outcome;
use crate::transport::{Exec, Failure, Host, Reply, plain};

/// Hosts by node.
pub type Hosts = BTreeMap<NodeName, Arc<dyn Host>>;

const DEADLINE: Duration = Duration::from_secs(90);

/// Why a node's answer could not be had or understood.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    /// The node could not be spoken to.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The node runs something that `deploy` does not know.
    #[error("{node}: {what}")]
    Unsupported {
        /// The node.
        node: String,
        /// What is wrong with it.
        what: String,
    },
    /// The probe did not end as it should.
    #[error("{node}: the probe failed: {stderr}")]
    Probe {
        /// The node.
        node: String,
        /// What it printed.
        stderr: String,
    },
}

/// Nodes that did not answer, where all of them must.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.values().map(ToString::to_string).collect::<Vec<_>>().join("\n       "))]
pub struct Unanswered(pub BTreeMap<NodeName, ObserveError>);

impl Unanswered {
    /// What to do about the first of them.
    pub fn hint(&self) -> String {
        match self.0.values().next() {
            Some(ObserveError::Failure(failure)) => failure.hint(),
            _ => "every node of the inventory must answer before anything is changed".into(),
        }
    }
}

/// What the nodes said, and why others said nothing.
#[derive(Debug, Default)]
pub struct Answers {
    /// Nodes that answered.
    pub observed: Observed,
    /// Nodes that did not.
    pub failures: BTreeMap<NodeName, ObserveError>,
}

/// Asks every one of `hosts` about all its resources and live state.
pub async fn observe(source: &Source, hosts: &Hosts) -> Result<Answers, RenderError> {
    observe_also(source, hosts, |_| Vec::new()).await
}

/// Asks about what planning `phase` looks at.
pub async fn observe_phase(source: &Source, hosts: &Hosts, phase: &str) -> Result<Answers, RenderError> {
    answers(hosts, |node| questions(source, node, Some(phase))).await
}

/// Asks each node for its facts, and `asked`.
pub async fn observe_only(hosts: &Hosts, asked: &[(Id, Call)]) -> Result<Answers, RenderError> {
    answers(hosts, |_| Ok(asked.to_vec())).await
}

/// The same, with more questions in the same execution.
pub async fn observe_also(
    source: &Source,
    hosts: &Hosts,
    more: impl Fn(&NodeName) -> Vec<(Id, Call)>,
) -> Result<Answers, RenderError> {
    let all = |node: &NodeName| {
        let mut asked = questions(source, node, None)?;
        asked.extend(more(node));
        Ok(asked)
    };
    answers(hosts, all).await
}

async fn answers(
    hosts: &Hosts,
    questions: impl Fn(&NodeName) -> Result<Vec<(Id, Call)>, RenderError>,
) -> Result<Answers, RenderError> {
    let mut tasks = JoinSet::new();
    for (node, host) in hosts {
        let asked = questions(node)?;
        let (node, host) = (node.clone(), Arc::clone(host));
        tasks.spawn(async move {
            let answer = ask(host.as_ref(), &asked).await;
            (node, answer)
        });
    }
    let mut answers = Answers::default();
    while let Some(joined) = tasks.join_next().await {
        match outcome(joined) {
            (node, Ok(observation)) => {
                answers.observed.insert(node, observation);
            }
            (node, Err(error)) => {
                answers.failures.insert(node, error);
            }
        }
    }
    Ok(answers)
}

/// The script that asks `node` about all its resources and live state. It holds no secret.
pub fn probe(source: &Source, node: &NodeName) -> Result<String, RenderError> {
    Ok(script(&questions(source, node, None)?))
}

/// Runs one script on every one of `hosts`, all at once.
pub async fn ask_each(
    hosts: &Hosts,
    script: &str,
    patience: Duration,
) -> BTreeMap<NodeName, Result<Reply, Failure>> {
    let each =
        hosts.iter().map(async |(node, host)| (node.clone(), host.run(Exec::script(script, patience)).await));
    futures_util::future::join_all(each).await.into_iter().collect()
}

/// Completes the diffs of a plan with what is there now, every secret masked that is one now: one more execution on the nodes
/// where files change.
pub async fn fetch_old(plan: &mut Plan, source: &Source, hosts: &Hosts) -> Result<(), Failure> {
    let mut wanted: BTreeMap<NodeName, Vec<(Id, Call)>> = BTreeMap::new();
    for (node, change) in plan.changes_mut() {
        if change.diff.as_ref().is_some_and(|diff| diff.old.is_none()) {
            let call = match change.id.kind.as_str() {
                "firewall" => Call::new("firewall_fetch", Vec::<String>::new()),
                _ => File::fetch(&change.id.name),
            };
            let calls = wanted.entry(node.clone()).or_default();
            if !calls.iter().any(|(id, _)| *id == change.id) {
                calls.push((change.id.clone(), call));
            }
        }
    }
    let mut tasks = JoinSet::new();
    for (node, calls) in wanted {
        let Some(host) = hosts.get(&node).cloned() else { continue };
        tasks.spawn(async move {
            let reply = host.run(Exec::script(numbered(&calls) + "main </dev/null\n", DEADLINE)).await?;
            Ok::<_, Failure>((node, sections(&reply.stdout, &calls)))
        });
    }
    let mut old: BTreeMap<(NodeName, Id), String> = BTreeMap::new();
    while let Some(joined) = tasks.join_next().await {
        let (node, fields) = outcome(joined)?;
        for (id, fields) in fields {
            let bytes = fields.get("content").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
            old.insert((node.clone(), id), source.masked(&plain(&bytes)));
        }
    }
    for (node, change) in plan.changes_mut() {
        if let Some(Diff { old: unknown @ None, new, .. }) = &mut change.diff {
            *unknown = old.get(&(node.clone(), change.id.clone())).cloned();
            // A word that is a secret by chance must not be told from itself.
            *new = source.masked(new);
        }
    }
    Ok(())
}

/// What is asked of a node: everything, or what planning one phase looks at.
fn questions(source: &Source, node: &NodeName, phase: Option<&str>) -> Result<Vec<(Id, Call)>, RenderError> {
    let resources = render::resources_of(source, node, None, phase)?.into_values().flatten();
    let own = resources.map(|resource| (resource.id(), resource.probe()));
    Ok(own.chain(live::probes(source, node, phase)).collect())
}

/// The probe: functions, then one numbered call after the other. Read whole before anything runs.
fn script(calls: &[(Id, Call)]) -> String {
    format!("{}{}observe_facts </dev/null\nmain </dev/null\n", include_str!("observe.sh"), numbered(calls))
}

/// `main`, which makes the calls, behind the functions that they need.
fn numbered(calls: &[(Id, Call)]) -> String {
    let mut main = String::from("main() {\n");
    for call in resource::ahead(calls.iter().map(|(_, call)| call)) {
        main += &(line(&call) + "\n");
    }
    for (number, (_, call)) in calls.iter().enumerate() {
        let _ = writeln!(main, "echo '#{number}'; {}", line(call));
    }
    main += "echo '#end'\n}\n";
    functions_of(&main) + &main
}

async fn ask(host: &dyn Host, calls: &[(Id, Call)]) -> Result<Observation, ObserveError> {
    let reply = host.run(Exec::script(script(calls), DEADLINE)).await?;
    let node = host.name().to_owned();
    if reply.stdout.lines().next_back() != Some("#end") {
        let said = reply.stderr.trim().to_owned();
        let or = |what: String| if said.is_empty() { what } else { said };
        return Err(match reply.status {
            None => Failure::Lost { node, reason: or("it ended in the middle of an answer".into()) }.into(),
            Some(status) => ObserveError::Probe { node, stderr: or(format!("status {status}")) },
        });
    }
    let facts = facts(&node, &reply.stdout)?;
    Ok(Observation { facts, fields: sections(&reply.stdout, calls) })
}

/// Splits a reply at its numbers; each line is `key=value`.
fn sections(stdout: &str, calls: &[(Id, Call)]) -> BTreeMap<Id, Fields> {
    let mut all: BTreeMap<Id, Fields> = BTreeMap::new();
    let mut current = None;
    for line in stdout.lines() {
        if let Some(number) = line.strip_prefix('#') {
            current =
                number.parse::<usize>().ok().and_then(|number| calls.get(number)).map(|(id, _)| id.clone());
        } else if let (Some(id), Some((key, value))) = (&current, line.split_once('=')) {
            all.entry(id.clone()).or_default().insert(key.to_owned(), value.to_owned());
        }
    }
    all
}

/// `eth0,10.0.0.11/24`; names of virtual interfaces may be followed by that of their peer.
fn interface(text: &str) -> Option<(String, ipnet::IpNet)> {
    let (name, network) = text.split_once(',')?;
    Some((name.split('@').next().unwrap_or_default().to_owned(), network.parse().ok()?))
}

fn facts(node: &str, stdout: &str) -> Result<Facts, ObserveError> {
    let lines = stdout.lines().take_while(|line| !line.starts_with('#'));
    let said: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('=')).collect();
    let get = |key: &str| said.get(key).copied().unwrap_or_default();
    let unsupported = |what: String| ObserveError::Unsupported { node: node.to_owned(), what };
    let (system, version) = (get("os"), get("version"));
    let ("debian", Ok(debian @ (12 | 13))) = (system, version.parse::<u8>()) else {
        return Err(unsupported(format!("runs {system} {version}; Debian 12 and 13 are supported")));
    };
    if get("uid") != "0" {
        return Err(unsupported("the probe does not run as root".into()));
    }
    Ok(Facts {
        debian,
        ram_mib: get("ram_kib").parse::<u64>().unwrap_or_default() / 1024,
        cores: get("cores").parse().unwrap_or(1),
        clock: get("clock").parse().unwrap_or_default(),
        hostname: get("hostname").to_owned(),
        interfaces: get("addresses").split_whitespace().filter_map(interface).collect(),
        unproven: said.get("unproven").map(|run| (*run).to_owned()),
    })
}
