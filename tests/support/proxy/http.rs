//! HTTP/1.1 requests, one after the other on each connection.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;

use super::{Pace, Shared, Trouble, end, pass};

/// How the end of a message is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Len(u64),
    Chunked,
    /// It ends with the connection.
    Open,
}

struct Head {
    /// All of it, with the empty line.
    bytes: Vec<u8>,
    first: String,
    body: Body,
}

pub(super) fn serve(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    // Errors are connections that ended, which is what this is for.
    let _ = exchange_all(shared, &client, &server);
    end(&client, &server);
}

fn exchange_all(shared: &Shared, client: &TcpStream, server: &TcpStream) -> io::Result<()> {
    let mut requests = BufReader::new(client);
    let mut answers = BufReader::new(server);
    while let Some(head) = Head::read(&mut requests, Body::Len(0))? {
        let request = head.first.rsplit_once(' ').map_or(&*head.first, |(request, _)| request);
        if !exchange(shared, request, &head, &mut requests, &mut answers)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Passes one request and its answer on; false if the connection ends here.
fn exchange(
    shared: &Shared,
    request: &str,
    head: &Head,
    requests: &mut BufReader<&TcpStream>,
    answers: &mut BufReader<&TcpStream>,
) -> io::Result<bool> {
    let (mut client, mut server) = (*requests.get_ref(), *answers.get_ref());
    let trouble = shared.trouble_of(request);
    let mut pace = Pace::default();
    match trouble {
        Some(Trouble::Cut) => return Ok(false),
        Some(Trouble::Stall) => shared.stall(),
        Some(Trouble::Delay(wait)) => thread::sleep(wait),
        Some(Trouble::Slow(rate)) => pace = Pace(Some(rate)),
        Some(Trouble::Answer(status)) => {
            pass_body(requests, &mut io::sink(), head.body, pace)?;
            return answer(client, request, status, "").map(|()| true);
        }
        Some(Trouble::AnswerLater(status, seconds)) => {
            pass_body(requests, &mut io::sink(), head.body, pace)?;
            let header = format!("Retry-After: {seconds}\r\n");
            return answer(client, request, status, &header).map(|()| true);
        }
        Some(Trouble::HalfRequest) => {
            server.write_all(&head.bytes)?;
            if let Body::Len(len) = head.body {
                pass(requests, &mut server, Some(len / 2), pace)?;
            }
            return Ok(false);
        }
        Some(Trouble::LoseAnswer | Trouble::HalfAnswer) | None => {}
    }
    server.write_all(&head.bytes)?;
    pass_body(requests, &mut server, head.body, pace)?;
    let Some(answer) = Head::read(answers, Body::Open)? else { return Ok(false) };
    let is_empty = request.starts_with("HEAD ")
        || [" 204 ", " 304 "].iter().any(|status| answer.first.contains(status));
    let body = if is_empty { Body::Len(0) } else { answer.body };
    match trouble {
        Some(Trouble::LoseAnswer) => {
            pass_body(answers, &mut io::sink(), body, pace)?;
            return Ok(false);
        }
        Some(Trouble::HalfAnswer) => {
            let half = answer.bytes.len() / 2;
            match body {
                Body::Len(len @ 2..) => {
                    client.write_all(&answer.bytes)?;
                    pass(answers, &mut client, Some(len / 2), pace)?;
                }
                _ => client.write_all(&answer.bytes[..half])?,
            }
            return Ok(false);
        }
        _ => {}
    }
    client.write_all(&answer.bytes)?;
    pass_body(answers, &mut client, body, pace)?;
    Ok(body != Body::Open)
}

/// An answer of the proxy's own.
fn answer(mut client: &TcpStream, request: &str, status: u16, headers: &str) -> io::Result<()> {
    let (reason, code) = match status {
        429 => ("Too Many Requests", "TooManyRequests"),
        503 => ("Service Unavailable", "SlowDown"),
        _ => ("Internal Server Error", "InternalError"),
    };
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{reason}\
         </Message></Error>"
    );
    let len = text.len();
    let body = if request.starts_with("HEAD ") { "" } else { &*text };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/xml\r\nContent-Length: {len}\r\n\
         {headers}\r\n"
    );
    client.write_all(format!("{head}{body}").as_bytes())
}

impl Head {
    /// Reads up to the empty line; `None` if the connection ended before. `otherwise` is the body
    /// of a message that does not speak of it.
    fn read(from: &mut impl BufRead, otherwise: Body) -> io::Result<Option<Self>> {
        let (mut bytes, mut first, mut body) = (Vec::new(), String::new(), otherwise);
        loop {
            let mut line = Vec::new();
            from.read_until(b'\n', &mut line)?;
            if line.is_empty() {
                return Ok(None);
            }
            bytes.extend_from_slice(&line);
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(Some(Self { bytes, first, body }));
            }
            if first.is_empty() {
                first = line.to_owned();
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            let value = value.trim();
            match &*name.to_ascii_lowercase() {
                "content-length" => body = value.parse().map_or(otherwise, Body::Len),
                "transfer-encoding" => body = Body::Chunked,
                _ => {}
            }
        }
    }
}

fn pass_body(
    from: &mut impl BufRead,
    to: &mut impl Write,
    body: Body,
    pace: Pace,
) -> io::Result<()> {
    match body {
        Body::Len(len) => pass(from, to, Some(len), pace),
        Body::Open => pass(from, to, None, pace),
        Body::Chunked => loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            to.write_all(line.as_bytes())?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            // The line end after a chunk, or after the last one an empty line: no trailers.
            pass(from, to, Some(size + 2), pace)?;
            if size == 0 {
                return Ok(());
            }
        },
    }
}

impl Shared {
    /// Counts a request for every fault. What goes wrong with it.
    fn trouble_of(&self, request: &str) -> Option<Trouble> {
        let mut state = self.state.lock();
        state.requests.push(request.to_owned());
        let mut found = None;
        for (rule, seen, hits) in &mut state.rules {
            if !rule.holds.iter().all(|word| request.contains(word)) {
                continue;
            }
            *seen += 1;
            if *seen >= rule.nth && *hits < rule.times && found.is_none() {
                *hits += 1;
                found = Some(rule.trouble);
            }
        }
        drop(state);
        found.inspect(|_| self.hit())
    }
}
