//! A running stack.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::Instant;

use crate::config::{StackConfig, TAIL_LINES};
use crate::env::Env;
use crate::error::Error;
use crate::nginx::{Gateway, NginxInstance};
use crate::options::Options;
use crate::process::{POLL, Process};
use crate::service::Service;
use crate::{apps, nginx, postgres, redis};

/// Timeout of a service's start. Postgres may have to replay its WAL.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running stack. Dropping it kills all processes; [`Stack::shutdown`] stops them in order.
#[derive(Debug)]
pub struct Stack {
    config: StackConfig,
    env: Env,
    children: Mutex<BTreeMap<Service, Process>>,
}

impl Stack {
    /// Starts all services and waits until the API responds through nginx.
    pub fn start(options: Options) -> Result<Self, Error> {
        let config = StackConfig::resolve(options)?;
        let stack = Self { env: config.env(), config, children: Mutex::default() };
        postgres::prepare(&stack.config)?;
        stack.report("starting PostgreSQL, Redis and media-server");
        for service in [Service::Postgres, Service::Redis, Service::MediaServer] {
            stack.launch(service)?;
        }
        stack.wait_until_ready(Service::Postgres)?;
        stack.wait_until_ready(Service::Redis)?;
        stack.report("migrating the database");
        apps::migrate(&stack.config)?;
        stack.report("starting auth-api and nginx");
        stack.launch(Service::AuthApi)?;
        stack.launch(Service::Nginx)?;
        stack.wait_until_ready(Service::MediaServer)?;
        stack.wait_until_ready(Service::AuthApi)?;
        stack.wait_until_ready(Service::Nginx)?;
        // 401 comes from auth-api, so nginx reaches it.
        let port = stack.config.ports.nginx;
        stack.wait(Service::Nginx, || nginx::status(&stack.config, port, "/api/user/me/") == Some(401))?;
        stack.env.write(&stack.config.data.env())?;
        Ok(stack)
    }

    /// Returns the addresses of the services.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Returns the ids of a service's processes, the main process first.
    pub fn pids(&self, service: Service) -> Result<Vec<i32>, Error> {
        Ok(self.children().get(&service).ok_or(Error::NotRunning(service.name()))?.pids())
    }

    /// Starts a second nginx with the same `nginx.conf` and other upstreams, its files in `DIR/directory`. Drop it before the
    /// stack.
    pub fn gateway(&self, directory: &str, auth_api: SocketAddr, media_server: SocketAddr) -> Result<Gateway, Error> {
        Gateway::start(&self.config, directory, auth_api, media_server)
    }

    /// Returns the last lines of a service's log.
    pub fn log(&self, service: Service, lines: usize) -> String {
        self.config.logs.tail(service, lines)
    }

    /// Sends a service a signal; `STOP`, `CONT` and `KILL` go to all of its processes.
    pub fn signal(&self, service: Service, signal: Signal) -> Result<(), Error> {
        self.children().get_mut(&service).ok_or(Error::NotRunning(service.name()))?.signal(signal)
    }

    /// Stops a service gracefully and waits until it has ended.
    pub fn stop(&self, service: Service) -> Result<(), Error> {
        self.take(service)?.stop(service.stop_signal(), service.stop_timeout());
        Ok(())
    }

    /// Kills all processes of a service as `kill -9` would, and waits until they have ended.
    pub fn kill(&self, service: Service) -> Result<(), Error> {
        self.take(service)?.kill();
        Ok(())
    }

    /// Starts a service that is not running, without waiting until it is ready.
    pub fn launch(&self, service: Service) -> Result<(), Error> {
        let mut children = self.children();
        if children.get_mut(&service).is_some_and(|child| child.exited().is_none()) {
            return Ok(());
        }
        let command = self.command(service)?;
        self.config.reserved.release(service);
        children.insert(service, Process::start(service.name(), command)?);
        Ok(())
    }

    /// Waits until a service is ready.
    pub fn wait_until_ready(&self, service: Service) -> Result<(), Error> {
        let ports = self.config.ports;
        self.wait(service, || match service {
            Service::Postgres => postgres::is_ready(&self.config),
            Service::Redis => redis::is_ready(&self.config),
            Service::MediaServer => apps::is_ready(ports.media_server),
            Service::AuthApi => apps::is_ready(ports.auth_api),
            Service::Nginx => nginx::responds(&self.config, ports.nginx),
        })
    }

    /// Restarts a service, or starts it if it is not running, and waits until it is ready.
    pub fn restart(&self, service: Service) -> Result<(), Error> {
        // It may not be running.
        let _ = self.stop(service);
        self.launch(service)?;
        self.wait_until_ready(service)
    }

    /// Fails if a service has ended unexpectedly; rotates logs. Call it periodically.
    pub fn check(&self) -> Result<(), Error> {
        self.config.logs.trim();
        for (service, child) in self.children().iter_mut() {
            if let Some(status) = child.exited() {
                return Err(self.died(*service, status));
            }
        }
        Ok(())
    }

    /// Stops all services gracefully, in order.
    pub fn shutdown(self) {
        self.config.data.remove_env();
        for service in Service::ALL.into_iter().rev() {
            // It may have been stopped before.
            let _ = self.stop(service);
        }
    }

    fn command(&self, service: Service) -> Result<Command, Error> {
        let config = &self.config;
        match service {
            Service::Postgres => postgres::command(config),
            Service::Redis => redis::command(config),
            Service::MediaServer => apps::media_server(config),
            Service::AuthApi => apps::auth_api(config),
            Service::Nginx => nginx::command(config, NginxInstance::of_stack(config)),
        }
    }

    fn wait(&self, service: Service, is_ready: impl Fn() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        while !is_ready() {
            if self.config.interrupt.is_set() {
                return Err(Error::Interrupted);
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady {
                    service,
                    seconds: READY_WITHIN.as_secs(),
                    log: self.log(service, TAIL_LINES),
                });
            }
            self.check()?;
            thread::sleep(POLL);
        }
        Ok(())
    }

    fn died(&self, service: Service, status: std::process::ExitStatus) -> Error {
        Error::Died { service, status, log: self.log(service, TAIL_LINES) }
    }

    fn take(&self, service: Service) -> Result<Process, Error> {
        self.children().remove(&service).ok_or(Error::NotRunning(service.name()))
    }

    fn children(&self) -> MutexGuard<'_, BTreeMap<Service, Process>> {
        // A poisoned map is still consistent.
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, doing: &str) {
        (self.config.progress)(doing);
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.config.data.remove_env();
        let mut children = self.children();
        while let Some((_, child)) = children.pop_last() {
            drop(child);
        }
        drop(children);
        if self.config.scratch {
            // What can't be removed now is removed before the next scratch stack.
            let _ = fs::remove_dir_all(self.config.data.path());
        }
    }
}
