//! A long wait, where nobody looks: a pipeline that says nothing for minutes is taken for dead.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, Interval, interval_at};

use crate::observe::Hosts;

/// How long nothing is said.
const SILENCE: Duration = Duration::from_secs(30);

/// Ticks when a wait has been silent for long enough, whatever else happens meanwhile.
pub(super) fn beat() -> Interval {
    interval_at(Instant::now() + SILENCE, SILENCE)
}

/// Waits for `work`, which asks `hosts`. Without a terminal, a line every 30 s names those that have not answered yet.
pub async fn waiting<T>(hosts: &Hosts, work: impl Future<Output = T>) -> T {
    if console::Term::stderr().is_term() {
        return work.await;
    }
    beating(work, || {
        if let Some(line) = still_asking(&busy(hosts)) {
            super::talk_stamped(&line);
        }
    })
    .await
}

async fn beating<T>(work: impl Future<Output = T>, mut say: impl FnMut()) -> T {
    let (mut work, mut beat) = (pin!(work), beat());
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = beat.tick() => say(),
        }
    }
}

/// The nodes that are being spoken to.
pub(super) fn busy(hosts: &Hosts) -> Vec<String> {
    hosts.iter().filter(|(_, host)| host.busy()).map(|(node, _)| node.to_string()).collect()
}

fn still_asking(nodes: &[String]) -> Option<String> {
    match nodes {
        [] => None,
        [node] => Some(format!("still asking {node}")),
        nodes => Some(format!("still asking {} nodes: {}", nodes.len(), nodes.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_says_something_every_half_minute_and_a_short_one_nothing() {
        for (seconds, wanted) in [(29, 0), (31, 1), (95, 3)] {
            let mut said = 0;
            let work = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                "done"
            };
            assert_eq!(beating(work, || said += 1).await, "done");
            assert_eq!(said, wanted, "{seconds} s");
        }
    }

    #[test]
    fn the_nodes_are_named() {
        assert_eq!(still_asking(&[]), None);
        assert_eq!(still_asking(&["n1".into()]).unwrap(), "still asking n1");
        assert_eq!(still_asking(&["n1".into(), "n2".into()]).unwrap(), "still asking 2 nodes: n1, n2");
    }
}
