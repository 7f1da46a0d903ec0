//! TLS, with an authority that only those know who are told of it.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use crate::machine::Machine;
use crate::servers::{RcloneS3, Server};

/// A server with a certificate by the authority, for these names and until the end of a year.
fn serve(authority: &CertifiedIssuer<'_, KeyPair>, name: &str, end: i32) -> Option<RcloneS3> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
    params.not_after = date_time_ymd(end, 12, 31);
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    RcloneS3::start_with_tls(&certificate.pem(), &key.serialize_pem())
}

#[test]
fn certificates_of_an_own_authority_are_checked() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let Some(server) = serve(&authority, "127.0.0.1", 2090) else { return };
    let mut machine = Machine::plain(server.location("tls"), server.secrets());
    let refused = |machine: &Machine, words: &str| {
        let ran = machine.run("repo init --encryption none");
        assert_eq!(ran.code, 1, "{words}: {}", ran.stderr);
        let why = format!("is not trusted: {words}");
        assert!(ran.stderr.contains(&why) && ran.stderr.contains("hint: "), "{}", ran.stderr);
        assert!(!ran.stderr.contains("does not answer"), "waits for nothing: {}", ran.stderr);
        ran.stderr
    };
    let said = refused(&machine, "it was not issued by anybody this machine trusts");
    assert!(said.contains("SSL_CERT_FILE"), "{said}");

    let file = machine.path("authority.pem");
    fs::write(&file, authority.pem()).expect("writes it");
    machine.secrets.push(("SSL_CERT_FILE".into(), file.display().to_string()));
    machine.ok("repo init --encryption none");
    machine.write("small", 1, 300_000);
    machine.ok("snapshot data --quiet");
    machine.assert_restores("back");

    for (name, end, words) in [
        ("127.0.0.1", 2020, "it has expired, or the clock here is wrong"),
        ("backups.example", 2090, "it is for another name"),
    ] {
        let Some(server) = serve(&authority, name, end) else { return };
        machine.location = server.location("tls");
        refused(&machine, words);
    }
}
