//! YAML text → a JSON value and the places of all its parts. Bounds what a hostile document can cost.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::places::{Place, Places, join};
use super::problem::Problem;
use super::wording::{masked, quoted, visible};

/// Reads one document. Errors of syntax come alone; keys given twice are gathered, the last one counts.
pub(super) fn read(text: &str) -> Result<(Value, Places, Vec<Problem>), Problem> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 32,
            max_nodes: 100_000,
            max_events: 250_000,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_merge_keys: 1_000,
            max_recorded_anchor_events: 100_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 100_000,
            max_replay_stack_depth: 16,
        },
        // `on` and `off` are words here, as in YAML 1.2: settings of Patroni and PostgreSQL use them.
        strict_booleans: true,
        // Told apart by ourselves, so that all of them are reported.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    let node: Spanned<Node> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
    let mut walk = Walk::default();
    let value = walk.value(String::new(), node);
    Ok((value, walk.places, walk.problems))
}

fn syntax(error: &serde_saphyr::Error) -> Problem {
    let text = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
    let text = text.split(" at line ").next().unwrap_or_default();
    let text: String = masked(text).chars().take(200).map(visible).collect();
    let mut hint = None;
    let message = match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            hint = Some("remove the `---` line and what follows it".into());
            "more than one document; an inventory is one".into()
        }
        serde_saphyr::Error::Budget { .. }
        | serde_saphyr::Error::AliasReplayLimitExceeded { .. }
        | serde_saphyr::Error::AliasReplayStackDepthExceeded { .. } => {
            hint = Some("an inventory needs little nesting and few anchors; write the values out".into());
            format!("too large or too deeply nested: {text}")
        }
        _ => format!("not valid YAML: {text}"),
    };
    Problem { place: error.location().and_then(place), message, hint }
}

fn place(location: serde_saphyr::Location) -> Option<Place> {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    (location.line() > 0).then(|| Place {
        line: number(location.line()),
        column: number(location.column()).max(1),
        length: number(location.span().len()).max(1),
    })
}

/// A node of the document, before its parts have names.
enum Node {
    Scalar(Value),
    List(Vec<Spanned<Node>>),
    Mapping(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Nodes;
        impl<'de> Visitor<'de> for Nodes {
            type Value = Node;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a value")
            }
            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Scalar(Value::Null))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits no setting is exact")]
            fn visit_i128<E>(self, value: i128) -> Result<Node, E> {
                Ok(Node::Scalar(float(value as f64)))
            }
            #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits no setting is exact")]
            fn visit_u128<E>(self, value: u128) -> Result<Node, E> {
                Ok(Node::Scalar(float(value as f64)))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
                Ok(Node::Scalar(float(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Node, E> {
                Ok(Node::Scalar(value.into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Node::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
                let mut mapping = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    mapping.push(entry);
                }
                Ok(Node::Mapping(mapping))
            }
        }
        deserializer.deserialize_any(Nodes)
    }
}

/// A number; one without a fraction becomes a whole number, as `30.0` is meant.
fn float(value: f64) -> Value {
    #[allow(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return (value as i64).into();
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[derive(Default)]
struct Walk {
    places: Places,
    problems: Vec<Problem>,
}

impl Walk {
    fn value(&mut self, pointer: String, node: Spanned<Node>) -> Value {
        let here = place(node.referenced);
        match node.value {
            Node::Scalar(value) => {
                if let Some(here) = here {
                    self.places.set_value(&pointer, here);
                }
                value
            }
            Node::List(items) => {
                let list = items.into_iter().enumerate();
                Value::Array(list.map(|(index, item)| self.item(&pointer, index, item)).collect())
            }
            Node::Mapping(entries) => self.mapping(&pointer, entries),
        }
    }

    fn item(&mut self, parent: &str, index: usize, item: Spanned<Node>) -> Value {
        let pointer = join(parent, &index.to_string());
        if let Some(here) = place(item.referenced) {
            self.places.set_value(&pointer, here);
        }
        self.value(pointer, item)
    }

    fn mapping(&mut self, parent: &str, entries: Vec<(Spanned<String>, Spanned<Node>)>) -> Value {
        let mut map = Map::new();
        for (key, node) in entries {
            let pointer = join(parent, &key.value);
            let here = place(key.referenced);
            if map.contains_key(&key.value) {
                let first = self.places.key(&pointer).map(|place| format!(", first on line {}", place.line));
                self.problems.push(Problem {
                    place: here,
                    message: format!("{} is given twice{}", quoted(&key.value), first.unwrap_or_default()),
                    hint: Some("keep one of them".into()),
                });
            }
            if let Some(here) = here {
                self.places.set_key(&pointer, here);
            }
            let value = self.value(pointer, node);
            map.insert(key.value, value);
        }
        Value::Object(map)
    }
}
