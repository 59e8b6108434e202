//! Templates: minijinja with strict undefined, plain text only, and every secret masked out of what is shown.

use std::collections::BTreeMap;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, merge_maps};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value};

use serde_json::json;

use super::Source;
use super::context::{Facts, node_context, settings};
use crate::cluster::{Node, NodeName};
use crate::resource::sha256;
use crate::role::{Library, Manifest};
use crate::secrets::Secret;

/// A template that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A template or a text of a manifest.
    #[error("templates/{template}, for node {node}: {reason}")]
    Template {
        /// The template, or the manifest's text.
        template: String,
        /// The node that it was rendered for.
        node: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A template that is none.
    #[error("templates/{template}: {reason}")]
    Syntax {
        /// The template.
        template: String,
        /// What is wrong, with the line.
        reason: String,
    },
    /// A name of a certificate that is none.
    #[error("roles/{role}.yaml: certificate {certificate}: {source}")]
    Name {
        /// The role.
        role: String,
        /// The certificate.
        certificate: String,
        /// What is wrong with the name.
        source: crate::pki::PkiError,
    },
}

impl RenderError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Template { .. } => {
                "templates know what the built-in ones use, as node, cluster, roles and settings"
            }
            Self::Syntax { .. } => {
                "templates are Jinja's: mend the line, then look at it with `deploy render`"
            }
            Self::Name { .. } => "a certificate is for host names and addresses",
        }
    }
}

/// All templates of a run, compiled once.
#[derive(Debug)]
pub struct Templates {
    environment: Environment<'static>,
    /// The same, with the name of each secret in the place of what it is: nothing that a template makes of one is shown.
    masked: Environment<'static>,
    masks: Vec<Mask>,
}

/// How what stands in a file of a secret, itself or its hash, is shown where a text did not come from a template.
#[derive(Debug)]
struct Mask {
    text: Secret,
    label: String,
}

/// How a secret is shown.
fn label(name: &str, secret: &Secret) -> String {
    format!("‹{name} {}›", secret.fingerprint())
}

impl Templates {
    /// Compiles the templates of `library`; they read secrets by `secret('name')`.
    pub fn new(library: &Library, secrets: &BTreeMap<String, Secret>) -> Result<Self, RenderError> {
        let syntax_error = |template: &str, error: &Error| RenderError::Syntax {
            template: template.to_owned(),
            reason: reason(error),
        };
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|error| syntax_error("", &error))?);
        environment.set_formatter(|out, _, value| match plain(value) {
            Some(text) => out.write_str(&text).map_err(Error::from),
            None => {
                Err(Error::new(ErrorKind::InvalidOperation, format!("a {} cannot be printed", value.kind())))
            }
        });
        for (path, text) in &library.templates {
            let added = environment.add_template_owned(path.clone(), text.clone());
            added.map_err(|error| syntax_error(path, &error))?;
        }
        let mut masked = environment.clone();
        environment.add_filter("sha256", |text: String| sha256(text.as_bytes()));
        let values = |value: fn(&str, &Secret) -> String| {
            secrets.iter().map(|(name, secret)| (name.clone(), Secret::new(value(name, secret)))).collect()
        };
        add_secrets(&mut environment, "secret", secrets.clone());
        add_secrets(&mut environment, "secret_start", values(|_, secret| start(secret).to_owned()));
        // The hash of a label would say nothing to anybody.
        masked.add_filter(
            "sha256",
            |text: String| if text.contains('‹') { text } else { sha256(text.as_bytes()) },
        );
        add_secrets(&mut masked, "secret", values(label));
        add_secrets(&mut masked, "secret_start", values(label));
        let given = secrets.iter().filter(|(_, secret)| !secret.is_empty());
        let mut masks: Vec<Mask> = given
            .flat_map(|(name, secret)| {
                // Its hash tells as little as a fingerprint only where nobody chose it.
                let hash = Secret::new(sha256(secret.expose().as_bytes()));
                [secret.clone(), hash].map(|text| Mask { text, label: label(name, secret) })
            })
            .collect();
        // Of one that another one begins with, nothing is left over.
        masks.sort_by_key(|mask| std::cmp::Reverse(mask.text.expose().len()));
        Ok(Self { environment, masked, masks })
    }

    /// A text from a node with every secret masked that is one now.
    pub fn masked(&self, text: &str) -> String {
        self.masks.iter().fold(text.to_owned(), |text, mask| text.replace(mask.text.expose(), &mask.label))
    }
}

/// Adds a function that has a text for the name of each secret.
fn add_secrets(
    environment: &mut Environment<'static>,
    function: &'static str,
    texts: BTreeMap<String, Secret>,
) {
    environment.add_function(function, move |name: String| {
        let unknown = || Error::new(ErrorKind::InvalidOperation, format!("there is no secret `{name}`"));
        texts.get(&name).map(|text| text.expose().to_owned()).ok_or_else(unknown)
    });
}

/// What is written of a secret where there is room for eight characters only.
fn start(secret: &Secret) -> &str {
    let text = secret.expose();
    text.char_indices().nth(8).map_or(text, |(end, _)| &text[..end])
}

/// Renders templates for one node.
pub struct Renderer<'a> {
    source: &'a Source,
    node: String,
    context: Value,
}

impl<'a> Renderer<'a> {
    /// A renderer with the context of `node`.
    pub fn new(source: &'a Source, name: &NodeName, node: &Node, facts: &Facts) -> Self {
        let context = Value::from(Serde(node_context(source, name, node, facts)));
        Self { source, node: name.to_string(), context }
    }

    /// The rendered template, and the same with every secret masked.
    pub fn template(&self, manifest: &Manifest, template: &str) -> Result<(String, String), RenderError> {
        let Templates { environment, masked, .. } = &self.source.templates;
        let context = self.context_of(manifest);
        let render = |environment: &Environment<'_>| environment.get_template(template)?.render(&context);
        let content = render(environment).map_err(|error| self.error(template, &error))?;
        let text = self.source.library.templates.get(template).map_or("", String::as_str);
        // Most templates name no secret, nor another template that might.
        let shown = if ["secret", "include", "import", "extends"].iter().any(|word| text.contains(word)) {
            // One that reckons with a secret may not take its name.
            render(masked).unwrap_or_else(|_| "‹not shown›\n".to_owned())
        } else {
            content.clone()
        };
        Ok((content, shown))
    }

    /// A text of the manifest, rendered.
    pub fn text(&self, manifest: &Manifest, text: &str) -> Result<String, RenderError> {
        let rendered = self.source.templates.environment.render_str(text, self.context_of(manifest));
        rendered.map_err(|error| self.error(&format!("(roles/{}.yaml: {text})", manifest.role), &error))
    }

    fn context_of(&self, manifest: &Manifest) -> Value {
        let own = json!({ "settings": settings(&self.source.cluster, manifest) });
        merge_maps([Value::from(Serde(own)), self.context.clone()])
    }

    fn error(&self, template: &str, error: &Error) -> RenderError {
        RenderError::Template {
            template: template.to_owned(),
            node: self.node.clone(),
            reason: self.reason(template, error),
        }
    }

    /// The reason with the template's own line, which says what an undefined value is called. It holds no value.
    fn reason(&self, template: &str, error: &Error) -> String {
        let text = self.source.library.templates.get(template).zip(error.line());
        let line = text.and_then(|(text, line)| text.lines().nth(line.checked_sub(1)?));
        line.map_or_else(|| reason(error), |line| format!("{}: {}", reason(error), line.trim()))
    }
}

/// Text of a scalar. Anything else is a mistake of the template and never printed.
fn plain(value: &Value) -> Option<String> {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::Bool => Some(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number | ValueKind::String => Some(value.to_string()),
        _ => None,
    }
}

/// The error with its line, without any value of the context.
fn reason(error: &Error) -> String {
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    match error.line() {
        Some(line) => format!("line {line}: {detail}"),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::fixture;
    use crate::pki::Trust;

    /// A source with two secrets, of which one begins with the other, and this template.
    fn source(template: &str) -> Source {
        let mut source = fixture::source(fixture::THREE, Trust::settled("authority", "0"));
        source.library.templates.insert("own/x.j2".into(), template.to_owned());
        source.set_secret("a", Secret::new("open sesame")).unwrap();
        source.set_secret("b", Secret::new("open sesame, again")).unwrap();
        source
    }

    fn shown(template: &str) -> String {
        let source = source(template);
        let (name, node) = source.cluster.nodes.iter().next().unwrap();
        let renderer = Renderer::new(&source, name, node, &fixture::facts(12));
        renderer.template(&source.library.roles["base"], "own/x.j2").unwrap().1
    }

    #[test]
    fn nothing_that_a_template_makes_of_a_secret_is_shown() {
        let (a, b) =
            (label("a", &Secret::new("open sesame")), label("b", &Secret::new("open sesame, again")));
        assert_eq!(shown("{{ secret('a') }}{{ secret(\"b\") }}"), format!("{a}{b}"));
        assert_eq!(shown("{{ secret_start(\"b\") }}, {{ secret('a') | sha256 }}"), format!("{b}, {a}"));
        assert_eq!(shown("{{ secret('b') | upper }}"), b.to_uppercase());
        assert_eq!(shown("{{ secret('a') | replace('sesame', '') }}"), a);
        assert_eq!(shown("{{ {'open sesame': 1}[secret('a')] }}"), "‹not shown›\n");
    }

    #[test]
    fn in_a_text_from_a_node_the_longest_secret_is_masked_first() {
        let (source, b) = (source(""), Secret::new("open sesame, again"));
        let hash = sha256(b.expose().as_bytes());
        let b = label("b", &b);
        assert_eq!(source.masked(&format!("x open sesame, again {hash}")), format!("x {b} {b}"));
    }
}
