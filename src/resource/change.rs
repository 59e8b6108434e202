//! The words of a plan: one change to one resource, why, what clients notice, and the calls that make it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pki::LeafRequest;

/// Kind and name of a resource, unique on its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Id {
    /// Kind, one word.
    pub kind: String,
    /// Name within the kind: a path, a unit, a key.
    pub name: String,
}

impl Id {
    /// An identity from its parts.
    pub fn new(kind: &str, name: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.into() }
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// A shell function with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The function.
    pub function: &'static str,
    /// Its arguments.
    pub args: Vec<Arg>,
}

impl Call {
    /// A call with plain arguments.
    pub fn new<T: Into<String>>(function: &'static str, args: impl IntoIterator<Item = T>) -> Self {
        Self { function, args: args.into_iter().map(|arg| Arg::Text(arg.into())).collect() }
    }

    /// The same call with a payload as its last argument.
    #[must_use]
    pub fn with(mut self, payload: Payload) -> Self {
        self.args.push(Arg::Payload(payload));
        self
    }
}

/// One argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// Text, quoted on its way.
    Text(String),
    /// The path of a file that travels with the script.
    Payload(Payload),
}

/// What travels with the script.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A file.
    Bytes(Vec<u8>),
    /// A folder with `crt` and `key`, made when the plan is applied.
    Leaf(LeafRequest),
}

impl std::fmt::Debug for Payload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Leaf(request) => write!(f, "a certificate for {}", request.common_name),
        }
    }
}

/// When in a step a call is made. A step makes all calls of one order before the next, so that everything is in
/// place and validated before anything goes live, and everything is live before a service hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Order {
    /// What keeps packages from starting with their own defaults, and what leaves the node.
    Prepare,
    /// Packages.
    Install,
    /// Directories, certificates, and files beside their final place.
    Stage,
    /// The staged files prove themselves.
    Validate,
    /// Files go live.
    Commit,
    /// Kernel settings, the packet filter, the first contents of a data directory.
    Settle,
    /// Services start, reload or restart.
    Activate,
}

/// What is done to the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// It is not there yet.
    Create,
    /// It is there and differs.
    Update,
    /// It is there and must not be.
    Delete,
    /// Something is done once.
    Run,
}

impl Verb {
    /// The sign in front of a change.
    pub fn sign(self) -> char {
        match self {
            Self::Create => '+',
            Self::Update => '~',
            Self::Delete => '-',
            Self::Run => '!',
        }
    }
}

/// What clients will notice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Nothing.
    #[default]
    None,
    /// Nothing: a service starts that did not run.
    Start,
    /// Nothing: a service takes the change while it runs.
    Reload,
    /// Connections through one node are cut once: a service leaves it.
    Stop,
    /// Connections through one node are cut once.
    Restart,
    /// The leadership moves: writes pause for about two seconds.
    Switchover,
    /// The leader restarts in its place: writes stop until it is back.
    Downtime,
}

impl Effect {
    /// The word on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Switchover => "switchover",
            Self::Downtime => "downtime",
        }
    }
}

/// Old and new text of a file, secrets already masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// What is there; `None` while it has not been fetched.
    pub old: Option<String>,
    /// What is wanted.
    pub new: String,
    /// The texts hold secrets, or held some: of what is removed, only what could be none is shown.
    pub secret: bool,
}

/// One change to one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The resource.
    pub id: Id,
    /// What is done to it.
    pub verb: Verb,
    /// Why, in a few words.
    pub reason: String,
    /// What clients will notice.
    pub effect: Effect,
    /// No client is connected to what restarts.
    pub unnoticed: bool,
    /// What was changed on the node since we last wrote it, where that can be told.
    pub drift: Option<String>,
    /// What the inventory would have to say for what is there to stay, as YAML; where it can say that and says nothing
    /// of it now.
    pub adopt: Option<String>,
    /// Texts to compare, for files.
    pub diff: Option<Diff>,
    /// The calls that make it, each with its place in the step.
    pub calls: Vec<(Order, Call)>,
    /// It is made once for the whole cluster, on whichever node serves for it.
    pub cluster_wide: bool,
    /// It is made when every other change of its phase is, on all nodes, and the gates hold.
    pub last: bool,
    /// It follows from other changes of its phase, on whatever nodes are fit for it by then.
    pub follows: bool,
    /// It prepares what has this effect in its phase, and ends by itself: it stays in a plan with that, and no gate waits
    /// behind it.
    pub ahead: Option<Effect>,
    /// A new connection has to confirm it, by this call, or it takes itself back.
    pub confirm: Option<Call>,
}

/// A value as YAML that means just this text, or this number.
pub fn yaml(value: &str) -> String {
    let plain = value.parse::<i64>().is_ok();
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

/// One line for journals: sign, resource, effect, reason. No content, so no secret.
impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let effect = match self.effect {
            Effect::None => String::new(),
            effect => format!(" [{}]", effect.as_str()),
        };
        let reason = self.reason.replace('\n', " ");
        write!(f, "{} {}{effect} {reason}", self.verb.sign(), self.id)
    }
}

impl Change {
    /// A change by one call, without effect on clients.
    pub fn new(id: Id, verb: Verb, reason: impl Into<String>, order: Order, call: Call) -> Self {
        Self {
            id,
            verb,
            reason: reason.into(),
            effect: Effect::None,
            unnoticed: false,
            drift: None,
            adopt: None,
            diff: None,
            calls: vec![(order, call)],
            cluster_wide: false,
            last: false,
            follows: false,
            ahead: None,
            confirm: None,
        }
    }
}
