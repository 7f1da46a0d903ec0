//! A connection to a server, with replies cut out of the stream as records.
//!
//! Between the socket and `nfs3_client`, which takes replies of one fragment, believes the lengths
//! in them, and waits for ever on a connection that was closed.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use nfs3_client::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// The longest reply: the largest read with room for all that comes with it.
const REPLY_LEN_MAX: usize = (1 << 20) + (64 << 10);

/// Set in the length of a record's last fragment.
const LAST: u32 = 1 << 31;

/// The longest proof of identity in a reply (RFC 5531, section 8.2).
const VERIFIER_LEN_MAX: u32 = 400;

/// Ports that only root can take, which is why servers trust them. Those below are often in use.
const PRIVILEGED: std::ops::RangeInclusive<u16> = 665..=1023;

/// What a connection sends and receives by.
#[derive(Clone)]
pub(super) struct Socket(Arc<TcpStream>);

/// A connection. One request at a time.
pub(super) struct Wire {
    stream: Socket,
    /// The reply that is being read, as one fragment with its length in front.
    reply: Vec<u8>,
    /// How much of it was read.
    read: usize,
}

impl Wire {
    /// Connects, from a privileged port if this process may have one.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = match from_privileged_port(address).await? {
            Some(stream) => stream,
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Self { stream: Socket(Arc::new(stream)), reply: Vec::new(), read: 0 })
    }

    pub(super) fn socket(&self) -> Socket {
        self.stream.clone()
    }

    /// Receives the next reply.
    async fn receive(&mut self) -> io::Result<()> {
        self.read = 0;
        self.reply.clear();
        self.reply.extend_from_slice(&[0; 4]);
        loop {
            let mut mark = [0; 4];
            self.stream.fill(&mut mark).await?;
            let mark = u32::from_be_bytes(mark);
            let (len, is_last) = ((mark & !LAST) as usize, mark & LAST != 0);
            let start = self.reply.len();
            // Counting fragments of no length too, or they could go on for ever.
            if start + len.max(1) > REPLY_LEN_MAX || (len == 0 && !is_last) {
                return Err(invalid("the server sent a longer reply than was asked for"));
            }
            self.reply.resize(start + len, 0);
            self.stream.fill(&mut self.reply[start..]).await?;
            if is_last {
                break;
            }
        }
        check_verifier(&self.reply[4..])?;
        let len = u32::try_from(self.reply.len() - 4).map_err(io::Error::other)?;
        self.reply[..4].copy_from_slice(&(len | LAST).to_be_bytes());
        Ok(())
    }
}

impl Socket {
    /// Whether it comes from a port that servers may insist on.
    pub(super) fn is_privileged(&self) -> bool {
        self.0.local_addr().is_ok_and(|address| address.port() < 1024)
    }

    /// Whether the other side has neither closed it nor said anything that nobody asked for.
    pub(super) fn is_idle(&self) -> bool {
        let read = self.0.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Receives as many bytes as `buf` has.
    async fn fill(&self, mut buf: &mut [u8]) -> io::Result<()> {
        while !buf.is_empty() {
            self.0.readable().await?;
            match self.0.try_read(buf) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => buf = &mut buf[read..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Sends some bytes.
    async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        loop {
            self.0.writable().await?;
            match self.0.try_write(buf) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                sent => return sent,
            }
        }
    }
}

/// Refuses a reply whose head announces more bytes than it may have: id, kind, state, kind of
/// proof, length of proof.
fn check_verifier(reply: &[u8]) -> io::Result<()> {
    let word = |at: usize| reply.get(at * 4..at * 4 + 4)?.try_into().ok().map(u32::from_be_bytes);
    let is_accepted = word(2) == Some(0);
    match word(4) {
        Some(len) if is_accepted && len > VERIFIER_LEN_MAX => {
            Err(invalid("the server sent a reply that cannot be read"))
        }
        _ => Ok(()),
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// `None` if this process may not have such a port.
async fn from_privileged_port(address: SocketAddr) -> io::Result<Option<TcpStream>> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let all = PRIVILEGED.end() - PRIVILEGED.start() + 1;
    for step in 0..all {
        let number = (u16::from_le_bytes(random) % all + step) % all;
        let port = PRIVILEGED.start() + number;
        let (socket, any) = match address {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, "0.0.0.0"),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, "::"),
        };
        let local = SocketAddr::new(any.parse().map_err(io::Error::other)?, port);
        match socket.bind(local) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => continue,
            Err(_) => return Ok(None),
            Ok(()) => {}
        }
        match socket.connect(address).await {
            // One that a moment ago was used for the same server.
            Err(error)
                if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::AddrNotAvailable) => {}
            stream => return stream.map(Some),
        }
    }
    Ok(None)
}

impl AsyncRead for Wire {
    async fn async_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.read == self.reply.len() {
            self.receive().await?;
        }
        let rest = &self.reply[self.read..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        self.read += len;
        Ok(len)
    }
}

impl AsyncWrite for Wire {
    async fn async_write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.send(buf).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::asynchronous::block_on;
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    /// What a client reads of what a server sends before it closes the connection.
    fn received(sent: Vec<u8>) -> io::Result<Vec<u8>> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || listener.accept().unwrap().0.write_all(&sent).unwrap());
        let reply = block_on(async {
            let mut wire = Wire::connect(address).await?;
            let mut head = [0; 4];
            wire.async_read_exact(&mut head).await?;
            let mut reply = vec![0; (u32::from_be_bytes(head) & !LAST) as usize];
            wire.async_read_exact(&mut reply).await?;
            Ok(reply)
        });
        server.join().unwrap();
        reply.unwrap()
    }

    fn fragment(bytes: &[u8], is_last: bool) -> Vec<u8> {
        let mark = bytes.len() as u32 | if is_last { LAST } else { 0 };
        [&mark.to_be_bytes(), bytes].concat()
    }

    #[test]
    fn fragments_become_one_reply() {
        let parts = [fragment(b"abcd", false), fragment(b"ef", false), fragment(b"", true)];
        assert_eq!(received(parts.concat()).unwrap(), b"abcdef");
    }

    /// Nothing is reserved and nothing hangs on the word of a server.
    #[test]
    fn what_a_server_makes_up_is_refused() {
        let endless = fragment(b"", false).repeat(10);
        let long = (LAST - 1).to_be_bytes().to_vec();
        let mut proof = vec![0; 24];
        proof[16..20].copy_from_slice(&u32::MAX.to_be_bytes());
        for sent in [endless, long, fragment(&proof, true)] {
            assert_eq!(received(sent).unwrap_err().kind(), ErrorKind::InvalidData);
        }
        for sent in [b"".to_vec(), b"\x80\0\0\x08abc".to_vec()] {
            assert_eq!(received(sent).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }
}
