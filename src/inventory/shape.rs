//! Holds a document against the schema of the types and puts every mismatch into plain words.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::LazyLock;

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use super::model::Network;
use super::places::{Places, join, last};
use super::problem::Problem;
use super::wording::{closest, joined, listed, quoted};

static SCHEMA: LazyLock<Value> = LazyLock::new(super::schema::schema);

static VALIDATOR: LazyLock<Result<Validator, String>> = LazyLock::new(|| {
    jsonschema::options()
        .should_validate_formats(true)
        .with_format("ip", |text: &str| text.parse::<IpAddr>().is_ok())
        .with_format("network", |text: &str| text.parse::<Network>().is_ok())
        .build(&SCHEMA)
        .map_err(|error| error.to_string())
});

/// All mismatches between the document and the shape of an inventory.
pub(super) fn check(document: &Value, places: &Places) -> Vec<Problem> {
    if !document.is_object() {
        let message = format!("an inventory is a mapping with `name` and `nodes`, not {}", found(document));
        return vec![Problem { place: None, message, hint: None }];
    }
    let validator = match &*VALIDATOR {
        Ok(validator) => validator,
        Err(error) => {
            let message = format!("the schema of inventories is broken: {error}");
            return vec![Problem { place: None, message, hint: Some("this is a defect of deploy".into()) }];
        }
    };
    let mut words = Words { places, problems: Vec::new(), told: BTreeSet::new() };
    for error in validator.iter_errors(document) {
        words.explain(&error);
    }
    words.problems
}

struct Words<'a> {
    places: &'a Places,
    problems: Vec<Problem>,
    /// Scalars that already have a problem: one each is enough.
    told: BTreeSet<String>,
}

impl Words<'_> {
    fn explain(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().as_str().to_owned();
        let instance = error.instance();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    self.unknown(&pointer, key, parent_schema(error));
                }
                return;
            }
            Kind::Required { property } => {
                self.missing(&pointer, property.as_str().unwrap_or_default(), parent_schema(error));
                return;
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                let mut fitting =
                    context.iter().filter(|branch| !branch.iter().any(|e| mismatched(e, &pointer)));
                if let (Some(branch), None) = (fitting.next(), fitting.next()) {
                    for error in branch {
                        self.explain(error);
                    }
                    return;
                }
            }
            _ => {}
        }
        if !self.told.insert(pointer.clone()) {
            return;
        }
        let schema = parent_schema(error);
        let about = description(schema);
        let (message, hint) = match error.kind() {
            Kind::Type { .. }
            | Kind::AnyOf { .. }
            | Kind::OneOfNotValid { .. }
            | Kind::Enum { .. }
            | Kind::Constant { .. } => wrong_kind(instance, schema, &last(&pointer)),
            Kind::Minimum { .. } | Kind::Maximum { .. } => {
                (format!("{instance} is out of range: {}", range(schema)), about)
            }
            Kind::Pattern { .. } => (format!("{} is not allowed here", found(instance)), about),
            Kind::Format { format } if format == "ip" => (
                format!("{} is not an IP address", text(instance)),
                Some(
                    "write an address such as `10.0.0.11` or `2001:db8::11`; a name goes into `host`".into(),
                ),
            ),
            Kind::Format { .. } => (
                format!("{} is neither an address nor a network", text(instance)),
                Some("write `10.0.0.5`, `10.0.0.0/8` or `2001:db8::/32`".into()),
            ),
            _ => (format!("{} does not fit: {}", found(instance), error.kind().keyword()), about),
        };
        self.problems.push(Problem { place: self.places.value(&pointer), message, hint });
    }

    fn unknown(&mut self, pointer: &str, key: &str, schema: Option<&Value>) {
        let known: Vec<&str> = schema
            .and_then(|schema| schema.get("properties"))
            .and_then(Value::as_object)
            .map(|properties| properties.keys().map(String::as_str).collect())
            .unwrap_or_default();
        let all = format!("known here: {}", listed(&known, "and"));
        let hint = match closest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? {all}"),
            None => all,
        };
        self.problems.push(Problem {
            place: self.places.key(&join(pointer, key)),
            message: format!("unknown field {}", quoted(key)),
            hint: Some(hint),
        });
    }

    fn missing(&mut self, pointer: &str, key: &str, schema: Option<&Value>) {
        let owner = if pointer.is_empty() { "the inventory".into() } else { quoted(&last(pointer)) };
        let property = schema.and_then(|schema| schema.get("properties")).and_then(|all| all.get(key));
        self.problems.push(Problem {
            place: self.places.key(pointer),
            message: format!("{owner} has no `{key}`"),
            hint: description(property),
        });
    }
}

/// The schema whose keyword the error is about.
fn parent_schema(error: &ValidationError<'_>) -> Option<&'static Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    SCHEMA.pointer(parent)
}

fn description(schema: Option<&Value>) -> Option<String> {
    Some(schema?.get("description")?.as_str()?.replace('\n', " "))
}

/// Whether the error says that the value at `pointer` is of another kind altogether, so that its branch was not meant.
fn mismatched(error: &ValidationError<'_>, pointer: &str) -> bool {
    if error.instance_path().as_str() != pointer {
        return false;
    }
    match error.kind() {
        Kind::Type { kind: TypeKind::Single(_) | TypeKind::Multiple(_) } => true,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            context.iter().all(|branch| branch.iter().any(|inner| mismatched(inner, pointer)))
        }
        _ => false,
    }
}

fn wrong_kind(instance: &Value, schema: Option<&Value>, key: &str) -> (String, Option<String>) {
    let right = schema.map_or_else(|| "something else".into(), expected);
    let choices = schema.map(choices).unwrap_or_default();
    let hint = match instance {
        Value::Null => Some(format!("nothing follows `{key}:`; give it a value or remove the line")),
        Value::String(text) if right == "true or false" => match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" => Some("write `true`".into()),
            "no" | "off" | "n" => Some("write `false`".into()),
            _ => None,
        },
        Value::String(text) if right.ends_with("number") && text.parse::<f64>().is_ok() => {
            Some("write it without quotes".into())
        }
        Value::Number(_) | Value::Bool(_) if right == "text" => {
            let free = schema
                .is_some_and(|schema| schema.get("pattern").is_none() && schema.get("format").is_none());
            if free { Some("put it in quotes".into()) } else { description(schema) }
        }
        Value::String(_) if right == "a mapping" => description(schema.map(resolved)),
        Value::String(text) => {
            closest(text, choices.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"))
        }
        _ => None,
    };
    (format!("expected {right}, found {}", found(instance)), hint)
}

/// The words that a schema allows, where it is a choice of words.
fn choices(schema: &Value) -> Vec<String> {
    let schema = resolved(schema);
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let mut words: Vec<String> = values.iter().map(plain).collect();
        words.dedup();
        let mut seen = BTreeSet::new();
        words.retain(|word| seen.insert(word.clone()));
        return words;
    }
    let branches = schema.get("oneOf").and_then(Value::as_array);
    branches.into_iter().flatten().filter_map(|branch| branch.get("const")).map(plain).collect()
}

/// What a schema takes, in words.
fn expected(schema: &Value) -> String {
    let schema = resolved(schema);
    let choices = choices(schema);
    if !choices.is_empty() {
        return format!("{}{}", if choices.len() > 2 { "one of " } else { "" }, listed(&choices, "or"));
    }
    if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
        let mut phrases: Vec<String> = branches.iter().map(expected).collect();
        if phrases.iter().any(|phrase| phrase == "a number") {
            phrases.retain(|phrase| phrase != "a whole number");
        }
        phrases.dedup();
        let nested = phrases.iter().any(|phrase| phrase.contains(" or ") && phrase != "true or false");
        return if nested { phrases.join("; or ") } else { joined(&phrases, "or") };
    }
    let kinds = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind.as_str()],
        _ => Vec::new(),
    };
    let phrases: Vec<String> = kinds
        .into_iter()
        .filter_map(|kind| match kind {
            "string" => Some("text"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "boolean" => Some("true or false"),
            "array" => Some("a list"),
            "object" => Some("a mapping"),
            _ => None,
        })
        .map(str::to_owned)
        .collect();
    if phrases.is_empty() { "something else".into() } else { joined(&phrases, "or") }
}

fn resolved(schema: &Value) -> &Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
    target.and_then(|pointer| SCHEMA.pointer(pointer)).unwrap_or(schema)
}

fn range(schema: Option<&Value>) -> String {
    let bound = |name| schema.and_then(|schema| schema.get(name)).and_then(Value::as_i64);
    match (bound("minimum"), bound("maximum")) {
        (Some(low), Some(high)) => format!("from {low} to {high}"),
        (Some(low), None) => format!("at least {low}"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "another number".into(),
    }
}

/// What a value is, in words.
fn found(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| found(value), quoted)
}
