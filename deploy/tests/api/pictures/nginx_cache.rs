//! The picture cache of nginx: its keys, and the size limit of its directory.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, stream};
use image::{ImageFormat, Rgb, RgbImage};
use shared::random::Random;

use crate::support::{Api, OwnStack, TestUser, encoded, files_below, image_id, path_of};

fn start() -> OwnStack {
    OwnStack::start(&[("RENDITION_SIZES", "48, 96")])
}

/// The keys of all cache files.
fn keys(data: &Path) -> BTreeSet<String> {
    let key = |path: &PathBuf| {
        let bytes = fs::read(path).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        text.split_once("KEY: ")?.1.lines().next().map(ToOwned::to_owned)
    };
    files_below(&data.join("nginx/pictures")).iter().filter_map(key).collect()
}

/// The allocated size, in bytes.
fn disk_bytes(directory: &Path) -> u64 {
    files_below(directory).iter().filter_map(|path| path.metadata().ok()).map(|file| file.blocks() * 512).sum()
}

/// An incompressible picture: about 3 bytes per pixel as PNG.
fn noise(side: u32) -> Vec<u8> {
    let random = Random::system().bytes::<16>();
    let mut state = u128::from_le_bytes(random) | 1;
    let picture = RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645).wrapping_add(1);
        let bytes = (state >> 64).to_le_bytes();
        Rgb([bytes[5], bytes[6], bytes[7]])
    });
    encoded(ImageFormat::Png, picture)
}

/// Uploads a picture and returns its path.
async fn upload(api: &Api, picture: &[u8]) -> String {
    path_of(&TestUser::with_picture(api, picture).await.picture().await.unwrap()).to_owned()
}

/// Hard-links the picture at `path` in the storage, and returns the paths of the copies.
fn linked(data: &Path, path: &str, count: usize) -> Vec<String> {
    let (id, extension) = path.rsplit('/').next().unwrap().split_once('.').unwrap();
    let pictures = data.join("pictures");
    let original = pictures.join(&id[..3]).join(id);
    let owner = original.metadata().unwrap();
    (0..count)
        .map(|_| {
            let id = image_id();
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
async fn a_picture_has_one_key_per_configured_size_and_format_for_all_spellings_of_its_url() {
    let stack = start();
    let (api, data) = (&stack.api, &stack.data);
    let path = upload(api, &noise(100)).await;
    let name = path.rsplit('/').next().unwrap();
    let whole = api.get(&path).await;
    let escaped = path.replace("media", "m%65dia").replace('.', "%2e");
    for same in [
        format!("{path}/"),
        format!("{path}?anything"),
        format!("{path}/?x=1&y=2&SIZE=48&sizes=3"),
        format!("{path}?%73=a&&="),
        format!("//api/user//media/./x/../{name}"),
        escaped,
    ] {
        // Raw: the HTTP client would normalize the path.
        let request = format!("GET {same} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let response = api.raw(request.as_bytes()).await;
        assert!(response.starts_with("HTTP/1.1 200 "), "{same}: {response}");
        assert!(response.contains(&format!("\r\nContent-Length: {}\r\n", whole.bytes.len())), "{same}");
    }
    for accept in ["", "image/webp", "image/avif,image/webp;q=0.9,*/*", "IMAGE/WEBP", "image/webp;q=0", "text/html"] {
        for query in ["size=48", "size=96", "x=1&size=48", "size=48&x=1&y=2", "&size=96&"] {
            let response = api.get_with(&format!("{path}?{query}"), &[("accept", accept)]).await;
            assert_eq!(response.status, 200, "{query}");
        }
        let response = api.get_with(&path, &[("accept", accept)]).await;
        assert_eq!((response.status, &response.bytes), (200, &whole.bytes), "{accept}");
    }
    for query in
        ["size=48&size=48", "size=48&size=64", "size=048", "size=49", "size", "size=", "size=48%20", "size=%34"]
    {
        api.get(&format!("{path}?{query}")).await.expect_status(400);
    }
    // A percent-encoded parameter name is not cached, and not another picture either.
    assert_eq!(api.get(&format!("{path}?s%69ze=48")).await.status, 200);
    for unknown in ["", "x", "0123456789abcdef0123456789abcdef.jpg", "0123456789abcdef0123456789abcdef.png?a"] {
        api.get(&format!("/api/user/media/{unknown}")).await.expect_status(404);
    }
    let expected = ["", "size=48", "size=96"].into_iter().flat_map(|query| {
        let accepts = if query.is_empty() { vec![""] } else { vec!["", "image/webp"] };
        let path = &path;
        accepts.into_iter().map(move |accept| format!("{path} {query} {accept}"))
    });
    assert_eq!(keys(data), expected.collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_response_is_the_same_for_every_request_of_its_key() {
    let stack = start();
    let (api, data) = (&stack.api, &stack.data);
    for query in ["", "?size=48"] {
        let path = upload(api, &noise(100)).await + query;
        let media_server = Api::at(&stack.env().media_server);
        let direct = media_server.get(&path).await;
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
            // A new picture each time: the cache is empty for it.
            let path = linked(data, path.split('?').next().unwrap(), 1).remove(0) + query;
            let own = media_server.get(&path).await;
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| match *name {
                    // The modification time of a rendition is that of its creation.
                    "if-modified-since" => (*name, own.header("last-modified").to_owned()),
                    _ => (*name, value.replace(id_of(direct.header("etag")), id_of(&path))),
                })
                .collect();
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let first = api.get_with(&path, &headers).await;
            assert_eq!(first.status, status, "{headers:?}");
            let head = api.head(&path).await;
            assert_eq!((head.status, head.header("content-length")), (200, direct.header("content-length")));
            for _ in 0..3 {
                let response = api.get(&path).await;
                assert_eq!((response.status, &response.bytes), (200, &direct.bytes), "after {headers:?}");
                for name in ["content-type", "cache-control", "x-content-type-options", "content-security-policy"] {
                    assert_eq!(response.header(name), direct.header(name), "{name}");
                    assert_eq!(response.headers.get_all(name).iter().count(), 1, "{name}");
                }
            }
        }
    }
}

/// The picture id in a path or an `ETag`.
fn id_of(text: &str) -> &str {
    let text = text.trim_start_matches("/api/user/media/").trim_start_matches('"');
    &text[..32]
}

#[tokio::test(flavor = "multi_thread")]
async fn head_range_and_large_pictures_are_not_cached() {
    let stack = start();
    let (api, data) = (&stack.api, &stack.data);
    let large = upload(api, &noise(1000)).await;
    let small = upload(api, &noise(100)).await;
    for path in [&large, &small] {
        for number in 0..60 {
            let path = format!("{path}?{number}");
            assert_eq!(api.head(&path).await.status, 200);
            let response = api.get_with(&path, &[("range", "bytes=5-5")]).await;
            assert_eq!((response.status, response.bytes.len()), (206, 1));
        }
    }
    let response = api.get(&large).await;
    assert!(response.status == 200 && response.bytes.len() > 2_000_000);
    let modified = response.header("last-modified");
    for condition in [("if-none-match", response.header("etag")), ("if-modified-since", modified)] {
        let known = api.get_with(&large, &[condition]).await;
        assert_eq!((known.status, known.header("etag")), (304, response.header("etag")));
    }
    assert_eq!(keys(data), BTreeSet::new());
    assert_eq!(disk_bytes(&data.join("nginx/proxy")), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_directory_stays_within_its_limit() {
    /// 128 MiB, and margin for files in the making.
    const DIRECTORY_BYTES_MAX: u64 = 160 << 20;
    let stack = start();
    let (api, data) = (&stack.api, &stack.data);
    let path = upload(api, &noise(145)).await;
    let length = api.get(&path).await.bytes.len();
    assert!((60_000..=65_536).contains(&length), "just below the largest that is cached: {length}");
    let paths = linked(data, &path, 6000);
    let large = upload(api, &noise(1800)).await;
    let large = linked(data, &large, 400);
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
        let gets = paths.iter().map(|path| api.get(path));
        let mut responses = stream::iter(gets).buffer_unordered(32);
        while let Some(response) = responses.next().await {
            assert_eq!(response.status, 200, "{}", response.text());
            assert!(length.is_none_or(|length| response.bytes.len() == length));
        }
    }
    done.store(true, Ordering::Relaxed);
    let most = watch.await.unwrap();
    println!("{most} bytes at most");
    assert!(most <= DIRECTORY_BYTES_MAX, "{most}");
}
