//! A TCP proxy that fails as networks and servers do.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy in front of a port of this machine.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    fault: watch::Sender<Fault>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections stay open, and are still made, and nothing gets through until this is over.
    Silence,
    /// The same, but what clients send gets through: the server does what it is asked for, and its replies are lost.
    LostReplies,
    /// Connections are closed as soon as they are made or used.
    Away,
    /// What is asked for is answered with a 500.
    Error500,
    /// A connection is closed when the server has sent so many bytes.
    CutAfter(usize),
    /// What the server sends comes a little at a time, and never stops coming.
    Trickle,
}

/// Of a trickle: 160 kB a second.
const LITTLE_BYTES: usize = 16 * 1024;
const LITTLE_PAUSE: Duration = Duration::from_millis(100);

const ERROR_500: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let own_port = listener.local_addr().expect("an address").port();
        let (fault, state) = watch::channel(Fault::None);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(serve(near, port, state.clone()));
            }
        });
        Self { port: own_port, fault }
    }

    /// Fails so from now on, or goes on with what has come in meanwhile.
    pub fn fail(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Falls silent, or goes on with what has come in meanwhile.
    pub fn silence(&self, silent: bool) {
        self.fail(if silent { Fault::Silence } else { Fault::None });
    }
}

async fn serve(mut near: TcpStream, port: u16, fault: watch::Receiver<Fault>) {
    let now = *fault.borrow();
    match now {
        Fault::Away => return,
        Fault::Error500 => {
            let _ = near.read(&mut [0; 16 * 1024]).await;
            let _ = near.write_all(ERROR_500).await;
            return;
        }
        Fault::None | Fault::Silence | Fault::LostReplies | Fault::CutAfter(_) | Fault::Trickle => {}
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    // Whichever way ends first ends the connection.
    tokio::select! {
        () = forward(near_in, far_out, fault.clone(), false) => {}
        () = forward(far_in, near_out, fault, true) => {}
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    is_of_server: bool,
) {
    let mut buffer = vec![0; LITTLE_BYTES];
    let mut sent = 0;
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // The proxy is gone with its test.
        let is_open = |fault: &Fault| match fault {
            Fault::Silence => false,
            Fault::LostReplies => !is_of_server,
            _ => true,
        };
        let Ok(now) = fault.wait_for(is_open).await.map(|fault| *fault) else { return };
        let cut = if let Fault::CutAfter(bytes) = now
            && is_of_server
        {
            bytes.saturating_sub(sent)
        } else {
            usize::MAX
        };
        if now == Fault::Trickle && is_of_server {
            tokio::time::sleep(LITTLE_PAUSE).await;
        }
        let passed = &buffer[..read.min(cut)];
        if read == 0 || matches!(now, Fault::Away | Fault::Error500) || to.write_all(passed).await.is_err() {
            return;
        }
        sent += passed.len();
        if passed.len() == cut {
            return;
        }
    }
}
