//! Draws the events of a run: one line for each busy node on a terminal, plain lines with their time elsewhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use super::waiting::{beat, busy};
use crate::apply::Event;
use crate::cluster::NodeName;
use crate::inventory::counted;
use crate::observe::Hosts;

/// Draws events until their sender is gone.
pub struct Progress {
    begun: Instant,
    bars: Option<MultiProgress>,
    /// Where lines go without a terminal.
    plain: Box<dyn Fn(&str) + Send>,
    hosts: Hosts,
    lines: BTreeMap<NodeName, ProgressBar>,
    busy: BTreeMap<NodeName, String>,
    /// Checks that are waited for.
    checks: usize,
}

impl Progress {
    /// A drawing for this standard error, of what is done on `hosts`.
    pub fn new(hosts: Hosts) -> Self {
        let terminal = console::Term::stderr().is_term();
        Self {
            begun: Instant::now(),
            plain: Box::new(super::talk_stamped),
            hosts,
            bars: terminal.then(MultiProgress::new),
            lines: BTreeMap::new(),
            busy: BTreeMap::new(),
            checks: 0,
        }
    }

    /// Draws everything that comes. Where nobody looks, a line every 30 s says what is waited for, however much is heard
    /// of other nodes.
    pub async fn draw(mut self, mut events: UnboundedReceiver<Event>) {
        let mut beat = beat();
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.event(event),
                    None => break,
                },
                _ = beat.tick(), if self.bars.is_none() => self.heartbeat(),
            }
        }
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }

    /// What is waited for: nodes that are changed, each with the resource, and nodes that are asked.
    fn heartbeat(&self) {
        let changing = self.busy.iter().map(|(node, id)| format!("{node} ({id})"));
        let asked =
            busy(&self.hosts).into_iter().filter(|node| !self.busy.contains_key(&node.as_str().into()));
        let mut all: Vec<String> = changing.chain(asked).collect();
        if self.checks > 0 {
            all.push(format!("{} checks", self.checks));
        }
        if !all.is_empty() {
            self.say(&format!("still at it: {}", all.join(", ")));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::PhaseStarted { title } => self.say(title),
            Event::StepStarted { node, phase, .. } => self.busy(node, phase.to_owned()),
            Event::Changing { node, id } => self.busy(node, id.to_string()),
            Event::StepDone { node, phase, changes, took } => {
                self.idle(&node);
                let changes = counted(changes, "change");
                self.say(&format!("{node:<12} {phase}: {changes}, {:.1} s", took.as_secs_f64()));
            }
            Event::StepFailed { node, phase } => {
                self.idle(&node);
                self.say(&format!("{node:<12} {phase}: failed"));
            }
            Event::Checking { checks } => self.checks += checks,
            Event::Checked(verdict) => {
                self.checks = self.checks.saturating_sub(1);
                if verdict.fails() {
                    self.say(&format!("{:<12} {}: {}", verdict.node, verdict.name, verdict.reason));
                }
            }
            Event::PhaseDone { title, took } => {
                self.say(&format!("{title}: verified, {:.1} s", took.as_secs_f64()));
            }
        }
    }

    fn busy(&mut self, node: NodeName, id: String) {
        if let Some(bars) = &self.bars {
            let bar = self.lines.entry(node.clone()).or_insert_with(|| {
                let bar = bars.add(ProgressBar::new_spinner());
                if let Ok(style) =
                    ProgressStyle::with_template("  {prefix:<12} {elapsed:>4} {spinner} {wide_msg}")
                {
                    bar.set_style(style);
                }
                bar.set_prefix(node.to_string());
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.set_message(id.clone());
        }
        self.busy.insert(node, id);
    }

    fn idle(&mut self, node: &NodeName) {
        self.busy.remove(node);
        if let Some(bar) = self.lines.remove(node) {
            bar.finish_and_clear();
        }
    }

    fn say(&self, line: &str) {
        let line = format!("{:>6.1} s  {line}", self.begun.elapsed().as_secs_f64());
        if let Some(bars) = &self.bars {
            super::log::record(&line);
            let _ = bars.println(line);
        } else {
            (self.plain)(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::resource::Id;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_hangs_is_named_however_busy_the_others_are() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&said);
        let plain = Box::new(move |line: &str| kept.lock().unwrap().push(line.to_owned()));
        let (events, receiver) = tokio::sync::mpsc::unbounded_channel();
        let drawing =
            tokio::spawn(Progress { bars: None, plain, ..Progress::new(Hosts::new()) }.draw(receiver));
        let changing =
            |node: &str, file: &str| Event::Changing { node: node.into(), id: Id::new("file", file) };
        events.send(changing("n1", "/hangs")).unwrap();
        events.send(Event::Checking { checks: 3 }).unwrap();
        for second in 0..7 {
            events.send(changing("n2", &format!("/{second}"))).unwrap();
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        drop(events);
        drawing.await.unwrap();
        let said = said.lock().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("still at it: n1 (file /hangs), n2 (file /"), "{said:?}");
        assert!(said[0].ends_with(", 3 checks"), "{said:?}");
    }
}
