//! A TCP proxy that injects faults of networks and servers.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy in front of a port of this machine.
pub struct Proxy {
    /// The port that it listens on.
    pub port: u16,
    fault: watch::Sender<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Connections stay open and are accepted; nothing is forwarded until the fault ends.
    Blackhole,
    /// As `Blackhole`, but requests are forwarded: the server executes them, and the replies are held back.
    LostReplies,
    /// Connections are closed as soon as they are made or used.
    Disconnect,
    /// Each connection gets a 500.
    Error500,
    /// A connection is closed after the server has sent this many bytes.
    CutAfter(usize),
    /// What the server sends is forwarded in small chunks with pauses.
    Slow,
}

/// 160 kB per second.
const SLOW_CHUNK_BYTES: usize = 16 * 1024;
const SLOW_PAUSE: Duration = Duration::from_millis(100);

const ERROR_500: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl Proxy {
    pub async fn to(server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (fault, state) = watch::channel(Fault::None);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server_port, state.clone()));
            }
        });
        Self { port, fault }
    }

    /// Sets the fault; `Fault::None` forwards what was held back.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn serve(mut client: TcpStream, server_port: u16, fault: watch::Receiver<Fault>) {
    let now = *fault.borrow();
    match now {
        Fault::Disconnect => return,
        Fault::Error500 => {
            let _ = client.read(&mut [0; 16 * 1024]).await;
            let _ = client.write_all(ERROR_500).await;
            return;
        }
        Fault::None | Fault::Blackhole | Fault::LostReplies | Fault::CutAfter(_) | Fault::Slow => {}
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server_port)).await else { return };
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    // The first direction to end closes both.
    tokio::select! {
        () = forward(client_in, server_out, fault.clone(), false) => {}
        () = forward(server_in, client_out, fault, true) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    is_from_server: bool,
) {
    let mut buffer = vec![0; SLOW_CHUNK_BYTES];
    let mut sent = 0;
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        let is_open = |fault: &Fault| match fault {
            Fault::Blackhole => false,
            Fault::LostReplies => !is_from_server,
            _ => true,
        };
        // An error: the proxy was dropped with its test.
        let Ok(now) = fault.wait_for(is_open).await.map(|fault| *fault) else { return };
        let cut = match now {
            Fault::CutAfter(bytes) if is_from_server => bytes.saturating_sub(sent),
            _ => usize::MAX,
        };
        if now == Fault::Slow && is_from_server {
            tokio::time::sleep(SLOW_PAUSE).await;
        }
        let passed = &buffer[..read.min(cut)];
        if read == 0 || matches!(now, Fault::Disconnect | Fault::Error500) || to.write_all(passed).await.is_err() {
            return;
        }
        sent += passed.len();
        if passed.len() == cut {
            return;
        }
    }
}
