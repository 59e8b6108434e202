//! SIGINT, SIGTERM and SIGHUP during a run: the first one lets it end before its next step, the next one ends the program at
//! once. But for SIGHUP, which a terminal that is gone may bring twice, and which `nohup` asks us not to hear.

use std::sync::{Arc, Mutex, Once, PoisonError, Weak};

use tokio::signal::unix::{SignalKind, signal};

use crate::apply::{Brake, Halt};
use crate::exit::Exit;
use crate::ui;

/// What stops the run that is under way. A process has one set of signals, and one run at a time.
static RUNNING: Mutex<Weak<Brake>> = Mutex::new(Weak::new());
static LISTENING: Once = Once::new();

/// From now on a signal means this run.
pub fn stops(brake: &Arc<Brake>) {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(brake);
    LISTENING.call_once(|| drop(tokio::spawn(listen())));
}

async fn listen() {
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    let mut hangup = if is_ignored(SignalKind::hangup()) { None } else { signal(SignalKind::hangup()).ok() };
    loop {
        let hung_up = tokio::select! {
            _ = interrupt.recv() => false,
            _ = terminate.recv() => false,
            Some(()) = async { hangup.as_mut()?.recv().await } => true,
        };
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        match running {
            Some(brake) if brake.halt(Halt::Interrupted) => {
                ui::talk("interrupted: the steps that are under way end first; once more ends at once");
            }
            Some(_) if hung_up => {}
            running => {
                let changed = running.is_some_and(|brake| brake.has_begun());
                let exit = if changed { Exit::Partial } else { Exit::Error };
                std::process::exit(exit.code().into());
            }
        }
    }
}

/// Whether whoever started us wants this signal ignored; where that cannot be read, it is left as it is.
fn is_ignored(kind: SignalKind) -> bool {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else { return true };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}
