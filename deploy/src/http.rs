//! A minimal HTTP request, for readiness checks.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Timeout of connecting, and of each read and write.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to a port of the loopback interface.
pub(crate) fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// Returns the status of `GET path`, or none if there is no response.
pub(crate) fn status(port: u16, path: &str) -> Option<u16> {
    status_after("", port, path)
}

/// Returns the status of `GET path` on a connection that starts with `preface`.
pub(crate) fn status_after(preface: &str, port: u16, path: &str) -> Option<u16> {
    let mut stream = connect(port).ok()?;
    write!(stream, "{preface}GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n").ok()?;
    // "HTTP/1.1 200"
    let mut line = [0; 12];
    stream.read_exact(&mut line).ok()?;
    std::str::from_utf8(&line).ok()?.strip_prefix("HTTP/1.1 ")?.parse().ok()
}
