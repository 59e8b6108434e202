//! Draws the events of a run: one line for each busy node on a terminal, plain lines with their time elsewhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::apply::Event;
use crate::cluster::NodeName;
use crate::verify::Outcome;

/// Draws events until their sender is gone.
pub struct Progress {
    begun: Instant,
    bars: Option<MultiProgress>,
    lines: BTreeMap<NodeName, ProgressBar>,
    busy: BTreeMap<NodeName, String>,
    /// Checks that are waited for.
    checks: usize,
}

impl Progress {
    /// A drawing for this standard error.
    pub fn new() -> Self {
        let terminal = console::Term::stderr().is_term();
        Self {
            begun: Instant::now(),
            bars: terminal.then(MultiProgress::new),
            lines: BTreeMap::new(),
            busy: BTreeMap::new(),
            checks: 0,
        }
    }

    /// Draws everything that comes. Where nobody looks, a line every 30 s says what is waited for.
    pub async fn draw(mut self, mut events: UnboundedReceiver<Event>) {
        loop {
            match tokio::time::timeout(Duration::from_secs(30), events.recv()).await {
                Ok(Some(event)) => self.event(event),
                Ok(None) => break,
                Err(_) if self.bars.is_none() => self.heartbeat(),
                Err(_) => {}
            }
        }
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }

    /// What is waited for.
    fn heartbeat(&self) {
        let mut busy: Vec<String> = self.busy.iter().map(|(node, id)| format!("{node} ({id})")).collect();
        if self.checks > 0 {
            busy.push(format!("{} checks", self.checks));
        }
        if !busy.is_empty() {
            self.say(&format!("still at it: {}", busy.join(", ")));
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::PhaseStarted { title } => self.say(title),
            Event::StepStarted { node, phase, .. } => self.busy(node, phase.to_owned()),
            Event::Changing { node, id } => self.busy(node, id.to_string()),
            Event::StepDone { node, phase, changes, took } => {
                self.idle(&node);
                self.say(&format!("{node:<12} {phase}: {changes} changes, {:.1} s", took.as_secs_f64()));
            }
            Event::StepFailed { node, phase } => {
                self.idle(&node);
                self.say(&format!("{node:<12} {phase}: failed"));
            }
            Event::Checking { checks } => self.checks = checks,
            Event::Checked(verdict) => {
                self.checks = 0;
                if verdict.outcome == Outcome::Fail {
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
        super::log::record(&line);
        if let Some(bars) = &self.bars {
            let _ = bars.println(line);
        } else {
            // The log gives each line its time by itself.
            super::talk_only(&format!("{} {line}", super::log::stamp()));
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}
