//! Debian packages: one resource for all of a node's, installed by one `apt-get`.

use super::{Call, Change, Context, Fields, Id, Order, Refusal, Resource, Verb};

/// The packages that must be installed, and the units that must not start by themselves when they are.
#[derive(Debug, Clone)]
pub struct Packages {
    /// Names.
    pub names: Vec<String>,
    /// Units that are masked until their role starts them.
    pub hold: Vec<String>,
}

impl Resource for Packages {
    fn id(&self) -> Id {
        Id::new("packages", "debian")
    }

    fn probe(&self) -> Call {
        Call::new("packages_probe", &self.names)
    }

    fn compare(&self, seen: &Fields, _: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let missing: Vec<&str> = self
            .names
            .iter()
            .map(String::as_str)
            .filter(|name| seen.get(*name).is_none_or(String::is_empty))
            .collect();
        if missing.is_empty() {
            return Ok(None);
        }
        let args = [self.hold.join(" ")].into_iter().chain(self.names.iter().cloned());
        let call = Call::new("packages_apply", args);
        let reason = format!("not installed: {}", missing.join(", "));
        Ok(Some(Change::new(self.id(), Verb::Create, reason, Order::Install, call)))
    }
}
