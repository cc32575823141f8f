//! `SERVICE healthcheck`: the container's health check, a request of `GET /readyz` to the running service.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Timeout of each step: connect, send, receive. The service bounds its own dependency checks below it.
const STEP_TIMEOUT: Duration = Duration::from_secs(4);

/// Why the health check failed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    #[error("no answer on {0}: {1}")]
    NoAnswer(SocketAddr, std::io::Error),
    /// The status line of a response other than 200.
    #[error("not ready ({0}): the service's log says why")]
    NotReady(String),
}

/// Requests `/readyz` of the service that listens on `listen`.
pub fn healthcheck(listen: SocketAddr) -> Result<(), HealthcheckError> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let status = request_status(address).map_err(|error| HealthcheckError::NoAnswer(address, error))?;
    if status == "HTTP/1.1 200" { Ok(()) } else { Err(HealthcheckError::NotReady(status)) }
}

/// Replaces an unspecified address by the loopback address of its family.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Returns the start of the response's status line: version and status.
fn request_status(address: SocketAddr) -> std::io::Result<String> {
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

    fn check_against(response: &'static [u8]) -> Result<(), HealthcheckError> {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(response).unwrap();
        });
        let result = healthcheck(listen);
        server.join().unwrap();
        result
    }

    #[test]
    fn only_status_200_is_healthy() {
        check_against(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        let error = check_against(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(error.to_string(), "not ready (HTTP/1.1 503): the service's log says why");
        assert!(matches!(check_against(b"HTTP"), Err(HealthcheckError::NoAnswer(..))));
    }
}
