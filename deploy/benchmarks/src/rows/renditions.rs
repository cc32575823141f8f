//! Time of a rendition's first request.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::pictures::expect;
use crate::error::Error;
use crate::harness::Bench;
use crate::harness::http_client::HttpClient;
use crate::harness::measure::{median_over, milliseconds};
use crate::harness::media::{MediaFixture, new_id};
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Unit};

/// Against the command vipsthumbnail.
pub const FIRST: Row = Row {
    name: "rendition-first",
    what: "first ?size=256 of a 12-megapixel JPEG after its upload : vipsthumbnail of the file",
    measure: Measure::Ratio { unit: Unit::Milliseconds, target: Target::AtMost(1.0), pair: |bench| pair(bench, 0) },
};

/// Against libvips in a running process: the cost of another file for the command.
pub const FIRST_IN_PROCESS: Row = Row {
    name: "rendition-first-in-process",
    what: "the same : libvips in a running process (cost of each of 8 more files for vipsthumbnail)",
    measure: Measure::Ratio {
        unit: Unit::Milliseconds,
        target: Target::AtMost(1.0),
        pair: |bench| pair(bench, MORE_FILES),
    },
};

const MORE_FILES: u32 = 8;

fn pair(bench: &Bench, more: u32) -> Result<Pair<'_>, Error> {
    let media = bench.media()?;
    Ok(Pair {
        candidate: Box::new(move |time| bench.runtime.block_on(first(media, time))),
        baseline: Box::new(move |time| bench.runtime.block_on(vips(media, time, more))),
    })
}

async fn first(media: &MediaFixture, time: Duration) -> Result<Sample, Error> {
    let server = media.server();
    let (mut writer, mut reader) =
        (HttpClient::connect(&server.internal).await?, HttpClient::connect(&server.base).await?);
    let value = median_over(time, async || {
        let id = new_id();
        let path = format!("/images/{id}");
        expect(writer.put(&path, server.secret(), media.large.clone()).await?.as_u16(), 201)?;
        let sent = Instant::now();
        let response = reader.get(&format!("/api/user/media/{id}.jpg?size=256"), "").await?;
        let taken = milliseconds(sent.elapsed());
        expect(response.status().as_u16(), 200)?;
        writer.delete(&path, server.secret()).await?;
        Ok(taken)
    });
    Ok(Sample { value: value.await?, refused: 0 })
}

/// Returns the time of the command for one file, or, if `more` is not 0, the time of each further file.
async fn vips(media: &MediaFixture, time: Duration, more: u32) -> Result<Sample, Error> {
    let (file, out) = (media.large_file(), media.directory().join("thumbnail.jpg"));
    let value = median_over(time, async || {
        let one = thumbnails(&file, &out, 1)?;
        Ok(if more == 0 { one } else { (thumbnails(&file, &out, 1 + more)? - one) / f64::from(more) })
    });
    Ok(Sample { value: value.await?, refused: 0 })
}

fn thumbnails(file: &Path, out: &Path, count: u32) -> Result<f64, Error> {
    let started = Instant::now();
    let mut command = Command::new("vipsthumbnail");
    command.args(["--size", "256x256", "--smartcrop", "centre", "-o"]).arg(out);
    command.args((0..count).map(|_| file));
    let status = command.status().map_err(Error::file("vipsthumbnail"))?;
    if status.success() {
        Ok(milliseconds(started.elapsed()))
    } else {
        Err(Error::Client(format!("vipsthumbnail failed ({status})")))
    }
}
