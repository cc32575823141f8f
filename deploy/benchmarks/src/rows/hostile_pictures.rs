//! CPU time of media-server for the upload and the largest rendition of a hostile picture, against the costliest ordinary
//! picture of the same format and dimensions and at least the same size.

use std::time::Duration;

use bytes::Bytes;
use media_server::hostile;
use shared::media_api::ImageKind;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::cpu::cpu_time;
use crate::harness::http_client::HttpClient;
use crate::harness::measure::milliseconds;
use crate::harness::media::{MediaServerProcess, new_id};
use crate::harness::row::{Measure, Pair, Row, Sample, Side, Target, Unit};

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
        measure: Measure::Ratio { unit: Unit::CpuMilliseconds, target: Target::AtMost(2.0), pair },
    }
}

/// Duration of the measurement that selects the costliest picture.
const SELECTION: Duration = Duration::from_millis(500);

fn costliest(bench: &Bench, kind: ImageKind) -> Result<Pair<'_>, Error> {
    let server = bench.media()?.server();
    let mut costliest: Option<(f64, Bytes, Bytes)> = None;
    for picture in hostile::ALL.iter().map(|make| make()).filter(|picture| picture.kind == kind) {
        let (hostile, ordinary) = (Bytes::from(picture.bytes.clone()), Bytes::from(picture.ordinary()));
        let cost = |picture| bench.runtime.block_on(cpu_per_upload(server, kind, picture, SELECTION));
        let (candidate, baseline) = (cost(&hostile)?.value, cost(&ordinary)?.value);
        eprintln!("    {}: {candidate:.1} : {baseline:.1} ms CPU", picture.name);
        if costliest.as_ref().is_none_or(|(ratio, ..)| candidate / baseline > *ratio) {
            costliest = Some((candidate / baseline, hostile, ordinary));
        }
    }
    let (_, hostile, ordinary) = costliest.ok_or_else(|| Error::Client(format!("no hostile {kind:?}")))?;
    Ok(Pair { candidate: side(bench, kind, hostile)?, baseline: side(bench, kind, ordinary)? })
}

fn side(bench: &Bench, kind: ImageKind, picture: Bytes) -> Result<Side<'_>, Error> {
    let server = bench.media()?.server();
    Ok(Box::new(move |time| bench.runtime.block_on(cpu_per_upload(server, kind, &picture, time))))
}

/// Repeatedly uploads the picture, requests its largest rendition if it was accepted, and deletes it.
async fn cpu_per_upload(
    server: &MediaServerProcess,
    kind: ImageKind,
    picture: &Bytes,
    time: Duration,
) -> Result<Sample, Error> {
    let (mut internal, mut public) =
        (HttpClient::connect(&server.internal).await?, HttpClient::connect(&server.base).await?);
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
