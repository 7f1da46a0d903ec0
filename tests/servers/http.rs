//! The least of HTTP: one request on a connection of its own. Tests set up services with it and
//! look at them by another way than the one that is tested.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it goes on the wire: escaped, with `?` and what follows.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let (method, target) = (method.into(), target.into());
        Self { method, target, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it to this port of 127.0.0.1.
    ///
    /// # Errors
    /// If no answer comes.
    pub(crate) fn send(&self, port: u16) -> Result<Response, String> {
        self.exchange(port).map_err(|error| format!("{} {}: {error}", self.method, self.target))
    }

    fn exchange(&self, port: u16) -> Result<Response, String> {
        let problem = |error: std::io::Error| error.to_string();
        let address = ([127, 0, 0, 1], port).into();
        let mut stream =
            TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(problem)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(problem)?;
        // Version 1.0: the answer ends with the connection, and comes in one piece.
        let mut head =
            format!("{} {} HTTP/1.0\r\nhost: 127.0.0.1:{port}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        stream.write_all(head.as_bytes()).map_err(problem)?;
        stream.write_all(&self.body).map_err(problem)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).map_err(problem)?;
        Response::parse(&answer)
            .ok_or_else(|| format!("a strange answer of {} bytes", answer.len()))
    }
}

impl Response {
    fn parse(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&answer[..end]).ok()?;
        let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = first.split(' ').nth(1)?.parse().ok()?;
        let headers = rest.lines().filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Some(Self { status, headers: headers.collect(), body: answer[end + 4..].to_vec() })
    }

    /// The value of a header, by its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What stands between `<name>` and `</name>`, the first time.
    pub(crate) fn element(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
    }

    /// Itself, if it says that all is well.
    ///
    /// # Errors
    /// Its status and text otherwise.
    pub(crate) fn ok(self) -> Result<Self, String> {
        if self.status < 300 { Ok(self) } else { Err(format!("{}: {}", self.status, self.text())) }
    }
}
