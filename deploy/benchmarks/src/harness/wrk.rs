//! wrk, the load generator for requests that can be replayed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::error::Error;

/// A run of wrk that replays a file of requests.
#[derive(Clone, Debug)]
pub struct Wrk {
    /// Base URL, as in `http://127.0.0.1:8010`.
    pub base: String,
    /// The requests, see [`write`].
    pub requests: PathBuf,
    pub threads: usize,
    /// Connections in all threads; each has one request in flight.
    pub connections: usize,
    /// Maximum pause before a request, in milliseconds; 0: none.
    pub pause_millis: u32,
}

/// Result of a run of wrk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WrkReport {
    /// Responses per second.
    pub per_second: f64,
    /// Requests without a response, or with a 4xx or 5xx.
    pub refused: u64,
    /// 99th percentile of the response time, in milliseconds.
    pub p99_millis: f64,
}

/// Longer than any response takes: of 1,000 concurrent logins the last takes ten seconds.
const TIMEOUT: &str = "30s";

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/replay.lua");

/// A run in progress. Dropping it ends it.
#[derive(Debug)]
pub struct Run(Option<Child>);

impl Wrk {
    /// Replays for `time`, in whole seconds.
    pub fn run(&self, time: Duration) -> Result<WrkReport, Error> {
        self.start(time)?.report()
    }

    /// Starts replaying for `time`, in whole seconds.
    pub fn start(&self, time: Duration) -> Result<Run, Error> {
        let mut command = Command::new("wrk");
        command
            .args(["--threads", &self.threads.to_string(), "--connections", &self.connections.to_string()])
            .args(["--duration", &format!("{}s", time.as_secs()), "--timeout", TIMEOUT, "--script", SCRIPT])
            .args([&self.base, "--"])
            .arg(&self.requests)
            .args([self.threads.to_string(), self.pause_millis.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Ok(Run(Some(command.spawn().map_err(Error::file("wrk"))?)))
    }
}

impl Run {
    /// Waits until the run ends.
    pub fn report(mut self) -> Result<WrkReport, Error> {
        let child = self.0.take().ok_or_else(|| Error::Wrk("it has ended already".to_owned()))?;
        let output = child.wait_with_output().map_err(Error::file("wrk"))?;
        let printed = String::from_utf8_lossy(&output.stdout);
        let report = printed.lines().find_map(|line| parse(line.strip_prefix("replayed ")?));
        report.filter(|_| output.status.success()).ok_or_else(|| {
            Error::Wrk(format!("{}: {printed}{}", output.status, String::from_utf8_lossy(&output.stderr)))
        })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Parses the line that `replay.lua` prints.
fn parse(line: &str) -> Option<WrkReport> {
    let mut numbers = line.split(' ').map(str::parse::<f64>);
    let mut next = || numbers.next()?.ok();
    let (requests, micros, refused, p99_micros) = (next()?, next()?, next()?, next()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, printed as one")]
    let refused = refused as u64;
    Some(WrkReport { per_second: requests / (micros / 1e6), refused, p99_millis: p99_micros / 1e3 })
}

/// Writes complete HTTP requests for [`Wrk::requests`].
pub fn write(path: &Path, requests: impl Iterator<Item = String>) -> Result<(), Error> {
    let mut framed = String::new();
    for request in requests {
        framed.extend([&request.len().to_string(), "\n", &request]);
    }
    fs::write(path, framed).map_err(Error::file(path))
}

/// Returns `GET path` with an access token.
#[must_use]
pub fn get(path: &str, access: &str) -> String {
    get_with(path, &format!("Authorization: JWT {access}\r\n"))
}

/// Returns `GET path` with these header lines.
#[must_use]
pub fn get_with(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n")
}

/// Returns `POST path` with a JSON body.
#[must_use]
pub fn post(path: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_script_is_parsed() {
        let report = WrkReport { per_second: 50.0, refused: 3, p99_millis: 1.5 };
        assert_eq!(parse("100 2000000 3 1500"), Some(report));
        assert_eq!(parse("100 2000000"), None);
    }
}
