//! Starts processes that do not outlive this one, even where it is killed with `kill -9`.
//!
//! The kernel can send a process a signal when its parent dies (`PR_SET_PDEATHSIG`), and `setpriv` arranges that. The
//! 'parent' is the **thread** that forked: so all children are started by one thread that lives as long as the process,
//! not by, say, the thread of a test.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

type Order = (Command, Sender<io::Result<Child>>);

/// Starts `command` and returns its process.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in orders {
                // Whoever asked is waiting just below.
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, answer) = channel();
    let gone = || io::Error::other("the spawning thread is gone");
    spawner.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
