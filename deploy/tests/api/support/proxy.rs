//! A TCP proxy that can fall silent: connections stay open, and are still made, and nothing gets through.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy in front of a port of this machine.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    silent: watch::Sender<bool>,
}

impl Proxy {
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let own_port = listener.local_addr().expect("an address").port();
        let (silent, state) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { continue };
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(forward(near_in, far_out, state.clone()));
                tokio::spawn(forward(far_in, near_out, state.clone()));
            }
        });
        Self { port: own_port, silent }
    }

    /// Falls silent, or goes on with what has come in meanwhile.
    pub fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut silent: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // The proxy is gone with its test.
        if silent.wait_for(|silent| !silent).await.is_err() || read == 0 {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
