//! Uploads of pictures.

use std::hint::spin_loop;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};
use jpeg_encoder::{ColorType, Encoder};
use shared::worker_pool::Priority;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::Error;
use crate::harness::Bench;
use crate::harness::closed_loop::{ClosedLoop, drive};
use crate::harness::http_client::HttpClient;
use crate::harness::measure::{median_over, milliseconds};
use crate::harness::media::{MediaServerProcess, cached, new_id};
use crate::harness::memory::resident;
use crate::harness::row::{Measure, Pair, Row, Sample, Target, Unit};
use crate::harness::threads;

/// Sequential uploads.
pub const UPLOAD: Row = Row {
    name: "upload",
    what: "upload of a 12-megapixel JPEG, request to response : a full decode of it",
    measure: Measure::Ratio { unit: Unit::Milliseconds, target: Target::AtMost(1.0), pair: one_by_one },
};

/// Concurrent uploads.
pub const RATE: Row = Row {
    name: "upload-rate",
    what: "uploads of a 12-megapixel JPEG, 16 connections : full decodes of it on as many threads as media-server has decoders",
    measure: Measure::Ratio { unit: Unit::PerSecond, target: Target::AtLeast(1.0), pair: at_a_rate },
};

/// Uploads while another program uses all cores.
pub const BUSY: Row = Row {
    name: "upload-busy",
    what: "upload of a 12-megapixel JPEG next to a busy loop on each core : alone",
    measure: Measure::Ratio { unit: Unit::Milliseconds, target: Target::AtMost(4.0), pair: next_to_busy_loops },
};

/// Memory of media-server with many concurrent uploads.
pub const AT_ONCE: Row = Row {
    name: "memory-uploads",
    what: "peak resident memory of media-server: 200 uploads of a 12-megapixel JPEG at once, then ?size=256 of each",
    measure: Measure::Memory { mb_max: MEMORY_MB_MAX, read: uploads_at_once },
};

/// Memory of media-server under attack.
pub const HOSTILE: Row = Row {
    name: "memory-hostile",
    what: "peak resident memory of media-server: pictures of the greatest allowed cost, 16 connections",
    measure: Measure::Memory { mb_max: MEMORY_MB_MAX, read: hostile },
};

const MEMORY_MB_MAX: f64 = 250.0;

const CONNECTIONS: usize = 16;
const UPLOADS_AT_ONCE: usize = 200;

/// Uploads of each hostile picture per connection.
const HOSTILE_ROUNDS: usize = 4;

fn one_by_one(bench: &Bench) -> Result<Pair<'_>, Error> {
    let media = bench.media()?;
    Ok(Pair {
        candidate: Box::new(move |time| bench.runtime.block_on(upload_times(media.server(), &media.large, time))),
        baseline: Box::new(move |time| {
            let value = median_over(time, async || {
                let started = Instant::now();
                decode(&media.large)?;
                Ok(milliseconds(started.elapsed()))
            });
            Ok(Sample { value: bench.runtime.block_on(value)?, refused: 0 })
        }),
    })
}

/// Returns the median time of an upload; each picture is deleted before the next.
async fn upload_times(server: &MediaServerProcess, picture: &Bytes, time: Duration) -> Result<Sample, Error> {
    let mut uploads = Uploads::connect(server, picture).await?;
    let mut refused = 0;
    let value = median_over(time, async || {
        let sent = Instant::now();
        let is_stored = uploads.next().await?;
        let taken = milliseconds(sent.elapsed());
        refused += u64::from(!is_stored);
        uploads.delete().await?;
        Ok(taken)
    });
    Ok(Sample { value: value.await?, refused })
}

fn next_to_busy_loops(bench: &Bench) -> Result<Pair<'_>, Error> {
    let media = bench.media()?;
    let upload = move |time| bench.runtime.block_on(upload_times(media.server(), &media.large, time));
    Ok(Pair {
        candidate: Box::new(move |time| {
            let stopped = AtomicBool::new(false);
            thread::scope(|scope| {
                for _ in 0..cores()? {
                    scope.spawn(|| {
                        while !stopped.load(Ordering::Relaxed) {
                            spin_loop();
                        }
                    });
                }
                let sample = upload(time);
                stopped.store(true, Ordering::Relaxed);
                sample
            })
        }),
        baseline: Box::new(upload),
    })
}

fn cores() -> Result<usize, Error> {
    Ok(thread::available_parallelism().map_err(Error::file("the number of cores"))?.get())
}

fn at_a_rate(bench: &Bench) -> Result<Pair<'_>, Error> {
    let media = bench.media()?;
    let large = &media.large;
    // One per core, media-server's default.
    let threads = cores()?;
    Ok(Pair {
        candidate: Box::new(move |time| bench.runtime.block_on(upload_rate(media.server(), large, time))),
        baseline: Box::new(move |time| threads::rate(threads, Priority::Low, time, || Ok(|| decode(large).map(drop)))),
    })
}

/// Returns uploads per second; deletes the pictures afterwards.
async fn upload_rate(server: &MediaServerProcess, picture: &Bytes, time: Duration) -> Result<Sample, Error> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Uploads::connect(server, picture).await?);
    }
    let sample = drive(&mut connections, time).await?;
    for mut uploads in connections {
        uploads.delete().await?;
    }
    Ok(sample)
}

/// A connection that repeatedly uploads a picture under new ids.
struct Uploads {
    client: HttpClient,
    secret: String,
    picture: Bytes,
    stored: Vec<String>,
}

impl Uploads {
    async fn connect(server: &MediaServerProcess, picture: &Bytes) -> Result<Self, Error> {
        let client = HttpClient::connect(&server.internal).await?;
        Ok(Self { client, secret: server.secret().to_owned(), picture: picture.clone(), stored: Vec::new() })
    }

    async fn delete(&mut self) -> Result<(), Error> {
        for path in self.stored.drain(..) {
            self.client.delete(&path, &self.secret).await?;
        }
        Ok(())
    }
}

impl ClosedLoop for Uploads {
    async fn next(&mut self) -> Result<bool, Error> {
        let path = format!("/images/{}", new_id());
        let status = self.client.put(&path, &self.secret, self.picture.clone()).await?;
        self.stored.push(path);
        Ok(status.as_u16() == 201)
    }
}

fn decode(picture: &[u8]) -> Result<DynamicImage, Error> {
    image::load_from_memory_with_format(picture, ImageFormat::Jpeg).map_err(Error::client)
}

fn uploads_at_once(bench: &Bench) -> Result<Sample, Error> {
    let media = bench.media()?;
    let server = media.empty_server(&bench.runtime)?;
    let refused = bench.runtime.block_on(async {
        let ids: Vec<String> = (0..UPLOADS_AT_ONCE).map(|_| new_id()).collect();
        let mut uploading = JoinSet::new();
        for id in &ids {
            let (path, secret, picture) = (format!("/images/{id}"), server.secret().to_owned(), media.large.clone());
            let mut client = HttpClient::connect(&server.internal).await?;
            uploading.spawn(async move { client.put(&path, &secret, picture).await });
        }
        let stored = uploading.join_all().await.into_iter();
        let refused = stored.filter(|status| !status.as_ref().is_ok_and(|status| status.as_u16() == 201)).count();
        // As for a page of avatars, over several connections.
        let mut asking = JoinSet::new();
        for ids in ids.chunks(UPLOADS_AT_ONCE.div_ceil(CONNECTIONS)) {
            let (ids, mut client) = (ids.to_vec(), HttpClient::connect(&server.base).await?);
            asking.spawn(async move {
                for id in ids {
                    client.get(&format!("/api/user/media/{id}.jpg?size=256"), "").await?;
                }
                Ok::<_, Error>(())
            });
        }
        asking.join_all().await.into_iter().collect::<Result<(), _>>()?;
        Ok::<_, Error>(refused)
    })?;
    Ok(Sample { value: resident(server.pid())?.peak_mb, refused: refused as u64 })
}

/// A picture may be accepted, refused, or answered with 503; any other server error counts.
fn hostile(bench: &Bench) -> Result<Sample, Error> {
    let media = bench.media()?;
    let files = hostile_files(media.directory(), &media.large)?;
    let server = media.empty_server(&bench.runtime)?;
    let refused = bench.runtime.block_on(async {
        let mut sending = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (files, secret) = (files.clone(), server.secret().to_owned());
            let (mut client, mut reader) =
                (HttpClient::connect(&server.internal).await?, HttpClient::connect(&server.base).await?);
            sending.spawn(async move {
                let mut failed = 0;
                for turn in 0..files.len() * HOSTILE_ROUNDS {
                    let Some((kind, file)) = files.get((connection + turn) % files.len()) else { continue };
                    let id = new_id();
                    let status = client.put(&format!("/images/{id}"), &secret, file.clone()).await?.as_u16();
                    let status = if status == 201 {
                        reader.get(&format!("/api/user/media/{id}.{kind}?size=256"), "").await?.status().as_u16()
                    } else {
                        status
                    };
                    failed += u64::from(status >= 500 && status != 503);
                }
                Ok::<_, Error>(failed)
            });
        }
        sending.join_all().await.into_iter().sum::<Result<u64, Error>>()
    })?;
    Ok(Sample { value: resident(server.pid())?.peak_mb, refused })
}

/// Just below the limit of 40 megapixels.
const SIDES: (u16, u16) = (6400, 6200);

/// Returns pictures of the greatest allowed dimensions in each format and coding mode (of one color, so that files are
/// small), one that declares far larger dimensions, and a truncated one.
fn hostile_files(directory: &Path, photograph: &Bytes) -> Result<Vec<(&'static str, Bytes)>, Error> {
    let (width, height) = SIDES;
    let picture = || DynamicImage::new_rgb8(width.into(), height.into());
    let of_format = |format| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        picture().write_to(&mut bytes, format).map_err(Error::client)?;
        Ok(bytes.into_inner())
    };
    let progressive = || {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 90);
        encoder.set_progressive(true);
        encoder.encode(picture().as_bytes(), width, height, ColorType::Rgb).map_err(Error::client)?;
        Ok(bytes)
    };
    let file = |name: &str| directory.join(name);
    let png = cached(&file("hostile.png"), || of_format(ImageFormat::Png))?;
    // Changes the width in IHDR, which also invalidates its checksum.
    let oversized =
        [png.get(..16).unwrap_or_default(), &[0, 0xff, 0xff, 0xff], png.get(20..).unwrap_or_default()].concat();
    let truncated = photograph.slice(..photograph.len() / 2);
    Ok(vec![
        ("png", png),
        ("png", oversized.into()),
        ("webp", cached(&file("hostile.webp"), || of_format(ImageFormat::WebP))?),
        ("jpg", cached(&file("hostile.jpg"), || of_format(ImageFormat::Jpeg))?),
        ("jpg", cached(&file("hostile-progressive.jpg"), progressive)?),
        ("jpg", truncated),
    ])
}
