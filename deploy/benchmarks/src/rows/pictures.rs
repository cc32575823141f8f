//! Delivery of pictures through nginx.

use http::header::ETAG;

use super::me::rate;
use crate::error::Error;
use crate::harness::Bench;
use crate::harness::http_client::HttpClient;
use crate::harness::media::new_id;
use crate::harness::row::{Measure, Pair, Row, Target, Unit};
use crate::harness::wrk::{self, Wrk};

/// The original.
pub const PICTURE: Row = Row {
    name: "picture",
    what: "GET of a 40 kB picture through nginx : nginx serving the file",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.90),
        pair: |bench| pair(bench, "", Cached::No),
    },
};

/// A rendition.
pub const RENDITION: Row = Row {
    name: "rendition",
    what: "GET of a 6 kB rendition through nginx : nginx serving a file of the same bytes",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.80),
        pair: |bench| pair(bench, "?size=128", Cached::No),
    },
};

/// A conditional request.
pub const NOT_MODIFIED: Row = Row {
    name: "picture-304",
    what: "304 of a picture through nginx : 304 of a file",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        target: Target::AtLeast(0.80),
        pair: |bench| pair(bench, "", Cached::Yes),
    },
};

/// One client per core.
const THREADS: usize = 2;
const CONNECTIONS: usize = 64;

/// Whether the client has the picture in its cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cached {
    No,
    Yes,
}

fn pair<'a>(bench: &'a Bench, query: &str, cached: Cached) -> Result<Pair<'a>, Error> {
    let media = bench.media()?;
    let (id, server) = (new_id(), media.server());
    let path = format!("/api/user/media/{id}.jpg{query}");
    let (candidate, baseline) = bench.runtime.block_on(async {
        let mut writer = HttpClient::connect(&server.internal).await?;
        let status = writer.put(&format!("/images/{id}"), server.secret(), media.small.clone()).await?;
        expect(status.as_u16(), 201)?;
        let response = HttpClient::connect(media.nginx()).await?.get(&path, "").await?;
        expect(response.status().as_u16(), 200)?;
        let file = format!("{id}.jpg");
        let base = media.serve_file(&file, response.body())?;
        let given = HttpClient::connect(base).await?.get(&format!("/{file}"), "").await?;
        expect(given.status().as_u16(), 200)?;
        eprintln!("    {} bytes", response.body().len());
        let request = |response: &http::Response<_>, path: &str| {
            let tag = response.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
            wrk::get_with(
                path,
                &if cached == Cached::Yes { format!("If-None-Match: {tag}\r\n") } else { String::new() },
            )
        };
        let candidate = client(bench, "picture-candidate", media.nginx(), request(&response, &path))?;
        Ok::<_, Error>((candidate, client(bench, "picture-baseline", base, request(&given, &format!("/{file}")))?))
    })?;
    Ok(Pair { candidate: rate(candidate), baseline: rate(baseline) })
}

fn client(bench: &Bench, name: &str, base: &str, request: String) -> Result<Wrk, Error> {
    let requests = bench.requests(name);
    wrk::write(&requests, std::iter::once(request))?;
    Ok(Wrk { base: base.to_owned(), requests, threads: THREADS, connections: CONNECTIONS, pause_millis: 0 })
}

/// Fails on an unexpected status, with which the row would measure something else.
pub(super) fn expect(status: u16, expected: u16) -> Result<(), Error> {
    if status == expected { Ok(()) } else { Err(Error::Client(format!("the response is {status}, not {expected}"))) }
}
