//! Ends the suite, with a count, where a scenario hangs.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A scenario takes no longer, its recovery included.
const LONGEST: Duration = Duration::from_secs(20 * 60);

/// Watches over the scenario that runs.
#[derive(Clone, Default)]
pub struct Watchdog(Arc<Mutex<Option<Watched>>>);

#[derive(Clone)]
struct Watched {
    since: Instant,
    title: String,
    passed: usize,
    failed: usize,
}

impl Watchdog {
    pub fn start() -> Self {
        let watchdog = Self::default();
        let watched = watchdog.clone();
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(5));
                let now = watched.0.lock().ok().and_then(|now| now.clone());
                if let Some(now) = now.filter(|now| now.since.elapsed() > LONGEST) {
                    println!("FAILED  {}: it hangs; its machines are left for a look", now.title);
                    println!("suite: {} passed, {} failed", now.passed, now.failed + 1);
                    std::process::exit(1);
                }
            }
        });
        watchdog
    }

    /// A scenario begins, after so many that passed and failed.
    pub fn watch(&self, title: &str, passed: usize, failed: usize) {
        if let Ok(mut now) = self.0.lock() {
            *now = Some(Watched { since: Instant::now(), title: title.to_owned(), passed, failed });
        }
    }
}
