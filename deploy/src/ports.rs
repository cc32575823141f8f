//! What the stack listens on: the front port is the caller's, those of the inside are taken where they are free.

use std::io::ErrorKind;
use std::iter;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{FDTarget, all_processes};
use shared::random::Random;

use crate::error::Error;
use crate::part::Part;

/// The inside's ports: below the range the kernel gives to outgoing connections (from 32768 on), or a service that
/// calls a Redis which is down might be given Redis' own port, and be connected to itself.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// Where the inside is looked for first: `--port 8010` has it at 18011 and on, so that `--port 8011` is free beside it.
const OFFSET: u16 = 10_001;

/// How often another port is tried before giving up.
const TRIES: usize = 1000;

/// One port for each listener of the stack, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) front: u16,
    pub(crate) auth_api: u16,
    pub(crate) media_server: u16,
    pub(crate) media_writing: u16,
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
}

/// Holds each port until its part is about to listen on it, so that two stacks that start together don't choose the same.
#[derive(Debug, Default)]
pub(crate) struct Reserved(Mutex<Vec<(Part, TcpListener)>>);

impl Reserved {
    /// Frees the ports of `part`.
    pub(crate) fn release(&self, part: Part) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != part);
    }

    fn take(&mut self, part: Part, listener: TcpListener) -> Result<u16, Error> {
        let address = listener.local_addr().map_err(Error::file("a port"))?;
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).push((part, listener));
        Ok(address.port())
    }
}

impl Ports {
    /// The front port `wanted` (0: any that is free) and five for the inside.
    pub(crate) fn choose(wanted: u16) -> Result<(Self, Reserved), Error> {
        let mut reserved = Reserved::default();
        let front = reserved.take(Part::Nginx, if wanted == 0 { free(None)? } else { exactly(wanted)? })?;
        let mut preferred = front.checked_add(OFFSET).filter(|_| wanted != 0);
        let mut inside = |part| {
            let listener = free(preferred.filter(|port| *port < LAST))?;
            preferred = preferred.and_then(|port| port.checked_add(1));
            reserved.take(part, listener)
        };
        let ports = Self {
            front,
            auth_api: inside(Part::AuthApi)?,
            media_server: inside(Part::MediaServer)?,
            media_writing: inside(Part::MediaServer)?,
            postgres: inside(Part::Postgres)?,
            redis: inside(Part::Redis)?,
        };
        Ok((ports, reserved))
    }
}

fn exactly(port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Error::PortTaken { port, holder: holder_of(port) },
        _ => Error::File { path: format!("port {port}").into(), error },
    })
}

fn free(preferred: Option<u16>) -> Result<TcpListener, Error> {
    let random = Random::system();
    let any = iter::repeat_with(|| FIRST + u16::from_le_bytes(random.bytes()) % (LAST - FIRST)).take(TRIES);
    let mut listeners = preferred.into_iter().chain(any).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    listeners.find_map(Result::ok).ok_or(Error::NoFreePort(FIRST, LAST))
}

/// A port that is free now. Nothing holds it until it is listened on.
pub(crate) fn any_free() -> Result<u16, Error> {
    let address = free(None)?.local_addr().map_err(Error::file("a port"))?;
    Ok(address.port())
}

/// The program and pid that listen on `port`.
fn holder_of(port: u16) -> String {
    let inode = tcp()
        .into_iter()
        .chain(tcp6())
        .flatten()
        .find(|entry| entry.state == TcpState::Listen && entry.local_address.port() == port)
        .map(|entry| entry.inode);
    let holds = |process: &procfs::process::Process| {
        let sockets = process.fd().into_iter().flatten().filter_map(Result::ok);
        sockets.into_iter().any(|fd| matches!(fd.target, FDTarget::Socket(socket) if Some(socket) == inode))
    };
    let holder = all_processes().into_iter().flatten().filter_map(Result::ok).find(holds);
    match holder.and_then(|process| process.stat().ok()) {
        Some(stat) => format!("{} (pid {})", stat.comm, stat.pid),
        None => "a process of another account".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_front_port_is_told_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = Ports::choose(port).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port} is taken by ")), "{message}");
        assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    }

    #[test]
    fn the_ports_of_a_stack_differ() {
        let (ports, _reserved) = Ports::choose(0).unwrap();
        let mut all =
            vec![ports.front, ports.auth_api, ports.media_server, ports.media_writing, ports.postgres, ports.redis];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
