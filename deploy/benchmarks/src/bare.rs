//! The limit of an answer: warp on hyper, with the runtime that auth-api has, giving one answer whatever is asked. No
//! limits, no log, no timer, no routes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Stdio};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::runtime::Runtime;
use warp::Filter as _;
use warp::reply::Response;

use crate::client::Client;
use crate::deployment::Deployment;
use crate::error::Error;
use crate::process::ends_with_us;

/// The verb of this program that is the server.
pub const VERB: &str = "bare";

/// The running server, a process of its own. Dropping it kills it.
#[derive(Debug)]
pub struct Bare {
    process: Child,
    base: String,
}

impl Bare {
    /// Takes one answer to `me` from `deployment`, and starts the server that gives the like: body and headers are as long.
    pub fn start(runtime: &Runtime, deployment: &Deployment, answer: &Path) -> Result<Self, Error> {
        let access = deployment.access_tokens()?.first().map(String::as_str).unwrap_or_default();
        let auth_api = &deployment.stack()?.env().auth_api;
        let given = runtime.block_on(async { Client::connect(auth_api).await?.get("/api/user/me/", access).await })?;
        if !given.status().is_success() {
            return Err(Error::Bare(format!("me answers {}", given.status())));
        }
        fs::write(answer, to_text(given.headers(), given.body())).map_err(Error::file(answer))?;
        let own = std::env::current_exe().map_err(Error::file("the running program"))?;
        let mut process =
            ends_with_us(&own).arg(VERB).arg(answer).stdout(Stdio::piped()).spawn().map_err(Error::file("setpriv"))?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::file("the bare server"))?;
        }
        let bare = Self { process, base: format!("http://{}", line.trim()) };
        if line.is_empty() {
            return Err(Error::Bare("it ended".to_owned()));
        }
        Ok(bare)
    }

    /// Where it answers.
    pub fn base(&self) -> &str {
        &self.base
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server itself: prints its address and runs until it is killed.
pub fn serve(answer: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(answer).map_err(Error::file(answer))?;
    let (headers, body) = of_text(&text).ok_or_else(|| Error::Bare("the answer makes no sense".to_owned()))?;
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

/// Headers a line each, an empty line, the body. hyper writes the rest by itself, as it did for us.
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
    fn an_answer_is_read_as_it_was_written() {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Bytes::from_static(b"{\"a\":\"b\"}");
        assert_eq!(of_text(&to_text(&headers, &body)), Some((headers, body)));
    }
}
