//! How long the certificates of each node are still valid.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::View;
use super::attention::Notes;
use crate::cluster::NodeName;
use crate::pki::Certificate;
use crate::render::{self, RenderError};
use crate::resource::{Context, Fields, pem};

/// The certificate of a node that ends first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CertificateStatus {
    /// The node.
    pub node: NodeName,
    /// Whole days until it ends; negative once it has.
    pub days_left: i64,
    /// Its path on the node, without ending.
    pub path: String,
    /// The day of its end, as `YYYY-MM-DD` in UTC.
    pub expires: String,
    /// How many certificates the node has.
    pub count: usize,
}

pub fn read(
    view: &View<'_>,
    now: time::OffsetDateTime,
    notes: &mut Notes,
) -> Result<Vec<CertificateStatus>, RenderError> {
    let mut all = Vec::new();
    let expired = Certificate::ended(&view.source.trust.bundle, now);
    if let Some(day) = &expired {
        let what =
            format!("the certificate authority expired on {day}: nothing that it issued verifies any more");
        notes.critical(None, what, view.remedies.rotate_ca());
    }
    let remedy = if expired.is_some() { view.remedies.rotate_ca() } else { view.remedies.apply() };
    for (application, own) in &view.source.own_certificates {
        if let Some(words) = own.due(now, crate::certs::OWN_WINDOW_DAYS) {
            let what = format!("the certificate of {application}, {}, {words}", own.path);
            notes.warning(None, what, view.remedies.apply());
        }
    }
    for (node, seen) in &view.answers.observed {
        let certificates = seen.fields.iter().filter(|(id, _)| id.kind == "certificate");
        let parsed: Vec<(&str, Certificate)> = certificates
            .filter_map(|(id, fields)| {
                Some((id.name.as_str(), Certificate::parse(&pem(fields, "certificate")?).ok()?))
            })
            .collect();
        let first = parsed.iter().min_by_key(|(_, certificate)| certificate.not_after);
        if let Some((path, certificate)) = first {
            all.push(CertificateStatus {
                node: node.clone(),
                days_left: certificate.days_left(now),
                path: (*path).to_owned(),
                expires: certificate.not_after.date().to_string(),
                count: parsed.len(),
            });
        }
        if !view.speaks(node) {
            continue;
        }
        // The same comparison as in a plan: what is said here is what apply would do.
        let (changing, none) = (BTreeSet::new(), Fields::new());
        let context = Context { changing: &changing, now, only_certificates: true };
        let resources = render::resources(view.source, node, Some(&seen.facts))?.into_values().flatten();
        for resource in resources.filter(|resource| resource.id().kind == "certificate") {
            let fields = seen.fields.get(&resource.id()).unwrap_or(&none);
            if let Ok(Some(change)) = resource.compare(fields, &context) {
                notes.warning(
                    Some(node),
                    format!("{}: {}", resource.id().name, change.reason),
                    remedy.clone(),
                );
            }
        }
    }
    Ok(all)
}
