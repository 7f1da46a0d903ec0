use std::io::{Read, Write};
use std::net::TcpStream;

use super::*;
use crate::runtime::SystemClock;

fn options(address: &str) -> ListenOptions {
    let address = address.parse().expect("an address");
    ListenOptions { address, tls: None, hosts: vec!["Backup.example".into()], has_somebody: true }
}

fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn serving() -> (SocketAddr, Serving) {
    let listener = Listener::bind(&options("127.0.0.1:0")).expect("listens");
    let address = listener.address();
    let audit = Audit::open(None, std::sync::Arc::new(SystemClock)).expect("opens");
    (address, listener.start(Router::new(), audit).expect("starts"))
}

#[test]
fn other_machines_need_encryption_and_a_login() {
    let refusal = |options: &ListenOptions| match Listener::bind(options) {
        Err(error @ Error::Usage { .. }) => format!("{error}; {}", error.hint().expect("a hint")),
        other => panic!("{:?}", other.map(|listener| listener.address)),
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:0.0.0.0]:0"] {
        assert!(refusal(&options(address)).contains("--tls-cert"), "{address}");
        let folder = tempfile::tempdir().expect("a folder");
        let files = TlsFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let tls = ListenOptions { tls: Some(files), ..options(address) };
        let nobody = ListenOptions { has_somebody: false, ..tls.clone() };
        assert!(refusal(&nobody).contains("larder user add"), "{address}");
        assert!(matches!(Listener::bind(&tls), Err(Error::Local { .. })), "no such files");
    }
}

#[test]
fn requests_for_other_names_are_refused() {
    let (address, serving) = serving();
    let status = |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        ask(address, &request)[9..12].to_owned()
    };
    for host in ["127.0.0.1", "localhost:1", "[::1]", "BACKUP.example.:99", "192.0.2.7"] {
        assert_eq!(status(&format!("host: {host}\r\n")), "200", "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"] {
        assert_eq!(status(&format!("host: {host}\r\n")), "403", "{host}");
    }
    assert_eq!(status(""), "400");
    assert_eq!(status("host: localhost\r\nhost: evil.example\r\n"), "400");
    let absolute =
        "GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    assert_eq!(&ask(address, absolute)[9..12], "403");
    let long = format!(
        "GET /{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(&ask(address, &long)[9..12], "414");
    serving.stop();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn answers_let_browsers_do_nothing() {
    let (address, serving) = serving();
    assert!(serving.is_alive(Duration::from_secs(30)));
    let answer =
        ask(address, "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    let answer = answer.to_ascii_lowercase();
    for line in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "x-frame-options: deny",
        "referrer-policy: no-referrer",
        "cross-origin-opener-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(answer.contains(line), "{line}: {answer}");
    }
}
