//! The disk with the pictures is full or read-only.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use image::ImageFormat;
use serde_json::json;

use crate::support::{MediaServer, Scratch, assert_unavailable, drawn, files_below, image_id, jpeg, wait_until};

/// Size of the disk.
const DISK_BYTES: usize = 1024 * 1024;

/// Limit of a picture, with room for two on the disk.
const PICTURE_BYTES: usize = 300 * 1024;

/// A tmpfs, unmounted when dropped.
struct SmallDisk(Scratch);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let directory = Scratch::new();
        let size = format!("size={DISK_BYTES}");
        let mounted = run("mount", &["-t", "tmpfs", "-o", &size, "none", directory.text()]);
        mounted.then(|| Self(directory))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn remount(&self, option: &str) {
        assert!(run("mount", &["-o", &format!("remount,{option}"), self.0.text()]));
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.text()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn a_full_or_read_only_disk_makes_uploads_503_keeps_pictures_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        println!("not run: only root may mount a disk");
        return;
    };
    let settings =
        [("STORAGE_URL", format!("file://{}", disk.0.text())), ("PICTURE_BYTES_MAX", PICTURE_BYTES.to_string())];
    let server = MediaServer::start(&settings).await;
    let (old, new) = (image_id(), image_id());
    assert_eq!(server.put(&old, &jpeg()).await.status, 201);
    let filler = disk.path().join("filler");
    let large = drawn(ImageFormat::Png, 300, 300);
    for fault in ["full", "read-only"] {
        if fault == "full" {
            // Fails when the disk is full.
            let _ = std::fs::write(&filler, vec![0; 2 * DISK_BYTES]);
        } else {
            disk.remount("ro");
        }
        assert_unavailable(fault, &server.put(&new, &large).await);
        assert_eq!(server.get(&format!("{old}.jpg")).await.status, 200, "{fault}");
        assert_eq!(server.get(&format!("{new}.png")).await.status, 404, "{fault}");
        let mut files = files_below(disk.path());
        files.retain(|file| file.parent() != Some(disk.path()));
        let is_of_old = |file: &Path| file.ends_with(&old) || file.ends_with(format!("{old}.512.jpg"));
        assert!(!files.is_empty() && files.iter().all(|file| is_of_old(file)), "{fault}: {files:?}");
        let reason = if fault == "full" { "storage_full" } else { "storage_read_only" };
        let degraded = json!({ "status": "degraded", "reasons": [reason] });
        server.public_api.get("/readyz").await.expect(200, &degraded);
        if fault == "full" {
            std::fs::remove_file(&filler).unwrap();
        } else {
            disk.remount("rw");
        }
        let is_stored = async || server.put(&new, &large).await.status == 201;
        wait_until(fault, Duration::from_secs(5), is_stored).await;
        assert_eq!(server.delete(&new).await.status, 204, "{fault}");
        server.public_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
    }
    // Not full, but without room for the largest picture.
    std::fs::write(&filler, vec![0; DISK_BYTES - PICTURE_BYTES]).unwrap();
    let degraded = json!({ "status": "degraded", "reasons": ["storage_full"] });
    server.public_api.get("/readyz").await.expect(200, &degraded);
    std::fs::remove_file(&filler).unwrap();
    server.public_api.get("/readyz").await.expect(200, &json!({ "status": "ok" }));
    assert!(!server.log().contains(&old) && !server.log().contains(&new), "a picture id is logged");
}
