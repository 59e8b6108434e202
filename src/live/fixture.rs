//! Clusters for unit tests, from an inventory's text, with made-up secrets.

use crate::cluster::Cluster;
use crate::inventory;
use crate::pki::Trust;
use crate::render::{Facts, Source};
use crate::role::Library;
use crate::secrets::Secret;

use super::secret_names;

/// Three machines, each of them everything.
pub const THREE: &str = "
name: test
nodes:
  n1: { kind: [manager, worker, app], address: 10.1.0.11 }
  n2: { kind: [manager, worker, app], address: 10.1.0.12 }
  n3: { kind: [manager, worker, app], address: 10.1.0.13 }
";

/// A machine for each task: three managers, three workers, an app node.
pub const MIXED: &str = "
name: test
nodes:
  m1: { kind: manager, address: 10.1.0.11 }
  m2: { kind: manager, address: 10.1.0.12 }
  m3: { kind: manager, address: 10.1.0.13 }
  w1: { kind: worker, address: 10.1.0.21 }
  w2: { kind: worker, address: 10.1.0.22 }
  w3: { kind: worker, address: 10.1.0.23 }
  a1: { kind: app, address: 10.1.0.31 }
";

/// The source of an inventory.
///
/// # Panics
///
/// Where the text is no inventory.
pub fn source(text: &str, trust: Trust) -> Source {
    let library = Library::built_in().unwrap();
    let (inventory, _) = inventory::parse("test.yaml", text).unwrap();
    let cluster = Cluster::new(inventory, &library);
    let secrets = secret_names(&cluster, &library)
        .into_iter()
        .map(|name| (name.clone(), Secret::new(format!("{name}-{}", "x".repeat(32)))))
        .collect();
    Source::new(cluster, library, secrets, trust).unwrap()
}

/// What a machine of a release of Debian says of itself.
pub fn facts(debian: u8) -> Facts {
    Facts {
        debian,
        ram_mib: 4096,
        cores: 2,
        clock: 0,
        hostname: "x".into(),
        interfaces: Vec::new(),
        unproven: None,
    }
}
