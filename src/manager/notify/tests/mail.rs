//! Mail to a real SMTP server that wants STARTTLS and a password.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use crate::manager::notify::NotifySettings;
use crate::runtime::Runtime;

/// Takes one message, and returns what it heard: commands, and the message.
fn serve(listener: &TcpListener, config: Arc<rustls::ServerConfig>) -> String {
    let (mut plain, _) = listener.accept().expect("a connection");
    let mut heard = String::new();
    plain.write_all(b"220 sink\r\n").expect("is sent");
    loop {
        let line = read_line(&mut plain);
        heard.push_str(&line);
        let answer: &[u8] = match line.split_whitespace().next().unwrap_or_default() {
            "EHLO" => b"250-sink\r\n250 STARTTLS\r\n",
            "STARTTLS" => {
                plain.write_all(b"220 go on\r\n").expect("is sent");
                break;
            }
            // Whoever does not want TLS goes away.
            _ => return heard,
        };
        plain.write_all(answer).expect("is sent");
    }
    let connection = rustls::ServerConnection::new(config).expect("TLS");
    let mut stream = BufReader::new(rustls::StreamOwned::new(connection, plain));
    loop {
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line), Ok(count) if count > 0) {
            return heard;
        }
        heard.push_str(&line);
        let word = line.split_whitespace().next().unwrap_or_default().to_owned();
        let answer: &[u8] = match word.as_str() {
            "EHLO" => b"250-sink\r\n250 AUTH PLAIN LOGIN\r\n",
            "AUTH" => b"235 welcome\r\n",
            "DATA" => b"354 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.get_mut().write_all(answer).expect("is sent");
        if word == "DATA" {
            let mut line = String::new();
            while line != ".\r\n" {
                line.clear();
                stream.read_line(&mut line).expect("a line");
                heard.push_str(&line);
            }
            stream.get_mut().write_all(b"250 taken\r\n").expect("is sent");
        }
        if word == "QUIT" {
            return heard;
        }
    }
}

/// Byte by byte: what comes after STARTTLS is not for this.
fn read_line(stream: &mut TcpStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).into_owned()
}

fn send(port: u16, more: &str) -> crate::error::Result<()> {
    let text = format!(
        "[[channels]]\nname = \"mail\"\n[channels.email]\nserver = \"localhost\"\nport = {port}\n\
         user = \"larder\"\npassword = \"hunter2\"\nfrom = \"larder@example.com\"\n\
         to = [\"ann@example.com\", \"Bob <bob@example.com>\"]\n{more}"
    );
    let settings: NotifySettings = toml::from_str(&text).expect("settings");
    settings.try_channel("mail", &Runtime::default())
}

#[test]
fn mail_arrives_over_tls_that_is_trusted_and_not_otherwise() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, made.cert.pem()).expect("is written");
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.expect("a key"))
        .expect("TLS");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serve_two = std::thread::spawn(move || {
        [serve(&listener, Arc::clone(&config)), serve(&listener, config)]
    });
    send(port, &format!("ca-file = {ca_file:?}")).expect("it is taken");
    let error = send(port, "").expect_err("nobody vouches for the server").to_string();
    assert!(error.contains("certificate") && !error.contains("hunter2"), "{error}");
    let [heard, refused] = serve_two.join().expect("ends");
    for want in [
        "MAIL FROM:<larder@example.com>",
        "RCPT TO:<ann@example.com>",
        "RCPT TO:<bob@example.com>",
        "Subject: [larder] a test",
        "Auto-Submitted: auto-generated",
        "messages of larder arrive here",
    ] {
        assert!(heard.contains(want), "{want}: {heard}");
    }
    assert!(!refused.contains("AUTH") && !refused.contains("MAIL"), "{refused}");
}
