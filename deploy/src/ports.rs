//! TCP ports of the stack: nginx's is chosen by the caller, the internal ones are free ones.

use std::io::ErrorKind;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use procfs::net::{TcpState, tcp, tcp6};
use procfs::process::{FDTarget, all_processes};
use shared::random::Random;

use crate::error::Error;
use crate::service::Service;

/// Range of internal ports: below the kernel's ephemeral ports (from 32768 on). Otherwise a client of a stopped server may
/// get the server's port as its source port and connect to itself.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// Distance of the preferred internal ports: with `--port 8010` they start at 18011.
const OFFSET: u16 = 10_001;

/// Random ports to try.
const ATTEMPTS: usize = 1000;

/// One port for each listener of the stack, all on 127.0.0.1; nginx listens on `::1`, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) nginx: u16,
    pub(crate) auth_api: u16,
    pub(crate) media_server: u16,
    pub(crate) media_internal: u16,
    pub(crate) postgres: u16,
    pub(crate) redis: u16,
}

/// Ports held until their service is about to listen, so that two stacks that start together choose different ones.
#[derive(Debug, Default)]
pub(crate) struct Reserved(Mutex<Vec<(Service, TcpListener)>>);

impl Reserved {
    /// Releases the ports of `service`.
    pub(crate) fn release(&self, service: Service) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(of, _)| *of != service);
    }

    fn take(&mut self, service: Service, listener: TcpListener) -> Result<u16, Error> {
        let address = listener.local_addr().map_err(Error::file("a port"))?;
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).push((service, listener));
        Ok(address.port())
    }
}

impl Ports {
    /// Reserves the port `wanted` for nginx (0: any free port) and five internal ones.
    pub(crate) fn choose(wanted: u16) -> Result<(Self, Reserved), Error> {
        let mut reserved = Reserved::default();
        let nginx = reserved.take(Service::Nginx, if wanted == 0 { bind_free(None)? } else { bind(wanted)? })?;
        // Where the machine has no IPv6, nginx listens on 127.0.0.1 only.
        match bind_to(Ipv6Addr::LOCALHOST.into(), nginx) {
            Ok(listener) => drop(reserved.take(Service::Nginx, listener)?),
            Err(error @ Error::PortTaken { .. }) => return Err(error),
            Err(_) => {}
        }
        let mut preferred = nginx.checked_add(OFFSET).filter(|_| wanted != 0);
        let mut internal = |service| {
            let listener = bind_free(preferred.filter(|port| *port < LAST))?;
            preferred = preferred.and_then(|port| port.checked_add(1));
            reserved.take(service, listener)
        };
        let ports = Self {
            nginx,
            auth_api: internal(Service::AuthApi)?,
            media_server: internal(Service::MediaServer)?,
            media_internal: internal(Service::MediaServer)?,
            postgres: internal(Service::Postgres)?,
            redis: internal(Service::Redis)?,
        };
        Ok((ports, reserved))
    }
}

fn bind(port: u16) -> Result<TcpListener, Error> {
    bind_to(Ipv4Addr::LOCALHOST.into(), port)
}

fn bind_to(address: IpAddr, port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind((address, port)).map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => Error::PortTaken { port, holder: holder_of(port) },
        _ => Error::File { path: format!("port {port}").into(), error },
    })
}

fn bind_free(preferred: Option<u16>) -> Result<TcpListener, Error> {
    let random = Random::system();
    let any = iter::repeat_with(|| FIRST + u16::from_le_bytes(random.bytes()) % (LAST - FIRST)).take(ATTEMPTS);
    let mut listeners = preferred.into_iter().chain(any).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    listeners.find_map(Result::ok).ok_or(Error::NoFreePort(FIRST, LAST))
}

/// Returns a free TCP port of the loopback interface. It is not reserved.
pub fn free() -> Result<u16, Error> {
    let address = bind_free(None)?.local_addr().map_err(Error::file("a port"))?;
    Ok(address.port())
}

/// Returns the program and pid that listen on `port`, for an error message.
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
    fn the_error_of_a_taken_port_names_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let message = Ports::choose(port).unwrap_err().to_string();
        assert!(message.contains(&format!("port {port} is taken by ")), "{message}");
        assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    }

    #[test]
    fn the_ports_of_a_stack_are_distinct() {
        let (ports, _reserved) = Ports::choose(0).unwrap();
        let mut all =
            vec![ports.nginx, ports.auth_api, ports.media_server, ports.media_internal, ports.postgres, ports.redis];
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 6);
    }
}
