//! Applications behind HAProxy, served by the role of `examples/own-role`: what requests get, and that none is lost while
//! the live group changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::clients;
use crate::cluster::Cluster;
use crate::outsider::Outsider;

/// Last number of the address of applications, where they have one of their own.
const SECOND: u8 = 101;

/// The two nodes that serve: the first of kind app.
fn servers(cluster: &Cluster) -> Result<[&'static str; 2]> {
    match cluster.of_kind("app")[..] {
        [first, second, ..] => Ok([first, second]),
        _ => bail!("there are not two app nodes"),
    }
}

/// The sections of the inventory.
fn sections([first, second]: [&str; 2]) -> (String, String) {
    let applications = format!(
        "shop:
  hosts: [shop.lab.test]
  port: 8080
  max_connections: 8
  groups: {{ blue: {{ nodes: [{first}] }}, green: {{ nodes: [{second}] }} }}
  live: blue
pair:
  hosts: [pair.lab.test, www.pair.lab.test]
  nodes: [{first}, {second}]
  port: 8081
  sticky: true
  rate_limit: true
  certificate: {{ chain: pair.crt, key: pair.key }}
classic:
  hosts: [classic.lab.test]
  nodes: [{first}, {second}]
  port: 8082
  processes: [9001, 9002]"
    );
    let roles =
        format!("hello:\n  on: [{first}, {second}]\n  settings: {{ ports: [8080, 8081, 9001, 9002] }}");
    (applications, roles)
}

/// A user's own role, a user's own certificate, and three applications; a second run changes nothing.
pub fn deployed(cluster: &mut Cluster) -> Result<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/own-role");
    for folder in ["roles", "templates"] {
        let copied = Command::new("cp")
            .arg("-rT")
            .args([example.join(folder), cluster.dir().join(folder)])
            .status()?;
        ensure!(copied.success(), "cannot copy the role");
    }
    let (applications, roles) = sections(servers(cluster)?);
    certify(cluster, "pair.lab.test", "pair")?;
    certify(cluster, "other.lab.test", "other")?;
    for (files, because) in [
        ("chain: other.crt, key: other.key", "does not vouch for pair.lab.test"),
        ("chain: pair.crt, key: other.key", "is not the key of the certificate"),
    ] {
        let wrong = applications.replace("chain: pair.crt, key: pair.key", files);
        cluster.write(&[("applications", &wrong), ("roles", &roles)])?;
        cluster.refuse(&["plan"], &[because, "cluster.yaml:", "^", "hint:"])?;
    }
    cluster.write(&[("applications", &applications), ("roles", &roles)])?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let tried = clients::only(cluster, &[80, 443, 5000, 5001, 5002])?;
    let certs = cluster.attempt(&["certs", "--json"])?.json()?;
    let own = certs["certificates"].as_array().context("no certificates")?.iter();
    let own: Vec<_> = own.filter(|one| one["own"] == "pair.crt").collect();
    ensure!(
        own.len() == 3 && own.iter().all(|one| one["state"] == "ok"),
        "certs does not know pair.crt: {own:?}"
    );
    let nginx = certs["certificates"].as_array().into_iter().flatten();
    let nginx: Vec<_> = nginx.filter(|one| one["service"] == "nginx").collect();
    ensure!(
        nginx.len() == 2
            && nginx.iter().all(|one| one["served"]["8082"] == one["serial"] && one["state"] == "ok"),
        "certs does not know nginx: {nginx:?}"
    );
    Ok(format!("applied in {:.1} s; {tried} ports tried by a client", apply.seconds))
}

/// A certificate from another authority, beside the inventory.
fn certify(cluster: &Cluster, host: &str, name: &str) -> Result<()> {
    let (chain, key) = (format!("{name}.crt"), format!("{name}.key"));
    let names = format!("subjectAltName=DNS:{host},DNS:www.{host}");
    let subject = format!("/CN={host}");
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90", "-subj", &subject])
        .args(["-addext", &names, "-out", &chain, "-keyout", &key])
        .current_dir(cluster.dir())
        .stderr(Stdio::null())
        .status()?;
    ensure!(made.success(), "openssl made no certificate");
    Ok(())
}

/// A request to a host at the virtual address: its status, head and body.
fn ask(cluster: &Cluster, url: &str, more: &[&str]) -> Result<(String, String)> {
    let address = cluster.virtual_ip().context("the cluster has no virtual address")?;
    let host = url.split('/').nth(2).unwrap_or_default();
    let authority = cluster.authority()?;
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "10", "--noproxy", "*", "--include", "--http1.1"]);
    for port in [80, 443] {
        curl.args(["--resolve", &format!("{host}:{port}:{address}")]);
    }
    let output = curl.arg("--cacert").arg(authority).args(more).arg(url).output()?;
    ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let status = text.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok((status, text.to_ascii_lowercase()))
}

/// Redirect, unknown hosts, forwarding headers, the sticky cookie and the limit on requests.
pub fn requests(cluster: &mut Cluster) -> Result<String> {
    let [first, _] = servers(cluster)?;
    let (status, head) = ask(cluster, "http://shop.lab.test/x?y=1", &[])?;
    ensure!(status == "308" && head.contains("location: https://shop.lab.test/x?y=1"), "no redirect: {head}");
    let (status, _) = ask(cluster, "http://nobody.lab.test/", &[])?;
    ensure!(status == "404", "an unknown host gets {status} on port 80");
    let (status, _) = ask(cluster, "https://nobody.lab.test/", &["--insecure"])?;
    ensure!(status == "421", "an unknown host gets {status} on port 443");
    let spoofed =
        ["-H", "X-Forwarded-For: 192.0.2.66", "-H", "X-Forwarded-Proto: gopher", "-H", "X-Forwarded-Port: 1"];
    let (status, said) = ask(cluster, "https://shop.lab.test/", &spoofed)?;
    let own = format!("x-forwarded-for: {}.1\n", cluster.shape.subnet);
    let server = format!("{first} 8080\n");
    for part in [&own, "x-forwarded-proto: https\n", "x-forwarded-host: shop.lab.test\n", &server] {
        ensure!(status == "200" && said.contains(part), "`{}` is missing: {said}", part.trim());
    }
    ensure!(
        !said.contains("gopher") && !said.contains("192.0.2.66") && !said.contains("x-forwarded-port"),
        "{said}"
    );
    for _ in 0..4 {
        let (status, said) = ask(cluster, "https://classic.lab.test/", &[])?;
        ensure!(
            status == "200" && (said.contains(" 9001\n") || said.contains(" 9002\n")),
            "nginx: {status} {said}"
        );
    }
    // On the way to nginx the request is encrypted, and nothing else is taken.
    let plain = format!(
        "curl -s --max-time 5 -o /dev/null -w '%{{http_code}}' http://{}:8082/",
        cluster.address(first)
    );
    let haproxy = cluster.of_kind("manager").first().copied().context("no manager")?;
    let said = cluster.on(haproxy, &plain)?;
    ensure!(said == "400", "nginx answers plain HTTP with {said}");
    let pair = cluster.dir().join("pair.crt").display().to_string();
    let jar = cluster.dir().join("jar").display().to_string();
    let _ = std::fs::remove_file(&jar);
    let trusting = ["--cacert", &pair, "--cookie-jar", &jar, "--cookie", &jar];
    let by_first = |said: &str| said.contains(&format!("{first} 8081"));
    let (_, begun) = ask(cluster, "https://pair.lab.test/", &trusting)?;
    ensure!(begun.contains("set-cookie: deploy_server=") && begun.contains("secure"), "no cookie: {begun}");
    for _ in 0..6 {
        let (_, next) = ask(cluster, "https://pair.lab.test/", &trusting)?;
        ensure!(by_first(&next) == by_first(&begun), "the cookie does not hold the client: {next}");
    }
    // curl makes 300 requests of it, many at once.
    let (_, said) = ask(cluster, "https://www.pair.lab.test/?[1-300]", &["--cacert", &pair, "--parallel"])?;
    let refused = said.matches("http/1.1 429").count();
    ensure!((1..300).contains(&refused), "{refused} of 300 requests were refused");
    Ok(format!("redirect, 404, 421, forwarding headers, cookie; {refused} of 300 requests at once refused"))
}

/// Full load on the live group, which becomes the other one: every request is answered.
pub fn switched(cluster: &mut Cluster) -> Result<String> {
    let [_, second] = servers(cluster)?;
    cluster
        .refuse(&["app", "shop", "live", "gren", "--yes"], &["no group `gren`", "did you mean `green`"])?;
    cluster.on(second, "systemctl stop hello")?;
    sleep(Duration::from_secs(4));
    let refused =
        cluster.refuse(&["app", "shop", "live", "green", "--yes"], &["no server of green", "hint:"]);
    cluster.on(second, "systemctl start hello")?;
    refused?;
    sleep(Duration::from_secs(3));
    let (switch, said) = under_load(cluster, || cluster.deploy(&["app", "shop", "live", "green", "--yes"]))?;
    ensure!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "requests failed: {said}");
    let count = requested(&said)?;
    for node in cluster.of_kind("manager") {
        let map = cluster.on(node, "cat /etc/haproxy/applications/live.map")?;
        ensure!(map == "shop green", "{node}: {map}");
    }
    let (_, body) = ask(cluster, "https://shop.lab.test/", &[])?;
    ensure!(body.contains(&format!("{second} 8080")), "green does not answer: {body}");
    cluster.settled()?;
    // What was chosen outlives a restart.
    cluster.on_all(&cluster.of_kind("manager"), "systemctl restart haproxy")?;
    cluster.healthy_within(Duration::from_secs(60))?;
    let (_, body) = ask(cluster, "https://shop.lab.test/", &[])?;
    ensure!(body.contains(&format!("{second} 8080")), "blue is back after a restart: {body}");
    Ok(format!("{count} requests, none failed; switched in {:.1} s", switch.seconds))
}

/// What comes of some work while shop is under full load, and what wrk says of its requests.
fn under_load<T>(cluster: &Cluster, work: impl FnOnce() -> Result<T>) -> Result<(T, String)> {
    let address = cluster.virtual_ip().context("the cluster has no virtual address")?;
    let url = format!("https://{address}/");
    let load = Command::new("wrk")
        .args(["-t2", "-c20", "-d120s", "--timeout", "10s", "-H", "Host: shop.lab.test", &url])
        .stdout(Stdio::piped())
        .spawn()?;
    sleep(Duration::from_secs(3));
    let done = work();
    sleep(Duration::from_secs(2));
    let _ = Command::new("kill").args(["-INT", &load.id().to_string()]).status();
    let output = load.wait_with_output()?;
    Ok((done?, String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// How many requests wrk has made.
fn requested(said: &str) -> Result<u64> {
    let count: u64 = said
        .lines()
        .find_map(|line| line.trim().split_once(" requests in ")?.0.parse().ok())
        .with_context(|| format!("wrk counted nothing: {said}"))?;
    ensure!(count > 100, "wrk made {count} requests only");
    Ok(count)
}

/// The groups of an application get other names under full load: no request is led to a group that is not there yet.
pub fn regrouped(cluster: &mut Cluster) -> Result<String> {
    let (applications, roles) = sections(servers(cluster)?);
    let renamed = applications.replace("blue", "black").replace("green", "red");
    cluster.write(&[("applications", &renamed), ("roles", &roles)])?;
    let (apply, said) = under_load(cluster, || cluster.deploy(&["apply", "--yes"]))?;
    ensure!(!said.contains("Non-2xx"), "requests failed: {said}");
    let count = requested(&said)?;
    cluster.settled()?;
    for node in cluster.of_kind("manager") {
        let map = cluster.on(node, "cat /etc/haproxy/applications/live.map")?;
        ensure!(map == "shop black", "{node}: {map}");
    }
    cluster.write(&[("applications", &applications), ("roles", &roles)])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    Ok(format!("{count} requests, none led astray; applied in {:.1} s", apply.seconds))
}

/// A drained node gets no new clients, not even after a reload; the last one is not drained.
pub fn drained(cluster: &mut Cluster) -> Result<String> {
    let [first, second] = servers(cluster)?;
    cluster.refuse(&["app", "shop", "drain", second, "--yes"], &["the last server", "hint:"])?;
    cluster.deploy(&["app", "classic", "drain", first, "--yes"])?;
    let managers = cluster.of_kind("manager");
    for _ in 0..2 {
        for _ in 0..6 {
            let (status, said) = ask(cluster, "https://classic.lab.test/", &[])?;
            let served = said.contains(&format!("\n{second} 900"));
            ensure!(status == "200" && served, "a drained node answers: {said}");
        }
        cluster.settled()?;
        cluster.on_all(&managers, "systemctl reload haproxy")?;
        sleep(Duration::from_secs(2));
    }
    let shown = cluster.deploy(&["app"])?;
    ensure!(shown.stdout.contains("drained"), "the list does not say so: {}", shown.stdout);
    cluster.deploy(&["app", "classic", "ready", first, "--yes"])?;
    let mut back = false;
    for _ in 0..8 {
        back |= ask(cluster, "https://classic.lab.test/", &[])?.1.contains(&format!("\n{first} 900"));
    }
    ensure!(back, "{first} gets no requests again");
    cluster.settled()?;
    Ok("no new client while it is drained, through reloads; back again".into())
}

/// An address for databases and one for applications: each answers on its own ports alone.
pub fn parted(cluster: &mut Cluster) -> Result<String> {
    let (applications, roles) = sections(servers(cluster)?);
    let shared = cluster.virtual_ip().context("the cluster has no virtual address")?;
    let second = format!("{}.{SECOND}", cluster.shape.subnet);
    let both = format!("database: {shared}\napplications: {second}");
    cluster.write(&[("virtual_ip", &both), ("applications", &applications), ("roles", &roles)])?;
    let apply = cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let ports = BTreeSet::from([80, 443, 5000, 5001, 6379]);
    let asked = [&shared, &second].map(|address| (address.clone(), ports.clone()));
    let open = Outsider::new(cluster, clients::CLIENT)?.open(&asked.into())?;
    let wanted =
        BTreeMap::from([(shared, BTreeSet::from([5000, 5001, 6379])), (second, BTreeSet::from([80, 443]))]);
    cluster.write(&[("applications", &applications), ("roles", &roles)])?;
    let back = cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    ensure!(open == wanted, "the addresses answer on {open:?} instead of {wanted:?}");
    Ok(format!("parted in {:.1} s, one address again in {:.1} s", apply.seconds, back.seconds))
}

/// Without one of its machines, the group is switched on the HAProxys that are left; the other takes it over once it is back.
pub fn node_away(cluster: &mut Cluster) -> Result<String> {
    let managers = cluster.of_kind("manager");
    let away = *managers.last().context("there are no managers")?;
    let list = cluster.attempt(&["app", "shop", "--json"])?.json()?;
    let now = list["applications"][0]["live"].as_str().context("shop has no live group")?;
    let other = if now == "blue" { "green" } else { "blue" };
    cluster.lab("kill", &[away])?;
    let chosen = cluster.deploy(&["app", "shop", "live", other, "--yes"]);
    cluster.lab("start", &[away])?;
    let chosen = chosen?;
    ensure!(chosen.stderr.contains(away), "nobody says that {away} is left out: {}", chosen.all());
    cluster.healthy_within(Duration::from_secs(90))?;
    cluster.deploy(&["apply", "--yes"])?;
    for node in managers {
        let map = cluster.on(node, "cat /etc/haproxy/applications/live.map")?;
        ensure!(map == format!("shop {other}"), "{node}: {map}");
    }
    cluster.settled()?;
    Ok(format!("{now} to {other} without {away} in {:.1} s", chosen.seconds))
}

/// Without applications nothing of them is open, and no key of theirs is left.
pub fn gone(cluster: &mut Cluster) -> Result<String> {
    cluster.write(&[])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    for node in cluster.of_kind("manager") {
        let left = cluster.on(node, "find /etc/haproxy/applications -name '*.pem'")?;
        ensure!(left.is_empty(), "{node} keeps {left}");
    }
    cluster.on_all(&cluster.of_kind("app"), "! systemctl is-active --quiet nginx")?;
    let tried = clients::only(cluster, &[5000, 5001, 5002])?;
    Ok(format!("{tried} ports tried by a client"))
}
