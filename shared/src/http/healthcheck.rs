//! `SERVICE healthcheck`: asks the running service, from inside its container, whether it can do its work.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long connecting, asking and answering may take, each. The service bounds what it asks in turn.
const STEP_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the service is not well, in a line.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// Nobody answers.
    #[error("no answer on {0}: {1}")]
    NoAnswer(SocketAddr, std::io::Error),
    /// It says that it can't do its work.
    #[error("not ready ({0}): the service's log says why")]
    NotReady(String),
}

/// `GET /readyz` of the service that listens on `listen`.
pub fn healthcheck(listen: SocketAddr) -> Result<(), Unwell> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let status = ask(address).map_err(|error| Unwell::NoAnswer(address, error))?;
    if status == "HTTP/1.1 200" { Ok(()) } else { Err(Unwell::NotReady(status)) }
}

/// Who listens on all addresses listens on this one.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The beginning of the answer, up to its status.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut status = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn told(answer: &'static [u8]) -> Result<(), Unwell> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(answer).unwrap();
        });
        let result = healthcheck(listen);
        answering.join().unwrap();
        result
    }

    #[test]
    fn only_a_200_is_well() {
        told(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let unwell = told(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(unwell.to_string(), "not ready (HTTP/1.1 503): the service's log says why");
        assert!(matches!(told(b"HTTP"), Err(Unwell::NoAnswer(..))));
    }
}
