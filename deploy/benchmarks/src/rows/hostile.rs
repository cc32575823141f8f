//! CPU time of hostile requests, against valid requests of the same kind and size.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use deploy::Service;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::cpu::cpu_time;
use crate::harness::http_client::{HttpClient, request};
use crate::harness::measure::milliseconds;
use crate::harness::row::{Measure, Pair, Row, Sample, Side, Target, Unit};

/// The same picture as base64 and as multipart.
pub const BASE64: Row = row(
    "hostile-base64",
    "CPU of auth-api: PATCH update with a picture of about 9 MB as base64 in JSON : as multipart",
    2.5,
    |bench| Ok(pair(bench, base64(&bench.media()?.heavy()?), multipart_picture(&bench.media()?.heavy()?))),
);

/// A text within the body limit, above the limit of any field.
pub const TEXT: Row = row(
    "hostile-text",
    "CPU of auth-api: register with an e-mail of 13 MB of CJK labels and a password of 1,024 characters : base64 picture",
    2.0,
    |bench| against_base64(bench, text()),
);

fn text() -> RepeatedRequest {
    let email = format!("x@{}com", "例え.".repeat(13_000_000 / 7));
    let password = "p".repeat(1024);
    refused("application/json", format!(r#"{{"email":"{email}","full_name":"A","password":"{password}"}}"#))
}

/// Returns one hostile request of each kind that needs no account.
pub(super) fn anonymous() -> Vec<RepeatedRequest> {
    vec![text(), escapes(), values(), form(), part_header()]
}

/// JSON escapes, each decoded separately.
pub const ESCAPES: Row = row(
    "hostile-escapes",
    "CPU of auth-api: register with an e-mail of 13 MB of JSON escapes : base64 picture",
    2.0,
    |bench| against_base64(bench, escapes()),
);

fn escapes() -> RepeatedRequest {
    refused("application/json", format!(r#"{{"email":"{}"}}"#, r"\u4f8b".repeat(13_000_000 / 6)))
}

/// As many JSON values as the body limit allows.
pub const VALUES: Row = row(
    "hostile-values",
    "CPU of auth-api: register with a JSON list of 6.5 million numbers : base64 picture",
    2.0,
    |bench| against_base64(bench, values()),
);

fn values() -> RepeatedRequest {
    refused("application/json", format!("[{}0]", "0,".repeat(6_500_000)))
}

/// Percent-encoded bytes in a form.
pub const FORM: Row = row(
    "hostile-form",
    "CPU of auth-api: register with 13 MB of escapes in a URL-encoded form : base64 picture",
    2.0,
    |bench| against_base64(bench, form()),
);

fn form() -> RepeatedRequest {
    refused("application/x-www-form-urlencoded", format!("email={}+", "%41".repeat(13_000_000 / 3)))
}

/// Escapes in the header of a multipart part.
pub const PART_HEADER: Row = row(
    "hostile-service-header",
    "CPU of auth-api: register with a multipart name of 13 MB of escapes : the picture as multipart",
    2.0,
    |bench| Ok(pair(bench, part_header(), multipart_picture(&bench.media()?.heavy()?))),
);

fn part_header() -> RepeatedRequest {
    let name = "\\\"".repeat(6_500_000);
    let body = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n--b--\r\n");
    refused("multipart/form-data; boundary=b", body)
}

type MakePair = fn(&Bench) -> Result<Pair<'_>, Error>;

const fn row(name: &'static str, what: &'static str, at_most: f64, pair: MakePair) -> Row {
    Row { name, what, measure: Measure::Ratio { unit: Unit::CpuMilliseconds, target: Target::AtMost(at_most), pair } }
}

/// A request that is sent repeatedly.
#[derive(Clone, Debug)]
pub(super) struct RepeatedRequest {
    method: Method,
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
    status: u16,
}

impl RepeatedRequest {
    /// Sends the request and returns the status of the response.
    pub(super) async fn send(&self, client: &mut HttpClient, access: &str) -> Result<u16, Error> {
        let request = request(self.method.clone(), self.path)
            .header(CONTENT_TYPE, self.content_type)
            .header(AUTHORIZATION, format!("JWT {access}"))
            .body(self.body.clone().into());
        Ok(client.send(request).await?.status().as_u16())
    }
}

fn refused(content_type: &'static str, body: String) -> RepeatedRequest {
    RepeatedRequest { method: Method::POST, path: "/api/user/register/", content_type, body: body.into(), status: 400 }
}

fn update(content_type: &'static str, body: Vec<u8>) -> RepeatedRequest {
    RepeatedRequest { method: Method::PATCH, path: "/api/user/update/", content_type, body: body.into(), status: 200 }
}

fn base64(picture: &[u8]) -> RepeatedRequest {
    update("application/json", format!(r#"{{"profile_pic":"{}"}}"#, STANDARD.encode(picture)).into_bytes())
}

fn multipart_picture(picture: &[u8]) -> RepeatedRequest {
    let head = b"--b\r\nContent-Disposition: form-data; name=\"profile_pic\"; filename=\"a.jpg\"\r\n\r\n";
    update("multipart/form-data; boundary=b", [head, picture, b"\r\n--b--\r\n"].concat())
}

fn against_base64(bench: &Bench, hostile: RepeatedRequest) -> Result<Pair<'_>, Error> {
    Ok(pair(bench, hostile, base64(&bench.media()?.heavy()?)))
}

fn pair(bench: &Bench, hostile: RepeatedRequest, valid: RepeatedRequest) -> Pair<'_> {
    Pair { candidate: side(bench, hostile), baseline: side(bench, valid) }
}

fn side(bench: &Bench, sent: RepeatedRequest) -> Side<'_> {
    Box::new(move |time| bench.runtime.block_on(cpu_per_request(bench, &sent, time)))
}

/// Sends the request repeatedly over one connection, bypassing nginx.
async fn cpu_per_request(bench: &Bench, sent: &RepeatedRequest, time: Duration) -> Result<Sample, Error> {
    let small = bench.small()?;
    let stack = small.stack()?;
    let pid =
        stack.pids(Service::AuthApi)?.first().copied().ok_or(deploy::Error::NotRunning(Service::AuthApi.name()))?;
    let access = small.access_tokens()?.first().map(String::as_str).unwrap_or_default();
    let mut client = HttpClient::connect(&stack.env().auth_api).await?;
    let (before, since, mut count, mut refused) = (cpu_time(pid)?, Instant::now(), 0, 0);
    while since.elapsed() < time {
        refused += u64::from(sent.send(&mut client, access).await? != sent.status);
        count += 1;
    }
    Ok(Sample { value: milliseconds(cpu_time(pid)?.saturating_sub(before) / count), refused })
}
