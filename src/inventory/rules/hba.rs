//! Lines of `pg_hba.conf`. One that PostgreSQL cannot read is a server that does not start again, so nothing doubtful gets there.

use std::net::IpAddr;

use super::names::is_one_line;
use crate::inventory::wording::{listed, quoted};

const CONNECTIONS: [&str; 4] = ["local", "host", "hostssl", "hostnossl"];
const METHODS: [&str; 11] =
    ["reject", "scram-sha-256", "cert", "peer", "ldap", "radius", "gss", "pam", "md5", "password", "ident"];
/// Methods that need one of these options.
const NEEDS: [(&str, &[&str]); 3] =
    [("ldap", &["ldapserver", "ldapurl"]), ("radius", &["radiusservers"]), ("radius", &["radiussecrets"])];
const OPTIONS: [&str; 25] = [
    "map",
    "clientcert",
    "clientname",
    "include_realm",
    "krb_realm",
    "compat_realm",
    "upn_username",
    "pamservice",
    "pam_use_hostname",
    "ldapurl",
    "ldaptls",
    "ldapscheme",
    "ldapserver",
    "ldapport",
    "ldapbinddn",
    "ldapbindpasswd",
    "ldapsearchattribute",
    "ldapsearchfilter",
    "ldapbasedn",
    "ldapprefix",
    "ldapsuffix",
    "radiusservers",
    "radiusports",
    "radiussecrets",
    "radiusidentifiers",
];

/// What is wrong with a line, and what to do.
type Wrong = (String, String);

/// What is wrong with a line of `pg_hba.conf`.
pub fn check(line: &str) -> Option<Wrong> {
    if !is_one_line(line) {
        return Some((
            "a `pg_hba.conf` line must be one line".into(),
            "give each line an item of its own".into(),
        ));
    }
    let Some(fields) = fields(line) else {
        let message = format!("{} has a quotation mark that is not closed", quoted(line));
        return Some((message, "close it in the same line".into()));
    };
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    read(line, &fields).err()
}

/// Goes through the fields from left to right.
fn read(line: &str, fields: &[&str]) -> Result<(), Wrong> {
    let Some((&kind, rest)) = fields.split_first().filter(|(kind, _)| CONNECTIONS.contains(kind)) else {
        let message = format!("{} does not begin with a type of connection", quoted(line));
        return Err((message, format!("begin with {}", listed(CONNECTIONS, "or"))));
    };
    let incomplete = || {
        let shape = if kind == "local" {
            "local DATABASE USER METHOD"
        } else {
            "hostssl DATABASE USER ADDRESS METHOD"
        };
        (format!("{} is not a complete `pg_hba.conf` line", quoted(line)), format!("write `{shape}`"))
    };
    // Database and user.
    let mut rest = rest.get(2..).ok_or_else(incomplete)?;
    if kind != "local" {
        let taken = address(rest).map_err(|why| {
            let message = format!("{} does not say from where: {why}", quoted(line));
            let hint = "write a network as `10.0.0.0/8`, an address and its mask, a host name, `samenet`, `samehost` or `all`";
            (message, hint.to_owned())
        })?;
        rest = rest.get(taken..).ok_or_else(incomplete)?;
    }
    let (&method, options) = rest.split_first().ok_or_else(incomplete)?;
    if method == "trust" {
        let message = format!("{} lets anyone in without a password", quoted(line));
        return Err((message, "use `scram-sha-256`, `cert` or, for `local`, `peer`".into()));
    }
    if !METHODS.contains(&method) {
        let message = format!("{}: {} is no method", quoted(line), quoted(method));
        return Err((message, format!("use {}", listed(METHODS, "or"))));
    }
    let misplaced = match method {
        "peer" if kind != "local" => Some("`local`"),
        "cert" if kind != "hostssl" => Some("`hostssl`"),
        "gss" if kind == "local" => Some("`host` and `hostssl`"),
        _ => None,
    };
    if let Some(place) = misplaced {
        let message = format!("{}: {} is a method for {place} alone", quoted(line), quoted(method));
        return Err((message, "take another method, or another type of connection".into()));
    }
    let names = options.iter().map(|option| option.split_once('=').map_or(*option, |(name, _)| name));
    let names: Vec<&str> = names.collect();
    for (option, name) in options.iter().zip(&names) {
        if !option.contains('=') || !OPTIONS.contains(name) {
            let message = format!("{}: {} is no option of a method", quoted(line), quoted(option));
            return Err((message, "options stand behind the method, each as `name=value`".into()));
        }
    }
    if names.contains(&"clientcert") && kind != "hostssl" {
        let message = format!("{}: `clientcert` is for `hostssl` alone", quoted(line));
        return Err((message, "write `hostssl` in front".into()));
    }
    for (_, needed) in NEEDS.iter().filter(|(name, _)| *name == method) {
        if !names.iter().any(|name| needed.contains(name)) {
            let message = format!("{}: {} does not say where to ask", quoted(line), quoted(method));
            return Err((message, format!("give it {}", listed(needed.iter().copied(), "or"))));
        }
    }
    Ok(())
}

/// How many of the fields are the address: two where a mask follows.
fn address(fields: &[&str]) -> Result<usize, String> {
    let Some(&field) = fields.first() else { return Ok(0) };
    if ["all", "samehost", "samenet"].contains(&field) {
        return Ok(1);
    }
    if let Some((address, bits)) = field.split_once('/') {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return Err(format!("{} is not an address", quoted(address))),
        };
        let fits = bits.parse::<u8>().is_ok_and(|bits| bits <= most);
        return if fits { Ok(1) } else { Err(format!("a mask has 0 to {most} bits, not {}", quoted(bits))) };
    }
    if let Ok(address) = field.parse::<IpAddr>() {
        let mask = fields.get(1).and_then(|mask| mask.parse::<IpAddr>().ok());
        return match mask {
            Some(mask) if mask.is_ipv4() == address.is_ipv4() => Ok(2),
            _ => Err(format!("behind {} its mask is missing", quoted(field))),
        };
    }
    let letters = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if field.chars().all(letters) && field.contains(|c: char| c.is_ascii_alphabetic()) {
        return Ok(1);
    }
    Err(format!("{} is not an address", quoted(field)))
}

/// The fields of a line up to its comment, as PostgreSQL takes it apart: white space in quotes or behind a comma parts
/// nothing. `None` where a quotation mark is not closed.
fn fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quote) = (Vec::new(), String::new(), false);
    for c in line.chars() {
        match c {
            '#' if !quote => break,
            '"' => quote = !quote,
            ' ' | '\t' if !quote => {
                if !field.is_empty() && !field.ends_with(',') {
                    fields.push(std::mem::take(&mut field));
                }
                continue;
            }
            _ => {}
        }
        field.push(c);
    }
    if !field.is_empty() {
        fields.push(field);
    }
    (!quote).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn lines_that_postgresql_reads() {
        for good in [
            "hostssl all all 10.0.0.0/8 scram-sha-256",
            "hostssl app app 10.0.0.5/8 scram-sha-256",
            "hostssl app app 10.0.0.0 255.0.0.0 cert clientcert=verify-full",
            "hostssl \"my db\", other +readers fd00::/8 cert map=people # people",
            "host all all .example.org reject",
            "host all all ::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff md5",
            "host all all 0.0.0.0/0 ldap ldapurl=\"ldaps://ldap.example.org/dc=example?uid\"",
            "local all postgres peer # the admin",
            "local all all scram-sha-256",
            "hostnossl all all all reject",
            "hostssl replication all samenet scram-sha-256",
        ] {
            assert_eq!(check(good), None, "{good}");
        }
    }

    #[test]
    fn lines_that_it_does_not_read_or_that_let_anyone_in() {
        for bad in [
            "",
            "# comment",
            "hostsll all all all reject",
            "host all all",
            "host all all 10.0.0.0/8",
            "host all all 10.0.0.0/8 trust",
            "host all all 10.0.0.0 255.0.0.0 trust",
            "local all all trust",
            "host a b c\nhost d",
            "hostssl all all 10.0.0.0/33 scram-sha-256",
            "hostssl all all ::/129 scram-sha-256",
            "hostssl all all 10.0.0.0 scram-sha-256",
            "hostssl all all 10.0.0.0 ff00:: scram-sha-256",
            "hostssl all all 999.0.0.0/8 scram-sha-256",
            "hostssl all all 999.0.0.0 scram-sha-256",
            "hostssl all all example.org/8 scram-sha-256",
            "hostssl all all 10.0.0.0/8 ldap",
            "hostssl all all 10.0.0.0/8 radius radiusservers=10.0.0.1",
            "hostssl all all 10.0.0.0/8 scram-sha-256 foo=bar",
            "hostssl all all ::/0 reject extra",
            "hostssl all all 10.0.0.0/8 peer",
            "host all all 10.0.0.0/8 cert",
            "host all all 10.0.0.0/8 md5 clientcert=verify-ca",
            "local all all gss",
            "local \"all all peer",
        ] {
            assert!(check(bad).is_some(), "{bad}");
        }
    }
}
