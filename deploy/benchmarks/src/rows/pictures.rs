//! Pictures on their way to a browser, through nginx.

use http::header::ETAG;

use super::me::rate;
use crate::bench::Bench;
use crate::client::Client;
use crate::error::Error;
use crate::pictures::new_id;
use crate::row::{Measure, Pair, Reach, Row, Unit};
use crate::wrk::{self, Wrk};

/// As it was uploaded.
pub const PICTURE: Row = Row {
    name: "picture",
    what: "GET of a 40 kB picture through nginx : nginx giving the file",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.90),
        pair: |bench| pair(bench, "", Cached::No),
    },
};

/// As an avatar.
pub const RENDITION: Row = Row {
    name: "rendition",
    what: "GET of a 6 kB rendition through nginx : nginx giving a file of the same bytes",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.80),
        pair: |bench| pair(bench, "?size=128", Cached::No),
    },
};

/// Known to who asks.
pub const NOT_MODIFIED: Row = Row {
    name: "picture-304",
    what: "304 to a picture through nginx : nginx's own 304",
    measure: Measure::Ratio {
        unit: Unit::PerSecond,
        reach: Reach::AtLeast(0.80),
        pair: |bench| pair(bench, "", Cached::Yes),
    },
};

/// Both cores have a client.
const THREADS: usize = 2;
const CONNECTIONS: usize = 64;

/// Whether who asks has it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cached {
    No,
    Yes,
}

fn pair<'a>(bench: &'a Bench, query: &str, cached: Cached) -> Result<Pair<'a>, Error> {
    let pictures = bench.pictures()?;
    let (id, server) = (new_id(), pictures.server());
    let path = format!("/api/user/media/{id}.jpg{query}");
    let (ours, limit) = bench.runtime.block_on(async {
        let mut writer = Client::connect(&server.writing).await?;
        let status = writer.put(&format!("/images/{id}"), server.secret(), pictures.small.clone()).await?;
        expect(status.as_u16(), 201)?;
        let answer = Client::connect(pictures.front()).await?.get(&path, "").await?;
        expect(answer.status().as_u16(), 200)?;
        let file = format!("{id}.jpg");
        let base = pictures.given_by_nginx(&file, answer.body())?;
        let given = Client::connect(base).await?.get(&format!("/{file}"), "").await?;
        expect(given.status().as_u16(), 200)?;
        eprintln!("    {} bytes", answer.body().len());
        let request = |answer: &http::Response<_>, path: &str| {
            let tag = answer.headers().get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
            wrk::get_with(
                path,
                &if cached == Cached::Yes { format!("If-None-Match: {tag}\r\n") } else { String::new() },
            )
        };
        let ours = client(bench, "picture-ours", pictures.front(), request(&answer, &path))?;
        Ok::<_, Error>((ours, client(bench, "picture-limit", base, request(&given, &format!("/{file}")))?))
    })?;
    Ok(Pair { ours: rate(ours), limit: rate(limit) })
}

fn client(bench: &Bench, name: &str, base: &str, request: String) -> Result<Wrk, Error> {
    let requests = bench.requests(name);
    wrk::write(&requests, std::iter::once(request))?;
    Ok(Wrk { base: base.to_owned(), requests, threads: THREADS, connections: CONNECTIONS, pause_millis: 0 })
}

/// Checks a status where another one would make the row another one.
pub(super) fn expect(status: u16, expected: u16) -> Result<(), Error> {
    if status == expected { Ok(()) } else { Err(Error::Client(format!("the answer is {status}, not {expected}"))) }
}
