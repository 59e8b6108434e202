//! Every error that a user can meet without a network, as it is shown: `tests/gallery/` has the transcripts.
//!
//! Read one as somebody would who has never seen `deploy`: does it say what is wrong, where, and what to do?

use std::collections::BTreeSet;

use super::*;

/// Errors without a hint, each with the reason.
const NO_HINT: [(&str, &str); 4] = [
    ("command-mistyped", "clap says it in words of its own"),
    ("command-option-unknown", "clap says it in words of its own"),
    ("inventory-empty", "it says what an inventory is"),
    ("inventory-not-yaml", "what is wrong with it stands in its place"),
];

/// Files to write, what to run with which variables, and with what on standard input.
#[derive(Default)]
struct Scene {
    name: &'static str,
    files: Vec<(&'static str, String)>,
    /// `init` comes first.
    begun: bool,
    env: Vec<(&'static str, String)>,
    words: &'static [&'static str],
    input: &'static str,
}

fn scene(name: &'static str, words: &'static [&'static str]) -> Scene {
    Scene { name, words, ..Scene::default() }
}

impl Scene {
    fn file(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.files.push((name, text.into()));
        self
    }

    /// The inventory of three nodes, and more.
    fn inventory(self, more: &str) -> Self {
        let nodes =
            (1..=3).map(|n| format!("  n{n}: {{ kind: [manager, worker, app], address: 10.0.0.1{n} }}\n"));
        let text = format!("name: shop\nnodes:\n{}{more}", nodes.collect::<String>());
        self.file("cluster.yaml", text)
    }

    /// With an identity and a store, which `init` makes before files of the same names are written.
    fn store(mut self) -> Self {
        self.begun = true;
        self
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    fn input(mut self, text: &'static str) -> Self {
        self.input = text;
        self
    }

    /// The command, what it said on standard error, and its exit code; what differs from run to run is replaced.
    fn played(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let write = |name: &str, text: &str| {
            let path = here.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let (inventory, others): (Vec<_>, Vec<_>) =
            self.files.iter().partition(|(name, _)| *name == "cluster.yaml");
        for (name, text) in inventory {
            write(name, text);
        }
        if self.begun {
            printed(&["init", "."], here);
        }
        for (name, text) in others {
            write(name, text);
        }
        let mut command = command(self.words, here);
        for variable in ["VISUAL", "EDITOR", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // What ends before it reads has closed its end.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), self.input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = text(&output.stderr).replace(here.to_str().unwrap(), "/home/ann/shop");
        let words: Vec<String> =
            self.words.iter().map(|word| shlex::try_quote(word).unwrap().into_owned()).collect();
        let code = output.status.code().unwrap();
        format!("$ deploy {}\n{}[exit {code}]\n", words.join(" "), without_keys(&said))
    }
}

/// The same with one key in the place of every public key of age.
fn without_keys(text: &str) -> String {
    let mut parts = text.split("age1");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        out.push_str(if part.len() - rest.len() == 58 { "age1…" } else { "age1" });
        out.push_str(if part.len() - rest.len() == 58 { rest } else { part });
    }
    out
}

/// A key of somebody else.
const OTHER: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

/// A text sealed to whoever holds this identity, and that identity.
fn sealed(inside: &str) -> (String, String) {
    let identity = age::x25519::Identity::generate();
    let text = age::encrypt_and_armor(&identity.to_public(), inside.as_bytes()).unwrap();
    let key = age::secrecy::ExposeSecret::expose_secret(&identity.to_string()).to_owned();
    (text, key)
}

const ROLE: &str = "role: hello\ntitle: hello\nphase: services\nkinds: [app]\n";
const FILE: &str = "files: [{ path: /etc/hello, template: hello/hello.j2 }]\n";
const SSH: &str = "ssh: { connect_timeout: 2, config: ssh_config, reuse: 0 }\n";
/// Every node is a port where nobody listens.
const REFUSED: &str = "Host *\n  HostName 127.0.0.1\n  Port 1\n";
const SHOP: &str = "applications:\n  shop:\n    hosts: [shop.example.org]\n    nodes: [n1]\n    port: 8080\n    certificate: { chain: shop.pem, key: shop.key }\n";
const GROUPS: &str = "applications:\n  shop:\n    hosts: [shop.example.org]\n    port: 8080\n    groups: { blue: { nodes: [n1] }, green: { nodes: [n2] } }\n    live: blue\n";

/// What is wrong with what the user wrote.
fn written() -> Vec<Scene> {
    let render: &[&str] = &["render", ".", "--out", "out"];
    let role = |name, manifest: &str| scene(name, render).inventory("").file("roles/hello.yaml", manifest);
    vec![
        scene("inventory-missing", &["plan", "nowhere"]),
        scene("inventory-missing-in-folder", &["plan", "."]),
        scene("inventory-empty", &["plan", "."]).file("cluster.yaml", ""),
        scene("inventory-not-yaml", &["plan", "."]).file("cluster.yaml", "name: shop\nnodes: [n1\n"),
        scene("inventory-several-errors", &["plan", "."]).inventory(
            "postgresql:\n  max_conections: 100\npatroni:\n  failover: quick\naccess:\n  admin: [10.0.0.300/8]\n",
        ),
        scene("validate-several-errors", &["validate", "."])
            .inventory("postgresql:\n  max_conections: 100\npatroni:\n  failover: quick\n")
            .file("deploy.identity", "not looked at\n"),
        scene("inventory-role-unknown", &["plan", "."]).inventory("roles:\n  postgres: { on: [n1] }\n"),
        scene("inventory-recipient", &["plan", "."]).inventory("trust: { recipients: [ann] }\n"),
        scene("inventory-secret-unused", &["plan", "."])
            .inventory("secrets:\n  postgresql/ap: { env: APP_PASSWORD }\n"),
        scene("certificate-missing", render).inventory(SHOP),
        scene("certificate-damaged", render).inventory(SHOP).file("shop.pem", "x\n").file("shop.key", "y\n"),
        role("role-field-unknown", &format!("{ROLE}port: 80\n")),
        role("role-of-another-name", &ROLE.replace("role: hello", "role: hallo")),
        role("role-phase-unknown", &ROLE.replace("services", "service")),
        role("role-peer-unknown", &format!("{ROLE}ports: [{{ name: hello, port: 80, from: [client] }}]\n")),
        role("template-missing", &format!("{ROLE}{FILE}")),
        role("template-syntax", &format!("{ROLE}{FILE}"))
            .file("templates/hello/hello.j2", "one\n{% for a in b %}\n"),
        role("template-variable-unknown", &format!("{ROLE}{FILE}"))
            .file("templates/hello/hello.j2", "one\n{{ node.nam }}\n"),
        scene("render-into-a-file", &["render", ".", "--out", "cluster.yaml/out"]).inventory(""),
        scene("init-in-a-file", &["init", "cluster.yaml"]).inventory(""),
        scene("init-name-unfit", &["init", "new", "--name", "My Shop"]),
        scene("init-recipient-unfit", &["init", "."]).inventory("trust: { recipients: [age1x] }\n"),
        scene("init-beside-a-bad-inventory", &["init", "."]).inventory("nodez: {}\n"),
    ]
}

/// The store, identities and secrets.
fn secret() -> Vec<Scene> {
    let list: &[&str] = &["secrets", "list", "."];
    let store = |name, text: String| scene(name, list).inventory("").store().file("secrets.age", text);
    let with_key = |name, inside: &str| {
        let (text, key) = sealed(inside);
        store(name, text).env("DEPLOY_IDENTITY", key)
    };
    let half = sealed("x").0;
    let conflict = format!("<<<<<<< HEAD\n{half}=======\n{half}>>>>>>> branch\n");
    let outside = |name, source: &str| {
        scene(name, &["plan", "."]).inventory(&format!("secrets:\n  postgresql/app: {source}\n")).store()
    };
    vec![
        scene("store-missing", &["plan", "."]).inventory(""),
        store("store-cut-short", half[..half.len() / 2].to_owned()),
        store("store-empty", String::new()),
        store("store-not-encrypted", "version: 1\n".into()),
        store("store-merge-conflict", conflict),
        with_key(
            "store-of-another-cluster",
            "version: 1\ncluster: market\nrecipients: [age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z]\nsecrets: {}\n",
        ),
        with_key("store-of-another-version", "version: 7\n"),
        with_key("store-contents", "version: 1\ncluster: shop\nsecrets:\n  a: [x]\n"),
        scene("store-wrong-identity", list).inventory("").store().env("DEPLOY_IDENTITY", OTHER),
        scene("store-no-identity", list).inventory("").file("secrets.age", half.clone()),
        scene("identity-missing", &["--identity", "ann.key", "secrets", "list", "."]).inventory("").store(),
        scene("identity-damaged", list).inventory("").store().env("DEPLOY_IDENTITY", "AGE-SECRET-KEY-1X"),
        scene("identity-public", list)
            .inventory("")
            .store()
            .env("DEPLOY_IDENTITY", "age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z"),
        scene("rekey-nobody", &["secrets", "rekey", "."]).inventory("").store(),
        scene("store-sealed-to-others", list)
            .inventory(
                "trust: { recipients: [age1lvyvwawkr0mcnnnncaghunadrqkmuf9e6507x9y920xxpp866cnql7dp2z] }\n",
            )
            .store(),
        scene("secret-unknown", &["secrets", "show", ".", "postgresql/ap"]).inventory("").store(),
        scene("secret-without-value", &["secrets", "show", ".", "postgresql/app"]).inventory("").store(),
        scene("secret-set-to-nothing", &["secrets", "set", ".", "postgresql/app"]).inventory("").store(),
        scene("secret-set-to-lines", &["secrets", "set", ".", "postgresql/app"])
            .inventory("")
            .store()
            .input("one\ntwo\n"),
        scene("secret-set-from-outside", &["secrets", "set", ".", "postgresql/app"])
            .inventory("secrets: { postgresql/app: { env: APP } }\n")
            .store()
            .input("x\n"),
        scene("secret-rotate-unknown", &["secrets", "rotate", ".", "postgresql/ap", "--yes"])
            .inventory("")
            .store(),
        scene("secret-editor-missing", &["secrets", "edit", "."])
            .inventory("")
            .store()
            .env("EDITOR", "no-such-editor"),
        scene("secret-editor-failed", &["secrets", "edit", "."]).inventory("").store().env("EDITOR", "false"),
        outside("secret-variable-unset", "{ env: NOT_SET_ANYWHERE }"),
        outside("secret-command-failed", "{ command: [sh, -c, 'echo permission denied >&2; exit 2'] }"),
        outside("secret-command-missing", "{ command: [no-such-vault, get] }"),
        outside("secret-command-said-nothing", "{ command: ['true'] }"),
    ]
}

/// What a pipeline passes on, and what is asked for.
fn asked() -> Vec<Scene> {
    let apply: &[&str] = &["apply", ".", "--plan", "plan.age"];
    let plan = |name, inside: &str| {
        let key = age::x25519::Identity::generate();
        let public = format!("trust: {{ recipients: [{}] }}\n", key.to_public());
        let text = age::encrypt_and_armor(&key.to_public(), inside.as_bytes()).unwrap();
        let key = age::secrecy::ExposeSecret::expose_secret(&key.to_string()).to_owned();
        (scene(name, apply).inventory(&public).file("plan.age", text), key)
    };
    // `init` seals the store to whoever the inventory names: the key opens both.
    let opened = |(scene, key): (Scene, String)| scene.store().env("DEPLOY_IDENTITY", key);
    let shop = |name, words| scene(name, words).inventory("").store();
    vec![
        shop("plan-file-missing", apply),
        shop("plan-file-not-sealed", apply).file("plan.age", "{}\n"),
        shop("plan-file-of-somebody-else", apply).file("plan.age", sealed("{}").0),
        opened(plan("plan-file-no-plan", "hello")),
        opened(plan("plan-file-not-whole", "{ \"format\": 2 }")),
        opened(plan("plan-file-of-another-version", "{ \"format\": 99 }")),
        shop("select-node-unknown", &["plan", ".", "--on", "n1,w2"]),
        shop("select-role-unknown", &["plan", ".", "--on", "@patrony"]),
        shop("select-nothing", &["plan", ".", "--on", "n1,!n*"]),
        shop("select-phase-unknown", &["plan", ".", "--phase", "etc"]),
        shop("certs-node-unknown", &["certs", "renew", ".", "--on", "w1"]),
        shop("certs-pattern-unknown", &["certs", "renew", ".", "--on", "@patrony"]),
        shop("certs-service-unknown", &["certs", "renew", ".", "--service", "redi"]),
        shop("certs-no-authority", &["certs", "ca", "."]),
        scene("app-unnamed", &["app", ".", "live", "green"]).inventory(GROUPS).store(),
        shop("app-unnamed-of-none", &["app", ".", "drain", "n1"]),
        shop("app-unknown", &["app", ".", "shop", "drain", "n1"]),
        shop("redis-node-unknown", &["redis", "failover", ".", "--to", "n4"]),
        scene("redis-unreachable", &["redis", "failover", "."])
            .inventory(SSH)
            .store()
            .file("ssh_config", REFUSED),
        scene("redis-disabled", &["redis", "failover", "."]).inventory("redis: { enabled: false }\n").store(),
        shop("log-unwritable", &["--log", "logs/run.log", "plan", "."]),
        shop("trace-unwritable", &["--trace", "traces/run", "plan", "."]),
        shop("plan-out-unwritable", &["plan", ".", "--out", "plans/plan.age"]),
        shop("plan-out-into-a-folder", &["plan", ".", "--out", "./plans"]).file("plans/old.age", ""),
        shop("plan-out-into-the-store", &["plan", ".", "--out", "secrets.age"]),
        shop("plan-json-into-the-inventory", &["plan", ".", "--json-into", "./cluster.yaml"]),
        shop("trace-into-an-identity", &["--trace", "deploy.identity", "certs", "renew", "."]),
        shop("log-into-the-inventory", &["status", ".", "--log", "cluster.yaml"]),
        shop("plan-json-unwritable", &["plan", ".", "--json-into", "plans/plan.json"]),
        scene("lab-node-unknown", &["lab", "exec", ".", "w1", "true"]).inventory(""),
        scene("lab-ipv6", &["lab", "status", "."]).file(
            "cluster.yaml",
            "name: shop\nnodes:\n  n1: { kind: [manager, worker, app], address: fd00::11 }\n  n2: { kind: [manager, worker, app], address: fd00::12 }\n  n3: { kind: [manager, worker, app], address: fd00::13 }\n",
        ),
        scene("ssh-files-missing", &["check", "."])
            .inventory("ssh: { config: ssh_config, key: keys/shop }\n")
            .store(),
        scene("nodes-unreachable", &["plan", "."])
            .inventory(SSH)
            .store()
            .file("ssh_config", REFUSED),
        scene("verify-unreachable", &["verify", "."]).inventory(SSH).store().file("ssh_config", REFUSED),
        scene("history-unreachable", &["history", "show", ".", "20260101T000000Z-0000"])
            .inventory(SSH)
            .store()
            .file("ssh_config", REFUSED),
        scene("command-mistyped", &["aply", "."]),
        scene("command-option-unknown", &["plan", ".", "--detailed-exitcodes"]),
    ]
}

#[test]
fn every_error_is_as_it_is_kept_and_leads_on() {
    let folder = root().join("tests/gallery");
    std::fs::create_dir_all(&folder).unwrap();
    let mut names = BTreeSet::new();
    let mut bad = String::new();
    for scene in written().into_iter().chain(secret()).chain(asked()) {
        let transcript = scene.played();
        hold_at(&folder.join(format!("{}.txt", scene.name)), &transcript);
        let said: Vec<&str> = transcript.lines().skip(1).collect();
        let leads_on = said.iter().any(|line| line.starts_with("hint: "));
        let (ends, exempt) =
            (!transcript.ends_with("[exit 0]\n"), NO_HINT.iter().any(|(name, _)| *name == scene.name));
        // A word in quotes, a path, an option, a variable, the input or a node: where to look.
        let place = ["`", "/", ".yaml", "--", "DEPLOY_", "standard input", " n1: "]
            .iter()
            .any(|sign| said.join(" ").contains(sign));
        if !said[0].starts_with("error: ") || leads_on == exempt || !ends || !place {
            bad.push_str(&transcript);
        }
        assert!(names.insert(format!("{}.txt", scene.name)), "{} twice", scene.name);
    }
    assert!(bad.is_empty(), "these do not begin with `error:`, name no place, or lead nowhere:\n{bad}");
    let kept =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.collect::<BTreeSet<String>>(), names, "transcripts that no scene plays any more");
}
