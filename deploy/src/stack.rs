//! The running stack.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::child::{Child, POLL};
use crate::env::Env;
use crate::error::Error;
use crate::nginx::{Front, Site};
use crate::options::Options;
use crate::part::Part;
use crate::plan::{Plan, TAIL_LINES};
use crate::{http, nginx, postgres, redis, services};

/// How long a part may take until it is ready. Postgres may have a log to replay.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running stack. Dropping it kills every process of it; [`Stack::shutdown`] stops them in order.
#[derive(Debug)]
pub struct Stack {
    plan: Plan,
    env: Env,
    children: Mutex<BTreeMap<Part, Child>>,
}

impl Stack {
    /// Starts all parts and returns when the API answers through nginx.
    pub fn start(options: Options) -> Result<Self, Error> {
        let plan = Plan::make(options)?;
        let stack = Self { env: plan.env(), plan, children: Mutex::default() };
        postgres::prepare(&stack.plan)?;
        stack.report("starting PostgreSQL, Redis and media-server");
        for part in [Part::Postgres, Part::Redis, Part::MediaServer] {
            stack.launch(part)?;
        }
        stack.wait_until_ready(Part::Postgres)?;
        stack.wait_until_ready(Part::Redis)?;
        stack.report("migrating the database");
        services::migrate(&stack.plan)?;
        stack.report("starting auth-api and nginx");
        stack.launch(Part::AuthApi)?;
        stack.launch(Part::Nginx)?;
        stack.wait_until_ready(Part::MediaServer)?;
        stack.wait_until_ready(Part::AuthApi)?;
        stack.wait_until_ready(Part::Nginx)?;
        // Nobody is signed in yet, so the whole way is open if the API says so.
        let front = stack.plan.ports.front;
        stack.wait(Part::Nginx, || http::status(front, "/api/user/me/") == Some(401))?;
        stack.env.write(&stack.plan.data.env())?;
        Ok(stack)
    }

    /// Where it is.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The ids of a part's processes, the one that started the others first.
    pub fn pids(&self, part: Part) -> Result<Vec<i32>, Error> {
        Ok(self.children().get(&part).ok_or(Error::NotRunning(part))?.pids())
    }

    /// A second nginx with the same `nginx.conf`, before servers of the caller's, its files in `DIR/directory`: what the
    /// stack's own is compared with. It is to be dropped before the stack is.
    pub fn front(&self, directory: &str, auth_api: SocketAddr, media_server: SocketAddr) -> Result<Front, Error> {
        Front::start(&self.plan, directory, auth_api, media_server)
    }

    /// The last lines of a part's log.
    pub fn log(&self, part: Part, lines: usize) -> String {
        self.plan.logs.tail(part, lines)
    }

    /// Sends a part a signal. `STOP`, `CONT` and `KILL` reach all processes of the part.
    pub fn signal(&self, part: Part, signal: Signal) -> Result<(), Error> {
        self.children().get_mut(&part).ok_or(Error::NotRunning(part))?.signal(signal)
    }

    /// Stops a part as an administrator would, and waits until it is gone.
    pub fn stop(&self, part: Part) -> Result<(), Error> {
        self.take(part)?.stop();
        Ok(())
    }

    /// Kills all processes of a part as `kill -9` would, and waits until they are gone.
    pub fn kill(&self, part: Part) -> Result<(), Error> {
        self.take(part)?.kill();
        Ok(())
    }

    /// Starts a part that was stopped, killed, or has ended, and returns at once.
    pub fn launch(&self, part: Part) -> Result<(), Error> {
        let mut children = self.children();
        if children.get_mut(&part).is_some_and(|child| child.exited().is_none()) {
            return Ok(());
        }
        let command = self.command(part)?;
        self.plan.reserved.release(part);
        let child = Child::start(part, command)?;
        children.insert(part, child);
        Ok(())
    }

    /// Waits until a part can do its work.
    pub fn wait_until_ready(&self, part: Part) -> Result<(), Error> {
        let ports = self.plan.ports;
        self.wait(part, || match part {
            Part::Postgres => postgres::is_ready(&self.plan),
            Part::Redis => redis::is_ready(&self.plan),
            Part::MediaServer => services::is_ready(ports.media_server),
            Part::AuthApi => services::is_ready(ports.auth_api),
            Part::Nginx => nginx::answers(ports.front),
        })
    }

    /// Stops a part if it is running, starts it again, and waits until it can do its work.
    pub fn restart(&self, part: Part) -> Result<(), Error> {
        if let Ok(mut child) = self.take(part) {
            child.stop();
        }
        self.launch(part)?;
        self.wait_until_ready(part)
    }

    /// Keeps the logs within their bound, and fails if a part has ended that nobody stopped. To be called now and then.
    pub fn check(&self) -> Result<(), Error> {
        self.plan.logs.trim();
        for (part, child) in self.children().iter_mut() {
            if let Some(status) = child.exited() {
                return Err(self.died(*part, status));
            }
        }
        Ok(())
    }

    /// Stops all parts in order, so that nothing in flight is lost.
    pub fn shutdown(self) {
        self.plan.data.remove_env();
        for part in Part::ALL.into_iter().rev() {
            // It may have been stopped before.
            let _ = self.stop(part);
        }
    }

    fn command(&self, part: Part) -> Result<Command, Error> {
        let plan = &self.plan;
        match part {
            Part::Postgres => postgres::command(plan),
            Part::Redis => redis::command(plan),
            Part::MediaServer => services::media_server(plan),
            Part::AuthApi => services::auth_api(plan),
            Part::Nginx => nginx::command(plan, Site::own(plan)),
        }
    }

    fn wait(&self, part: Part, is_ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while !is_ready() {
            if self.plan.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { part, seconds: READY_WITHIN.as_secs(), log: self.log(part, TAIL_LINES) });
            }
            self.check()?;
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn died(&self, part: Part, status: std::process::ExitStatus) -> Error {
        Error::Died { part, status, log: self.log(part, TAIL_LINES) }
    }

    fn take(&self, part: Part) -> Result<Child, Error> {
        self.children().remove(&part).ok_or(Error::NotRunning(part))
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<Part, Child>> {
        // A test that panicked in between leaves a map that is still true.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, doing: &str) {
        (self.plan.progress)(doing);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.plan.data.remove_env();
        let mut children = self.children();
        while let Some((_, child)) = children.pop_last() {
            drop(child);
        }
        drop(children);
        if self.plan.scratch {
            // What can't be removed is removed before the next scratch stack.
            let _ = fs::remove_dir_all(self.plan.data.path());
        }
    }
}
