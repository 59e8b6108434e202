//! Moves the primary of Redis by one script on its node.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::NodeName;
use crate::live::{HandOver, SENTINEL_PORT};
use crate::observe::Hosts;
use crate::render::Source;
use crate::transport::{Exec, Failure, quote};

/// Everything together, with a replica that has to copy all data.
const DEADLINE: Duration = Duration::from_secs(120);

/// Why the primary did not move, or not wholly.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// The node could not be spoken to.
    #[error(transparent)]
    Failure(#[from] Failure),
    /// The script says why.
    #[error("{node}: {reason}")]
    Stopped {
        /// The node of the primary.
        node: NodeName,
        /// Why.
        reason: String,
    },
}

/// Makes the move; how long writes were held back.
pub async fn hand_over(source: &Source, hosts: &Hosts, wanted: &HandOver) -> Result<Duration, HandOverError> {
    let stopped =
        |reason: &str| HandOverError::Stopped { node: wanted.from.clone(), reason: reason.to_owned() };
    let host = hosts.get(&wanted.from).map(Arc::clone).ok_or_else(|| stopped("it is no node"))?;
    let address = |node: &NodeName| {
        source.cluster.nodes.get(node).map(|node| node.address.to_string()).unwrap_or_default()
    };
    // Those of machines that do not answer are not among the hosts.
    let asked = source.cluster.with_role("sentinel").filter(|(node, _)| hosts.contains_key(*node));
    let sentinels: Vec<String> = asked.map(|(_, node)| node.address.to_string()).collect();
    let variables = [
        ("NAME", source.cluster.name().to_owned()),
        ("PORT", source.cluster.redis_port().to_string()),
        ("SENTINEL_PORT", SENTINEL_PORT.to_string()),
        ("FROM", address(&wanted.from)),
        ("TO", address(&wanted.to)),
        ("SENTINELS", sentinels.join(" ")),
        ("PASSWORD", source.secrets.get("sentinel/admin").map_or("", |secret| secret.expose()).to_owned()),
    ];
    let mut script = String::new();
    for (name, value) in &variables {
        let _ = writeln!(script, "{name}={}", quote(value));
    }
    script.push_str(include_str!("hand_over.sh"));
    script.push_str("main </dev/null\n");
    let reply = host.run(Exec::script(script, DEADLINE)).await?;
    let said = |key: &str| reply.stdout.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if let Some(reason) = said("failed") {
        return Err(stopped(reason));
    }
    let paused = said("paused").and_then(|text| text.parse().ok());
    match (said("moved"), paused) {
        (Some(_), Some(milliseconds)) => Ok(Duration::from_millis(milliseconds)),
        _ => Err(stopped(&format!("the move was cut off: {}", reply.stderr.trim()))),
    }
}

/// The script against a Redis and a Sentinel that are made up: functions stand in the place of those that ask.
#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    /// What the script prints, and what the old primary was told.
    fn played(goes: &str) -> (String, String) {
        let (said, errors) = all(goes, false);
        (said, lines(&errors, "told="))
    }

    /// The lines that begin so.
    fn lines(text: &str, start: &str) -> String {
        text.lines().filter(|line| line.starts_with(start)).collect::<Vec<_>>().join(" ")
    }

    /// All that it prints, and all that it says besides; the first to nobody where it is `cut_off`.
    fn all(goes: &str, cut_off: bool) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let script = [
            "NAME=x PORT=1 SENTINEL_PORT=2 FROM=a TO=b SENTINELS=s PASSWORD=p",
            include_str!("hand_over.sh"),
            include_str!("hand_over_test.sh"),
            &format!("goes() {{ {goes}; }}"),
            "main </dev/null\n",
        ]
        .join("\n");
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).env("FOLDER", folder.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        if cut_off {
            child.stdout = None;
        }
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&output.stdout), text(&output.stderr))
    }

    #[test]
    fn a_failover_that_takes_its_time_is_waited_for() {
        let (said, told) = played("[ $1 = moving ] || [ $times -ge 3 ]");
        assert!(said.contains("moved=yes"), "{said}");
        assert_eq!(told, "told=CLIENT PAUSE 6000 WRITE");
    }

    #[test]
    fn the_old_primary_takes_no_writes_while_it_may_still_be_replaced() {
        let (said, told) = played("[ $1 = moving ]");
        assert!(said.contains("failed=Sentinel did not move it in time"), "{said}");
        assert_eq!(told, "told=CLIENT PAUSE 6000 WRITE");
    }

    #[test]
    fn once_the_failover_is_given_up_writes_go_on() {
        let (said, told) = played("[ $1 = moving ] && [ $times -lt 2 ]");
        assert!(said.contains("failed=Sentinel did not move it in time"), "{said}");
        assert_eq!(told, "told=CLIENT PAUSE 6000 WRITE told=CLIENT UNPAUSE");
    }

    #[test]
    fn no_replica_stays_preferred_also_where_nobody_reads_what_is_said() {
        let moves = "[ $1 = moving ] || [ $times -ge 3 ]";
        for cut_off in [false, true] {
            let priorities = lines(&all(moves, cut_off).1, "priority=");
            assert!(priorities.starts_with("priority=c 100 priority=b 1 priority=b 100"), "{priorities}");
            assert!(priorities.ends_with(" priority=b 100"), "{priorities}");
        }
        let given_up = all("[ $1 = moving ] && [ $times -lt 2 ]", true).1;
        assert!(lines(&given_up, "told=").ends_with("told=CLIENT UNPAUSE"), "{given_up}");
        assert!(lines(&given_up, "priority=").ends_with(" priority=b 100"), "{given_up}");
    }
}
