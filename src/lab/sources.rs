//! The host's package sources, made to fit a node's release.
//!
//! Nodes install from where the host does: its mirrors, keys, proxies and certificate authorities. Only sources of
//! the host's own release are taken, with their suites renamed; third parties' are left out. A host without any
//! leaves the nodes with mmdebstrap's default.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::spec::Release;
use super::tools::{self, SHORT};

/// Files that a node gets from its host: path and content.
pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// Sources for a release in the deb822 form; empty when the host has none that fit.
pub(super) fn adapted(release: Release) -> String {
    let os_release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let host = os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or_default()
        .trim_matches('"')
        .to_owned();
    let mut files: Vec<PathBuf> = list("/etc/apt/sources.list.d");
    files.insert(0, "/etc/apt/sources.list".into());
    let mut result = String::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let is_deb822 = text.lines().any(|line| field(line, "types").is_some());
        result +=
            &if is_deb822 { adapt_deb822(&text, &host, release) } else { adapt_lines(&text, &host, release) };
    }
    result
}

/// What a node needs besides the sources: keys, certificate authorities, apt's way to the outside.
pub(super) async fn settings(sources: &str) -> Result<Files> {
    let mut files = Files::new();
    let mut take = |path: &Path| {
        if let Ok(content) = fs::read(path) {
            files.insert(path.to_owned(), content);
        }
    };
    for line in sources.lines() {
        for path in
            field(line, "signed-by").unwrap_or_default().split([' ', ',']).filter(|p| p.starts_with('/'))
        {
            take(Path::new(path));
        }
    }
    for dir in ["/etc/apt/trusted.gpg.d", "/etc/apt/mirrors", "/usr/local/share/ca-certificates"] {
        for path in list(dir) {
            take(&path);
        }
    }
    take(Path::new("/etc/ssl/certs/ca-certificates.crt"));
    let dump = tools::run("apt-config", &["dump", "Acquire"], SHORT).await.unwrap_or_default();
    files.insert("/etc/apt/apt.conf.d/90lab".into(), acquire(&dump).into_bytes());
    files.insert("/etc/resolv.conf".into(), resolv_conf().into_bytes());
    if !sources.is_empty() {
        files.insert("/etc/apt/sources.list.d/debian.sources".into(), sources.as_bytes().to_vec());
        files.insert("/etc/apt/sources.list".into(), Vec::new());
    }
    Ok(files)
}

/// The TCP ports that nodes need outside: those of the web, of name servers, and of sources and proxies elsewhere.
pub(super) async fn ports(release: Release) -> BTreeSet<u16> {
    let dump = tools::run("apt-config", &["dump", "Acquire"], SHORT).await.unwrap_or_default();
    let mut ports = BTreeSet::from([53, 80, 443]);
    ports.extend(named_ports(&adapted(release)).chain(named_ports(&acquire(&dump))));
    ports
}

/// The ports that addresses in a text name.
fn named_ports(text: &str) -> impl Iterator<Item = u16> {
    text.split("://").skip(1).filter_map(|rest| {
        let host = rest.split(['/', '"', ' ', '\n']).next()?;
        host.rsplit_once(':')?.1.parse().ok()
    })
}

/// A node's hosts file: its own name as Debian's installer writes it, and what the host knows of others.
pub(super) fn hosts(node: &str) -> String {
    let host = fs::read_to_string("/etc/hosts").unwrap_or_default();
    let others = host.lines().filter(|line| {
        let address: Option<std::net::IpAddr> =
            line.split_whitespace().next().and_then(|word| word.parse().ok());
        address.is_some_and(|address| !address.is_loopback() && !address.is_multicast())
    });
    let own = format!("127.0.0.1 localhost\n127.0.1.1 {node}\n::1 localhost ip6-localhost ip6-loopback\n");
    others.fold(own, |text, line| text + line + "\n")
}

fn list(dir: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Name servers that a node can reach: a resolver on the host's loopback interface is not one.
fn resolv_conf() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let usable = |text: &str| {
        text.lines()
            .any(|line| line.strip_prefix("nameserver").is_some_and(|rest| !rest.trim().starts_with("127.")))
    };
    let own = read("/etc/resolv.conf");
    let text = if usable(&own) { own } else { read("/run/systemd/resolve/resolv.conf") };
    text.lines()
        .filter(|l| !l.trim_start().starts_with("nameserver 127."))
        .fold(String::new(), |t, l| t + l + "\n")
}

/// Keeps of apt's acquire settings those about the way to a mirror.
fn acquire(dump: &str) -> String {
    let ways = ["http", "https", "ftp", "Check-", "Retries", "Queue-Mode", "ForceIPv"];
    let kept = dump.lines().filter(|line| {
        line.strip_prefix("Acquire::").is_some_and(|rest| ways.iter().any(|way| rest.starts_with(way)))
    });
    kept.fold(String::from("Acquire::Languages \"none\";\n"), |text, line| text + line + "\n")
}

fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (key, value) = line.split_once(':')?;
    key.eq_ignore_ascii_case(name).then(|| value.trim())
}

/// A suite of the host's release under the node's name for it.
fn rename(suite: &str, host: &str, release: Release) -> Option<String> {
    let (base, rest) = match suite.split_once(['-', '/']) {
        Some((base, _)) => (base, &suite[base.len()..]),
        None => (suite, ""),
    };
    let known = ["", "-updates", "-security", "/updates", "-backports", "-proposed-updates"].contains(&rest);
    let ours = (!host.is_empty() && base == host) || base == "stable";
    // Backports and proposed updates would make nodes differ from a plain installation.
    let wanted = !["-backports", "-proposed-updates"].contains(&rest);
    let rest = if rest == "/updates" { "-security" } else { rest };
    (known && ours && wanted).then(|| format!("{}{rest}", release.suite()))
}

fn adapt_deb822(text: &str, host: &str, release: Release) -> String {
    let mut result = String::new();
    let lines = text.lines().map(str::trim_end).filter(|line| !line.starts_with('#'));
    let stanzas = lines.collect::<Vec<_>>();
    for stanza in stanzas.split(|line| line.is_empty()).filter(|stanza| !stanza.is_empty()) {
        let value = |name: &str| stanza.iter().find_map(|line| field(line, name)).unwrap_or_default();
        let suites: Vec<String> =
            value("suites").split_whitespace().filter_map(|suite| rename(suite, host, release)).collect();
        let is_main = value("components").split_whitespace().any(|component| component == "main");
        let is_binary = value("types").split_whitespace().any(|kind| kind == "deb");
        if suites.is_empty() || !is_main || !is_binary || value("enabled").eq_ignore_ascii_case("no") {
            continue;
        }
        for line in stanza {
            if field(line, "suites").is_some() {
                let _ = writeln!(result, "Suites: {}", suites.join(" "));
            } else if field(line, "types").is_some() {
                result += "Types: deb\n";
            } else {
                let _ = writeln!(result, "{line}");
            }
        }
        result.push('\n');
    }
    result
}

/// Turns lines of the one-line form into stanzas.
fn adapt_lines(text: &str, host: &str, release: Release) -> String {
    let mut result = String::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ").map(str::trim_start) else { continue };
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let (Some(uri), Some(suite)) = (words.next(), words.next()) else { continue };
        let components: Vec<&str> = words.take_while(|word| !word.starts_with('#')).collect();
        let Some(suite) = rename(suite, host, release) else { continue };
        if !components.contains(&"main") {
            continue;
        }
        let _ = writeln!(
            result,
            "Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: {}",
            components.join(" ")
        );
        for (key, value) in options.split_whitespace().filter_map(|option| option.split_once('=')) {
            let key = match key {
                "signed-by" => "Signed-By",
                "trusted" => "Trusted",
                _ => continue,
            };
            let _ = writeln!(result, "{key}: {value}");
        }
        result.push('\n');
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_follow_the_release() {
        let text = "Types: deb deb-src\n# a note\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates bookworm-backports\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://other.test\nSuites: nodistro\nComponents: main\n";
        assert_eq!(
            adapt_deb822(text, "bookworm", Release::Debian13),
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: trixie trixie-updates\nComponents: main\nSigned-By: /k.gpg\n\n"
        );
    }

    #[test]
    fn the_ports_of_sources_and_proxies_are_read() {
        let text = "URIs: http://mirror.test:3142/debian https://user:word@plain.test/x\nAcquire::http::Proxy \"http://[fd00::1]:8080/\";\n";
        assert_eq!(named_ports(text).collect::<Vec<_>>(), [3142, 8080]);
    }

    #[test]
    fn the_one_line_form_is_understood() {
        let text = "# deb http://x bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.test/security bookworm-security main contrib # note\ndeb http://third.test cloud-bookworm main\n";
        assert_eq!(
            adapt_lines(text, "bookworm", Release::Debian13),
            "Types: deb\nURIs: http://mirror.test/security\nSuites: trixie-security\nComponents: main contrib\nSigned-By: /k.gpg\n\n"
        );
    }

    #[test]
    fn only_the_way_to_a_mirror_is_copied() {
        let dump = "Acquire \"\";\nAcquire::http::Proxy \"http://p.test\";\nAcquire::GzipIndexes \"true\";\nAcquire::IndexTargets::deb \"\";\n";
        assert_eq!(acquire(dump), "Acquire::Languages \"none\";\nAcquire::http::Proxy \"http://p.test\";\n");
    }
}
