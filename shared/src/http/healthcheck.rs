//! `SERVICE healthcheck`: the container's health check, a request of `GET /readyz` to the running service.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Timeout of each step: connect, send, receive. The service bounds its own dependency checks below it.
const STEP_TIMEOUT: Duration = Duration::from_secs(4);

/// Limit of the response that is read.
const RESPONSE_BYTES_MAX: u64 = 16 * 1024;

/// Start of the status line of a service that is ready.
const STATUS: &str = "HTTP/1.1 200";

/// Why the health check failed, in one line.
#[derive(Debug, thiserror::Error)]
pub enum HealthcheckError {
    #[error("no answer on {0}: {1}")]
    NoAnswer(SocketAddr, std::io::Error),
    /// The status line of a response other than 200.
    #[error("not ready ({0}): the service's log says why")]
    NotReady(String),
    /// Part of the API works.
    #[error("degraded: {0}")]
    Degraded(String),
}

/// Requests `/readyz` of the service that listens on `listen`.
pub fn healthcheck(listen: SocketAddr) -> Result<(), HealthcheckError> {
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let response = request(address).map_err(|error| HealthcheckError::NoAnswer(address, error))?;
    match response.get(..STATUS.len()) {
        Some(STATUS) => {}
        Some(status) => return Err(HealthcheckError::NotReady(status.to_owned())),
        None => return Err(HealthcheckError::NoAnswer(address, ErrorKind::UnexpectedEof.into())),
    }
    let (_, body) = response.split_once("\r\n\r\n").unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match body.get("reasons").and_then(Value::as_array) {
        None => Ok(()),
        Some(reasons) => {
            let reasons: Vec<&str> = reasons.iter().filter_map(Value::as_str).collect();
            Err(HealthcheckError::Degraded(reasons.join(", ")))
        }
    }
}

/// Replaces an unspecified address by the loopback address of its family.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// Returns the response.
fn request(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut response = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
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
    fn only_status_200_without_reasons_is_healthy() {
        check_against(b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}").unwrap();
        let degraded = b"HTTP/1.1 200 OK\r\n\r\n{\"status\":\"degraded\",\"reasons\":[\"redis_full\",\"x\"]}";
        assert_eq!(check_against(degraded).unwrap_err().to_string(), "degraded: redis_full, x");
        let error = check_against(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(error.to_string(), "not ready (HTTP/1.1 503): the service's log says why");
        assert!(matches!(check_against(b"HTTP"), Err(HealthcheckError::NoAnswer(..))));
    }
}
