//! What a hostile picture costs: CPU of media-server for its upload and its largest rendition, against the costliest ordinary
//! picture of the same format, pixels and at least those bytes.

use std::time::Duration;

use bytes::Bytes;
use media_server::hostile;
use shared::media_api::ImageKind;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::client::Client;
use crate::cpu::cpu_time;
use crate::error::Error;
use crate::measure::milliseconds;
use crate::pictures::{MediaServer, new_id};
use crate::row::{Measure, Pair, Reach, Row, Sample, Side, Unit};

/// The costliest JPEG.
pub const JPEG: Row = row("hostile-jpeg", |bench| costliest(bench, ImageKind::Jpeg));
/// The costliest PNG.
pub const PNG: Row = row("hostile-png", |bench| costliest(bench, ImageKind::Png));
/// The costliest GIF.
pub const GIF: Row = row("hostile-gif", |bench| costliest(bench, ImageKind::Gif));
/// The costliest WebP.
pub const WEBP: Row = row("hostile-webp", |bench| costliest(bench, ImageKind::Webp));

const fn row(name: &'static str, pair: fn(&Bench) -> Result<Pair<'_>, Error>) -> Row {
    Row {
        name,
        what: "CPU of media-server: upload and largest rendition of the costliest hostile picture : of its ordinary counterpart",
        measure: Measure::Ratio { unit: Unit::CpuMilliseconds, reach: Reach::AtMost(2.0), pair },
    }
}

/// How long each kind is tried, to find the costliest one.
const TRIAL: Duration = Duration::from_millis(500);

fn costliest(bench: &Bench, kind: ImageKind) -> Result<Pair<'_>, Error> {
    let server = bench.pictures()?.server();
    let mut costliest: Option<(f64, Bytes, Bytes)> = None;
    for picture in hostile::ALL.iter().map(|make| make()).filter(|picture| picture.kind == kind) {
        let (hostile, ordinary) = (Bytes::from(picture.bytes.clone()), Bytes::from(picture.ordinary()));
        let cost = |picture| bench.runtime.block_on(cpu_per_upload(server, kind, picture, TRIAL));
        let (ours, limit) = (cost(&hostile)?.value, cost(&ordinary)?.value);
        eprintln!("    {}: {ours:.1} : {limit:.1} ms CPU", picture.name);
        if costliest.as_ref().is_none_or(|(ratio, ..)| ours / limit > *ratio) {
            costliest = Some((ours / limit, hostile, ordinary));
        }
    }
    let (_, hostile, ordinary) = costliest.ok_or_else(|| Error::Client(format!("no hostile {kind:?}")))?;
    Ok(Pair { ours: side(bench, kind, hostile)?, limit: side(bench, kind, ordinary)? })
}

fn side(bench: &Bench, kind: ImageKind, picture: Bytes) -> Result<Side<'_>, Error> {
    let server = bench.pictures()?.server();
    Ok(Box::new(move |time| bench.runtime.block_on(cpu_per_upload(server, kind, &picture, time))))
}

/// Uploads it, asks for its largest rendition if it was accepted, and deletes it, again and again.
async fn cpu_per_upload(
    server: &MediaServer,
    kind: ImageKind,
    picture: &Bytes,
    time: Duration,
) -> Result<Sample, Error> {
    let (mut internal, mut public) = (Client::connect(&server.writing).await?, Client::connect(&server.base).await?);
    let (before, since, mut count, mut refused) = (cpu_time(server.pid())?, Instant::now(), 0, 0);
    while count == 0 || since.elapsed() < time {
        let id = new_id();
        let (path, secret) = (format!("/images/{id}"), server.secret());
        let status = internal.put(&path, secret, picture.clone()).await?.as_u16();
        if status == 201 {
            let rendition = format!("/api/user/media/{id}.{}?size={LARGEST}", kind.extension());
            refused += u64::from(!public.get(&rendition, "").await?.status().is_success());
            internal.delete(&path, secret).await?;
        } else {
            refused += u64::from(status != 422);
        }
        count += 1;
    }
    Ok(Sample { value: milliseconds(cpu_time(server.pid())?.saturating_sub(before) / count), refused })
}

/// The largest of the default `RENDITION_SIZES`.
const LARGEST: u32 = 512;
