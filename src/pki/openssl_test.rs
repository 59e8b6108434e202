//! What openssl, which most services verify with, makes of our certificates.

use std::fs;
use std::path::Path;
use std::process::Command;

use time::OffsetDateTime;

use super::*;

/// `None` where the machine has no openssl.
fn openssl(dir: &Path, args: &[&str]) -> Option<(bool, String)> {
    let output = Command::new("openssl").current_dir(dir).args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    Some((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}

#[test]
fn openssl_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let (now, mut rng) = (OffsetDateTime::now_utc(), rand::rng());
    let [ours, other] = ["lab", "lab"].map(|name| Authority::create(name, now, 10, &mut rng).unwrap());
    let names = ["m1.example.com", "10.0.0.1", "fd00::1"].map(|name| name.parse().unwrap());
    let server = ours.issue(&LeafRequest::new("etcd m1", names, [Usage::Server]), now, &mut rng).unwrap();
    let client = ours.issue(&LeafRequest::new("replicator", [], [Usage::Client]), now, &mut rng).unwrap();
    let bundle = format!("{}{}", other.certificate_pem(), ours.certificate_pem());
    for (file, text) in [
        ("ca.pem", ours.certificate_pem()),
        ("other.pem", other.certificate_pem()),
        ("bundle.pem", &bundle),
        ("server.pem", &server.certificate_pem),
        ("server.key", server.key.expose()),
        ("client.pem", &client.certificate_pem),
    ] {
        fs::write(dir.path().join(file), text).unwrap();
    }
    let run = |args: &str| openssl(dir.path(), &args.split(' ').collect::<Vec<_>>());
    if run("version").is_none() {
        return;
    }
    let passes = |args: &str| {
        let (passed, text) = run(args).unwrap();
        assert!(passed, "{args}: {text}");
        text
    };
    let fails = |args: &str| assert!(!run(args).unwrap().0, "{args}");
    let verify = "verify -x509_strict -CAfile";

    passes(&format!("{verify} ca.pem ca.pem"));
    for trust in ["ca.pem", "bundle.pem"] {
        for name in ["-verify_hostname m1.example.com", "-verify_ip 10.0.0.1", "-verify_ip fd00::1"] {
            passes(&format!("{verify} {trust} -purpose sslserver {name} server.pem"));
        }
        passes(&format!("{verify} {trust} -purpose sslclient client.pem"));
    }
    fails(&format!("{verify} other.pem server.pem"));
    fails(&format!("{verify} ca.pem -purpose sslclient server.pem"));
    fails(&format!("{verify} ca.pem -purpose sslserver client.pem"));
    fails(&format!("{verify} ca.pem -verify_hostname m2.example.com server.pem"));

    let text = passes("x509 -noout -text -in ca.pem");
    for part in ["CA:TRUE, pathlen:0", "Certificate Sign, CRL Sign", "Subject Key Identifier", "prime256v1"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(
        text.contains("X509v3 Basic Constraints: critical") && text.contains("X509v3 Key Usage: critical")
    );
    let text = passes("x509 -noout -text -in server.pem");
    for part in ["CA:FALSE", "Digital Signature", "TLS Web Server Authentication", "Authority Key Identifier"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("TLS Web Client"));

    let serial = passes("x509 -noout -serial -in server.pem");
    assert_eq!(serial.trim().to_lowercase(), format!("serial={}", server.certificate.serial));
    passes("pkey -in server.key -pubout -outform DER -out server.spki");
    let spki = fs::read(dir.path().join("server.spki")).unwrap();
    assert_eq!(certificate::hex_sha256(&spki), server.certificate.spki_sha256);
}
