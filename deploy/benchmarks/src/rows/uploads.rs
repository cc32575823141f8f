//! Pictures on their way into the storage.

use std::path::Path;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use image::{DynamicImage, ImageFormat};
use jpeg_encoder::{ColorType, Encoder};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::bench::Bench;
use crate::chain::{Chain, drive};
use crate::client::Client;
use crate::error::Error;
use crate::measure::{median_over, milliseconds};
use crate::memory::resident;
use crate::pictures::{MediaServer, kept, new_id};
use crate::row::{Measure, Pair, Reach, Row, Sample, Unit};
use crate::threads;

/// One after the other.
pub const UPLOAD: Row = Row {
    name: "upload",
    what: "upload of a 12-megapixel JPEG, request to answer : a bare full decode of it",
    measure: Measure::Ratio { unit: Unit::Milliseconds, reach: Reach::AtMost(1.25), pair: one_by_one },
};

/// Many at once.
pub const RATE: Row = Row {
    name: "upload-rate",
    what: "uploads of a 12-megapixel JPEG, 16 connections : bare full decodes of it on as many threads as media-server decodes on",
    measure: Measure::Ratio { unit: Unit::PerSecond, reach: Reach::AtLeast(0.85), pair: at_a_rate },
};

/// media-server under a crowd.
pub const AT_ONCE: Row = Row {
    name: "memory-uploads",
    what: "most resident memory of media-server: 200 uploads of a 12-megapixel JPEG at once, then ?size=256 of each",
    measure: Measure::Memory { mb_max: MEMORY_MB_MAX, read: uploads_at_once },
};

/// media-server under attack.
pub const HOSTILE: Row = Row {
    name: "memory-hostile",
    what: "most resident memory of media-server: pictures made to cost as much as they may, 16 connections",
    measure: Measure::Memory { mb_max: MEMORY_MB_MAX, read: hostile },
};

const MEMORY_MB_MAX: f64 = 250.0;

const CONNECTIONS: usize = 16;
const UPLOADS_AT_ONCE: usize = 200;

/// How often each hostile picture is sent.
const HOSTILE_ROUNDS: usize = 4;

fn one_by_one(bench: &Bench) -> Result<Pair<'_>, Error> {
    let pictures = bench.pictures()?;
    Ok(Pair {
        ours: Box::new(move |time| bench.runtime.block_on(upload_times(pictures.server(), &pictures.large, time))),
        limit: Box::new(move |time| {
            let value = median_over(time, async || {
                let began = Instant::now();
                decode(&pictures.large)?;
                Ok(milliseconds(began.elapsed()))
            });
            Ok(Sample { value: bench.runtime.block_on(value)?, refused: 0 })
        }),
    })
}

/// The time of an upload; each goes before the next.
async fn upload_times(server: &MediaServer, picture: &Bytes, time: Duration) -> Result<Sample, Error> {
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

fn at_a_rate(bench: &Bench) -> Result<Pair<'_>, Error> {
    let pictures = bench.pictures()?;
    let large = &pictures.large;
    // A core each, as media-server has it by default.
    let threads = thread::available_parallelism().map_err(Error::file("the number of cores"))?.get();
    Ok(Pair {
        ours: Box::new(move |time| bench.runtime.block_on(upload_rate(pictures.server(), large, time))),
        limit: Box::new(move |time| threads::rate(threads, time, || Ok(|| decode(large).map(drop)))),
    })
}

/// Uploads a second; what was stored goes after.
async fn upload_rate(server: &MediaServer, picture: &Bytes, time: Duration) -> Result<Sample, Error> {
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

/// A connection on which one picture is stored again and again, each time under a new id.
struct Uploads {
    client: Client,
    secret: String,
    picture: Bytes,
    stored: Vec<String>,
}

impl Uploads {
    async fn connect(server: &MediaServer, picture: &Bytes) -> Result<Self, Error> {
        let client = Client::connect(&server.writing).await?;
        Ok(Self { client, secret: server.secret().to_owned(), picture: picture.clone(), stored: Vec::new() })
    }

    async fn delete(&mut self) -> Result<(), Error> {
        for path in self.stored.drain(..) {
            self.client.delete(&path, &self.secret).await?;
        }
        Ok(())
    }
}

impl Chain for Uploads {
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
    let pictures = bench.pictures()?;
    let server = pictures.another_server(&bench.runtime)?;
    let refused = bench.runtime.block_on(async {
        let ids: Vec<String> = (0..UPLOADS_AT_ONCE).map(|_| new_id()).collect();
        let mut uploading = JoinSet::new();
        for id in &ids {
            let (path, secret, picture) = (format!("/images/{id}"), server.secret().to_owned(), pictures.large.clone());
            let mut client = Client::connect(&server.writing).await?;
            uploading.spawn(async move { client.put(&path, &secret, picture).await });
        }
        let stored = uploading.join_all().await.into_iter();
        let refused = stored.filter(|status| !status.as_ref().is_ok_and(|status| status.as_u16() == 201)).count();
        // As many as browsers ask for on one page, each through a connection of its own.
        let mut asking = JoinSet::new();
        for ids in ids.chunks(UPLOADS_AT_ONCE.div_ceil(CONNECTIONS)) {
            let (ids, mut client) = (ids.to_vec(), Client::connect(&server.base).await?);
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

/// Whether a picture is taken or refused, or is to be sent later, is as it may be; any other server error counts.
fn hostile(bench: &Bench) -> Result<Sample, Error> {
    let pictures = bench.pictures()?;
    let files = hostile_files(pictures.directory(), &pictures.large)?;
    let server = pictures.another_server(&bench.runtime)?;
    let refused = bench.runtime.block_on(async {
        let mut sending = JoinSet::new();
        for connection in 0..CONNECTIONS {
            let (files, secret) = (files.clone(), server.secret().to_owned());
            let (mut client, mut reader) =
                (Client::connect(&server.writing).await?, Client::connect(&server.base).await?);
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

/// As large as may be in each format and way of coding, of one colour and so small files; one that says it is far larger;
/// one that is cut short.
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
    let png = kept(&file("hostile.png"), || of_format(ImageFormat::Png))?;
    // The width of the first chunk, IHDR. Its checksum is wrong then, too.
    let vast = [png.get(..16).unwrap_or_default(), &[0, 0xff, 0xff, 0xff], png.get(20..).unwrap_or_default()].concat();
    let half = photograph.slice(..photograph.len() / 2);
    Ok(vec![
        ("png", png),
        ("png", vast.into()),
        ("webp", kept(&file("hostile.webp"), || of_format(ImageFormat::WebP))?),
        ("jpg", kept(&file("hostile.jpg"), || of_format(ImageFormat::Jpeg))?),
        ("jpg", kept(&file("hostile-progressive.jpg"), progressive)?),
        ("jpg", half),
    ])
}
