//! Properties of inventories: any text gets a verdict, every mistake is found, and what is valid can be used.

use deploy::cluster::Cluster;
use deploy::inventory::parse;
use deploy::live::secret_names;
use deploy::pki::Trust;
use deploy::plan::checks;
use deploy::render::{Facts, Graph, Source, resources};
use deploy::role::Library;
use deploy::secrets::Secret;
use proptest::prelude::*;

/// Mistakes in `examples/full.yaml`: a text of it, what stands there instead, and the text on whose line that has to be
/// reported. None has to do with another. These are of the shape.
const MISSHAPEN: [(&str, &str, &str); 10] = [
    ("user: deploy", "usr: deploy", "usr: deploy"),
    ("compaction_hours: 4", "compaction_hours: four", "compaction_hours"),
    ("cores: 8", "cores: 0", "cores: 0"),
    ("logical_replication: true", "logical_replication: maybe", "logical_replication"),
    ("connection_rate_limit: 20", "connection_rate_limit: -1", "connection_rate_limit"),
    ("default_pool_size: 30", "default_pool_size: [30]", "  default_pool_size"),
    ("confirm_within: 90", "confirm_within: soon", "confirm_within"),
    ("certificate_days: 180", "certificate_days: 0", "certificate_days"),
    ("debian: 12", "debian: 11", "debian: 11"),
    ("reporting: { connection_limit: 20 }", "reporting: { connection_limit: -2 }", "reporting: {"),
];

/// The same, against the rules across fields.
const UNRULY: [(&str, &str, &str); 16] = [
    ("address: 10.20.0.12 }", "address: 10.20.0.11 }", "  m2: {"),
    ("on: [m1, m2]", "on: [m1, m2, m9]", "on: [m1"),
    ("ttl: 40", "ttl: 29", "  ttl: 29"),
    ("max_connections: 400", "max_connections: 100", "  max_connections: 100"),
    ("memory: 32GB", "memory: 64MB", "  memory:"),
    ("data_mount: /srv/postgresql", "data_mount: /srv/../postgresql", "data_mount"),
    ("work_mem: 32MB", "work_mem: plenty", "work_mem"),
    ("statement_timeout: 5min", "statment_timeout: 5min", "statment_timeout"),
    ("log_min_duration_statement: 250", "port: 250", "port: 250"),
    ("jit: off", "jit: perhaps", "jit: perhaps"),
    ("pg_stat_statements.track", "pg_stat_statments.track", "pg_stat_statments"),
    ("member_of: [readers, pg_monitor]", "member_of: [readers, pg_monitr]", "auditor: {"),
    ("extensions: [pg_trgm, uuid-ossp]", "extensions: [pg_trgm, \"x;y\"]", "extensions: ["),
    ("schemas: [stock, invoices]", "schemas: [stock, public]", "schemas: ["),
    ("read_only: [reporting, readers]", "read_only: [reporting, nobody]", "read_only: ["),
    ("    net.core.somaxconn: 8192", "    somaxconn: 8192", "somaxconn"),
];

/// The example with these mistakes in it, and the lines that have to be reported.
fn mistaken(mistakes: &[(&str, &str, &str)]) -> (String, Vec<usize>) {
    let mut text = include_str!("../../examples/full.yaml").to_owned();
    for (old, new, _) in mistakes {
        assert_eq!(text.matches(old).count(), 1, "{old}");
        text = text.replace(old, new);
    }
    let line = |marker: &str| 1 + text.lines().position(|line| line.contains(marker)).expect(marker);
    let mut lines: Vec<usize> = mistakes.iter().map(|(.., marker)| line(marker)).collect();
    lines.sort_unstable();
    (text, lines)
}

/// What a valid inventory leads to without its nodes; every step of it must come to an end.
fn followed(text: &str) {
    let Ok((inventory, _)) = parse("any.yaml", text) else { return };
    let library = Library::built_in().unwrap();
    let cluster = Cluster::new(inventory, &library);
    let library = cluster.fit(library);
    let graph = Graph::of(&cluster, &library);
    assert!(graph.dot().len() + graph.mermaid().len() > 100);
    let secrets =
        secret_names(&cluster, &library).into_iter().map(|name| (name, Secret::new("x".repeat(32))));
    let secrets = secrets.collect();
    let source = Source::new(cluster, library, secrets, Trust::settled("authority", "0")).unwrap();
    let facts = source.cluster.nodes.keys().zip([12, 13].into_iter().cycle()).map(|(node, debian)| {
        let facts = Facts {
            debian,
            ram_mib: 4096,
            cores: 2,
            clock: 0,
            hostname: node.to_string(),
            interfaces: Vec::new(),
            unproven: None,
        };
        assert!(!resources(&source, node, Some(&facts)).unwrap().is_empty());
        (node.clone(), facts)
    });
    let facts = facts.collect();
    assert!(!checks(&source, &facts).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_mistake_is_reported_in_its_line_and_nothing_else(
        misshapen in prop::sample::subsequence(MISSHAPEN.to_vec(), 1..=MISSHAPEN.len()),
        unruly in prop::sample::subsequence(UNRULY.to_vec(), 1..=UNRULY.len()),
    ) {
        for mistakes in [misshapen, unruly] {
            let (text, lines) = mistaken(&mistakes);
            let problems = parse("full.yaml", &text).unwrap_err();
            let reported: Vec<usize> = problems.list().iter().filter_map(|problem| Some(problem.place?.line)).collect();
            prop_assert_eq!(reported, lines, "{}", problems);
        }
    }

    /// One character of a valid inventory is another: where it is valid still, all that follows from it can be made.
    #[test]
    fn what_is_valid_can_be_rendered_checked_and_drawn(
        at in any::<prop::sample::Index>(),
        put in prop::sample::select("0123456789abcxyz#: _-".chars().collect::<Vec<_>>()),
    ) {
        let mut characters: Vec<char> = include_str!("../../examples/full.yaml").chars().collect();
        let at = at.index(characters.len());
        characters[at] = put;
        followed(&characters.into_iter().collect::<String>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_gets_a_verdict(text in any::<String>()) {
        if let Err(problems) = parse("any.yaml", &text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn yaml_like_text_gets_a_verdict(text in "([a-z{}\\[\\]:,&*!|>'\"#?@%~ \\n\\t-]|: |\n  |- |<<: |name|nodes|0\\.1){0,60}") {
        if let Err(problems) = parse("any.yaml", &text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    /// A valid inventory with one character changed.
    #[test]
    fn damaged_inventories_get_a_verdict(at in any::<prop::sample::Index>(), put in any::<char>()) {
        let text = include_str!("../../examples/full.yaml");
        let mut characters: Vec<char> = text.chars().collect();
        let at = at.index(characters.len());
        characters[at] = put;
        let text: String = characters.into_iter().collect();
        if let Err(problems) = parse("any.yaml", &text) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
