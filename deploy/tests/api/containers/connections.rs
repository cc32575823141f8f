//! The limit of connections at accept; the native nginx may be too old for it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use crate::containers::{addresses, container, inside, printed};

/// The default of `CONNECTIONS_PER_ADDRESS`.
const CONNECTIONS_MAX: usize = 1024;

#[test]
#[ignore = "deploy/test-containers"]
fn connections_are_limited_per_address_at_accept() {
    let nginx = container("nginx");
    let address = addresses(&nginx).into_iter().next().expect("an address");
    let connect = || {
        let mut stream = TcpStream::connect((address.as_str(), 8010)).unwrap();
        // A refused connection may be closed already.
        let _ = stream.write_all(b"GET /api/user/me/ HTTP/1.1\r\nHost: x\r\nX-");
        stream.set_nonblocking(true).unwrap();
        stream
    };
    let mut all: Vec<_> = (0..CONNECTIONS_MAX + 100).map(|_| connect()).collect();
    // From another address: the container's own.
    let status =
        "exec 3<>/dev/tcp/127.0.0.1/8010 && printf 'GET /api/user/me/ HTTP/1.0\\r\\n\\r\\n' >&3 && head -n 1 <&3";
    assert!(printed(&inside(&nginx, &format!("bash -c \"{status}\""))).contains(" 401 "));
    let is_open =
        |stream: &mut TcpStream| stream.read(&mut [0; 1]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    let open = all.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
    assert_eq!(open, CONNECTIONS_MAX);
}
