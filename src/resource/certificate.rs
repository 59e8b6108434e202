//! A certificate with its key on a node: made new when it is missing, wrong, or inside its renewal window.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::file::difference;
use super::{Call, Change, Context, Fields, Id, Order, Payload, Refusal, Resource, Verb};
use crate::pki::{self, LeafRequest};

/// A certificate and where it lies.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// Absolute path without ending.
    pub path: String,
    /// Certificate and key in one file, `<path>.pem`, instead of `<path>.crt` and `<path>.key`.
    pub one_file: bool,
    /// `user:group` of the key.
    pub owner: String,
    /// Mode of the key, octal.
    pub mode: String,
    /// What it must say.
    pub request: LeafRequest,
    /// Certificate of the authority that must have issued it, PEM.
    pub authority: String,
    /// Days before its end at which it is renewed.
    pub window_days: u32,
}

impl Certificate {
    /// The files that services read.
    pub fn files(&self) -> Vec<String> {
        if self.one_file {
            vec![format!("{}.pem", self.path)]
        } else {
            vec![format!("{}.crt", self.path), format!("{}.key", self.path)]
        }
    }

    fn layout(&self) -> String {
        if self.one_file { "pem".into() } else { "pair".into() }
    }
}

impl Resource for Certificate {
    fn id(&self) -> Id {
        Id::new("certificate", &self.path)
    }

    fn probe(&self) -> Call {
        Call::new("certificate_probe", [self.path.clone(), self.layout()])
    }

    fn compare(&self, seen: &Fields, context: &Context<'_>) -> Result<Option<Change>, Refusal> {
        let pem = seen.get("certificate").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        let pem = String::from_utf8_lossy(&pem);
        let flaws = pki::inspect(
            &pem,
            Some(seen.get("key").map_or("", String::as_str)),
            &self.request,
            &[self.authority.as_str()],
            context.now,
            self.window_days,
        );
        if flaws.is_empty() {
            return Ok(difference(seen, &self.owner, &self.mode, None).map(|(verb, reason)| {
                let args = [self.path.clone(), self.layout(), self.owner.clone(), self.mode.clone()];
                Change::new(self.id(), verb, reason, Order::Stage, Call::new("certificate_own", args))
            }));
        }
        let verb = if pem.is_empty() { Verb::Create } else { Verb::Update };
        let reason = flaws.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let args = [self.path.clone(), self.layout(), self.owner.clone(), self.mode.clone()];
        let call = Call::new("certificate_apply", args).with(Payload::Leaf(self.request.clone()));
        Ok(Some(Change::new(self.id(), verb, reason, Order::Stage, call)))
    }
}
