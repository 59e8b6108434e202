//! From one authority of a cluster to the next, as a command sees it: store and nodes together.

use std::collections::BTreeSet;

use anyhow::{Result, anyhow};

use super::project::{Project, everyone, resting};
use crate::cluster::NodeName;
use crate::live::{self, Observed, Reached};
use crate::observe;
use crate::pki::{Authority, Certificate, Handover, Trust, bundle};
use crate::secrets::CaMaterial;
use crate::ui::Hint;

/// The day on which an authority expired, where it has; of several in one text, the last.
fn expired(ca: &CaMaterial) -> Option<String> {
    Certificate::ended(&ca.certificate, time::OffsetDateTime::now_utc())
}

impl Project {
    /// Issues certificates: the next authority where every node that will see one of its certificates trusts it, or
    /// where the present one cannot. `None` where nobody has a key to do it with.
    pub fn authority(&self) -> Result<Option<Authority>> {
        let issues =
            |ca: &&CaMaterial| self.key_is_lost() || self.source.trust.issuers == [ca.certificate.clone()];
        let next = self.store.next_ca().filter(issues);
        let present = self.store.ca().filter(|_| !self.key_is_lost());
        let Some(material) = next.or(present) else { return Ok(None) };
        let authority = Authority::from_material(material).map_err(|error| {
            let hint = "bring `secrets.age` back from version control; if the key is lost for good, \
                        `deploy certs rotate-ca --lost-key` puts another authority in its place";
            anyhow::Error::new(error).context(Hint(hint.into()))
        })?;
        Ok(Some(authority))
    }

    /// Nobody has the key of the present authority any more.
    pub fn key_is_lost(&self) -> bool {
        self.store.ca().is_some_and(|ca| ca.key.is_empty())
    }

    /// The day on which the present authority expired, where it has.
    pub fn expired(&self) -> Option<String> {
        expired(self.store.ca()?)
    }

    /// Has an authority to go on to, and says whether it was made for that: one that has expired on its way there is a
    /// thing of the past as well.
    pub fn require_next(&mut self) -> Result<bool> {
        if self.store.next_ca().and_then(expired).is_some() {
            self.store.promote_next_ca();
        }
        let none = self.store.next_ca().is_none();
        if none {
            let (name, now) = (self.source.cluster.name(), time::OffsetDateTime::now_utc());
            let new = Authority::create(name, now, Authority::DEFAULT_YEARS, &mut rand::rng())?;
            self.store.set_next_ca(new.to_material());
        }
        Ok(none)
    }

    /// Where the nodes are on the way to the next authority, if there is one.
    pub fn handover(&self, observed: &Observed) -> Option<Reached> {
        let (old, new) = (self.store.ca()?, self.store.next_ca()?);
        Some(live::reached(&self.source, observed, &old.certificate, &new.certificate))
    }

    /// From now on, plans want what the step at hand of a hand-over wants.
    pub fn take_step(&mut self, reached: Reached) -> Result<()> {
        if let (Some(old), Some(new)) = (self.store.ca(), self.store.next_ca()) {
            let mark = self.source.trust.mark.clone();
            let (old, new) = (&old.certificate, &new.certificate);
            let last = reached.step == Handover::Drop && reached.issued;
            let trust = if self.expired().is_some() && !last {
                Trust::replaced(new, &mark)
            } else if self.key_is_lost() && !reached.trusted {
                Trust::announced(old, new, &mark)
            } else {
                Trust::of(reached.step, old, new, &mark)
            };
            self.source_mut()?.trust = trust;
        }
        Ok(())
    }

    /// From now on, plans want what a hand-over wants that has begun: its step is finished, the next is not begun.
    pub fn go_on(&mut self, observed: &Observed) -> Result<()> {
        let reached = self.handover(observed);
        let next = self.store.next_ca();
        if let Some(day) = next.map_or_else(|| self.expired(), expired) {
            let hint = "`deploy certs rotate-ca` puts a new one in its place, on all nodes at once";
            return Err(anyhow!(
                "the certificate authority expired on {day}: nothing that it issued verifies any more"
            )
            .context(Hint(hint.into())));
        }
        self.require_known(observed)?;
        match reached {
            Some(reached) if reached.begun || reached.step == Handover::Trust || self.expired().is_some() => {
                self.take_step(reached)
            }
            _ => Ok(()),
        }
    }

    /// Refuses to put an authority of an old or new store in the place of the one that the cluster lives by.
    pub fn require_known(&self, observed: &Observed) -> Result<()> {
        let (old, new) = (self.store.ca(), self.store.next_ca());
        let mut known: Vec<String> = old.into_iter().chain(new).map(|ca| ca.certificate.clone()).collect();
        known.extend(old.zip(new).map(|(old, new)| bundle(&old.certificate, &new.certificate)));
        if self.key_is_lost() || !live::strangers(&self.source, observed, &known) {
            return Ok(());
        }
        let hint = "bring back the newest `secrets.age`; where it is lost, `deploy certs rotate-ca --lost-key` takes the \
                    cluster over with a new authority";
        Err(anyhow!("no node trusts the certificate authority of this store").context(Hint(hint.into())))
    }

    /// Takes over from the nodes what a store does not know of their authority, and gives its key up.
    pub async fn adopt(&mut self) -> Result<()> {
        let probes = |node: &NodeName| live::authority_probes(&self.source, node);
        let observed = everyone(observe::observe_also(&self.source, &self.hosts(), probes).await?)?;
        let next = self.store.next_ca().map(|ca| ca.certificate.clone());
        let (found, mark) =
            live::remembered(&self.source, &observed, next.as_deref()).map_err(|why| anyhow!(why))?;
        let prints = |pem: &str| -> BTreeSet<String> {
            let all = Certificate::parse_all(pem).unwrap_or_default();
            all.into_iter().map(|certificate| certificate.fingerprint).collect()
        };
        let known = self.store.ca().map(|ca| ca.certificate.clone()).unwrap_or_default();
        if found.is_empty() && next.is_none() {
            let hint = Hint("`deploy apply` makes an authority where there is no cluster yet".into());
            return Err(anyhow!("no node trusts any authority: there is nothing to take over").context(hint));
        }
        let certificate = if found.is_empty() || prints(&known) == prints(&found) { known } else { found };
        self.store.adopt_ca(&certificate, mark);
        let trust = resting(&self.store)?;
        self.source_mut()?.trust = trust;
        Ok(())
    }
}
