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
    masks: Vec<Mask>,
}

/// How a secret is shown.
#[derive(Debug)]
struct Mask {
    name: String,
    /// What of it may stand in a file: itself, and its hash.
    shown: [Secret; 2],
    /// Its first characters.
    start: Secret,
    label: String,
}

impl Mask {
    fn new(name: &str, secret: &Secret) -> Self {
        // Its hash tells as little as a fingerprint only where nobody chose it.
        let hash = Secret::new(sha256(secret.expose().as_bytes()));
        Self {
            name: name.to_owned(),
            shown: [secret.clone(), hash],
            start: Secret::new(start(secret)),
            label: format!("‹{name} {}›", secret.fingerprint()),
        }
    }
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
        environment.add_filter("sha256", |text: String| sha256(text.as_bytes()));
        let values = secrets.clone();
        environment.add_function("secret", move |name: String| {
            let unknown = || Error::new(ErrorKind::InvalidOperation, format!("there is no secret `{name}`"));
            values.get(&name).map(|secret| secret.expose().to_owned()).ok_or_else(unknown)
        });
        let values = secrets.clone();
        environment.add_function("secret_start", move |name: String| {
            let unknown = || Error::new(ErrorKind::InvalidOperation, format!("there is no secret `{name}`"));
            values.get(&name).map(|secret| start(secret).to_owned()).ok_or_else(unknown)
        });
        let masks = secrets.iter().map(|(name, secret)| Mask::new(name, secret)).collect();
        Ok(Self { environment, masks })
    }
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
        let templates = &self.source.templates;
        let render = || templates.environment.get_template(template)?.render(self.context_of(manifest));
        let content = render().map_err(|error| self.error(template, &error))?;
        let mut masked = content.clone();
        let text = self.source.library.templates.get(template).map_or("", String::as_str);
        // Most templates name no secret, nor another template that might.
        if ["secret", "include", "import", "extends"].iter().all(|word| !text.contains(word)) {
            return Ok((content, masked));
        }
        for Mask { name, shown, start, label } in &templates.masks {
            let start = text.contains(&format!("secret_start('{name}')")).then_some(start);
            for secret in shown.iter().chain(start) {
                masked = masked.replace(secret.expose(), label);
            }
        }
        Ok((content, masked))
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
