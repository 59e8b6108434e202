//! What clients may do, and what they may not: `psql` through PgBouncer, and a stranger on the network.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::cluster::Cluster;
use crate::outsider::{BEYOND, Outsider};

/// Every listening port of every node is tried by a client that is no administrator.
pub const CLIENT: u8 = 200;

struct Psql<'a> {
    authority: &'a Path,
    password: &'a str,
}

impl Psql<'_> {
    fn run(&self, address: &str, database: &str, mode: &str, sql: &str) -> Result<Output> {
        let target = format!(
            "host={address} port=6432 dbname={database} user=app sslmode={mode} sslrootcert={} connect_timeout=5",
            self.authority.display()
        );
        let mut psql = Command::new("psql");
        psql.args(["-XAtqc", sql, &target]).env("PGPASSWORD", self.password).stdin(Stdio::null());
        Ok(psql.output()?)
    }

    fn asks(&self, address: &str, database: &str, sql: &str) -> Result<String> {
        let output = self.run(address, database, "verify-full", sql)?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{address}/{database}: `{sql}`: {errors}");
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn refused(&self, address: &str, mode: &str, because: &str) -> Result<()> {
        let output = self.run(address, "app", mode, "select 1")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(!output.status.success(), "{address} lets in a client with {because}");
        ensure!(!errors.contains("timeout"), "{address} does not answer a client with {because}: {errors}");
        Ok(())
    }
}

/// Who owns a database lays functions in the way of those that `deploy` calls there as the superuser; none of them is called.
pub fn trap(cluster: &mut Cluster) -> Result<String> {
    let authority = cluster.authority()?;
    let password = cluster.secret("postgresql/app")?;
    let psql = Psql { authority: &authority, password: &password };
    let node = cluster.of_kind("app").first().copied().context("no app node")?;
    let address = cluster.address(node);
    let lay = "create schema trap;
        create function trap.to_regclass(text) returns regclass language plpgsql as
            $$begin execute 'alter role app superuser'; return pg_catalog.to_regclass($1); end$$;
        alter database app set search_path = trap, pg_catalog";
    psql.asks(&address, "app", lay)?;
    cluster.settled()?;
    cluster.deploy(&["status"])?;
    // What is made there all the same goes where it belongs.
    let databases =
        "roles: { app: {} }\ndatabases: { app: { owner: app, schemas: [sales], extensions: [pg_trgm] } }";
    cluster.write(&[("postgresql", &cluster.postgresql(databases))])?;
    cluster.deploy(&["apply", "--yes"])?;
    cluster.settled()?;
    let place = "select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm'";
    let place = psql.asks(&address, "app", place)?;
    cluster.write(&[])?;
    ensure!(place == "public", "the extension is in {place}");
    let leader = cluster.leader()?;
    let asked =
        "cd / && runuser -u postgres -- psql -XAtqc \"select rolsuper from pg_roles where rolname = 'app'\"";
    let risen = cluster.on(&leader, asked)?;
    psql.asks(&address, "app", "alter database app reset search_path; drop schema trap cascade")?;
    ensure!(risen == "f", "the role app is a superuser now");
    Ok("functions in the way of PostgreSQL's own were not called".into())
}

/// `psql` with `sslmode=verify-full` on each app node; no way in without TLS or with a wrong password.
pub fn psql(cluster: &mut Cluster) -> Result<String> {
    let authority = cluster.authority()?;
    let password = cluster.secret("postgresql/app")?;
    let psql = Psql { authority: &authority, password: &password };
    let intruder = Psql { authority: &authority, password: "not-the-password" };
    for node in cluster.of_kind("app") {
        let address = cluster.address(node);
        let word = format!("written through {node}");
        psql.asks(
            &address,
            "app",
            "create table if not exists words (word text); create table if not exists nobody (id int)",
        )?;
        psql.asks(&address, "app", &format!("insert into words values ('{word}')"))?;
        let read =
            psql.asks(&address, "app", &format!("select word from words where word = '{word}' limit 1"))?;
        ensure!(read == word, "{node}: read `{read}` instead of `{word}`");
        ensure!(
            psql.asks(&address, "app", "select pg_is_in_recovery()")? == "f",
            "{node}: `app` is no leader"
        );
        ensure!(
            psql.asks(&address, "app_ro", "select pg_is_in_recovery()")? == "t",
            "{node}: `app_ro` is no replica"
        );
        psql.refused(&address, "disable", "no TLS")?;
        intruder.refused(&address, "verify-full", "a wrong password")?;
    }
    Ok("verify-full works on every app node; plaintext and a wrong password do not".into())
}

/// From a client's address PgBouncer, Redis and Sentinel answer, and the ways of HAProxy to databases and to Redis; from an
/// administrator's also SSH and HAProxy's statistics.
pub fn exposure(cluster: &mut Cluster) -> Result<String> {
    let tried = only(cluster, &[5000, 5001, 5002])?;
    ways_out(cluster)?;
    Ok(format!(
        "{tried} ports tried by a client: 6432 of the app nodes and 5000 to 5002 of the managers answer"
    ))
}

/// A node of the lab reaches what it installs packages from, and nothing else outside.
fn ways_out(cluster: &Cluster) -> Result<()> {
    let beyond = Outsider::beyond()?;
    let mut listener = beyond.listen(&[80, 5432])?;
    let node = cluster.names().next().context("no nodes")?;
    let reached = [80, 5432].map(|port| {
        let connect =
            format!("timeout 3 bash -c '</dev/tcp/{BEYOND}/{port}' 2>/dev/null && echo yes || echo no");
        cluster.on(node, &connect)
    });
    listener.kill()?;
    listener.wait()?;
    let [web, other] = reached;
    let (web, other) = (web?, other?);
    ensure!(web == "yes" && other == "no", "outside, port 80 is reached: {web}, port 5432: {other}");
    Ok(())
}

/// Tries every listening port as a client: 6432 and Redis of the app nodes, and `managers` of the managers may answer, also at the
/// virtual address. How many were tried.
pub fn only(cluster: &Cluster, managers: &[u16]) -> Result<usize> {
    let mut listening: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    let mut expected: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for node in cluster.names() {
        let ports = cluster.on(node, "ss -Htln | awk '{print $4}' | sed 's/.*://' | sort -un")?;
        let mut ports: BTreeSet<u16> = ports.lines().filter_map(|port| port.parse().ok()).collect();
        ports.extend([22, 80, 443, 5432, 6379, 6380, 6432, 8008, 26379]);
        listening.insert(cluster.address(node), ports);
    }
    // Beside HAProxy, Redis gives way.
    let (apps, proxies) = (cluster.of_kind("app"), cluster.of_kind("manager"));
    let redis = if apps.iter().any(|node| proxies.contains(node)) { 6380 } else { 6379 };
    for node in apps {
        expected.entry(cluster.address(node)).or_default().extend([redis, 6432]);
    }
    let open = |more: &[u16]| managers.iter().chain(more).copied().collect::<BTreeSet<u16>>();
    for node in proxies {
        expected.entry(cluster.address(node)).or_default().extend(open(&[6379, 26379]));
    }
    if let Some(address) = cluster.virtual_ip() {
        expected.insert(address, open(&[6379]));
    }
    for address in expected.keys() {
        let more = [22, 80, 443, 2379, 5000, 5001, 5002, 6379, 7000, 26379];
        listening.entry(address.clone()).or_default().extend(more);
    }
    let open = Outsider::new(cluster, CLIENT)?.open(&listening)?;
    ensure!(open == expected, "a client reaches {open:?} instead of {expected:?}");
    Ok(listening.values().map(BTreeSet::len).sum())
}
