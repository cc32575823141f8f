//! A minimal warp server on hyper, with auth-api's runtime, that gives one fixed response to every request: the baseline of
//! a response. It has no limits, log, timers or routes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use deploy::Process;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;
use warp::Filter as _;
use warp::reply::Response;

use crate::error::Error;
use crate::harness::deployment::Deployment;
use crate::harness::http_client::HttpClient;

/// Verb of this program that runs the server.
pub const VERB: &str = "baseline-server";

/// The running server, a separate process. Dropping it kills it.
#[derive(Debug)]
pub struct BaselineServer {
    _process: Process,
    base: String,
}

impl BaselineServer {
    /// Starts the server with a response like that of `me` on `deployment`: the same body and headers.
    pub fn start(runtime: &Runtime, deployment: &Deployment, response: &Path) -> Result<Self, Error> {
        let access = deployment.access_tokens()?.first().map(String::as_str).unwrap_or_default();
        let auth_api = &deployment.stack()?.env().auth_api;
        let given =
            runtime.block_on(async { HttpClient::connect(auth_api).await?.get("/api/user/me/", access).await })?;
        if !given.status().is_success() {
            return Err(Error::BaselineServer(format!("GET me returned {}", given.status())));
        }
        fs::write(response, to_text(given.headers(), given.body())).map_err(Error::file(response))?;
        let own = std::env::current_exe().map_err(Error::file("the running program"))?;
        let mut command = Process::command(&own, "KILL");
        command.arg(VERB).arg(response).stdout(Stdio::piped());
        let mut process = Process::start("the baseline server", command)?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::file("the baseline server"))?;
        }
        if line.is_empty() {
            return Err(Error::BaselineServer("it ended".to_owned()));
        }
        Ok(Self { _process: process, base: format!("http://{}", line.trim()) })
    }

    /// Returns the base URL.
    pub fn base(&self) -> &str {
        &self.base
    }
}

/// Runs the server: prints its address and serves until killed.
pub fn serve(response: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(response).map_err(Error::file(response))?;
    let (headers, body) = of_text(&text).ok_or_else(|| Error::BaselineServer("invalid response file".to_owned()))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Error::file("the runtime"))?;
    runtime.block_on(async {
        let listener =
            shared::http::serve::bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(Error::file("a free port"))?;
        println!("{}", listener.local_addr().map_err(Error::file("a free port"))?);
        let service = warp::service(warp::any().map(move || {
            let mut response = Response::new(body.clone().into());
            *response.headers_mut() = headers.clone();
            response
        }));
        loop {
            let (stream, _) = listener.accept().await.map_err(Error::file("a connection"))?;
            stream.set_nodelay(true).map_err(Error::file("a connection"))?;
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

/// Serializes a response: a line per header, an empty line, the body. Omits the headers that hyper adds.
fn to_text(headers: &HeaderMap, body: &Bytes) -> String {
    let by_hyper = [DATE, CONTENT_LENGTH, CONNECTION];
    let mut text = String::new();
    for (name, value) in headers.iter().filter(|(name, _)| !by_hyper.contains(name)) {
        text.extend([name.as_str(), ": ", &String::from_utf8_lossy(value.as_bytes()), "\n"]);
    }
    text.extend(["\n", &String::from_utf8_lossy(body)]);
    text
}

fn of_text(text: &str) -> Option<(HeaderMap, Bytes)> {
    let (lines, body) = text.split_once("\n\n")?;
    let header = |line: &str| -> Option<(HeaderName, HeaderValue)> {
        let (name, value) = line.split_once(": ")?;
        Some((name.parse().ok()?, value.parse().ok()?))
    };
    Some((lines.lines().map(header).collect::<Option<_>>()?, Bytes::copy_from_slice(body.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_round_trips() {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from_static(b"{\"a\":\"b\"}");
        assert_eq!(of_text(&to_text(&headers, &body)), Some((headers, body)));
    }
}
