//! A rendition that nobody has asked for before.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use super::pictures::expect;
use crate::bench::Bench;
use crate::client::Client;
use crate::error::Error;
use crate::measure::{median_over, milliseconds};
use crate::pictures::{Pictures, new_id};
use crate::row::{Measure, Pair, Reach, Row, Sample, Unit};

/// Against the command.
pub const FIRST: Row = Row {
    name: "rendition-first",
    what: "?size=256 of a 12-megapixel JPEG just uploaded, the first time : vipsthumbnail of the file",
    measure: Measure::Ratio { unit: Unit::Milliseconds, reach: Reach::AtMost(1.0), pair: |bench| pair(bench, 0) },
};

/// Against the library: what one more file costs the command.
pub const FIRST_IN_PROCESS: Row = Row {
    name: "rendition-first-in-process",
    what: "the same : libvips in a running process, which is what each of 8 more files costs vipsthumbnail",
    measure: Measure::Ratio {
        unit: Unit::Milliseconds,
        reach: Reach::AtMost(1.0),
        pair: |bench| pair(bench, MORE_FILES),
    },
};

const MORE_FILES: u32 = 8;

fn pair(bench: &Bench, more: u32) -> Result<Pair<'_>, Error> {
    let pictures = bench.pictures()?;
    Ok(Pair {
        ours: Box::new(move |time| bench.runtime.block_on(first(pictures, time))),
        limit: Box::new(move |time| bench.runtime.block_on(vips(pictures, time, more))),
    })
}

async fn first(pictures: &Pictures, time: Duration) -> Result<Sample, Error> {
    let server = pictures.server();
    let (mut writer, mut reader) = (Client::connect(&server.writing).await?, Client::connect(&server.base).await?);
    let value = median_over(time, async || {
        let id = new_id();
        let path = format!("/images/{id}");
        expect(writer.put(&path, server.secret(), pictures.large.clone()).await?.as_u16(), 201)?;
        let asked = Instant::now();
        let answer = reader.get(&format!("/api/user/media/{id}.jpg?size=256"), "").await?;
        let taken = milliseconds(asked.elapsed());
        expect(answer.status().as_u16(), 200)?;
        writer.delete(&path, server.secret()).await?;
        Ok(taken)
    });
    Ok(Sample { value: value.await?, refused: 0 })
}

/// The time of the command for one file; or, with `more` of them, what each of those costs it.
async fn vips(pictures: &Pictures, time: Duration, more: u32) -> Result<Sample, Error> {
    let (file, out) = (pictures.large_file(), pictures.directory().join("thumbnail.jpg"));
    let value = median_over(time, async || {
        let one = thumbnails(&file, &out, 1)?;
        Ok(if more == 0 { one } else { (thumbnails(&file, &out, 1 + more)? - one) / f64::from(more) })
    });
    Ok(Sample { value: value.await?, refused: 0 })
}

fn thumbnails(file: &Path, out: &Path, count: u32) -> Result<f64, Error> {
    let began = Instant::now();
    let mut command = Command::new("vipsthumbnail");
    command.args(["--size", "256x256", "--smartcrop", "centre", "-o"]).arg(out);
    command.args((0..count).map(|_| file));
    let status = command.status().map_err(Error::file("vipsthumbnail"))?;
    if status.success() {
        Ok(milliseconds(began.elapsed()))
    } else {
        Err(Error::Client(format!("vipsthumbnail ends with {status}")))
    }
}
