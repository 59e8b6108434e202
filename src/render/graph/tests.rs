use super::*;
use crate::live::fixture::{MIXED, THREE, source};
use crate::pki::Trust;
use crate::render::Source;

/// A virtual address, and applications with groups, with processes, and outside of the cluster.
const EDGE: &str = "
virtual_ip: { database: 10.1.0.100, applications: 10.1.0.101 }
applications:
  shop:
    hosts: [shop.example.org]
    groups: { blue: { nodes: [a1], port: 8080 }, green: { nodes: [a1], port: 8081 } }
    live: blue
  notes: { hosts: [notes.example.org], nodes: [a1], port: 9000, processes: [9001, 9002] }
  old: { hosts: [old.example.org], nodes: [192.0.2.7], port: 80 }
";

fn picture(text: &str) -> (Source, Graph) {
    let source = source(text, Trust::settled("ca", "0"));
    let graph = Graph::of(&source.cluster, &source.library);
    (source, graph)
}

#[test]
fn the_picture_has_what_the_packet_filter_opens_and_nothing_else() {
    for text in [THREE, MIXED, &format!("{MIXED}{EDGE}")] {
        let (source, graph) = picture(text);
        let cluster = &source.cluster;
        // From an address or network, to a node, by what.
        let mut opened: BTreeSet<(String, NodeName, Through)> = BTreeSet::new();
        for to in cluster.nodes.keys() {
            for edge in edges(cluster, &source.library, to) {
                opened.extend(edge.from.iter().map(|from| (from.to_string(), to.clone(), edge.through)));
            }
        }
        let address = |node: &NodeName| ipnet::IpNet::from(cluster.nodes[node].address).to_string();
        let access = &cluster.inventory.access;
        let mut drawn: BTreeSet<(String, NodeName, Through)> = BTreeSet::new();
        for ((from, to), ways) in &graph.edges {
            let from: Vec<String> = match from.as_str() {
                "admin" => access.admin.iter().map(|network| network.0.to_string()).collect(),
                "clients" => access.clients.iter().map(|network| network.0.to_string()).collect(),
                role => graph.roles[role].nodes.iter().map(address).collect(),
            };
            for from in &from {
                for to in &graph.roles[to].nodes {
                    drawn.extend(ways.iter().map(|(through, _)| (from.clone(), to.clone(), *through)));
                }
            }
        }
        assert_eq!(drawn, opened);
    }
}

#[test]
fn every_role_is_drawn_on_every_node_that_it_is_placed_on() {
    let (source, graph) = picture(&format!("{MIXED}{EDGE}"));
    for (name, node) in &source.cluster.nodes {
        let drawn = graph.roles.iter().filter(|(_, placed)| placed.nodes.contains(name));
        let drawn: BTreeSet<&str> = drawn.map(|(role, _)| role.as_str()).collect();
        let placed = node.roles.iter().map(String::as_str).chain(["ssh"]);
        let placed: BTreeSet<&str> = match name.as_str() {
            "a1" => placed
                .chain(["application notes", "application shop blue", "application shop green"])
                .collect(),
            _ => placed.collect(),
        };
        assert_eq!(drawn, placed, "{name}");
    }
    let edge = |from: &str, to: &str| graph.edges[&(from.to_owned(), to.to_owned())].clone();
    assert_eq!(edge("keepalived", "keepalived"), [(Through::Protocol(112), "VRRP".to_owned())].into());
    assert_eq!(edge("haproxy", "application notes"), [(Through::Tcp(9000), "notes".to_owned())].into());
    assert!(edge("clients", "haproxy").iter().any(|(through, _)| *through == Through::Tcp(443)));
    let bare = picture(MIXED).1;
    let ways = &bare.edges[&("clients".to_owned(), "haproxy".to_owned())];
    assert!(ways.iter().all(|(through, _)| *through != Through::Tcp(443)), "{ways:?}");
    assert!(!bare.roles.contains_key("keepalived"));
}

#[test]
fn a_part_is_what_is_changed_with_its_neighbours() {
    let graph = picture(MIXED).1;
    let part = graph.part(&["etcd".to_owned()].into());
    assert_eq!(part.roles.keys().collect::<Vec<_>>(), ["etcd", "patroni"]);
    assert!(part.edges.keys().all(|(from, to)| [from, to].into_iter().any(|end| end == "etcd")));
    let mermaid = part.mermaid();
    assert!(mermaid.ends_with("    class r_etcd changed\n"), "{mermaid}");
    assert!(!graph.mermaid().contains("class"));
    let alone = graph.part(&["base".to_owned()].into());
    assert_eq!((alone.roles.len(), alone.edges.len()), (1, 0));
    assert_eq!(graph.part(&BTreeSet::new()), Graph::default());
}

#[test]
fn it_is_drawn_for_both_programs() {
    let graph = picture(MIXED).1;
    let mermaid = graph.mermaid();
    assert!(mermaid.contains("    r_etcd[\"etcd<br>m1 m2 m3\"]\n"), "{mermaid}");
    assert!(mermaid.contains("r_pgbouncer -- \"5000 "), "{mermaid}");
    let dot = graph.dot();
    assert!(dot.contains("r_etcd [label=\"etcd\\nm1 m2 m3\"];") && dot.ends_with("}\n"), "{dot}");
}

#[test]
fn no_text_breaks_out_of_its_place() {
    let mut graph = picture(MIXED).1;
    let name = "a \"b\" <c> & ``` \\ #d;\ne".to_owned();
    graph.edges.insert(("clients".into(), "etcd".into()), [(Through::Tcp(1), name)].into());
    let mermaid = graph.mermaid();
    assert!(mermaid.contains("\"1 a #quot;b#quot; #lt;c#gt; #amp; ''' \\ #35;d; e\""), "{mermaid}");
    assert!(graph.dot().contains("\"1 a \\\"b\\\" <c> & ``` \\\\ #d; e\""), "{}", graph.dot());
    assert!(
        graph.svg().contains(">1 a &quot;b&quot; &lt;c&gt; &amp; ``` \\ #d; e</text>"),
        "{}",
        graph.svg()
    );
}

#[test]
fn in_svg_nothing_lies_upon_another() {
    for text in [THREE, MIXED, &format!("{MIXED}{EDGE}")] {
        let svg = picture(text).1.svg();
        let number = |line: &str, name: &str| -> i32 {
            let rest = line.split_once(&format!(" {name}=\"")).unwrap().1;
            rest.split('"').next().unwrap().parse().unwrap()
        };
        let areas: Vec<[i32; 4]> = svg
            .lines()
            .filter(|line| line.contains("<rect") && line.contains(" x="))
            .map(|line| ["x", "y", "width", "height"].map(|name| number(line, name)))
            .collect();
        assert!(areas.len() > 20, "{svg}");
        for (at, [x, y, width, height]) in areas.iter().enumerate() {
            for [left, top, wide, high] in &areas[at + 1..] {
                let apart = x + width <= *left || left + wide <= *x || y + height <= *top || top + high <= *y;
                assert!(apart, "{:?} and {:?}\n{svg}", areas[at], [left, top, wide, high]);
            }
        }
        assert_eq!(svg, picture(text).1.svg());
    }
}

#[test]
fn an_empty_picture_is_drawn_too() {
    assert!(Graph::default().svg().ends_with("</svg>\n"));
    assert_eq!(Graph::default().mermaid(), "flowchart LR\n");
}
