//! Bytes, whatever they mean.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;

use super::{Pace, Shared, Trouble, Way, end};

pub(super) fn serve(shared: &Arc<Shared>, client: TcpStream, server: TcpStream) {
    let (Ok(client_too), Ok(server_too)) = (client.try_clone(), server.try_clone()) else { return };
    let shared_too = Arc::clone(shared);
    let down = thread::spawn(move || pump(&shared_too, server_too, client_too, Way::Down));
    pump(shared, client, server, Way::Up);
    let _ = down.join();
}

/// Passes bytes one way until the end of the connection.
fn pump(shared: &Shared, mut from: TcpStream, mut to: TcpStream, way: Way) {
    let mut buffer = [0; 8 << 10];
    let mut pace = Pace::default();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        match shared.trouble_of_bytes(way, read as u64) {
            Some((Trouble::Cut, passed)) => {
                let _ = to.write_all(&buffer[..passed]);
                return end(&from, &to);
            }
            Some((Trouble::Stall, _)) => shared.stall(),
            Some((Trouble::Delay(wait), _)) => thread::sleep(wait),
            Some((Trouble::Slow(rate), _)) => pace = Pace(Some(rate)),
            _ => {}
        }
        for piece in buffer[..read].chunks(pace.piece().min(8 << 10) as usize) {
            if to.write_all(piece).is_err() {
                return end(&from, &to);
            }
            pace.wait(piece.len());
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Shared {
    /// Counts bytes for every fault of this way. What goes wrong with them, and how many of them
    /// still get through.
    fn trouble_of_bytes(&self, way: Way, bytes: u64) -> Option<(Trouble, usize)> {
        let mut state = self.state.lock();
        let mut found = None;
        for (rule, seen, hits) in state.rules.iter_mut().filter(|(rule, ..)| rule.way == way) {
            let before = *seen;
            *seen += bytes;
            if *seen > rule.nth && *hits < rule.times && found.is_none() {
                *hits += 1;
                found = Some((rule.trouble, rule.nth.saturating_sub(before) as usize));
            }
        }
        drop(state);
        found.inspect(|_| self.hit())
    }
}
