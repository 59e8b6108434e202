//! SIGINT and SIGTERM during a run: the first one lets it end before its next step, the next one ends the program at once.

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
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        match running {
            Some(brake) if brake.halt(Halt::Interrupted) => {
                ui::talk("interrupted: the steps that are under way end first; once more ends at once");
            }
            running => {
                let changed = running.is_some_and(|brake| brake.has_begun());
                let exit = if changed { Exit::Partial } else { Exit::Error };
                std::process::exit(exit.code().into());
            }
        }
    }
}
