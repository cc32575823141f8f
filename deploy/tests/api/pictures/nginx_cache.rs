//! nginx's picture cache: its keys, and the bound of its directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deploy::{Options, Stack};
use futures_util::StreamExt as _;
use futures_util::stream;
use image::{ImageFormat, Rgb, RgbImage};
use shared::media_api::ImageId;
use shared::random::Random;

use crate::support::{Answer, Api, Person, send};

/// A stack of its own, and the directory of its state.
fn start() -> (Stack, PathBuf) {
    let options = Options::scratch().unwrap().with("RENDITION_SIZES", "48, 96");
    let data = options.data.clone();
    (Stack::start(options).unwrap(), data)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The keys of all files in the cache.
fn keys(data: &Path) -> BTreeSet<String> {
    let key = |path: &PathBuf| {
        let bytes = fs::read(path).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.split_once("KEY: ")?.1.lines().next().map(ToOwned::to_owned)
    };
    files(&data.join("nginx/pictures")).iter().filter_map(key).collect()
}

/// Bytes on the disk.
fn disk_bytes(directory: &Path) -> u64 {
    files(directory).iter().filter_map(|path| path.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// A picture that no codec makes much smaller: about 3 bytes per pixel as PNG.
fn noise(side: u32) -> Vec<u8> {
    let random = Random::system().bytes::<16>();
    let mut state = u128::from_le_bytes(random) | 1;
    let picture = RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
        let bytes = (state >> 64).to_le_bytes();
        Rgb([bytes[5], bytes[6], bytes[7]])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

async fn path_of_picture(api: &Api, bytes: &[u8]) -> String {
    let link = Person::with_picture(api, bytes).await.picture().await.unwrap();
    link[link.find("/api/").unwrap()..].to_owned()
}

async fn get_with(api: &Api, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = api.request("GET", path);
    send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
}

/// `count` more pictures of the same bytes as the one at `path`, made in the storage; their paths.
fn linked(data: &Path, path: &str, count: usize) -> Vec<String> {
    let (id, extension) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
    let pictures = data.join("pictures");
    let original = pictures.join(&id[..3]).join(id);
    let owner = original.metadata().unwrap();
    (0..count)
        .map(|_| {
            let id = ImageId::new(&Random::system()).hex();
            let directory = pictures.join(&id[..3]);
            if !directory.exists() {
                fs::create_dir(&directory).unwrap();
                chown(&directory, Some(owner.uid()), Some(owner.gid())).unwrap();
            }
            fs::hard_link(&original, directory.join(&id)).unwrap();
            format!("/api/user/media/{id}.{extension}")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_has_one_key_per_configured_size_and_format_whichever_way_it_is_asked_for() {
    let (stack, data) = start();
    let api = Api::at(&stack.env().base);
    let path = path_of_picture(&api, &noise(100)).await;
    let name = path.rsplit('/').next().unwrap();
    let whole = get_with(&api, &path, &[]).await;
    let escaped = path.replace("media", "m%65dia").replace('.', "%2e");
    for same in [
        format!("{path}/"),
        format!("{path}?anything"),
        format!("{path}/?x=1&y=2&SIZE=48&sizes=3"),
        format!("{path}?%73=a&&="),
        format!("//api/user//media/./x/../{name}"),
        escaped,
    ] {
        // Not through a client that tidies paths up.
        let request = format!("GET {same} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = api.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{same}: {answer}");
        assert!(answer.contains(&format!("\r\nContent-Length: {}\r\n", whole.bytes.len())), "{same}");
    }
    for accept in ["", "image/webp", "image/avif,image/webp;q=0.9,*/*", "IMAGE/WEBP", "image/webp;q=0", "text/html"] {
        for query in ["size=48", "size=96", "x=1&size=48", "size=48&x=1&y=2", "&size=96&"] {
            let answer = get_with(&api, &format!("{path}?{query}"), &[("accept", accept)]).await;
            assert_eq!(answer.status, 200, "{query}");
        }
        let answer = get_with(&api, &path, &[("accept", accept)]).await;
        assert_eq!((answer.status, &answer.bytes), (200, &whole.bytes), "{accept}");
    }
    for query in
        ["size=48&size=48", "size=48&size=64", "size=048", "size=49", "size", "size=", "size=48%20", "size=%34"]
    {
        get_with(&api, &format!("{path}?{query}"), &[]).await.expect_status(400);
    }
    // A name in percent-encoding is not cached, and not another picture either.
    assert_eq!(get_with(&api, &format!("{path}?s%69ze=48"), &[]).await.status, 200);
    for unknown in ["", "x", "0123456789abcdef0123456789abcdef.jpg", "0123456789abcdef0123456789abcdef.png?a"] {
        get_with(&api, &format!("/api/user/media/{unknown}"), &[]).await.expect_status(404);
    }
    let expected = ["", "size=48", "size=96"].into_iter().flat_map(|query| {
        let accepts = if query.is_empty() { vec![""] } else { vec!["", "image/webp"] };
        let path = &path;
        accepts.into_iter().map(move |accept| format!("{path} {query} {accept}"))
    });
    assert_eq!(keys(&data), expected.collect());
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_response_is_the_same_for_every_request_of_its_key() {
    let (stack, data) = start();
    let api = Api::at(&stack.env().base);
    for query in ["", "?size=48"] {
        let path = path_of_picture(&api, &noise(100)).await + query;
        let media_server = Api::at(&stack.env().media_server);
        let direct = get_with(&media_server, &path, &[]).await;
        assert_eq!(direct.status, 200);
        let etag = direct.header("etag");
        let many = (0..100).map(|number| format!("x-{number}")).collect::<Vec<_>>();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "y")).collect();
        for (headers, status) in [
            (vec![("if-none-match", etag)], 304),
            (vec![("if-modified-since", direct.header("last-modified"))], 304),
            (vec![("range", "bytes=0-0")], 206),
            (vec![("range", "bytes=99999999-")], 416),
            (vec![("range", "bytes=0-0"), ("if-range", etag)], 206),
            (vec![("x-if-none-match", "*"), ("x-now", "9999999999.0")], 200),
            (many, 431),
        ] {
            // A new picture for each, so that this request is the one that fills the cache, if any does.
            let path = linked(&data, path.split('?').next().unwrap(), 1).remove(0) + query;
            let own = get_with(&media_server, &path, &[]).await;
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| match *name {
                    // A rendition is as old as its creation.
                    "if-modified-since" => (*name, own.header("last-modified").to_owned()),
                    _ => (*name, value.replace(id_of(direct.header("etag")), id_of(&path))),
                })
                .collect();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let first = get_with(&api, &path, &headers).await;
            assert_eq!(first.status, status, "{headers:?}");
            let head = send(api.request("HEAD", &path)).await;
            assert_eq!((head.status, head.header("content-length")), (200, direct.header("content-length")));
            for _ in 0..3 {
                let answer = get_with(&api, &path, &[]).await;
                assert_eq!((answer.status, &answer.bytes), (200, &direct.bytes), "after {headers:?}");
                for name in ["content-type", "cache-control", "x-content-type-options", "content-security-policy"] {
                    assert_eq!(answer.header(name), direct.header(name), "{name}");
                    assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
                }
            }
        }
    }
    stack.shutdown();
}

/// The 32 digits that name a picture, in a path or an `ETag`.
fn id_of(text: &str) -> &str {
    let text = text.trim_start_matches("/api/user/media/").trim_start_matches('"');
    &text[..32]
}

#[tokio::test(flavor = "multi_thread")]
async fn head_range_and_large_pictures_write_nothing_to_the_cache() {
    let (stack, data) = start();
    let api = Api::at(&stack.env().base);
    let large = path_of_picture(&api, &noise(1000)).await;
    let small = path_of_picture(&api, &noise(100)).await;
    for path in [&large, &small] {
        for number in 0..60 {
            let path = format!("{path}?{number}");
            assert_eq!(send(api.request("HEAD", &path)).await.status, 200);
            let answer = get_with(&api, &path, &[("range", "bytes=5-5")]).await;
            assert_eq!((answer.status, answer.bytes.len()), (206, 1));
        }
    }
    let answer = get_with(&api, &large, &[]).await;
    assert!(answer.status == 200 && answer.bytes.len() > 2_000_000);
    let modified = answer.header("last-modified");
    for condition in [("if-none-match", answer.header("etag")), ("if-modified-since", modified)] {
        let known = get_with(&api, &large, &[condition]).await;
        assert_eq!((known.status, known.header("etag")), (304, answer.header("etag")));
    }
    assert_eq!(keys(&data), BTreeSet::new());
    assert_eq!(disk_bytes(&data.join("nginx/proxy")), 0);
    stack.shutdown();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_directory_is_bounded_under_requests_for_many_pictures() {
    /// 128 MB, and what is being written.
    const DIRECTORY_BYTES_MAX: u64 = 160 << 20;
    let (stack, data) = start();
    let api = Api::at(&stack.env().base);
    let path = path_of_picture(&api, &noise(145)).await;
    let length = get_with(&api, &path, &[]).await.bytes.len();
    assert!((60_000..=65_536).contains(&length), "as large as the cache takes them: {length}");
    let paths = linked(&data, &path, 6000);
    let large = path_of_picture(&api, &noise(1800)).await;
    let large = linked(&data, &large, 400);
    let done = Arc::new(AtomicBool::new(false));
    let watch = {
        let (done, nginx) = (Arc::clone(&done), data.join("nginx"));
        tokio::task::spawn_blocking(move || {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(disk_bytes(&nginx.join("pictures")) + disk_bytes(&nginx.join("proxy")));
            }
            most
        })
    };
    // 6,000 × 62 kB, and 400 × 9.7 MB.
    for (paths, length) in [(&paths, Some(length)), (&large, None)] {
        let gets = paths.iter().map(|path| get_with(&api, path, &[]));
        let mut answers = stream::iter(gets).buffer_unordered(32);
        while let Some(answer) = answers.next().await {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(length.is_none_or(|length| answer.bytes.len() == length));
        }
    }
    done.store(true, Ordering::Relaxed);
    let most = watch.await.unwrap();
    println!("{most} bytes at most");
    assert!(most <= DIRECTORY_BYTES_MAX, "{most}");
    stack.shutdown();
}
